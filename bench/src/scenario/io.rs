//! Ways for workers to receive and send, side by side, and what each of their parameters brings.

use anyhow::{Context, Result};

use super::Stage;
use super::bench::Setup;
use super::rate::{FLOWS, measure};
use crate::stand::frames::Load;
use crate::stand::topology::Direction;
use crate::subject::Subject;

/// Streams of video: as many as come to about the rate of calls.
const VIDEOS: u32 = 50;

/// Parameters beside the usual ones, by subject.
const VARIANTS: [(Subject, &str); 11] = [
    (Subject::RacewayWorkers, "--io=mmsg"),
    (Subject::Mmsg, "--batch=16"),
    (Subject::Mmsg, "--batch=256"),
    (Subject::Mmsg, "--busy-poll-us=50"),
    (Subject::Uring, "--batch=16"),
    (Subject::Uring, "--batch=256"),
    (Subject::Uring, "--gather-us=0"),
    (Subject::Uring, "--gather-us=100"),
    (Subject::Uring, "--busy-poll-us=50"),
    (Subject::Uring, "--sqpoll"),
    (Subject::Uring, "--zero-copy"),
];

/// How many setups are measured.
pub fn setups(subject: Subject) -> u32 {
    let variants = VARIANTS.iter().filter(|(of, _)| *of == subject).count() as u32;
    variants + if subject == Subject::RacewayWorkers { 2 } else { 1 }
}

/// Calls with each parameter, and video, in which neighbouring packets are of one stream.
pub fn run(stage: &mut Stage, subject: Subject) -> Result<()> {
    let variants = VARIANTS.iter().filter(|(of, _)| *of == subject).map(|(_, variant)| *variant);
    for variant in variants {
        let usual = stage.setup(subject, Load::calls(FLOWS));
        let setup = Setup { extra: vec![variant.to_owned()], ..usual };
        measure(stage, &setup, variant, &[Direction::ToPeer]).with_context(|| variant.to_owned())?;
    }
    let mut videos = vec![""];
    if subject == Subject::RacewayWorkers {
        videos.push("--io=mmsg");
    }
    for variant in videos {
        let extra = if variant.is_empty() { Vec::new() } else { vec![variant.to_owned()] };
        let setup = Setup { extra, ..stage.setup(subject, Load::video(VIDEOS)) };
        measure(stage, &setup, variant, &[Direction::ToPeer]).context("video")?;
    }
    Ok(())
}
