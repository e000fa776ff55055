//! Finding out whether there is more: short clusters of packets at a higher rate, and what came of them.
//!
//! A forwarded stream is what its publisher made it: it does not grow with the estimate, so the estimate cannot grow with
//! it. Padding says whether the next layer would fit.

use core::time::Duration;

use raceway_units::Instant;

use super::{Bounds, Probe, ProbeId};
use crate::BitRate;

/// The first probe, and those after one that found what it looked for, in times of the estimate.
const FIRST: f64 = 3.0;
const NEXT: f64 = 2.0;
/// Share of a probe's rate that has to arrive for a further one.
const FOUND: f64 = 0.7;
/// What is found never is more than was sent, and mostly less: to find what is wanted, it is sent at so many times that.
const MARGIN: f64 = 1.25;
/// How long a cluster lasts, and of how many packets it is at least. Browsers send for 15 ms; a jitter of 10 ms makes
/// anything of that.
const LENGTH: Duration = Duration::from_millis(50);
const PACKETS: u32 = 5;
/// How long the answer to a cluster is waited for.
const WAIT: Duration = Duration::from_secs(1);
/// Time between probes while the application does not fill the estimate: at first, and when none has found anything.
const APART: Duration = Duration::from_secs(5);
const APART_MAX: Duration = Duration::from_secs(20);
/// How long until it is looked at again whether there is anything to probe for.
const LOOK_APART: Duration = Duration::from_millis(500);
/// How long after an over-use the next probe may come.
const CALM: Duration = Duration::from_secs(3);

/// What is known of a cluster.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    probe: Probe,
    packets: u32,
    octets: u64,
    first_sent: i64,
    last_sent: i64,
    last_sent_octets: u64,
    first_arrival: i64,
    first_arrival_octets: u64,
    last_arrival: i64,
}

impl Cluster {
    /// Share of a cluster's packets and octets that must have arrived.
    const ENOUGH: f64 = 0.8;
    /// What arrives this many times faster than it was sent was not measured but let go together.
    const FASTER_MAX: f64 = 2.0;
    /// Below this share of the rate of sending the path is full, and a little less than what arrives is right.
    const FULL: f64 = 0.9;
    const BELOW_FULL: f64 = 0.95;
    const LONGEST_NS: i64 = 1_000_000_000;

    const fn new(probe: Probe) -> Self {
        Self {
            probe,
            packets: 0,
            octets: 0,
            first_sent: i64::MAX,
            last_sent: i64::MIN,
            last_sent_octets: 0,
            first_arrival: i64::MAX,
            first_arrival_octets: 0,
            last_arrival: i64::MIN,
        }
    }

    fn push(&mut self, sent: i64, arrival: i64, octets: u16) {
        let octets = u64::from(octets);
        self.packets += 1;
        self.octets += octets;
        self.first_sent = self.first_sent.min(sent);
        if sent >= self.last_sent {
            (self.last_sent, self.last_sent_octets) = (sent, octets);
        }
        if arrival < self.first_arrival {
            (self.first_arrival, self.first_arrival_octets) = (arrival, octets);
        }
        self.last_arrival = self.last_arrival.max(arrival);
    }

    /// The rate that it found, if enough has arrived.
    fn result(&self) -> Option<BitRate> {
        let enough = |of: f64| of * Self::ENOUGH;
        if f64::from(self.packets) < enough(f64::from(self.probe.packets))
            || (self.octets as f64) < enough(self.probe.octets as f64)
        {
            return None;
        }
        let sending = self.last_sent - self.first_sent;
        let arriving = self.last_arrival - self.first_arrival;
        let [sending, arriving] =
            [sending, arriving].map(|ns| (1..=Self::LONGEST_NS).contains(&ns).then_some(ns as u64));
        let sent = BitRate::of(self.octets - self.last_sent_octets, Duration::from_nanos(sending?));
        let arrived = BitRate::of(self.octets - self.first_arrival_octets, Duration::from_nanos(arriving?));
        if arrived > sent.times(Self::FASTER_MAX) {
            return None;
        }
        Some(if arrived < sent.times(Self::FULL) { arrived.times(Self::BELOW_FULL) } else { arrived.min(sent) })
    }
}

