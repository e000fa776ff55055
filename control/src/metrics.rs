//! The Prometheus page, made from an [`Overview`] at each scrape.
//!
//! While the relay is away its last figures are given, and `raceway_relay_up` is 0.

use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Histogram, HistogramOpts, TextEncoder, core::Collector};
use raceway_abi::{Counter as Index, Direction, DropReason};
use raceway_api::Statistics;
use raceway_media::Ended;
use raceway_ng::Verb;
use raceway_turn::{Family, Method, Outcome, Silence};

use crate::calls::{Measured, Tally};
use crate::link::Overview;
use crate::ng::{self, Counters, Dropped};
use crate::notify::{Fate, Teller, Way};

/// Media type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A histogram of how long punts were under way, from the worker's receive to the end of control's work: 20 us to 1 s.
///
/// # Panics
/// Never: the name and the bounds are constants that are valid.
#[must_use]
pub fn punt_latency() -> Histogram {
    let bounds = [20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1.0];
    let options = HistogramOpts::new(
        "raceway_punt_latency_seconds",
        "From the receipt of a client's request by a worker until control has answered it.",
    );
    Histogram::with_opts(options.buckets(bounds.to_vec())).expect("a valid name and rising bounds")
}

/// A histogram of how long commands of SIP proxies took: 100 us to 2.5 s.
///
/// # Panics
/// Never: the name and the bounds are constants that are valid.
#[must_use]
pub fn ng_latency() -> Histogram {
    let bounds = [100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5];
    let options = HistogramOpts::new(
        "raceway_ng_latency_seconds",
        "From the receipt of a proxy's command until it was answered.",
    );
    Histogram::with_opts(options.buckets(bounds.to_vec())).expect("a valid name and rising bounds")
}

/// Histograms of calls that ended.
///
/// # Panics
/// Never: names and bounds are constants that are valid.
#[must_use]
pub fn call_quality() -> Measured {
    let histogram = |name: &str, help: &str, bounds: &[f64]| {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))
            .expect("a valid name and rising bounds")
    };
    let durations = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];
    let times = [0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2];
    Measured {
        duration: histogram("raceway_call_duration_seconds", "Calls that ended, from the first offer.", &durations),
        mos: histogram(
            "raceway_call_mos",
            "Mean opinion score (G.107) of streams of calls that ended.",
            &[1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.2, 4.4],
        ),
        jitter: histogram(
            "raceway_call_jitter_seconds",
            "Mean interarrival jitter (RFC 3550) of streams of calls that ended.",
            &times,
        ),
        loss: histogram(
            "raceway_call_loss_ratio",
            "Packets lost on the way to this relay, of streams of calls that ended.",
            &[0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
        ),
        round_trip: histogram(
            "raceway_call_round_trip_seconds",
            "Round trip between this relay and the party, by RTCP, of streams of calls that ended.",
            &times,
        ),
    }
}

/// The page.
///
/// # Errors
/// Never for what is put in here; the encoder's signature has one.
pub fn page(
    overview: &Overview,
    punt_latency: &Histogram,
    ng: &Counters,
    teller: &Teller,
    cdr_lost: u64,
) -> Result<Vec<u8>, prometheus::Error> {
    let mut families = Vec::with_capacity(16);
    let nothing = Statistics::default();
    let statistics = overview.statistics.as_deref().unwrap_or(&nothing);
    relayed(&mut families, overview, statistics);
    turn(&mut families, overview);
    calls(&mut families, &overview.calls);
    recordings(&mut families, statistics);
    rtp(&mut families, statistics);
    relay(&mut families, overview, statistics);
    families.extend(punt_latency.collect());
    self::ng(&mut families, ng);
    families.extend(ng.latency().collect());
    let notices = Way::ALL.iter().flat_map(|way| {
        Fate::ALL
            .iter()
            .map(|fate| (labels(&[("by", way.label()), ("result", fate.label())]), teller.counted(*way, *fate) as f64))
    });
    let help = "What happened to calls and was to be told ([ng] notify, dtmf_log_dest), by what became of it.";
    families.push(counter("raceway_notices_total", help, notices.collect()));
    let help = "Call records that could not be written.";
    families.push(counter("raceway_cdr_lost_total", help, vec![(Vec::new(), cdr_lost as f64)]));
    let version = env!("CARGO_PKG_VERSION");
    families.push(gauge(
        "raceway_build_info",
        "Program version, as a label; the value is always 1.",
        vec![(labels(&[("version", version)]), 1.0)],
    ));
    // A family without samples cannot be written; it comes back with its first one.
    families.retain(|family| !family.get_metric().is_empty());
    let mut page = Vec::with_capacity(16 << 10);
    TextEncoder::new().encode(&families, &mut page)?;
    Ok(page)
}

