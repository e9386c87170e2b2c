//! Flags, environment and file -> [`Config`], or everything that is wrong with them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use jsonwebtoken::EncodingKey;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use toml::de::DeTable;

use super::address::{self, Address};
use super::environment::{Environment, Needs, Request};
use super::pool;
use super::prices;
use super::problem::{Problem, Problems};
use super::reader::{At, Found, Table};
use super::{AppIssuer, Config, Credentials, Ec2, Github, Pool, Scan};
use crate::engine::{FleetName, Label, Scope};
use crate::files::{self, LARGEST_SETTING};
use crate::warning::{Warning, WarningCode};

/// Reads and validates a configuration completely; nothing is called.
///
/// # Errors
/// Returns everything that is wrong with it.
pub fn load(request: &Request) -> Result<Config, Problems> {
    let file = request.environment.file(request.file.as_deref());
    let (path, source) = match &file {
        Some(path) => (path.display().to_string(), read(path)?),
        None => (String::new(), String::new()),
    };
    let problems = |list| Problems::new(path.as_str(), &source, list);
    if file.is_none() && (request.url.is_none() || request.needs == Needs::Launch) {
        let problem = Problem::new(
            "there is no configuration file: neither `-c`, `GHASCALE_CONFIG`, `./ghascale.toml` nor \
            `$XDG_CONFIG_HOME/ghascale/ghascale.toml`",
        );
        let look = "to look without one: `GITHUB_TOKEN=… ghascale --url https://github.com/ORG status`";
        return Err(problems(vec![problem.hint(look)]));
    }
    let (root, errors) = DeTable::parse_recoverable(&source);
    let found = Found::default();
    for error in &errors {
        let problem = Problem::new(format!("not TOML: {}", error.message().trim()));
        found.borrow_mut().push(match error.span() {
            Some(span) => problem.at(span),
            None => problem,
        });
    }
    if !errors.is_empty() {
        // What the parser had to guess would be reported as if the operator had written it.
        return Err(problems(found.into_inner()));
    }
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).to_owned();
    let root = Table::new("", 0..0, root.get_ref(), &found);
    let wrong_prices = RefCell::new(None);
    let loader = Loader { request, folder, found: &found, has_file: file.is_some(), wrong_prices: &wrong_prices };
    let config = loader.config(&root, file);
    root.finish();
    let mut list = found.into_inner();
    match (config, wrong_prices.into_inner()) {
        (Some(config), None) if list.is_empty() => Ok(config),
        // Drawn in another file: said once this one is right.
        (_, Some(wrong)) if list.is_empty() => Err(wrong),
        _ => {
            list.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
            Err(problems(list))
        }
    }
}

fn read(path: &Path) -> Result<String, Problems> {
    files::read_text(path, LARGEST_SETTING).map_err(|error| {
        let problem = Problem::new(format!("the configuration {} can't be read: {error}", path.display()));
        Problems::new(path.display().to_string(), "", vec![problem])
    })
}

/// What is said of a text that can't be one.
const NO_TOKEN: &str = "holds more than a token: a blank within, or a character that no token has";

struct Loader<'a> {
    request: &'a Request,
    /// What the file's relative paths are relative to.
    folder: PathBuf,
    found: &'a Found,
    has_file: bool,
    /// What is wrong with the file of prices.
    wrong_prices: &'a RefCell<Option<Problems>>,
}

