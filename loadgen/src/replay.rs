//! `replay`: the RTP streams of a capture, sent again.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use raceway_loadgen_core::replay::{Capture, Flaws, Recorded};
use raceway_loadgen_core::report::Report;
use raceway_loadgen_report::words::of;

use crate::cli::Replay;
use crate::rtp::Calls;
use crate::session::Interrupt;
use crate::show::tell;
use crate::source::Source;

/// Copies begin at random within this time.
const PHASE_MAX: Duration = Duration::from_millis(20);

/// Runs `replay`.
///
/// # Errors
/// It could not be run, and why.
pub fn run(mut options: Replay, interrupt: &Interrupt) -> Result<Report> {
    ensure!(options.copies > 0, "--copies 0: there is nothing to send");
    let name = options.file.display().to_string();
    let file = fs::read(&options.file).with_context(|| format!("{name}: cannot be read"))?;
    let capture = Capture::read(&file).with_context(|| name.clone())?;
    drop(file);
    if !options.common.quiet {
        tell(&found(&name, &capture));
    }
    let period = capture.period();
    let again = options.again.then_some(period);
    if !options.again {
        // As long as the recording, whose copies begin within a packet interval.
        options.common.duration = period + PHASE_MAX;
    }
    let stamp = options.stamp;
    let source = |recorded: &Arc<Recorded>| Source::Capture { recorded: Arc::clone(recorded), period: again, stamp };
    let sources = capture.streams.iter().map(|recorded| {
        let name = format!("{} to {} SSRC {:#010x}", recorded.source, recorded.destination, recorded.ssrc);
        (name, source(recorded))
    });
    let calls = Calls {
        sources: sources.collect(),
        calls: options.copies,
        calls_per_socket: 1,
        ramp: options.ramp,
        what: format!(
            "{} of {name}, {} to {}",
            of(capture.streams.len() as u64, "stream"),
            if options.copies == 1 { "once".to_owned() } else { format!("{} times", options.copies) },
            options.target
        ),
        target: options.target,
        receive: options.receive,
    };
    calls.run(options.common, interrupt)
}

/// What is in a capture, for people.
fn found(name: &str, capture: &Capture) -> String {
    let packets: usize = capture.streams.iter().map(|stream| stream.packets()).sum();
    let mut text = format!(
        "{name}: {} of {}, {:.1} s",
        of(capture.streams.len() as u64, "RTP stream"),
        of(packets as u64, "packet"),
        capture.period().as_secs_f64()
    );
    let flaws = capture.streams.iter().fold(Flaws::default(), |sum, stream| Flaws {
        lost: sum.lost + stream.flaws.lost,
        duplicated: sum.duplicated + stream.flaws.duplicated,
        reordered: sum.reordered + stream.flaws.reordered,
    });
    if flaws != Flaws::default() {
        let Flaws { lost, duplicated, reordered } = flaws;
        text +=
            &format!("; as captured, {lost} lost, {duplicated} duplicated, {reordered} reordered: sent without that");
    }
    if let Some(at) = capture.breaks_off_at {
        text += &format!("; the file breaks off at octet {at}");
    }
    text
}
