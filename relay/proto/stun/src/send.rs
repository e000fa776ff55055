//! Send indications (RFC 8656 section 11.2).

use core::ops::Range;

use raceway_units::Endpoint;

use crate::StunError;
use crate::header::{HEADER, Header, MAGIC_COOKIE, Transaction, header};

const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const DONT_FRAGMENT: u16 = 0x001a;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
/// Attributes from here on may be ignored (RFC 8489 section 14).
const FIRST_OPTIONAL: u16 = 0x8000;

/// Attributes of RFC 8489 and RFC 8656 that must be understood: known, so ignored where they mean nothing
/// (RFC 8489 section 6.3).
const KNOWN: [u16; 21] = [
    0x0001,
    0x0006,
    MESSAGE_INTEGRITY,
    0x0009,
    0x000a,
    0x000c,
    0x000d,
    XOR_PEER_ADDRESS,
    DATA,
    0x0014,
    0x0015,
    0x0016,
    0x0017,
    0x0018,
    0x0019,
    DONT_FRAGMENT,
    MESSAGE_INTEGRITY_SHA256,
    0x001d,
    0x001e,
    0x0020,
    0x0022,
];

/// What a Send indication asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendIndication {
    /// Where the data goes.
    pub peer: Endpoint,
    /// The data, as a range of the datagram; may be empty.
    pub data: Range<usize>,
    /// Whether it must leave with the DF bit set.
    pub dont_fragment: bool,
}

/// Reads the Send indication whose header `head` is. Of an attribute that is there twice the first counts (RFC 8489
/// section 14).
///
/// FINGERPRINT is not checked: the UDP checksum was, and nothing multiplexes on this port that could be mistaken.
///
/// # Errors
/// [`StunError::Attribute`], [`StunError::UnknownRequired`], [`StunError::Peer`], [`StunError::NoData`]; or
/// [`StunError::NotStun`] when the header is of another message.
pub fn send_indication(head: &Header, datagram: &[u8]) -> Result<SendIndication, StunError> {
    if !head.is_send_indication() {
        return Err(StunError::NotStun);
    }
    let (mut peer, mut data, mut dont_fragment) = (None, None, false);
    let mut at = HEADER;
    while let Some((kind, value, next)) = attribute(datagram, at)? {
        match kind {
            XOR_PEER_ADDRESS if peer.is_none() => peer = Some(xor_address(&datagram[value], &head.transaction)?),
            DATA if data.is_none() => data = Some(value),
            DONT_FRAGMENT => dont_fragment = true,
            // What follows an integrity attribute is not protected by it and not meant (RFC 8489 section 14.5).
            MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 => break,
            _ if kind < FIRST_OPTIONAL && !KNOWN.contains(&kind) => return Err(StunError::UnknownRequired),
            _ => {}
        }
        at = next;
    }
    Ok(SendIndication { peer: peer.ok_or(StunError::Peer)?, data: data.ok_or(StunError::NoData)?, dont_fragment })
}

/// The attribute at `at`: type, range of its value, start of the next; `None` at the end.
fn attribute(datagram: &[u8], at: usize) -> Result<Option<(u16, Range<usize>, usize)>, StunError> {
    let rest = datagram.get(at..).ok_or(StunError::Attribute)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let [t0, t1, l0, l1] = *rest.first_chunk().ok_or(StunError::Attribute)?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let next = at + 4 + length.next_multiple_of(4);
    if next > datagram.len() {
        return Err(StunError::Attribute);
    }
    Ok(Some((u16::from_be_bytes([t0, t1]), at + 4..at + 4 + length, next)))
}

/// XOR-MAPPED-ADDRESS form (RFC 8489 section 14.2).
fn xor_address(value: &[u8], transaction: &Transaction) -> Result<Endpoint, StunError> {
    let [_, family, p0, p1, address @ ..] = value else { return Err(StunError::Peer) };
    let port = u16::from_be_bytes([p0 ^ MAGIC_COOKIE[0], p1 ^ MAGIC_COOKIE[1]]);
    match (family, address.len()) {
        (1, 4) => {
            let mut mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
            xor(&mut mapped[12..], address, MAGIC_COOKIE.iter());
            Ok(Endpoint { address: mapped, port })
        }
        (2, 16) => {
            let mut plain = [0; 16];
            xor(&mut plain, address, MAGIC_COOKIE.iter().chain(transaction));
            let peer = Endpoint { address: plain, port };
            // In tables this form means IPv4, and nobody may reach an IPv4 peer by writing it another way.
            if peer.v4().is_some() { Err(StunError::Peer) } else { Ok(peer) }
        }
        _ => Err(StunError::Peer),
    }
}

fn xor<'a>(out: &mut [u8], value: &[u8], mask: impl Iterator<Item = &'a u8>) {
    for ((out, value), mask) in out.iter_mut().zip(value).zip(mask) {
        *out = value ^ mask;
    }
}