impl Loader<'_> {
    fn config(&self, root: &Table<'_>, file: Option<PathBuf>) -> Option<Config> {
        let github = match root.table("github") {
            // It is there, but no table: that it has no key needs no saying.
            None if root.has("github") => None,
            table => self.github(table),
        };
        let scan = scan(root.table("scan"), github.as_ref().map(|github| &github.scope));
        let ec2 = root.table("ec2").and_then(|table| self.ec2(&table));
        if self.request.needs == Needs::Launch && !root.has("ec2") {
            self.report(
                Problem::new("`[ec2]` is missing")
                    .hint("add `[ec2]` with `fleet = \"…\"`, the tag value that marks your instances"),
            );
        }
        let pools = self.pools(root, ec2.as_ref());
        let (github, scan) = (github?, scan?);
        let warnings = warnings(&pools);
        let mut config = Config { file, github, scan, ec2, pools, warnings, digest: String::new() };
        config.digest = digest(&config);
        Some(config)
    }

    fn report(&self, problem: Problem) {
        self.found.borrow_mut().push(problem);
    }

    // --- [github] ---------------------------------------------------------------------------------------------------

    fn github(&self, table: Option<Table<'_>>) -> Option<Github> {
        let Some(table) = table else {
            let address = self.flag_address();
            if self.request.url.is_none() && self.has_file {
                self.report(
                    Problem::new("`[github]` is missing")
                        .hint("add `[github]` with `url = \"https://github.com/ORG\"`"),
                );
            }
            let credentials = self.token_of_environment();
            let Address { url, scope, api_url, .. } = address?;
            return Some(Github { url, scope, api_url, credentials: credentials?, ca_pem: None });
        };
        let of_file = table.text("url");
        let address = match (&self.request.url, &of_file) {
            (Some(_), _) => self.flag_address(),
            (None, Some(url)) => match address::parse(&url.value) {
                Ok(address) => Some(address),
                Err(why) => {
                    table.wrong("url", url, why, "not usable");
                    None
                }
            },
            (None, None) => {
                if !table.has("url") {
                    table.missing(
                        "url",
                        "name the organization, repository or enterprise, `url = \"https://github.com/ORG\"`",
                    );
                }
                None
            }
        };
        let api_url = table.text("api_url").and_then(|api| match address::web(&api.value) {
            Ok(_) => Some(api.value.trim_end_matches('/').to_owned()),
            Err(why) => {
                table.wrong("api_url", &api, why, "not usable");
                None
            }
        });
        let enterprise = address.as_ref().filter(|address| matches!(address.scope, Scope::Enterprise(_)));
        let credentials = self.credentials(&table, enterprise.is_some());
        let ca_pem = self.ca_pem(&table);
        table.finish();
        let Address { url, authority, scope, api_url: derived } = address?;
        // `--url` may name another server than the file: the file's API, and no other's, would be asked about it.
        let is_of_file = |url: &At<String>| address::parse(&url.value).is_ok_and(|file| file.authority == authority);
        let api_url = api_url.filter(|_| of_file.as_ref().is_none_or(is_of_file)).unwrap_or(derived);
        Some(Github { url, scope, api_url, credentials: credentials?, ca_pem })
    }

    fn flag_address(&self) -> Option<Address> {
        match address::parse(self.request.url.as_ref()?) {
            Ok(address) => Some(address),
            Err(why) => {
                self.report(Problem::new(format!("`--url` {why}")));
                None
            }
        }
    }

    fn credentials(&self, table: &Table<'_>, is_enterprise: bool) -> Option<Credentials> {
        let env = table.text("token_env");
        let file = table.text("token_file");
        let app = table.table("app");
        let named =
            [env.as_ref().map(|at| &at.span), file.as_ref().map(|at| &at.span), app.as_ref().map(|at| &at.span)];
        let named: Vec<_> = named.into_iter().flatten().collect();
        if let [_, second, ..] = named[..] {
            let problem = Problem::new("`token_env`, `token_file` and `[github.app]` exclude each other");
            self.report(problem.at(second.clone()).label("the second").hint("keep one of them"));
        }
        let app = app.map(|app| self.app(&app, is_enterprise));
        if let Some(file) = file {
            let text = self.secret_file(table, "token_file", &file)?;
            let token = token(&text);
            if token.is_none() {
                table.wrong("token_file", &file, format!("`{}` {NO_TOKEN}", file.value), "not a token");
            }
            return token;
        }
        if let Some(app) = app {
            return app;
        }
        match env {
            Some(env) => {
                let Some(text) = self.request.environment.get(&env.value) else {
                    let what = format!("the environment variable `{}` is not set", env.value);
                    table.wrong("token_env", &env, what, "not set");
                    return None;
                };
                let token = token(text);
                if token.is_none() {
                    let what = format!("the environment variable `{}` {NO_TOKEN}", env.value);
                    table.wrong("token_env", &env, what, "not a token");
                }
                token
            }
            None if table.has("token_env") || table.has("token_file") || table.has("app") => None,
            None => self.token_of_environment(),
        }
    }

    fn token_of_environment(&self) -> Option<Credentials> {
        let environment: &Environment = &self.request.environment;
        let set = ["GITHUB_TOKEN", "GH_TOKEN"].into_iter().find_map(|name| Some((name, environment.get(name)?)));
        let Some((name, text)) = set else {
            let problem = Problem::new("there is no token for GitHub: neither `GITHUB_TOKEN` nor `GH_TOKEN` is set");
            self.report(
                problem
                    .hint("set one, or name another way by `github.token_env`, `github.token_file` or `[github.app]`"),
            );
            return None;
        };
        let token = token(text);
        if token.is_none() {
            self.report(Problem::new(format!("the environment variable `{name}` {NO_TOKEN}")));
        }
        token
    }

    fn app(&self, table: &Table<'_>, is_enterprise: bool) -> Option<Credentials> {
        if is_enterprise && self.request.needs != Needs::Look {
            let said =
                "GitHub lets no App manage an enterprise's runners: with `[github.app]`, only looking works here";
            self.report(
                Problem::new(said)
                    .at(table.span.clone())
                    .label("an App")
                    .hint("name a classic token with `manage_runners:enterprise`, or an organization by `github.url`"),
            );
        }
        let id = table.integer("app_id", 1..=i64::MAX);
        let client = table.text("client_id");
        let installation = table.integer("installation_id", 1..=i64::MAX);
        let key_file = table.text("private_key_file");
        if let (Some(_), Some(client)) = (&id, &client) {
            table.wrong("client_id", client, "`app_id` and `client_id` exclude each other", "name one of the two");
        }
        if !table.has("app_id") && !table.has("client_id") {
            table.missing("app_id", "name the App by `app_id = 1` or `client_id = \"Iv1.…\"`");
        }
        if let Some(installation) = installation.as_ref().filter(|_| is_enterprise) {
            let said = "an enterprise's organizations have an installation each: the App finds them by itself";
            table.wrong("installation_id", installation, said, "leave it out");
        }
        for key in ["installation_id", "private_key_file"] {
            let is_needed = key != "installation_id" || !is_enterprise;
            if is_needed && !table.has(key) {
                table.missing(key, "an App needs its installation in the scope and its private key");
            }
        }
        let key = key_file.and_then(|file| {
            let text = self.secret_file(table, "private_key_file", &file)?;
            // GitHub's keys are RSA; the library alone would take a public one too.
            let is_key = text.contains("PRIVATE KEY-----") && EncodingKey::from_rsa_pem(text.as_bytes()).is_ok();
            if !is_key {
                table.wrong(
                    "private_key_file",
                    &file,
                    format!("`{}` holds no RSA private key in PEM form", file.value),
                    "not a key",
                );
            }
            is_key.then(|| SecretString::from(text))
        });
        table.finish();
        let issuer = match (id, client) {
            (Some(id), _) => AppIssuer::AppId(u64::try_from(id.value).ok()?),
            (None, client) => AppIssuer::ClientId(client?.value),
        };
        if is_enterprise {
            return Some(Credentials::EveryInstallation { issuer, private_key: key? });
        }
        let installation_id = u64::try_from(installation?.value).ok()?;
        Some(Credentials::App { issuer, installation_id, private_key: key? })
    }

    /// Reads a file whose content must never be shown.
    fn secret_file(&self, table: &Table<'_>, key: &str, file: &At<String>) -> Option<String> {
        match files::read_text(&self.folder.join(&file.value), LARGEST_SETTING) {
            Ok(text) if text.trim().is_empty() => {
                table.wrong(key, file, format!("`{}` is empty", file.value), "empty file");
                None
            }
            Ok(text) => Some(text),
            Err(error) => {
                table.wrong(key, file, format!("`{}` can't be read: {error}", file.value), "unreadable");
                None
            }
        }
    }

    fn ca_pem(&self, table: &Table<'_>) -> Option<Vec<u8>> {
        let file = table.text("ca_file")?;
        match files::read(&self.folder.join(&file.value), LARGEST_SETTING) {
            Ok(pem) if reqwest::Certificate::from_pem_bundle(&pem).is_ok_and(|all| !all.is_empty()) => Some(pem),
            Ok(_) => {
                table.wrong(
                    "ca_file",
                    &file,
                    format!("`{}` holds no certificate in PEM form", file.value),
                    "not certificates",
                );
                None
            }
            Err(error) => {
                table.wrong("ca_file", &file, format!("`{}` can't be read: {error}", file.value), "unreadable");
                None
            }
        }
    }

    // --- [ec2] ------------------------------------------------------------------------------------------------------

    fn ec2(&self, table: &Table<'_>) -> Option<Ec2> {
        let region = table.text("region");
        let fleet = table.text("fleet");
        let max_total = table.integer("max_total", 1..=i64::from(u32::MAX));
        let ceiling = table.dollars("max_usd_per_hour");
        let prices = match prices::read(table, region.as_ref(), &self.folder) {
            prices::Read::Nothing => BTreeMap::new(),
            prices::Read::Prices(prices) => prices,
            prices::Read::WrongFile(problems) => {
                self.wrong_prices.replace(Some(problems));
                BTreeMap::new()
            }
        };
        if !table.has("fleet") {
            table.missing("fleet", "name the tag value that marks your instances, `fleet = \"acme-prod\"`");
        }
        table.finish();
        let fleet = fleet?;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !fleet.value.chars().all(is_allowed) || fleet.value.len() > 40 {
            table.wrong(
                "fleet",
                &fleet,
                format!("`{}` is not a fleet's name", fleet.value),
                "allowed: at most 40 of a-z, A-Z, 0-9 and -",
            );
            return None;
        }
        Some(Ec2 {
            region: region.map(|region| region.value),
            fleet: FleetName::new(fleet.value),
            max_total: max_total.and_then(|number| u32::try_from(number.value).ok()),
            max_usd_per_hour: ceiling.map(|ceiling| ceiling.value),
            prices,
        })
    }

    // --- [[pool]] ---------------------------------------------------------------------------------------------------

    fn pools(&self, root: &Table<'_>, ec2: Option<&Ec2>) -> Vec<Pool> {
        let tables = root.tables("pool");
        // A `pool` of another type has been reported; `pool = []` has not.
        let is_missing = tables.is_empty() && (!root.has("pool") || root.is_list("pool"));
        if self.request.needs == Needs::Launch && is_missing {
            self.report(Problem::new("there is no `[[pool]]`").hint("add one: README.md shows a whole configuration"));
        }
        let (mut pools, mut names, mut scale_sets) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for table in tables {
            let read = pool::read(&table, ec2.map(|ec2| &ec2.fleet), self.request.needs, &self.folder);
            if let Some(name) = read.name
                && !names.insert(name.value.clone())
            {
                let what = format!("there are two pools `{}`: give each a name of its own", name.value);
                table.wrong("name", &name, what, "the second");
            }
            let group = read.pool.as_ref().map(|pool: &Pool| pool.runner_group.to_lowercase());
            if let (Some(scale_set), Some(group)) = (read.scale_set, group)
                && !scale_sets.insert((group, scale_set.value.to_lowercase()))
            {
                let what = "two pools with one scale set would both launch for each of its jobs";
                table.wrong("scale_set", &scale_set, what, "the second");
            }
            pools.extend(read.pool);
        }
        pools
    }
}

