//! Rates over the last half second.

use core::time::Duration;

use crate::BitRate;

/// Nanoseconds of a bucket.
const BUCKET_NS: u64 = 25_000_000;
const BUCKETS: usize = 20;
/// What a rate is measured over (GCC section 5.6: T, 0.5 s to 1 s).
const WINDOW: Duration = Duration::from_nanos(BUCKET_NS * BUCKETS as u64);
/// Least time that a rate is told of.
const LEAST: Duration = Duration::from_millis(150);

/// Octets of a bucket, and when the packets were sent that they were of.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    octets: u64,
    first_sent: u64,
    last_sent: u64,
}

const EMPTY: Bucket = Bucket { octets: 0, first_sent: u64::MAX, last_sent: 0 };

/// Octets by the time at which they were sent or arrived.
#[derive(Debug)]
pub(super) struct Throughput {
    buckets: [Bucket; BUCKETS],
    /// Time of the first packet, in nanoseconds.
    began: Option<u64>,
    /// Number of the newest bucket.
    newest: u64,
    latest: u64,
}

impl Throughput {
    pub const fn new() -> Self {
        Self { buckets: [EMPTY; BUCKETS], began: None, newest: 0, latest: 0 }
    }

    /// So many octets at a time (nanoseconds of any clock), of a packet that was sent at another (of ours). What is older
    /// than the window is not counted.
    pub fn push(&mut self, at: u64, sent: u64, octets: u16) {
        self.began.get_or_insert(at);
        self.advance(at);
        if at / BUCKET_NS + BUCKETS as u64 <= self.newest {
            return;
        }
        let bucket = &mut self.buckets[(at / BUCKET_NS) as usize % BUCKETS];
        bucket.octets += u64::from(octets);
        bucket.first_sent = bucket.first_sent.min(sent);
        bucket.last_sent = bucket.last_sent.max(sent);
    }

    /// Time has come so far.
    pub fn advance(&mut self, at: u64) {
        let bucket = at / BUCKET_NS;
        if bucket > self.newest {
            let stale = (bucket - self.newest).min(BUCKETS as u64);
            (0..stale).for_each(|back| self.buckets[(bucket - back) as usize % BUCKETS] = EMPTY);
            self.newest = bucket;
        }
        self.latest = self.latest.max(at);
    }

    /// Rate over the window, or what there has been of it; none before there was enough.
    ///
    /// Never more than twice what was sent in that time: a receiver that says that packets of ten seconds arrived together
    /// has not received at ten times the rate.
    pub fn rate(&self) -> Option<BitRate> {
        self.over(WINDOW)
    }

    /// The same over a shorter time.
    pub fn over(&self, time: Duration) -> Option<BitRate> {
        let known = Duration::from_nanos(self.latest.checked_sub(self.began?)?);
        let buckets = (time.min(known).as_nanos() as u64 / BUCKET_NS).min(BUCKETS as u64 - 1);
        let time = Duration::from_nanos(buckets * BUCKET_NS + self.latest % BUCKET_NS);
        if known < LEAST {
            return None;
        }
        let newest = (0..=buckets).map(|back| self.newest.wrapping_sub(back) as usize % BUCKETS);
        let all = newest.map(|index| self.buckets[index]).fold(EMPTY, |all, bucket| Bucket {
            octets: all.octets + bucket.octets,
            first_sent: all.first_sent.min(bucket.first_sent),
            last_sent: all.last_sent.max(bucket.last_sent),
        });
        let sending = Duration::from_nanos(all.last_sent.saturating_sub(all.first_sent));
        Some(BitRate::of(all.octets, time.max(sending / 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_steady_rate_is_measured_and_forgotten_after_the_window() {
        let mut rate = Throughput::new();
        (0..100).for_each(|n| rate.push(n * 10 * MS, n * 10 * MS, 1250));
        let measured = rate.rate().unwrap().as_bps();
        assert!((950_000..1_060_000).contains(&measured), "{measured}");
        rate.advance(2_000 * MS);
        assert_eq!(rate.rate(), Some(BitRate::ZERO));
    }

    #[test]
    fn nothing_is_said_before_there_was_enough() {
        let mut rate = Throughput::new();
        assert_eq!(rate.rate(), None);
        rate.push(MS, MS, 1000);
        rate.push(100 * MS, 100 * MS, 1000);
        assert_eq!(rate.rate(), None);
    }

    #[test]
    fn packets_that_are_said_to_have_come_together_count_by_when_they_were_sent() {
        let mut rate = Throughput::new();
        (0..1000).for_each(|n| rate.push(1_000 * MS + n * MS / 2, n * 10 * MS, 1250));
        let measured = rate.rate().unwrap().as_bps();
        assert!(measured < 2_200_000, "{measured}");
    }

    #[test]
    fn times_that_jump_cost_no_more_than_the_window() {
        let mut rate = Throughput::new();
        for at in [0, u64::MAX, 5, u64::MAX / 2, u64::MAX] {
            rate.push(at, at, u16::MAX);
            let _ = rate.rate();
        }
    }
}
