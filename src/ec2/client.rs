//! The way to EC2: region, credentials, proxy, timeouts, and what every request carries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
    BeforeTransmitInterceptorContextMut, BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{ConfigBag, Intercept, Region, RuntimeComponents, SharedHttpClient};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::types::BlockDeviceMapping;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_types::body::SdkBody;
use http::Uri;
use http_body_util::Limited;

use super::error::{Error, ErrorClass, NO_REGION};
use crate::config;
use crate::engine::{FleetName, InstanceId, PoolName};
use crate::tally::Tally;

/// What every request says we are, before the SDK's own words: AWS's audit trail shows it.
const USER_AGENT: &str = concat!("ghascale/", env!("CARGO_PKG_VERSION"));

/// For a connection to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the first byte of an answer: a large `DescribeInstances` takes EC2 some seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer larger than this is refused: a page of a thousand instances is about five megabytes.
const LARGEST_ANSWER: usize = 64 << 20;
/// For one attempt as a whole.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);

/// One fleet's instances on EC2.
#[derive(Debug)]
pub struct Fleet {
    pub(super) client: Client,
    pub(super) name: FleetName,
    /// Of the pools that can launch.
    pub(super) pools: BTreeMap<PoolName, config::Pool>,
    /// What the latest observation returned: nothing else can be ended or marked.
    pub(super) seen: Mutex<BTreeSet<InstanceId>>,
    /// By AMI, what a launch must say of the EBS devices that would outlive their instance.
    pub(super) lasting_devices: Mutex<BTreeMap<String, Vec<BlockDeviceMapping>>>,
    tally: Arc<Tally>,
}

impl Fleet {
    /// Returns a fleet as the configuration and the AWS SDK's own chain (environment, profiles, instance role) say.
    ///
    /// `ca` is PEM, trusted beside the system's certificates. Nothing is sent to EC2; the SDK may ask the instance
    /// metadata service for the region.
    ///
    /// # Errors
    /// [`ErrorClass::Configuration`] without a region, and with a proxy or a certificate that can't be used. Missing
    /// credentials are found by the first call.
    pub async fn connect(ec2: &config::Ec2, pools: &[config::Pool], ca: Option<&[u8]>) -> Result<Self, Error> {
        Ok(Self::new(&sdk_config(ec2.region.as_deref(), ca).await?, ec2.fleet.clone(), pools))
    }

    /// Returns a fleet on an SDK configuration that is complete already.
    #[must_use]
    pub fn new(sdk: &SdkConfig, name: FleetName, pools: &[config::Pool]) -> Self {
        let tally = Arc::new(Tally::default());
        let wire = Wire { tally: tally.clone() };
        let client = Client::from_conf(aws_sdk_ec2::config::Builder::from(sdk).interceptor(wire).build());
        let pools = pools
            .iter()
            .filter(|pool| pool.launch.is_some())
            .map(|pool| (pool.policy.name.clone(), pool.clone()))
            .collect();
        Self { client, name, pools, seen: Mutex::default(), lasting_devices: Mutex::default(), tally }
    }

    /// Returns what its requests were answered with.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Returns the SDK's configuration: its own chain, our timeouts, the usual proxy variables.
///
/// # Errors
/// As [`Fleet::connect`].
async fn sdk_config(region: Option<&str>, ca: Option<&[u8]>) -> Result<SdkConfig, Error> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(ca, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?)
        .retry_config(RetryConfig::standard())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        );
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    let sdk = loader.load().await;
    if sdk.region().is_none() {
        return Err(wrong(NO_REGION, "no AWS region: set `region` under `[ec2]`, or `AWS_REGION`"));
    }
    Ok(sdk)
}

/// Returns the HTTP client; `variable` reads the environment.
///
/// The SDK's default client knows no proxy. Only https goes through one: what speaks plain http here is loopback and
/// the link-local metadata services, and neither must ever be asked of a proxy.
fn http_client(ca: Option<&[u8]>, variable: impl Fn(&str) -> Option<String>) -> Result<SharedHttpClient, Error> {
    let first = |names: [&str; 2]| names.into_iter().find_map(&variable);
    let proxy = match first(["HTTPS_PROXY", "https_proxy"]).or_else(|| first(["ALL_PROXY", "all_proxy"])) {
        None => ProxyConfig::disabled(),
        Some(url) => {
            let direct = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
            ProxyConfig::https(url)
                // The library's words hold the URL, which may hold a password.
                .map_err(|_| wrong("Proxy", "`HTTPS_PROXY` is not a URL like `http://proxy.example:3128`"))?
                .no_proxy(format!("{direct},localhost,127.0.0.0/8,::1,169.254.0.0/16,fd00:ec2::/32"))
        }
    };
    let mut trusted = TrustStore::default();
    if let Some(pem) = ca {
        trusted = trusted.with_pem_certificate(pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| wrong("Certificate", format!("`ca_file` can't be used: {error}")))?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .proxy_config(proxy.clone())
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
            .tls_context(context.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    }))
}

fn wrong(code: &str, message: impl Into<String>) -> Error {
    Error::ours(ErrorClass::Configuration, "connect", code, message)
}

