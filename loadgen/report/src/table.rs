//! A run on a terminal.

use std::fmt::Write;
use std::time::Duration;

use raceway_loadgen_core::quality::Band;
use raceway_loadgen_core::report::{
    CallSummary, Interval, Reference, Report, RtcpSummary, Spread, StreamReport, TurnSummary,
};

use crate::verdict::{Verdict, why};
use crate::words::{bits, clean, count, ms, of, percent, rate};

/// Streams that are listed, if any had losses.
const WORST: usize = 5;

/// The last stretch of a run in a line.
#[must_use]
pub fn live(interval: &Interval, length: Duration) -> String {
    let seconds = length.as_secs_f64().max(1e-3);
    let a_second = |packets: u64| rate(packets as f64 / seconds);
    let (sent, received) = (interval.sent.packets, interval.received.packets);
    let mut parts = Vec::new();
    if sent != 0 {
        parts.push(format!("sent {}/s", a_second(sent)));
    }
    parts.push(format!("received {}/s", a_second(received)));
    // What was missing before and came now is no loss of this stretch.
    let missing = interval.received.missing.max(0) as u64;
    parts.push(format!("missing {}", count(missing)));
    let delay = interval.delay();
    if delay.count != 0 {
        parts.push(format!("p99 {} ms", ms(delay.p99_ms)));
    }
    if sent != 0 {
        parts.push(format!("sent late by {} ms", ms(interval.lateness().p99_ms)));
    }
    parts.join("  ")
}

/// A run as a table: 100 columns at most, but for the names of streams and what a server said.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let run = &report.run;
    writeln!(out, "{}, {}\n", clean(&run.what), crate::words::time(run.duration_s))?;
    packets(out, report)?;
    times(out, report)?;
    streams(out, report)?;
    if let Some(rtcp) = &report.rtcp {
        write_rtcp(out, rtcp)?;
    }
    if let Some(turn) = &report.turn {
        write_turn(out, turn)?;
    }
    if let Some(call) = &report.call {
        write_call(out, call)?;
    }
    if let Some(unmeasured) = &run.unmeasured {
        writeln!(out, "Not measured: {}\n", clean(unmeasured))?;
    }
    let width = report.expectations.iter().map(|outcome| outcome.expectation.chars().count()).max().unwrap_or(0);
    for outcome in &report.expectations {
        let word = if outcome.met { "met" } else { "NOT MET" };
        writeln!(out, "{:width$}  {word}: {}", clean(&outcome.expectation), outcome.measured)?;
    }
    writeln!(out, "{}: {}", Verdict::of(report).word().to_uppercase(), why(report))
}

fn packets(out: &mut String, report: &Report) -> std::fmt::Result {
    let summary = &report.summary;
    let (sent, received) = (&summary.sent, &summary.received);
    if report.call.is_some() && sent.packets + received.packets == 0 {
        return Ok(());
    }
    writeln!(out, "{:12}{:>16}{:>16}{:>16}", "", "packets", "a second", "RTP")?;
    let mut row = |name: &str, packets: u64, pps: f64, bps: f64| {
        writeln!(out, "{name:12}{:>16}{:>16}{:>16}", count(packets), rate(pps), bits(bps))
    };
    if sent.packets != 0 {
        row("sent", sent.packets, summary.sent_pps, summary.sent_bps)?;
    }
    row("received", received.packets, summary.received_pps, summary.received_bps)?;
    writeln!(out, "{:12}{:>16}{:>16}", "lost", count(summary.lost), percent(summary.loss_ratio))?;
    let amiss = [
        ("refused by the socket", sent.refused),
        ("duplicated", received.duplicated),
        ("reordered", received.reordered),
        ("corrupted", received.corrupted),
        ("late", received.late),
        ("stray", received.stray),
        ("unstamped", received.unstamped),
        ("foreign", received.foreign),
        ("unauthentic", received.unauthentic),
        ("before due", received.before_due),
        ("gaps", received.gaps),
    ];
    let amiss: Vec<String> = amiss
        .iter()
        .filter(|(_, number)| *number != 0)
        .map(|(name, number)| format!("{name} {}", count(*number)))
        .collect();
    if amiss.is_empty() {
        writeln!(out, "none duplicated, reordered, corrupted or late; no gaps\n")
    } else {
        writeln!(out, "{}\n", amiss.join(", "))
    }
}

