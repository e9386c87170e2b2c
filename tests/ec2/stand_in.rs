//! An EC2 endpoint that answers what it is told, in order, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use ghascale::config::{Image, Launch, Pool, UserData};
use ghascale::ec2::Fleet;
use ghascale::engine::{self, Market, Offering, RunnerId, Slot};
use ghascale::services::RunInstance;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What was asked: the form's fields, and `user-agent`.
pub(crate) type Call = BTreeMap<String, String>;

#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, String)>,
    calls: Vec<Call>,
}

/// The endpoint; it ends with this value.
pub(crate) struct StandIn {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    server: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl StandIn {
    /// Starts an endpoint that gives these answers (status, body) in order, and 404 when they are used up.
    pub(crate) async fn start(answers: impl IntoIterator<Item = (u16, String)>) -> Self {
        let script = Arc::new(Mutex::new(Script { answers: answers.into_iter().collect(), calls: Vec::new() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/", post(answer)).with_state(script.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, script, server }
    }

    /// Gives other answers from now on, and forgets what was asked.
    pub(crate) fn answer_with(&self, answers: impl IntoIterator<Item = (u16, String)>) {
        *self.script.lock().unwrap() = Script { answers: answers.into_iter().collect(), calls: Vec::new() };
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.script.lock().unwrap().calls.clone()
    }

    pub(crate) fn fleet(&self) -> Fleet {
        Fleet::new(&sdk(&self.url), "acme".into(), &[pool()])
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    headers: HeaderMap,
    Form(mut call): Form<Call>,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    call.insert("user-agent".to_owned(), headers["user-agent"].to_str().unwrap().to_owned());
    let mut script = script.lock().unwrap();
    script.calls.push(call);
    let (status, body) = script.answers.pop_front().unwrap_or((404, "used up".to_owned()));
    // The SDK reads the request's id here, not in the body.
    (StatusCode::from_u16(status).unwrap(), [("x-amzn-requestid", "req-1")], body)
}

/// An SDK configuration that takes nothing from this machine.
pub(crate) fn sdk(url: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "planted-secret-key", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard())
        .build()
}

/// A pool that launches from a launch template, and so with one call.
pub(crate) fn pool() -> Pool {
    pool_from(Image::LaunchTemplate("runners".to_owned()), "subnet-a")
}

pub(crate) fn pool_from(image: Image, subnet: &str) -> Pool {
    Pool {
        policy: engine::Pool {
            name: "linux".into(),
            labels: vec!["linux".into()],
            min_idle: 0,
            max: 3,
            priority: 0,
            offerings: vec![offering(Market::OnDemand, subnet)],
            boot_timeout: std::time::Duration::from_mins(5),
            max_lifetime: std::time::Duration::from_hours(12),
            idle_confirm: std::time::Duration::from_mins(5),
            trim: false,
            rerun_interrupted: false,
            has_scale_set: false,
        },
        runner_group: "Default".to_owned(),
        scale_set: None,
        source: None,
        launch: Some(Launch {
            image,
            security_groups: Vec::new(),
            tags: [("team".to_owned(), "build".to_owned())].into(),
            user_data: UserData::BuiltIn,
            idle_timeout: std::time::Duration::from_mins(10),
            max_lifetime: std::time::Duration::from_hours(12),
        }),
    }
}

pub(crate) fn offering(market: Market, subnet: &str) -> Offering {
    Offering { market, instance_type: "m7a.large".to_owned(), subnet: subnet.to_owned() }
}

/// The planted JIT config: base64, as GitHub's are.
pub(crate) const JIT: &str = "cGxhbnRlZCBKSVQgY29uZmlnLCBzZWVuIGJ5IG5vYm9keQ==";

pub(crate) fn request(market: Market, subnet: &str) -> RunInstance {
    RunInstance {
        pool: "linux".into(),
        slot: Slot(1),
        name: "acme-linux-001".into(),
        runner_id: RunnerId(42),
        offering: offering(market, subnet),
        jit_config: SecretString::from(JIT),
    }
}

/// EC2's form of an error.
pub(crate) fn error(status: u16, code: &str, message: &str) -> (u16, String) {
    let body = format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
         <RequestID>req-1</RequestID></Response>"
    );
    (status, body)
}

/// EC2's answer to `RunInstances`.
pub(crate) fn launched(id: &str) -> (u16, String) {
    let body = format!(
        "<RunInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>req-1</requestId>\
         <instancesSet><item><instanceId>{id}</instanceId></item></instancesSet></RunInstancesResponse>"
    );
    (200, body)
}

/// EC2's answer to `DescribeImages`: (device, whether it goes with its instance) each.
pub(crate) fn image(id: &str, devices: &[(&str, &str)]) -> (u16, String) {
    let devices: Vec<String> = devices
        .iter()
        .map(|(name, goes)| {
            format!(
                "<item><deviceName>{name}</deviceName><ebs><deleteOnTermination>{goes}</deleteOnTermination>\
                 <volumeSize>8</volumeSize></ebs></item>"
            )
        })
        .collect();
    let body = format!(
        "<DescribeImagesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>req-1</requestId>\
         <imagesSet><item><imageId>{id}</imageId><blockDeviceMapping>{}</blockDeviceMapping></item></imagesSet>\
         </DescribeImagesResponse>",
        devices.concat()
    );
    (200, body)
}

/// A page of `DescribeInstances`: (id, fleet, client token) each.
pub(crate) fn page(instances: &[(&str, &str, &str)], next: Option<&str>) -> (u16, String) {
    let items: Vec<String> = instances
        .iter()
        .map(|(id, fleet, token)| {
            format!(
                "<item><instancesSet><item><instanceId>{id}</instanceId><clientToken>{token}</clientToken>\
                 <instanceState><code>16</code><name>running</name></instanceState>\
                 <tagSet><item><key>ghascale:fleet</key><value>{fleet}</value></item></tagSet>\
                 </item></instancesSet></item>"
            )
        })
        .collect();
    let next = next.map_or_else(String::new, |next| format!("<nextToken>{next}</nextToken>"));
    let body = format!(
        "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>req-1</requestId>\
         <reservationSet>{}</reservationSet>{next}</DescribeInstancesResponse>",
        items.concat()
    );
    (200, body)
}
