//! Debian's rtpengine without its kernel module, driven by its ng protocol.

use anyhow::Result;

use super::NG_PORT;
use super::process::Processes;
use crate::session::answers_ng;
use crate::stand::netns::DIRECTORY;
use crate::stand::topology::{RELAY, Topology};

/// Its program.
pub const PROGRAM: &str = "rtpengine";
/// Ports, and so open files, that a two-way call takes: RTP and RTCP towards each side.
const PORTS_OF_A_CALL: u32 = 4;
/// Open files that it has besides.
const OTHER_FILES: u32 = 100;
const FIRST_PORT: u16 = 10_000;
const LAST_PORT: u16 = 65_000;

const FIXED: &str = "--foreground --log-stderr --log-level=3 --table=-1 --delete-delay=0 --num-threads=1 \
    --timeout=3600 --silent-timeout=3600 --no-redis-required";

/// Calls that one address has ports for, and this machine open files.
#[must_use]
pub fn calls_max() -> u32 {
    let ports = u32::from(LAST_PORT - FIRST_PORT);
    ports.min(crate::open_files().saturating_sub(OTHER_FILES)) / PORTS_OF_A_CALL
}

/// Starts it and waits until it answers.
pub fn start(processes: &mut Processes, topology: &Topology) -> Result<()> {
    let mut arguments: Vec<String> = FIXED.split_whitespace().map(str::to_owned).collect();
    arguments.push(format!("--interface={RELAY}"));
    arguments.push(format!("--listen-ng={RELAY}:{NG_PORT}"));
    arguments.push(format!("--port-min={FIRST_PORT}"));
    arguments.push(format!("--port-max={LAST_PORT}"));
    arguments.push(format!("--pidfile={DIRECTORY}/rtpengine.pid"));
    processes.start(PROGRAM, &arguments)?;
    answers_ng(processes, topology)
}
