//! Every command and flag, with its help. Man pages and completions are generated from here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::exit;

/// Plan, compare and apply the number of self-hosted GitHub Actions runners on EC2.
///
/// ghascale reads the pending jobs of an organization, a repository or an enterprise, the runners that GitHub knows and
/// the EC2 instances that carry its tag; decides, by one pure function, what should be launched and what should end; and
/// shows that, or does it.
#[derive(Debug, Parser)]
#[command(
    name = "ghascale",
    version,
    disable_help_subcommand = true,
    after_long_help = "Examples:
  GITHUB_TOKEN=… ghascale --url https://github.com/acme status
  ghascale -c /etc/ghascale.toml plan
  ghascale sandbox"
)]
pub struct Cli {
    /// The configuration file; else `GHASCALE_CONFIG`, `./ghascale.toml`, `$XDG_CONFIG_HOME/ghascale/ghascale.toml`
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The organization, repository or enterprise on GitHub, `https://github.com/acme`; beats the file's `github.url`
    #[arg(long, value_name = "URL", global = true)]
    pub url: Option<String>,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    pub output: Output,
    /// Whether colours are used; `NO_COLOR` is honoured by `auto`
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto, global = true)]
    pub color: ColorChoice,
    /// Log what is called to stderr; again for more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// No progress and no warnings on stderr
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub quiet: bool,
    /// Neither use nor keep what GitHub has answered to earlier runs
    #[arg(long, global = true)]
    pub no_cache: bool,
    /// Look at every repository, however long it takes; in large scopes they take turns otherwise
    #[arg(long, global = true)]
    pub full: bool,
    /// Ask GitHub no more than N times for one look; what is known by then is shown as such, and the exit code is 3
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_requests: Option<u64>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables, for people
    Table,
    /// One JSON object, for scripts
    Json,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show pending jobs, runners and instances, by pool
    ///
    /// Needs no file: with `--url` and a token it shows the pending jobs of the scope by label set.
    #[command(after_long_help = "Examples:
  GITHUB_TOKEN=… ghascale --url https://github.com/acme status
  ghascale status --jobs
  ghascale status -o json | jq '.pools[] | {name, queued}'")]
    Status(StatusArgs),
    /// Show what REST counts beside what the scale sets count, and the cause of every difference
    ///
    /// Each pool's jobs as GitHub's REST API lists them, beside those that the Actions Service counts for the pool's
    /// scale set. It opens no session and changes nothing, so it can be run beside a live listener, ours or another
    /// system's. Without a configuration file, every scale set of the scope is compared with the jobs that its labels
    /// take.
    #[command(after_long_help = "Examples:
  GITHUB_TOKEN=… ghascale --url https://github.com/acme compare
  ghascale compare --pool linux-x64
  ghascale compare --exit-code -o json | jq '.pools[] | {name, difference, causes}'")]
    Compare(CompareArgs),
    /// List, show, create, update and delete runner scale sets
    #[command(
        subcommand,
        name = "scale-set",
        after_long_help = "Examples:
  GITHUB_TOKEN=… ghascale --url https://github.com/acme scale-set list
  ghascale scale-set create linux-x64
  ghascale scale-set delete linux-x64 --yes"
    )]
    ScaleSet(ScaleSetCommand),
    /// Show what apply would do, and why
    ///
    /// Nothing is changed. With `--out`, the plan can be applied later: then only what still holds is done.
    #[command(after_long_help = "Examples:
  ghascale plan
  ghascale plan --out today.plan && ghascale apply today.plan
  ghascale plan --detailed-exitcode; echo $?")]
    Plan(PlanArgs),
    /// Do it
    ///
    /// Without a file: observes, plans and applies. With one: observes again, and does of the file's actions what still
    /// holds. Asks on a terminal; without one it needs `--yes`.
    #[command(after_long_help = "Examples:
  ghascale apply
  ghascale apply --yes
  ghascale apply today.plan --yes -o json")]
    Apply(ApplyArgs),
    /// Do it in real time, at every message of the scale sets
    ///
    /// One process, for weeks. It holds the message session of each pool's scale set and launches within milliseconds of
    /// a message; pools without a scale set, and everything that ends, are looked at once in every interval, as `apply`
    /// does. Prints one event a line. SIGTERM and SIGINT end it, within 20 s; a second one at once. SIGHUP, or a changed
    /// file, reloads the configuration; one that is wrong is refused as a whole.
    #[command(after_long_help = "Examples:
  ghascale listen
  ghascale listen --metrics 127.0.0.1:9464
  ghascale listen --pool linux-x64 -o json | jq -c 'select(.event == \"action\")'")]
    Listen(ListenArgs),
    /// Show why a job is being run, or is not
    ///
    /// Follows the job from GitHub's list to a runner: visible, status, labels, runner group, scale set, cap, supply, launch,
    /// registration, assignment. Each step shows its evidence; the first that fails is named, with what to do about it.
    /// Nothing is changed. Needs no file: with `--url` and a token, the job is held against the runners of the scope.
    #[command(after_long_help = "Examples:
  ghascale explain https://github.com/acme/api/actions/runs/19000000001/job/53000000002
  ghascale explain https://github.com/acme/api/actions/runs/19000000001
  ghascale explain 53000000002 -o json | jq -r .verdict
  GITHUB_TOKEN=… ghascale --url https://github.com/acme explain 53000000002")]
    Explain(ExplainArgs),
    /// Try every command in an embedded world, without an account
    ///
    /// Without a subcommand: a guided tour. GitHub and EC2 are played on loopback; nothing outside is called.
    #[cfg(feature = "sandbox")]
    #[command(after_long_help = "Examples:
  ghascale sandbox
  ghascale sandbox serve --port 7777
  ghascale sandbox serve --scenario empty")]
    Sandbox(SandboxArgs),
    /// Print a shell's completion script
    #[command(after_long_help = "Examples:
  ghascale completions bash > /etc/bash_completion.d/ghascale
  ghascale completions fish > ~/.config/fish/completions/ghascale.fish")]
    Completions(CompletionsArgs),
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    #[doc = "What is looked at."]
    pub view: ViewArgs,
    /// List each pending job
    #[arg(long)]
    pub jobs: bool,
    /// Look again and again, every 30s or as given, until interrupted
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "30s", value_parser = interval)]
    pub watch: Option<Duration>,
}

