//! What is done with a datagram: by its port, its framing, and the flows that match it.

use core::sync::atomic::Ordering::Relaxed;

use raceway_abi::{Action, AtomicU16, CHANNEL_INDICATION, CHANNEL_NONE, DropReason, Flow, FlowKey, Settings};

use crate::channel::{CHANNEL_DATA_OCTETS, ChannelHeader, Protocol};
use crate::parse::Datagram;
use crate::stun::{self, budget_cell, is_short_request};
use crate::{Address, Key, Tables};

/// Whose business a datagram is, and in which framing it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Application data of a client in a channel, on a port for clients.
    Channel(u16),
    /// Application data of a peer, on a port of relayed transport addresses; media of a party, on a media port.
    Plain,
    /// A short STUN request on a port for clients.
    ShortRequest,
    /// The worker's or somebody else's.
    Up,
}

/// What to do with a datagram, by the flows that match.
pub enum Decision<'a> {
    /// Rewrite as this flow says.
    Forward(&'a Flow),
    /// Drop. The flow is the one whose limits were reached, if one was.
    Drop(DropReason, Option<&'a Flow>),
    /// The worker's, within the rate of this flow: that of a media address.
    Worker(&'a Flow),
    /// Not for us to decide.
    Up,
}

impl Class {
    /// By port and first octets. The first place of the listening ports, which most have alone, and the ranges are looked at
    /// first.
    #[inline(always)]
    pub fn of(datagram: &Datagram, settings: &Settings) -> Self {
        let port = datagram.destination_port();
        let [first, others @ ..] = &settings.listen_ports;
        if port == 0 {
            return Self::Up;
        }
        if first.load(Relaxed) == port {
            return Self::on_listen_port(datagram);
        }
        if settings.relay_port_first.load(Relaxed) <= port && port <= settings.relay_port_last.load(Relaxed) {
            return Self::Plain;
        }
        if settings.media_port_first.load(Relaxed) <= port && port <= settings.media_port_last.load(Relaxed) {
            return Self::Plain;
        }
        if is_one_of(others, port) { Self::on_listen_port(datagram) } else { Self::Up }
    }

    #[inline(always)]
    fn on_listen_port(datagram: &Datagram) -> Self {
        if datagram.payload_octets < CHANNEL_DATA_OCTETS {
            return Self::Up;
        }
        let [word, ..] = datagram.head;
        match Protocol::of(word as u8) {
            Protocol::ChannelData => {
                let header = ChannelHeader::from_word(word);
                // Padded data is the worker's, who cuts it; a length that lies is the worker's, who counts it:
                // nothing says yet that the destination is one of our addresses.
                let exact = usize::from(header.octets) + CHANNEL_DATA_OCTETS == datagram.payload_octets;
                if exact { Self::Channel(header.channel) } else { Self::Up }
            }
            Protocol::Stun if is_short_request(word, datagram.payload_octets) => Self::ShortRequest,
            Protocol::Stun | Protocol::Dtls | Protocol::Media | Protocol::Other => Self::Up,
        }
    }
}

/// Without a branch for each place: the verifier would walk every way through them.
#[inline(always)]
fn is_one_of(places: &[AtomicU16], port: u16) -> bool {
    let mut found = 0;
    for place in places {
        let difference = u64::from(place.load(Relaxed) ^ port);
        found |= difference.wrapping_sub(1) >> 63;
    }
    found != 0
}

/// Whether the budget of a source prefix lets one more short STUN request pass.
#[inline(always)]
pub fn request_conforms<T: Tables>(tables: &T, settings: &Settings, source: Address) -> bool {
    let cost_ns = settings.stun_request_cost_ns.load(Relaxed);
    let burst_ns = settings.stun_burst_ns.load(Relaxed);
    let cell = tables.budget(budget_cell(source, settings.stun_seed.load(Relaxed)));
    cell.is_none_or(|cell| stun::request_conforms(cell, cost_ns, burst_ns, tables.now_ns()))
}

/// Finds the flow for ChannelData on a port for clients. A number that is not bound goes up to the worker: a flow
/// may be known there only, and nothing says that the destination is one of our addresses.
#[inline(always)]
pub fn for_channel<'a, T: Tables>(tables: &'a T, key: &Key, now_ns: u64) -> Decision<'a> {
    match tables.flow(key) {
        Some(flow) if is_live(flow, now_ns) => act(flow),
        _ => Decision::Up,
    }
}

/// Whether a flow takes application data of so many octets, of which `first_octet` is the first. What a flow for media
/// alone does not take is the worker's: STUN and DTLS of the leg behind the local address.
#[inline(always)]
pub fn takes(flow: &Flow, first_octet: u8, octets: usize) -> bool {
    !flow.media_only() || Protocol::is_media(first_octet, octets)
}

/// Finds the flow for a datagram on a port of relayed transport addresses or of media: exact, else a permission (the worker
/// wraps it in an indication), else nothing says that the peer may send here, if this is a relayed transport
/// address at all. At a media address it is the worker's, as much as may arrive there.
#[inline(always)]
pub fn for_relayed<'a, T: Tables>(tables: &'a T, key: &Key, now_ns: u64) -> Decision<'a> {
    let mut expired = None;
    if let Some(flow) = tables.flow(key) {
        if is_live(flow, now_ns) {
            return act(flow);
        }
        expired = Some(flow);
    }
    if let Some(flow) = tables.flow(&key.any_port()) {
        if is_live(flow, now_ns) {
            return Decision::Up;
        }
        expired = expired.or(Some(flow));
    }
    let Some(any) = tables.flow(&key.any_remote()).filter(|flow| is_live(flow, now_ns)) else { return Decision::Up };
    match (any.action(), expired) {
        (Action::Worker, _) => Decision::Worker(any),
        (Action::Refuse, Some(flow)) => Decision::Drop(DropReason::Expired, Some(flow)),
        (Action::Refuse, None) => Decision::Drop(DropReason::NoPermission, None),
        (Action::Forward | Action::Drop | Action::None, _) => Decision::Up,
    }
}

/// The flow that takes what `first` sends to another relayed transport address of this appliance.
#[inline(always)]
pub fn for_hairpin<'a, T: Tables>(tables: &'a T, first: &Flow, now_ns: u64) -> Option<&'a Flow> {
    let key = Key::new(
        Address::from_native(first.source_words()),
        Address::from_native(first.destination_words()),
        first.source_port(),
        first.destination_port(),
        CHANNEL_NONE,
    );
    let second = tables.flow(&key)?;
    let forwards = is_live(second, now_ns) && matches!(act(second), Decision::Forward(_));
    (forwards && !second.local_destination()).then_some(second)
}

/// Whether the program ever asks for a key like this. The flow of a client's Send indications it does not: those go up
/// by their first octets.
#[must_use]
pub const fn is_looked_up(key: &FlowKey) -> bool {
    key.channel != CHANNEL_INDICATION
}

#[inline(always)]
fn is_live(flow: &Flow, now_ns: u64) -> bool {
    now_ns < flow.expires_at_ns.load(Relaxed)
}

/// Indications are the worker's.
#[inline(always)]
fn act(flow: &Flow) -> Decision<'_> {
    match flow.action() {
        Action::Forward if flow.push_channel() != CHANNEL_INDICATION => Decision::Forward(flow),
        Action::Drop => Decision::Drop(DropReason::FlowDrops, None),
        Action::Forward | Action::Worker | Action::Refuse | Action::None => Decision::Up,
    }
}
