//! The parts of RTP and RTCP packets (RFC 3550 sections 5.1 and 6.4).

use core::ops::Range;

use raceway_datapath::measure::{RTP_OCTETS, RtpHeader};

/// What a datagram is whose first octet says media (RFC 7983), by RFC 5761 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

impl Kind {
    /// By the octet that holds the payload type. Nothing for a datagram without one.
    #[inline]
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match *datagram.get(1)? {
            192..=223 => Some(Self::Rtcp),
            _ => Some(Self::Rtp),
        }
    }
}

/// An RTP packet whose header fits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    /// Its fixed header.
    pub header: RtpHeader,
    /// The marker bit.
    pub marker: bool,
    /// Where its payload is, without padding.
    pub payload: Range<usize>,
}

/// In the first octet: padding, a header extension, how many contributing sources.
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const SOURCES: u8 = 0x0f;
/// In the second octet.
const MARKER: u8 = 0x80;

impl RtpPacket {
    /// Reads a packet that is not encrypted. Nothing when it is not RTP, or lies about its lengths.
    #[inline]
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        let header = RtpHeader::of(packet)?;
        let start = header_octets(packet)?;
        let padding = if packet[0] & PADDING == 0 { 0 } else { usize::from(*packet.last()?).max(1) };
        let end = packet.len().checked_sub(padding).filter(|end| *end >= start)?;
        Some(Self { header, marker: packet[1] & MARKER != 0, payload: start..end })
    }

    /// Reads a packet that is encrypted, as far as that can be: its padding is part of the payload.
    #[must_use]
    pub fn of_encrypted(packet: &[u8]) -> Option<Self> {
        let header = RtpHeader::of(packet)?;
        Some(Self { header, marker: packet[1] & MARKER != 0, payload: header_octets(packet)?..packet.len() })
    }

    /// Whether the packet is RTP as far as can be said while it is encrypted: its header fits.
    #[inline]
    #[must_use]
    pub fn is_whole(packet: &[u8]) -> bool {
        RtpHeader::of(packet).is_some() && header_octets(packet).is_some()
    }
}

/// Octets of the header with contributing sources and extension.
#[inline]
fn header_octets(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let mut octets = RTP_OCTETS + 4 * usize::from(first & SOURCES);
    if first & EXTENSION != 0 {
        let &[high, low] = packet.get(octets + 2..octets + 4)?.first_chunk()?;
        octets += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    }
    (octets <= packet.len()).then_some(octets)
}

/// What a header extension of this number holds (RFC 8285), of either form.
#[must_use]
pub fn extension(packet: &[u8], number: u8) -> Option<&[u8]> {
    let first = *packet.first().filter(|first| **first & EXTENSION != 0)?;
    let at = RTP_OCTETS + 4 * usize::from(first & SOURCES);
    let elements = packet.get(at + 4..header_octets(packet)?)?;
    let &[high, low] = packet.get(at..at + 2)?.first_chunk()?;
    let octets_of_head = match u16::from_be_bytes([high, low]) {
        0xbede => 1,
        0x1000..=0x100f => 2,
        _ => return None,
    };
    element(elements, octets_of_head, number)
}

/// An element of a header extension whose heads have one octet or two.
fn element(mut rest: &[u8], octets_of_head: usize, number: u8) -> Option<&[u8]> {
    loop {
        let (known, octets) = match *rest {
            [0, ref after @ ..] => {
                rest = after;
                continue;
            }
            [head, ..] if octets_of_head == 1 => (head >> 4, usize::from(head & 15) + 1),
            [known, octets, ..] => (known, usize::from(octets)),
            [_] | [] => return None,
        };
        // Of one octet, 15 ends the list.
        if octets_of_head == 1 && known == 15 {
            return None;
        }
        let (value, after) = rest.get(octets_of_head..)?.split_at_checked(octets)?;
        if known == number {
            return Some(value);
        }
        rest = after;
    }
}

