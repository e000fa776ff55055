//! Calls as SIP proxies anchor them, all by the same ng offers: plain, and from RTP to SRTP.

use std::time::Duration;

use anyhow::Result;

use super::{COMMON_RATE, Setup, Stage, delay, rate};
use crate::session::Call;
use crate::stand::frames::Load;
use crate::stand::topology::Direction;
use crate::subject::Subject;

/// Calls, each with a stream in either direction.
pub const CALLS: u32 = 500;
/// How long both parties talk before anything is measured: endpoints are learned in the first three seconds, and what
/// follows of that is noticed within two more.
pub const TALK: Duration = Duration::from_secs(6);

/// Plain calls in both directions; towards SRTP where it is the relay that encrypts; and how late packets arrive.
pub fn run(stage: &mut Stage, subject: Subject) -> Result<()> {
    let plain = stage.setup(subject, Load::calls(CALLS));
    if subject == Subject::UringSrtp {
        return rate::measure(stage, &plain, Call::ToSrtp.title(), &[Direction::ToPeer]);
    }
    let both = [Direction::ToPeer, Direction::ToClient];
    let directions = if subject.both_ways() { &both[..] } else { &both[..1] };
    rate::measure(stage, &plain, Call::Plain.title(), directions)?;
    if subject.has_sessions() && !subject.in_kernel() {
        let secured = Setup { call: Call::ToSrtp, ..plain.clone() };
        rate::measure(stage, &secured, Call::ToSrtp.title(), &[Direction::ToPeer])?;
        delay::measure(stage, secured, Call::ToSrtp.title())?;
    }
    if subject.has_sessions() {
        delay::measure(stage, plain, Call::Plain.title())?;
    }
    Ok(())
}

/// Lets the parties of calls talk, so that their endpoints are learned.
pub fn talk(bench: &mut super::Bench) -> Result<()> {
    for _ in 0..2 {
        for direction in [Direction::ToPeer, Direction::ToClient] {
            let mut generator = bench.generator(direction)?;
            bench.stand().trial(&mut generator, COMMON_RATE, TALK / 4)?;
        }
    }
    Ok(())
}
