//! `github.url` -> the scope and the REST base.

use http::Uri;

use crate::engine::{RepositoryName, Scope};

/// What a configuration's URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The URL, without a trailing slash.
    pub(super) url: String,
    /// Host and port, in lower case.
    pub(super) authority: String,
    pub(super) scope: Scope,
    /// The REST base, without a trailing slash.
    pub(super) api_url: String,
}

/// Reads `https://github.com/acme`, `https://github.com/acme/api`, `https://ghe.example/enterprises/x`.
///
/// github.com's API is at `api.github.com`, data residency's (`*.ghe.com`) at `api.HOST`, and a GitHub Enterprise
/// Server's at `HOST/api/v3`.
pub(super) fn parse(url: &str) -> Result<Address, String> {
    let url = url.trim().trim_end_matches('/').to_owned();
    let uri = web(&url)?;
    let host = uri.host().unwrap_or_default().to_lowercase();
    let authority = uri.authority().map_or("", |authority| authority.as_str()).to_lowercase();
    let scheme = uri.scheme_str().unwrap_or("https");
    let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    if let Some(site) = authority.strip_prefix("api.")
        && (host == "api.github.com" || host.ends_with(".ghe.com"))
    {
        let kind = usize::from(segments.first().is_some_and(|first| ["orgs", "repos"].contains(first)));
        let name = segments[kind..].join("/");
        return Err(format!("is the API's address, which is found by itself: name `{scheme}://{site}/{name}`"));
    }
    let is_page = |name: &str| ["orgs", "enterprises"].iter().any(|page| name.eq_ignore_ascii_case(page));
    let scope = match segments[..] {
        [organization] if is_name(organization) && !is_page(organization) => {
            Scope::Organization(organization.to_owned())
        }
        [enterprises, name] if enterprises.eq_ignore_ascii_case("enterprises") && is_name(name) => {
            Scope::Enterprise(name.to_owned())
        }
        // How GitHub's own pages about an organization begin; no owner can have that name.
        [orgs, name, ..] if orgs.eq_ignore_ascii_case("orgs") => {
            return Err(format!("is a page about an organization: name it `{scheme}://{authority}/{name}`"));
        }
        // What `git clone` takes; no repository's name can end so.
        [owner, name] if let Some(name) = name.strip_suffix(".git") => {
            return Err(format!("is a clone's address: name it `{scheme}://{authority}/{owner}/{name}`"));
        }
        [owner, name] if is_name(owner) && is_name(name) => {
            Scope::Repository(RepositoryName::new(format!("{owner}/{name}")))
        }
        _ => return Err(
            "must name an organization, `https://github.com/acme`, a repository, `https://github.com/acme/api`, or an \
                enterprise, `https://github.com/enterprises/x`"
                .to_owned(),
        ),
    };
    // By host and port: what answers at another port of that name is not github.com, and must not be taken for it.
    let api_url = match authority.strip_suffix(":443").unwrap_or(&authority) {
        "github.com" | "www.github.com" => "https://api.github.com".to_owned(),
        _ if host.ends_with(".ghe.com") => format!("{scheme}://api.{authority}"),
        _ => format!("{scheme}://{authority}/api/v3"),
    };
    Ok(Address { url, authority, scope, api_url })
}

/// Reads an address that credentials may be sent to: https, or http on loopback.
pub(super) fn web(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("is not an address: {error}"))?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return Err("is not an address: it needs a scheme and a host, `https://…`".to_owned());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must not hold credentials: name a token by `token_env` or `token_file`".to_owned());
    }
    // `http::Uri` drops a fragment without a word.
    if uri.query().is_some() || url.contains('#') {
        return Err("must not have a query or a fragment".to_owned());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err("is plain http, which is refused except on loopback: use `https://`".to_owned()),
        _ => Err("must begin with `https://`".to_owned()),
    }
}

/// Returns whether a host is this machine: 127.0.0.0/8, `[::1]`, `localhost`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_name(segment: &str) -> bool {
    segment != "."
        && segment != ".."
        && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: &str) -> String {
        parse(url).unwrap().api_url
    }

    #[test]
    fn each_edition_has_its_own_api_host() {
        assert_eq!(api("https://github.com/acme"), "https://api.github.com");
        assert_eq!(api("https://www.github.com/acme/"), "https://api.github.com");
        assert_eq!(api("https://GitHub.com:443/acme"), "https://api.github.com");
        assert_eq!(api("https://github.com:8443/acme"), "https://github.com:8443/api/v3");
        assert_eq!(api("https://corp.ghe.com/acme"), "https://api.corp.ghe.com");
        assert_eq!(api("https://ghe.example:8443/acme"), "https://ghe.example:8443/api/v3");
        assert_eq!(api("http://127.0.0.1:7777/acme"), "http://127.0.0.1:7777/api/v3");
        assert_eq!(api("http://[::1]:7777/acme"), "http://[::1]:7777/api/v3");
    }

    #[test]
    fn the_path_names_the_scope() {
        let scope = |url: &str| parse(url).unwrap().scope.to_string();
        assert_eq!(scope("https://github.com/acme/"), "acme");
        assert_eq!(scope("https://github.com/acme/api"), "acme/api");
        assert_eq!(scope("https://github.com/Enterprises/x"), "enterprises/x");
    }

    #[test]
    fn the_apis_address_is_refused_with_the_one_that_is_meant() {
        for path in ["acme", "orgs/acme"] {
            let said = parse(&format!("https://api.github.com/{path}")).unwrap_err();
            assert!(said.ends_with("name `https://github.com/acme`"), "{said}");
        }
        assert_eq!(api("https://api.example/acme"), "https://api.example/api/v3", "a server may be named so");
    }

    #[test]
    fn what_is_no_scope_or_no_safe_address_is_refused() {
        for url in [
            "https://github.com",
            "https://github.com/a/b/c",
            "github.com/acme",
            "http://github.com/acme",
            "http://127.0.0.1.example/acme",
            "https://user:secret@github.com/acme",
            "ftp://github.com/acme",
            "https://github.com/acme?x=1",
            "https://github.com/acme#x",
            "https://github.com/orgs/acme",
            "https://github.com/orgs/acme/repositories",
            "https://github.com/enterprises",
            "https://api.github.com/acme",
            "https://api.corp.ghe.com/acme",
            "https://github.com/acme/api.git",
            "https://github.com/a%2Fb",
            "https://github.com/..",
            "",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
