//! Congestion control feedback of RFC 8888: for each stream, which packets arrived when, and how they were marked.
//!
//! ```text
//!  |V=2|P| FMT=11  |   PT = 205    |          length               |
//!  |                 SSRC of RTCP packet sender                    |
//!  |                   SSRC of 1st RTP Stream                      |
//!  |          begin_seq            |          num_reports          |
//!  |R|ECN|  Arrival time offset    | ...                           .
//!  .                    more streams, in the end                   .
//!  |                 Report Timestamp (32 bits)                    |
//! ```

use core::time::Duration;

use crate::limits::FEEDBACK_PACKETS_MAX;
use crate::rtcp::{self, FeedbackError};

/// FMT of congestion control feedback (RFC 8888 section 3.1).
const FORMAT: u8 = 11;
/// Octets of a block before its reports.
const BLOCK: usize = 8;
/// The offset is 8189/1024 s or more (RFC 8888 section 3.1).
const BEYOND: u16 = 0x1ffe;
/// The time of arrival is not known.
const UNKNOWN: u16 = 0x1fff;

/// How a packet was marked by the network (RFC 3168 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not take part.
    #[default]
    NotEct = 0,
    /// The sender takes part, as L4S does.
    Ect1 = 1,
    /// The sender takes part.
    Ect0 = 2,
    /// Congestion was met.
    Ce = 3,
}

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How it was marked.
    pub ecn: Ecn,
    /// How long before the report, in steps of 1/1024 s; none if the receiver cannot say or it is 8 s and more.
    pub before: Option<Duration>,
}

/// A feedback message, checked: every block is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// Who says so.
    pub sender: u32,
    /// When, in the middle 32 bits of an NTP timestamp (1/65536 s), by the receiver's clock.
    pub at: u32,
    blocks: &'a [u8],
}

/// What a message says of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The stream.
    pub ssrc: u32,
    /// RTP sequence number of the first packet that is spoken of.
    pub begin: u16,
    reports: &'a [u8],
}

impl<'a> Feedback<'a> {
    /// Reads an RTCP packet, one of a compound packet.
    ///
    /// # Errors
    /// It is not RFC 8888 feedback, a block runs past its end, or it speaks of more packets than are remembered.
    pub fn read(packet: &'a [u8]) -> Result<Self, FeedbackError> {
        let (sender, body) = rtcp::read(packet, rtcp::RTPFB, FORMAT)?;
        let end = body.len().checked_sub(4).ok_or(FeedbackError::Truncated)?;
        let (blocks, at) = (&body[..end], rtcp::u32_at(body, end)?);
        let (mut rest, mut packets) = (blocks, 0);
        while !rest.is_empty() {
            let (block, after) = split(rest).ok_or(FeedbackError::Count)?;
            packets += block.reports.len() / 2;
            rest = after;
        }
        if packets > FEEDBACK_PACKETS_MAX { Err(FeedbackError::TooMany) } else { Ok(Self { sender, at, blocks }) }
    }

    /// What is said of each stream.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let mut rest = self.blocks;
        core::iter::from_fn(move || {
            let (block, after) = split(rest)?;
            rest = after;
            Some(block)
        })
    }
}

impl<'a> Block<'a> {
    /// Every packet that is spoken of, in order, and what became of it if it arrived.
    pub fn packets(&self) -> impl Iterator<Item = (u16, Option<Received>)> + use<'a> {
        let begin = self.begin;
        let reports = self.reports.chunks_exact(2).map(|report| u16::from_be_bytes([report[0], report[1]]));
        reports.enumerate().map(move |(index, report)| (begin.wrapping_add(index as u16), received(report)))
    }
}

/// The first block, and what follows it and its padding.
fn split(octets: &[u8]) -> Option<(Block<'_>, &[u8])> {
    let (ssrc, begin) = (rtcp::u32_at(octets, 0).ok()?, rtcp::u16_at(octets, 4).ok()?);
    let reports = usize::from(rtcp::u16_at(octets, 6).ok()?) * 2;
    let padded = reports.next_multiple_of(4);
    let after = octets.get(BLOCK + padded..)?;
    Some((Block { ssrc, begin, reports: &octets[BLOCK..BLOCK + reports] }, after))
}

fn received(report: u16) -> Option<Received> {
    if report >> 15 == 0 {
        return None;
    }
    let ecn = [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce][usize::from(report >> 13 & 3)];
    let offset = report & UNKNOWN;
    let ns = u64::from(offset) * 1_000_000_000 / 1024;
    Some(Received { ecn, before: (offset < BEYOND).then(|| Duration::from_nanos(ns)) })
}

/// Writes a message into a buffer, stream by stream.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    octets: usize,
}

impl<'a> Writer<'a> {
    /// A message of nothing yet; none if there is no room even for that.
    #[must_use]
    pub fn new(out: &'a mut [u8]) -> Option<Self> {
        (out.len() >= rtcp::HEADER + 4).then_some(Self { out, octets: rtcp::HEADER })
    }

    /// Adds a stream. Gives how many of its packets there was room for: zero if there was none, and nothing was added.
    pub fn stream(&mut self, ssrc: u32, begin: u16, packets: impl IntoIterator<Item = Option<Received>>) -> usize {
        let start = self.octets;
        let room = self.out.len().saturating_sub(start + BLOCK + 4) / 4 * 2;
        let room = room.min((usize::from(u16::MAX) - start / 4) / 2);
        let (mut count, mut at) = (0, start + BLOCK);
        for packet in packets.into_iter().take(room) {
            self.out[at..at + 2].copy_from_slice(&report(packet).to_be_bytes());
            (count, at) = (count + 1, at + 2);
        }
        if count == 0 {
            return 0;
        }
        let padded = at.next_multiple_of(4);
        self.out[at..padded].fill(0);
        self.out[start..start + 4].copy_from_slice(&ssrc.to_be_bytes());
        self.out[start + 4..start + 6].copy_from_slice(&begin.to_be_bytes());
        self.out[start + 6..start + 8].copy_from_slice(&(count as u16).to_be_bytes());
        self.octets = padded;
        count
    }

