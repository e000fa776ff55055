//! From a request to its handler: authentication, dispatch, refusals.

use std::net::{IpAddr, SocketAddr};

use raceway_api::SessionId;
use stun_types::attribute::{AttributeStaticType, Nonce, PasswordAlgorithms, Realm};
use turn_types::attribute::XorPeerAddress;

use crate::allocation::{Allocation, Family};
use crate::auth::{Identity, IntegrityKind, Key, Offer, PasswordAlgorithm, Worth, lists_password_algorithms};
use crate::counters::{Method, Outcome, Refusal, Silence};
use crate::message::{Request, typed};
use crate::respond::{Exchange, Response};
use crate::server::{Arrival, Server};

/// A request of a client that has proven who it is.
#[derive(Debug)]
pub(crate) struct Proven<'a> {
    pub arrival: Arrival,
    pub request: &'a Request<'a>,
    pub exchange: Exchange,
    pub key: Key,
    /// Session of the 5-tuple.
    pub session: Option<SessionId>,
    /// USERNAME when it is not the one that the session was made with.
    pub other_user: Option<Box<str>>,
}

/// A request that proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unproven {
    /// Not put together as a proof: 400, and no word of how it is done.
    Malformed,
    /// Tells the client how to prove itself: 401 or 438.
    Challenged(Refusal),
    /// Made by somebody who does not know the password, or for a user that there is not: 401.
    Wrong,
    /// Not looked at: too many wrong ones came from there.
    Ignored,
}

impl Server {
    pub(crate) fn handle_request(&mut self, arrival: &Arrival, request: &Request<'_>) {
        let handle = match request.method {
            Method::Binding => return self.bind(arrival, request),
            Method::Allocate => Self::allocate,
            Method::Refresh => Self::refresh,
            Method::CreatePermission => Self::create_permission,
            Method::ChannelBind => Self::channel_bind,
        };
        let proven = match self.authenticate(arrival, request) {
            Ok(proven) => proven,
            Err(unproven) => return self.refuse_unproven(arrival, request, unproven),
        };
        let known = request.unknown().is_empty();
        let handled = if known { handle(self, &proven) } else { Err(Refusal::UnknownAttribute) };
        if let Err(refusal) = handled {
            self.refuse(&proven, refusal);
        }
    }

    /// Binding (RFC 8489 section 3): anyone may ask, at the price of the budget.
    fn bind(&mut self, arrival: &Arrival, request: &Request<'_>) {
        let exchange = Exchange::of(request);
        let (mut response, outcome) = if request.unknown().is_empty() {
            (Response::success(exchange), Outcome::Success)
        } else {
            let mut response = Response::error(exchange, Refusal::UnknownAttribute);
            response.add_unknown_attributes(request.unknown());
            (response, Outcome::Refused(Refusal::UnknownAttribute))
        };
        if outcome == Outcome::Success {
            response.add_mapped_address(arrival.tuple.client);
        }
        let octets = response.finish(self.policy.software.as_deref(), None);
        if self.send_unproven(arrival, request, octets) {
            self.counters.answered(Method::Binding, outcome);
        }
    }

    /// The checks of RFC 8489 section 9.2.4, in its order, but for one: a nonce that was not made here for this client
    /// is refused before the credentials are looked at. So they are only looked at for somebody who is where the
    /// request says that it comes from, and wrong ones count against nobody else.
    fn authenticate<'a>(&self, arrival: &Arrival, request: &'a Request<'a>) -> Result<Proven<'a>, Unproven> {
        let (kind, integrity) = match (request.integrity_sha256, request.integrity) {
            (Some(integrity), _) => (IntegrityKind::Sha256, integrity),
            (None, Some(integrity)) => (IntegrityKind::Sha1, integrity),
            (None, None) => return Err(Unproven::Challenged(Refusal::Unauthenticated)),
        };
        let identity = request.username.map(Identity::Name).or_else(|| request.userhash.map(Identity::Hash));
        let (Some(identity), Some(realm), Some(nonce)) = (identity, request.realm, request.nonce) else {
            return Err(Unproven::Malformed);
        };
        let algorithm = password_algorithm(request, nonce)?;
        let worth = self.nonces.judge(arrival.now, arrival.tuple.client, nonce);
        if worth == Worth::Foreign {
            return Err(Unproven::Challenged(Refusal::StaleNonce));
        }
        let session = self.sessions.id_of(&arrival.tuple);
        if session.is_none() && !self.failures.has(arrival.now, arrival.tuple.client.ip(), 1) {
            return Err(Unproven::Ignored);
        }
        let allocation = session.and_then(|session| self.sessions.get(session));
        let known = allocation.map(|allocation| &*allocation.user);
        let name = self.credentials.name(identity, known).filter(|_| realm == self.credentials.realm().as_bytes());
        let name = name.ok_or(Unproven::Wrong)?;
        let fits = |key: &Key| key.verifies(kind, request.octets, integrity.offset, integrity.value);
        let own = allocation.filter(|allocation| *allocation.user == *name);
        let key = self.find_key(arrival, name, algorithm, own, fits).ok_or(Unproven::Wrong)?;
        if worth == Worth::Stale {
            return Err(Unproven::Challenged(Refusal::StaleNonce));
        }
        // MESSAGE-INTEGRITY-SHA256, unless MD5 was only assumed (section 9.2.4, last paragraph). Who chose an algorithm
        // and then signs with SHA-1 has broken a rule (section 9.2.5), and understands nothing but SHA-1.
        let names_algorithm = request.password_algorithm.is_some();
        let integrity = if names_algorithm { kind } else { IntegrityKind::Sha1 };
        Ok(Proven {
            arrival: *arrival,
            request,
            exchange: Exchange { integrity: Some(integrity), ..Exchange::of(request) },
            key,
            session,
            other_user: if own.is_some() { None } else { Some(name.into()) },
        })
    }