fn relayed(families: &mut Vec<MetricFamily>, overview: &Overview, statistics: &Statistics) {
    let paths = [("xdp", &statistics.xdp), ("worker", &statistics.worker)];
    let value = |counters: &[u64], index: Index| counters.get(index.index() as usize).copied().unwrap_or(0) as f64;
    let by_direction = |index: fn(Direction) -> Index| {
        let each = paths.iter().flat_map(move |(path, counters)| {
            Direction::ALL.iter().map(move |direction| {
                (labels(&[("path", path), ("direction", direction.label())]), value(counters, index(*direction)))
            })
        });
        each.collect()
    };
    families.push(counter("raceway_packets_total", "Datagrams relayed.", by_direction(Index::packets)));
    families.push(counter(
        "raceway_octets_total",
        "Octets of application data relayed, without ChannelData or STUN framing.",
        by_direction(Index::octets),
    ));
    let mut drops: Vec<_> = paths
        .iter()
        .flat_map(|(path, counters)| {
            DropReason::ALL.iter().map(move |reason| {
                (labels(&[("path", path), ("reason", reason.label())]), value(counters, Index::drops(*reason)))
            })
        })
        .collect();
    for reason in Silence::ALL {
        drops.push((
            labels(&[("path", "control"), ("reason", reason.label())]),
            overview.counters.silences(reason) as f64,
        ));
    }
    drops.push((labels(&[("path", "control"), ("reason", "relay_congested")]), overview.punts_dropped as f64));
    families.push(counter("raceway_drops_total", "Datagrams that went no further, by why.", drops));
}

fn turn(families: &mut Vec<MetricFamily>, overview: &Overview) {
    let mut requests = Vec::new();
    for method in Method::ALL {
        for outcome in Outcome::all() {
            let count = overview.counters.requests(method, outcome);
            requests.push((labels(&[("method", method.label()), ("result", outcome.label())]), count as f64));
        }
    }
    let help = "STUN and TURN requests answered, by result: success or error code.";
    families.push(counter("raceway_turn_requests_total", help, requests));
    families.push(counter(
        "raceway_relay_failures_total",
        "Orders of control that the relay could not carry out.",
        vec![(Vec::new(), overview.counters.relay_failures as f64)],
    ));
    families.push(counter(
        "raceway_restore_failures_total",
        "Sessions that a restarted control found in the relay, could not take over, and removed.",
        vec![(Vec::new(), overview.counters.restore_failures as f64)],
    ));
    let allocations = Family::ALL.iter().zip(overview.allocations);
    families.push(gauge(
        "raceway_turn_allocations",
        "Relayed transport addresses that are open.",
        allocations.map(|(family, count)| (labels(&[("family", family.label())]), count as f64)).collect(),
    ));
    families.push(gauge("raceway_sessions", "Sessions that are open.", vec![(Vec::new(), overview.sessions as f64)]));
}

fn calls(families: &mut Vec<MetricFamily>, tally: &Tally) {
    families.push(gauge("raceway_calls", "Calls that are there.", vec![(Vec::new(), tally.open as f64)]));
    let ended = Ended::ALL.iter().map(|why| (labels(&[("reason", why.name())]), tally.ended(*why) as f64));
    families.push(counter("raceway_calls_ended_total", "Calls that ended, by why.", ended.collect()));
    let plain = [
        ("raceway_calls_begun_total", "Calls that began.", tally.begun),
        (
            "raceway_calls_refused_total",
            "Offers, answers and other commands about calls that were refused.",
            tally.refused,
        ),
        ("raceway_calls_one_way_total", "Answered calls that ended, with media from one party alone.", tally.one_way),
        ("raceway_calls_silent_streams_total", "Streams of calls that ended, without a packet.", tally.silent_streams),
    ];
    families.extend(plain.map(|(name, help, count)| counter(name, help, vec![(Vec::new(), count as f64)])));
    let Measured { duration, mos, jitter, loss, round_trip } = &tally.quality;
    [duration, mos, jitter, loss, round_trip].iter().for_each(|histogram| families.extend(histogram.collect()));
}