/// Whether, when and how fast to probe.
#[derive(Debug)]
pub(super) struct Prober {
    bounds: Bounds,
    /// What could be used at most.
    wanted: BitRate,
    /// The cluster on its way, since when.
    cluster: Option<(Cluster, Instant)>,
    /// The next one, if the one before found what it looked for.
    follow: Option<BitRate>,
    begun: bool,
    tried_at: Instant,
    /// When there was nothing to probe for.
    looked_at: Instant,
    apart: Duration,
    last: u8,
}

impl Prober {
    pub const fn new(bounds: Bounds, now: Instant) -> Self {
        Self {
            bounds,
            wanted: bounds.max,
            cluster: None,
            follow: None,
            begun: false,
            tried_at: now,
            looked_at: now,
            apart: APART,
            last: 0,
        }
    }

    /// What could be used at most: nothing beyond is probed for. More than before is asked for soon.
    pub fn handle_wanted(&mut self, wanted: BitRate) {
        if wanted > self.wanted {
            self.apart = APART;
        }
        self.wanted = wanted.clamp(self.bounds.min, self.bounds.max);
    }

    /// The path is another one, or may be.
    pub const fn begin_anew(&mut self) {
        (self.cluster, self.follow, self.begun, self.apart) = (None, None, false, APART);
    }

    /// A packet of a cluster arrived.
    pub fn push(&mut self, id: ProbeId, sent: i64, arrival: i64, octets: u16) {
        if let Some((cluster, _)) = self.cluster.as_mut().filter(|(cluster, _)| cluster.probe.id == id) {
            cluster.push(sent, arrival, octets);
        }
    }

    /// After a message: the rate that a cluster found, if that is more than is known. The cluster is over with that.
    pub fn poll_result(&mut self, estimate: BitRate) -> Option<BitRate> {
        let (cluster, _) = self.cluster?;
        let result = cluster.result()?;
        self.cluster = None;
        let next = result.times(NEXT).min(self.most());
        let found = result >= cluster.probe.rate.times(FOUND) && next > cluster.probe.rate;
        self.follow = found.then_some(next);
        let more = result > estimate;
        self.apart = if more { APART } else { (self.apart * 2).min(APART_MAX) };
        more.then_some(result)
    }

    fn most(&self) -> BitRate {
        self.wanted.times(MARGIN).min(self.bounds.max)
    }

    /// A cluster to send now. `limited`: the application does not fill the estimate; `troubled`: when there was over-use or
    /// loss.
    pub fn poll(&mut self, estimate: BitRate, limited: bool, troubled: Option<Instant>, now: Instant) -> Option<Probe> {
        if let Some((_, since)) = self.cluster {
            if now.since(since) < WAIT {
                return None;
            }
            self.cluster = None;
            self.apart = (self.apart * 2).min(APART_MAX);
        }
        self.looked_at = now;
        let rate = self.rate(estimate, limited, troubled, now)?.min(self.most());
        self.begun = true;
        if rate <= estimate || estimate >= self.wanted {
            return None;
        }
        self.tried_at = now;
        self.last = self.last.checked_add(1).unwrap_or(1);
        let id = ProbeId::from_octet(self.last)?;
        let probe = Probe { id, rate, octets: rate.octets_in(LENGTH), packets: PACKETS };
        self.cluster = Some((Cluster::new(probe), now));
        Some(probe)
    }

    /// How fast the next cluster is to be, if it is time for one.
    fn rate(&mut self, estimate: BitRate, limited: bool, troubled: Option<Instant>, now: Instant) -> Option<BitRate> {
        let calm = troubled.is_none_or(|at| now.since(at) >= CALM);
        if let Some(rate) = self.follow.take().filter(|_| calm) {
            return Some(rate);
        }
        if !self.begun {
            return Some(estimate.times(FIRST));
        }
        let due = limited && calm && now.since(self.tried_at) >= self.apart;
        due.then(|| estimate.times(NEXT))
    }

