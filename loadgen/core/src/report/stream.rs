//! What one stream was like.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Received;
use crate::quality::{Codec, Path, Rating, rate};
use crate::receive::{Delays, Receiver, Settings};

/// What delays are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The time at which a packet was due: sender and receiver have the same clock.
    Absolute,
    /// The fastest packet of the stream: their clocks differ.
    #[default]
    Relative,
}

/// Delays of a stream, in milliseconds, with an error of at most 6.25 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    /// What they are counted from.
    pub reference: Reference,
    /// Smallest; zero if relative.
    pub min_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Largest.
    pub max_ms: f64,
}

impl Delay {
    fn of(delays: &Delays) -> Self {
        let (smallest, largest) = delays.range();
        let (reference, from) =
            if delays.is_relative() { (Reference::Relative, smallest) } else { (Reference::Absolute, 0) };
        Self {
            reference,
            min_ms: smallest.saturating_sub(from) as f64 / 1e6,
            mean_ms: delays.mean_above(from) / 1e6,
            p50_ms: delays.quantile_above(from, 0.5) / 1e6,
            p99_ms: delays.quantile_above(from, 0.99) / 1e6,
            max_ms: largest.saturating_sub(from) as f64 / 1e6,
        }
    }
}

/// What one stream was like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Number of the stream within the run, as its sender has it.
    pub stream: Option<u32>,
    /// What people call it: profile, layer, from where to where.
    pub name: String,
    /// Packets sent, where the sender is in the same process.
    pub sent: Option<u64>,
    /// What arrived.
    pub received: Received,
    /// Packets lost: of those sent, or else of those that should have been between the first and the last to arrive.
    pub lost: u64,
    /// Share of packets lost, 0 to 1.
    pub loss_ratio: f64,
    /// Mean length of runs of lost packets over what it would be if each were lost by chance alone (ITU-T G.107); 1 is
    /// chance.
    pub burst_ratio: f64,
    /// How many numbers behind the newest a packet was at most.
    pub reordered_by_max: u32,
    /// The longest silence that the sender did not mean.
    pub longest_gap_ms: f64,
    /// Interarrival jitter as of the last packet (RFC 3550 appendix A.8).
    pub jitter_ms: f64,
    /// Mean of the jitter over all packets.
    pub jitter_mean_ms: f64,
    /// Largest that the jitter was.
    pub jitter_max_ms: f64,
    /// Mean difference of delay between packets that follow each other.
    pub variation_mean_ms: f64,
    /// Largest such difference.
    pub variation_max_ms: f64,
    /// Delays, if packets were stamped.
    pub delay: Option<Delay>,
    /// What a listener would make of it, where the codec is for speech and anything was sent. Lost, corrupted and late
    /// packets count as lost; where delay is relative, that of the fastest packet is taken as none.
    pub rating: Option<Rating>,
}

impl StreamReport {
    /// What a receiver found of a stream of this codec, and how many packets were sent if that is known.
    #[must_use]
    pub fn of(name: String, receiver: &Receiver, sent: Option<u64>, codec: Option<Codec>) -> Self {
        let (variation_mean, variation_max) = receiver.variation();
        let losses = receiver.numbers().map(|numbers| numbers.sequence().losses()).unwrap_or_default();
        let received = *receiver.received();
        let between = received.missing.max(0) as u64;
        let lost = sent.map_or(between, |sent| sent.saturating_sub(received.packets));
        let jitter = receiver.jitter();
        let report = Self {
            stream: receiver.stream(),
            name,
            sent,
            received,
            lost,
            loss_ratio: share(lost, received.packets + lost),
            burst_ratio: burst_ratio(losses.packets, losses.runs, received.packets),
            reordered_by_max: receiver.reordered_by_max(),
            longest_gap_ms: receiver.longest_gap().as_secs_f64() * 1e3,
            jitter_ms: jitter.now() / 1e6,
            jitter_mean_ms: jitter.mean() / 1e6,
            jitter_max_ms: jitter.max() / 1e6,
            variation_mean_ms: variation_mean.as_secs_f64() * 1e3,
            variation_max_ms: variation_max.as_secs_f64() * 1e3,
            delay: receiver.delays().map(Delay::of),
            rating: None,
        };
        let rating =
            codec.filter(|_| received.packets + lost != 0).map(|codec| rate(codec, report.path(receiver.settings())));
        Self { rating, ..report }
    }

    /// What the E-model takes of it: the playout buffer delays each packet by its whole depth, and drops the late.
    fn path(&self, settings: &Settings) -> Path {
        let unplayed = self.lost + self.received.late + self.received.corrupted;
        let network_ms = self.delay.map_or(0.0, |delay| delay.min_ms);
        Path {
            delay: settings.playout + Duration::from_secs_f64(network_ms / 1e3),
            loss: share(unplayed, self.received.packets + self.lost),
            burst_ratio: self.burst_ratio,
        }
    }
}

