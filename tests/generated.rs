//! `completions/` and `man/` are generated from `cli.rs`, committed, and held current here.
//!
//! `GHASCALE_BLESS=1` writes them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use ghascale::comparison::CauseCode;
use ghascale::warning::WarningCode;
use ghascale::{cli, exit};

/// Each generated file, by its path in the repository.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn completions() -> Files {
    let shells = [
        (Shell::Bash, "ghascale.bash"),
        (Shell::Elvish, "ghascale.elv"),
        (Shell::Fish, "ghascale.fish"),
        (Shell::PowerShell, "_ghascale.ps1"),
        (Shell::Zsh, "_ghascale"),
    ];
    let file = |(shell, name)| (Path::new("completions").join(name), cli::completions(shell).into_bytes());
    shells.into_iter().map(file).collect()
}

/// One page a command, `ghascale-sandbox-serve.1`.
fn pages() -> Files {
    let mut pages = Files::new();
    let mut root = cli::command();
    root.build();
    page(&root, "ghascale", &mut pages);
    pages
}

fn page(command: &clap::Command, name: &str, pages: &mut Files) {
    let title = name.to_uppercase();
    let named = command.clone().name(name.to_owned()).display_name(name.to_owned());
    let man = Man::new(named).title(title).section("1").source("ghascale").manual("ghascale").date("");
    let mut text = Vec::new();
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    man.render_options_section(&mut text).unwrap();
    let children: Vec<&clap::Command> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
    if !children.is_empty() {
        man.render_subcommands_section(&mut text).unwrap();
    }
    man.render_extra_section(&mut text).unwrap();
    if name == "ghascale" {
        reference().to_writer(&mut text).unwrap();
    }
    pages.insert(Path::new("man").join(format!("{name}.1")), text);
    for child in children {
        page(child, &format!("{name}-{}", child.get_name()), pages);
    }
}

/// What holds for every command: exit codes, environment, files, warnings.
fn reference() -> Roff {
    let mut roff = Roff::new();
    let mut section = |title: &str, entries: &[(String, &str)]| {
        roff.control("SH", [title]);
        for (term, text) in entries {
            roff.control("TP", []);
            roff.text([bold(term.as_str())]);
            roff.text([roman(*text)]);
        }
    };
    let code = |code: u8, text| (code.to_string(), text);
    section(
        "EXIT STATUS",
        &[
            code(
                exit::DONE,
                "done; for plan --detailed-exitcode and compare --exit-code: nothing to change, no difference",
            ),
            code(exit::FAILED, "failed: nothing usable came out; every action failed"),
            code(
                exit::CHANGES,
                "plan --detailed-exitcode: there are changes; compare --exit-code: there are differences",
            ),
            code(
                exit::PARTIAL,
                "done in part: the result is right as far as it goes, and the warnings say what is missing",
            ),
            code(exit::USAGE, "wrong usage or configuration; nothing was called"),
            code(
                exit::TRY_AGAIN,
                "try again later: another run holds this host's lock, or the rate limit is exhausted",
            ),
        ],
    );
    let word = |name: &str, text| (name.to_owned(), text);
    section(
        "ENVIRONMENT",
        &[
            word("GHASCALE_CONFIG", "the configuration file, where -c is not given"),
            word("GITHUB_TOKEN, GH_TOKEN", "the token, where the configuration names no other way"),
            word("AWS_*", "credentials, profile, region and endpoints, as every AWS tool reads them"),
            word("HTTPS_PROXY, NO_PROXY", "proxies; never used for loopback"),
            word("NO_COLOR, CLICOLOR_FORCE", "no colours; colours into a pipe too"),
        ],
    );
    section(
        "FILES",
        &[
            word("./ghascale.toml, $XDG_CONFIG_HOME/ghascale/ghascale.toml", "the configuration"),
            word("$XDG_STATE_HOME/ghascale/audit.jsonl", "a line for each action that apply carried out"),
            word("$XDG_STATE_HOME/ghascale/FLEET.lock", "held while apply runs"),
            word(
                "$XDG_STATE_HOME/ghascale/FLEET.sightings.json",
                "when runners of scale sets, whose records carry no age, were first seen; none of these files is ever needed",
            ),
            word(
                "$XDG_CACHE_HOME/ghascale/",
                "what GitHub answered to earlier runs, and an App's token; may be deleted at any time",
            ),
        ],
    );
    let warnings: Vec<(String, &str)> =
        WarningCode::ALL.iter().map(|(code, text)| (code.to_string(), text.trim())).collect();
    section("WARNINGS", &warnings);
    let causes: Vec<(String, &str)> =
        CauseCode::ALL.iter().map(|(code, text)| (code.as_str().to_owned(), *text)).collect();
    section("CAUSES", &causes);
    roff
}

/// Holds generated files against those in the repository, both ways: none is stale, none is left over.
fn hold(folder: &str, generated: &Files) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("GHASCALE_BLESS").is_some() {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        for (path, content) in generated {
            std::fs::write(root.join(path), content).unwrap();
        }
    }
    let entries = std::fs::read_dir(root.join(folder)).unwrap();
    let committed: Files = entries
        .map(|entry| Path::new(folder).join(entry.unwrap().file_name()))
        .map(|path| (path.clone(), std::fs::read(root.join(path)).unwrap()))
        .collect();
    for (path, content) in generated {
        let same = committed.get(path) == Some(content);
        assert!(same, "{} is not what cli.rs makes (GHASCALE_BLESS=1 writes it anew)", path.display());
    }
    let (of_files, of_cli): (Vec<_>, Vec<_>) = (committed.keys().collect(), generated.keys().collect());
    assert_eq!(of_files, of_cli);
}

#[test]
fn completions_are_what_the_command_line_makes() {
    hold("completions", &completions());
}

#[test]
fn pages_are_what_the_command_line_makes() {
    hold("man", &pages());
}

#[test]
fn every_warning_and_cause_is_in_the_manual() {
    let pages = pages();
    let main = String::from_utf8(pages[Path::new("man/ghascale.1")].clone()).unwrap();
    for (code, _) in WarningCode::ALL {
        assert!(main.contains(&code.to_string()), "{code}");
    }
    for (code, _) in CauseCode::ALL {
        assert!(main.contains(code.as_str()), "{}", code.as_str());
    }
}
