//! `[[pool]]`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::problem::Problem;
use super::reader::{At, Table};
use super::{Image, Launch, Needs, Pool, UserData};
use crate::engine::{self, FleetName, Label, Market, Offering, PoolName, RunnerName, Slot, Source};
use crate::files::{self, LARGEST_SETTING};

/// GitHub's limit of a runner's name.
const LONGEST_NAME: usize = 64;
/// GitHub's limit of runners in a group.
const MOST_RUNNERS: i64 = 10_000;
/// GitHub's limit for a just-in-time runner is 100; the label of its birth is one of them.
const MOST_LABELS: usize = 99;
/// How the label of a runner's birth begins ([`engine::birth_label`]); `ghascale-linux-x64` would be a birth in 1971, and
/// its runner an orphan at once.
const BIRTH: &str = "ghascale-";
/// EC2 allows 50 tags; ours take up to ten.
const MOST_TAGS: usize = 40;

/// One pool's table, read.
pub(super) struct Read {
    /// Its name, to be compared with the others'.
    pub(super) name: Option<At<PoolName>>,
    /// Its scale set, to be compared with the others'.
    pub(super) scale_set: Option<At<String>>,
    /// All of it; `None` where it can't be made out at all.
    pub(super) pool: Option<Pool>,
}

/// Reads one pool.
pub(super) fn read(table: &Table<'_>, fleet: Option<&FleetName>, needs: Needs, folder: &Path) -> Read {
    let name = name(table);
    let labels = labels(table);
    let runner_group = table.text("runner_group").map_or_else(|| "Default".to_owned(), |group| group.value);
    let scale_set = table.text("scale_set");
    let source = source(table, table.has("scale_set"));
    let min_idle = table.integer("min_idle", 0..=MOST_RUNNERS);
    let max = table.integer("max", 1..=MOST_RUNNERS);
    if max.is_none() && !table.has("max") {
        table.missing("max", "say how many runners may exist at once, `max = 20`");
    }
    if let (Some(min_idle), Some(max)) = (&min_idle, &max)
        && min_idle.value > max.value
    {
        let what = format!("{} is more than `max`, {}", min_idle.value, max.value);
        table.wrong("min_idle", min_idle, what, "lower it, or raise `max`");
    }
    let priority = table.integer("priority", -1_000_000..=1_000_000).map_or(0, |priority| priority.value);
    let times = Times::read(table);
    let trim = table.boolean("trim").is_some_and(|trim| trim.value);
    let rerun_interrupted = table.boolean("rerun_interrupted").is_some_and(|rerun| rerun.value);
    let (launch, offerings) = launch(table, &times, needs, folder);
    table.finish();

    if let (Some(fleet), Some(name)) = (fleet, &name) {
        let highest = max.as_ref().and_then(|max| u32::try_from(max.value - 1).ok()).unwrap_or(0);
        let longest = RunnerName::of(fleet, &name.value, Slot(highest));
        if longest.as_str().len() > LONGEST_NAME {
            let what = format!("the runner name `{longest}` has more than {LONGEST_NAME} characters");
            table.wrong("name", name, what, "shorten it, or `ec2.fleet`");
        }
    }
    let (Some(of), Some(max)) = (name.as_ref(), max) else { return Read { name, scale_set, pool: None } };
    let pool = Pool {
        policy: engine::Pool {
            name: of.value.clone(),
            labels,
            min_idle: min_idle.and_then(|number| u32::try_from(number.value).ok()).unwrap_or(0),
            max: u32::try_from(max.value).unwrap_or(0),
            priority,
            offerings,
            boot_timeout: times.boot_timeout,
            max_lifetime: times.max_lifetime,
            idle_confirm: times.idle_confirm,
            trim,
            rerun_interrupted,
            has_scale_set: scale_set.is_some(),
        },
        runner_group,
        scale_set: scale_set.as_ref().map(|name| name.value.clone()),
        source,
        launch,
    };
    Read { name, scale_set, pool: Some(pool) }
}

fn name(table: &Table<'_>) -> Option<At<PoolName>> {
    let Some(name) = table.text("name") else {
        if !table.has("name") {
            table.missing("name", "give the pool a name, `name = \"linux-x64\"`");
        }
        return None;
    };
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.value.chars().all(is_allowed) || name.value.starts_with('-') || name.value.ends_with('-') {
        table.wrong("name", &name, format!("`{}` is not a pool's name", name.value), "allowed: a-z, 0-9 and - within");
        return None;
    }
    Some(At { value: PoolName::new(name.value), span: name.span })
}

