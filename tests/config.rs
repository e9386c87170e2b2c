//! The configuration: what is refused, how it is said, and what comes out of what is accepted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ghascale::config::{AppIssuer, Config, Credentials, Environment, Image, Needs, Problems, Request, UserData, load};
use ghascale::engine::{Market, Scope};
use ghascale::warning::WarningCode;
use insta::assert_snapshot;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use crate::keys::private_key;

const GOOD: &str = r#"
[github]
url = "https://github.com/acme"

[ec2]
region = "eu-north-1"
fleet = "acme-prod"

[[pool]]
name = "linux-x64"
labels = ["self-hosted", "linux", "x64"]
max = 20
image = "ami-0123456789abcdef0"
instance_types = ["m7a.large", "m6a.large"]
subnets = ["subnet-a", "subnet-b"]
security_groups = ["sg-1"]
"#;

/// A directory with a configuration, and an environment around it.
struct Place {
    home: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Place {
    fn with(text: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("ghascale.toml"), text).unwrap();
        Self { home, variables: [("GITHUB_TOKEN".to_owned(), "ghp_PLANTED".to_owned())].into() }
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.home.path().join(name), text).unwrap();
        self
    }

    fn request(&self, needs: Needs) -> Request {
        let environment = Environment { variables: self.variables.clone(), directory: self.home.path().to_owned() };
        Request { file: None, url: None, environment, needs }
    }

    fn load(&self) -> Result<Config, Problems> {
        load(&self.request(Needs::Launch))
    }

    /// Returns what is wrong, with the directory's name left out.
    fn problems(&self) -> String {
        let problems = self.load().unwrap_err().render(false);
        problems.replace(&self.home.path().display().to_string(), "")
    }
}

/// Returns what is wrong with the good file once a line is replaced; a line that isn't there is added at the end.
fn wrong(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    Place::with(&GOOD.replace(from, to)).problems()
}

fn good(from: &str, to: &str) -> Config {
    assert!(GOOD.contains(from), "{from}");
    Place::with(&GOOD.replace(from, to)).load().unwrap()
}

// --- how it is said -------------------------------------------------------------------------------------------------

#[test]
fn everything_is_said_in_one_go_in_the_files_order() {
    let text = GOOD
        .replace("[github]", "colour = \"red\"\n[github]\ntoken_evn = \"X\"")
        .replace("max = 20", "max = \"twenty\"\nmin_idle = -1\nboot_timeout = \"soon\"")
        .replace("subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = [\"subnet-a\", 7, \"subnet-a\"]");
    assert_snapshot!(Place::with(&text).problems());
}

#[test]
fn a_word_that_is_nearly_right_is_named() {
    assert_snapshot!(wrong("max = 20", "max = 20\nmarket = \"spot-than-on-demand\""));
}

#[test]
fn what_is_no_toml_is_drawn_where_it_breaks() {
    assert_snapshot!(wrong("max = 20", "max = = 20"));
}

#[test]
fn wide_characters_before_the_place_do_not_move_it() {
    assert_snapshot!(wrong("max = 20", "runner_group = \"🦀 crew\" # 🦀🦀\nmax = 0"));
}

// --- what is refused ------------------------------------------------------------------------------------------------

