//! Sessions made and held: how many a second, how long one takes, and what it costs to have it.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::Stage;
use super::bench::Bench;
use crate::record::Outcome;
use crate::session::{Callers, Pace};
use crate::stand::awake;
use crate::stand::cpu::{Memory, between, read};
use crate::stand::delay::Delays;
use crate::stand::frames::Load;
use crate::stand::netns::pin;
use crate::subject::{Kind, Subject};

/// Sessions before anything is measured, so that what the server makes once is there: threads' heaps, tables that grow by
/// doubling.
const FIRST: usize = 1_500;
/// Sessions made as fast as it goes.
const FAST: usize = 2_000;
/// Sessions made at a pace, to see how long one takes. (With those above no more than rtpengine can hold where a process
/// may open 20,000 files.)
const PACED: usize = 1_300;
/// Sessions that are only held, where a server has room for more: heaps grow by megabytes, so that the memory of one is told
/// from that of many. (With all others no more than a process has files for.)
const HELD: usize = 8_000;
/// That pace, a second: well below what each of the servers can do.
pub const PER_SECOND: u32 = 1_000;

/// Makes sessions: fast, at a pace, and fast with a channel each.
pub fn run(stage: &mut Stage, subject: Subject) -> Result<()> {
    let bench = Bench::start(&stage.setup(subject, Load::calls(0)))?;
    let pids = bench.running.processes.pids();
    pin(0, bench.topology.far_core)?;
    let has_channels = subject.kind() == Kind::Turn;
    let (held, with_channels) = if has_channels { (HELD, FAST * 2) } else { (0, 0) };
    let all = FIRST + FAST + PACED + held + with_channels;
    let mut callers = Callers::new(subject, &bench.topology, u32::try_from(all)?)?;
    callers.make(FIRST, false, Pace::default())?;

    let memory = Memory::read(&pids)?;
    let _awake = awake::hold();
    let before = read(bench.topology.relay_core, bench.topology.far_core, &pids, bench.napi())?;
    let began = Instant::now();
    let made = callers.make(FAST, false, Pace::default())?.len();
    let seconds = began.elapsed().as_secs_f64();
    let cost = between(&before, &read(bench.topology.relay_core, bench.topology.far_core, &pids, bench.napi())?);
    ensure!(made == FAST, "{made} of {FAST} sessions were made");

    let took = Delays::of_durations(callers.make(PACED, false, Pace::PerSecond(PER_SECOND))?)?;
    callers.make(held, false, Pace::default())?;
    let idle = Memory::read(&pids)?.grown_each(memory, FAST + PACED + held);

    let memory = Memory::read(&pids)?;
    let active = if has_channels {
        callers.make(with_channels, true, Pace::default())?;
        Memory::read(&pids)?.grown_each(memory, with_channels)
    } else {
        idle
    };
    stage.write(Outcome::Sessions { subject, made, seconds, cost, took, idle, active })
}
