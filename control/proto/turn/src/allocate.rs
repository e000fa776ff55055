//! Allocate (RFC 8656 section 7.2).

use std::time::Duration;

use raceway_api::SessionId;
use raceway_units::Instant;
use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, AddressErrorCode, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport,
    ReservationToken, XorRelayedAddress,
};

use crate::allocation::{Allocation, Family, Granted, Leg, RESERVATION_LIFETIME, Reservation};
use crate::auth::Key;
use crate::counters::{Method, Outcome, Refusal};
use crate::flows::{self, Role};
use crate::limits;
use crate::message::{Request, typed};
use crate::pending::{Pending, Purpose};
use crate::request::Proven;
use crate::respond::{Exchange, Response, error_code};
use crate::say::datagram;
use crate::server::{Server, Settings};
use raceway_ports::{PortWish, Relayed};

/// Protocol number of UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;

/// What an Allocate asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wishes {
    source: Source,
    lifetime_s: Option<u32>,
}

/// Where its relayed transport address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A port that was held for it.
    Token(u64),
    One(Family, PortWish),
    /// ADDITIONAL-ADDRESS-FAMILY: one of each.
    Both(PortWish),
}

impl Source {
    /// Whether the next higher port is to be held.
    const fn reserves(&self) -> bool {
        matches!(self, Self::One(_, PortWish::EvenAndNext))
    }
}

/// Addresses that an Allocate gets, and why not another.
#[derive(Clone, Copy, Debug, Default)]
struct Obtained {
    v4: Option<Relayed>,
    v6: Option<Relayed>,
    without_v4: Option<Refusal>,
    without_v6: Option<Refusal>,
    reserved: Option<Relayed>,
}

impl Server {
    pub(crate) fn allocate(&mut self, proven: &Proven<'_>) -> Result<(), Refusal> {
        if proven.session.is_some() {
            return self.allocate_again(proven);
        }
        let wishes = Wishes::read(proven.request)?;
        if self.draining {
            return Err(Refusal::InsufficientCapacity);
        }
        let user = proven.other_user.as_deref().ok_or(Refusal::ServerError)?;
        self.check_quota(user, &wishes.source)?;
        let obtained = self.obtain(&wishes.source, proven)?;
        let allocation = self.new_allocation(proven, user, &wishes, &obtained);
        let session = allocation.id;
        let wish = match wishes.source {
            Source::One(_, wish) | Source::Both(wish) => Some(wish),
            Source::Token(_) => None,
        };
        self.sessions.insert(Box::new(allocation));
        self.counters.answered(Method::Allocate, Outcome::Success);
        self.apply_allocation(session, proven.exchange, Purpose::Allocate { wish, attempts: 1 });
        Ok(())
    }

    /// The 5-tuple has an allocation: the same request again gets the same answer, another one 437. The answer goes
    /// out if the relay has the allocation: the first time may have failed, and word of that be on its way.
    fn allocate_again(&mut self, proven: &Proven<'_>) -> Result<(), Refusal> {
        let session = self.own_session(proven).map_err(|_| Refusal::AllocationMismatch)?;
        let allocation = self.sessions.get(session).ok_or(Refusal::AllocationMismatch)?;
        if allocation.granted.transaction != proven.request.transaction {
            return Err(Refusal::AllocationMismatch);
        }
        let operations = vec![flows::extend(Role::Allocation.id(), allocation.ends_at())];
        let response = datagram(&allocation.tuple, allocated(proven.exchange, allocation, &self.policy));
        self.counters.answered(Method::Allocate, Outcome::Success);
        let exchange = Some(proven.exchange);
        let pending = Pending { session, exchange, purpose: Purpose::Repeat, reinstalled: false };
        self.apply(session, operations, pending, Some(response));
        Ok(())
    }

