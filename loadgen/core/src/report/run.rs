//! The whole of a run, as JSON has it. Table, page and expectations read the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CallSummary, Interval, Point, Received, Reference, Sent, Spread, Streams, Totals, Validity};

/// Version of the JSON; changes when a reader of an older one would be wrong.
pub const FORMAT: u32 = 1;

/// The whole of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What was run, where and when.
    pub run: Run,
    /// Whether the generator kept up.
    pub validity: Validity,
    /// All streams together.
    pub summary: Summary,
    /// The streams side by side.
    pub streams: Streams,
    /// How it went over time.
    pub series: Vec<Point>,
    /// Delay at shares of packets that come ever closer to all.
    pub delay_curve: Vec<CurvePoint>,
    /// Reports about streams, if any were exchanged.
    pub rtcp: Option<RtcpSummary>,
    /// Allocations, if there were any.
    pub turn: Option<TurnSummary>,
    /// Calls, if there were any.
    #[serde(default)]
    pub call: Option<CallSummary>,
    /// What was expected and whether it came so; empty if nothing was.
    pub expectations: Vec<Outcome>,
}

/// What was run, where and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The command line, without secrets.
    pub command: String,
    /// What the streams were: profile, number, transport, for people.
    pub what: String,
    /// Version of the generator.
    pub version: String,
    /// When it began, seconds since 1970.
    pub started_unix_s: u64,
    /// How long it sent or listened.
    pub duration_s: f64,
    /// What random choices were made from.
    pub seed: u64,
    /// Number of the run, in its stamps.
    pub run: u32,
    /// Where it ran.
    pub machine: Machine,
    /// What the way in which it ran has no figures for, for people: zero there means nothing.
    #[serde(default)]
    pub unmeasured: Option<String>,
}

/// Where a run ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processor, as it names itself.
    pub processor: String,
    /// Cores that the run could use.
    pub cores: u32,
    /// Operating system and release.
    pub kernel: String,
}

/// All streams together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What was sent; nothing where the sender is elsewhere.
    pub sent: Sent,
    /// What arrived.
    pub received: Received,
    /// Packets lost: of those sent, or else of those that should have been between the first and last of each stream.
    pub lost: u64,
    /// Share of packets lost, 0 to 1.
    pub loss_ratio: f64,
    /// Packets sent a second.
    pub sent_pps: f64,
    /// Packets received a second.
    pub received_pps: f64,
    /// Bits of RTP sent a second.
    pub sent_bps: f64,
    /// Bits of RTP received a second.
    pub received_bps: f64,
    /// What delays are counted from. Relative ones are above the fastest packet of the same stream so far.
    pub delay_reference: Reference,
    /// From due time to arrival.
    pub delay: Spread,
    /// Differences of delay between packets that follow each other, without their sign (RFC 5481 section 4.1).
    pub variation: Spread,
}

/// A point of the delay curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Share of packets, 0 to 1.
    pub share: f64,
    /// What their delay does not exceed.
    pub delay_ms: f64,
}

/// Reports about streams (RFC 3550 section 6) and feedback (RFC 4585, RFC 5104).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RtcpSummary {
    /// RTCP datagrams sent.
    pub sent: u64,
    /// RTCP datagrams received.
    pub received: u64,
    /// Datagrams that looked like RTCP and were not.
    pub malformed: u64,
    /// Report blocks about streams of ours.
    pub reports: u64,
    /// Packets lost as the other side counts them, all streams together.
    pub reported_lost: i64,
    /// Largest jitter that the other side reported of a stream.
    pub reported_jitter_max_ms: f64,
    /// Round trips by the reports.
    pub round_trip: Spread,
    /// Key frames that were asked for (PLI, FIR).
    pub key_frame_requests: u64,
    /// Packets that were asked for again (NACK).
    pub retransmission_requests: u64,
    /// Streams that the other side ended.
    pub goodbyes: u64,
}

/// Allocations on a TURN server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TurnSummary {
    /// Clients that tried.
    pub clients: u64,
    /// Allocations made.
    pub allocated: u64,
    /// Refreshes that succeeded.
    pub refreshed: u64,
    /// Allocations made a second, where the run was for that.
    pub allocations_per_s: f64,
    /// What did not succeed, by what the server said, or did not say.
    pub failures: BTreeMap<String, u64>,
    /// From the first Allocate request to the success response, challenges included.
    pub allocate: Spread,
}

