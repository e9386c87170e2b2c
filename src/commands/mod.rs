//! The commands: parse, call, render. One file each; what two of them need stands in a file of its own.

mod apply;
mod compare;
mod explain;
mod failure;
mod listen;
mod plan;
#[cfg(feature = "sandbox")]
mod sandbox;
mod scale_set;
mod session;
mod status;

pub use failure::Failure;

use crate::cli::{Cli, Command};
use crate::exit;
use crate::ui::Ui;

/// Runs a command; returns the process's exit code.
pub async fn run(cli: Cli) -> u8 {
    let ui = Ui::new(&cli);
    let result = match &cli.command {
        Command::Status(args) => status::run(&cli, args, &ui).await,
        Command::Compare(args) => compare::run(&cli, args, &ui).await,
        Command::ScaleSet(command) => scale_set::run(&cli, command, &ui).await,
        Command::Plan(args) => plan::run(&cli, args, &ui).await,
        Command::Apply(args) => apply::run(&cli, args, &ui).await,
        Command::Listen(args) => Box::pin(listen::run(&cli, args, &ui)).await,
        Command::Explain(args) => explain::run(&cli, args, &ui).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(args, &ui).await,
        Command::Completions(args) => {
            ui.print(&crate::cli::completions(args.shell)).map(|_| exit::DONE).map_err(Into::into)
        }
    };
    result.unwrap_or_else(|failure| {
        ui.error(&failure);
        failure.code
    })
}
