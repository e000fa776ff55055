//! Keeps the names of compiler and profile: instruction counts hold for one of each only.

use std::path::Path;
use std::process::Command;

fn main() {
    let compiler = std::env::var_os("RUSTC").expect("cargo says which compiler it uses");
    let output = Command::new(compiler).arg("--version").output().expect("the compiler that runs this build runs");
    let version = String::from_utf8_lossy(&output.stdout);
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").expect("cargo says what it builds for");
    println!("cargo::rustc-env=COMPILER={} for {target}", version.trim());
    // Cargo says only what a profile is made from; its name is that of the directory, `NAME/build/PACKAGE/out`.
    let out = std::env::var_os("OUT_DIR").expect("cargo says where a build script may write");
    let profile = Path::new(&out).ancestors().nth(3).and_then(Path::file_name).expect("cargo keeps profiles apart");
    println!("cargo::rustc-env=PROFILE_NAME={}", profile.to_string_lossy());
    println!("cargo::rerun-if-changed=build.rs");
}
