//! Keeps the name of the compiler: instruction counts hold for one compiler only.

use std::process::Command;

fn main() {
    let compiler = std::env::var_os("RUSTC").expect("cargo says which compiler it uses");
    let output = Command::new(compiler).arg("--version").output().expect("the compiler that runs this build runs");
    let version = String::from_utf8_lossy(&output.stdout);
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").expect("cargo says what it builds for");
    println!("cargo::rustc-env=COMPILER={} for {target}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
