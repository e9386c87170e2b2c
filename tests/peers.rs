//! What we claim to be, and to speak, judged by programs that we did not write. They are installed by the tests
//! themselves, and run only where `GHASCALE_PEERS=1` is set.

mod description;
mod judge;
mod prism;