/// Who sent an RTCP packet, which may be encrypted (RFC 3711 section 3.4).
#[inline]
#[must_use]
pub fn sender(compound: &[u8]) -> Option<u32> {
    word(compound, 4)
}

/// Changes the payload type of a packet.
#[inline]
pub fn set_payload_type(packet: &mut [u8], payload_type: u8) {
    if let Some(octet) = packet.get_mut(1) {
        *octet = *octet & MARKER | payload_type & !MARKER;
    }
}

/// The source of an RTP packet.
#[inline]
#[must_use]
pub fn ssrc(packet: &[u8]) -> Option<u32> {
    word(packet, 8)
}

/// Changes the source of an RTP packet.
#[inline]
pub fn set_ssrc(packet: &mut [u8], ssrc: u32) {
    put_word(packet, 8, |_| ssrc);
}

/// Puts another payload, no longer than the one before, in its place; the length of the packet then. There is no padding
/// any more.
pub fn set_payload(packet: &mut [u8], at: &Range<usize>, octets: impl ExactSizeIterator<Item = u8>) -> usize {
    packet[0] &= !PADDING;
    let end = at.start + octets.len().min(at.len());
    packet[at.start..end].iter_mut().zip(octets).for_each(|(place, octet)| *place = octet);
    end
}

/// RTCP packet types (RFC 3550 section 12.1, RFC 4585 section 9, RFC 3611 section 5).
pub mod packet_type {
    /// Sender report.
    pub const SENDER_REPORT: u8 = 200;
    /// Receiver report.
    pub const RECEIVER_REPORT: u8 = 201;
    /// Source description.
    pub const SOURCE_DESCRIPTION: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Transport layer feedback.
    pub const TRANSPORT_FEEDBACK: u8 = 205;
    /// Payload-specific feedback.
    pub const PAYLOAD_FEEDBACK: u8 = 206;
    /// Extended report.
    pub const EXTENDED_REPORT: u8 = 207;
}

/// An RTCP packet of a compound one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpPacket<'a> {
    /// One of [`packet_type`], or another.
    pub kind: u8,
    /// Reports or sources in it, or the format of the feedback.
    pub count: u8,
    /// The whole packet.
    pub octets: &'a [u8],
}

impl<'a> RtcpPacket<'a> {
    /// The first of what `rest` holds, and what is behind it.
    fn split(rest: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let &[first, kind, high, low] = rest.first_chunk()?;
        let octets = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        let (packet, rest) = rest.split_at_checked(octets)?;
        (first & 0xc0 == 0x80).then_some((Self { kind, count: first & 0x1f, octets: packet }, rest))
    }

    /// Whether it is feedback, which AVP profiles do not have (RFC 4585).
    #[must_use]
    pub const fn is_feedback(&self) -> bool {
        matches!(self.kind, packet_type::TRANSPORT_FEEDBACK | packet_type::PAYLOAD_FEEDBACK)
    }

    /// Of a sender report: whose it is, and the middle of its NTP timestamp.
    #[must_use]
    pub fn sender_report(&self) -> Option<(u32, u32)> {
        (self.kind == packet_type::SENDER_REPORT).then_some(())?;
        let middle = self.octets.get(10..14)?;
        Some((word(self.octets, 4)?, u32::from_be_bytes(*middle.first_chunk()?)))
    }

    /// Sources that it is from.
    pub fn senders(&self) -> impl Iterator<Item = u32> {
        let sources = match self.kind {
            packet_type::BYE => usize::from(self.count),
            _ => 1,
        };
        (0..sources).map_while(|at| word(self.octets, 4 + 4 * at))
    }

