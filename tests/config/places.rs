//! Where a configuration, its URL and its token come from, and which of them wins.

use ghascale::config::{Config, Credentials};
use insta::assert_snapshot;
use secrecy::ExposeSecret as _;

use super::{Desk, GOOD, changed, github};

fn token(config: &Config) -> &str {
    match &config.github.credentials {
        Credentials::Token(token) => token.expose_secret(),
        Credentials::App { .. } | Credentials::EveryInstallation { .. } => panic!("an App"),
    }
}

fn fleet(desk: &Desk) -> String {
    desk.config().ec2.unwrap().fleet.to_string()
}

#[test]
fn the_flag_beats_the_variable_beats_the_directory_beats_xdg_beats_home() {
    let of = |fleet: &str| changed("fleet", &format!("fleet = \"{fleet}\""));
    let mut desk = Desk::empty();
    for (file, name) in [
        ("flag.toml", "flag"),
        ("variable.toml", "variable"),
        ("ghascale.toml", "directory"),
        ("xdg/ghascale/ghascale.toml", "xdg"),
        ("home/.config/ghascale/ghascale.toml", "home"),
    ] {
        desk = desk.file(file, of(name));
    }
    let path = |name: &str| desk.directory.path().join(name).display().to_string();
    let (home, xdg) = (path("home"), path("xdg"));
    let desk = desk.variable("HOME", &home).variable("XDG_CONFIG_HOME", &xdg);
    let desk = desk.variable("GHASCALE_CONFIG", "variable.toml").flag("flag.toml");
    assert_eq!(fleet(&desk), "flag");
    let mut desk = desk;
    desk.request.file = None;
    assert_eq!(fleet(&desk), "variable");
    let desk = desk.variable("GHASCALE_CONFIG", "");
    assert_eq!(fleet(&desk), "directory");
    std::fs::remove_file(desk.directory.path().join("ghascale.toml")).unwrap();
    assert_eq!(fleet(&desk), "xdg");
    let desk = desk.variable("XDG_CONFIG_HOME", "xdg");
    assert_eq!(fleet(&desk), "home", "a relative XDG_CONFIG_HOME is to be ignored");
}

#[test]
fn no_file_is_needed_to_look_at_a_url() {
    let config = Desk::empty().looking().url("https://github.com/acme/").config();
    assert_eq!((config.github.url.as_str(), config.file.is_none()), ("https://github.com/acme", true));
    assert!(config.pools.is_empty() && config.ec2.is_none());
}

#[test]
fn without_file_and_url_the_way_out_is_named() {
    assert_snapshot!(Desk::empty().looking().problems());
}

#[test]
fn a_url_alone_is_not_enough_to_launch() {
    assert!(Desk::empty().url("https://github.com/acme").problems().contains("there is no configuration file"));
}

#[test]
fn a_url_flag_beats_the_file() {
    let config = Desk::with(GOOD).url("https://github.com/other").config();
    assert_eq!(config.github.scope.to_string(), "other");
    assert_eq!(config.pools.len(), 1);
}

#[test]
fn the_files_api_is_not_asked_about_another_server() {
    let text = github("url = \"https://ghe.example/acme\"\napi_url = \"https://api.ghe.example\"");
    let api = |url: &str| Desk::with(&text).url(url).config().github.api_url;
    assert_eq!(api("https://GHE.example/other"), "https://api.ghe.example");
    assert_eq!(api("https://github.com/acme"), "https://api.github.com");
}

#[test]
fn a_wrong_url_flag_is_refused_with_what_the_file_has_wrong() {
    assert_snapshot!(Desk::with(changed("max", "max = 0")).url("http://me:hunter2@github.com/acme").problems());
}

#[test]
fn github_token_comes_before_gh_token_and_blanks_are_none() {
    let desk = Desk::with(GOOD).variable("GH_TOKEN", "second").variable("GITHUB_TOKEN", " first\n");
    assert_eq!(token(&desk.config()), "first");
    for empty in ["", " \n"] {
        let desk = Desk::with(GOOD).variable("GH_TOKEN", "second").variable("GITHUB_TOKEN", empty);
        assert_eq!(token(&desk.config()), "second");
    }
    let desk = Desk::with(GOOD).variable("GITHUB_TOKEN", " ");
    assert_snapshot!(desk.problems());
}

#[test]
fn a_token_is_read_from_the_variable_or_the_file_that_is_named() {
    let named = |line: &str| Desk::with(github(&format!("url = \"https://github.com/acme\"\n{line}")));
    let desk = named("token_env = \"MINE\"").variable("MINE", "mine");
    assert_eq!(token(&desk.config()), "mine");
    let desk = named("token_file = \"token\"").file("token", "of the file\n".replace(' ', "-"));
    assert_eq!(token(&desk.config()), "of-the-file");
    assert!(named("token_file = \"token\"").file("token", " \n").problems().contains("`token` is empty"));
}

#[test]
fn a_text_that_no_header_can_hold_is_no_token() {
    for text in ["two words", "zwei\nzeilen", "schlüssel"] {
        let problems = Desk::with(GOOD).variable("GITHUB_TOKEN", text).problems();
        assert!(problems.contains("`GITHUB_TOKEN` holds more than a token"), "{problems}");
        assert!(!problems.contains(text));
        let desk = Desk::with(github("url = \"https://github.com/acme\"\ntoken_file = \"token\"")).file("token", text);
        assert!(desk.problems().contains("`token` holds more than a token"));
    }
}

#[test]
fn an_empty_file_lacks_everything() {
    assert_snapshot!(Desk::with("").problems());
}

#[test]
fn an_empty_file_and_a_url_are_enough_to_look() {
    assert!(Desk::with("").looking().url("https://github.com/acme").result().is_ok());
}

#[test]
fn a_directory_is_no_configuration() {
    assert_snapshot!(Desk::empty().flag(".").problems());
}

#[test]
fn a_file_that_was_asked_for_and_is_not_there_is_refused() {
    assert_snapshot!(Desk::with(GOOD).variable("GHASCALE_CONFIG", "none.toml").problems());
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_not_passed_over() {
    let desk = Desk::empty().file("home/.config/ghascale/ghascale.toml", GOOD);
    let home = desk.directory.path().join("home").display().to_string();
    let desk = desk.variable("HOME", &home);
    assert!(desk.result().is_ok());
    std::os::unix::fs::symlink("nowhere", desk.directory.path().join("ghascale.toml")).unwrap();
    assert!(desk.problems().contains("can't be read"), "{}", desk.problems());
}
