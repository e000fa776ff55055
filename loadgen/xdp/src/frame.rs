//! Frames as the generator repeats them.

use std::net::{IpAddr, SocketAddr};

use raceway_loadgen_core::pattern;

use crate::layout::{
    BODY_MAX, CHANNEL_V4, CHANNEL_V6, HEAD, HEAD_V4, HEAD_V6, PERIOD, Pattern, STAMP, Stream, fold, halves,
};

/// Octets of the longest RTP packet that the kernel's half makes.
pub const PACKET_MAX: usize = RTP_HEADER + BODY_MAX + STAMP;
const RTP_HEADER: usize = 12;
const UDP_HEADER: usize = 8;
const CHANNEL_HEADER: usize = 4;
const UDP: u8 = 17;
const HOPS: u8 = 64;

/// Who sends a stream to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Source; of the same family as the destination.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Hardware address of the interface.
    pub from_mac: [u8; 6],
    /// Hardware address of the next hop.
    pub to_mac: [u8; 6],
}

/// What the packets of a run have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Octets of RTP payload: a stamp at least, and no more than [`PACKET_MAX`] with the header.
    pub payload: usize,
    /// RTP payload type.
    pub payload_type: u8,
    /// IPv6.
    pub v6: bool,
    /// RTP is in ChannelData (RFC 8656 section 12.4).
    pub channel_data: bool,
}

impl Shape {
    /// Octets of the pattern.
    pub(crate) const fn body(&self) -> usize {
        self.payload - STAMP
    }

    /// Octets of all headers.
    pub(crate) const fn head(&self) -> usize {
        (match (self.v6, self.channel_data) {
            (false, false) => HEAD_V4,
            (true, false) => HEAD_V6,
            (false, true) => CHANNEL_V4,
            (true, true) => CHANNEL_V6,
        }) as usize
    }

    /// Octets of a UDP datagram with its header.
    const fn udp(&self) -> u16 {
        let channel = if self.channel_data { CHANNEL_HEADER } else { 0 };
        (UDP_HEADER + channel + RTP_HEADER + self.payload) as u16
    }

    /// Octets of a frame.
    pub(crate) const fn frame(&self) -> usize {
        self.head() + self.payload
    }

    /// Octets of an IP packet: what the interface's MTU must allow.
    #[must_use]
    pub const fn ip_packet(&self) -> usize {
        self.frame() - 14
    }
}

/// First numbers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Number of the stream within the run.
    pub number: u32,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its first sequence number.
    pub sequence: u16,
    /// Its first timestamp.
    pub timestamp: u32,
    /// Its addresses.
    pub endpoints: Endpoints,
    /// Its channel, where there is ChannelData.
    pub channel: u16,
}

/// A stream as the kernel's half takes it.
pub(crate) fn stream(shape: &Shape, frames: &Frames) -> Stream {
    let octets = head(shape, frames);
    let (addresses, udp) = if shape.v6 { (&octets[22..54], 54) } else { (&octets[26..34], 34) };
    let pseudo = sum(addresses) + sum(&shape.udp().to_be_bytes()) + sum(&[0, UDP]);
    let covered = u32::from(fold(pseudo + sum(&octets[udp..])));
    let mut head = [0; HEAD];
    head[..octets.len()].copy_from_slice(&octets);
    let Frames { number, sequence, timestamp, .. } = *frames;
    Stream { head, sum: covered, timestamp, number, first: sequence.into() }
}

/// The headers, with checksum, sequence number and timestamp zero.
fn head(shape: &Shape, frames: &Frames) -> Vec<u8> {
    let Endpoints { from, to, from_mac, to_mac } = frames.endpoints;
    let udp_length = shape.udp();
    let mut head = [to_mac, from_mac].concat();
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            head.extend([0x08, 0x00, 0x45, 0]);
            head.extend((20 + udp_length).to_be_bytes());
            // Not to be fragmented; the checksum follows.
            head.extend([0, 0, 0x40, 0, HOPS, UDP, 0, 0]);
            head.extend(from.octets());
            head.extend(to.octets());
            let checksum = !fold(sum(&head[14..34]));
            head[24..26].copy_from_slice(&checksum.to_ne_bytes());
        }
        (from, to) => {
            let octets = |address| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            head.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            head.extend(udp_length.to_be_bytes());
            head.extend([UDP, HOPS]);
            head.extend(octets(from));
            head.extend(octets(to));
        }
    }
    head.extend(from.port().to_be_bytes());
    head.extend(to.port().to_be_bytes());
    head.extend(udp_length.to_be_bytes());
    head.extend([0, 0]);
    if shape.channel_data {
        head.extend(frames.channel.to_be_bytes());
        head.extend(((RTP_HEADER + shape.payload) as u16).to_be_bytes());
    }
    head.extend([0x80, shape.payload_type & 0x7f, 0, 0, 0, 0, 0, 0]);
    head.extend(frames.ssrc.to_be_bytes());
    head
}

/// The pattern, with the sums of its stretches of `body` octets.
pub(crate) fn stretches(body: usize) -> Box<Pattern> {
    let octets: [u8; PERIOD + BODY_MAX] = pattern(PERIOD + BODY_MAX).try_into().expect("of the length asked for");
    let mut sums = [0; PERIOD];
    for (from, place) in sums.iter_mut().enumerate() {
        *place = fold(sum(&octets[from..from + body]));
    }
    Box::new(Pattern { octets, sums })
}

/// One's complement sum in memory order; of what is left of 16 bits after folding once.
fn sum(octets: &[u8]) -> u32 {
    let pairs = octets.chunks(2).map(|pair| u32::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    u32::from(fold(halves(pairs.sum())))
}
