//! The message header (RFC 8489 section 5).

use crate::StunError;

/// Octets of the header.
pub const HEADER: usize = 20;

/// Octets 4 to 7 of every message (RFC 8489 section 5).
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Identifies a transaction.
pub type Transaction = [u8; 12];

/// Class of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// Answers a request.
    Response,
}

/// Methods that the packet path tells apart.
pub(crate) const METHOD_SEND: u16 = 0x006;

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Class.
    pub class: Class,
    /// Method, 12 bits.
    pub method: u16,
    /// Transaction.
    pub transaction: Transaction,
}

impl Header {
    /// Whether this is a Send indication (RFC 8656 section 11).
    #[must_use]
    pub fn is_send_indication(&self) -> bool {
        self.class == Class::Indication && self.method == METHOD_SEND
    }
}

/// Reads the header of a datagram that must be one whole message.
///
/// # Errors
/// [`StunError::Truncated`], [`StunError::NotStun`], [`StunError::Cookie`], [`StunError::Length`].
pub fn header(datagram: &[u8]) -> Result<Header, StunError> {
    let (head, body) = datagram.split_first_chunk::<HEADER>().ok_or(StunError::Truncated)?;
    let [t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *head;
    if t0 & 0xc0 != 0 {
        return Err(StunError::NotStun);
    }
    if [c0, c1, c2, c3] != MAGIC_COOKIE {
        return Err(StunError::Cookie);
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if length % 4 != 0 || length != body.len() {
        return Err(StunError::Length);
    }
    let kind = u16::from_be_bytes([t0, t1]);
    Ok(Header { class: class(kind), method: method(kind), transaction })
}

/// The class is spread over bits 4 and 8 (RFC 8489 figure 3).
fn class(kind: u16) -> Class {
    match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, _) => Class::Response,
    }
}

fn method(kind: u16) -> u16 {
    (kind & 0x000f) | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    #[test]
    fn a_length_is_whole_words() {
        let mut odd = [0; 22];
        odd[..20].copy_from_slice(&BINDING);
        odd[3] = 2;
        assert_eq!(header(&odd), Err(StunError::Length));
    }

    #[test]
    fn a_request_is_told_by_class_and_method() {
        let read = header(&BINDING).unwrap();
        assert_eq!((read.class, read.method), (Class::Request, 1));
        assert_eq!(read.transaction, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn classes_follow_their_two_bits() {
        for (kind, expected) in [
            (0x0003, Class::Request),
            (0x0016, Class::Indication),
            (0x0103, Class::Response),
            (0x0113, Class::Response),
        ] {
            assert_eq!(class(kind), expected);
        }
        assert_eq!((method(0x0016), method(0x0113), method(0x3eef)), (6, 3, 0xfff));
    }

    #[test]
    fn each_broken_rule_has_its_error() {
        let broken = |at: usize, to: u8| {
            let mut message = BINDING;
            message[at] = to;
            header(&message)
        };
        assert_eq!(header(&BINDING[..19]), Err(StunError::Truncated));
        assert_eq!(broken(0, 0x40), Err(StunError::NotStun));
        assert_eq!(broken(7, 0), Err(StunError::Cookie));
        assert_eq!(broken(3, 4), Err(StunError::Length));
        assert_eq!(broken(3, 1), Err(StunError::Length));
    }

    #[test]
    fn octets_after_the_message_are_refused() {
        let mut longer = [0; 24];
        longer[..20].copy_from_slice(&BINDING);
        assert_eq!(header(&longer), Err(StunError::Length));
    }
}
