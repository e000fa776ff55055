//! Datagrams to relay: 20 ms of G.711 in each.

/// Octets of an RTP packet: a header and 160 octets of payload.
pub const RTP_OCTETS: usize = 172;

/// Magic cookie of STUN.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// An RTP packet (RFC 3550 section 5.1).
pub fn rtp() -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef];
    packet.extend((packet.len()..RTP_OCTETS).map(|at| at as u8));
    packet
}

/// ChannelData (RFC 8656 section 12.4).
pub fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    [&channel.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
}

/// A Binding request without attributes (RFC 8489 section 5).
pub fn binding() -> Vec<u8> {
    [&[0x00, 0x01, 0, 0][..], &COOKIE, &[7; 12]].concat()
}

/// A Send indication to an IPv4 peer (RFC 8656 section 11.1); its data is a multiple of four octets and begins after
/// the first 36.
pub fn send_indication(peer: [u8; 4], port: u16, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x00, 0x16];
    out.extend((data.len() as u16 + 16).to_be_bytes());
    out.extend(COOKIE);
    out.extend([7; 12]);
    out.extend([0x00, 0x12, 0, 8, 0, 1]);
    out.extend((port ^ 0x2112).to_be_bytes());
    out.extend(peer.iter().zip(COOKIE).map(|(octet, mask)| octet ^ mask));
    out.extend([0x00, 0x13]);
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
    out
}
