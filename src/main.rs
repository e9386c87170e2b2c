//! Parse, run, exit code.

use std::io::Write as _;
use std::process::ExitCode;

use ghascale::cli::{self, Cli, Command};
use ghascale::stderr::{self, Stderr};
use ghascale::{commands, exit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(unusable) => {
            // A reader that closed the pipe has seen enough.
            if unusable.to_stdout {
                let _ = write!(anstream::stdout(), "{}", unusable.message.ansi());
            } else {
                let _ = write!(anstream::stderr(), "{}", unusable.message.ansi());
            }
            return unusable.code.into();
        }
    };
    if matches!(cli.command, Command::Listen(_)) {
        stderr::write_beside();
    }
    log(&cli);
    let code = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(commands::run(cli));
            // A name that is still being looked up is waited for by nobody.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            exit::FAILED
        }
    };
    stderr::finish();
    code.into()
}

/// Logs to stderr: warnings always, calls with `-v`, all of ours with `-vv`, or as `RUST_LOG` says.
///
/// Only our own events, whatever the level: libraries below may log headers.
fn log(cli: &Cli) {
    let by_flag = match (cli.quiet, cli.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let by_environment = std::env::var("RUST_LOG").ok().filter(|_| !cli.quiet && cli.verbose == 0);
    let level = by_environment.map_or(by_flag, |directives| ours(&directives).unwrap_or(by_flag));
    let only_ours = tracing_subscriber::filter::Targets::new().with_target("ghascale", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Stderr).with_target(false).without_time();
    let layer = layer.with_ansi(false);
    tracing_subscriber::registry().with(only_ours).with(layer).init();
}

/// Returns the level that `RUST_LOG`'s directives give to this program: `debug`, `ghascale=trace,hyper=off`.
fn ours(directives: &str) -> Option<LevelFilter> {
    let level = |directive: &str| match directive.split_once('=') {
        Some(("ghascale", level)) => level.trim().parse().ok(),
        Some(_) => None,
        None => directive.parse().ok(),
    };
    directives.split(',').filter_map(|directive| level(directive.trim())).next_back()
}
