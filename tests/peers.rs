//! Tests against programs that we did not write. They run where `GHASCALE_PEERS=1` is set, and are ignored elsewhere:
//! they fetch those programs from the package registries, once, into the target directory.

mod moto;
mod python;
mod shellcheck;
