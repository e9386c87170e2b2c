//! No secret is in what is shown, wherever it was written.

use super::{Desk, GOOD, TOKEN, app_key, changed, github};

/// What GitHub's tokens looked like before they had prefixes.
const CLASSIC: &str = "0123456789abcdef0123456789abcdef01234567";

/// A line of the key that is in no other.
fn key_line() -> &'static str {
    app_key().lines().nth(3).unwrap()
}

#[test]
fn a_configuration_shows_neither_token_nor_key() {
    let shown = format!("{:?}", Desk::with(GOOD).config());
    assert!(!shown.contains(TOKEN));
    let app = "url = \"https://github.com/acme\"\n[github.app]\napp_id = 1\ninstallation_id = 1\nprivate_key_file = \"app.pem\"";
    let shown = format!("{:?}", Desk::with(github(app)).file("app.pem", app_key()).config());
    assert!(shown.contains("installation_id") && !shown.contains(key_line()), "{shown}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_drawn() {
    let key = app_key().replace('\n', "\\n");
    for line in [
        format!("token_env = \"{TOKEN}\""),
        format!("token = \"{TOKEN}\""),
        format!("token_file = \"{TOKEN}\""),
        format!("token_env = \"{TOKEN}"),
        format!("{TOKEN} = 1"),
        "token = \"hunter2hunter2\"".to_owned(),
        "github_token = \"hunter2hunter2\"".to_owned(),
        "Client-Secret = \"hunter2hunter2\"".to_owned(),
        format!("token_env = \"{CLASSIC}\""),
        format!("elsewhere = \"{CLASSIC}\""),
        "password = 'hunter2hunter2'".to_owned(),
        "app = { private_key = \"hunter2hunter2\" }".to_owned(),
        "api_url = \"https://me:hunter2hunter2@ghe.example\"".to_owned(),
        format!("app = \"{key}\""),
        format!("private_key_file = \"\"\"{}\"\"\"", app_key()),
    ] {
        let text = github(&format!("url = \"https://github.com/acme\"\n{line}"));
        let problems = Desk::with(text).result().expect_err(&line);
        let shown = format!("{problems:?} {problems} {}", problems.render(true));
        for secret in [TOKEN, CLASSIC, "hunter2hunter2", key_line()] {
            assert!(!shown.contains(secret), "{line}\n{problems}");
        }
    }
}

#[test]
fn a_broken_key_is_not_quoted() {
    let app = "url = \"https://github.com/acme\"\n[github.app]\napp_id = 1\ninstallation_id = 1\nprivate_key_file = \"app.pem\"";
    let broken = app_key().lines().take(5).collect::<Vec<_>>().join("\n");
    let problems = Desk::with(github(app)).file("app.pem", broken).result().unwrap_err();
    assert!(problems.to_string().contains("`app.pem` holds no RSA private key"), "{problems}");
    assert!(!format!("{problems:?} {problems}").contains(key_line()));
}

#[test]
fn other_problems_show_no_token() {
    let problems = Desk::with(changed("max", "max = 0")).result().unwrap_err();
    assert!(!format!("{problems:?} {problems}").contains(TOKEN));
}