/// Mean run over `1 / (1 - loss)`, the mean run of losses that do not depend on each other.
fn burst_ratio(lost: u64, runs: u64, received: u64) -> f64 {
    if runs == 0 { 1.0 } else { (lost as f64 / runs as f64 * (1.0 - share(lost, lost + received))).max(1.0) }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use raceway_units::Instant;

    use super::*;
    use crate::receive::Settings;
    use crate::rtp::RtpView;
    use crate::{Clock, Stamp, fill};

    fn receiver(local: Clock, arrivals: &[(u16, u64)]) -> Receiver {
        let mut receiver = Receiver::new(Settings::new(8000, local));
        for (sequence, delay_us) in arrivals {
            let due = Instant::from_ns(1_000_000_000 + u64::from(*sequence) * 20_000_000);
            let mut octets = [0; 172];
            (octets[0], octets[2], octets[3]) = (0x80, (sequence >> 8) as u8, *sequence as u8);
            octets[4..8].copy_from_slice(&(u32::from(*sequence) * 160).to_be_bytes());
            let stamp = Stamp { run: 1, stream: 4, clock: Clock(1), due, number: (*sequence).into(), prefix: 0 };
            assert!(fill(&mut octets[12..], stamp));
            let now = Instant::from_ns(due.as_ns() + delay_us * 1000);
            receiver.handle(&RtpView::parse(&octets).unwrap(), now);
        }
        receiver
    }

    #[test]
    fn loss_is_of_what_was_sent_if_that_is_known_and_of_what_is_between_otherwise() {
        let receiver = receiver(Clock(1), &[(1, 500), (2, 500), (5, 500)]);
        let known = StreamReport::of("a".into(), &receiver, Some(12), None);
        assert_eq!((known.lost, known.loss_ratio), (9, 0.75));
        let unknown = StreamReport::of("a".into(), &receiver, None, None);
        assert_eq!((unknown.lost, unknown.loss_ratio, unknown.stream), (2, 0.4, Some(4)));
    }

    #[test]
    fn losses_in_runs_have_a_burst_ratio_above_one() {
        let arrivals: Vec<(u16, u64)> =
            (0..100).filter(|number| number % 20 >= 4).map(|number| (number, 500)).collect();
        let report = StreamReport::of(String::new(), &receiver(Clock(1), &arrivals), None, None);
        // The first run of four is before the first packet: 16 in 96 are lost.
        assert_eq!(report.lost, 16);
        assert!((report.burst_ratio - 4.0 * 80.0 / 96.0).abs() < 1e-9, "{}", report.burst_ratio);
    }

    #[test]
    fn delays_say_what_they_are_counted_from() {
        let arrivals = [(1, 800), (2, 600), (3, 1600)];
        let delay = |local| StreamReport::of(String::new(), &receiver(local, &arrivals), None, None).delay.unwrap();
        let absolute = delay(Clock(1));
        assert_eq!((absolute.reference, absolute.min_ms, absolute.max_ms), (Reference::Absolute, 0.6, 1.6));
        assert!((absolute.mean_ms - 1.0).abs() < 1e-6 && (absolute.p50_ms - 0.8).abs() < 0.05);
        let relative = delay(Clock(2));
        assert_eq!((relative.reference, relative.min_ms, relative.max_ms), (Reference::Relative, 0.0, 1.0));
        assert!((relative.mean_ms - 0.4).abs() < 0.03 && (relative.p50_ms - 0.2).abs() < 0.03, "{relative:?}");
    }

    #[test]
    fn what_cannot_be_played_costs_like_loss() {
        let rating = |arrivals: &[(u16, u64)]| {
            StreamReport::of(String::new(), &receiver(Clock(1), arrivals), None, Some(Codec::G711)).rating.unwrap()
        };
        let even: Vec<(u16, u64)> = (0..100).map(|number| (number, 500)).collect();
        assert_eq!(rating(&even).r, 93.2);
        let late: Vec<(u16, u64)> =
            (0..100).map(|number| (number, if number % 25 == 7 { 90_000 } else { 500 })).collect();
        let lost: Vec<(u16, u64)> = even.iter().copied().filter(|(number, _)| number % 25 != 7).collect();
        assert_eq!(rating(&late), rating(&lost));
        assert!((rating(&lost).r - (93.2 - 95.0 * 4.0 / 29.1)).abs() < 1e-9);
        // 60 ms of playout buffer, 20 ms of packet: 120 ms of network make X one.
        let far: Vec<(u16, u64)> = (0..100).map(|number| (number, 120_000)).collect();
        assert!((rating(&far).r - 93.2 + 3.045).abs() < 0.01);
    }

    #[test]
    fn a_stream_of_which_nothing_came_is_lost_whole() {
        let report =
            StreamReport::of(String::new(), &Receiver::new(Settings::new(8000, Clock(1))), Some(50), Some(Codec::G711));
        assert_eq!((report.lost, report.loss_ratio, report.delay), (50, 1.0, None));
        assert!(report.rating.unwrap().mos < 1.3);
    }
}
