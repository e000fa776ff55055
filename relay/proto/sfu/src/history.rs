//! Packets that were received, to send them again: so many octets of them, whatever their streams.

use crate::frame::{Packet, Source};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySize {
    /// Packets of each stream, a power of two: 320 octets each besides their own.
    pub packets: usize,
    /// Octets of packets of all streams.
    pub octets: usize,
}

impl HistorySize {
    /// For video: a second of 5 Mbit/s.
    pub const VIDEO: Self = Self { packets: 512, octets: 640 * 1_024 };
    /// For audio: a second of 20 ms packets.
    pub const AUDIO: Self = Self { packets: 64, octets: 16 * 1_024 };
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    packet: Packet,
    /// Where its octets begin, counted from the first that were ever kept.
    start: u64,
    length: usize,
}

/// The last packets of a track. Takes memory when it is made, and none after.
#[derive(Clone, Debug)]
pub struct History {
    /// Those of the first stream, then of the next one.
    slots: Box<[Option<Slot>]>,
    packets: usize,
    octets: Box<[u8]>,
    /// Octets that were ever kept, with those skipped at the end of the ring.
    written: u64,
}

impl History {
    /// Empty, for so many streams: [`Source`] 0 and up.
    ///
    /// # Panics
    /// If the number of packets is no power of two.
    #[must_use]
    pub fn new(size: HistorySize, streams: usize) -> Self {
        assert!(size.packets.is_power_of_two(), "packets are found by their number's low bits");
        let slots = vec![None; size.packets * streams].into();
        Self { slots, packets: size.packets, octets: vec![0; size.octets].into(), written: 0 }
    }

    const fn slot(&self, source: Source, sequence: u64) -> usize {
        source.0 as usize * self.packets + sequence as usize % self.packets
    }

    /// Keeps a packet. One that is longer than the whole ring, or of a stream that there is not, is not kept.
    pub(crate) fn insert(&mut self, packet: &Packet, octets: &[u8]) {
        let ring = self.octets.len() as u64;
        let slot = self.slot(packet.source, packet.sequence);
        if octets.len() as u64 > ring || slot >= self.slots.len() {
            return;
        }
        // Octets of a packet are in one piece.
        let at = self.written % ring;
        if at + octets.len() as u64 > ring {
            self.written += ring - at;
        }
        let start = self.written;
        let at = (start % ring) as usize;
        self.octets[at..at + octets.len()].copy_from_slice(octets);
        self.written += octets.len() as u64;
        self.slots[slot] = Some(Slot { packet: *packet, start, length: octets.len() });
    }

    /// A packet and what it was, if it is still there.
    #[must_use]
    pub fn get(&self, source: Source, sequence: u64) -> Option<(&Packet, &[u8])> {
        let slot = self.slots.get(self.slot(source, sequence))?.as_ref()?;
        let same = slot.packet.source == source && slot.packet.sequence == sequence;
        let ring = self.octets.len() as u64;
        if !same || slot.start + ring < self.written {
            return None;
        }
        let at = (slot.start % ring) as usize;
        Some((&slot.packet, &self.octets[at..at + slot.length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use raceway_rtp::{Extensions, Span};
    use raceway_units::Instant;

    fn packet(source: u8, sequence: u64) -> Packet {
        Packet {
            source: Source(source),
            sequence,
            newest: true,
            timestamp: 0,
            payload_type: 96,
            marker: false,
            ssrc: 1,
            arrived: Instant::default(),
            captured: None,
            extensions: Extensions::default(),
            payload: Span::default(),
            frame: Frame::default(),
        }
    }

    #[test]
    fn the_last_packets_are_found_as_they_were() {
        let mut history = History::new(HistorySize { packets: 16, octets: 100 }, 1);
        (0..50_u64).for_each(|number| history.insert(&packet(0, number), &[number as u8; 9]));
        let found: Vec<_> = (0..50).filter(|number| history.get(Source(0), *number).is_some()).collect();
        assert!(found.len() >= 10 && found.iter().all(|number| *number >= 34), "{found:?}");
        for number in found {
            let (kept, octets) = history.get(Source(0), number).expect("found");
            assert_eq!((kept.sequence, octets), (number, &[number as u8; 9][..]));
        }
        assert!(history.get(Source(1), 49).is_none());
    }

    #[test]
    fn octets_that_were_written_over_are_not_given_out() {
        let mut history = History::new(HistorySize { packets: 64, octets: 100 }, 3);
        for number in 0..200_u64 {
            history.insert(&packet(number as u8 % 3, number), &[number as u8; 37]);
            for old in 0..=number {
                if let Some((_, octets)) = history.get(Source(old as u8 % 3), old) {
                    assert_eq!(octets, [old as u8; 37]);
                }
            }
        }
        history.insert(&packet(0, 500), &[0; 101]);
        assert!(history.get(Source(0), 500).is_none(), "longer than the ring");
    }

    #[test]
    fn a_slot_is_as_small_as_is_said() {
        assert!(size_of::<Option<Slot>>() <= 320, "{}", size_of::<Option<Slot>>());
    }
}
