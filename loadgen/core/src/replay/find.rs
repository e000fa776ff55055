//! RTP streams among datagrams.
//!
//! Nothing in a datagram says that it is RTP. What looks like its header is kept by addresses and SSRC; a stream is what
//! then has enough packets whose sequence numbers go on from each other.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::datagram::Datagram;
use super::{Flaws, Packet, Recorded};
use crate::limits::{CANDIDATES_MAX, STREAM_PACKETS_MIN};
use crate::rtp::RtpView;
use crate::stamp;

/// Sequence numbers this close follow each other, in order or not.
const NEAR: u16 = 100;
/// Of ten neighbours, so many must be near.
const NEAR_OF_TEN: usize = 9;
/// Octets of a ChannelData header (RFC 8656 section 12.4), which precedes RTP on the way to a TURN server.
const CHANNEL_HEADER: usize = 4;

/// What may be a stream.
#[derive(Default)]
pub(super) struct Finder<'a> {
    places: HashMap<(SocketAddr, SocketAddr, u32), usize>,
    candidates: Vec<Candidate<'a>>,
}

struct Candidate<'a> {
    source: SocketAddr,
    destination: SocketAddr,
    ssrc: u32,
    packets: Vec<Seen<'a>>,
    near: usize,
}

/// A packet, and where its sequence number is when all are counted on.
#[derive(Clone, Copy)]
struct Seen<'a> {
    at_ns: u64,
    number: i64,
    octets: &'a [u8],
}

impl<'a> Finder<'a> {
    /// Takes in a datagram; false if it does not look like RTP.
    pub(super) fn take(&mut self, at_ns: u64, datagram: &Datagram<'a>) -> bool {
        let octets = unwrapped(datagram.payload);
        let Ok(view) = RtpView::parse(octets) else { return false };
        if octets.len() > usize::from(u16::MAX) {
            return false;
        }
        let key = (datagram.source, datagram.destination, view.ssrc());
        let full = self.candidates.len() == CANDIDATES_MAX;
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if full => return false,
            None => self.begin(key),
        };
        self.candidates[place].take(at_ns, view.sequence(), octets);
        true
    }

    fn begin(&mut self, key: (SocketAddr, SocketAddr, u32)) -> usize {
        let (source, destination, ssrc) = key;
        self.candidates.push(Candidate { source, destination, ssrc, packets: Vec::new(), near: 0 });
        self.places.insert(key, self.candidates.len() - 1);
        self.candidates.len() - 1
    }

    /// The streams, in the order of their first packets, and how many datagrams were in none.
    pub(super) fn finish(self) -> (Vec<Recorded>, usize) {
        let (mut streams, mut others) = (Vec::new(), 0);
        for candidate in self.candidates {
            let captured = candidate.packets.len();
            match candidate.record() {
                Some(stream) => streams.push(stream),
                None => others += captured,
            }
        }
        let first = streams.iter().map(|stream| stream.packets[0].offset_ns).min().unwrap_or(0);
        for packet in streams.iter_mut().flat_map(|stream| &mut stream.packets) {
            packet.offset_ns -= first;
        }
        streams.sort_by_key(|stream| stream.packets[0].offset_ns);
        (streams, others)
    }
}

impl<'a> Candidate<'a> {
    fn take(&mut self, at_ns: u64, sequence: u16, octets: &'a [u8]) {
        let number = match self.packets.last() {
            None => i64::from(sequence),
            Some(last) => {
                let step = sequence.wrapping_sub(last.number as u16) as i16;
                self.near += usize::from(step.unsigned_abs() <= NEAR);
                last.number + i64::from(step)
            }
        };
        self.packets.push(Seen { at_ns, number, octets });
    }

    /// The stream as its sender sent it: in order and each packet once. Times keep their order too. `None` if it is no
    /// stream.
    fn record(self) -> Option<Recorded> {
        let Self { source, destination, ssrc, mut packets, near } = self;
        let captured = packets.len();
        if near * 10 < (captured - 1) * NEAR_OF_TEN {
            return None;
        }
        let reordered = reordered(&packets);
        packets.sort_by_key(|packet| packet.number);
        packets.dedup_by_key(|packet| packet.number);
        if packets.len() < STREAM_PACKETS_MIN {
            return None;
        }
        let span = packets[packets.len() - 1].number - packets[0].number + 1;
        let flaws = Flaws {
            lost: (span - packets.len() as i64) as u64,
            duplicated: (captured - packets.len()) as u64,
            reordered,
        };
        let mut times: Vec<_> = packets.iter().map(|packet| packet.at_ns).collect();
        times.sort_unstable();
        let octets = packets.iter().flat_map(|packet| packet.octets).copied().collect();
        let mut at = 0;
        let packets = packets.iter().zip(times).map(|(seen, offset_ns)| {
            let packet = packet(seen, offset_ns, at);
            at += seen.octets.len();
            packet
        });
        Some(Recorded::new(source, destination, ssrc, flaws, packets.collect(), octets))
    }
}

/// Packets that came after a later one, the first time that they came.
fn reordered(packets: &[Seen<'_>]) -> u64 {
    let (mut seen, mut newest) = (HashSet::new(), i64::MIN);
    let mut late = 0;
    for number in packets.iter().map(|packet| packet.number).filter(|number| seen.insert(*number)) {
        late += u64::from(number < newest);
        newest = newest.max(number);
    }
    late
}

fn packet(seen: &Seen<'_>, offset_ns: u64, at: usize) -> Packet {
    let view = RtpView::parse(seen.octets).expect("it was taken as such");
    let payload = view.payload_range();
    let stamped = stamp::check(view.payload()).ok();
    Packet {
        offset_ns,
        at: at as u32,
        length: seen.octets.len() as u16,
        payload: payload.start as u16,
        payload_length: payload.len() as u16,
        prefix: stamped.map(|stamp| stamp.prefix),
    }
}

/// Application data, taken out of ChannelData if that is what it looks like.
fn unwrapped(payload: &[u8]) -> &[u8] {
    let &[0x40..=0x4f, _, high, low, ref rest @ ..] = payload else { return payload };
    rest.get(..usize::from(u16::from_be_bytes([high, low]))).unwrap_or(&payload[..CHANNEL_HEADER])
}