    /// The key that made the request's integrity. A client may go on with the credentials that its allocation was
    /// made with after they expired or were withdrawn, as with coturn: ending the session is the operator's
    /// decision (`racewayctl`), not the rotation's.
    fn find_key(
        &self,
        arrival: &Arrival,
        name: &str,
        algorithm: PasswordAlgorithm,
        own: Option<&Allocation>,
        fits: impl Fn(&Key) -> bool,
    ) -> Option<Key> {
        let kept = own.and_then(|allocation| allocation.key.as_ref());
        if let Some(key) = kept.filter(|key| key.algorithm == algorithm && fits(key)) {
            return Some(key.clone());
        }
        let wall = if own.is_some() { None } else { Some(arrival.wall) };
        self.credentials.key(name, algorithm, wall, fits)
    }

    fn refuse_unproven(&mut self, arrival: &Arrival, request: &Request<'_>, unproven: Unproven) {
        let refusal = match unproven {
            Unproven::Malformed => Refusal::BadRequest,
            Unproven::Challenged(refusal) => refusal,
            Unproven::Wrong => {
                // What the budget no longer holds is not looked at next time.
                self.failures.take(arrival.now, arrival.tuple.client.ip(), 1);
                Refusal::Unauthenticated
            }
            Unproven::Ignored => return self.counters.silent(Silence::WrongCredentials),
        };
        let mut response = Response::error(Exchange::of(request), refusal);
        if unproven != Unproven::Malformed {
            response.add_raw(Realm::TYPE, self.credentials.realm().as_bytes());
            response.add_raw(Nonce::TYPE, &self.nonces.make(arrival.now, arrival.tuple.client));
            response.add_raw(PasswordAlgorithms::TYPE, self.nonces.offer().octets());
        }
        let octets = response.finish(self.policy.software.as_deref(), None);
        if self.send_unproven(arrival, request, octets) {
            self.counters.answered(request.method, Outcome::Refused(refusal));
        }
    }

    fn refuse(&mut self, proven: &Proven<'_>, refusal: Refusal) {
        let mut response = Response::error(proven.exchange, refusal);
        if refusal == Refusal::UnknownAttribute {
            response.add_unknown_attributes(proven.request.unknown());
        }
        let octets = response.finish(self.policy.software.as_deref(), Some(&proven.key));
        self.counters.answered(proven.request.method, Outcome::Refused(refusal));
        self.send(&proven.arrival.tuple, octets);
    }

    /// The session that a request is about (RFC 8656 section 5): that of its 5-tuple, by its own user.
    pub(crate) fn own_session(&mut self, proven: &Proven<'_>) -> Result<SessionId, Refusal> {
        let session = proven.session.ok_or(Refusal::AllocationMismatch)?;
        if proven.other_user.is_some() {
            return Err(Refusal::WrongCredentials);
        }
        let allocation = self.sessions.get_mut(session).ok_or(Refusal::AllocationMismatch)?;
        if allocation.key.as_ref() != Some(&proven.key) {
            allocation.key = Some(proven.key.clone());
        }
        allocation.worker = proven.arrival.worker;
        Ok(session)
    }

    /// A peer that this allocation may have (RFC 8656 sections 10.2 and 12.2); without a port, any port of it.
    pub(crate) fn check_peer(&self, session: SessionId, address: IpAddr, port: Option<u16>) -> Result<(), Refusal> {
        let allocation = self.sessions.get(session).ok_or(Refusal::AllocationMismatch)?;
        if allocation.leg(Family::of(address)).is_none() {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        if self.peers.allows(address, port) { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// Flows that this name's user may have beyond those that there are.
    pub(crate) fn flows_left(&self, name: &str) -> u32 {
        self.policy.flows_per_user.saturating_sub(self.sessions.held_by(name).flows)
    }
}

/// The algorithm that a request says or implies (RFC 8489 section 9.2.4): who was offered a choice must repeat the
/// offer, so that nobody between can have made it smaller.
fn password_algorithm(request: &Request<'_>, nonce: &[u8]) -> Result<PasswordAlgorithm, Unproven> {
    if !lists_password_algorithms(nonce) {
        return Ok(PasswordAlgorithm::Md5);
    }
    let offer = Offer::that_came_with(nonce).octets();
    match (request.password_algorithm, request.password_algorithms) {
        (None, None) => Ok(PasswordAlgorithm::Md5),
        (Some(chosen), Some(offered)) if offered == offer => [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5]
            .into_iter()
            .find(|algorithm| chosen[..] == [0, algorithm.number() as u8, 0, 0])
            .filter(|_| offer.chunks_exact(4).any(|offered| offered == chosen))
            .ok_or(Unproven::Malformed),
        _ => Err(Unproven::Malformed),
    }
}

/// The address in a XOR-PEER-ADDRESS (RFC 8656 section 18.3).
pub(crate) fn peer_address(request: &Request<'_>, value: &[u8]) -> Option<SocketAddr> {
    // 8 octets for IPv4, 20 for IPv6; the codec would read a longer value.
    let length_is_right = matches!((value.get(1), value.len()), (Some(1), 8) | (Some(2), 20));
    length_is_right.then(|| typed::<XorPeerAddress>(value))?.map(|peer| peer.addr(request.transaction))
}
