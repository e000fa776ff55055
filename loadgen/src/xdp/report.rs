//! From what the kernel counted to the report that all runs have.

use raceway_loadgen_core::report::{
    Effort, Interval, Received, Reference, Report, StreamReport, Streams, Summary, Validity,
};
use raceway_loadgen_xdp::Tally;

use super::{Finding, Stream};
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

/// The report of a run.
pub(super) fn report(session: &Session, finding: &Finding, profile: &str, what: String) -> Report {
    let length = finding.length.as_secs_f64();
    let mut totals = finding.totals.clone();
    totals.all.sent.refused = finding.refused;
    let sent = totals.all.sent.packets;
    let rows = finding.streams.iter().enumerate().map(|(number, stream)| row(number as u32, stream, profile)).collect();
    let summary = Summary::of(&totals.all, length, true, Reference::Absolute);
    let validity = Validity::judge(&Effort {
        lateness: totals.all.lateness(),
        due: sent + finding.unsent,
        taken: sent - finding.refused,
        refused: finding.refused,
        // It asks for the time without a pause.
        busy: 1.0,
        allowed: session.common.lateness,
    });
    let mut run = result::run(session, length, what);
    run.unmeasured = Some(UNMEASURED.to_owned());
    let mut report = Report::of(run, validity, summary, &totals, Streams::of(rows));
    if let Some(expectations) = &session.common.expect {
        report.expectations = expectations.evaluate(&report);
    }
    report
}

fn row(number: u32, stream: &Stream, profile: &str) -> StreamReport {
    let heard = &stream.heard;
    let lost = stream.sent.saturating_sub(heard.packets);
    let ms = |ns_q4: u64| ns_q4 as f64 / 16e6;
    let jitter_mean_ms = if heard.jittered == 0 { 0.0 } else { ms(heard.jitter_sum_q4) / f64::from(heard.jittered) };
    StreamReport {
        stream: Some(number),
        name: format!("{profile} {number}"),
        sent: Some(stream.sent),
        received: Received {
            packets: heard.packets,
            octets: heard.packets * stream.octets,
            missing: heard.span(stream.first) as i64 - heard.packets as i64,
            duplicated: heard.duplicated.into(),
            reordered: heard.reordered.into(),
            corrupted: heard.corrupted.into(),
            late: heard.late.into(),
            stray: heard.stray.into(),
            gaps: heard.gaps.into(),
            ..Received::default()
        },
        lost,
        loss_ratio: if stream.sent == 0 { 0.0 } else { lost as f64 / stream.sent as f64 },
        reordered_by_max: heard.behind_max,
        longest_gap_ms: heard.gap_ns as f64 / 1e6,
        jitter_ms: ms(heard.jitter_q4),
        jitter_mean_ms,
        jitter_max_ms: ms(heard.jitter_max_q4),
        ..StreamReport::default()
    }
}