    /// Says a whole new allocation to the relay, with the success response to its Allocate.
    pub(crate) fn apply_allocation(&mut self, session: SessionId, exchange: Exchange, purpose: Purpose) {
        let Some(allocation) = self.sessions.get(session) else { return };
        let operations = flows::whole(allocation, &self.peers, self.policy.bits_per_second, self.now);
        let response = datagram(&allocation.tuple, allocated(exchange, allocation, &self.policy));
        let pending = Pending { session, exchange: Some(exchange), purpose, reinstalled: true };
        self.apply(session, operations, pending, Some(response));
    }

    /// RFC 8656 section 7.2 item 10: 486. A held port counts as an allocation of the user that it is held for, until its
    /// time is over or an allocation takes its place: it outlives the allocation that it was asked for with.
    fn check_quota(&self, user: &str, source: &Source) -> Result<(), Refusal> {
        let reserves = source.reserves();
        let takes_over = match *source {
            Source::Token(token) => self.reservations.holder(token, user),
            Source::One(..) | Source::Both(_) => None,
        };
        let (held, reserved) = (self.sessions.held_by(user), self.reservations.user_count(user));
        let more = 1 + u32::from(reserves);
        let flows = if matches!(source, Source::Both(_)) { 3 } else { 2 };
        let of_user = held.allocations + reserved + more - u32::from(takes_over == Some(true));
        let of_all = self.sessions.len() + self.reservations.len() + more as usize - usize::from(takes_over.is_some());
        let is_full = of_user > self.policy.quota_per_user
            || of_all > self.policy.quota_total
            || flows > self.flows_left(user)
            || (reserves && reserved >= limits::RESERVATIONS_PER_USER_MAX);
        if is_full { Err(Refusal::AllocationQuotaReached) } else { Ok(()) }
    }

    fn obtain(&mut self, source: &Source, proven: &Proven<'_>) -> Result<Obtained, Refusal> {
        match *source {
            Source::Token(token) => {
                let relayed = self.reservations.take(token).ok_or(Refusal::InsufficientCapacity)?;
                Ok(Obtained::default().with(relayed))
            }
            Source::One(family, wish) => {
                if source.reserves() && self.reservations.is_full() {
                    return Err(Refusal::InsufficientCapacity);
                }
                let relayed = self.take_port(family, wish, proven)?;
                let reserved = source.reserves().then(|| relayed.next());
                Ok(Obtained { reserved, ..Obtained::default().with(relayed) })
            }
            Source::Both(wish) => self.obtain_both(wish, proven),
        }
    }

    /// One address of each family; one alone is a success that says why the other is missing.
    fn obtain_both(&mut self, wish: PortWish, proven: &Proven<'_>) -> Result<Obtained, Refusal> {
        let v4 = self.take_port(Family::V4, wish, proven);
        let v6 = self.take_port(Family::V6, wish, proven);
        match (v4, v6) {
            (Err(refusal), Err(_)) => Err(refusal),
            (v4, v6) => {
                Ok(Obtained { without_v4: v4.err(), without_v6: v6.err(), v4: v4.ok(), v6: v6.ok(), reserved: None })
            }
        }
    }

    fn take_port(&mut self, family: Family, wish: PortWish, proven: &Proven<'_>) -> Result<Relayed, Refusal> {
        if !self.ports.has_family(family.is_ipv4()) {
            return Err(Refusal::AddressFamilyNotSupported);
        }
        let near = proven.arrival.tuple.listener.ip();
        let taken = self.ports.take(family.is_ipv4(), near, wish, &mut self.random);
        taken.ok_or(Refusal::InsufficientCapacity)
    }