fn times(out: &mut String, report: &Report) -> std::fmt::Result {
    let rows = [
        ("delay", report.summary.delay),
        ("variation", report.summary.variation),
        ("sent late", report.validity.lateness),
        ("allocate", report.turn.as_ref().map_or_else(Spread::default, |turn| turn.allocate)),
        ("round trip", report.rtcp.map_or_else(Spread::default, |rtcp| rtcp.round_trip)),
    ]
    .into_iter()
    .chain(report.call.as_ref().map(commands).into_iter().flatten());
    let rows: Vec<_> = rows.filter(|(_, spread)| spread.count != 0).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let heads = ["min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];
    writeln!(out, "{:12}{}", "ms", heads.map(|head| format!("{head:>10}")).concat())?;
    for (name, s) in rows {
        let values = [s.min_ms, s.mean_ms, s.p50_ms, s.p90_ms, s.p99_ms, s.p99_9_ms, s.p99_99_ms, s.max_ms];
        writeln!(out, "{name:12}{}", values.map(|value| format!("{:>10}", ms(value))).concat())?;
    }
    if report.summary.delay.count != 0 && report.summary.delay_reference == Reference::Relative {
        writeln!(
            out,
            "Clocks of sender and receiver differ: delays are above the fastest packet of each stream so far."
        )?;
    }
    writeln!(out)
}

fn streams(out: &mut String, report: &Report) -> std::fmt::Result {
    let streams = &report.streams;
    if streams.count == 0 {
        return Ok(());
    }
    write!(out, "{}, {} with losses", of(streams.count, "stream"), count(streams.with_loss))?;
    if let Some(jitter) = streams.jitter_ms {
        write!(out, "; jitter {} ms in the mean, {} at most", ms(jitter.mean), ms(jitter.max))?;
    }
    if let (Some(mos), Some(band)) = (streams.mos, streams.band) {
        let band = band_name(band);
        write!(
            out,
            "\nMOS {:.2} in the mean, {:.2} at the 5th percentile, {:.2} at worst ({band})",
            mos.mean, mos.p5, mos.min
        )?;
    }
    writeln!(out)?;
    let worst: Vec<&StreamReport> = streams.rows.iter().filter(|row| row.lost != 0).take(WORST).collect();
    for row in worst {
        let (name, lost, share) = (clean(&row.name), count(row.lost), percent(row.loss_ratio));
        let (jitter, gap) = (ms(row.jitter_mean_ms), ms(row.longest_gap_ms));
        writeln!(out, "  {name}: lost {lost} ({share}), jitter {jitter} ms, longest gap {gap} ms")?;
    }
    writeln!(out)
}

pub(crate) const fn band_name(band: Band) -> &'static str {
    match band {
        Band::Narrow => "narrowband, G.107",
        Band::Wide => "wideband, G.107.1",
    }
}

fn write_rtcp(out: &mut String, rtcp: &RtcpSummary) -> std::fmt::Result {
    let RtcpSummary { sent, received, reports, reported_lost, reported_jitter_max_ms, .. } = *rtcp;
    write!(out, "RTCP: {} sent, {} received", count(sent), count(received))?;
    if reports != 0 {
        let jitter = ms(reported_jitter_max_ms);
        write!(out, "; {} reports: {reported_lost} lost, jitter {jitter} ms at most", count(reports))?;
    }
    let rest = [
        ("key frames asked for", rtcp.key_frame_requests),
        ("packets asked for again", rtcp.retransmission_requests),
        ("goodbyes", rtcp.goodbyes),
        ("malformed", rtcp.malformed),
    ];
    for (name, number) in rest.into_iter().filter(|(_, number)| *number != 0) {
        write!(out, ", {name} {}", count(number))?;
    }
    writeln!(out, "\n")
}

fn write_turn(out: &mut String, turn: &TurnSummary) -> std::fmt::Result {
    let TurnSummary { clients, allocated, refreshed, allocations_per_s, .. } = turn;
    write!(out, "TURN: {}, {}", of(*clients, "client"), of(*allocated, "allocation"))?;
    if *refreshed != 0 {
        write!(out, ", {} refreshes", count(*refreshed))?;
    }
    if *allocations_per_s > 0.0 {
        write!(out, ", {} allocations a second", rate(*allocations_per_s))?;
    }
    writeln!(out)?;
    for (reason, number) in &turn.failures {
        writeln!(out, "  {}: {}", clean(reason), count(*number))?;
    }
    writeln!(out)
}

/// Times of the commands of calls, by name.
pub(crate) fn commands(call: &CallSummary) -> [(&'static str, Spread); 4] {
    [("set up", call.set_up), ("offer", call.offer), ("answer", call.answer), ("delete", call.delete)]
}

fn write_call(out: &mut String, call: &CallSummary) -> std::fmt::Result {
    let CallSummary { offered, answered, deleted, set_up_per_s, repeated, relay_packets, relay_errors, .. } = call;
    write!(out, "Calls: {} offered, {} answered, {} deleted", count(*offered), count(*answered), count(*deleted))?;
    if *set_up_per_s > 0.0 && *answered > 1 {
        write!(out, "; {} set up a second", rate(*set_up_per_s))?;
    }
    writeln!(out)?;
    if *repeated != 0 {
        writeln!(out, "  {} sent again", of(*repeated, "command"))?;
    }
    if let Some(packets) = relay_packets.filter(|packets| *packets + relay_errors != 0) {
        writeln!(
            out,
            "  the relay counted {} of RTP, {} of them not passed on",
            of(packets, "packet"),
            count(*relay_errors)
        )?;
    }
    for (reason, number) in &call.failures {
        writeln!(out, "  {}: {}", clean(reason), count(*number))?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests;
