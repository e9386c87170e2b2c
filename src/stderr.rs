//! stderr: written at once, or, in a process that must wait for no reader, by a thread of its own.

use std::io::{self, Write};
use std::sync::OnceLock;

use crate::lines::Lines;

/// The thread that writes, if there is one: a process has one stderr.
static BESIDE: OnceLock<Lines> = OnceLock::new();

/// Has all that is written from now on written by a thread: a reader that stands still, or a full disk, stops only that.
pub fn write_beside() {
    // Nobody is left to tell it to where this fails.
    BESIDE.get_or_init(|| Lines::start(|line| drop(io::stderr().write_all(line))));
}

/// Waits until all is written, but not for a reader that stands still.
pub fn finish() {
    if let Some(beside) = BESIDE.get() {
        beside.finish();
    }
}

/// Writes there; each write is a line, or several.
#[derive(Clone, Copy, Debug)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(beside) = BESIDE.get() else {
            return io::stderr().write_all(line).map(|()| line.len());
        };
        let lost = beside.write(line.to_vec());
        if lost > 0 {
            beside.write(format!("{lost} lines before this one were not written, since nobody read\n").into_bytes());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
