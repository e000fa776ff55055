//! A request as it came in: one pass over its attributes, nothing copied.

use stun_types::attribute::{
    AttributeStaticType, AttributeType, ErrorCode, Fingerprint, MessageIntegrity, MessageIntegritySha256, Nonce,
    PasswordAlgorithm, PasswordAlgorithms, RawAttribute, Realm, UnknownAttributes, Userhash, Username,
    XorMappedAddress,
};
use stun_types::message::{Message, MessageClass, MessageHeader, StunParseError, TransactionId};
use turn_types::attribute::{
    AdditionalAddressFamily, ChannelNumber, Data, DontFragment, EvenPort, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorPeerAddress, XorRelayedAddress,
};

use crate::counters::{Method, Silence};
use crate::limits;

/// MAPPED-ADDRESS: a response's, known and without meaning in a request (RFC 8489 section 14.1).
const MAPPED_ADDRESS: AttributeType = AttributeType::new(0x0001);

/// An integrity attribute: where it starts in the message, and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integrity<'a> {
    pub offset: usize,
    pub value: &'a [u8],
}

/// A request whose method this server has. Where an attribute comes twice, the first counts (RFC 8489 section 14).
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub octets: &'a [u8],
    pub method: Method,
    pub transaction: TransactionId,
    pub username: Option<&'a [u8]>,
    pub userhash: Option<&'a [u8]>,
    pub realm: Option<&'a [u8]>,
    pub nonce: Option<&'a [u8]>,
    pub password_algorithm: Option<&'a [u8]>,
    pub password_algorithms: Option<&'a [u8]>,
    pub integrity: Option<Integrity<'a>>,
    pub integrity_sha256: Option<Integrity<'a>>,
    pub fingerprint: bool,
    pub lifetime: Option<&'a [u8]>,
    pub requested_transport: Option<&'a [u8]>,
    pub requested_family: Option<&'a [u8]>,
    pub additional_family: Option<&'a [u8]>,
    pub even_port: Option<&'a [u8]>,
    pub reservation_token: Option<&'a [u8]>,
    pub channel_number: Option<&'a [u8]>,
    pub peer: Option<&'a [u8]>,
    unknown: [u16; limits::UNKNOWN_ATTRIBUTES_MAX],
    unknown_count: usize,
}

