//! What surrounds a configuration: environment variables and the working directory, injected.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The surroundings of a process, or of a test. Tokens are among the variables, so none is ever shown.
#[derive(Clone, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The working directory.
    pub directory: PathBuf,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What a command needs of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// To look: no file is needed where a URL is given.
    Look,
    /// To decide or act: `[ec2]`, and pools with launch settings.
    Launch,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// `-c`.
    pub file: Option<PathBuf>,
    /// `--url`.
    pub url: Option<String>,
    /// The surroundings.
    pub environment: Environment,
    /// What for.
    pub needs: Needs,
}

impl Environment {
    /// Returns this process's; a variable that is no text is not there.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        }
    }

    /// Returns a variable that is set to more than blanks.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// Returns the file to read; one that is there and can't be read is not passed over for another fleet's: `-c`, else `GHASCALE_CONFIG`, else what exists of `./ghascale.toml` and
    /// `$XDG_CONFIG_HOME/ghascale/ghascale.toml`.
    pub(crate) fn file(&self, flag: Option<&Path>) -> Option<PathBuf> {
        if let Some(file) = flag.or(self.get("GHASCALE_CONFIG").map(Path::new)) {
            return Some(self.directory.join(file));
        }
        // The XDG base directory specification: a relative path is to be ignored.
        let home = self.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = home.or_else(|| self.get("HOME").map(|home| Path::new(home).join(".config")));
        let candidates = [Some(self.directory.clone()), home.map(|home| home.join("ghascale"))];
        candidates.into_iter().flatten().map(|folder| folder.join("ghascale.toml")).find(|file| is_there(file))
    }
}

/// Returns whether a path names anything: a broken link, a directory and a file behind a closed door are there too.
fn is_there(file: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    !file.symlink_metadata().is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}
