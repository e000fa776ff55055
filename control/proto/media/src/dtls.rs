//! DTLS-SRTP (RFC 5763, RFC 5764) of streams: what signalling agreed on, and the associations that bring keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use raceway_api::{LegId, Secret, Security, SrtpKey, Suite};
use raceway_dtls::{Association, Event, Fingerprint, Hash, Identity, Keys, LibraryError, Profile, Role};
use raceway_sdp::{Media, Setup};
use raceway_units::Instant;

use crate::call::{Call, Stream};
use crate::calls::Calls;
use crate::limits;
use crate::options::Dtls;

/// What a party says of DTLS.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TheirDtls {
    fingerprints: Vec<Fingerprint>,
    setup: Option<Setup>,
}

/// What was agreed on with a party.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DtlsAgreement {
    /// The fingerprint that it was told.
    pub ours: Box<str>,
    /// Who begins; None while it has not answered, and may begin.
    pub role: Option<Role>,
    pub theirs: Vec<Fingerprint>,
}

impl TheirDtls {
    /// Of an m-line whose keys come from DTLS: by its protocol, or SRTP that has a fingerprint and no keys.
    pub fn read(media: &Media) -> Option<Self> {
        let is_meant = media.protocol.is_dtls() || (media.protocol.is_secure() && media.crypto_lines == 0);
        let fingerprints: Vec<Fingerprint> =
            media.fingerprints.iter().filter_map(|fingerprint| fingerprint.to_string().parse().ok()).collect();
        let is_usable = is_meant && !fingerprints.is_empty();
        is_usable.then(|| Self { fingerprints, setup: media.setup.clone() })
    }
}

impl DtlsAgreement {
    /// What we offer: that the other side may choose who begins (RFC 5763 section 5).
    pub fn offered(ours: &str) -> Self {
        Self { ours: ours.into(), role: None, theirs: Vec::new() }
    }

    /// What comes of it when the answer is there.
    pub fn answered(&self, theirs: &TheirDtls) -> Self {
        let role = if theirs.setup == Some(Setup::Passive) { Role::Active } else { Role::Passive };
        Self { ours: self.ours.clone(), role: Some(role), theirs: theirs.fingerprints.clone() }
    }

    /// What we answer with. An association with the same certificates goes on as it is (RFC 8842 section 5.5).
    pub fn answering(before: Option<&Self>, theirs: &TheirDtls, wanted: Option<Dtls>, ours: &str) -> Self {
        let before = before.filter(|before| before.theirs == theirs.fingerprints);
        let role = match (&theirs.setup, before.and_then(|before| before.role), wanted) {
            (Some(Setup::Active) | None, ..) => Role::Passive,
            (Some(Setup::Passive), ..) => Role::Active,
            (Some(Setup::ActPass | Setup::HoldConn), Some(role), _) => role,
            (Some(Setup::ActPass | Setup::HoldConn), None, Some(Dtls::Passive)) => Role::Passive,
            (Some(Setup::ActPass | Setup::HoldConn), None, _) => Role::Active,
        };
        let ours = before.map_or_else(|| ours.into(), |before| before.ours.clone());
        Self { ours, role: Some(role), theirs: theirs.fingerprints.clone() }
    }

    /// `a=setup`.
    pub const fn setup(&self) -> &'static str {
        match self.role {
            None => "actpass",
            Some(Role::Active) => "active",
            Some(Role::Passive) => "passive",
        }
    }
}

/// Our certificates: the last is told in new SDP, the others were, and serve calls that know them.
#[derive(Debug, Default)]
pub(crate) struct Identities(Vec<(Box<str>, Identity)>);

impl Identities {
    /// The fingerprint to be told; None while DTLS is not possible.
    pub fn fingerprint(&self) -> Option<&str> {
        self.0.last().map(|(fingerprint, _)| &**fingerprint)
    }

    fn of(&self, fingerprint: &str) -> Option<&Identity> {
        self.0.iter().find(|(known, _)| **known == *fingerprint).map(|(_, identity)| identity)
    }
}

/// An association, and what it was made for.
#[derive(Debug)]
struct Running {
    agreement: DtlsAgreement,
    /// None after a restart of control: the keys are known, and nothing more is needed of it. Or it could not be made.
    association: Option<Association>,
    named: bool,
    peer: Option<SocketAddr>,
}

/// The associations of a call, by transport.
#[derive(Debug, Default)]
pub(crate) struct Associations(BTreeMap<u32, Running>);

/// What came of associations.
#[derive(Debug)]
pub(crate) enum Outcome {
    Send { from: SocketAddr, to: SocketAddr, payload: Vec<u8> },
    Keys(LegId, Security, Security),
    Failed(LegId, String),
}

impl Associations {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A transport has its keys from before a restart, or will get none.
    pub fn restore(&mut self, transport: LegId, agreement: DtlsAgreement) {
        self.0.insert(transport.0, Running { agreement, association: None, named: true, peer: None });
    }