fn recordings(families: &mut Vec<MetricFamily>, statistics: &Statistics) {
    let figures = statistics.recording;
    let help = "Recordings of calls that are written now.";
    families.push(gauge("raceway_recordings", help, vec![(Vec::new(), figures.open as f64)]));
    let plain = [
        ("raceway_recording_packets_total", "Packets taken into recordings.", figures.packets),
        ("raceway_recording_octets_total", "Octets of recordings that were written.", figures.octets),
        (
            "raceway_recording_failures_total",
            "Files of recordings that could not be made or written.",
            figures.failures,
        ),
    ];
    families.extend(plain.map(|(name, help, count)| counter(name, help, vec![(Vec::new(), count as f64)])));
    let lost = [("congested", figures.lost_congested), ("disk", figures.lost_disk), ("limit", figures.lost_limit)];
    families.push(counter(
        "raceway_recording_lost_packets_total",
        "Packets that should be in a recording and are not: the recorder was too slow, there was no file, or it was full.",
        lost.into_iter().map(|(reason, count)| (labels(&[("reason", reason)]), count as f64)).collect(),
    ));
}

fn rtp(families: &mut Vec<MetricFamily>, statistics: &Statistics) {
    families.push(counter(
        "raceway_rtp_lost_total",
        "RTP packets that did not reach this relay, by sequence numbers.",
        vec![(Vec::new(), statistics.rtp_lost as f64)],
    ));
    let mut histogram = prometheus::proto::Histogram::default();
    let total: u64 = statistics.rtp_jitter_counts.iter().sum();
    histogram.set_sample_count(total);
    histogram.set_sample_sum(statistics.rtp_jitter_sum_us as f64 / 1e6);
    let mut below = 0;
    let mut buckets = Vec::new();
    for (bound, count) in statistics.rtp_jitter_bounds_us.iter().zip(&statistics.rtp_jitter_counts) {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(f64::from(*bound) / 1e6);
        bucket.set_cumulative_count(below);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    let help = "Interarrival jitter (RFC 3550) of the RTP flows that are open now.";
    families.push(family("raceway_rtp_jitter_seconds", help, MetricType::HISTOGRAM, vec![metric]));
}

fn ng(families: &mut Vec<MetricFamily>, counters: &Counters) {
    let commands = Verb::ALL.iter().flat_map(|verb| {
        ng::Outcome::ALL.iter().map(|outcome| {
            let name = verb.as_str().replace(' ', "_");
            (labels(&[("command", &name), ("result", outcome.label())]), counters.commands(*verb, *outcome) as f64)
        })
    });
    let help = "Commands of SIP proxies answered, by result.";
    families.push(counter("raceway_ng_commands_total", help, commands.collect()));
    let dropped = Dropped::ALL.iter().map(|why| (labels(&[("reason", why.label())]), counters.dropped(*why) as f64));
    families.push(counter("raceway_ng_drops_total", "Messages that got no answer of their own.", dropped.collect()));
    families.push(counter(
        "raceway_ng_repeats_total",
        "Messages that came again and got the answer that they had.",
        vec![(Vec::new(), counters.repeated() as f64)],
    ));
}

fn relay(families: &mut Vec<MetricFamily>, overview: &Overview, statistics: &Statistics) {
    families.push(gauge(
        "raceway_flows",
        "Flows that are open: those that XDP can relay, and those that only workers can.",
        vec![
            (labels(&[("path", "xdp")]), statistics.flows_xdp as f64),
            (labels(&[("path", "worker")]), statistics.flows_worker as f64),
        ],
    ));
    let busy = statistics.worker_busy_ppm.iter().enumerate();
    families.push(gauge(
        "raceway_worker_busy_ratio",
        "Share of the time since the last scrape that a worker was not waiting.",
        busy.map(|(worker, ppm)| (labels(&[("worker", &worker.to_string())]), f64::from(*ppm) / 1e6)).collect(),
    ));
    families.push(gauge(
        "raceway_xdp_info",
        "Data path of an interface and why it is not a better one; the value is always 1.",
        overview
            .interfaces()
            .iter()
            .map(|i| (labels(&[("interface", &i.name), ("mode", i.mode.label()), ("reason", &i.reason)]), 1.0))
            .collect(),
    ));
    let restarts = overview.relay.as_ref().map_or(0, |relay| relay.connections.saturating_sub(1));
    families.push(counter(
        "raceway_control_restarts_total",
        "Times that control connected again in the life of this relay process.",
        vec![(Vec::new(), restarts as f64)],
    ));
    families.push(gauge(
        "raceway_relay_up",
        "1 while the relay answers; at 0 the relay's figures on this page are its last ones.",
        vec![(Vec::new(), f64::from(u8::from(overview.fresh)))],
    ));
}

type Sample = (Vec<LabelPair>, f64);

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    pairs.iter().map(pair).collect()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let metric = |(labels, value)| {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::default();
        metric.set_label(labels);
        metric.set_counter(counter);
        metric
    };
    family(name, help, MetricType::COUNTER, samples.into_iter().map(metric).collect())
}