    /// Ends it with its time (as [`Feedback::at`]) and says how many octets it has.
    #[must_use]
    pub fn finish(self, sender: u32, at: u32) -> usize {
        let octets = self.octets + 4;
        self.out[self.octets..octets].copy_from_slice(&at.to_be_bytes());
        rtcp::write_header(self.out, rtcp::RTPFB, FORMAT, octets, sender);
        octets
    }
}

fn report(packet: Option<Received>) -> u16 {
    let Some(Received { ecn, before }) = packet else { return 0 };
    let offset = before.map_or(UNKNOWN, |before| {
        let offset = before.as_nanos() * 1024 / 1_000_000_000;
        offset.min(u128::from(BEYOND)) as u16
    });
    0x8000 | (ecn as u16) << 13 | offset
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_of_section_3_1_is_read() {
        let packet = [
            0x8b,
            205,
            0,
            6,
            0,
            0,
            0,
            1, // header, sender
            0,
            0,
            0,
            9,
            0xff,
            0xff,
            0,
            3, // stream 9, packets 65535, 0, 1
            0x80 | 0x60 | 0x04,
            0,
            0,
            0,
            0x9f,
            0xfe,
            0,
            0, // CE one second ago; lost; long ago; padding
            0,
            1,
            0,
            0, // one second
        ];
        let feedback = Feedback::read(&packet).unwrap();
        assert_eq!((feedback.sender, feedback.at), (1, 65_536));
        let blocks: Vec<_> = feedback.blocks().collect();
        assert_eq!((blocks.len(), blocks[0].ssrc), (1, 9));
        let ce = Received { ecn: Ecn::Ce, before: Some(Duration::from_secs(1)) };
        let old = Received { ecn: Ecn::NotEct, before: None };
        assert_eq!(blocks[0].packets().collect::<Vec<_>>(), [(65_535, Some(ce)), (0, None), (1, Some(old))]);
    }

    #[test]
    fn blocks_that_run_past_the_end_or_are_cut_are_an_error() {
        let packet = |count: u8| [0x8b, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, count, 0, 0, 0, 0, 0, 1, 0, 0];
        assert!(Feedback::read(&packet(2)).is_ok());
        assert_eq!(Feedback::read(&packet(3)), Err(FeedbackError::Count));
        assert_eq!(Feedback::read(&[0x8b, 205, 0, 1, 0, 0, 0, 1]), Err(FeedbackError::Truncated));
    }

    #[test]
    fn more_packets_than_anybody_remembers_are_an_error() {
        let (mut out, mut writer_out) = ([0; 9_000], [0; 9_000]);
        let mut message = |packets: usize| {
            let mut writer = Writer::new(&mut writer_out).unwrap();
            assert_eq!(writer.stream(9, 1, std::iter::repeat_n(None, packets)), packets);
            let octets = writer.finish(1, 2);
            out[..octets].copy_from_slice(&writer_out[..octets]);
            Feedback::read(&out[..octets]).map(|feedback| feedback.sender)
        };
        assert_eq!(message(FEEDBACK_PACKETS_MAX), Ok(1));
        assert_eq!(message(FEEDBACK_PACKETS_MAX + 1), Err(FeedbackError::TooMany));
    }

    #[test]
    fn what_has_no_room_is_not_written() {
        let mut out = [0; 24];
        let mut writer = Writer::new(&mut out).unwrap();
        assert_eq!(writer.stream(9, 1, [None; 5]), 2);
        assert_eq!(writer.stream(10, 1, [None; 5]), 0);
        assert_eq!(writer.finish(1, 2), 24);
        assert!(Writer::new(&mut [0; 11]).is_none());
    }

    fn any_received() -> impl Strategy<Value = Option<Received>> {
        let ecn = prop::sample::select(vec![Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce]);
        let before =
            prop::option::of((0..u64::from(BEYOND)).prop_map(|n| Duration::from_nanos(n * 1_000_000_000 / 1024)));
        prop::option::of((ecn, before).prop_map(|(ecn, before)| Received { ecn, before }))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(streams in prop::collection::vec((any::<u32>(), any::<u16>(), prop::collection::vec(any_received(), 1..60)), 0..8)) {
            let mut out = [0; 1200];
            let mut writer = Writer::new(&mut out).unwrap();
            for (ssrc, begin, packets) in &streams {
                prop_assert_eq!(writer.stream(*ssrc, *begin, packets.iter().copied()), packets.len());
            }
            let octets = writer.finish(1, 77);
            let feedback = Feedback::read(&out[..octets]).unwrap();
            prop_assert_eq!(feedback.blocks().count(), streams.len());
            for (block, (ssrc, begin, packets)) in feedback.blocks().zip(&streams) {
                prop_assert_eq!((block.ssrc, block.begin), (*ssrc, *begin));
                for ((_, read), written) in block.packets().zip(packets) {
                    // A step of 1/1024 s is not whole in nanoseconds: one step less is as near.
                    prop_assert_eq!(read.map(|read| read.ecn), written.map(|written| written.ecn));
                    let times = [read, *written].map(|one| one.and_then(|one| one.before));
                    if let [Some(read), Some(written)] = times {
                        prop_assert!(written.abs_diff(read) < Duration::from_millis(1));
                    } else {
                        prop_assert_eq!(times[0], times[1]);
                    }
                }
            }
        }
    }
}
