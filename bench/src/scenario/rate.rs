//! The highest rate without loss, what a packet costs then, at a rate that all can do, and flat out.

use anyhow::{Context, Result};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use serde::{Deserialize, Serialize};

use super::bench::{Bench, Setup};
use super::{COMMON_RATE, Stage, calls};
use crate::record::Outcome;
use crate::stand::frames::Load;
use crate::stand::netns::said;
use crate::stand::topology::{Arms, Direction, Link};
use crate::stand::trial::{Sender, Stand};
use crate::subject::{Kind, Subject};

/// Flows of the scenario in which everything is measured.
pub const FLOWS: u32 = 200;
/// Flows of the scenario in which the table grows.
pub const GROWING: [u32; 3] = [1, 10_000, 100_000];
/// Trials of one search.
const PROBES: u32 = 12;

/// Time that an XDP program took, by the kernel's own statistics.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ProgramTime {
    /// Nanoseconds of all its runs.
    pub ns: u64,
    /// Its runs.
    pub runs: u64,
}

impl ProgramTime {
    /// Nanoseconds of one run.
    #[must_use]
    pub fn each(self) -> f64 {
        self.ns as f64 / self.runs.max(1) as f64
    }
}

/// Calls, in both directions; what redirects in XDP, over two links too.
pub fn calls(stage: &mut Stage, subject: Subject) -> Result<()> {
    for arms in [Arms::One, Arms::Two] {
        if arms == Arms::Two && subject != Subject::RacewayXdp {
            continue;
        }
        let directions: &[_] =
            if subject.both_ways() { &[Direction::ToPeer, Direction::ToClient] } else { &[Direction::ToPeer] };
        let setup = Setup { arms, ..stage.setup(subject, Load::calls(FLOWS)) };
        measure(stage, &setup, "", directions)?;
    }
    Ok(())
}

/// One flow, then more and more.
pub fn growing(stage: &mut Stage, subject: Subject) -> Result<()> {
    for flows in GROWING.into_iter().filter(|flows| *flows <= subject.flows_max()) {
        let setup = stage.setup(subject, Load::calls(flows));
        measure(stage, &setup, "", &[Direction::ToPeer]).with_context(|| format!("with {flows} flows"))?;
    }
    Ok(())
}

/// Measures one setup and writes it down; `variant` names it where the subject does not.
pub fn measure(stage: &mut Stage, setup: &Setup, variant: &str, directions: &[Direction]) -> Result<()> {
    let mut bench = Bench::start(setup)?;
    let (subject, time) = (setup.subject, stage.trial_time());
    if subject.kind() == Kind::Ng && directions.len() > 1 {
        calls::talk(&mut bench)?;
    }
    for direction in directions {
        let mut generator = bench.generator(*direction)?;
        let link = match direction {
            Direction::ToPeer => bench.topology.links[0].clone(),
            Direction::ToClient => bench.topology.peer_link().clone(),
        };
        let relay = bench.topology.relay.clone();
        let mut stand = bench.stand();
        // Caches, neighbours and XDP's routes are filled before anything counts.
        stand.trial(&mut generator, COMMON_RATE, stage.warm_up(setup.load))?;
        let common = stand.trial(&mut generator, COMMON_RATE, time)?;
        let found = stand.search(&mut generator, subject.first_rate(), time, PROBES)?;
        let in_kernel = subject.in_kernel();
        let flat_out = in_kernel.then(|| stand.trial(&mut generator, 0, time)).transpose()?;
        let program = in_kernel.then(|| program_time(&mut stand, &mut generator, stage, &relay, &link)).transpose()?;
        stage.write(Outcome::Forwarding {
            subject,
            variant: variant.to_owned(),
            direction: *direction,
            arms: setup.arms,
            load: setup.load,
            loss_free: found.best.map(Box::new),
            limited: found.limited,
            flat_out: flat_out.map(Box::new),
            common: Box::new(common),
            program,
        })?;
    }
    Ok(())
}

/// Sends flat out with the kernel's statistics on: they cost some ns a run, so this is a trial of its own.
fn program_time(
    stand: &mut Stand,
    generator: &mut dyn Sender,
    stage: &Stage,
    relay: &str,
    link: &Link,
) -> Result<ProgramTime> {
    let _on_while_open = enable_stats(Stats::RunTime)?;
    let id = program_id(relay, &link.relay_device)?;
    let before = read(id)?;
    stand.trial(generator, 0, stage.trial_time())?;
    let after = read(id)?;
    Ok(ProgramTime { ns: after.ns - before.ns, runs: after.runs - before.runs })
}

fn read(id: u32) -> Result<ProgramTime> {
    let found = loaded_programs().flatten().find(|program| program.id() == id);
    let program = found.context("the XDP program is gone")?;
    Ok(ProgramTime { ns: program.run_time().as_nanos() as u64, runs: program.run_count() })
}

/// Kernel's number of the XDP program on a device.
fn program_id(namespace: &str, device: &str) -> Result<u32> {
    let links: serde_json::Value = serde_json::from_str(&said("ip", &["-n", namespace, "-j", "link", "show", device]))
        .context("ip link printed no JSON")?;
    let id = links[0]["xdp"]["prog"]["id"].as_u64().with_context(|| format!("no XDP program on {device}"))?;
    Ok(u32::try_from(id)?)
}