impl<'a> Request<'a> {
    /// Reads a datagram (RFC 8489 section 6.3).
    ///
    /// # Errors
    /// Why it is discarded in silence.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Silence> {
        let (octets, message) = frame(datagram)?;
        if message.class() != MessageClass::Request {
            return Err(Silence::NotARequest);
        }
        let method = Method::from_number(message.method().value()).ok_or(Silence::UnknownMethod)?;
        let mut request = Self::empty(octets, method, message.transaction_id());
        for (offset, attribute) in message.iter_attributes() {
            let start = offset + 4;
            // The iterator yields attributes that lie whole in `octets`.
            request.note(
                attribute.header.get_type(),
                offset,
                &octets[start..start + usize::from(attribute.header.length())],
            );
        }
        Ok(request)
    }

    fn empty(octets: &'a [u8], method: Method, transaction: TransactionId) -> Self {
        Self {
            octets,
            method,
            transaction,
            username: None,
            userhash: None,
            realm: None,
            nonce: None,
            password_algorithm: None,
            password_algorithms: None,
            integrity: None,
            integrity_sha256: None,
            fingerprint: false,
            lifetime: None,
            requested_transport: None,
            requested_family: None,
            additional_family: None,
            even_port: None,
            reservation_token: None,
            channel_number: None,
            peer: None,
            unknown: [0; limits::UNKNOWN_ATTRIBUTES_MAX],
            unknown_count: 0,
        }
    }

    fn note(&mut self, kind: AttributeType, offset: usize, value: &'a [u8]) {
        let place = match kind {
            Username::TYPE => &mut self.username,
            Userhash::TYPE => &mut self.userhash,
            Realm::TYPE => &mut self.realm,
            Nonce::TYPE => &mut self.nonce,
            PasswordAlgorithm::TYPE => &mut self.password_algorithm,
            PasswordAlgorithms::TYPE => &mut self.password_algorithms,
            Lifetime::TYPE => &mut self.lifetime,
            RequestedTransport::TYPE => &mut self.requested_transport,
            RequestedAddressFamily::TYPE => &mut self.requested_family,
            AdditionalAddressFamily::TYPE => &mut self.additional_family,
            EvenPort::TYPE => &mut self.even_port,
            ReservationToken::TYPE => &mut self.reservation_token,
            ChannelNumber::TYPE => &mut self.channel_number,
            XorPeerAddress::TYPE => &mut self.peer,
            MessageIntegrity::TYPE => {
                self.integrity.get_or_insert(Integrity { offset, value });
                return;
            }
            MessageIntegritySha256::TYPE => {
                self.integrity_sha256.get_or_insert(Integrity { offset, value });
                return;
            }
            Fingerprint::TYPE => {
                self.fingerprint = true;
                return;
            }
            // Known, and nothing to do. DONT-FRAGMENT in an Allocate asks whether the server can set DF (RFC 8656
            // section 18.9): the relay can, and does for each Send indication that has the attribute.
            MAPPED_ADDRESS
            | ErrorCode::TYPE
            | UnknownAttributes::TYPE
            | Data::TYPE
            | XorRelayedAddress::TYPE
            | DontFragment::TYPE
            | XorMappedAddress::TYPE => return,
            other => {
                self.note_unknown(other);
                return;
            }
        };
        place.get_or_insert(value);
    }

    fn note_unknown(&mut self, kind: AttributeType) {
        let number = kind.value();
        if kind.comprehension_required()
            && self.unknown_count < limits::UNKNOWN_ATTRIBUTES_MAX
            && !self.unknown().contains(&number)
        {
            self.unknown[self.unknown_count] = number;
            self.unknown_count += 1;
        }
    }

    /// Comprehension-required attributes that this server does not know, the first
    /// [`limits::UNKNOWN_ATTRIBUTES_MAX`] of them (RFC 8489 section 6.3.1).
    pub fn unknown(&self) -> &[u16] {
        &self.unknown[..self.unknown_count]
    }

    /// Every XOR-PEER-ADDRESS before the integrity attributes, as it came.
    pub fn peers(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Attributes { octets: self.octets, offset: MessageHeader::LENGTH }
            .take_while(|(kind, _)| {
                !matches!(*kind, MessageIntegrity::TYPE | MessageIntegritySha256::TYPE | Fingerprint::TYPE)
            })
            .filter(|(kind, _)| *kind == XorPeerAddress::TYPE)
            .map(|(_, value)| value)
    }
}

/// The message inside a datagram, without what follows it: the codec would read attributes beyond the length that
/// the header gives.
pub(crate) fn frame(datagram: &[u8]) -> Result<(&[u8], Message<'_>), Silence> {
    if datagram.len() > limits::REQUEST_MAX {
        return Err(Silence::Malformed);
    }
    let length = datagram.get(2..4).ok_or(Silence::Malformed)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let octets = datagram.get(..MessageHeader::LENGTH + length).ok_or(Silence::Malformed)?;
    match Message::from_bytes(octets) {
        Ok(message) => Ok((octets, message)),
        Err(StunParseError::FingerprintMismatch) => Err(Silence::Fingerprint),
        Err(_) => Err(Silence::Malformed),
    }
}

/// Attributes of a message that has been parsed once: type and value.
struct Attributes<'a> {
    octets: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (AttributeType, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.octets.get(self.offset..self.offset + 4)?;
        let kind = AttributeType::new(u16::from_be_bytes([header[0], header[1]]));
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let start = self.offset + 4;
        let value = self.octets.get(start..start + length)?;
        self.offset = start + length.next_multiple_of(4);
        Some((kind, value))
    }
}

/// An attribute read from a value that was noted.
pub(crate) fn typed<A>(value: &[u8]) -> Option<A>
where
    A: AttributeStaticType + for<'r> TryFrom<&'r RawAttribute<'r>>,
{
    A::try_from(&RawAttribute::new(A::TYPE, value)).ok()
}