/// Each: what is replaced by what, and a part of what is said.
#[test]
fn each_wrong_value_has_its_word() {
    let cases = [
        ("max = 20", "max = 20\nmin_idle = 21", "21 is more than `max`, 20"),
        ("max = 20", "max = 0", "0 is out of bounds"),
        ("max = 20", "max = 20001", "out of bounds"),
        ("max = 20", "", "`pool[0].max` is missing"),
        ("max = 20", "max = 20.5", "expected a whole number, found a number with a fraction"),
        ("max = 20", "max = 20\ntrim = \"no\"", "expected true or false, found a text"),
        ("max = 20", "max = 20\nidle_timeout = \"0s\"", "out of bounds"),
        ("max = 20", "max = 20\nidle_timeout = 5", "expected a text in quotes, found a whole number"),
        ("max = 20", "max = 20\nboot_timeout = \"13h\"", "must be shorter than `max_lifetime`"),
        ("max = 20", "max = 20\nboot_timeout = \"5s\"", "no instance boots in less"),
        ("max = 20", "max = 20\nidle_confirm = \"5s\"", "at least 1m"),
        ("max = 20", "max = 20\nsource = \"scale-set\"", "reads demand from the REST API only"),
        ("max = 20", "max = 20\nlaunch_template = \"lt-1\"", "exclude each other"),
        ("max = 20", "max = 20\nuser_data_file = \"none.sh\"", "none.sh can't be read"),
        ("max = 20", "max = 20\n[pool.tags]\n\"ghascale:pool\" = \"x\"", "not the pool's to set"),
        ("max = 20", "max = 20\n[pool.tags]\n\"aws:x\" = \"x\"", "not the pool's to set"),
        ("max = 20", "max = 20\n[pool.tags]\nName = \"x\"", "not the pool's to set"),
        ("max = 20", "max = 20\n[pool.tags]\nteam = 7", "expected a text in quotes"),
        ("name = \"linux-x64\"", "name = \"Linux x64\"", "is not a pool's name"),
        ("name = \"linux-x64\"", "", "`pool[0].name` is missing"),
        (
            "name = \"linux-x64\"",
            "name = \"a-pool-with-a-name-that-is-far-too-long-for-a-runner-name\"",
            "more than 64 characters",
        ),
        ("[\"self-hosted\", \"linux\", \"x64\"]", "[]", "must not be empty"),
        ("[\"self-hosted\", \"linux\", \"x64\"]", "[\"linux\", \"LINUX\"]", "has `LINUX` twice"),
        ("[\"self-hosted\", \"linux\", \"x64\"]", "\"linux\"", "expected a list of texts, found a text"),
        ("image = \"ami-0123456789abcdef0\"", "image = \"ubuntu\"", "is not an image's id"),
        ("image = \"ami-0123456789abcdef0\"", "", "`pool[0].image` is missing"),
        ("instance_types = [\"m7a.large\", \"m6a.large\"]", "", "`pool[0].instance_types` is missing"),
        ("subnets = [\"subnet-a\", \"subnet-b\"]", "subnets = []", "must not be empty"),
        ("fleet = \"acme-prod\"", "fleet = \"acme prod\"", "is not a fleet's name"),
        ("fleet = \"acme-prod\"", "", "`ec2.fleet` is missing"),
        ("https://github.com/acme", "https://github.com/enterprises/acme", "this version can't scan"),
        ("https://github.com/acme", "http://github.com/acme", "plain http"),
        ("https://github.com/acme", "https://me:PLANTED@github.com/acme", "must not hold credentials"),
        ("https://github.com/acme\"", "https://github.com/acme\"\napi_url = \"http://ghe/api/v3\"", "plain http"),
        ("https://github.com/acme\"", "https://github.com/acme\"\ntoken_env = \"NOT_SET\"", "`NOT_SET` is not set"),
        ("https://github.com/acme\"", "https://github.com/acme\"\ntoken_file = \"none\"", "none can't be read"),
        ("https://github.com/acme\"", "https://github.com/acme\"\nca_file = \"none.pem\"", "none.pem can't be read"),
        (
            "https://github.com/acme\"",
            "https://github.com/acme\"\ntoken_env = \"GITHUB_TOKEN\"\ntoken_file = \"x\"",
            "exclude each other",
        ),
        ("[ec2]", "[scan]\nconcurrency = 0\n[ec2]", "out of bounds"),
        ("[ec2]", "[scan]\ninclude = [\"a[\"]\n[ec2]", "is not a glob"),
        ("[ec2]", "[scan]\nrequests_per_minute = \"fast\"\n[ec2]", "allowed: `auto`"),
        (
            "[ec2]",
            "[[pool]]\nname = \"linux-x64\"\nlabels = [\"a\"]\nmax = 1\nimage = \"ami-1\"\ninstance_types = [\"t\"]\nsubnets = [\"s\"]\n[ec2]",
            "two pools `linux-x64`",
        ),
    ];
    for (from, to, said) in cases {
        let problems = wrong(from, to);
        assert!(problems.contains(said), "{to}: expected {said:?} in\n{problems}");
        assert!(!problems.contains("PLANTED"), "{problems}");
        assert!(problems.contains("ghascale.toml:") || problems.contains("missing"), "{to}: where?\n{problems}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let place = Place::with(GOOD);
    for (file, said) in [("none.toml", "none.toml can't be read"), (".", "can't be read")] {
        let request = Request { file: Some(PathBuf::from(file)), ..place.request(Needs::Look) };
        let problems = load(&request).unwrap_err().to_string();
        assert!(problems.contains(said), "{problems}");
    }
    std::fs::write(place.home.path().join("latin1.toml"), b"x = \"\xe9\"").unwrap();
    let request = Request { file: Some(PathBuf::from("latin1.toml")), ..place.request(Needs::Look) };
    assert!(load(&request).unwrap_err().to_string().contains("can't be read"));
}

#[test]
fn a_key_file_that_holds_none_is_refused_without_its_content() {
    let app =
        "https://github.com/acme\"\n[github.app]\napp_id = 1\ninstallation_id = 2\nprivate_key_file = \"app.pem\"\n#";
    let text = GOOD.replace("https://github.com/acme\"", app);
    let problems = Place::with(&text).file("app.pem", "PLANTED no key").problems();
    assert!(problems.contains("app.pem holds no RSA private key in PEM form"), "{problems}");
    assert!(!problems.contains("PLANTED"), "{problems}");
    let problems = Place::with(&text).problems();
    assert!(problems.contains("app.pem can't be read"), "{problems}");
}

#[test]
fn no_file_and_no_url_says_how_to_look_without() {
    let place = Place::with(GOOD);
    std::fs::remove_file(place.home.path().join("ghascale.toml")).unwrap();
    let problems = load(&place.request(Needs::Look)).unwrap_err().to_string();
    assert!(problems.contains("ghascale --url https://github.com/ORG status"), "{problems}");
}

#[test]
fn no_token_anywhere_is_said() {
    let mut place = Place::with(GOOD);
    place.variables.clear();
    assert!(place.problems().contains("neither `GITHUB_TOKEN` nor `GH_TOKEN` is set"));
}

// --- what is accepted -----------------------------------------------------------------------------------------------

#[test]
fn what_is_not_said_has_its_default() {
    let config = Place::with(GOOD).load().unwrap();
    let pool = &config.pools[0];
    assert_eq!((pool.policy.min_idle, pool.policy.priority, pool.trim), (0, 0, false));
    assert_eq!((pool.policy.boot_timeout, pool.policy.idle_confirm), (Duration::from_mins(5), Duration::from_mins(5)));
    let launch = pool.launch.as_ref().unwrap();
    assert_eq!((launch.idle_timeout, launch.max_lifetime), (Duration::from_mins(10), Duration::from_hours(12)));
    assert_eq!((&launch.user_data, &launch.image), (&UserData::BuiltIn, &Image::Ami("ami-0123456789abcdef0".into())));
    assert_eq!((config.scan.concurrency, config.scan.max_job_age), (16, Duration::from_hours(24)));
    assert_eq!((config.github.scope.clone(), config.warnings.len()), (Scope::Organization("acme".into()), 0));
    assert_eq!(config.github.api_url, "https://api.github.com");
}

#[test]
fn offerings_go_by_market_then_type_then_subnet() {
    let offerings = |market: &str| -> Vec<String> {
        let config = good("max = 20", &format!("max = 20\nmarket = \"{market}\""));
        config.pools[0].policy.offerings.iter().map(ToString::to_string).collect()
    };
    let both = offerings("spot-then-on-demand");
    assert_eq!(both.len(), 8);
    assert_eq!(both[..3], ["spot m7a.large subnet-a", "spot m7a.large subnet-b", "spot m6a.large subnet-a"]);
    assert!(both[4..].iter().all(|one| one.starts_with("on-demand")));
    assert!(offerings("spot").iter().all(|one| one.starts_with("spot")));
    assert_eq!(
        good("max = 20", "max = 20\nmarket = \"on-demand\"").pools[0].policy.offerings[0].market,
        Market::OnDemand
    );
}

#[test]
fn a_flag_beats_the_environment_and_that_the_places() {
    let place = Place::with(GOOD)
        .file("flag.toml", &GOOD.replace("acme\"", "flag\""))
        .file("variable.toml", &GOOD.replace("acme\"", "variable\""));
    let scope = |place: &Place, file: Option<&str>, url: Option<&str>| {
        let mut request = place.request(Needs::Look);
        (request.file, request.url) = (file.map(PathBuf::from), url.map(str::to_owned));
        load(&request).unwrap().github.scope.to_string()
    };
    assert_eq!(scope(&place, None, None), "acme");
    let place = place.set("GHASCALE_CONFIG", "variable.toml");
    assert_eq!(scope(&place, None, None), "variable");
    assert_eq!(scope(&place, Some("flag.toml"), None), "flag");
    assert_eq!(scope(&place, Some("flag.toml"), Some("https://github.com/url/repo")), "url/repo");
}

#[test]
fn the_users_own_configuration_comes_last() {
    let place = Place::with(GOOD);
    let folder = place.home.path().join("xdg/ghascale");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::rename(place.home.path().join("ghascale.toml"), folder.join("ghascale.toml")).unwrap();
    let xdg = place.home.path().join("xdg").display().to_string();
    assert!(place.set("XDG_CONFIG_HOME", &xdg).load().is_ok());
}

#[test]
fn tokens_come_from_where_they_are_named() {
    let token = |place: &Place| match place.load().unwrap().github.credentials {
        Credentials::Token(token) => token.expose_secret().to_owned(),
        Credentials::App { .. } => panic!("an App"),
    };
    assert_eq!(token(&Place::with(GOOD).set("GH_TOKEN", "second")), "ghp_PLANTED");
    let mut place = Place::with(GOOD).set("GH_TOKEN", "second");
    place.variables.remove("GITHUB_TOKEN");
    assert_eq!(token(&place), "second");
    let text = GOOD.replace("acme\"", "acme\"\ntoken_file = \"token\"");
    assert_eq!(token(&Place::with(&text).file("token", "of-the-file\n")), "of-the-file");
    let text = GOOD.replace("acme\"", "acme\"\ntoken_env = \"MINE\"");
    assert_eq!(token(&Place::with(&text).set("MINE", "of-mine")), "of-mine");
}

#[test]
fn an_app_is_known_by_its_id_or_its_client_id() {
    for (key, expected) in
        [("app_id = 7", AppIssuer::AppId(7)), ("client_id = \"Iv1.x\"", AppIssuer::ClientId("Iv1.x".into()))]
    {
        let app = format!("acme\"\n[github.app]\n{key}\ninstallation_id = 2\nprivate_key_file = \"app.pem\"\n#");
        let key = private_key();
        let config = Place::with(&GOOD.replace("acme\"", &app)).file("app.pem", &key).load().unwrap();
        let shown = format!("{config:?}");
        let Credentials::App { issuer, installation_id, .. } = config.github.credentials else { panic!("no App") };
        assert_eq!((issuer, installation_id), (expected, 2));
        assert!(!shown.contains(&key[40..80]) && !shown.contains("PRIVATE"), "{shown}");
    }
}

#[test]
fn a_launch_template_takes_the_images_place() {
    let config = good("image = \"ami-0123456789abcdef0\"", "launch_template = \"runner\"");
    assert_eq!(config.pools[0].launch.as_ref().unwrap().image, Image::LaunchTemplate("runner".into()));
}

#[test]
fn to_look_a_pool_needs_no_launch_settings() {
    let bare = GOOD[..GOOD.find("image =").unwrap()].to_owned();
    let place = Place::with(&bare);
    assert!(load(&place.request(Needs::Look)).unwrap().pools[0].launch.is_none());
    assert!(place.problems().contains("`pool[0].image` is missing"));
    let half = Place::with(&(bare + "subnets = [\"s\"]\n"));
    assert!(load(&half.request(Needs::Look)).is_ok());
    assert!(half.load().is_err());
}

#[test]
fn pools_that_overlap_are_warned_about_once_a_pair() {
    let second = |labels: &str| {
        let pool = GOOD[GOOD.find("[[pool]]").unwrap()..].replace("linux-x64", "second");
        format!("{GOOD}{}", pool.replace("[\"self-hosted\", \"linux\", \"x64\"]", labels))
    };
    let count = |labels: &str| {
        let warnings = Place::with(&second(labels)).load().unwrap().warnings;
        warnings.iter().filter(|warning| warning.code == WarningCode::OverlappingPools).count()
    };
    assert_eq!(count("[\"linux\", \"arm64\"]"), 0);
    assert_eq!(count("[\"Self-Hosted\", \"linux\", \"x64\", \"gpu\"]"), 1);
    assert_eq!(count("[\"x64\", \"linux\", \"self-hosted\"]"), 1);
}

#[test]
fn the_digest_follows_what_decides_and_nothing_else() {
    let digest = |text: &str| Place::with(text).load().unwrap().digest;
    let first = digest(GOOD);
    assert_eq!(
        digest(&GOOD.replace("\"linux\", \"x64\"", "\"X64\", \"Linux\"")),
        first,
        "labels are a set without case"
    );
    assert_eq!(Place::with(GOOD).set("GITHUB_TOKEN", "another").load().unwrap().digest, first, "no secret is in it");
    for (from, to) in [
        ("max = 20", "max = 21"),
        ("max = 20", "max = 20\nmin_idle = 1"),
        ("max = 20", "max = 20\nboot_timeout = \"6m\""),
        ("max = 20", "max = 20\nmarket = \"spot\""),
        ("\"sg-1\"]", "\"sg-1\"]\n[pool.tags]\na = \"b\""),
        ("ami-0123456789abcdef0", "ami-0123456789abcdef1"),
        ("\"sg-1\"", "\"sg-2\""),
        ("acme-prod", "acme-test"),
        ("github.com/acme", "github.com/other"),
        ("[ec2]", "[scan]\nexclude = [\"x\"]\n[ec2]"),
    ] {
        assert_ne!(digest(&GOOD.replace(from, to)), first, "{to}");
    }
    let text = GOOD.replace("max = 20", "max = 20\nuser_data_file = \"boot.sh\"");
    let with = |script| Place::with(&text).file("boot.sh", script).load().unwrap().digest;
    assert_ne!(with("one"), with("two"));
}

// --- anything at all ------------------------------------------------------------------------------------------------

fn survives(text: &str) {
    let place = Place::with(text);
    for needs in [Needs::Look, Needs::Launch] {
        if let Err(problems) = load(&place.request(needs)) {
            assert!(!problems.render(true).is_empty());
            assert!(!problems.render(false).contains("ghp_PLANTED"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        survives(&text);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_it_panic(at in 0..GOOD.len(), length in 0..40_usize, by in "[\\[\\]=\"'.,\\n0-9a-zé🦀-]{0,12}") {
        prop_assume!(GOOD.is_char_boundary(at));
        let end = (at + length).min(GOOD.len());
        survives(&format!("{}{by}{}", &GOOD[..at], &GOOD[end..]));
    }
}

#[test]
fn an_empty_file_and_odd_line_ends_are_survived() {
    for text in ["", "\u{feff}", "\r\n\r\n", &GOOD.replace('\n', "\r\n"), &format!("\u{feff}{GOOD}")] {
        survives(text);
    }
    assert!(Place::with(&GOOD.replace('\n', "\r\n")).load().is_ok());
}