    /// Sources of others that it is about: those reported on, and those that feedback names, also in its own words (RFC
    /// 5104 sections 4.2.1 and 4.3.1, and REMB).
    pub fn about(&self) -> impl Iterator<Item = u32> {
        let feedback = if self.is_feedback() { self.feedback_sources() } else { (12, 0, 0) };
        let media = if self.is_feedback() { word(self.octets, 8).filter(|media| *media != 0) } else { None };
        let (start, step, count) = feedback;
        let named = (0..count).map_while(move |at| word(self.octets, start + step * at));
        self.reception_reports().map(|(source, ..)| source).chain(media).chain(named)
    }

    /// Where feedback names sources: from which octet, at what distance, how many.
    fn feedback_sources(&self) -> (usize, usize, usize) {
        let entries = self.octets.len().saturating_sub(12) / 8;
        match (self.kind, self.count) {
            (packet_type::TRANSPORT_FEEDBACK, 3 | 4) | (packet_type::PAYLOAD_FEEDBACK, 4) => (12, 8, entries),
            (packet_type::PAYLOAD_FEEDBACK, 15) if self.octets.get(12..16) == Some(b"REMB") => {
                (20, 4, self.octets.get(16).copied().unwrap_or(0).into())
            }
            _ => (12, 0, 0),
        }
    }

    /// Reception reports in a sender or receiver report: source, last sender report, delay since it.
    pub fn reception_reports(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let start = match self.kind {
            packet_type::SENDER_REPORT => 28,
            packet_type::RECEIVER_REPORT => 8,
            _ => self.octets.len(),
        };
        let blocks = self.octets.get(start..).unwrap_or_default().chunks_exact(24).take(self.count.into());
        blocks.filter_map(|block| Some((word(block, 0)?, word(block, 16)?, word(block, 20)?)))
    }
}

/// Replaces a word by what `change` makes of it; nothing where there is none.
#[inline]
fn put_word(octets: &mut [u8], at: usize, change: impl FnOnce(u32) -> u32) {
    if let Some(place) = octets.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = change(u32::from_be_bytes(*place)).to_be_bytes();
    }
}

/// Gives sources in a compound packet other names (RFC 3550 section 7.2): `sender` those of who sends it and of who speaks
/// through it, `heard` those that it speaks of because they were received. Of payload-specific feedback, and of extended
/// reports, what has names in it and is known: FIR, REMB, TMMBR and TMMBN (RFC 5104), RFC 3611.
pub fn translate(compound: &mut [u8], sender: impl Fn(u32) -> u32, heard: impl Fn(u32) -> u32) {
    let mut from = 0;
    while let Some((packet, _)) = RtcpPacket::split(&compound[from..]) {
        let (kind, count, octets) = (packet.kind, usize::from(packet.count), packet.octets.len());
        let packet = &mut compound[from..from + octets];
        from += octets;
        match kind {
            packet_type::SOURCE_DESCRIPTION => translate_descriptions(packet, count, &sender),
            packet_type::BYE => (0..count).for_each(|at| put_word(packet, 4 + 4 * at, &sender)),
            _ => {
                put_word(packet, 4, &sender);
                translate_heard(packet, kind, count, &heard);
            }
        }
    }
}

/// Each chunk is a source and items, up to an empty one that fills its word (RFC 3550 section 6.5).
fn translate_descriptions(packet: &mut [u8], count: usize, sender: impl Fn(u32) -> u32) {
    let mut at = 4;
    for _ in 0..count {
        put_word(packet, at, &sender);
        at += 4;
        while let Some(&[kind, length]) = packet.get(at..at + 2).and_then(|item| item.first_chunk())
            && kind != 0
        {
            at += 2 + usize::from(length);
        }
        at = (at + 4) & !3;
    }
}

