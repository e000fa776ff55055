//! Why the program is not there.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use raceway_abi::ABI_VERSION;
use thiserror::Error;

/// Why [`Xdp::open`](super::Xdp::open) or a change of its maps failed. The text says what to do.
#[derive(Debug, Error)]
pub enum XdpError {
    /// The configuration says off.
    #[error("xdp is switched off in the configuration")]
    TurnedOff,
    /// `flows_max` is out of range.
    #[error("flows_max = {0} is not in 1..={max}", max = raceway_abi::limits::FLOWS_MAX)]
    FlowsMax(u32),
    /// Maps of another layout are pinned, and their program may be relaying.
    #[error(
        "{directory} holds maps of version {found}, this relay has version {ABI_VERSION}: their flows may still be \
         relayed, so nothing was touched; run `racewayctl detach` (or remove {directory}) and start again"
    )]
    OtherVersion {
        /// Version found.
        found: u32,
        /// Where.
        directory: PathBuf,
    },
    /// The pinned tables have another size than the configuration asks for.
    #[error(
        "{directory} holds tables of {found} entries in {map}, this relay wants {wanted} (flows_max): set \
         flows_max back, or run `racewayctl detach` (ends the flows in XDP) and start again"
    )]
    OtherSize {
        /// Map that differs.
        map: &'static str,
        /// Its entries.
        found: u32,
        /// Entries wanted.
        wanted: u32,
        /// Where.
        directory: PathBuf,
    },
    /// The pin directory cannot be used.
    #[error("{what} {path}: {error}{}", advice(.error))]
    Pins {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// The list of interfaces cannot be read.
    #[error("the interfaces cannot be listed: {0}")]
    Interfaces(io::Error),
    /// The object has no such map or program.
    #[error("the XDP object has no {0}: it was built from other sources")]
    Object(&'static str),
    /// The object cannot be loaded.
    #[error("the XDP object cannot be loaded: {0}")]
    Load(#[from] EbpfError),
    /// The kernel refuses the program.
    #[error("the kernel refuses the XDP program: {0}")]
    Program(#[from] ProgramError),
    /// The kernel refuses a map operation.
    #[error("a map of the XDP program: {0}")]
    Map(#[from] MapError),
    /// The kernel refuses to write many entries of a map.
    #[error("the flows of the XDP program: {0}")]
    Batch(io::Error),
    /// A map cannot be mapped into memory.
    #[error("a map of the XDP program cannot be mapped into memory: {0}")]
    Share(io::Error),
}

/// What to do about an error of the BPF file system, if there is something.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; only root may look there: try sudo",
        _ => "",
    }
}
