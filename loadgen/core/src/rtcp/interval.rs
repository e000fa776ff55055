//! When to send the next report (RFC 3550 section 6.3 and appendix A.7).

use std::time::Duration;

use raceway_units::Random;

/// Share of the bandwidth for RTCP that senders have, while they are few.
const SENDER_SHARE: f64 = 0.25;
/// `e - 3/2`: makes up for timer reconsideration, which converges to too long an interval.
const COMPENSATION: f64 = 1.218_28;

/// What the interval depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Participants, this one included.
    pub(super) members: usize,
    /// Those who send media.
    pub(super) senders: usize,
    /// This one sends media.
    pub(super) we_sent: bool,
    /// Octets a second for RTCP.
    pub(super) bandwidth: f64,
    /// Octets of an RTCP datagram in the mean, headers of UDP and IP included.
    pub(super) average: f64,
    /// Least mean time between reports.
    pub(super) minimum: Duration,
    /// No report has been sent yet.
    pub(super) initial: bool,
}

/// The time from one report to the next.
pub(super) fn interval(load: &Load, random: &mut Random) -> Duration {
    let (members, senders) = (load.members as f64, load.senders as f64);
    let (participants, bandwidth) = if senders > members * SENDER_SHARE {
        (members, load.bandwidth)
    } else if load.we_sent {
        (senders, load.bandwidth * SENDER_SHARE)
    } else {
        (members - senders, load.bandwidth * (1.0 - SENDER_SHARE))
    };
    let minimum = load.minimum.as_secs_f64() * if load.initial { 0.5 } else { 1.0 };
    let mean = (load.average * participants / bandwidth).max(minimum);
    Duration::from_secs_f64(mean * (0.5 + random.fraction()) / COMPENSATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        members: 2,
        senders: 1,
        we_sent: true,
        bandwidth: 400.0,
        average: 100.0,
        minimum: Duration::from_secs(5),
        initial: false,
    };

    /// Least, mean and largest of many intervals, in seconds.
    fn intervals(load: Load) -> (f64, f64, f64) {
        let mut random = Random::new(1);
        let all: Vec<_> = (0..20_000).map(|_| interval(&load, &mut random).as_secs_f64()).collect();
        let bound = |pick: fn(f64, f64) -> f64| all.iter().copied().reduce(pick).unwrap();
        (bound(f64::min), all.iter().sum::<f64>() / all.len() as f64, bound(f64::max))
    }

    fn is_about(load: Load, mean: f64) {
        let (least, found, most) = intervals(load);
        let mean = mean / COMPENSATION;
        assert!((found / mean - 1.0).abs() < 0.02, "{found} and not {mean}");
        assert!((least / mean - 0.5).abs() < 0.02 && (most / mean - 1.5).abs() < 0.02, "{least} to {most}");
    }

    #[test]
    fn few_participants_report_at_the_minimum_and_first_after_half_of_it() {
        is_about(LOAD, 5.0);
        is_about(Load { initial: true, ..LOAD }, 2.5);
    }

    #[test]
    fn many_receivers_share_three_quarters_of_the_bandwidth() {
        let load = Load { members: 1_001, senders: 1, we_sent: false, ..LOAD };
        is_about(load, 100.0 * 1_000.0 / 300.0);
        is_about(Load { we_sent: true, ..load }, 5.0);
    }

    #[test]
    fn many_senders_share_all_of_it() {
        is_about(Load { members: 100, senders: 50, ..LOAD }, 100.0 * 100.0 / 400.0);
    }
}