fn gauge(name: &str, help: &str, samples: Vec<Sample>) -> MetricFamily {
    let metric = |(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::default();
        metric.set_label(labels);
        metric.set_gauge(gauge);
        metric
    };
    family(name, help, MetricType::GAUGE, samples.into_iter().map(metric).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use raceway_api::{InterfaceReport, XdpMode};

    use super::*;

    fn overview(statistics: Option<Statistics>) -> Overview {
        Overview {
            relay: None,
            connected: statistics.is_some(),
            synchronised: statistics.is_some(),
            draining: false,
            sessions: 3,
            calls: Tally::default(),
            allocations: [2, 1],
            counters: raceway_turn::Counters::default(),
            fresh: statistics.is_some(),
            statistics: statistics.map(Arc::new),
            problems: Vec::new(),
            punts_dropped: 0,
        }
    }

    fn text(overview: &Overview) -> String {
        let (teller, _) = crate::notify::channel(&raceway_config::Config::default().ng);
        let page = page(overview, &punt_latency(), &Counters::default(), &teller, 5).expect("encodes");
        String::from_utf8(page).expect("UTF-8")
    }

    #[test]
    fn every_name_is_there_and_says_what_the_relay_says() {
        let mut xdp = vec![0; raceway_abi::COUNTERS as usize];
        xdp[Index::packets(Direction::PeerToClient).index() as usize] = 5;
        xdp[Index::drops(DropReason::Policed).index() as usize] = 7;
        let page = text(&overview(Some(Statistics {
            xdp,
            worker: Vec::new(),
            sessions: 3,
            flows_xdp: 11,
            flows_worker: 12,
            rtp_lost: 13,
            rtp_jitter_counts: vec![1, 2, 3],
            rtp_jitter_bounds_us: vec![1000, 20_000],
            rtp_jitter_sum_us: 500_000,
            worker_busy_ppm: vec![250_000],
            interfaces: vec![InterfaceReport {
                name: "eth0".into(),
                mode: XdpMode::Generic,
                reason: "no \"native\"".into(),
            }],
            ..Statistics::default()
        })));
        for line in [
            "raceway_packets_total{path=\"xdp\",direction=\"peer_to_client\"} 5",
            "raceway_packets_total{path=\"worker\",direction=\"peer_to_client\"} 0",
            "raceway_octets_total{path=\"xdp\",direction=\"client_to_peer\"} 0",
            "raceway_drops_total{path=\"xdp\",reason=\"policed\"} 7",
            "raceway_drops_total{path=\"control\",reason=\"over_budget\"} 0",
            "raceway_turn_requests_total{method=\"allocate\",result=\"486\"} 0",
            "raceway_relay_failures_total 0",
            "raceway_restore_failures_total 0",
            "raceway_turn_allocations{family=\"ipv6\"} 1",
            "raceway_flows{path=\"xdp\"} 11",
            "raceway_sessions 3",
            "raceway_calls 0",
            "raceway_cdr_lost_total 5",
            "raceway_calls_ended_total{reason=\"silent_timeout\"} 0",
            "raceway_call_mos_count 0",
            "raceway_rtp_lost_total 13",
            "raceway_rtp_jitter_seconds_bucket{le=\"0.001\"} 1",
            "raceway_rtp_jitter_seconds_bucket{le=\"0.02\"} 3",
            "raceway_rtp_jitter_seconds_bucket{le=\"+Inf\"} 6",
            "raceway_rtp_jitter_seconds_sum 0.5",
            "raceway_xdp_info{interface=\"eth0\",mode=\"generic\",reason=\"no \\\"native\\\"\"} 1",
            "raceway_worker_busy_ratio{worker=\"0\"} 0.25",
            "raceway_punt_latency_seconds_count 0",
            "raceway_control_restarts_total 0",
            "raceway_relay_up 1",
            "raceway_ng_commands_total{command=\"block_DTMF\",result=\"ok\"} 0",
            "raceway_ng_drops_total{reason=\"not_allowed\"} 0",
            "raceway_ng_repeats_total 0",
            "raceway_ng_latency_seconds_count 0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn without_a_relay_the_page_says_so() {
        let page = text(&overview(None));
        assert!(page.contains("\nraceway_relay_up 0\n") && page.contains("\nraceway_sessions 3\n"), "{page}");
        assert!(!page.contains("raceway_worker_busy_ratio"), "a family without samples is left out");
    }
}
