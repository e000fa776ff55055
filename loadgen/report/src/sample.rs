//! Reports for tests, as runs would make them.

use std::collections::BTreeMap;
use std::time::Duration;

use raceway_loadgen_core::expect::Expectations;
use raceway_loadgen_core::quality::{Band, Rating};
use raceway_loadgen_core::receive::{Arrival, Content, Place, Timing};
use raceway_loadgen_core::report::{
    CallSummary, CurvePoint, Delay, Effort, Interval, Machine, Outcome, Received, Reference, Report, RtcpSummary, Run,
    Spread, StreamReport, Streams, Summary, Totals, TurnSummary, Validity,
};
use raceway_units::Random;

/// A minute of 200 streams of PCMU through something that stood still for a second and loses a little.
pub fn report() -> Report {
    let mut random = Random::new(4);
    let mut totals = Totals::default();
    for second in 0..60u64 {
        let mut interval = Interval::new();
        let mut missing = 0;
        for _ in 0..10_000 {
            interval.sent(172, Duration::from_nanos(4_000 + random.below(60_000)));
            let lost = random.fraction() < if second == 41 { 0.2 } else { 0.0005 };
            missing += u32::from(lost);
            if !lost {
                interval.arrived(&arrival(second, std::mem::take(&mut missing), &mut random));
            }
        }
        totals.add(&interval, Duration::from_secs(second), Duration::from_secs(1));
    }
    let all = &totals.all;
    let summary = Summary::of(all, 60.0, true, Reference::Absolute);
    let (due, lateness) = (all.sent.packets, all.lateness());
    let validity = Validity::judge(&Effort {
        lateness,
        due,
        taken: due,
        refused: 0,
        busy: 0.34,
        allowed: Duration::from_millis(1),
    });
    let rows = (0..200).map(|number| row(number, &mut random)).collect();
    let run = Run {
        command: "raceway-loadgen rtp --target 10.0.0.1:5000 --streams 200 --duration 60s --expect loss<=0,p99<=2ms"
            .into(),
        what: "200 streams of pcmu to 10.0.0.1:5000".into(),
        version: "0.1.0".into(),
        started_unix_s: 1_795_788_588,
        duration_s: 60.0,
        seed: 7,
        run: 0xbeef,
        machine: Machine { processor: "Intel(R) Xeon(R) Processor".into(), cores: 2, kernel: "Linux 6.1.0".into() },
        unmeasured: None,
    };
    let mut report = Report::of(run, validity, summary, &totals, Streams::of(rows));
    let expectations: Expectations = "loss<=0,p99<=12ms".parse().expect("they are well written");
    report.expectations = expectations.evaluate(&report);
    report
}

/// The same with everything that only some runs have.
pub fn with_everything() -> Report {
    let mut report = report();
    let (p50_ms, p90_ms, p99_ms, p99_9_ms, p99_99_ms) = (0.9, 1.8, 3.0, 4.1, 4.1);
    let allocate =
        Spread { count: 200, min_ms: 0.4, mean_ms: 1.0, p50_ms, p90_ms, p99_ms, p99_9_ms, p99_99_ms, max_ms: 4.1 };
    report.turn = Some(TurnSummary {
        clients: 205,
        allocated: 200,
        refreshed: 12,
        allocations_per_s: 0.0,
        failures: BTreeMap::from([("Allocate: 486 Allocation Quota Reached".to_owned(), 5)]),
        allocate,
    });
    report.call = Some(CallSummary {
        offered: 103,
        answered: 100,
        deleted: 100,
        set_up_per_s: 2_000.0,
        failures: BTreeMap::from([("offer: Ran out of ports".to_owned(), 3)]),
        set_up: allocate,
        set_up_curve: vec![
            CurvePoint { share: 0.5, delay_ms: 0.9 },
            CurvePoint { share: 0.99, delay_ms: 3.0 },
            CurvePoint { share: 1.0, delay_ms: 4.1 },
        ],
        relay_packets: Some(600_000),
        ..CallSummary::default()
    });
    report.rtcp =
        Some(RtcpSummary { sent: 2400, received: 2390, reports: 2390, reported_lost: 12, ..RtcpSummary::default() });
    report
}

pub fn outcome(expectation: &str, measured: &str, met: bool) -> Outcome {
    Outcome { expectation: expectation.to_owned(), measured: measured.to_owned(), met }
}

fn arrival(second: u64, missing: u32, random: &mut Random) -> Arrival {
    let tail = -(1.0 - random.fraction()).ln();
    let outage = if second == 41 { random.fraction() * 40e6 } else { 0.0 };
    let delay_ns = (140_000.0 + 60_000.0 * tail + outage) as u64;
    let timing = Timing { delay_ns, variation_ns: Some((tail * 40_000.0) as u64), late: false, before_due: false };
    let place = Place::Newest { missing };
    Arrival {
        content: Content::Intact,
        place,
        octets: 172,
        timing: Some(timing),
        gap: second == 41 && random.below(50) == 0,
    }
}

fn row(number: u64, random: &mut Random) -> StreamReport {
    let lost = random.below(14).saturating_sub(9);
    let jitter = 0.03 + 0.02 * -(1.0 - random.fraction()).ln();
    StreamReport {
        stream: Some(number as u32),
        name: format!("pcmu {number}, 10.0.0.2:{} to 10.0.0.1:5000", 40_000 + number),
        sent: Some(3000),
        received: Received { packets: 3000 - lost, late: random.below(3), ..Received::default() },
        lost,
        loss_ratio: lost as f64 / 3000.0,
        burst_ratio: 1.0,
        longest_gap_ms: 20.0 * lost as f64,
        jitter_ms: jitter,
        jitter_mean_ms: jitter,
        jitter_max_ms: jitter * 2.0,
        delay: Some(Delay { reference: Reference::Absolute, p50_ms: 0.18, p99_ms: 0.4, ..Delay::default() }),
        rating: Some(Rating { band: Band::Narrow, r: 93.2, mos: 4.41 - lost as f64 * 0.02 }),
        ..StreamReport::default()
    }
}
