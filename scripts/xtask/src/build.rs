//! From the sources of a BPF object to the object and its stamp.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use xtask::{Object, Stamp, hash_file};

/// Version of bpf-linker that objects are made with; its LLVM must not be older than the compiler's.
const LINKER_VERSION: &str = "0.13.0";
/// Where Debian puts the LLVM that both are built with.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
/// Where bpf-linker goes when it is not found.
const LINKER_ROOT: &str = "/opt/bpf-linker";
/// Debian's compiler for browsers: new enough, and its source package allows `-Z build-std`.
const COMPILER: &str = "/usr/bin/rustc";
const PACKAGES: &str =
    "rustc-web rust-web-src llvm-22-dev libpolly-22-dev zlib1g-dev libzstd-dev libffi-dev libxml2-dev";

/// Builds an object and writes it with its stamp.
pub fn object(root: &Path, object: &Object) -> Result<()> {
    ensure!(
        Path::new(COMPILER).exists() && Path::new(LLVM_PREFIX).exists(),
        "the BPF tool chain is missing: apt-get install {PACKAGES}"
    );
    let linker = linker()?;
    let program = root.join(object.program);
    run(Command::new("cargo")
        .args(["build", "--release", "--locked", "--config", &anonymous_paths(root)?])
        .current_dir(&program)
        .env("RUSTC", COMPILER)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", path_with(&linker)?)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS"))?;
    let built = root.join(object.path);
    fs::create_dir_all(built.parent().context("the object is in a directory")?)?;
    // DWARF goes, BTF and the symbols that the loader needs stay.
    run(Command::new(format!("{LLVM_PREFIX}/bin/llvm-strip"))
        .arg("--strip-debug")
        .arg(program.join("target/bpfel-unknown-none/release").join(object.binary))
        .arg("-o")
        .arg(&built))?;
    let stamp = Stamp {
        sources: object.hash_sources(root)?,
        object: hash_file(&built)?,
        compiler: version(Path::new(COMPILER))?,
        linker: version(&linker)?,
    };
    fs::write(root.join(object.stamp), stamp.to_text())?;
    print!("{}\n{}", object.path, stamp.to_text());
    Ok(())
}

/// Cargo's setting that keeps the places of this machine out of the object's line information.
fn anonymous_paths(root: &Path) -> Result<String> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home).context("neither CARGO_HOME nor HOME")?;
    let root = root.canonicalize()?;
    let (root, cargo) = (root.display(), cargo.display());
    Ok(format!(
        "target.bpfel-unknown-none.rustflags=['--remap-path-prefix={root}=raceway','--remap-path-prefix={cargo}=cargo']"
    ))
}

/// bpf-linker of the wanted version: the one on the path, else the one of its own prefix, else a fresh one there.
fn linker() -> Result<PathBuf> {
    let own = Path::new(LINKER_ROOT).join("bin/bpf-linker");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("bpf-linker"));
    for candidate in on_path.chain([own.clone()]) {
        if candidate.exists() && version(&candidate)?.contains(LINKER_VERSION) {
            return Ok(candidate);
        }
    }
    eprintln!("installing bpf-linker {LINKER_VERSION} to {LINKER_ROOT} (some minutes)");
    run(Command::new("cargo")
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--no-default-features"])
        .args(["--features", "llvm-22", "--root", LINKER_ROOT])
        .env("LLVM_PREFIX", LLVM_PREFIX)
        .env("LLVM_SYS_221_PREFIX", LLVM_PREFIX))?;
    Ok(own)
}

fn path_with(linker: &Path) -> Result<std::ffi::OsString> {
    let directory = linker.parent().context("a binary is in a directory")?.to_owned();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(directory).chain(std::env::split_paths(&rest)))?)
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output().with_context(|| program.display().to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