/// Takes a token, blanks around it cut off; `None` where no header could hold it.
fn token(text: &str) -> Option<Credentials> {
    let token = text.trim();
    token.chars().all(|c| c.is_ascii_graphic()).then(|| Credentials::Token(token.to_owned().into()))
}

fn scan(table: Option<Table<'_>>, scope: Option<&Scope>) -> Option<Scan> {
    let usual = Scan::of_every_repository()?;
    let Some(table) = table else { return Some(usual) };
    let include = globs(&table, "include");
    let exclude = globs(&table, "exclude");
    let concurrency = table.integer("concurrency", 1..=100).and_then(|number| usize::try_from(number.value).ok());
    let requests_per_minute = pace(&table);
    let max_job_age = table.duration("max_job_age").map_or(usual.max_job_age, |age| age.value);
    let rate_limit_share =
        table.integer("rate_limit_share", 1..=100).and_then(|number| u8::try_from(number.value).ok());
    let organization_hook = table.table("hints").and_then(|hints| organization_hook(&hints, scope));
    table.finish();
    let (include, included) = include.unwrap_or((usual.include, usual.patterns.0));
    let (exclude, excluded) = exclude.unwrap_or((usual.exclude, usual.patterns.1));
    Some(Scan {
        include,
        exclude,
        patterns: (included, excluded),
        concurrency: concurrency.unwrap_or(usual.concurrency),
        requests_per_minute,
        max_job_age,
        rate_limit_share: rate_limit_share.unwrap_or(usual.rate_limit_share),
        organization_hook,
        ..usual
    })
}

