//! Requests out, responses in.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use stun_types::attribute::{
    AttributeStaticType, ErrorCode, Nonce, PasswordAlgorithm, PasswordAlgorithmValue, PasswordAlgorithms, Realm,
    Username, XorMappedAddress,
};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWrite,
    MessageWriteExt, MessageWriteVec,
};
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};

use super::credentials::Credentials;

/// Protocol number of UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;
/// Octets of a message that is looked at; longer ones are no answers.
const MESSAGE_MAX: usize = 2048;
/// What the nonce of a server begins with that speaks RFC 8489, before its security features (section 9.2).
const NONCE_COOKIE: &str = "obMatJos2";
/// The first security feature: password algorithms (RFC 8489 section 18.1), in the first of three octets.
const PASSWORD_ALGORITHMS_BIT: u8 = 0x80;

/// Methods of STUN and TURN that a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Allocate.
    Allocate,
    /// Refresh.
    Refresh,
    /// CreatePermission.
    CreatePermission,
    /// ChannelBind.
    ChannelBind,
    /// Send (an indication).
    Send,
    /// Data (an indication).
    Data,
}

impl Method {
    const ALL: [Self; 6] =
        [Self::Allocate, Self::Refresh, Self::CreatePermission, Self::ChannelBind, Self::Send, Self::Data];

    const fn number(self) -> u16 {
        match self {
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
        }
    }

    fn of(method: stun_types::message::Method) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.number() == method.value())
    }
}

impl From<Method> for stun_types::message::Method {
    fn from(method: Method) -> Self {
        Self::new(method.number())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allocate => "Allocate",
            Self::Refresh => "Refresh",
            Self::CreatePermission => "CreatePermission",
            Self::ChannelBind => "ChannelBind",
            Self::Send => "Send",
            Self::Data => "Data",
        })
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Allocate { ipv6: bool, lifetime_s: Option<u32> },
    Refresh { lifetime_s: u32 },
    Permit { peer: SocketAddr },
    Bind { channel: u16, peer: SocketAddr },
}

impl Ask {
    pub fn method(self) -> Method {
        match self {
            Self::Allocate { .. } => Method::Allocate,
            Self::Refresh { .. } => Method::Refresh,
            Self::Permit { .. } => Method::CreatePermission,
            Self::Bind { .. } => Method::ChannelBind,
        }
    }

    fn write(self, writer: &mut MessageWriteVec, transaction: u128) {
        let mut add = |attribute: &dyn stun_types::attribute::AttributeWrite| {
            writer.add_attribute(attribute).expect("each attribute once, before the integrity");
        };
        match self {
            Self::Allocate { ipv6, lifetime_s } => {
                add(&RequestedTransport::new(UDP));
                if ipv6 {
                    add(&RequestedAddressFamily::new(AddressFamily::IPV6));
                }
                if let Some(lifetime) = lifetime_s {
                    add(&Lifetime::new(lifetime));
                }
            }
            Self::Refresh { lifetime_s } => add(&Lifetime::new(lifetime_s)),
            Self::Permit { peer } => add(&XorPeerAddress::new(peer, transaction.into())),
            Self::Bind { channel, peer } => {
                add(&ChannelNumber::new(channel));
                add(&XorPeerAddress::new(peer, transaction.into()));
            }
        }
    }
}

/// What a server demanded in a 401 or 438, and the key that follows from it.
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    key: IntegrityKey,
    /// The server's offer of password algorithms, to be repeated, if it made one.
    offer: Option<Vec<PasswordAlgorithmValue>>,
    algorithm: IntegrityAlgorithm,
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({}, {:?})", self.realm, self.algorithm)
    }
}

impl Challenge {
    /// From an error response; `known` is the one before, whose realm counts if this one names none.
    fn read(message: &Message<'_>, credentials: &Credentials, known: Option<&Self>) -> Option<Self> {
        let nonce = message.attribute::<Nonce>().ok()?.nonce().to_owned();
        let realm = match message.attribute::<Realm>() {
            Ok(realm) => realm.realm().to_owned(),
            Err(_) => known?.realm.clone(),
        };
        // RFC 8489 section 9.2.5: an offer counts only if the nonce vouches for it.
        let offer = message.attribute::<PasswordAlgorithms>().ok().filter(|_| offers_algorithms(&nonce));
        let offer = offer.map(|offer| offer.algorithms().to_vec());
        let sha256 = offer.as_ref().is_some_and(|offer| offer.contains(&PasswordAlgorithmValue::SHA256));
        let algorithm = if sha256 { IntegrityAlgorithm::Sha256 } else { IntegrityAlgorithm::Sha1 };
        let (name, password) = (credentials.name.clone(), credentials.password.to_string());
        let key = LongTermKeyCredentials::new(name, password, realm.clone()).make_key(algorithm);
        Some(Self { realm, nonce, key, offer, algorithm })
    }

    /// Whether a server says 401 again to what it has just asked for.
    pub fn same_demand(&self, other: &Self) -> bool {
        self.realm == other.realm && self.algorithm == other.algorithm
    }

