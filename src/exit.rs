//! The exit codes: the whole vocabulary that scripts may rely on.

/// Done; for `plan --detailed-exitcode` and `compare --exit-code`: nothing to change, no difference.
pub const DONE: u8 = 0;
/// Failed: nothing usable came out, or every action failed.
pub const FAILED: u8 = 1;
/// `plan --detailed-exitcode`: there are changes. `compare --exit-code`: there are differences.
pub const CHANGES: u8 = 2;
/// Done in part: the result is right as far as it goes, and `warnings` say what is missing.
pub const PARTIAL: u8 = 3;
/// Wrong usage or configuration; nothing was called.
pub const USAGE: u8 = 64;
/// Try again later: another run holds this host's lock, or the rate limit is exhausted.
pub const TRY_AGAIN: u8 = 75;
