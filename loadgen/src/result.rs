//! From what workers found to a report, and the report to whoever wants it.

use std::time::Duration;

use hdrhistogram::Histogram;
use raceway_loadgen_core::quality::Codec;
use raceway_loadgen_core::report::{
    Effort, Machine, Reference, Report, RtcpSummary, Run, Spread, StreamReport, Streams, Summary, TurnSummary, Validity,
};

use crate::session::{Finding, Session};
use crate::worker::{Arriving, Outcome, TurnFigures, written};

/// Options whose values are nobody's business.
const SECRETS: [&str; 2] = ["--password", "--secret"];

/// The report of a run that was about `what`.
#[must_use]
pub fn report(session: &Session, finding: &Finding, what: String) -> Report {
    let sends = finding.outcomes.iter().any(|outcome| !outcome.streams.is_empty());
    let length = finding.length.as_secs_f64();
    let all = &finding.totals.all;
    let rtcp = rtcp(finding);
    // Nothing comes back, but the other side reports: it is a receiver, and what it says is what there is to say.
    let one_way = rtcp.filter(|rtcp| sends && all.received.packets == 0 && rtcp.reports > 0);
    let rows: Vec<StreamReport> = match one_way {
        None => finding.outcomes.iter().flat_map(rows).collect(),
        Some(_) => Vec::new(),
    };
    let reference = reference(&rows);
    let mut summary = Summary::of(all, length, sends && one_way.is_none(), reference);
    if let Some(rtcp) = one_way {
        summary.lost = rtcp.reported_lost.max(0) as u64;
        summary.loss_ratio = summary.lost as f64 / (all.sent.packets.max(1)) as f64;
    }
    let busy = finding.outcomes.iter().map(|outcome| outcome.busy).fold(0.0, f64::max);
    let unsent: u64 = finding.outcomes.iter().map(|outcome| outcome.unsent).sum();
    let validity = Validity::judge(&Effort {
        lateness: all.lateness(),
        due: all.sent.packets + unsent,
        taken: all.sent.packets - all.sent.refused.min(all.sent.packets),
        refused: all.sent.refused,
        busy,
        allowed: session.common.lateness,
    });
    let mut report = Report::of(run(session, length, what), validity, summary, &finding.totals, Streams::of(rows));
    report.turn = turn(&finding.outcomes);
    report.rtcp = rtcp;
    if let Some(expectations) = &session.common.expect {
        report.expectations = expectations.evaluate(&report);
    }
    report
}

fn rows(outcome: &Outcome) -> impl Iterator<Item = StreamReport> {
    // A stream that waited for a call which was never up is no stream.
    let was = |arriving: &&Arriving| {
        let planned = arriving.planned.map(|planned| planned as usize);
        planned.is_none_or(|planned| {
            !outcome.streams[planned].waits || outcome.sent.get(planned).is_some_and(|sent| *sent > 0)
        })
    };
    outcome.receivers.iter().filter(was).map(|arriving| row(outcome, arriving))
}

fn row(outcome: &Outcome, arriving: &Arriving) -> StreamReport {
    match arriving.planned.map(|planned| planned as usize) {
        Some(planned) => {
            let stream = &outcome.streams[planned];
            let codec = stream.source.codec();
            StreamReport::of(stream.name.clone(), &arriving.receiver, outcome.sent.get(planned).copied(), codec)
        }
        None => {
            let from = written(arriving.remote);
            let name = format!("{from} SSRC {:#010x} PT {}", arriving.ssrc, arriving.payload_type);
            StreamReport::of(name, &arriving.receiver, None, codec(arriving.payload_type))
        }
    }
}

/// The codec of a static payload type (RFC 3551 section 6).
fn codec(payload_type: u8) -> Option<Codec> {
    let encoding = match payload_type {
        0 => "PCMU",
        8 => "PCMA",
        9 => "G722",
        _ => return None,
    };
    Codec::of_encoding(encoding)
}