fn labels(table: &Table<'_>) -> Vec<Label> {
    let Some(labels) = table.texts("labels", str::to_lowercase) else {
        if !table.has("labels") {
            table.missing("labels", "list the labels of its runners, `labels = [\"self-hosted\", \"linux\", \"x64\"]`");
        }
        return Vec::new();
    };
    if labels.value.is_empty() {
        table.wrong("labels", &labels, "must not be empty", "a pool without labels takes no job");
    }
    for label in &labels.value {
        if label.value.chars().count() > 256 || label.value.contains(',') {
            table.wrong("labels", label, "a label has at most 256 characters and no comma", "not a label");
        } else if label.value.trim() != label.value {
            table.wrong("labels", label, "a label has no blanks around it: no job could ask for it", "not a label");
        } else if label.value.to_lowercase().starts_with(BIRTH) {
            let what = format!("a label in `{BIRTH}` would be read as the time of the runner's registration");
            table.wrong("labels", label, what, "reserved");
        }
    }
    if labels.value.len() > MOST_LABELS {
        table.wrong("labels", &labels, format!("a runner has at most {MOST_LABELS} labels"), "too many");
    }
    labels.value.into_iter().map(|label| Label::new(label.value)).collect()
}

fn source(table: &Table<'_>, has_scale_set: bool) -> Option<Source> {
    let words = [("auto", None), ("rest", Some(Source::Rest)), ("scale-set", Some(Source::ScaleSet))];
    let source = table.word("source", &words)?;
    if source.value == Some(Source::ScaleSet) && !has_scale_set {
        let what = "`scale-set` needs a scale set: name it, `scale_set = \"linux-x64\"`";
        table.wrong("source", &source, what, "no `scale_set` to read");
    }
    source.value
}

struct Times {
    boot_timeout: Duration,
    idle_timeout: Duration,
    max_lifetime: Duration,
    idle_confirm: Duration,
}

impl Times {
    fn read(table: &Table<'_>) -> Self {
        let boot = table.duration("boot_timeout");
        let idle = table.duration("idle_timeout");
        let life = table.duration("max_lifetime");
        let confirm = table.duration("idle_confirm");
        let or = |at: &Option<At<Duration>>, default| at.as_ref().map_or(default, |at| at.value);
        let times = Self {
            boot_timeout: or(&boot, Duration::from_mins(5)),
            idle_timeout: or(&idle, Duration::from_mins(10)),
            max_lifetime: or(&life, Duration::from_hours(12)),
            idle_confirm: or(&confirm, Duration::from_mins(5)),
        };
        let is_read = |key, at: &Option<At<Duration>>| at.is_some() || !table.has(key);
        if is_read("boot_timeout", &boot)
            && is_read("max_lifetime", &life)
            && times.boot_timeout >= times.max_lifetime
            && let Some(at) = boot.as_ref().or(life.as_ref())
        {
            let key = if boot.is_some() { "boot_timeout" } else { "max_lifetime" };
            table.wrong(key, at, "`boot_timeout` must be shorter than `max_lifetime`", "out of order");
        }
        if let Some(at) = boot.as_ref().filter(|at| at.value < Duration::from_secs(30)) {
            table.wrong("boot_timeout", at, "no instance boots in less than 30s", "too short");
        }
        if let Some(at) = confirm.as_ref().filter(|at| at.value < Duration::from_mins(1)) {
            // GitHub's `busy` lags by up to a minute (terraform-aws-github-runner#5085).
            table.wrong("idle_confirm", at, "GitHub notices a job up to a minute late: at least 1m", "too short");
        }
        times
    }
}

