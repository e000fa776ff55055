//! From what the kernel counted to the report that all runs have.

use raceway_loadgen_core::report::{
    Effort, Interval, Received, Reference, Report, StreamReport, Streams, Summary, Validity,
};
use raceway_loadgen_xdp::{Heard, Tally};

use super::Finding;
use crate::result;
use crate::session::Session;

/// What a report of a run in XDP has no figures for.
const UNMEASURED: &str = "damage outside stamps, MOS, burstiness of loss, delay and variation of single streams, RTCP";

/// Adds what came since the last look.
pub(super) fn add(interval: &mut Interval, tally: &Tally) {
    let counts = &tally.counts;
    interval.received = Received {
        packets: counts.packets,
        octets: counts.octets,
        missing: counts.missing,
        duplicated: counts.duplicated,
        reordered: counts.reordered,
        corrupted: counts.corrupted,
        late: counts.late,
        stray: counts.stray,
        unstamped: 0,
        foreign: counts.foreign,
        unauthentic: 0,
        before_due: counts.before_due,
        gaps: counts.gaps,
    };
    for (ns, packets) in &tally.delays {
        interval.were_delayed(*ns, *packets);
    }
    for (ns, packets) in &tally.variations {
        interval.varied(*ns, *packets);
    }
}

/// The report of a run, which sends streams or receives those of others.
pub(super) fn report(session: &Session, finding: Finding, sends: bool, reference: Reference, what: String) -> Report {
    let Finding { mut totals, length, streams, unsent, refused } = finding;
    let length = length.as_secs_f64();
    totals.all.sent.refused = refused;
    let sent = totals.all.sent.packets;
    let summary = Summary::of(&totals.all, length, sends, reference);
    let validity = Validity::judge(&Effort {
        lateness: totals.all.lateness(),
        due: sent + unsent,
        taken: sent - refused,
        refused,
        // It asks for the time without a pause.
        busy: if sends { 1.0 } else { 0.0 },
        allowed: session.common.lateness,
    });
    let mut run = result::run(session, length, what);
    run.unmeasured = Some(UNMEASURED.to_owned());
    let mut report = Report::of(run, validity, summary, &totals, Streams::of(streams));
    if let Some(expectations) = &session.common.expect {
        report.expectations = expectations.evaluate(&report);
    }
    report
}

/// What became of a stream whose first number is `first`, and of which `octets` of RTP arrived.
pub(super) fn row(
    name: String,
    stream: Option<u32>,
    sent: Option<u64>,
    heard: &Heard,
    first: u32,
    octets: u64,
) -> StreamReport {
    let between = heard.span(first).saturating_sub(heard.packets);
    let lost = sent.map_or(between, |sent| sent.saturating_sub(heard.packets));
    let of = heard.packets + lost;
    let ms = |ns_q4: u64| ns_q4 as f64 / 16e6;
    let jitter_mean_ms = if heard.jittered == 0 { 0.0 } else { ms(heard.jitter_sum_q4) / f64::from(heard.jittered) };
    StreamReport {
        stream,
        name,
        sent,
        received: Received {
            packets: heard.packets,
            octets,
            missing: heard.span(first) as i64 - heard.packets as i64,
            duplicated: heard.duplicated.into(),
            reordered: heard.reordered.into(),
            corrupted: heard.corrupted.into(),
            late: heard.late.into(),
            stray: heard.stray.into(),
            gaps: heard.gaps.into(),
            ..Received::default()
        },
        lost,
        loss_ratio: if of == 0 { 0.0 } else { lost as f64 / of as f64 },
        reordered_by_max: heard.behind_max,
        longest_gap_ms: heard.gap_ns as f64 / 1e6,
        jitter_ms: ms(heard.jitter_q4),
        jitter_mean_ms,
        jitter_max_ms: ms(heard.jitter_max_q4),
        ..StreamReport::default()
    }
}
