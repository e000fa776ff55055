//! Packets that subscribers ask for again: how often, and how much.

use core::time::Duration;

use raceway_units::Instant;

use crate::limits::{NACK_AGAIN, REPAIR_BURST, REPAIR_SHARE, REPAIRS};

/// Why a packet is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unrepaired {
    /// No packet of that number was sent, or it is too long ago.
    Unknown,
    /// It was sent again less than a round trip ago: that is on its way.
    JustSent,
    /// As much was repaired as may be ([`REPAIR_SHARE`], [`REPAIR_BURST`]).
    Exhausted,
}

/// What was repaired, and how much more may be.
#[derive(Clone, Debug)]
pub(crate) struct Repairs {
    sequence: u16,
    /// Octets that may be repaired, times [`REPAIR_SHARE`].
    credit: u64,
    /// Numbers of packets that were repaired last, and when.
    recent: [(u16, Instant); REPAIRS],
    count: usize,
}

impl Repairs {
    pub(crate) const fn new(sequence: u16) -> Self {
        let recent = [(0, Instant::from_ns(0)); REPAIRS];
        Self { sequence, credit: REPAIR_BURST * REPAIR_SHARE, recent, count: 0 }
    }

    /// So much was forwarded.
    #[inline]
    pub(crate) const fn earn(&mut self, octets: usize) {
        let credit = self.credit + octets as u64;
        let most = REPAIR_BURST * REPAIR_SHARE;
        self.credit = if credit < most { credit } else { most };
    }

    /// Whether a packet may be repaired now.
    pub(crate) fn admit(&mut self, now: Instant, sequence: u16, round_trip: Duration) -> Result<(), Unrepaired> {
        let apart = round_trip.max(NACK_AGAIN);
        let kept = &self.recent[..self.count.min(REPAIRS)];
        if kept.iter().any(|(number, at)| *number == sequence && now.since(*at) < apart) {
            return Err(Unrepaired::JustSent);
        }
        self.recent[self.count % REPAIRS] = (sequence, now);
        self.count += 1;
        Ok(())
    }

    /// Takes so many octets; the sequence number of the repetition.
    pub(crate) fn spend(&mut self, octets: usize) -> Result<u16, Unrepaired> {
        let cost = octets as u64 * REPAIR_SHARE;
        self.credit = self.credit.checked_sub(cost).ok_or(Unrepaired::Exhausted)?;
        Ok(self.next_sequence())
    }

    pub(crate) const fn next_sequence(&mut self) -> u16 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(50);

    fn at(ms: u64) -> Instant {
        Instant::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_packet_is_not_sent_again_within_a_round_trip() {
        let mut repairs = Repairs::new(0);
        assert_eq!(repairs.admit(at(0), 7, TRIP), Ok(()));
        assert_eq!(repairs.admit(at(49), 7, TRIP), Err(Unrepaired::JustSent));
        assert_eq!(repairs.admit(at(49), 8, TRIP), Ok(()));
        assert_eq!(repairs.admit(at(50), 7, TRIP), Ok(()));
        assert_eq!(repairs.admit(at(69), 7, Duration::ZERO), Err(Unrepaired::JustSent), "at least 20 ms");
    }

    #[test]
    fn repair_is_a_share_of_what_is_sent_beyond_a_burst() {
        let mut repairs = Repairs::new(65_535);
        let sent = (0..).take_while(|_| repairs.spend(1_000).is_ok()).count();
        assert_eq!(sent, 65);
        assert_eq!(repairs.spend(1_000), Err(Unrepaired::Exhausted));
        (0..4).for_each(|_| repairs.earn(1_000));
        assert_eq!(repairs.spend(1_000), Ok(64), "numbers go on over their end");
        assert_eq!(repairs.spend(1_000), Err(Unrepaired::Exhausted));
    }
}
