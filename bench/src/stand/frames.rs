//! Frames as the generator sends them.

use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

/// What is sent through a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Load {
    /// Streams, sent in turn.
    pub flows: u32,
    /// Octets of each RTP packet, its header included.
    pub rtp_octets: u16,
    /// Packets of one stream in a row.
    pub train: u32,
    /// Packets handed to the device at once.
    pub burst: u32,
}

impl Load {
    /// Calls: 20 ms of G.711 in a packet, and neighbouring packets never of one call. Bursts are as long as a card's
    /// interrupt moderation makes them.
    pub const fn calls(flows: u32) -> Self {
        Self { flows, rtp_octets: 172, train: 1, burst: 16 }
    }

    /// Video: frames of eight long packets.
    pub const fn video(flows: u32) -> Self {
        Self { flows, rtp_octets: 1200, train: 8, burst: 16 }
    }
}

/// Upper half of the SSRC of the benchmark's RTP; the sink knows it by this.
const SSRC_MARK: [u8; 2] = [0x52, 0x57];
const HEAD: usize = 64;
/// Octets of an RTP header without contributing sources.
const HEADER: usize = 12;
/// Octets behind it in which the generator writes when the packet was due: they are two contributing sources (RFC 3550
/// section 5.1), which SRTP leaves readable.
const INTENDED: usize = 8;
/// The octet that RTP begins with when it has those.
const TWO_SOURCES: u8 = 0x80 | 2;

/// What the generator repeats. Same layout as `Stream` of the kernel half.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stream {
    head: [u8; HEAD],
    sum: u32,
    rtp_at: u16,
    sequence: u16,
}

// SAFETY: plain integers without padding (64 + 4 + 2 + 2 octets).
unsafe impl aya::Pod for Stream {}

/// Who sends to whom, and how.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Source.
    pub from: SocketAddrV4,
    /// Destination.
    pub to: SocketAddrV4,
    /// ChannelData number, or none for plain RTP.
    pub channel: Option<u16>,
}

/// A frame for the generator to start from, and its stream.
#[must_use]
pub fn frame(path: Path, from_mac: [u8; 6], to_mac: [u8; 6], number: u32, rtp_octets: u16) -> (Vec<u8>, Stream) {
    let payload = payload(path.channel, number, rtp_octets);
    let udp_length = 8 + payload.len();
    let mut frame = Vec::with_capacity(14 + 20 + udp_length);
    frame.extend(to_mac);
    frame.extend(from_mac);
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0]);
    frame.extend(octets(20 + udp_length));
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(path.from.ip().octets());
    frame.extend(path.to.ip().octets());
    let header_checksum = !fold(sum(&frame[14..34]));
    frame[24..26].copy_from_slice(&header_checksum.to_ne_bytes());
    frame.extend(path.from.port().to_be_bytes());
    frame.extend(path.to.port().to_be_bytes());
    frame.extend(octets(udp_length));
    frame.extend([0, 0]);
    frame.extend(&payload);
    let pseudo = sum(&frame[26..34]) + u32::from(u16::from_ne_bytes([0, 17])) + sum(&octets(udp_length));
    let stream = Stream {
        head: frame[..HEAD].try_into().expect("a frame is longer than its head"),
        sum: u32::from(fold(pseudo + sum(&frame[34..]))),
        rtp_at: if path.channel.is_some() { 46 } else { 42 },
        sequence: 0,
    };
    (frame, stream)
}

/// RTP of sequence number, timestamp and due time zero, in ChannelData if a channel is given. Beyond 65,536 streams
/// SSRCs repeat, which no relay here minds.
#[must_use]
pub fn payload(channel: Option<u16>, number: u32, rtp_octets: u16) -> Vec<u8> {
    let octets = usize::from(rtp_octets);
    let mut payload = Vec::with_capacity(4 + octets);
    if let Some(channel) = channel {
        payload.extend(channel.to_be_bytes());
        payload.extend(rtp_octets.to_be_bytes());
    }
    payload.extend([TWO_SOURCES, 0, 0, 0, 0, 0, 0, 0]);
    payload.extend(SSRC_MARK);
    payload.extend((number as u16).to_be_bytes());
    payload.extend([0; INTENDED]);
    payload.extend((HEADER + INTENDED..octets).map(|n| n as u8 ^ 0xd5));
    payload
}

fn octets(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("frames here are no longer than an MTU").to_be_bytes()
}

/// One's complement sum in memory order, unfolded.
fn sum(octets: &[u8]) -> u32 {
    octets.chunks(2).map(|pair| u32::from(u16::from_ne_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))).sum()
}

fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_a_frame_are_right() {
        let path = Path {
            from: "10.0.0.1:4000".parse().expect("an address"),
            to: "10.0.0.2:3478".parse().expect("an address"),
            channel: Some(0x4001),
        };
        let (frame, stream) = frame(path, [1; 6], [2; 6], 7, 172);
        assert_eq!(frame.len(), 14 + 20 + 8 + 4 + 172);
        assert_eq!(fold(sum(&frame[14..34])), 0xffff);
        let pseudo = sum(&frame[26..34]) + u32::from(u16::from_ne_bytes([0, 17])) + sum(&frame[38..40]);
        assert_eq!(u32::from(fold(pseudo + sum(&frame[34..]))), stream.sum);
    }
}
