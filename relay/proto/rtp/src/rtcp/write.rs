//! RTCP written.

use super::feedback::{Fir, Nack};
use super::report::{ReportBlock, SenderInfo};
use super::{HEADER, format, packet_type};

/// Most reports or sources of a packet: their count has five bits.
const COUNT_MAX: usize = 31;

/// A compound packet that grows in a buffer. A packet that does not fit is left out whole, and that is said.
#[derive(Debug)]
pub struct Compound<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Compound<'a> {
    /// Empty.
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, length: 0 }
    }

    /// Octets so far.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// One more packet: `parts`, filled up to whole words. `None` if there is no room.
    fn packet(&mut self, kind: u8, count: u8, parts: &[&[u8]]) -> Option<()> {
        let room = &mut self.buffer[self.length..];
        let mut at = HEADER;
        for part in parts {
            room.get_mut(at..at + part.len())?.copy_from_slice(part);
            at += part.len();
        }
        let end = at.next_multiple_of(4);
        room.get_mut(at..end)?.fill(0);
        let words = u16::try_from(end / 4 - 1).ok()?.to_be_bytes();
        room.get_mut(..HEADER)?.copy_from_slice(&[0x80 | count, kind, words[0], words[1]]);
        self.length += end;
        Some(())
    }

    /// A sender report of `ssrc` (RFC 3550 section 6.4.1). `None` if there is no room, or are more than 31 blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: &SenderInfo, blocks: &[ReportBlock]) -> Option<()> {
        let head = [ssrc, (info.ntp >> 32) as u32, info.ntp as u32, info.rtp, info.packets, info.octets];
        self.report(packet_type::SENDER_REPORT, head.map(u32::to_be_bytes).as_flattened(), blocks)
    }

    /// A receiver report of `ssrc` (section 6.4.2). `None` if there is no room, or are more than 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Option<()> {
        self.report(packet_type::RECEIVER_REPORT, &ssrc.to_be_bytes(), blocks)
    }

    fn report(&mut self, kind: u8, head: &[u8], blocks: &[ReportBlock]) -> Option<()> {
        (blocks.len() <= COUNT_MAX).then_some(())?;
        let start = self.length;
        self.packet(kind, blocks.len() as u8, &[head])?;
        for block in blocks {
            let place = self.buffer.get_mut(self.length..).and_then(|room| room.first_chunk_mut());
            let Some(place) = place else {
                self.length = start;
                return None;
            };
            *place = block.octets();
            self.length += place.len();
        }
        self.set_words(start)
    }

    /// Says how long the packet at `start`, which is the last, has become.
    fn set_words(&mut self, start: usize) -> Option<()> {
        let words = u16::try_from((self.length - start) / 4 - 1).ok()?;
        self.buffer[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
        Some(())
    }

    /// A source description with a canonical name (section 6.5.1). `None` if there is no room, or the name is longer than 255
    /// octets.
    pub fn canonical_name(&mut self, ssrc: u32, name: &[u8]) -> Option<()> {
        let length = u8::try_from(name.len()).ok()?;
        // At least one octet ends the list of items.
        self.packet(packet_type::SOURCE_DESCRIPTION, 1, &[&ssrc.to_be_bytes(), &[1, length], name, &[0]])
    }

    /// A goodbye (section 6.6). `None` if there is no room.
    pub fn bye(&mut self, ssrc: u32) -> Option<()> {
        self.packet(packet_type::BYE, 1, &[&ssrc.to_be_bytes()])
    }

    fn feedback(&mut self, kind: u8, format: u8, (sender, media): (u32, u32), entries: [&[u8]; 2]) -> Option<()> {
        let [head, rest] = entries;
        self.packet(kind, format, &[&sender.to_be_bytes(), &media.to_be_bytes(), head, rest])
    }

    /// A generic NACK (RFC 4585 section 6.2.1). `None` if there is no room.
    pub fn nack(&mut self, sender: u32, media: u32, nacks: impl Iterator<Item = Nack>) -> Option<()> {
        let start = self.length;
        self.feedback(packet_type::TRANSPORT_FEEDBACK, format::NACK, (sender, media), [&[], &[]])?;
        for nack in nacks {
            let entry = u32::from(nack.first) << 16 | u32::from(nack.more);
            let place = self.buffer.get_mut(self.length..).and_then(|room| room.first_chunk_mut());
            let Some(place) = place else {
                self.length = start;
                return None;
            };
            *place = entry.to_be_bytes();
            self.length += place.len();
        }
        self.set_words(start)
    }

    /// A picture loss indication (RFC 4585 section 6.3.1). `None` if there is no room.
    pub fn picture_loss(&mut self, sender: u32, media: u32) -> Option<()> {
        self.feedback(packet_type::PAYLOAD_FEEDBACK, format::PICTURE_LOSS, (sender, media), [&[], &[]])
    }

    /// A full intra request (RFC 5104 section 4.3.1.1: the source of the media is named in the entry alone). `None` if there
    /// is no room.
    pub fn full_intra_request(&mut self, sender: u32, request: Fir) -> Option<()> {
        let [a, b, c, d] = request.ssrc.to_be_bytes();
        let entry = [a, b, c, d, request.number, 0, 0, 0];
        self.feedback(packet_type::PAYLOAD_FEEDBACK, format::FULL_INTRA, (sender, 0), [&entry, &[]])
    }

    /// A receiver's estimated maximum bit rate, rounded down to 18 bits (draft-alvestrand-rmcat-remb-03 section 2.2). `None`
    /// if there is no room, or are more than 255 sources.
    pub fn remb(&mut self, sender: u32, rate: u64, sources: &[u32]) -> Option<()> {
        let count = u8::try_from(sources.len()).ok()?;
        let exponent = (u64::BITS - rate.leading_zeros()).saturating_sub(18);
        let mantissa = (rate >> exponent) as u32;
        let [_, high, middle, low] = mantissa.to_be_bytes();
        let head = [b'R', b'E', b'M', b'B', count, (exponent as u8) << 2 | high, middle, low];
        let mut octets = [0; 4 * 255];
        let list = &mut octets[..4 * sources.len()];
        list.chunks_exact_mut(4).zip(sources).for_each(|(place, ssrc)| place.copy_from_slice(&ssrc.to_be_bytes()));
        self.feedback(packet_type::PAYLOAD_FEEDBACK, format::APPLICATION, (sender, 0), [&head, list])
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::{nacks, packets};
    use super::*;

    fn written(write: impl Fn(&mut Compound<'_>) -> Option<()>) -> Vec<u8> {
        let mut buffer = [0xff; 400];
        let mut compound = Compound::new(&mut buffer);
        write(&mut compound).expect("room");
        let length = compound.length();
        let mut short = std::vec![0xff; length - 1];
        let mut compound = Compound::new(&mut short);
        assert_eq!((write(&mut compound), compound.length()), (None, 0), "left out whole");
        buffer[..length].to_vec()
    }

    #[test]
    fn reports_are_read_as_they_were_written() {
        let info = SenderInfo { ntp: 0x1111_2222_3333_4444, rtp: 5, packets: 6, octets: 7 };
        let block = ReportBlock {
            ssrc: 1,
            fraction_lost: 255,
            lost: -3,
            highest: 0x1_ffff,
            jitter: 9,
            last_report: 10,
            since_last_report: 11,
        };
        let octets = written(|compound| compound.sender_report(3, &info, &[block, block]));
        let packet = packets(&octets).next().expect("one");
        assert_eq!((packet.sender(), packet.sender_info()), (Some(3), Some(info)));
        assert_eq!(packet.report_blocks().collect::<Vec<_>>(), [block, block]);
        let octets = written(|compound| compound.receiver_report(3, &[ReportBlock { lost: 1 << 30, ..block }]));
        let packet = packets(&octets).next().expect("one");
        assert_eq!(packet.sender_info(), None);
        assert_eq!(packet.report_blocks().collect::<Vec<_>>(), [ReportBlock { lost: 0x7f_ffff, ..block }]);
        let mut buffer = [0; 1000];
        assert_eq!(Compound::new(&mut buffer).receiver_report(1, &[block; 32]), None);
    }

    #[test]
    fn requests_are_read_as_they_were_written() {
        let octets = written(|compound| compound.nack(1, 2, nacks([5, 6, 100].into_iter())));
        let packet = packets(&octets).next().expect("one");
        let missing: Vec<_> = packet.nacks().flat_map(Nack::sequences).collect();
        assert_eq!((packet.sender(), packet.media(), &missing[..]), (Some(1), Some(2), &[5, 6, 100][..]));
        let octets = written(|compound| compound.picture_loss(1, 2));
        assert_eq!(octets, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        let fir = Fir { ssrc: 9, number: 200 };
        let octets = written(|compound| compound.full_intra_request(1, fir));
        let packet = packets(&octets).next().expect("one");
        assert_eq!((packet.media(), packet.full_intra_requests().collect::<Vec<_>>()), (Some(0), std::vec![fir]));
        assert_eq!(packet.nacks().count(), 0);
    }

    #[test]
    fn a_bit_rate_is_rounded_down_to_18_bits() {
        for (rate, read) in [(0, 0), (262_143, 262_143), (262_145, 262_144), (u64::MAX, 0x3ffff << 46)] {
            let octets = written(|compound| compound.remb(1, rate, &[7, 8]));
            let packet = packets(&octets).next().expect("one");
            let remb = packet.remb().expect("one");
            assert_eq!((remb.rate, remb.sources().collect::<Vec<_>>()), (read, std::vec![7, 8]));
        }
        let huge = [0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 0, 0xff, 0xff, 0xff];
        assert_eq!(packets(&huge).next().and_then(|packet| packet.remb()).map(|remb| remb.rate), Some(u64::MAX));
    }

    #[test]
    fn names_end_with_a_zero_and_fill_whole_words() {
        let octets = written(|compound| compound.canonical_name(1, b"ab"));
        assert_eq!(octets, [0x81, 202, 0, 3, 0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0]);
        let octets = written(|compound| compound.bye(4));
        assert_eq!(packets(&octets).next().expect("one").goodbyes().collect::<Vec<_>>(), [4]);
        assert_eq!(Compound::new(&mut [0; 400]).canonical_name(1, &[b'a'; 256]), None);
    }
}
