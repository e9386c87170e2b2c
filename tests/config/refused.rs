//! One wrong line at a time, and what is drawn of it.

use insta::assert_snapshot;

use super::{Desk, GOOD, changed, github, scan};

macro_rules! refused {
    ($($name:ident: $text:expr;)+) => {
        $(#[test]
        fn $name() {
            assert_snapshot!(Desk::with($text).problems());
        })+
    };
}

refused! {
    a_url_must_not_hold_credentials: github("url = \"https://me:hunter2@github.com/acme\"");
    a_url_is_not_plain_http: github("url = \"http://github.com/acme\"");
    a_url_is_no_page_about_an_organization: github("url = \"https://github.com/orgs/acme/repositories\"");
    a_url_is_no_clones_address: github("url = \"https://github.com/acme/api.git\"");
    a_url_is_needed: github("");
    an_api_url_is_an_address: github("url = \"https://github.com/acme\"\napi_url = \"ghe.example\"");
    a_table_is_no_text: GOOD.replace("[github]\nurl", "github");
    a_github_table_is_needed: GOOD.replace("[github]\nurl = \"https://github.com/acme\"\n", "");
    an_ec2_table_is_needed_to_launch: GOOD.replace("[ec2]\nfleet = \"acme-prod\"\n", "");
    a_fleet_is_needed: changed("fleet", "");
    a_fleet_has_no_blank: changed("fleet", "fleet = \"acme prod\"");
    one_credential_is_enough: github("url = \"https://github.com/acme\"\ntoken_env = \"GITHUB_TOKEN\"\ntoken_file = \"ghascale.toml\"");
    a_named_variable_must_be_set: github("url = \"https://github.com/acme\"\ntoken_env = \"ELSEWHERE\"");
    a_file_that_is_not_there_is_named: github("url = \"https://github.com/acme\"\ntoken_file = \"none\"\nca_file = \"none.pem\"");
    an_app_needs_all_of_its_parts: github("url = \"https://github.com/acme\"\n[github.app]");
    an_app_has_one_id: github("url = \"https://github.com/acme\"\n[github.app]\napp_id = 1\nclient_id = \"Iv1.x\"\ninstallation_id = 1\nprivate_key_file = \"none.pem\"");
    an_enterprises_app_finds_its_installations: github("url = \"https://github.com/enterprises/x\"\n[github.app]\napp_id = 1\ninstallation_id = 1\nprivate_key_file = \"none.pem\"");
    a_key_is_a_key: github("url = \"https://github.com/acme\"\n[github.app]\napp_id = 1\ninstallation_id = 1\nprivate_key_file = \"ghascale.toml\"");
    a_certificate_is_a_certificate: github("url = \"https://github.com/acme\"\nca_file = \"ghascale.toml\"");
    something_must_be_scanned: scan("include = []");
    a_glob_is_a_glob: scan("exclude = [\"a[\"]");
    a_pace_is_a_number_or_auto: scan("requests_per_minute = \"outo\"");
    a_concurrency_has_bounds: scan("concurrency = 0");
    a_webhook_has_a_number: scan("hints = { organization_hook = 0 }");
    hints_come_from_somewhere: scan("hints = {}");
    hints_have_known_keys: scan("hints = { organisation_hook = 12 }");
    a_webhook_is_no_enterprises: format!("{}\n[scan]\nhints = {{ organization_hook = 12 }}\n", github("url = \"https://github.com/enterprises/x\""));
    a_repository_needs_no_webhook: format!("{}\n[scan]\nhints = {{ organization_hook = 12 }}\n", github("url = \"https://github.com/acme/api\""));
    a_number_has_no_fraction: scan("concurrency = 1.5");
    a_number_that_no_computer_holds_is_out_of_bounds: scan("concurrency = 99_999_999_999_999_999_999");
    a_job_has_some_age: scan("max_job_age = \"0s\"");
    a_duration_has_a_unit: changed("boot_timeout", "boot_timeout = \"5\"");
    a_duration_is_a_text: changed("boot_timeout", "boot_timeout = 5");
    a_duration_that_is_wrong_causes_no_other_problem: changed("boot_timeout", "boot_timeout = \"x\"\nmax_lifetime = \"2m\"");
    a_boot_ends_before_life_does: changed("max_lifetime", "max_lifetime = \"5m\"");
    a_boot_takes_a_while: changed("boot_timeout", "boot_timeout = \"29s\"");
    an_idle_runner_is_seen_late: changed("idle_confirm", "idle_confirm = \"59s\"");
    an_unknown_key_has_a_near_one: changed("max", "mx = 20");
    an_unknown_key_far_from_all_lists_them: format!("{GOOD}[github.app2]\nzzz = 1\n[ec2.x]\n");
    a_pool_needs_a_name: changed("name", "");
    a_pools_name_has_no_capitals: changed("name", "name = \"Linux\"");
    a_pool_needs_labels: changed("labels", "");
    a_pool_needs_one_label_at_least: changed("labels", "labels = []");
    a_label_has_no_comma: changed("labels", "labels = [\"linux,x64\"]");
    a_label_has_no_blanks_around: changed("labels", "labels = [\"linux \"]");
    a_label_is_not_mistaken_for_a_birth: changed("labels", "labels = [\"Ghascale-linux-x64\"]");
    a_label_is_there_once_whatever_its_case: changed("labels", "labels = [\"linux\", \"Linux\"]");
    a_label_is_a_text: changed("labels", "labels = [\"linux\", 64, \"\"]");
    a_pool_needs_a_max: changed("max", "");
    a_max_is_more_than_nothing: changed("max", "max = 0");
    a_min_idle_is_not_above_max: changed("max", "max = 2\nmin_idle = 3");
    a_source_is_one_of_three: changed("source", "source = \"scaleset\"");
    a_scale_set_as_the_source_has_a_name: changed("source", "source = \"scale-set\"");
    two_pools_have_two_scale_sets: two_pools_with_one_scale_set();
    a_market_is_one_of_three: changed("market", "market = \"ondemand\"");
    a_rerun_is_yes_or_no: changed("rerun_interrupted", "rerun_interrupted = 1");
    a_truth_is_no_text: changed("trim", "trim = \"no\"");
    an_image_is_an_ami: changed("image", "image = \"ubuntu\"");
    an_image_or_a_template_but_not_both: changed("launch_template", "launch_template = \"runners\"");
    an_image_is_needed_to_launch: changed("image", "");
    types_and_subnets_are_needed_to_launch: GOOD.replace("instance_types = [\"m7a.large\"]\nsubnets = [\"subnet-a\"]\n", "");
    an_empty_list_launches_nothing: changed("subnets", "subnets = []");
    user_data_that_is_not_there_is_named: changed("user_data_file", "user_data_file = \"boot.sh\"");
    a_tag_of_ours_is_reserved: format!("{GOOD}[pool.tags]\n\"aws:x\" = \"1\"\n\"GHASCALE:pool\" = \"2\"\nName = \"3\"\n");
    a_tag_has_a_key_and_a_text: format!("{GOOD}[pool.tags]\n\"\" = \"1\"\nteam = 2\n");
    one_pool_in_single_brackets_is_no_list: GOOD.replace("[[pool]]", "[pool]");
    an_empty_list_of_pools_launches_nothing: format!("pool = []\n{}", GOOD.split("[[pool]]").next().unwrap());
    two_pools_have_two_names: format!("{GOOD}[[pool]]\nname = \"linux-x64\"\nlabels = [\"other\"]\n");
    emoji_before_the_place_do_not_shift_it: changed("labels", "labels = [\"🦀🏳️‍🌈 日本語\", 64]");
    a_file_of_windows_is_drawn_as_any: changed("max", "max = 0").replace('\n', "\r\n");
    a_byte_order_mark_does_not_shift_the_place: format!("\u{feff}{}", changed("max", "max = 0"));
    a_tab_before_the_place_does_not_shift_it: changed("max", "\tmax\t=\t0");
    broken_toml_is_drawn: GOOD.replace("\"acme-prod\"", "\"acme-prod");
    a_key_twice_is_broken_toml: format!("{GOOD}max = 3\n");
    a_file_that_ends_too_early_is_broken_toml: "[github";
    a_file_that_is_no_text_is_refused: b"[github]\nurl = \"\xff\xfe\"\n";
}