/// `hints = { organization_hook = 12 }`: a webhook is of one organization, and so must the scope be.
fn organization_hook(hints: &Table<'_>, scope: Option<&Scope>) -> Option<u64> {
    let hook = hints.integer("organization_hook", 1..=i64::MAX);
    if !hints.has("organization_hook") {
        hints.missing("organization_hook", "name the organization's webhook by the number in its address");
    }
    hints.finish();
    let hook = hook?;
    let said = match scope {
        Some(Scope::Enterprise(_)) => "a webhook is of one organization, and `github.url` names an enterprise",
        Some(Scope::Repository(_)) => "a single repository is read at each look, and needs no hints",
        Some(Scope::Organization(_)) | None => return u64::try_from(hook.value).ok(),
    };
    hints.wrong("organization_hook", &hook, said, "take it out, or name an organization by `github.url`");
    None
}

/// `"auto"`, or a number.
fn pace(table: &Table<'_>) -> Option<u32> {
    if table.is_text("requests_per_minute") {
        table.word("requests_per_minute", &[("auto", ())]);
        return None;
    }
    table.integer("requests_per_minute", 1..=1_000_000).and_then(|number| u32::try_from(number.value).ok())
}

fn globs(table: &Table<'_>, key: &'static str) -> Option<(GlobSet, Vec<String>)> {
    let patterns = table.texts(key, str::to_owned)?;
    if key == "include" && patterns.value.is_empty() {
        table.wrong(key, &patterns, "must not be empty", "no repository would be read");
    }
    let mut set = GlobSetBuilder::new();
    for pattern in &patterns.value {
        // Repositories' names have no case on GitHub, but are listed as they were first written.
        match GlobBuilder::new(&pattern.value).case_insensitive(true).build() {
            Ok(glob) => drop(set.add(glob)),
            Err(error) => {
                table.wrong(key, pattern, format!("`{}` is not a glob: {}", pattern.value, error.kind()), "not a glob");
            }
        }
    }
    let mut texts: Vec<String> = patterns.value.into_iter().map(|pattern| pattern.value).collect();
    texts.sort();
    Some((set.build().ok()?, texts))
}