/// Fuzz entry: reads anything; what is read lies inside the datagram.
pub fn fuzz(data: &[u8]) {
    if let Ok(send) = header(data).and_then(|head| send_indication(&head, data)) {
        assert!(data.get(send.data.clone()).is_some(), "the data is a part of the datagram");
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const TRANSACTION: Transaction = [9; 12];
    const PEER_V4: [u8; 8] = [0, 1, 0x13 ^ 0x21, 0x88 ^ 0x12, 0x21 ^ 192, 0x12, 0xa4 ^ 2, 0x42 ^ 7];

    fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&(value.len() as u16).to_be_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0xee);
        }
        let mut out = Vec::from(kind.to_be_bytes());
        out.extend_from_slice(&(body.len() as u16).to_be_bytes());
        out.extend_from_slice(&MAGIC_COOKIE);
        out.extend_from_slice(&TRANSACTION);
        out.extend_from_slice(&body);
        out
    }

    fn read(datagram: &[u8]) -> Result<SendIndication, StunError> {
        send_indication(&header(datagram)?, datagram)
    }

    fn send(attributes: &[(u16, &[u8])]) -> Result<SendIndication, StunError> {
        read(&message(0x0016, attributes))
    }

    #[test]
    fn an_ipv4_send_indication_gives_peer_and_data() {
        let bytes = message(0x0016, &[(XOR_PEER_ADDRESS, &PEER_V4), (DATA, b"hello")]);
        let read = read(&bytes).unwrap();
        assert_eq!(read.peer, Endpoint { address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 7], port: 5000 });
        assert_eq!(&bytes[read.data], b"hello");
        assert!(!read.dont_fragment);
    }

    #[test]
    fn an_ipv6_peer_is_unmasked_with_cookie_and_transaction() {
        let mut value = [0; 20];
        value[1] = 2;
        value[4..8].copy_from_slice(&[0x21 ^ 0x20, 0x12 ^ 0x01, 0xa4 ^ 0x0d, 0x42 ^ 0xb8]);
        value[8..].copy_from_slice(&[9; 12]);
        value[19] = 9 ^ 1;
        let read = send(&[(XOR_PEER_ADDRESS, &value), (DATA, b"")]).unwrap();
        assert_eq!(read.peer.address, [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(read.data.is_empty());
    }

    #[test]
    fn an_ipv4_peer_written_as_ipv6_is_refused() {
        let mut value = [0; 20];
        value[1] = 2;
        let plain = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
        xor(&mut value[4..], &plain, MAGIC_COOKIE.iter().chain(&TRANSACTION));
        assert_eq!(send(&[(XOR_PEER_ADDRESS, &value), (DATA, b"x")]), Err(StunError::Peer));
    }

    #[test]
    fn dont_fragment_is_seen() {
        assert!(send(&[(XOR_PEER_ADDRESS, &PEER_V4), (DONT_FRAGMENT, &[]), (DATA, b"x")]).unwrap().dont_fragment);
    }

    #[test]
    fn the_first_of_two_counts() {
        let other = [0, 1, 0, 0, 0, 0, 0, 0];
        let bytes = message(
            0x0016,
            &[(XOR_PEER_ADDRESS, &PEER_V4), (XOR_PEER_ADDRESS, &other), (DATA, b"one"), (DATA, b"two")],
        );
        let read = read(&bytes).unwrap();
        assert_eq!((read.peer.port, &bytes[read.data]), (5000, &b"one"[..]));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(send(&[(DATA, b"x")]), Err(StunError::Peer));
        assert_eq!(send(&[(XOR_PEER_ADDRESS, &PEER_V4)]), Err(StunError::NoData));
        assert_eq!(send(&[(XOR_PEER_ADDRESS, &PEER_V4[..7]), (DATA, b"x")]), Err(StunError::Peer));
    }

    #[test]
    fn unknown_required_attributes_discard_and_unknown_optional_ones_do_not() {
        let peer = (XOR_PEER_ADDRESS, &PEER_V4[..]);
        assert_eq!(send(&[peer, (0x7ffe, b""), (DATA, b"x")]), Err(StunError::UnknownRequired));
        assert!(send(&[peer, (0x8ffe, b""), (DATA, b"x")]).is_ok());
        assert!(send(&[peer, (0x0006, b"user"), (DATA, b"x")]).is_ok());
    }

    #[test]
    fn attributes_after_message_integrity_do_not_count() {
        let peer = (XOR_PEER_ADDRESS, &PEER_V4[..]);
        assert_eq!(send(&[peer, (MESSAGE_INTEGRITY, &[0; 20]), (DATA, b"x")]), Err(StunError::NoData));
        assert!(send(&[peer, (DATA, b"x"), (MESSAGE_INTEGRITY, &[0; 20]), (0x7ffe, b"")]).is_ok());
    }

    #[test]
    fn an_attribute_past_the_end_is_refused() {
        let mut bytes = message(0x0016, &[(XOR_PEER_ADDRESS, &PEER_V4), (DATA, b"hello")]);
        let length_at = bytes.len() - 9;
        bytes[length_at] = 9;
        assert_eq!(read(&bytes), Err(StunError::Attribute));
    }

    #[test]
    fn another_method_is_no_send_indication() {
        let bytes = message(0x0017, &[(XOR_PEER_ADDRESS, &PEER_V4), (DATA, b"x")]);
        assert_eq!(read(&bytes), Err(StunError::NotStun));
    }

    #[test]
    fn every_cut_and_flipped_bit_is_survived() {
        let bytes = message(0x0016, &[(XOR_PEER_ADDRESS, &PEER_V4), (DONT_FRAGMENT, &[]), (DATA, b"hello")]);
        for cut in 0..bytes.len() {
            fuzz(&bytes[..cut]);
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fuzz(&bad);
        }
    }
}