/// `compare`
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Only this pool, or without a configuration file, this scale set; can be given again
    #[arg(long, value_name = "NAME")]
    pub pool: Vec<String>,
    /// Exit with 2 if there are differences
    #[arg(long)]
    pub exit_code: bool,
}

/// `scale-set`
#[derive(Debug, Subcommand)]
pub enum ScaleSetCommand {
    /// List the scope's scale sets, with their counts
    List,
    /// Show one scale set
    #[command(after_long_help = "Examples:
  ghascale scale-set show linux-x64
  ghascale scale-set show linux-x64 -o json")]
    Show(ScaleSetName),
    /// Create the scale set of a pool, with the pool's labels, in the pool's runner group
    ///
    /// Where it exists already with the same labels, nothing is changed.
    #[command(after_long_help = "Examples:
  ghascale scale-set create linux-x64")]
    Create(ScaleSetPool),
    /// Give the scale set of a pool the pool's labels
    #[command(after_long_help = "Examples:
  ghascale scale-set update linux-x64")]
    Update(ScaleSetPool),
    /// Delete a scale set
    ///
    /// Says first what becomes of its jobs. Asks on a terminal; without one it needs `--yes`.
    #[command(after_long_help = "Examples:
  ghascale scale-set delete linux-x64
  ghascale scale-set delete linux-x64 --yes")]
    Delete(ScaleSetDeletion),
}

/// `scale-set show`
#[derive(Debug, Args)]
pub struct ScaleSetName {
    /// The scale set's name; `GROUP/NAME` where two runner groups have one of that name
    pub name: String,
}

/// `scale-set create`, `scale-set update`
#[derive(Debug, Args)]
pub struct ScaleSetPool {
    /// The pool whose `scale_set` it is
    pub pool: String,
}