/// Says what is allowed, but will surprise.
fn warnings(pools: &[Pool]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for pool in pools {
        let name = &pool.policy.name;
        for other in pools.iter().filter(|other| other.policy.name != *name) {
            let has = |labels: &[Label], all: &[Label]| all.iter().all(|label| labels.contains(label));
            let (mine, theirs) = (&pool.policy.labels, &other.policy.labels);
            let is_within = has(theirs, mine) && !mine.is_empty();
            let is_same = is_within && has(mine, theirs);
            if is_within && (!is_same || *name < other.policy.name) {
                let said = format!(
                    "`{}` has all of its labels too, so GitHub gives jobs of `{name}` to runners of either",
                    other.policy.name
                );
                warnings.push(Warning::new(WarningCode::OverlappingPools, name.as_str(), said));
            }
        }
    }
    warnings
}

/// Digests all that decides a plan, secrets left out, in an order that doesn't depend on the file's.
fn digest(config: &Config) -> String {
    let mut pools: Vec<String> = config
        .pools
        .iter()
        .map(|pool| {
            let Pool { policy, runner_group, scale_set, source, launch } = pool;
            let labels: BTreeSet<&Label> = policy.labels.iter().collect();
            let labels: Vec<String> = labels.iter().map(|label| label.as_str().to_lowercase()).collect();
            let rest = (policy.min_idle, policy.max, policy.priority, &policy.offerings);
            let times = (policy.boot_timeout, policy.max_lifetime, policy.idle_confirm, policy.trim);
            let rerun = if policy.rerun_interrupted { " reruns" } else { "" };
            format!(
                "{} {labels:?} {rest:?} {times:?} {runner_group:?} {scale_set:?} {source:?} {launch:?}{rerun}",
                policy.name
            )
        })
        .collect();
    pools.sort();
    let scan = (&config.scan.patterns, config.scan.max_job_age);
    let text = format!("v1 {} {} {scan:?} {:?} {pools:?}", config.github.scope, config.github.api_url, config.ec2);
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}
