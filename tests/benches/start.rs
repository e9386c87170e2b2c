//! What it costs to start: `ghascale --version` beside a process that does nothing.
//!
//! `cargo bench --bench start` prints the table. The two are run in turn, and what counts is their ratio. Instructions are
//! counted by valgrind where it is installed, and are `-` elsewhere.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    // `cargo test --benches` must not take long.
    let times = if std::env::args().any(|word| word == "--bench") { 51 } else { 3 };
    let ours = [env!("CARGO_BIN_EXE_ghascale"), "--version"];
    let nothing = ["true"];
    let (mut took, mut nothing_took) = (Vec::new(), Vec::new());
    for _ in 0..times {
        took.push(wall(&ours));
        nothing_took.push(wall(&nothing));
    }
    println!("{:<22} {:>12} {:>14}", "", "median", "instructions");
    for (name, words, took) in [("ghascale --version", &ours[..], took), ("true", &nothing[..], nothing_took)] {
        let shown = format!("{:.1} ms", median(took).as_secs_f64() * 1e3);
        println!("{name:<22} {shown:>12} {:>14}", instructions(words).map_or_else(|| "-".into(), |n| n.to_string()));
    }
}

fn wall(words: &[&str]) -> Duration {
    let began = Instant::now();
    let status = Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()).status().expect("a process");
    assert!(status.success(), "{words:?} failed");
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn instructions(words: &[&str]) -> Option<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]).args(words);
    let said = String::from_utf8(valgrind.output().ok()?.stderr).ok()?;
    let count = said.lines().find_map(|line| line.split_once("refs:"))?.1;
    count.trim().replace(',', "").parse().ok()
}
