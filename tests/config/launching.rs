//! What a launch is given, and how much of it looking needs.

use ghascale::config::{Image, UserData};
use ghascale::engine::Market;

use super::{Desk, GOOD, changed};

#[test]
fn an_image_is_booted_or_a_launch_template_by_id_or_name() {
    let image = |line: &str| Desk::with(changed("image", line)).config().pools[0].launch.clone().unwrap().image;
    assert_eq!(image("image = \"ami-1\""), Image::Ami("ami-1".into()));
    assert_eq!(image("launch_template = \"lt-1\""), Image::LaunchTemplate("lt-1".into()));
    assert_eq!(image("launch_template = \"runners\""), Image::LaunchTemplate("runners".into()));
}

#[test]
fn offerings_are_in_the_order_of_market_then_type_then_subnet() {
    let order = |market: &str| -> Vec<String> {
        let text = changed("market", market)
            .replace("[\"m7a.large\"]", "[\"m7\", \"m6\"]")
            .replace("[\"subnet-a\"]", "[\"b\", \"a\"]");
        let offerings = Desk::with(text).config().pools[0].policy.offerings.clone();
        let market = |market| if market == Market::Spot { "spot" } else { "on-demand" };
        offerings.iter().map(|one| format!("{} {} {}", market(one.market), one.instance_type, one.subnet)).collect()
    };
    let spot = ["spot m7 b", "spot m7 a", "spot m6 b", "spot m6 a"];
    let on_demand = ["on-demand m7 b", "on-demand m7 a", "on-demand m6 b", "on-demand m6 a"];
    assert_eq!(order("market = \"spot\""), spot);
    assert_eq!(order("market = \"on-demand\""), on_demand);
    assert_eq!(order("market = \"spot-then-on-demand\""), [spot, on_demand].concat());
    assert_eq!(order(""), order("market = \"spot-then-on-demand\""));
}

#[test]
fn files_are_relative_to_the_configuration() {
    let text = changed("user_data_file", "user_data_file = \"boot/linux.sh\"");
    let desk = Desk::empty().file("etc/ghascale.toml", text).file("etc/boot/linux.sh", "#!/bin/sh\n");
    let launch = desk.flag("etc/ghascale.toml").config().pools[0].launch.clone().unwrap();
    assert_eq!(launch.user_data, UserData::File("#!/bin/sh\n".into()));
}

#[test]
fn looking_needs_no_launch_settings_and_takes_some() {
    let all =
        ["image = \"ami-0123456789abcdef0\"\n", "instance_types = [\"m7a.large\"]\n", "subnets = [\"subnet-a\"]\n"];
    for left_out in all {
        let text = GOOD.replace(left_out, "");
        let pool = Desk::with(&text).looking().config().pools.remove(0);
        assert!(pool.launch.is_none() && pool.policy.offerings.is_empty(), "{left_out}");
        assert!(Desk::with(&text).result().is_err(), "{left_out}");
    }
    let none = all.iter().fold(GOOD.to_owned(), |text, line| text.replace(line, ""));
    assert!(Desk::with(none).looking().config().pools[0].launch.is_none());
    assert!(Desk::with(GOOD).looking().config().pools[0].launch.is_some());
}

#[test]
fn what_looking_does_not_need_must_still_be_right() {
    let text = changed("image", "image = \"ubuntu\"").replace("\"subnet-a\"", "");
    let problems = Desk::with(text).looking().problems();
    assert!(problems.contains("is not an image's id") && problems.contains("pool[0].subnets"), "{problems}");
}
