//! ghascale.
fn main() {}
