//! A run as one page: no script, nothing fetched, light and dark, readable on a phone.

mod filters;
mod plot;
mod plots;

use askama::Template;
use raceway_loadgen_core::report::{
    CallSummary, Outcome, Reference, Report, RtcpSummary, Spread, StreamReport, TurnSummary,
};

use crate::table::{band_name, commands};
use crate::verdict::{Verdict, why};
use crate::words::{bits, count, date, ms, of, percent, rate, time};

/// Streams that have a row on the page.
pub const WORST_ROWS: usize = 20;

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A plot could not be drawn.
    #[error("a plot could not be drawn: {0}")]
    Plot(String),
    /// The page could not be put together.
    #[error("the page could not be put together: {0}")]
    Template(String),
}

/// A run as a page of HTML.
///
/// # Errors
/// [`PageError`]: neither is known to happen.
pub fn page(report: &Report) -> Result<String, PageError> {
    let figures = plots::plots(report).into_iter().map(|plot| {
        let svg = plot.svg().map_err(PageError::Plot)?;
        let legend = plot.lines.iter().filter(|line| !line.points.is_empty());
        let legend: Vec<_> = legend.map(|line| (line.name, line.ink.variable())).collect();
        let legend = if legend.len() > 1 { legend } else { Vec::new() };
        Ok(Figure { title: plot.title, description: plot.description, legend, svg })
    });
    let page = Page {
        report,
        verdict: Verdict::of(report),
        why: why(report),
        tiles: tiles(report),
        figures: figures.collect::<Result<_, _>>()?,
        facts: facts(report),
    };
    page.render().map_err(|error| PageError::Template(error.to_string()))
}

/// A plot on the page.
struct Figure {
    title: &'static str,
    description: String,
    /// Names of lines and the variables of their colours.
    legend: Vec<(&'static str, &'static str)>,
    svg: String,
}