#[test]
fn a_runner_name_has_at_most_64_characters() {
    let long = changed("name", &format!("name = \"{}\"", "a".repeat(51)));
    assert_snapshot!(Desk::with(long).problems());
    // `acme-prod-`, fifty, and `-019` are just 64.
    let short = changed("name", &format!("name = \"{}\"", "a".repeat(50)));
    assert!(Desk::with(short).result().is_ok());
}

#[test]
fn a_slot_of_four_digits_counts_in_a_runner_name() {
    let text = changed("name", &format!("name = \"{}\"", "a".repeat(50)));
    assert!(Desk::with(text.replace("max = 20", "max = 1000")).result().is_ok());
    assert!(Desk::with(text.replace("max = 20", "max = 1001")).problems().contains("more than 64 characters"));
}

#[test]
fn more_than_forty_tags_are_too_many() {
    let tags = |count| (0..count).map(|nth| format!("t{nth} = \"\"")).collect::<Vec<_>>().join("\n") + "\n";
    assert!(Desk::with(format!("{GOOD}[pool.tags]\n{}", tags(40))).result().is_ok());
    assert_snapshot!(Desk::with(format!("{GOOD}[pool.tags]\n{}", tags(41))).problems());
}

#[test]
fn everything_wrong_is_said_at_once_and_in_the_files_order() {
    let text = r#"[scan]
concurrency = 0
[github]
url = "https://github.com/acme/api/x"
tokn_env = "X"
[[pool]]
name = "a"
labels = []
max = "many"
[[pool]]
name = "a"
max = 3
min_idle = 4
market = "spt"
"#;
    assert_snapshot!(Desk::with(text).problems());
}

