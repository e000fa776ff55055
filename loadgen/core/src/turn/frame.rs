//! What stands in front of application data on its way to a TURN server.

use std::net::SocketAddr;

use stun_types::attribute::AttributeStaticType;
use stun_types::message::{Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec};
use turn_types::attribute::{Data, XorPeerAddress};

use super::message::Method;

/// Octets of a ChannelData header (RFC 8656 section 12.4).
pub const CHANNEL_HEADER: usize = 4;
/// Most octets in front of the data of a Send indication: header, XOR-PEER-ADDRESS of IPv6, header of DATA.
pub const INDICATION_HEADER_MAX: usize = 20 + 24 + 4;

/// The header of a ChannelData message with `length` octets of data.
#[must_use]
pub fn channel_header(number: u16, length: u16) -> [u8; CHANNEL_HEADER] {
    let ([n0, n1], [l0, l1]) = (number.to_be_bytes(), length.to_be_bytes());
    [n0, n1, l0, l1]
}

/// What stands in front of data in every Send indication to one peer (RFC 8656 section 11.1).
#[derive(Clone, Debug)]
pub struct SendTemplate {
    octets: [u8; INDICATION_HEADER_MAX],
    used: usize,
}

impl SendTemplate {
    /// For one peer. Indications have no response, so one transaction id does for all of them.
    #[must_use]
    pub fn new(peer: SocketAddr, transaction: u128) -> Self {
        let kind = MessageType::from_class_method(MessageClass::Indication, Method::Send.into());
        let mut writer = Message::builder(kind, transaction.into(), MessageWriteVec::with_capacity(64));
        let address = XorPeerAddress::new(peer, transaction.into());
        writer.add_attribute(&address).expect("the first attribute");
        let mut octets = [0; INDICATION_HEADER_MAX];
        let written = writer.finish();
        octets[..written.len()].copy_from_slice(&written);
        octets[written.len()..written.len() + 2].copy_from_slice(&Data::TYPE.value().to_be_bytes());
        Self { octets, used: written.len() + 4 }
    }

    /// Octets in front of the data.
    #[must_use]
    pub fn header(&self) -> usize {
        self.used
    }

    /// Writes header and padding around the `length` octets of data that lie at [`header`](Self::header) of `out`; octets
    /// of the whole message, or nothing if `out` has no room for it.
    pub fn write(&self, out: &mut [u8], length: usize) -> Option<usize> {
        let end = self.used + length;
        let total = self.used + length.next_multiple_of(4);
        let body = u16::try_from(total - 20).ok()?;
        let out = out.get_mut(..total)?;
        out[..self.used].copy_from_slice(&self.octets[..self.used]);
        out[2..4].copy_from_slice(&body.to_be_bytes());
        out[self.used - 2..self.used].copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
        out[end..].fill(0);
        Some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_indication_says_peer_and_data_for_both_families() {
        for peer in ["192.0.2.7:7000", "[2001:db8::7]:7000"] {
            let peer: SocketAddr = peer.parse().unwrap();
            let template = SendTemplate::new(peer, 77);
            let mut out = [0xff; 128];
            let at = template.header();
            out[at..at + 5].copy_from_slice(b"media");
            let total = template.write(&mut out, 5).unwrap();
            let message = Message::from_bytes(&out[..total]).unwrap();
            assert!(message.has_class(MessageClass::Indication) && message.has_method(Method::Send.into()));
            let address = message.attribute::<XorPeerAddress>().unwrap();
            assert_eq!(address.addr(message.transaction_id()), peer);
            assert_eq!(message.attribute::<Data<'_>>().unwrap().data(), b"media");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let template = SendTemplate::new("192.0.2.7:7000".parse().unwrap(), 77);
        assert_eq!(template.write(&mut [0; 40], 5), None);
        assert_eq!(template.write(&mut [0; 70_000], 65_530), None);
    }

    #[test]
    fn channel_data_has_number_and_length() {
        assert_eq!(channel_header(0x4001, 172), [0x40, 0x01, 0, 172]);
    }
}