fn translate_heard(packet: &mut [u8], kind: u8, count: usize, heard: impl Fn(u32) -> u32) {
    let is_bandwidth = packet.get(12..16) == Some(b"REMB");
    match (kind, count) {
        (packet_type::SENDER_REPORT, count) => put_words(packet, 28, 24, count, heard),
        (packet_type::RECEIVER_REPORT, count) => put_words(packet, 8, 24, count, heard),
        (packet_type::TRANSPORT_FEEDBACK, 3 | 4) | (packet_type::PAYLOAD_FEEDBACK, 4) => {
            put_word(packet, 8, &heard);
            put_words(packet, 12, 8, usize::MAX, heard);
        }
        (packet_type::PAYLOAD_FEEDBACK, 15) if is_bandwidth => {
            let count = packet.get(16).copied().unwrap_or(0).into();
            put_word(packet, 8, &heard);
            put_words(packet, 20, 4, count, heard);
        }
        (packet_type::TRANSPORT_FEEDBACK | packet_type::PAYLOAD_FEEDBACK, _) => put_word(packet, 8, heard),
        (packet_type::EXTENDED_REPORT, _) => translate_extended(packet, heard),
        _ => {}
    }
}

/// Replaces the first word of each of `count` parts of `step` octets, as many as are there whole.
fn put_words(packet: &mut [u8], start: usize, step: usize, count: usize, change: impl Fn(u32) -> u32) {
    let there = packet.len().saturating_sub(start) / step;
    (0..count.min(there)).for_each(|at| put_word(packet, start + step * at, &change));
}

/// Blocks of extended reports that name a source: loss, duplicates, times (1 to 3), DLRR (5), statistics (6), VoIP (7).
fn translate_extended(packet: &mut [u8], heard: impl Fn(u32) -> u32) {
    let mut at = 8;
    while let Some(&[kind, _, high, low]) = packet.get(at..).and_then(|block| block.first_chunk()) {
        let words = usize::from(u16::from_be_bytes([high, low]));
        let end = (at + 4 + 4 * words).min(packet.len());
        match kind {
            1..=3 | 6 | 7 if end >= at + 8 => put_word(packet, at + 4, &heard),
            5 => (at + 4..end).step_by(12).filter(|at| at + 12 <= end).for_each(|at| put_word(packet, at, &heard)),
            _ => {}
        }
        at += 4 + 4 * words;
    }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Packets of a compound one, as far as they are whole.
pub fn rtcp(compound: &[u8]) -> impl Iterator<Item = RtcpPacket<'_>> {
    let mut rest = compound;
    core::iter::from_fn(move || {
        let (packet, after) = RtcpPacket::split(rest)?;
        rest = after;
        Some(packet)
    })
}

/// Whether a datagram is RTCP packets and nothing else (RFC 3550 appendix A.2; RFC 5506 lets any of them be first).
#[must_use]
pub fn is_rtcp(compound: &[u8]) -> bool {
    !compound.is_empty() && rtcp(compound).map(|packet| packet.octets.len()).sum::<usize>() == compound.len()
}

/// Takes feedback out of a compound packet; how long it is then, zero if nothing is left.
pub fn without_feedback(compound: &mut [u8]) -> usize {
    let (mut from, mut to) = (0, 0);
    while let Some((packet, _)) = RtcpPacket::split(&compound[from..]) {
        let (feedback, octets) = (packet.is_feedback(), packet.octets.len());
        if !feedback {
            compound.copy_within(from..from + octets, to);
            to += octets;
        }
        from += octets;
    }
    to
}

