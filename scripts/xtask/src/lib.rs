//! The stamps of the prebuilt BPF objects: which sources and tools each was made from.
//!
//! `cargo build` needs stable Rust only, because the objects are committed. So that none can fall behind its
//! sources unnoticed, a stamp beside it records a hash of them, and a test compares.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// A committed object; paths are relative to the root.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// The object.
    pub path: &'static str,
    /// Its stamp.
    pub stamp: &'static str,
    /// Crate that it is the binary of.
    pub program: &'static str,
    /// Name of that binary.
    pub binary: &'static str,
    /// What it is made from: directories whole, files alone.
    sources: &'static [&'static str],
}

/// Every committed object.
pub const OBJECTS: [Object; 3] = [
    Object {
        path: "ebpf/prebuilt/raceway.bpf.o",
        stamp: "ebpf/prebuilt/raceway.bpf.stamp",
        program: "ebpf/prog",
        binary: "raceway",
        sources: &[
            "ebpf/abi/Cargo.toml",
            "ebpf/abi/src",
            "ebpf/datapath/Cargo.toml",
            "ebpf/datapath/src",
            "ebpf/prog/Cargo.lock",
            "ebpf/prog/Cargo.toml",
            "ebpf/prog/.cargo/config.toml",
            "ebpf/prog/src",
        ],
    },
    Object {
        path: "bench/xdp/prebuilt/bench.o",
        stamp: "bench/xdp/prebuilt/bench.stamp",
        program: "bench/xdp",
        binary: "bench",
        sources: &["bench/xdp/Cargo.lock", "bench/xdp/Cargo.toml", "bench/xdp/.cargo/config.toml", "bench/xdp/src"],
    },
    Object {
        path: "loadgen/xdp/prebuilt/loadgen.bpf.o",
        stamp: "loadgen/xdp/prebuilt/loadgen.bpf.stamp",
        program: "loadgen/xdp/prog",
        binary: "loadgen",
        sources: &[
            "loadgen/xdp/prog/Cargo.lock",
            "loadgen/xdp/prog/Cargo.toml",
            "loadgen/xdp/prog/.cargo/config.toml",
            "loadgen/xdp/prog/src",
            "loadgen/xdp/src/layout.rs",
        ],
    },
];

/// What a stamp says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// SHA-256 over the sources.
    pub sources: String,
    /// SHA-256 of the object.
    pub object: String,
    /// Version of the compiler.
    pub compiler: String,
    /// Version of the linker.
    pub linker: String,
}

impl Stamp {
    /// As it stands in the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { sources, object, compiler, linker } = self;
        format!("sources  {sources}\nobject   {object}\ncompiler {compiler}\nlinker   {linker}\n")
    }

    /// Reads what [`Stamp::to_text`] wrote.
    ///
    /// # Errors
    ///
    /// A line is missing.
    pub fn from_text(text: &str) -> Result<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned());
            line.with_context(|| format!("the stamp has no line `{name}`"))
        };
        Ok(Self {
            sources: field("sources ")?,
            object: field("object ")?,
            compiler: field("compiler ")?,
            linker: field("linker ")?,
        })
    }
}

impl Object {
    /// Whether the committed object was made from the sources as they are, and is the one that the stamp means.
    ///
    /// # Errors
    ///
    /// It was not, or a file cannot be read.
    pub fn check(&self, root: &Path) -> Result<()> {
        let Self { path, stamp, .. } = self;
        let said = Stamp::from_text(&fs::read_to_string(root.join(stamp)).context(*stamp)?)?;
        ensure!(
            said.sources == self.hash_sources(root)?,
            "the sources of {path} have changed: run `cargo xtask build-ebpf`"
        );
        ensure!(said.object == hash_file(&root.join(path))?, "{path} is not the one that its stamp means");
        Ok(())
    }

    /// SHA-256 over names and contents of all sources, in order of their names.
    ///
    /// # Errors
    ///
    /// A source cannot be read.
    pub fn hash_sources(&self, root: &Path) -> Result<String> {
        let mut files = Vec::new();
        for source in self.sources {
            collect(&root.join(source), &mut files)?;
        }
        files.sort();
        let mut hash = Sha256::new();
        for file in files {
            let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
            let content = fs::read(&file).with_context(|| name.clone())?;
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(&name);
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(&content);
        }
        Ok(hex(&hash.finalize()))
    }
}

/// SHA-256 of a file.
///
/// # Errors
///
/// The file cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let content = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(hex(&Sha256::digest(content)))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back() {
        let stamp = Stamp {
            sources: "aa".into(),
            object: "bb".into(),
            compiler: "rustc 1.96.0 (x 2026-05-25)".into(),
            linker: "bpf-linker 0.13.0".into(),
        };
        assert_eq!(Stamp::from_text(&stamp.to_text()).expect("all lines are there"), stamp);
        assert!(Stamp::from_text("sources aa\n").is_err());
    }

    #[test]
    fn any_changed_source_changes_the_hash() {
        for object in OBJECTS {
            let root = std::env::temp_dir().join(format!("raceway-xtask-{}-{}", object.binary, std::process::id()));
            let file = |source: &str| {
                let path = root.join(source);
                if path.extension().is_some() { path } else { path.join("lib.rs") }
            };
            for source in object.sources {
                let file = file(source);
                fs::create_dir_all(file.parent().expect("below the root")).expect("writable");
                fs::write(file, "a").expect("writable");
            }
            for source in object.sources {
                let before = object.hash_sources(&root).expect("all sources are there");
                fs::write(file(source), "b").expect("writable");
                assert_ne!(before, object.hash_sources(&root).expect("all sources are there"), "{source}");
            }
            fs::remove_dir_all(&root).expect("ours");
        }
    }
}