    fn new_allocation(&mut self, proven: &Proven<'_>, user: &str, wishes: &Wishes, obtained: &Obtained) -> Allocation {
        let now = proven.arrival.now;
        let lifetime_s = granted_lifetime(&self.policy, wishes.lifetime_s);
        let expires_at = now.after(Duration::from_secs(lifetime_s.into()));
        let leg = |relayed: Option<Relayed>| relayed.map(|relayed| Leg { relayed, expires_at });
        let reservation = obtained.reserved.map(|relayed| self.reserve(relayed, user, proven.arrival.now));
        let id = self.new_session_id();
        Allocation {
            id,
            worker: proven.arrival.worker,
            tuple: proven.arrival.tuple,
            user: user.into(),
            key: Some(proven.key.clone()),
            granted: Granted {
                transaction: proven.request.transaction,
                lifetime_s,
                reservation,
                without_v4: obtained.without_v4,
                without_v6: obtained.without_v6,
            },
            v4: leg(obtained.v4),
            v6: leg(obtained.v6),
            closed: None,
            permissions: Vec::new(),
            channels: Vec::new(),
            next_permission: 0,
        }
    }

    /// Holds a port that [`raceway_ports::Ports`] has taken.
    fn reserve(&mut self, relayed: Relayed, user: &str, now: Instant) -> Reservation {
        let expires_at = now.after(RESERVATION_LIFETIME);
        let reservation = Reservation { token: self.random.u64(), relayed, expires_at };
        self.reservations.hold(reservation, user);
        reservation
    }

    pub(crate) const fn new_session_id(&mut self) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        id
    }

    /// The relay could not open a port: others, under another session name so that nothing of the first attempt can
    /// be mixed up with it. None, and nothing changed, when there are no others.
    pub(crate) fn try_other_ports(&mut self, session: SessionId, wish: PortWish) -> Option<SessionId> {
        let allocation = self.sessions.get(session)?;
        let near = allocation.tuple.listener.ip();
        let families: Vec<Family> = allocation.legs().map(|(family, _)| family).collect();
        let mut others = Vec::with_capacity(families.len());
        for family in families {
            match self.ports.take(family.is_ipv4(), near, wish, &mut self.random) {
                Some(relayed) => others.push((family, relayed)),
                None => {
                    others.iter().for_each(|(_, relayed): &(Family, Relayed)| self.ports.release(relayed.internal));
                    return None;
                }
            }
        }
        let mut allocation = self.sessions.remove(session)?;
        for (family, relayed) in others {
            if let Some(leg) = allocation.leg_mut(family) {
                self.ports.release(leg.relayed.internal);
                leg.relayed = relayed;
            }
        }
        self.move_reservation(&mut allocation);
        allocation.id = self.new_session_id();
        let session = allocation.id;
        self.sessions.insert(allocation);
        Some(session)
    }

    /// Lets the token stand for the port beside the new one.
    fn move_reservation(&mut self, allocation: &mut Allocation) {
        let Some(held) = allocation.granted.reservation else { return };
        if let Some(relayed) = self.reservations.take(held.token) {
            self.ports.release(relayed.internal);
        }
        let beside = allocation.legs().next().map(|(_, leg)| leg.relayed.next());
        let reservation = beside.map(|relayed| Reservation { relayed, ..held });
        allocation.granted.reservation = reservation;
        reservation.into_iter().for_each(|reservation| self.reservations.hold(reservation, &allocation.user));
    }
}

impl Obtained {
    const fn with(mut self, relayed: Relayed) -> Self {
        match Family::of(relayed.internal.ip()) {
            Family::V4 => self.v4 = Some(relayed),
            Family::V6 => self.v6 = Some(relayed),
        }
        self
    }
}

impl Wishes {
    /// The checks of RFC 8656 section 7.2, items 3 to 8, in their order.
    fn read(request: &Request<'_>) -> Result<Self, Refusal> {
        let transport = request.requested_transport.and_then(typed::<RequestedTransport>);
        let transport = transport.ok_or(Refusal::BadRequest)?;
        if transport.protocol() != UDP {
            return Err(Refusal::UnsupportedTransportProtocol);
        }
        let lifetime_s = read_lifetime(request)?;
        let source = match request.reservation_token {
            Some(token) => Self::read_token(request, token)?,
            None => Self::read_source(request)?,
        };
        Ok(Self { source, lifetime_s })
    }