    /// Makes them those that signalling agreed on; `peer` says where a stream's party is known to be.
    pub fn follow(
        &mut self,
        call: &Call,
        identities: &Identities,
        now: Instant,
        peer: impl Fn(&Stream) -> Option<SocketAddr>,
    ) -> Vec<Outcome> {
        let wanted = |name: u32| call.carrier(LegId(name)).is_some_and(|(_, stream)| stream.dtls.is_some());
        self.0.retain(|name, _| wanted(*name));
        let mut failures = Vec::new();
        for (_, _, stream) in call.streams() {
            let Some(agreement) = stream.dtls.as_deref() else { continue };
            if let Err(reason) = self.one(stream, agreement, identities) {
                failures.push(Outcome::Failed(stream.transport, reason));
                // It is not tried again with each datagram that comes.
                self.restore(stream.transport, agreement.clone());
                continue;
            }
            let Some(running) = self.0.get_mut(&stream.transport.0) else { continue };
            let Some(association) = &mut running.association else { continue };
            if !agreement.theirs.is_empty() && !running.named {
                running.named = true;
                association.set_fingerprints(now, agreement.theirs.clone());
            }
            let peer = peer(stream);
            if let Some(peer) = peer.filter(|_| peer != running.peer) {
                running.peer = Some(peer);
                association.allow(now, peer);
            }
        }
        failures
    }

    /// Makes one anew if certificates or roles are others than before.
    fn one(&mut self, stream: &Stream, agreement: &DtlsAgreement, identities: &Identities) -> Result<(), String> {
        let fits = |running: &Running| {
            let known = &running.agreement;
            let same_peer = known.theirs.is_empty() || known.theirs == agreement.theirs;
            let same_role = known.role.unwrap_or(Role::Passive) == agreement.role.unwrap_or(Role::Passive);
            // A new offer of ours names nobody until it is answered.
            let unanswered = agreement.role.is_none() && known.ours == agreement.ours;
            unanswered || (known.ours == agreement.ours && same_peer && same_role)
        };
        if let Some(running) = self.0.get_mut(&stream.transport.0).filter(|running| fits(running)) {
            if agreement.role.is_some() {
                running.agreement = agreement.clone();
            }
            return Ok(());
        }
        let identity = identities.of(&agreement.ours).ok_or("the certificate that the peer knows is gone")?;
        let role = agreement.role.unwrap_or(Role::Passive);
        let association = Association::new(role, identity, &Profile::ALL).map_err(|error| error.to_string())?;
        let running =
            Running { agreement: agreement.clone(), association: Some(association), named: false, peer: None };
        self.0.insert(stream.transport.0, running);
        Ok(())
    }

    /// A datagram from an address that ICE validated or signalling named.
    pub fn take(&mut self, transport: LegId, now: Instant, remote: SocketAddr, payload: &[u8]) {
        let Some(running) = self.0.get_mut(&transport.0) else { return };
        let Some(association) = &mut running.association else { return };
        if running.peer != Some(remote) {
            running.peer = Some(remote);
            association.allow(now, remote);
        }
        association.handle_datagram(now, remote, payload);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let associations = self.0.values_mut().filter_map(|running| running.association.as_mut());
        associations.for_each(|association| association.handle_timeout(now));
    }

    pub fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(|running| running.association.as_ref()?.poll_timeout()).min()
    }

    /// What is to be sent and what has happened.
    pub fn poll(&mut self, call: &Call) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (&name, running) in &mut self.0 {
            let Some((_, stream)) = call.carrier(LegId(name)) else { continue };
            let Some(association) = &mut running.association else { continue };
            let from = stream.local.internal;
            let sends = std::iter::from_fn(|| association.poll_transmit());
            outcomes.extend(sends.map(|sent| Outcome::Send { from, to: sent.remote, payload: sent.payload }));
            outcomes.extend(std::iter::from_fn(|| association.poll_event()).map(|event| match event {
                Event::Keys(keys) => {
                    let (receive, send) = securities(&keys);
                    Outcome::Keys(LegId(name), receive, send)
                }
                Event::Failed(failure) => Outcome::Failed(LegId(name), failure.to_string()),
            }));
        }
        outcomes
    }
}

/// What the party sends with, and what we send with.
fn securities(keys: &Keys) -> (Security, Security) {
    let suite = match keys.profile() {
        Profile::AeadAes256Gcm => Suite::AeadAes256Gcm,
        Profile::AeadAes128Gcm => Suite::AeadAes128Gcm,
        Profile::Aes128CmSha1_80 => Suite::AesCm128HmacSha1_80,
        Profile::Aes128CmSha1_32 => Suite::AesCm128HmacSha1_32,
    };
    let security = |(key, salt): (&[u8], &[u8])| {
        let (key, salt) = (Secret::new(key), Secret::new(salt));
        SrtpKey { suite, key, salt, mki: Vec::new(), lifetime: None }.into()
    };
    (security(keys.receive()), security(keys.send()))
}

impl Calls {
    /// Takes a certificate for DTLS; calls go on with the one that their parties know. Without any, DTLS is refused.
    ///
    /// # Errors
    /// The library cannot hash it.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), LibraryError> {
        let fingerprint = identity.fingerprint(Hash::Sha256)?.to_string().into();
        if self.identities.0.len() == limits::IDENTITIES_MAX {
            self.identities.0.remove(0);
        }
        self.identities.0.push((fingerprint, identity));
        Ok(())
    }
}
