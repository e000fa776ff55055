//! What was sent.

use raceway_units::Instant;

use super::ProbeId;
use crate::limits::HISTORY_PACKETS;

/// What is known of a packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fate {
    /// Nothing yet.
    InFlight,
    /// A message said that it had not arrived.
    Missing,
    /// A message said that it had.
    Arrived,
}

/// A packet. Eight octets: there are many of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// When it was sent: microseconds, modulo 2^32, which is an hour.
    sent_us: u32,
    /// Octets of its UDP payload.
    pub octets: u16,
    /// The probe it belongs to; zero is none.
    probe: u8,
    /// What became of it.
    pub fate: Fate,
}

const _: () = assert!(size_of::<Packet>() == 8);

impl Packet {
    /// When it was sent, as nanoseconds of the clock that `now` is of.
    pub const fn sent_ns(&self, now: Instant) -> u64 {
        let now_us = now.as_ns() / 1000;
        now_us.saturating_sub((now_us as u32).wrapping_sub(self.sent_us) as u64) * 1000
    }

    pub fn probe(&self) -> Option<ProbeId> {
        ProbeId::from_octet(self.probe)
    }
}

/// The newest `HISTORY_PACKETS` packets, by number.
#[derive(Debug)]
pub(super) struct History {
    packets: Box<[Packet]>,
    sent: u64,
}

impl History {
    pub fn new() -> Self {
        let none = Packet { sent_us: 0, octets: 0, probe: 0, fate: Fate::Arrived };
        Self { packets: vec![none; HISTORY_PACKETS].into_boxed_slice(), sent: 0 }
    }

    /// Remembers a packet and gives it its number.
    pub fn push(&mut self, now: Instant, octets: u16, probe: Option<ProbeId>) -> u16 {
        let number = self.sent as u16;
        let probe = probe.map_or(0, ProbeId::to_octet);
        let packet = Packet { sent_us: (now.as_ns() / 1000) as u32, octets, probe, fate: Fate::InFlight };
        self.packets[usize::from(number) % HISTORY_PACKETS] = packet;
        self.sent += 1;
        number
    }

    /// The packet with this number, if it was sent and is remembered.
    pub fn find(&mut self, number: u16) -> Option<&mut Packet> {
        let back = u64::from((self.sent as u16).wrapping_sub(number).wrapping_sub(1));
        let known = back < self.sent.min(HISTORY_PACKETS as u64);
        known.then(|| &mut self.packets[usize::from(number) % HISTORY_PACKETS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_lately_is_found() {
        let mut history = History::new();
        assert!(history.find(0).is_none() && history.find(65_535).is_none());
        let at = Instant::from_ns(5_000_000_000);
        (0..70_000_u32).for_each(|n| assert_eq!(history.push(at, 1200, None), n as u16));
        let newest = (70_000 - 1) as u16;
        assert!(history.find(newest).is_some() && history.find(newest.wrapping_add(1)).is_none());
        assert!(history.find(newest.wrapping_sub(HISTORY_PACKETS as u16 - 1)).is_some());
        assert!(history.find(newest.wrapping_sub(HISTORY_PACKETS as u16)).is_none());
        assert!(history.find(newest.wrapping_add(32_768)).is_none());
    }

    #[test]
    fn the_time_of_sending_is_kept_over_the_wrap_of_its_field() {
        let mut history = History::new();
        let sent = Instant::from_ns((u64::from(u32::MAX) - 10) * 1000);
        let number = history.push(sent, 1, None);
        let now = sent.after(core::time::Duration::from_secs(2));
        assert_eq!(history.find(number).unwrap().sent_ns(now), sent.as_ns());
    }
}
