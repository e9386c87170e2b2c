//! A planted token, private key and JIT config appear in nothing that is printed or written.

use ghascale::sandbox::{Fault, Service};

use super::{Desk, X64};

const TOKEN: &str = "ghp_PLANTEDplantedPLANTEDplanted";

/// Returns all text of a directory's files.
fn written(directory: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&written(&path));
        } else if path.extension().is_none_or(|extension| extension != "toml") {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_shown_at_any_log_level() {
    let mut desk = Desk::open().await;
    desk.sandbox.world().token(TOKEN, None);
    desk.with("GITHUB_TOKEN", TOKEN);
    desk.with("RUST_LOG", "trace");
    desk.with("AWS_SECRET_ACCESS_KEY", "PLANTEDaws");
    desk.jobs(2, X64);
    let mut said = String::new();
    for line in [
        "status -vv",
        "status",
        "plan -vv --out today.plan",
        "plan -o json",
        "apply -vv --yes today.plan",
        "apply --yes -o json",
    ] {
        let ran = desk.run(line).await;
        assert_eq!(ran.code, 0, "{line} {ran:#?}");
        said.push_str(&ran.all());
    }
    // Failing in the middle of it says more than succeeding does.
    desk.jobs(1, X64);
    desk.sandbox.fault(Fault::github("generate-jitconfig").truncated(300));
    said.push_str(&desk.run("apply --yes -vv").await.all());
    desk.sandbox.fault(Fault::ec2("RunInstances").times(9).status(400).code("InvalidUserData.Malformed"));
    said.push_str(&desk.run("apply --yes -vv").await.all());
    desk.sandbox.world().revoke(TOKEN);
    said.push_str(&desk.run("status -vv").await.all());

    said.push_str(&written(desk.home.path()));
    assert!(said.contains("audit") || said.contains("client_token"), "the audit log was read");
    let jit = desk.sandbox.world().jit_configs();
    assert!(jit.len() >= 3 && desk.calls(Service::Github, "generate-jitconfig").len() >= 3);
    for secret in jit.iter().map(String::as_str).chain([TOKEN, "PLANTEDaws"]) {
        assert!(!said.contains(secret), "a secret was shown");
        assert!(!said.contains(&secret[..secret.len() / 2]), "half a secret was shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_not_quoted_in_what_is_wrong_with_it() {
    let desk = Desk::open().await;
    let key = "-----BEGIN RSA PRIVATE KEY-----\nPLANTEDkeyPLANTEDkey\n-----END RSA PRIVATE KEY-----\n";
    std::fs::write(desk.file("app.pem"), key).unwrap();
    let app = "[github.app]\napp_id = 1\ninstallation_id = 1\nprivate_key_file = \"app.pem\"\n";
    desk.reconfigure("token_env = \"GITHUB_TOKEN\"", app);
    let ran = desk.run("status -vv").await;
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
    assert!(ran.stderr.contains("private_key_file"), "{}", ran.stderr);
    assert!(!ran.all().contains("PLANTEDkey"), "{ran:#?}");
}
