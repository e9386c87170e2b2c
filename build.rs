//! Makes `GHASCALE_PEERS=1` a `cfg`, so that the tests which need it are *ignored* without it, and reported as such.

fn main() {
    println!("cargo::rerun-if-env-changed=GHASCALE_PEERS");
    println!("cargo::rustc-check-cfg=cfg(ghascale_peers)");
    if std::env::var_os("GHASCALE_PEERS").is_some_and(|value| value == "1") {
        println!("cargo::rustc-cfg=ghascale_peers");
    }
}
