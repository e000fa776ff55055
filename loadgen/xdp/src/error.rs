//! Why the kernel's half does not work here.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use nix::errno::Errno;

/// Why the kernel's half does not work here. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// The rights are missing.
    #[error("the kernel does not permit BPF: run as root (or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)")]
    NotPermitted,
    /// The kernel refuses the object or a program.
    #[error("the kernel refuses the program: {0}. Linux 5.18 or later with BPF is needed")]
    Refused(String),
    /// Another program is there.
    #[error("{0}: another XDP program is attached there; take it off first (ip link set dev {0} xdp off)")]
    Taken(String),
    /// The driver does not run it.
    #[error("{interface}: the program cannot be attached: {error}")]
    Attach {
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// The kernel does not send frames from the program.
    #[error("frames cannot be sent by BPF_PROG_TEST_RUN: {0}. Linux 5.18 or later is needed")]
    Run(io::Error),
    /// The object is not the one of this loader.
    #[error("the object has no {0}: it was built from other sources")]
    Object(&'static str),
    /// The kernel refuses to read or write a map.
    #[error("a map of the program: {0}")]
    Map(#[from] MapError),
    /// A thread cannot be made.
    #[error("no thread: {0}")]
    Thread(io::Error),
}

impl From<EbpfError> for XdpError {
    fn from(error: EbpfError) -> Self {
        explain(&error)
    }
}

impl From<ProgramError> for XdpError {
    fn from(error: ProgramError) -> Self {
        explain(&error)
    }
}

fn explain(error: &(dyn std::error::Error + 'static)) -> XdpError {
    let denied = [Errno::EPERM as i32, Errno::EACCES as i32];
    match os_error(error) {
        Some(code) if denied[0] == code || denied[1] == code && !verified(error) => XdpError::NotPermitted,
        _ => XdpError::Refused(chain(error)),
    }
}

/// Whether it is the verifier's no, which has the same number as a missing right.
fn verified(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(ProgramError::LoadError { .. }))
}

/// The number of the system error at the bottom, if there is one.
pub(crate) fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        at = error.source();
    }
    None
}

/// As an error of the system, if that is what is at the bottom.
pub(crate) fn into_io(error: impl std::error::Error + 'static) -> io::Error {
    os_error(&error).map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(error) = at {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        at = error.source();
    }
    // Of the verifier's log the last line says why, before its own figures.
    let mut lines = text.lines().filter(|line| !line.starts_with("processed "));
    let first = lines.next().unwrap_or_default();
    lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}"))
}
