//! The records of a datagram (RFC 6347 section 4.1), as far as they can be read without keys.

/// Handshake messages.
const HANDSHAKE: u8 = 22;
/// Alerts.
const ALERT: u8 = 21;
const CLIENT_HELLO: u8 = 1;
const HEADER: usize = 13;

/// What a datagram is for an association.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// It without alerts in the clear.
    pub kept: Vec<u8>,
    /// The last alert in the clear: its description.
    pub alert: Option<u8>,
    /// A handshake record is in it.
    pub handshake: bool,
    /// It begins with a ClientHello or a part of one.
    pub client_hello: bool,
}

impl Records {
    /// Takes a datagram apart; none if it does not hold together.
    ///
    /// Who can send from the peer's address without reading what the peer sends could end a handshake with an alert in the
    /// clear. So those are only remembered, for the case that nothing else comes.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let mut records = Self::default();
        let mut rest = datagram;
        while !rest.is_empty() {
            let header = rest.get(..HEADER)?;
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            let body = rest.get(HEADER..HEADER + length)?;
            // The version's first octet is 254 in all of them.
            if !(20..=23).contains(&header[0]) || header[1] != 254 {
                return None;
            }
            let in_the_clear = header[3..5] == [0, 0];
            if header[0] == ALERT && in_the_clear {
                records.alert = body.get(1).copied().or(records.alert);
            } else {
                records.handshake |= header[0] == HANDSHAKE;
                let first = records.kept.is_empty();
                records.client_hello |=
                    first && header[0] == HANDSHAKE && in_the_clear && body.first() == Some(&CLIENT_HELLO);
                records.kept.extend_from_slice(&rest[..HEADER + length]);
            }
            rest = &rest[HEADER + length..];
        }
        Some(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let mut octets = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0, 0, body.len() as u8];
        octets.extend_from_slice(body);
        octets
    }

    #[test]
    fn alerts_in_the_clear_are_taken_out_and_remembered() {
        let (hello, alert) = (record(22, 0, &[1, 0]), record(21, 0, &[2, 40]));
        let records = Records::read(&[hello.clone(), alert].concat()).unwrap();
        assert_eq!(records, Records { kept: hello, alert: Some(40), handshake: true, client_hello: true });
        let sealed = record(21, 1, &[9; 26]);
        assert_eq!(Records::read(&sealed).unwrap().kept, sealed);
    }

    #[test]
    fn only_a_client_hello_is_one() {
        assert!(!Records::read(&record(22, 0, &[2])).unwrap().client_hello);
        assert!(!Records::read(&record(22, 1, &[1])).unwrap().client_hello, "not in the clear");
        assert!(!Records::read(&record(20, 0, &[1])).unwrap().client_hello);
        assert!(!Records::read(&record(22, 0, &[])).unwrap().client_hello);
    }

    #[test]
    fn what_does_not_hold_together_is_none() {
        let hello = record(22, 0, &[1, 0]);
        assert!((1..hello.len()).all(|cut| Records::read(&hello[..cut]).is_none()));
        assert_eq!(Records::read(&record(24, 0, &[1])), None);
        assert_eq!(Records::read(&[&hello[..], &[22]].concat()), None);
    }
}