/// An expectation and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// As it was written.
    pub expectation: String,
    /// What was measured, for people.
    pub measured: String,
    /// It came so.
    pub met: bool,
}

impl Summary {
    /// Of a run of this length. `sender_known` if all senders counted here.
    #[must_use]
    pub fn of(all: &Interval, duration_s: f64, sender_known: bool, delay_reference: Reference) -> Self {
        let (sent, received) = (all.sent, all.received);
        let between = received.missing.max(0) as u64;
        let lost = if sender_known { sent.packets.saturating_sub(received.packets) } else { between };
        let whole = received.packets + lost;
        let rate = |count: u64| if duration_s > 0.0 { count as f64 / duration_s } else { 0.0 };
        Self {
            sent,
            received,
            lost,
            loss_ratio: if whole == 0 { 0.0 } else { lost as f64 / whole as f64 },
            sent_pps: rate(sent.packets),
            received_pps: rate(received.packets),
            sent_bps: rate(sent.octets * 8),
            received_bps: rate(received.octets * 8),
            delay_reference,
            delay: all.delay(),
            variation: all.variation(),
        }
    }
}

impl Report {
    /// Of a run; RTCP, TURN, calls and expectations are put in by who has them.
    #[must_use]
    pub fn of(run: Run, validity: Validity, summary: Summary, totals: &Totals, streams: Streams) -> Self {
        let curve = totals.all.delay_curve().map(|(share, ns)| CurvePoint { share, delay_ms: ns as f64 / 1e6 });
        Self {
            format: FORMAT,
            run,
            validity,
            summary,
            streams,
            series: totals.series.points().to_vec(),
            delay_curve: curve.collect(),
            rtcp: None,
            turn: None,
            call: None,
            expectations: Vec::new(),
        }
    }

    /// The generator kept up and every expectation was met.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.validity.valid && self.expectations.iter().all(|outcome| outcome.met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(sent: u64, received: u64, missing: i64) -> Interval {
        let mut interval = Interval::new();
        interval.sent = Sent { packets: sent, octets: sent * 172, refused: 0 };
        interval.received = Received { packets: received, octets: received * 172, missing, ..Received::default() };
        interval
    }

    #[test]
    fn the_tail_of_a_run_is_lost_only_to_who_knows_the_sender() {
        let known = Summary::of(&interval(1000, 900, 60), 2.0, true, Reference::Absolute);
        assert_eq!((known.lost, known.loss_ratio, known.sent_pps, known.received_bps), (100, 0.1, 500.0, 619_200.0));
        let sink = Summary::of(&interval(0, 900, 100), 2.0, false, Reference::Relative);
        assert_eq!((sink.lost, sink.loss_ratio), (100, 0.1));
    }

    #[test]
    fn a_run_of_no_length_has_no_rates() {
        let summary = Summary::of(&interval(1, 1, 0), 0.0, true, Reference::Absolute);
        assert_eq!((summary.sent_pps, summary.received_pps, summary.loss_ratio), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_run_passes_if_it_is_valid_and_all_it_was_to_be() {
        let valid = Validity { valid: true, ..Validity::default() };
        let summary = Summary::default();
        let mut report = Report::of(Run::default(), valid, summary, &Totals::default(), Streams::default());
        assert!(report.passed());
        let outcome = Outcome { expectation: "loss<=0".into(), measured: "0.1 %".into(), met: false };
        report.expectations.push(outcome);
        assert!(!report.passed());
        report.expectations.clear();
        report.validity.valid = false;
        assert!(!report.passed());
    }

    #[test]
    fn json_is_read_back_as_it_was_written() {
        let mut totals = Totals::default();
        totals.add(&interval(10, 9, 1), core::time::Duration::ZERO, core::time::Duration::from_secs(1));
        let summary = Summary::of(&totals.all, 1.0, true, Reference::Absolute);
        let mut report = Report::of(Run::default(), Validity::default(), summary, &totals, Streams::default());
        report.turn = Some(TurnSummary { failures: BTreeMap::from([("401".to_owned(), 3)]), ..TurnSummary::default() });
        report.rtcp = Some(RtcpSummary::default());
        report.call = Some(CallSummary { relay_packets: Some(3), ..CallSummary::default() });
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert!(json.contains(r#""delay_reference":"absolute""#) && json.contains(r#""format":1"#), "{json}");
    }
}