/// Absolute only if the delays of all streams are.
fn reference(rows: &[StreamReport]) -> Reference {
    let delays: Vec<_> = rows.iter().filter_map(|row| row.delay).collect();
    let absolute = !delays.is_empty() && delays.iter().all(|delay| delay.reference == Reference::Absolute);
    if absolute { Reference::Absolute } else { Reference::Relative }
}

/// What TURN clients met.
pub(crate) fn turn(outcomes: &[Outcome]) -> Option<TurnSummary> {
    let mut figures = TurnFigures::default();
    outcomes.iter().for_each(|outcome| figures.merge(&outcome.turn));
    if figures.clients == 0 {
        return None;
    }
    let failures = figures.refusals.iter().map(|(refusal, (count, words))| {
        let said = refusal.code.map_or_else(|| "no answer".to_owned(), |code| format!("{code} {words}"));
        (format!("{}: {said}", refusal.method), *count)
    });
    Some(TurnSummary {
        clients: figures.clients,
        allocated: figures.allocated,
        refreshed: figures.refreshed,
        allocations_per_s: 0.0,
        failures: failures.collect(),
        allocate: Spread::of_us(&figures.allocate_us),
    })
}

fn rtcp(finding: &Finding) -> Option<RtcpSummary> {
    let mut summary = RtcpSummary::default();
    let mut round_trips: Option<Histogram<u64>> = None;
    for outcome in &finding.outcomes {
        let (participants, round_trip_us) = &outcome.rtcp;
        match &mut round_trips {
            None => round_trips = Some(round_trip_us.clone()),
            Some(sum) => sum.add(round_trip_us).expect("the same bounds"),
        }
        for (stream, figures) in participants {
            let rate = stream.map_or(0, |stream| outcome.streams[stream as usize].source.clock_rate());
            let jitter_ms = f64::from(figures.jitter) * 1e3 / f64::from(rate.max(1));
            summary.reported_jitter_max_ms = summary.reported_jitter_max_ms.max(jitter_ms);
            summary.sent += figures.sent;
            summary.received += figures.received;
            summary.malformed += figures.malformed;
            summary.reports += figures.reports;
            summary.reported_lost += i64::from(figures.cumulative_lost);
            summary.key_frame_requests += figures.key_frame_requests;
            summary.retransmission_requests += figures.retransmission_requests;
            summary.goodbyes += figures.goodbyes;
        }
    }
    summary.round_trip = Spread::of_us(&round_trips?);
    (summary.sent + summary.received > 0).then_some(summary)
}

/// What was run, where and when.
pub(crate) fn run(session: &Session, duration_s: f64, what: String) -> Run {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Run {
        command: command(std::env::args()),
        what,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_s: now.saturating_sub(Duration::from_secs_f64(duration_s)).as_secs(),
        duration_s,
        seed: session.seed,
        run: session.run,
        machine: machine(),
        unmeasured: None,
    }
}

/// The command line as it was typed, less its secrets.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let mut hide = false;
    let shown = arguments.enumerate().map(|(at, argument)| {
        if std::mem::take(&mut hide) {
            return "***".to_owned();
        }
        let (name, value) = argument.split_once('=').map_or((argument.as_str(), None), |(n, v)| (n, Some(v)));
        if at == 0 {
            return "raceway-loadgen".to_owned();
        }
        match (SECRETS.contains(&name), value) {
            (true, Some(_)) => format!("{name}=***"),
            (true, None) => {
                hide = true;
                argument
            }
            (false, _) => argument,
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn machine() -> Machine {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |key: &str| cpuinfo.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_once(": "));
    let processor = named("model name").map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned());
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    Machine {
        processor,
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        kernel: format!("{} {}", read("/proc/sys/kernel/ostype"), read("/proc/sys/kernel/osrelease")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_its_secrets() {
        let typed = ["/x/raceway-loadgen", "turn", "--user", "alice", "--password", "wonderland", "--secret=north"];
        let shown = command(typed.into_iter().map(str::to_owned));
        assert_eq!(shown, "raceway-loadgen turn --user alice --password *** --secret=***");
    }
}
