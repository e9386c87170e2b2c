//! What we claim to be, and to speak, judged by programs that we did not write.
//!
//! They run where `GHASCALE_PEERS=1` is set, and are reported as ignored elsewhere: the tests fetch those programs from
//! the package registries, once, into the target directory.

#[cfg(feature = "sandbox")]
mod commands;
#[cfg(feature = "sandbox")]
mod description;
#[cfg(feature = "sandbox")]
mod judge;
mod moto;
#[cfg(feature = "sandbox")]
mod prism;
mod python;
mod shellcheck;
