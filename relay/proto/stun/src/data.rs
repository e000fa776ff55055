//! Data indications (RFC 8656 sections 11.3 and 11.5).

use raceway_units::Endpoint;

use crate::header::{HEADER, MAGIC_COOKIE, Transaction};

const DATA_INDICATION: u16 = 0x0017;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const ICMP: u16 = 0x8004;

/// Most octets that [`data_header`] puts in front of the data: header, XOR-PEER-ADDRESS of IPv6, header of DATA.
pub const DATA_HEADER_MAX: usize = HEADER + 24 + 4;

/// Most octets of [`icmp_indication`].
pub const ICMP_MAX: usize = HEADER + 24 + 12;

/// What an ICMP message said (RFC 8656 section 18.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type, of ICMP or ICMPv6 by the family of the peer.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Its "error data": the next-hop MTU where the type has one, else zero.
    pub data: u32,
}

/// Octets that follow `length` octets of data to fill the last word (RFC 8489 section 14).
#[must_use]
pub const fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}

/// Writes what stands in front of `length` octets of data to the *end* of `room`, so that the data can follow
/// there; [`padding`] zero octets must follow it. Returns the octets written, or nothing if they do not fit or the
/// message would be longer than its length field can say.
pub fn data_header(room: &mut [u8], transaction: &Transaction, peer: &Endpoint, length: usize) -> Option<usize> {
    let (head, used) = indication_start(transaction, peer);
    let total = used + 4;
    let body = u16::try_from(total - HEADER + length.next_multiple_of(4)).ok()?;
    let length = u16::try_from(length).ok()?;
    let start = room.len().checked_sub(total)?;
    let out = &mut room[start..];
    out[..used].copy_from_slice(&head[..used]);
    out[2..4].copy_from_slice(&body.to_be_bytes());
    out[used..used + 2].copy_from_slice(&DATA.to_be_bytes());
    out[used + 2..].copy_from_slice(&length.to_be_bytes());
    Some(total)
}

/// A whole Data indication that reports an ICMP message about a datagram to `peer`; the octets used of the array.
#[must_use]
pub fn icmp_indication(transaction: &Transaction, peer: &Endpoint, icmp: Icmp) -> ([u8; ICMP_MAX], usize) {
    let (head, used) = indication_start(transaction, peer);
    let mut out = [0; ICMP_MAX];
    out[..used].copy_from_slice(&head[..used]);
    let body = (used + 12 - HEADER) as u16;
    out[2..4].copy_from_slice(&body.to_be_bytes());
    out[used..used + 2].copy_from_slice(&ICMP.to_be_bytes());
    out[used + 3] = 8;
    out[used + 6] = icmp.kind;
    out[used + 7] = icmp.code;
    out[used + 8..used + 12].copy_from_slice(&icmp.data.to_be_bytes());
    (out, used + 12)
}

/// Header without length, and XOR-PEER-ADDRESS; the octets used of the array.
fn indication_start(transaction: &Transaction, peer: &Endpoint) -> ([u8; HEADER + 24], usize) {
    let mut out = [0; HEADER + 24];
    out[..2].copy_from_slice(&DATA_INDICATION.to_be_bytes());
    out[4..8].copy_from_slice(&MAGIC_COOKIE);
    out[8..HEADER].copy_from_slice(transaction);
    out[HEADER..HEADER + 2].copy_from_slice(&XOR_PEER_ADDRESS.to_be_bytes());
    let [p0, p1] = peer.port.to_be_bytes();
    out[HEADER + 6] = p0 ^ MAGIC_COOKIE[0];
    out[HEADER + 7] = p1 ^ MAGIC_COOKIE[1];
    let mask = MAGIC_COOKIE.iter().chain(transaction);
    let (family, address) = match &peer.address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4 @ ..] => (1, &v4[..]),
        v6 => (2, &v6[..]),
    };
    out[HEADER + 3] = 4 + address.len() as u8;
    out[HEADER + 5] = family;
    for ((out, octet), mask) in out[HEADER + 8..].iter_mut().zip(address).zip(mask) {
        *out = octet ^ mask;
    }
    (out, HEADER + 8 + address.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, header, send_indication};

    const V4: Endpoint = Endpoint { address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1], port: 7000 };
    const V6: Endpoint = Endpoint { address: [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], port: 7001 };

    #[test]
    fn a_header_in_front_of_data_reads_back() {
        for (peer, expected) in [(V4, 36), (V6, 48)] {
            let mut buffer = [0; 64 + 5 + 3];
            buffer[64..69].copy_from_slice(b"hello");
            let used = data_header(&mut buffer[..64], &[3; 12], &peer, 5).unwrap();
            assert_eq!(used, expected);
            let message = &mut buffer[64 - used..];
            assert_eq!(header(message).unwrap().method, 7);
            // Send and Data indications have one form.
            message[1] = 0x16;
            let read = send_indication(&header(message).unwrap(), message).unwrap();
            assert_eq!(read.peer, peer);
            assert_eq!(&message[read.data], b"hello");
        }
    }

    #[test]
    fn no_room_or_too_much_data_is_refused() {
        assert_eq!(data_header(&mut [0; 35], &[0; 12], &V4, 1), None);
        assert_eq!(data_header(&mut [0; 64], &[0; 12], &V4, 65_535), None);
    }

    #[test]
    fn an_icmp_report_has_type_code_and_data() {
        let (bytes, used) = icmp_indication(&[3; 12], &V4, Icmp { kind: 3, code: 4, data: 1280 });
        let head = header(&bytes[..used]).unwrap();
        assert_eq!((head.class, head.method), (Class::Indication, 7));
        assert_eq!(bytes[used - 12..used], [0x80, 0x04, 0, 8, 0, 0, 3, 4, 0, 0, 5, 0]);
    }

    #[test]
    fn padding_fills_words() {
        assert_eq!([0, 1, 2, 3, 4].map(padding), [0, 3, 2, 1, 0]);
    }
}
