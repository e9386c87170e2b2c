//! `ghascale.toml`, variables and flags: what is taken, what is refused, and how that is drawn.

mod digest;
mod launching;
mod places;
mod prices;
mod properties;
mod refused;
mod secrets;
mod whole;

use std::path::Path;
use std::sync::LazyLock;

use ghascale::config::{Config, Environment, Needs, Problems, Request, load};
use tempfile::TempDir;

use crate::keys::private_key;

/// A token in every desk's environment.
const TOKEN: &str = "ghp_PLANTEDplantedPLANTED";
/// An App's key, made anew for each run.
fn app_key() -> &'static str {
    static KEY: LazyLock<String> = LazyLock::new(private_key);
    &KEY
}

/// A whole configuration, as short as it can be.
const GOOD: &str = r#"[github]
url = "https://github.com/acme"

[ec2]
fleet = "acme-prod"

[[pool]]
name = "linux-x64"
labels = ["self-hosted", "linux", "x64"]
max = 20
image = "ami-0123456789abcdef0"
instance_types = ["m7a.large"]
subnets = ["subnet-a"]
"#;

/// Returns the good file with the line of a key changed, or, if it has none, with a line more.
fn changed(key: &str, line: &str) -> String {
    let is_of_key = |old: &&str| old.split(" = ").next() == Some(key);
    match GOOD.lines().find(is_of_key) {
        Some(old) => GOOD.replace(old, line),
        None => format!("{GOOD}{line}\n"),
    }
}

/// Returns the good file with other lines in `[github]`.
fn github(lines: &str) -> String {
    GOOD.replace("url = \"https://github.com/acme\"", lines)
}

/// Returns the good file with lines before its pool.
fn scan(lines: &str) -> String {
    GOOD.replace("[[pool]]", &format!("[scan]\n{lines}\n\n[[pool]]"))
}

/// A working directory with a file in it, and what a command would be given.
struct Desk {
    directory: TempDir,
    request: Request,
}

impl Desk {
    fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut environment = Environment { directory: directory.path().to_owned(), ..Environment::default() };
        environment.variables.insert("GITHUB_TOKEN".to_owned(), TOKEN.to_owned());
        Self { directory, request: Request { file: None, url: None, environment, needs: Needs::Launch } }
    }

    fn with(text: impl AsRef<[u8]>) -> Self {
        Self::empty().file("ghascale.toml", text)
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.request.environment.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.request.environment.variables.remove(name);
        self
    }

    fn flag(mut self, file: impl AsRef<Path>) -> Self {
        self.request.file = Some(file.as_ref().to_owned());
        self
    }

    fn url(mut self, url: &str) -> Self {
        self.request.url = Some(url.to_owned());
        self
    }

    fn looking(mut self) -> Self {
        self.request.needs = Needs::Look;
        self
    }

    fn result(&self) -> Result<Config, Problems> {
        load(&self.request)
    }

    fn config(&self) -> Config {
        self.result().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Returns the drawing of what is wrong, the directory's name left out.
    fn problems(&self) -> String {
        let drawn = self.result().err().map(|problems| problems.render(false)).expect("it should be refused");
        drawn.replace(&self.directory.path().display().to_string(), "[directory]")
    }
}
