//! What a link costs, by how its far end is polled and by what arrives.

use anyhow::Result;

use super::bench::{Bench, Setup};
use super::rate::FLOWS;
use super::{COMMON_RATE, Stage};
use crate::record::Outcome;
use crate::stand::frames::Load;
use crate::subject::Subject;

/// Frames from XDP with a far end that is woken and with one that polls, then socket buffers.
pub fn run(stage: &mut Stage, subject: Subject) -> Result<()> {
    let usual = stage.setup(subject, Load::calls(FLOWS));
    let polled = usual.place.far_us;
    for (far_us, socket_buffers) in [(0, false), (polled, false), (polled, true)] {
        let mut setup = Setup { ..usual.clone() };
        setup.place.far_us = far_us;
        let mut bench = Bench::start(&setup)?;
        let mut sender = bench.sender(socket_buffers)?;
        let mut stand = bench.stand();
        let common = Box::new(stand.trial(sender.as_mut(), COMMON_RATE, stage.trial_time())?);
        let flat_out = subject.in_kernel().then(|| stand.trial(sender.as_mut(), 0, stage.trial_time())).transpose()?;
        stage.write(Outcome::Link { subject, far_us, socket_buffers, common, flat_out: flat_out.map(Box::new) })?;
    }
    Ok(())
}
