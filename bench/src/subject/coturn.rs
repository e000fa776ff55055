//! Debian's coturn, with one relay thread on the relay's core.

use anyhow::Result;

use super::process::Processes;
use super::{PORT, USER};
use crate::session::answers_turn;
use crate::stand::netns::DIRECTORY;
use crate::stand::topology::{RELAY, Topology};

/// Its program.
pub const PROGRAM: &str = "turnserver";

const FIXED: &str = "-n --no-tls --no-dtls --no-cli --no-tcp --no-tcp-relay --relay-threads=1 --lt-cred-mech \
    --realm=bench --min-port=40000 --max-port=65535 --no-rfc5780 --log-file=stdout \
    --no-software-attribute";

/// Starts it and waits until it answers.
pub fn start(processes: &mut Processes, topology: &Topology) -> Result<()> {
    let mut arguments: Vec<String> = FIXED.split_whitespace().map(str::to_owned).collect();
    arguments.push(format!("--user={}:{}", USER.name, USER.password));
    arguments.push(format!("--listening-ip={RELAY}"));
    arguments.push(format!("--relay-ip={RELAY}"));
    arguments.push(format!("--listening-port={PORT}"));
    arguments.push(format!("--pidfile={DIRECTORY}/turnserver.pid"));
    processes.start(PROGRAM, &arguments)?;
    answers_turn(processes, topology)
}