/// The name of something that was timed, and its percentiles as the table has them.
type Percentiles = (&'static str, [String; 8]);

/// A figure that counts.
struct Tile {
    name: &'static str,
    value: String,
    unit: &'static str,
    /// What it is made of.
    note: String,
    /// Worth a second look.
    bad: bool,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    report: &'a Report,
    verdict: Verdict,
    why: String,
    tiles: Vec<Tile>,
    figures: Vec<Figure>,
    facts: Vec<(&'static str, String)>,
}

impl Page<'_> {
    /// Names and values of what was counted, those first that are always of interest.
    fn counts(&self) -> Vec<(&'static str, String, String, String)> {
        let summary = &self.report.summary;
        let (sent, received) = (&summary.sent, &summary.received);
        let mut rows = Vec::new();
        if !has_packets(self.report) {
            return rows;
        }
        if sent.packets != 0 {
            rows.push(("sent", count(sent.packets), rate(summary.sent_pps), bits(summary.sent_bps)));
        }
        rows.push(("received", count(received.packets), rate(summary.received_pps), bits(summary.received_bps)));
        rows.push(("lost", count(summary.lost), percent(summary.loss_ratio), String::new()));
        let rest = [
            ("duplicated", received.duplicated, true),
            ("reordered", received.reordered, true),
            ("corrupted", received.corrupted, true),
            ("late", received.late, true),
            ("gaps", received.gaps, true),
            ("refused", sent.refused, false),
            ("stray", received.stray, false),
            ("unstamped", received.unstamped, false),
            ("unauthentic", received.unauthentic, false),
            ("foreign", received.foreign, false),
            ("before due", received.before_due, false),
        ];
        let shown = rest.into_iter().filter(|(_, number, always)| *always || *number != 0);
        rows.extend(shown.map(|(name, number, _)| (name, count(number), String::new(), String::new())));
        rows
    }

    /// What was timed, by what it was, with its percentiles.
    fn times(&self) -> Vec<(&'static str, Vec<Percentiles>)> {
        let report = self.report;
        let packets = [
            ("delay", report.summary.delay),
            ("variation", report.summary.variation),
            ("sent late", report.validity.lateness),
            ("allocate", report.turn.as_ref().map_or_else(Spread::default, |turn| turn.allocate)),
            ("round trip", report.rtcp.map_or_else(Spread::default, |rtcp| rtcp.round_trip)),
        ];
        let calls = report.call.as_ref().map_or_else(Vec::new, |call| commands(call).to_vec());
        let values = |s: Spread| [s.min_ms, s.mean_ms, s.p50_ms, s.p90_ms, s.p99_ms, s.p99_9_ms, s.p99_99_ms, s.max_ms];
        let measured = |spreads: Vec<(&'static str, Spread)>| {
            let spreads = spreads.into_iter().filter(|(_, spread)| spread.count != 0);
            spreads.map(|(name, spread)| (name, values(spread).map(ms))).collect::<Vec<Percentiles>>()
        };
        let groups = [("Times, ms", measured(packets.to_vec())), ("Setting up calls, ms", measured(calls))];
        groups.into_iter().filter(|(_, spreads)| !spreads.is_empty()).collect()
    }

    fn worst(&self) -> &[StreamReport] {
        &self.report.streams.rows[..self.report.streams.rows.len().min(WORST_ROWS)]
    }

    fn rtcp(&self) -> Vec<(&'static str, String)> {
        let Some(rtcp) = self.report.rtcp else { return Vec::new() };
        let RtcpSummary { sent, received, malformed, reports, reported_lost, .. } = rtcp;
        vec![
            ("sent", count(sent)),
            ("received", count(received)),
            ("malformed", count(malformed)),
            ("report blocks", count(reports)),
            ("lost by the reports", reported_lost.to_string()),
            ("largest jitter by the reports", format!("{} ms", ms(rtcp.reported_jitter_max_ms))),
            ("key frames asked for", count(rtcp.key_frame_requests)),
            ("packets asked for again", count(rtcp.retransmission_requests)),
            ("goodbyes", count(rtcp.goodbyes)),
        ]
    }

    fn calls(&self) -> Vec<(String, String)> {
        let Some(call) = &self.report.call else { return Vec::new() };
        let named = |name: &str, number: u64| (name.to_owned(), count(number));
        let mut rows = vec![
            named("offered", call.offered),
            named("answered", call.answered),
            named("deleted", call.deleted),
            ("set up a second".to_owned(), rate(call.set_up_per_s)),
            named("commands sent again", call.repeated),
        ];
        if let Some(packets) = call.relay_packets.filter(|packets| *packets + call.relay_errors != 0) {
            rows.push(named("packets of RTP as the relay counts", packets));
            rows.push(named("of these not passed on", call.relay_errors));
        }
        rows.extend(call.failures.iter().map(|(reason, number)| named(reason, *number)));
        rows
    }

    fn turn(&self) -> Vec<(String, String)> {
        let Some(TurnSummary { clients, allocated, refreshed, allocations_per_s, failures, .. }) = &self.report.turn
        else {
            return Vec::new();
        };
        let named = |name: &str, value: String| (name.to_owned(), value);
        let mut rows = vec![named("clients", count(*clients)), named("allocations", count(*allocated))];
        rows.push(named("refreshes", count(*refreshed)));
        if *allocations_per_s > 0.0 {
            rows.push(named("allocations a second", rate(*allocations_per_s)));
        }
        rows.extend(failures.iter().map(|(reason, number)| (reason.clone(), count(*number))));
        rows
    }
}

/// Whether packets are what a run was about, and not commands alone.
fn has_packets(report: &Report) -> bool {
    report.call.is_none() || report.summary.sent.packets + report.summary.received.packets != 0
}

fn tiles(report: &Report) -> Vec<Tile> {
    let calls = report.call.as_ref().map(call_tiles).into_iter().flatten();
    let packets = has_packets(report).then(|| packet_tiles(report)).into_iter().flatten();
    let lateness = report.validity.lateness;
    let own = (lateness.count != 0).then(|| Tile {
        name: "generator late, p99",
        value: ms(lateness.p99_ms),
        unit: "ms",
        note: format!("busiest core {:.0} % busy", report.validity.busy * 100.0),
        bad: !report.validity.valid,
    });
    packets.chain(calls).chain(own).collect()
}

fn call_tiles(call: &CallSummary) -> Vec<Tile> {
    let failed: u64 = call.failures.values().sum();
    let note = if failed == 0 { format!("of {} offered", count(call.offered)) } else { of(failed, "failure") };
    let mut tiles =
        vec![Tile { name: "calls answered", value: count(call.answered), unit: "", note, bad: failed != 0 }];
    if call.answered > 1 {
        let note = "an offer and an answer each".to_owned();
        tiles.push(Tile { name: "set up", value: rate(call.set_up_per_s), unit: "/s", note, bad: false });
    }
    if call.set_up.count != 0 {
        let note = format!("median {} ms", ms(call.set_up.p50_ms));
        tiles.push(Tile { name: "setting up, p99", value: ms(call.set_up.p99_ms), unit: "ms", note, bad: false });
    }
    tiles
}

fn packet_tiles(report: &Report) -> Vec<Tile> {
    let (summary, streams) = (&report.summary, &report.streams);
    let mut tiles = vec![Tile {
        name: "lost",
        value: percent(summary.loss_ratio).trim_end_matches(" %").to_owned(),
        unit: "%",
        note: of(summary.lost, "packet"),
        bad: summary.lost != 0,
    }];
    if summary.delay.count != 0 {
        let above = if summary.delay_reference == Reference::Relative { " above the fastest" } else { "" };
        tiles.push(Tile {
            name: "delay, p99",
            value: ms(summary.delay.p99_ms),
            unit: "ms",
            note: format!("median {} ms{above}", ms(summary.delay.p50_ms)),
            bad: false,
        });
    }
    if let Some(jitter) = streams.jitter_ms {
        let note = format!("{} ms at most", ms(jitter.max));
        tiles.push(Tile { name: "jitter", value: ms(jitter.mean), unit: "ms", note, bad: false });
    }
    if let (Some(mos), Some(band)) = (streams.mos, streams.band) {
        let note = format!("worst {:.2}; {}", mos.min, band_name(band));
        tiles.push(Tile { name: "MOS", value: format!("{:.2}", mos.mean), unit: "", note, bad: mos.min < 3.6 });
    }
    let note = bits(summary.received_bps);
    tiles.push(Tile { name: "received", value: rate(summary.received_pps), unit: "/s", note, bad: false });
    tiles
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let run = &report.run;
    let cores = of(run.machine.cores.into(), "core");
    let unmeasured = run.unmeasured.iter().map(|words| ("not measured", words.clone()));
    let facts = [
        ("command", run.command.clone()),
        ("began", date(run.started_unix_s)),
        ("lasted", time(run.duration_s)),
        ("processor", format!("{}, {cores}", run.machine.processor)),
        ("kernel", run.machine.kernel.clone()),
        ("version", format!("raceway-loadgen {}", run.version)),
        ("run, seed", format!("{:#010x}, {}", run.run, run.seed)),
    ];
    facts.into_iter().chain(unmeasured).collect()
}

#[cfg(test)]
mod tests;