#[test]
fn all_is_drawn_in_colour_where_that_is_asked_for() {
    let problems = Desk::with(changed("max", "max = 0")).result().unwrap_err();
    assert!(problems.render(true).contains("\u{1b}["));
    assert!(!problems.render(false).contains('\u{1b}'));
    assert_eq!(problems.to_string(), problems.render(false));
}

#[test]
fn months_that_were_meant_as_minutes_are_refused() {
    for (key, value) in [("idle_timeout", "10M"), ("max_lifetime", "12M"), ("boot_timeout", "1month")] {
        let problems = Desk::with(changed(key, &format!("{key} = \"{value}\""))).problems();
        assert!(problems.contains("out of bounds") && problems.contains("`M` is months"), "{problems}");
    }
    assert!(Desk::with(changed("idle_timeout", "idle_timeout = \"10m\"")).result().is_ok());
}

#[test]
fn a_value_cannot_speak_to_the_terminal() {
    let problems = Desk::with(changed("name", r#"name = "\u001b]0;x\u0007""#)).problems();
    assert!(problems.contains('\u{fffd}') && !problems.contains(['\u{1b}', '\u{7}']), "{problems:?}");
}

/// Two pools whose runners would be registered in one scale set; group names have no case.
fn two_pools_with_one_scale_set() -> String {
    let first = format!("{GOOD}runner_group = \"GPU\"\nscale_set = \"x\"\n");
    let second = GOOD.split_once("[[pool]]").unwrap().1.replace("linux-x64", "other");
    format!("{first}\n[[pool]]{second}runner_group = \"gpu\"\nscale_set = \"X\"\n")
}
