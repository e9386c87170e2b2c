//! Lets the tests against installed peers (moto, Prism) run where `GHASCALE_PEERS=1` is set, and be ignored elsewhere.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=GHASCALE_PEERS");
    println!("cargo::rustc-check-cfg=cfg(ghascale_peers)");
    if std::env::var("GHASCALE_PEERS").is_ok_and(|value| value == "1") {
        println!("cargo::rustc-cfg=ghascale_peers");
    }
}