    fn sign(&self, writer: &mut MessageWriteVec, credentials: &Credentials) {
        let (Ok(name), Ok(realm), Ok(nonce)) =
            (Username::new(&credentials.name), Realm::new(&self.realm), Nonce::new(&self.nonce))
        else {
            // Longer than the RFC allows: the server cannot know such a name, and says so to a bare request.
            return;
        };
        let mut add = |attribute: &dyn stun_types::attribute::AttributeWrite| {
            writer.add_attribute(attribute).expect("each attribute once, before the integrity");
        };
        add(&name);
        add(&realm);
        add(&nonce);
        if let Some(offer) = &self.offer {
            let chosen = match self.algorithm {
                IntegrityAlgorithm::Sha1 => PasswordAlgorithmValue::MD5,
                IntegrityAlgorithm::Sha256 => PasswordAlgorithmValue::SHA256,
            };
            add(&PasswordAlgorithms::new(offer));
            add(&PasswordAlgorithm::new(chosen));
        }
        writer.add_message_integrity_with_key(&self.key, self.algorithm).expect("the first integrity");
    }
}

/// Whether the security features in a nonce say that the server offers password algorithms (RFC 8489 section 9.2.1).
fn offers_algorithms(nonce: &str) -> bool {
    use base64::Engine;
    let Some(features) = nonce.strip_prefix(NONCE_COOKIE).and_then(|rest| rest.get(..4)) else { return false };
    let features = base64::engine::general_purpose::STANDARD.decode(features);
    features.is_ok_and(|octets| octets.first().is_some_and(|first| first & PASSWORD_ALGORITHMS_BIT != 0))
}

/// The octets of a request, signed once there is something to sign with.
pub(super) fn request(
    ask: Ask,
    transaction: u128,
    credentials: &Credentials,
    challenge: Option<&Challenge>,
) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Request, ask.method().into());
    let mut writer = Message::builder(kind, transaction.into(), MessageWriteVec::with_capacity(256));
    ask.write(&mut writer, transaction);
    if let Some(challenge) = challenge {
        challenge.sign(&mut writer, credentials);
    }
    writer.finish()
}

/// A message from the server.
pub(super) enum Received<'a> {
    Response(Response<'a>),
    /// Data of a peer, as a range of the datagram.
    Data {
        peer: SocketAddr,
        payload: Range<usize>,
    },
}

/// A response to a request.
pub(super) struct Response<'a> {
    message: Message<'a>,
    pub transaction: u128,
}

/// How a request came out.
pub(super) enum Outcome {
    Success { relayed: Option<SocketAddr>, mapped: Option<SocketAddr>, lifetime_s: Option<u32> },
    Error { code: u16, reason: String },
}

impl Response<'_> {
    /// Whether it was made with the key of `challenge`.
    pub fn is_authentic(&self, challenge: &Challenge) -> bool {
        self.message.validate_integrity_with_key(&challenge.key).is_ok()
    }

    pub fn challenge(&self, credentials: &Credentials, known: Option<&Challenge>) -> Option<Challenge> {
        Challenge::read(&self.message, credentials, known)
    }

    pub fn outcome(&self) -> Option<Outcome> {
        let message = &self.message;
        if message.has_class(MessageClass::Error) {
            let error = message.attribute::<ErrorCode>().ok()?;
            return Some(Outcome::Error { code: error.code(), reason: error.reason().to_owned() });
        }
        let transaction = message.transaction_id();
        Some(Outcome::Success {
            relayed: message.attribute::<XorRelayedAddress>().ok().map(|relayed| relayed.addr(transaction)),
            mapped: message.attribute::<XorMappedAddress>().ok().map(|mapped| mapped.addr(transaction)),
            lifetime_s: message.attribute::<Lifetime>().ok().map(|lifetime| lifetime.seconds()),
        })
    }
}

/// Reads a STUN message from the server; `None` for what a client does not expect.
pub(super) fn read(datagram: &[u8]) -> Option<Received<'_>> {
    let length = datagram.get(2..4).map(|length| u16::from_be_bytes([length[0], length[1]]))?;
    // Exactly the message: the codec reads attributes beyond the length of the header.
    if usize::from(length) + 20 != datagram.len() || datagram.len() > MESSAGE_MAX {
        return None;
    }
    let message = Message::from_bytes(datagram).ok()?;
    let method = Method::of(message.method())?;
    match (message.class(), method) {
        (MessageClass::Success | MessageClass::Error, _) => {
            let transaction = message.transaction_id().into();
            Some(Received::Response(Response { message, transaction }))
        }
        (MessageClass::Indication, Method::Data) => {
            let peer = message.attribute::<XorPeerAddress>().ok()?.addr(message.transaction_id());
            let (offset, data) = message.raw_attribute_and_offset(Data::TYPE)?;
            let start = offset + 4;
            Some(Received::Data { peer, payload: start..start + usize::from(data.header.length()) })
        }
        _ => None,
    }
}

/// Fuzz entry: reads anything; the data of an indication lies inside the datagram.
pub fn fuzz(data: &[u8]) {
    match read(data) {
        Some(Received::Data { payload, .. }) => assert!(data.get(payload).is_some(), "a part of the datagram"),
        Some(Received::Response(response)) => {
            let credentials = Credentials::new("user", "password").expect("plain ASCII");
            let _ = response.outcome();
            if let Some(challenge) = response.challenge(&credentials, None) {
                let _ = response.is_authentic(&challenge);
                let ask = Ask::Refresh { lifetime_s: 0 };
                assert!(read(&request(ask, 1, &credentials, Some(&challenge))).is_none(), "a request is no answer");
            }
        }
        None => {}
    }
}