    fn read_token(request: &Request<'_>, token: &[u8]) -> Result<Source, Refusal> {
        let excluded = [request.even_port, request.requested_family, request.additional_family];
        if excluded.iter().any(Option::is_some) {
            return Err(Refusal::BadRequest);
        }
        let token = typed::<ReservationToken>(token).ok_or(Refusal::BadRequest)?;
        Ok(Source::Token(token.token()))
    }

    fn read_source(request: &Request<'_>) -> Result<Source, Refusal> {
        let wish = match request.even_port {
            None => PortWish::Any,
            Some(value) => match typed::<EvenPort>(value).ok_or(Refusal::BadRequest)?.requested() {
                true => PortWish::EvenAndNext,
                false => PortWish::Even,
            },
        };
        match (request.requested_family, request.additional_family) {
            (None, None) => Ok(Source::One(Family::V4, wish)),
            (Some(value), None) => Ok(Source::One(read_family(value)?, wish)),
            (None, Some(value)) => {
                // Another family than IPv6 is not well-formed to the codec.
                let is_well_formed = typed::<AdditionalAddressFamily>(value).is_some();
                let may_be_dual = is_well_formed && wish != PortWish::EvenAndNext;
                if may_be_dual { Ok(Source::Both(wish)) } else { Err(Refusal::BadRequest) }
            }
            (Some(_), Some(_)) => Err(Refusal::BadRequest),
        }
    }
}

/// REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.8); a family that nobody knows is one that is not supported.
pub(crate) fn read_family(value: &[u8]) -> Result<Family, Refusal> {
    if value.len() != 4 {
        return Err(Refusal::BadRequest);
    }
    match typed::<RequestedAddressFamily>(value).map(|attribute| attribute.family()) {
        Some(AddressFamily::IPV4) => Ok(Family::V4),
        Some(AddressFamily::IPV6) => Ok(Family::V6),
        None => Err(Refusal::AddressFamilyNotSupported),
    }
}

/// LIFETIME in seconds (RFC 8656 section 18.2).
pub(crate) fn read_lifetime(request: &Request<'_>) -> Result<Option<u32>, Refusal> {
    let Some(value) = request.lifetime else { return Ok(None) };
    typed::<Lifetime>(value).map(|lifetime| Some(lifetime.seconds())).ok_or(Refusal::BadRequest)
}

/// Never less than the default, never more than the maximum (RFC 8656 sections 7.2 and 8.2).
pub(crate) fn granted_lifetime(settings: &Settings, wished: Option<u32>) -> u32 {
    wished.unwrap_or(0).min(settings.lifetime_max_s).max(settings.lifetime_default_s)
}

/// The success response to an Allocate (RFC 8656 section 7.2).
pub(crate) fn allocated(exchange: Exchange, allocation: &Allocation, settings: &Settings) -> Vec<u8> {
    let mut response = Response::success(exchange);
    for (_, leg) in allocation.legs() {
        response.add(&XorRelayedAddress::new(leg.relayed.external, exchange.transaction));
    }
    let granted = &allocation.granted;
    let missing = [(AddressFamily::IPV4, granted.without_v4), (AddressFamily::IPV6, granted.without_v6)];
    for (family, refusal) in missing {
        if let Some(refusal) = refusal {
            response.add(&AddressErrorCode::new(family, error_code(refusal)));
        }
    }
    response.add(&Lifetime::new(granted.lifetime_s));
    if let Some(reservation) = granted.reservation {
        response.add(&ReservationToken::new(reservation.token));
    }
    response.add_mapped_address(allocation.tuple.client);
    let key: Option<&Key> = allocation.key.as_ref();
    response.finish(settings.software.as_deref(), key)
}