/// `scale-set delete`
#[derive(Debug, Args)]
pub struct ScaleSetDeletion {
    #[command(flatten)]
    #[doc = "Which one."]
    pub name: ScaleSetName,
    /// Don't ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    #[doc = "What is looked at."]
    pub view: ViewArgs,
    /// Write the plan to a file, for `ghascale apply FILE`; it holds no secret
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 if there is something to do but notes
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `apply`
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A file that `ghascale plan --out` wrote
    pub plan_file: Option<PathBuf>,
    #[command(flatten)]
    #[doc = "What is looked at."]
    pub view: ViewArgs,
    /// Don't ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `listen`
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// Only this pool; can be given again
    #[arg(long, value_name = "NAME")]
    pub pool: Vec<String>,
    /// Serve Prometheus metrics at `/metrics` and the health of the sessions at `/healthz`, on this address
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// How often everything is looked at; launches for scale sets don't wait for it
    #[arg(long, value_name = "INTERVAL", default_value = "60s", value_parser = interval)]
    pub interval: Duration,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The address of a job or of a run, as a browser or the API has it; or the id of one that is not completed
    ///
    /// Of a run the job is explained that has waited longest, and the others are named.
    #[arg(value_name = "JOB")]
    pub job: String,
}

/// What a command looks at.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// Where demand is read, whatever the pools' `source`: `auto` is a scale set if it answers, else REST
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub source: Option<SourceChoice>,
    /// Only this pool; can be given again
    #[arg(long, value_name = "NAME")]
    pub pool: Vec<String>,
}

/// Where demand is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SourceChoice {
    /// The scale set where there is one, else REST
    Auto,
    /// The REST API's runs and jobs
    Rest,
    /// The pools' scale sets, and nothing else
    ScaleSet,
}

/// `sandbox`
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// What to do; a guided tour if nothing is said.
    #[command(subcommand)]
    pub command: Option<SandboxCommand>,
}

/// What the sandbox can do beside the tour.
#[cfg(feature = "sandbox")]
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Keep a world up, and print what to export
    #[command(after_long_help = "Examples:
  ghascale sandbox serve
  ghascale sandbox serve --port 7777 --scenario empty
  ghascale sandbox serve --scenario ./monday.toml")]
    Serve(ServeArgs),
}

/// `sandbox serve`
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// What the world starts with: `acme`, `empty`, `scale-sets`, or the path of a scenario file
    #[arg(long, value_name = "NAME|FILE", default_value = "acme")]
    pub scenario: String,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// What a command line that can't be run comes to: help and versions among them.
#[derive(Debug)]
pub struct Unusable {
    /// What to print, with or without colours as the terminal takes them.
    pub message: clap::builder::StyledStr,
    /// To stdout (help, version) or stderr.
    pub to_stdout: bool,
    /// The exit code.
    pub code: u8,
}

/// Parses a command line.
///
/// # Errors
/// Returns what to print instead of running: help, a version, or what is wrong.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Unusable> {
    let words: Vec<OsString> = words.into_iter().collect();
    Cli::try_parse_from(words).map_err(|error| Unusable {
        message: error.render(),
        to_stdout: !error.use_stderr(),
        code: if error.use_stderr() { exit::USAGE } else { exit::DONE },
    })
}

/// Returns the whole command line's description.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Returns a shell's completion script.
#[must_use]
pub fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "ghascale", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn interval(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if every < Duration::from_secs(1) {
        return Err("at least 1s".to_owned());
    }
    Ok(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, Unusable> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_description_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_64_and_help_is_0() {
        for line in ["ghascale", "ghascale stat", "ghascale status --pol x", "ghascale status --source scaleset"] {
            let said = parsed(line).unwrap_err();
            assert_eq!((said.code, said.to_stdout), (exit::USAGE, false), "{line}");
        }
        for line in ["ghascale --help", "ghascale --version", "ghascale plan -h"] {
            let said = parsed(line).unwrap_err();
            assert_eq!((said.code, said.to_stdout), (exit::DONE, true), "{line}");
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [
            "ghascale -o json --url https://github.com/acme status",
            "ghascale status --url https://github.com/acme -o json",
        ] {
            let cli = parsed(line).unwrap();
            assert_eq!((cli.output, cli.url.as_deref()), (Output::Json, Some("https://github.com/acme")), "{line}");
        }
    }

    #[test]
    fn watch_takes_an_interval_or_none() {
        let watch = |line| match parsed(line).unwrap().command {
            Command::Status(args) => args.watch,
            other => panic!("{other:?}"),
        };
        assert_eq!(watch("ghascale status"), None);
        assert_eq!(watch("ghascale status --watch"), Some(Duration::from_secs(30)));
        assert_eq!(watch("ghascale status --watch 5s"), Some(Duration::from_secs(5)));
        assert!(parsed("ghascale status --watch 10ms").is_err());
    }
}