/// Reads what a launch needs. To look, none of it is needed, but what is there must be right.
fn launch(table: &Table<'_>, times: &Times, needs: Needs, folder: &Path) -> (Option<Launch>, Vec<Offering>) {
    let image = table.text("image");
    let template = table.text("launch_template");
    let types = table.texts("instance_types", str::to_owned);
    let subnets = table.texts("subnets", str::to_owned);
    let groups = table.texts("security_groups", str::to_owned);
    let markets = table.word("market", &[("spot", 0), ("on-demand", 1), ("spot-then-on-demand", 2)]);
    let user_data = user_data(table, folder);
    let tags = table.table("tags").map(|tags| read_tags(&tags)).unwrap_or_default();

    if let (Some(_), Some(template)) = (&image, &template) {
        table.wrong(
            "launch_template",
            template,
            "`image` and `launch_template` exclude each other",
            "name one of the two",
        );
    }
    if let Some(image) = image.as_ref().filter(|image| !image.value.starts_with("ami-")) {
        table.wrong(
            "image",
            image,
            format!("`{}` is not an image's id", image.value),
            "such as `ami-0123456789abcdef0`",
        );
    }
    let is_needed = needs == Needs::Launch;
    if is_needed && !table.has("image") && !table.has("launch_template") {
        table.missing("image", "say what its instances boot from, `image = \"ami-…\"`, or name a `launch_template`");
    }
    for (key, list, example) in [
        ("instance_types", &types, "`instance_types = [\"m7a.large\"]`"),
        ("subnets", &subnets, "`subnets = [\"subnet-…\"]`"),
    ] {
        match list {
            None if is_needed && !table.has(key) => table.missing(key, format!("say what may be launched, {example}")),
            Some(list) if list.value.is_empty() => {
                table.wrong(key, list, "must not be empty", "nothing could be launched");
            }
            _ => {}
        }
    }
    let markets: &[Market] = match markets.map_or(2, |market| market.value) {
        0 => &[Market::Spot],
        1 => &[Market::OnDemand],
        _ => &[Market::Spot, Market::OnDemand],
    };
    let texts = |list: Option<At<Vec<At<String>>>>| -> Vec<String> {
        list.map(|list| list.value.into_iter().map(|text| text.value).collect()).unwrap_or_default()
    };
    let (types, subnets) = (texts(types), texts(subnets));
    let mut offerings = Vec::new();
    for market in markets {
        for instance_type in &types {
            for subnet in &subnets {
                offerings.push(Offering {
                    market: *market,
                    instance_type: instance_type.clone(),
                    subnet: subnet.clone(),
                });
            }
        }
    }
    let image = match (image, template) {
        (Some(image), _) => Some(Image::Ami(image.value)),
        (None, template) => template.map(|template| Image::LaunchTemplate(template.value)),
    };
    let Some(image) = image.filter(|_| !offerings.is_empty()) else { return (None, Vec::new()) };
    let launch = Launch {
        image,
        security_groups: texts(groups),
        tags,
        user_data,
        idle_timeout: times.idle_timeout,
        max_lifetime: times.max_lifetime,
    };
    (Some(launch), offerings)
}

fn user_data(table: &Table<'_>, folder: &Path) -> UserData {
    let Some(file) = table.text("user_data_file") else { return UserData::BuiltIn };
    match files::read_text(&folder.join(&file.value), LARGEST_SETTING) {
        Ok(text) => UserData::File(text),
        Err(error) => {
            table.wrong("user_data_file", &file, format!("`{}` can't be read: {error}", file.value), "unreadable");
            UserData::BuiltIn
        }
    }
}

fn read_tags(table: &Table<'_>) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for (key, value) in table.entries() {
        let reserved = ["aws:", "ghascale:"].iter().any(|prefix| key.value.to_lowercase().starts_with(prefix));
        if reserved || key.value == "Name" {
            let what = format!("`{}` is not the pool's to set", key.value);
            let problem = Problem::new(format!("`{}`: {what}", table.name)).at(key.span.clone()).label("reserved");
            table.report(problem.hint("`Name`, `aws:…` and `ghascale:…` are set by EC2 and by ghascale"));
        } else if key.value.is_empty() || key.value.chars().count() > 128 || value.value.chars().count() > 256 {
            table.wrong(&key.value, &value, "a tag's key has 1 to 128 characters, its value at most 256", "not a tag");
        } else {
            tags.insert(key.value, value.value);
        }
    }
    if tags.len() > MOST_TAGS {
        let problem = Problem::new(format!("`{}`: at most {MOST_TAGS} tags", table.name)).at(table.span.clone());
        table.report(problem.hint("EC2 allows 50, and ghascale needs some of them"));
    }
    tags
}
