//! How much later packets arrive for going through a subject, at shares of what it can do.
//!
//! The far end is woken by each transmit here, since the time between its polls would be most of what is measured, and
//! packets are sent evenly, not in bursts. What the link itself takes is measured at the same rates, with the bare XDP
//! reflector in the place of the subject.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Setup};
use super::rate::FLOWS;
use super::{Stage, calls};
use crate::record::Outcome;
use crate::session::Call;
use crate::stand::frames::Load;
use crate::stand::topology::Direction;
use crate::stand::trial::{Sender, Stand, Trial};
use crate::subject::{Kind, Subject};

/// Shares of the rate without loss.
pub const SHARES: [f64; 2] = [0.3, 0.7];
/// Trials of the search for that rate.
const PROBES: u32 = 8;
/// Timed trials at each rate, of which the one with the p99 in the middle counts: on a machine with other work, some
/// are of that.
const TRIALS: usize = 5;
/// Length of each: even of the slowest peer's packets at the lower share, several thousand.
const TIME: Duration = Duration::from_millis(500);

/// Finds the rate, then times packets at its shares, with and without the subject.
pub fn run(stage: &mut Stage, subject: Subject) -> Result<()> {
    let setup = stage.setup(subject, Load::calls(FLOWS));
    measure(stage, setup, "")
}

/// The same for one setup, in bursts of one; `variant` names it where the subject does not.
pub fn measure(stage: &mut Stage, mut setup: Setup, variant: &str) -> Result<()> {
    setup.load.burst = 1;
    setup.place.far_us = 0;
    let (subject, load) = (setup.subject, setup.load);
    let mut bench = Bench::start(&setup)?;
    if subject.kind() == Kind::Ng {
        calls::talk(&mut bench)?;
    }
    let mut generator = bench.generator(Direction::ToPeer)?;
    let mut stand = bench.stand();
    let first = subject.first_rate() / 2;
    let found = stand.search(&mut generator, first, stage.trial_time(), PROBES)?;
    let Some(capacity_pps) = found.best.map(|best| best.received_pps) else {
        anyhow::bail!("no rate was without loss");
    };
    let rates = SHARES.map(|share| (share * capacity_pps) as u64);
    let with = timed(&mut stand, &mut generator, &rates)?;
    drop(bench);
    let without = baseline(&Setup { subject: Subject::Reflect, call: Call::Plain, ..setup }, &rates)?;
    for ((share, with), without) in SHARES.into_iter().zip(with).zip(without) {
        let (with, without, variant) = (Box::new(with), Box::new(without), variant.to_owned());
        stage.write(Outcome::Delay { subject, variant, load, share, capacity_pps, with, without })?;
    }
    Ok(())
}

fn baseline(setup: &Setup, rates: &[u64]) -> Result<Vec<Trial>> {
    let mut bench = Bench::start(setup)?;
    let mut generator = bench.generator(Direction::ToPeer)?;
    timed(&mut bench.stand(), &mut generator, rates)
}

fn timed(stand: &mut Stand, generator: &mut dyn Sender, rates: &[u64]) -> Result<Vec<Trial>> {
    let middle = |rate: &u64| {
        let mut trials = (0..TRIALS).map(|_| stand.trial(generator, *rate, TIME)).collect::<Result<Vec<_>>>()?;
        trials.sort_by_key(|trial| trial.delays.at(0.99));
        Ok(trials.swap_remove(TRIALS / 2))
    };
    rates.iter().map(middle).collect()
}