    /// When `poll` may have something that it has not now.
    pub fn poll_timeout(&self) -> Instant {
        let look = self.tried_at.after(self.apart).max(self.looked_at.after(LOOK_APART));
        self.cluster.map_or(look, |(_, since)| since.after(WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { min: BitRate::from_kbps(50), start: BitRate::from_kbps(300), max: BitRate::from_kbps(5_000) };
    const START: BitRate = BOUNDS.start;

    fn ms(ms: u64) -> Instant {
        Instant::from_ns(ms * 1_000_000)
    }

    /// Sends a cluster at its rate over a path of that capacity; gives what was found.
    fn measure(prober: &mut Prober, probe: Probe, capacity: BitRate) -> Option<BitRate> {
        let packets = u64::from(PACKETS).max(probe.octets / 1200 + 1);
        for n in 0..packets {
            let [sent, arrival] =
                [probe.rate, capacity.min(probe.rate)].map(|rate| rate.time_for(1200 * n).as_nanos() as i64);
            prober.push(probe.id, sent, arrival + 50_000_000, 1200);
        }
        prober.poll_result(START)
    }

    fn kbps(rate: Option<BitRate>) -> u64 {
        rate.map_or(0, |rate| rate.as_bps() / 1000)
    }

    #[test]
    fn it_begins_by_probing_upwards_until_the_path_is_full() {
        let (mut prober, mut rates) = (Prober::new(BOUNDS, ms(0)), vec![]);
        let (mut estimate, mut now) = (START, 0);
        while let Some(probe) = prober.poll(estimate, false, None, ms(now)) {
            rates.push(probe.rate.as_bps() / 1000);
            estimate = measure(&mut prober, probe, BitRate::from_kbps(2_000)).unwrap();
            now += 100;
        }
        assert_eq!(rates, [900, 1_800, 3_600]);
        assert_eq!(estimate, BitRate::from_kbps(1_900), "a little below what arrived");
    }

    #[test]
    fn nothing_beyond_what_is_wanted_is_probed_for() {
        let mut prober = Prober::new(BOUNDS, ms(0));
        prober.handle_wanted(BitRate::from_kbps(700));
        assert_eq!(kbps(prober.poll(START, false, None, ms(0)).map(|probe| probe.rate)), 875, "700 and a margin");
        prober.cluster = None;
        assert_eq!(prober.poll(BitRate::from_kbps(700), true, None, ms(60_000)), None);
    }

    #[test]
    fn while_the_application_is_limited_it_probes_now_and_then() {
        let mut prober = Prober::new(BOUNDS, ms(0));
        let first = prober.poll(START, true, None, ms(0)).unwrap();
        assert!(measure(&mut prober, first, BitRate::from_kbps(200)).is_none());
        assert_eq!(prober.poll(START, true, None, ms(4_999)), None);
        assert_eq!(prober.poll(START, false, None, ms(10_000)), None, "media that fills the estimate needs no padding");
        assert_eq!(prober.poll(START, true, Some(ms(9_000)), ms(10_000)), None, "not soon after trouble");
        let second = prober.poll(START, true, None, ms(10_000)).unwrap();
        assert_eq!(second.rate, BitRate::from_kbps(600));
        assert!(measure(&mut prober, second, BitRate::from_kbps(200)).is_none());
        assert_eq!(prober.poll(START, true, None, ms(20_000)), None, "ones that find nothing become rare");
    }

    #[test]
    fn a_cluster_that_is_not_answered_is_given_up() {
        let mut prober = Prober::new(BOUNDS, ms(0));
        assert!(prober.poll(START, true, None, ms(0)).is_some());
        assert_eq!(prober.poll(START, true, None, ms(999)), None);
        assert_eq!(prober.poll(START, true, None, ms(1_000)), None);
        assert!(prober.poll(START, true, None, ms(10_000)).is_some());
    }

    #[test]
    fn packets_that_came_together_or_too_few_say_nothing() {
        let mut prober = Prober::new(BOUNDS, ms(0));
        let probe = prober.poll(START, true, None, ms(0)).unwrap();
        (0..3).for_each(|n| prober.push(probe.id, n * 5_000_000, n * 5_000_000, 1200));
        assert_eq!(prober.poll_result(BitRate::ZERO), None);
        (3..8).for_each(|n| prober.push(probe.id, n * 5_000_000, 15_000_000 + n, 1200));
        assert_eq!(prober.poll_result(BitRate::ZERO), None);
    }

    #[test]
    fn a_receiver_cannot_find_more_than_was_sent() {
        let mut prober = Prober::new(BOUNDS, ms(0));
        let probe = prober.poll(START, true, None, ms(0)).unwrap();
        (0..6).for_each(|n| prober.push(probe.id, n * 10_000_000, n * 6_000_000, 1200));
        assert_eq!(prober.poll_result(BitRate::ZERO), Some(BitRate::from_kbps(960)));
    }
}
