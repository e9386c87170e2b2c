//! `ghascale sandbox serve`: keeps a world up and says how to use it.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use tokio::signal::unix::{SignalKind, signal};

use super::scenario::Beginning;
use super::server::Sandbox;

/// Serves a world until SIGINT or SIGTERM. Prints what to export, to be pasted or evaluated by a shell.
///
/// The configuration is written to `$XDG_STATE_HOME/ghascale/sandbox/PORT/ghascale.toml`, or where that can't be written, to
/// the directory for temporary files, and deleted at the end. Several may be served at once.
///
/// # Errors
/// The port can't be bound, the configuration can be written nowhere, or `out` is closed.
pub async fn serve(port: u16, beginning: Beginning, out: &mut impl Write) -> io::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let sandbox = Sandbox::begin(beginning, port).await?;
    let file = keep(&sandbox.configuration(), sandbox.port())?;
    announce(&sandbox, &file, out)?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    sandbox.stop().await;
    // What is left of it does no harm.
    let _ = std::fs::remove_file(&file);
    let _ = file.parent().map(std::fs::remove_dir);
    Ok(())
}

/// Says what to export; all else is a comment.
fn announce(sandbox: &Sandbox, file: &Path, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "# The scenario `{}` is up at {} until this is interrupted.",
        sandbox.beginning().name(),
        sandbox.endpoint()
    )?;
    writeln!(out, "# Paste this into another terminal, then: ghascale status")?;
    writeln!(out, "export GHASCALE_CONFIG={}", quoted(&file.to_string_lossy()))?;
    for (name, value) in sandbox.environment() {
        writeln!(out, "export {name}={}", quoted(&value))?;
    }
    out.flush()
}

fn keep(configuration: &str, port: u16) -> io::Result<PathBuf> {
    let state = etcetera::choose_base_strategy().ok().and_then(|strategy| strategy.state_dir());
    if let Some(state) = state
        && let Ok(file) = write_private(&state.join("ghascale/sandbox").join(port.to_string()), configuration)
    {
        return Ok(file);
    }
    let name = format!("ghascale-sandbox-{}", std::process::id());
    write_private(&std::env::temp_dir().join(name), configuration)
}

/// Writes the configuration into a directory that only its owner may read.
fn write_private(directory: &Path, configuration: &str) -> io::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let file = directory.join("ghascale.toml");
    let mut opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file)?;
    opened.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    opened.write_all(configuration.as_bytes())?;
    Ok(file)
}

/// Quotes a value for a POSIX shell, where it needs it.
fn quoted(value: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@".contains(character);
    if value.chars().all(plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Scenario;

    #[test]
    fn values_survive_a_shell() {
        assert_eq!(quoted("http://127.0.0.1:1/acme"), "http://127.0.0.1:1/acme");
        assert_eq!(quoted("/home/o'neil/a b"), "'/home/o'\\''neil/a b'");
    }

    #[tokio::test]
    async fn what_is_printed_can_be_evaluated_by_a_shell() {
        let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
        let mut out = Vec::new();
        announce(&sandbox, Path::new("/tmp/it's here/ghascale.toml"), &mut out).unwrap();
        let script =
            String::from_utf8(out).unwrap() + "printf '%s\\n' \"$GHASCALE_CONFIG\" \"$AWS_ENDPOINT_URL_EC2\"\n";
        let shell = std::process::Command::new("sh").args(["-euc", &script]).output().unwrap();
        let expected = format!("/tmp/it's here/ghascale.toml\n{}\n", sandbox.endpoint());
        assert_eq!(String::from_utf8(shell.stdout).unwrap(), expected);
    }

    #[test]
    fn the_configuration_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let file = write_private(&home.path().join("a/b"), "text").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