/// Waits for an answer, notes the call in the log, and reads the error.
pub(super) async fn call<T, E>(
    action: &'static str,
    sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Error>
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
{
    let start = Instant::now();
    let result = sent.await.map_err(|error| Error::from_sdk(action, &error));
    tracing::debug!(
        action,
        ms = start.elapsed().as_millis(),
        result = result.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok")
    );
    result
}

/// What every request meets on its way out, and every answer on its way in.
#[derive(Debug)]
struct Wire {
    tally: Arc<Tally>,
}

impl Intercept for Wire {
    fn name(&self) -> &'static str {
        "ghascale"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Here, and not where the endpoint is configured: the SDK takes it from five places.
        refuse_plain_http(context.request().uri()).map_err(Into::into)
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        // The SDK's `AppName` allows no slash. The user agent is not part of the signature.
        let agent = match headers.get("user-agent") {
            Some(sdk) => format!("{USER_AGENT} {sdk}"),
            None => USER_AGENT.to_owned(),
        };
        headers.insert("user-agent", agent);
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // The SDK reads whatever comes, into memory.
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, LARGEST_ANSWER));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.tally.count(context.response().map(|answer| answer.status().as_u16()));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        if answer.status().is_success() && !answer.body().bytes().is_some_and(is_closed) {
            return Err("the answer breaks off".into());
        }
        Ok(())
    }
}

/// Returns whether an XML document ends with the end of what it begins with.
///
/// The SDK takes one that breaks off between two elements for one that has no more of them: an account without instances.
fn is_closed(document: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(document) else { return false };
    let mut tags = text.match_indices('<').map(|(at, _)| &text[at + 1..]);
    let Some(root) = tags.find(|tag| !tag.starts_with(['?', '!'])) else { return false };
    let name = root.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next().unwrap_or_default();
    let rest = text.trim_end().strip_suffix('>').map(str::trim_end);
    let is_closed = rest.and_then(|rest| rest.strip_suffix(name)).is_some_and(|rest| rest.ends_with("</"));
    // `<Root/>` is all of it.
    is_closed || root.trim_end().strip_suffix("/>").is_some_and(|root| !root.contains(['<', '>']))
}

/// An endpoint that would take signed requests and user data in the clear.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is plain http, which is refused except on loopback: use https in `AWS_ENDPOINT_URL`")]
pub(super) struct PlainHttp(String);

fn refuse_plain_http(uri: &str) -> Result<(), PlainHttp> {
    let Ok(parsed) = uri.parse::<Uri>() else { return Err(PlainHttp(uri.to_owned())) };
    let host = parsed.host().unwrap_or_default();
    if parsed.scheme_str() == Some("https") || config::is_loopback(host) {
        return Ok(());
    }
    Err(PlainHttp(format!("{}://{}", parsed.scheme_str().unwrap_or("?"), host)))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for uri in [
            "https://ec2.eu-north-1.amazonaws.com/",
            "http://127.0.0.1:5000/",
            "http://[::1]:1/",
            "http://localhost:1/",
        ] {
            assert!(refuse_plain_http(uri).is_ok(), "{uri}");
        }
        for uri in
            ["http://ec2.amazonaws.com/", "http://10.0.0.1/", "http://localhost.example/", "http://127.0.0.1.example/"]
        {
            assert!(refuse_plain_http(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn an_answer_ends_with_what_it_begins_with() {
        for whole in ["<A x=\"1\"><B/></A>", "<?xml version=\"1.0\"?>\n<A>\n</A >\n", "<A/>", "<A x='1' />\n"] {
            assert!(is_closed(whole.as_bytes()), "{whole}");
        }
        for broken in
            ["", "<A>", "<A><B/>", "<A><B></B>", "<A></AB>", "<?xml?>", "<!-- no -->", "A", "<A></A", "<A><B/"]
        {
            assert!(!is_closed(broken.as_bytes()), "{broken}");
        }
    }

    /// Returns the first line that a proxy hears when EC2 is asked for at `endpoint`; `None` if it hears nothing.
    async fn heard_by_proxy(endpoint: &str, direct: &str) -> Option<String> {
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let client = http_client(None, |name| match name {
            "HTTPS_PROXY" | "HTTP_PROXY" => Some(url.clone()),
            "NO_PROXY" => Some(direct.to_owned()),
            _ => None,
        });
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
            .retry_config(RetryConfig::disabled())
            .http_client(client.unwrap())
            .build();
        let fleet = Fleet::new(&sdk, "acme".into(), &[]);
        tokio::select! {
            biased;
            heard = async {
                let (stream, _) = proxy.accept().await.unwrap();
                BufReader::new(stream).lines().next_line().await.unwrap()
            } => heard,
            failed = fleet.observe() => {
                failed.unwrap_err();
                None
            }
        }
    }

    #[tokio::test]
    async fn https_goes_through_the_proxy() {
        let heard = heard_by_proxy("https://ec2.example", "").await;
        assert_eq!(heard.as_deref(), Some("CONNECT ec2.example:443 HTTP/1.1"));
    }

    #[tokio::test]
    async fn loopback_and_what_no_proxy_names_go_direct() {
        assert_eq!(heard_by_proxy("https://127.0.0.1:1", "").await, None);
        assert_eq!(heard_by_proxy("http://127.0.0.1:1", "").await, None);
        assert_eq!(heard_by_proxy("https://ec2.invalid", "other.example,.invalid").await, None);
    }

    #[test]
    fn a_proxy_that_is_no_url_is_refused_without_its_password() {
        let error = http_client(None, |name| (name == "HTTPS_PROXY").then(|| "socks5://me:secret@proxy:1".to_owned()));
        let error = error.unwrap_err();
        assert_eq!(error.class, ErrorClass::Configuration);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
