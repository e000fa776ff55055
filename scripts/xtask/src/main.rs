//! Builds and checks the committed BPF objects.
//!
//!     cargo xtask build-ebpf    builds those whose sources have changed; installs bpf-linker if it is missing
//!     cargo xtask check-ebpf    fails when the sources of one have changed since

mod build;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use xtask::OBJECTS;

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    match run(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str) -> Result<()> {
    let root = root()?;
    match command {
        "build-ebpf" => OBJECTS
            .iter()
            .filter(|object| object.check(&root).is_err())
            .try_for_each(|object| build::object(&root, object)),
        "check-ebpf" => OBJECTS.iter().try_for_each(|object| object.check(&root)),
        _ => bail!("no such command; there are build-ebpf and check-ebpf"),
    }
}

/// The checkout that this binary was built from.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(2).context("scripts/xtask is two below the root")?.to_owned())
}
