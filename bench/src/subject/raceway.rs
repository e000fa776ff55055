//! Raceway: relay and control, as they are built beside this program.

use std::fs;

use anyhow::Result;

use super::process::Processes;
use super::{NG_PORT, PORT, USER, beside};
use crate::session::{answers_ng, answers_turn};
use crate::stand::netns::{DIRECTORY, maps, run};
use crate::stand::topology::{RELAY, Topology};

/// The relay's program.
pub const RELAY_PROGRAM: &str = "raceway-relay";
/// Control's program.
pub const CONTROL_PROGRAM: &str = "raceway-control";
/// Flows that Raceway holds at a time unless configured.
const FLOWS_MAX: u32 = 65_536;
/// Flows of Raceway that a client with one channel takes: two of its allocation, a permission, two of the channel.
const FLOWS_EACH: u32 = 5;

/// Starts both, without anything of an earlier start, and waits until they answer; the relay gets `extra` arguments.
pub fn start(processes: &mut Processes, topology: &Topology, xdp: &str, flows: u32, extra: &[String]) -> Result<()> {
    run_both(processes, topology, xdp, FLOWS_MAX.max(flows * FLOWS_EACH), extra)?;
    answers_turn(processes, topology)
}

/// Starts both and waits until they take calls of a SIP proxy.
pub fn start_calls(processes: &mut Processes, topology: &Topology, xdp: &str, extra: &[String]) -> Result<()> {
    run_both(processes, topology, xdp, FLOWS_MAX, extra)?;
    // Pings are answered by control alone, TURN only once the relay is there.
    answers_turn(processes, topology)?;
    answers_ng(processes, topology)
}

fn run_both(processes: &mut Processes, topology: &Topology, xdp: &str, flows_max: u32, extra: &[String]) -> Result<()> {
    clear();
    let devices: Vec<String> = topology.links.iter().map(|link| format!("\"{}\"", link.relay_device)).collect();
    fs::write(
        config(),
        format!(
            "[node]\nstate_dir = \"{DIRECTORY}/state\"\nrun_dir = \"{DIRECTORY}/run\"\n\
             [relay]\ninterfaces = [{devices}]\nxdp = \"{xdp}\"\nworkers = [{core}]\nflows_max = {flows_max}\n\
             pin_dir = \"{maps}/raceway\"\n\
             [turn]\nlisten = [\"{RELAY}:{PORT}\"]\nrealm = \"bench\"\nrelay_addresses = [\"{RELAY}\"]\n\
             port_range = \"40000-65535\"\n\
             [ng]\nlisten = [\"{RELAY}:{NG_PORT}\"]\nallow = [\"10.77.0.0/16\"]\n\
             [media]\nport_range = \"10000-39999\"\n\
             [turn.auth]\nusers = {{ \"{user}\" = \"{password}\" }}\n\
             [turn.policy]\nallow_peers = [\"10.77.0.0/16\"]\nquota_per_user = 0\nquota_total = 0\n\
             flows_per_user = 0\nstun_requests_per_second = 0\nunauthenticated_octets_per_second = 1000000000\n\
             [http]\nlisten = \"127.0.0.1:9640\"\n[log]\nlevel = \"warn\"\n",
            devices = devices.join(", "),
            core = topology.relay_core,
            maps = maps(),
            user = USER.name,
            password = USER.password,
        ),
    )?;
    let arguments = ["--config".to_owned(), config()];
    processes.start(beside(RELAY_PROGRAM)?, &[&arguments[..], extra].concat())?;
    processes.start(beside(CONTROL_PROGRAM)?, &arguments)
}

/// Applies the configuration again.
pub fn reload(topology: &Topology) -> Result<()> {
    let program = beside("racewayctl")?;
    run(&format!("ip netns exec {} {} --config {} reload", topology.relay, program.display(), config()))
}

/// Removes what Raceway keeps for its next start.
fn clear() {
    for directory in [format!("{}/raceway", maps()), format!("{DIRECTORY}/state"), format!("{DIRECTORY}/run")] {
        // The first start finds none.
        let _ = fs::remove_dir_all(directory);
    }
}

fn config() -> String {
    format!("{DIRECTORY}/raceway.toml")
}
