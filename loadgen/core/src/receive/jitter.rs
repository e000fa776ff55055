//! Interarrival jitter (RFC 3550 section 6.4.1 and appendix A.8).

use raceway_units::Instant;

/// Jitter of one stream, in ns.
///
/// Each packet is compared with the one that arrived before it, whatever their order was when sent. tshark compares
/// with the newest by timestamp instead: where packets were reordered, it has less.
#[derive(Clone, Copy, Debug)]
pub struct Jitter {
    /// Nanoseconds of a timestamp unit; zero where the clock is not known.
    unit_ns: f64,
    last: Option<(Instant, u32)>,
    now: f64,
    max: f64,
    sum: f64,
    count: u64,
}

impl Jitter {
    /// Of a stream with timestamps at `clock_rate` in Hz; zero if that is not known, and the jitter then.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        let unit_ns = if clock_rate == 0 { 0.0 } else { 1e9 / f64::from(clock_rate) };
        Self { unit_ns, last: None, now: 0.0, max: 0.0, sum: 0.0, count: 0 }
    }

    /// A packet with this timestamp arrived.
    #[inline]
    pub fn arrived(&mut self, now: Instant, timestamp: u32) {
        let last = self.last.replace((now, timestamp));
        let Some((at, before)) = last.filter(|_| self.unit_ns != 0.0) else { return };
        let apart = now.as_ns().wrapping_sub(at.as_ns()) as i64 as f64;
        let meant = self.nanoseconds(timestamp.wrapping_sub(before));
        self.now += ((apart - meant).abs() - self.now) / 16.0;
        self.max = self.max.max(self.now);
        self.sum += self.now;
        self.count += 1;
    }

    /// Nanoseconds that a difference of timestamps means.
    #[must_use]
    pub fn nanoseconds(&self, units: u32) -> f64 {
        f64::from(units as i32) * self.unit_ns
    }

    /// As of the last packet, ns.
    #[must_use]
    pub const fn now(&self) -> f64 {
        self.now
    }

    /// As of the last packet, in timestamp units, as a report block has it.
    #[must_use]
    pub fn units(&self) -> u32 {
        if self.unit_ns == 0.0 { 0 } else { (self.now / self.unit_ns) as u32 }
    }

    /// The largest that it was, ns.
    #[must_use]
    pub const fn max(&self) -> f64 {
        self.max
    }

    /// The mean of what it was at each packet, ns.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(packets: &[(u64, u32)]) -> Jitter {
        let mut jitter = Jitter::new(8000);
        for (ms, timestamp) in packets {
            jitter.arrived(Instant::from_ns(ms * 1_000_000), *timestamp);
        }
        jitter
    }

    #[test]
    fn an_even_stream_has_none_whatever_its_pauses() {
        let jitter = after(&[(100, 0), (120, 160), (1120, 8160), (1140, 8320)]);
        assert_eq!((jitter.now(), jitter.max()), (0.0, 0.0));
    }

    #[test]
    fn a_late_packet_counts_a_sixteenth_twice() {
        let jitter = after(&[(100, 0), (136, 160), (140, 320)]);
        // 16 ms late, then 16 ms back.
        assert_eq!(jitter.now(), 1e6 + 15e6 / 16.0);
        assert_eq!((jitter.max(), jitter.mean()), (jitter.now(), (1e6 + jitter.now()) / 2.0));
        assert_eq!(jitter.units(), 15);
    }

    #[test]
    fn timestamps_wrap() {
        let jitter = after(&[(100, u32::MAX - 79), (120, 80)]);
        assert_eq!(jitter.now(), 0.0);
    }

    #[test]
    fn a_packet_that_was_overtaken_is_compared_with_the_one_that_overtook_it() {
        // 1 ms after it, and meant to be 20 ms before it.
        let jitter = after(&[(100, 160), (101, 0)]);
        assert_eq!(jitter.now(), 21e6 / 16.0);
    }

    #[test]
    fn an_unknown_clock_has_no_jitter() {
        let mut jitter = Jitter::new(0);
        jitter.arrived(Instant::from_ns(1), 1);
        jitter.arrived(Instant::from_ns(9_000_000), 90_000);
        assert_eq!((jitter.now(), jitter.units(), jitter.mean()), (0.0, 0, 0.0));
    }
}