/// Fuzz entry: what is read lies inside, and what is rewritten is still well formed.
pub fn fuzz(data: &[u8]) {
    if let Some(packet) = RtpPacket::of(data) {
        assert!(packet.payload.start <= packet.payload.end && packet.payload.end <= data.len());
        assert!(RtpPacket::is_whole(data));
        let mut changed = data.to_vec();
        set_payload_type(&mut changed, 101);
        let octets = set_payload(&mut changed, &packet.payload, core::iter::repeat_n(7, packet.payload.len()));
        let again = RtpPacket::of(&changed[..octets]).expect("still RTP");
        assert_eq!((again.header.payload_type, again.payload), (101, packet.payload));
    }
    (0..=15).filter_map(|number| extension(data, number)).for_each(|value| assert!(value.len() < data.len()));
    let mut compound = data.to_vec();
    let whole = is_rtcp(&compound);
    let octets = without_feedback(&mut compound);
    assert!(octets <= data.len());
    assert!(rtcp(&compound[..octets]).all(|packet| !packet.is_feedback()));
    assert!(!whole || octets == 0 || is_rtcp(&compound[..octets]));
    let mut translated = data.to_vec();
    translate(&mut translated, |ssrc| !ssrc, |ssrc| ssrc ^ 0x5555_5555);
    assert_eq!(
        rtcp(&translated).map(|p| p.octets.len()).sum::<usize>(),
        rtcp(data).map(|p| p.octets.len()).sum::<usize>()
    );
    if whole {
        translate(&mut translated, |ssrc| !ssrc, |ssrc| ssrc ^ 0x5555_5555);
        assert_eq!(translated, data, "twice is back");
    }
    rtcp(data).for_each(|packet| {
        assert!(packet.reception_reports().count() <= 31);
        let _ = packet.sender_report();
        assert!(packet.senders().count() <= 31 && packet.about().count() <= 255 + 32);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rtcp_packet(kind: u8, count: u8, words: u16) -> Vec<u8> {
        let mut packet = vec![0x80 | count, kind];
        packet.extend_from_slice(&words.to_be_bytes());
        packet.extend((0..4 * words).map(|octet| octet as u8));
        packet
    }

    #[test]
    fn a_payload_starts_behind_sources_and_extension_and_ends_before_padding() {
        let mut packet = vec![0x80 | PADDING | EXTENSION | 2, 0x80 | 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend_from_slice(&[0; 8]);
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        packet.extend_from_slice(&[1, 2, 3, 0, 2]);
        let read = RtpPacket::of(&packet).expect("RTP");
        assert_eq!((read.payload, read.marker), (28..31, true));
        assert_eq!(read.header, RtpHeader { payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3 });
    }

    #[test]
    fn what_lies_about_its_lengths_is_no_rtp() {
        let plain = [0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        assert!(RtpPacket::of(&plain).is_some());
        let with = |first: u8, rest: &[u8]| RtpPacket::of(&[&[first], &plain[1..], rest].concat());
        assert_eq!(with(0x81, &[]), None, "a source that is not there");
        assert_eq!(with(0x90, &[0, 0, 0]), None, "half an extension header");
        assert_eq!(with(0x90, &[0, 0, 0, 2, 0, 0, 0, 0]), None, "an extension that runs out");
        assert_eq!(with(0xa0, &[1, 9]), None, "more padding than payload");
        assert_eq!(with(0xa0, &[1, 0]).map(|packet| packet.payload), Some(12..13), "padding of none is one octet");
        assert_eq!(RtpPacket::of(&plain[..11]), None);
        assert_eq!(RtpPacket::of(&[0x40; 12]), None);
    }

    #[test]
    fn payload_types_64_to_95_are_rtcp() {
        assert_eq!(Kind::of(&[0x80, 200]), Some(Kind::Rtcp));
        assert_eq!(Kind::of(&[0x80, 0x80 | 96]), Some(Kind::Rtp));
        assert_eq!(Kind::of(&[0x80, 63]), Some(Kind::Rtp));
        assert_eq!(Kind::of(&[0x80]), None);
    }

    #[test]
    fn feedback_is_taken_out_wherever_it_stands() {
        let report = rtcp_packet(201, 1, 7);
        let (nack, pli) = (rtcp_packet(205, 1, 3), rtcp_packet(206, 1, 2));
        let bye = rtcp_packet(203, 1, 1);
        let mut compound = [&report[..], &nack, &bye, &pli].concat();
        assert!(is_rtcp(&compound));
        let octets = without_feedback(&mut compound);
        assert_eq!(compound[..octets], [&report[..], &bye].concat());
        assert_eq!(without_feedback(&mut [nack, pli].concat()), 0);
    }

    /// The sender is 10 and becomes 110; 20 was heard and becomes 220; the rest is neither's business.
    #[test]
    fn names_of_sources_change_wherever_they_stand() {
        let packet = |kind: u8, count: u8, body: &[u32]| {
            let mut packet = vec![0x80 | count, kind, 0, body.len() as u8];
            packet.extend(body.iter().flat_map(|word| word.to_be_bytes()));
            packet
        };
        let block = |ssrc: u32| [ssrc, 3, 3, 3, 3, 3];
        let with = |head: &[u32], rest: &[u32]| [head, rest].concat();
        let text = u32::from_be_bytes;
        let case = |sender: u32, heard: u32| {
            [
                packet(200, 2, &with(&[sender, 1, 2, 1, 2, 1], &[block(heard), block(3)].concat())),
                packet(201, 1, &with(&[sender], &block(heard))),
                // A name of three letters, one of four, nothing.
                packet(
                    202,
                    2,
                    &[sender, text([1, 3, b'a', b'b']), text([b'c', 0, 0, 0]), sender, text([1, 1, b'x', 0])],
                ),
                packet(203, 2, &[sender, sender, text([1, b'z', 0, 0])]),
                packet(204, 0, &[sender, text(*b"name"), 1, 2]),
                packet(205, 1, &[sender, heard, 0x0001_0002]),
                packet(205, 15, &[sender, heard, 1, 2]),
                packet(205, 3, &[sender, 0, heard, 2, heard, 1]),
                packet(206, 1, &[sender, heard]),
                packet(206, 4, &[sender, 0, heard, 0x0100_0000]),
                packet(206, 15, &[sender, 0, text(*b"REMB"), 0x0101_0000, heard]),
                packet(206, 15, &[sender, heard, text(*b"else"), 1, 2]),
                packet(207, 0, &with(&[sender, 0x0700_0008, heard, 1, 2, 1, 2, 1, 2, 1], &[0x0400_0002, 2, 1])),
                packet(207, 0, &[sender, 0x0500_0006, heard, 1, 2, heard, 1, 2, 0x0100_0002, heard, 1]),
            ]
            .concat()
        };
        let mut compound = case(10, 20);
        translate(
            &mut compound,
            |ssrc| if ssrc == 10 { 110 } else { ssrc },
            |ssrc| if ssrc == 20 { 220 } else { ssrc },
        );
        assert_eq!(compound, case(110, 220));
    }

    #[test]
    fn reports_tell_sources_and_times() {
        let mut sender = rtcp_packet(200, 1, 12);
        sender[4..8].copy_from_slice(&7u32.to_be_bytes());
        sender[8..16].copy_from_slice(&0x1111_2222_3333_4444_u64.to_be_bytes());
        sender[28..32].copy_from_slice(&9u32.to_be_bytes());
        sender[44..48].copy_from_slice(&10u32.to_be_bytes());
        sender[48..52].copy_from_slice(&11u32.to_be_bytes());
        let packet = rtcp(&sender).next().expect("one");
        assert_eq!(packet.sender_report(), Some((7, 0x2222_3333)));
        assert_eq!(packet.reception_reports().collect::<Vec<_>>(), [(9, 10, 11)]);
    }

    #[test]
    fn what_is_behind_the_last_whole_packet_makes_it_no_rtcp() {
        let mut compound = rtcp_packet(201, 0, 1);
        assert!(is_rtcp(&compound));
        compound.push(0);
        assert!(!is_rtcp(&compound) && !is_rtcp(&[]));
    }

    proptest! {
        #[test]
        fn anything_is_read_without_harm(mut data in prop::collection::vec(any::<u8>(), 0..200), first in 0x80..=0xbf_u8) {
            if let Some(octet) = data.first_mut() {
                *octet = first;
            }
            fuzz(&data);
        }
    }
}
