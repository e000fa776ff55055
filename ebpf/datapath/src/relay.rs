//! A frame's whole way: parse, decide, police, measure, rewrite.

use core::sync::atomic::Ordering::Relaxed;

use raceway_abi::limits::NEXT_HOP_LIFETIME_NS;
use raceway_abi::{CHANNEL_NONE, Counter, DropReason, Flow, NO_POLICER};

use crate::channel::CHANNEL_DATA_OCTETS;
use crate::decide::{Class, Decision, for_channel, for_hairpin, for_relayed, request_conforms, takes};
use crate::measure::{self, RTP_OCTETS, RtpHeader};
use crate::parse::Datagram;
use crate::police::conforms;
use crate::rewrite::Outgoing;
use crate::rules::{Ruling, ruling};
use crate::{Counters, Key, Packet, Route, RouteQuery, Tables};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Untouched, to the kernel.
    Up,
    /// Nowhere; already counted.
    Drop,
    /// Rewritten, out of this interface.
    Send(u32),
}

/// Decides about a frame and rewrites it in place.
///
/// A frame that goes up is as it came, and left no trace in any table (but in the rate limit of a media address), so whoever
/// takes it next counts it once.
#[inline(always)]
pub fn relay<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let Some(datagram) = Datagram::parse(packet) else { return Verdict::Up };
    let Some(settings) = tables.settings() else { return Verdict::Up };
    let channel = match Class::of(&datagram, settings) {
        Class::Channel(channel) => channel,
        Class::Plain => CHANNEL_NONE,
        Class::ShortRequest if request_conforms(tables, settings, datagram.source) => return Verdict::Up,
        Class::ShortRequest => return dropped(tables, DropReason::StunBudget, None),
        Class::Up => return Verdict::Up,
    };
    let key =
        Key::new(datagram.source, datagram.destination, datagram.source_port(), datagram.destination_port(), channel);
    let now_ns = tables.now_ns();
    let popped = channel != CHANNEL_NONE;
    let decision = if popped { for_channel(tables, &key, now_ns) } else { for_relayed(tables, &key, now_ns) };
    match decision {
        Decision::Forward(first) => forward(packet, tables, &datagram, popped, first, now_ns),
        Decision::Drop(reason, flow) => dropped(tables, reason, flow),
        Decision::Worker(flow) => up_within_rate(tables, flow, datagram.payload_octets, now_ns),
        Decision::Up => Verdict::Up,
    }
}

#[inline(always)]
fn forward<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    datagram: &Datagram,
    popped: bool,
    first: &Flow,
    now_ns: u64,
) -> Verdict {
    let [h0, h1, h2, h3] = datagram.head;
    let (head, octets) =
        if popped { (h1, datagram.payload_octets - CHANNEL_DATA_OCTETS) } else { (h0, datagram.payload_octets) };
    // Before the hop limit is looked at: such a datagram has arrived.
    if !takes(first, head as u8, octets) {
        return up_within_rate(tables, first, octets, now_ns);
    }
    // RFC 8656 section 14: what arrives with nothing left is dropped; with one left, there is nothing to send on.
    if datagram.hop_limit <= 1 {
        return dropped(tables, DropReason::TtlExceeded, None);
    }
    let second = if first.local_destination() {
        match for_hairpin(tables, first, now_ns) {
            Some(second) if takes(second, head as u8, octets) => Some(second),
            _ => return Verdict::Up,
        }
    } else {
        None
    };
    // Two flows of a hairpin that both have something to say are the worker's, one after the other.
    if second.is_some_and(|second| first.is_ruled() || second.is_ruled()) {
        return Verdict::Up;
    }
    let head = match ruling(first, head, octets) {
        Ruling::Pass(head) => head,
        Ruling::Leg => return up_within_rate(tables, first, octets, now_ns),
        Ruling::Block => return blocked(tables, datagram, first, now_ns),
    };
    let last = second.unwrap_or(first);
    let Some(mut outgoing) = Outgoing::new(packet, datagram, popped, last, head) else { return Verdict::Up };
    let Some(route) = next_hop(tables, last, &outgoing.route_query(), now_ns) else { return Verdict::Up };
    outgoing.set_fragmenting(datagram, last.measured.packets.load(Relaxed));
    let rtp = if octets < RTP_OCTETS {
        None
    } else if popped {
        RtpHeader::from_words([h1, h2, h3])
    } else {
        RtpHeader::from_words([h0, h1, h2])
    };
    if !outgoing.make_room(packet, datagram, &route) {
        return Verdict::Up;
    }
    // Both limits before either count: what the second flow refuses was not relayed by the first.
    if !is_within_rate(tables, first, octets, now_ns) {
        return dropped(tables, DropReason::Policed, Some(first));
    }
    if let Some(second) = second
        && !is_within_rate(tables, second, octets, now_ns)
    {
        return dropped(tables, DropReason::Policed, Some(second));
    }
    relayed(tables, first, octets, rtp, now_ns);
    if let Some(second) = second {
        relayed(tables, second, octets, rtp, now_ns);
    }
    match outgoing.write(packet, datagram, &route) {
        Some(()) => Verdict::Send(route.ifindex),
        // The room was made; this is for those who cannot know.
        None => dropped(tables, DropReason::MalformedPacket, None),
    }
}

/// RTP that the rules of its flow drop: it came, and was measured, but was not relayed.
#[inline(always)]
fn blocked<T: Tables>(tables: &T, datagram: &Datagram, flow: &Flow, now_ns: u64) -> Verdict {
    if !is_within_rate(tables, flow, datagram.payload_octets, now_ns) {
        return dropped(tables, DropReason::Policed, Some(flow));
    }
    let [h0, h1, h2, _] = datagram.head;
    let measured = &flow.measured;
    tables.add(&measured.blocked, 1);
    measured.last_ns.store(now_ns, Relaxed);
    if let Some(header) = RtpHeader::from_words([h0, h1, h2]) {
        measure::rtp(&measured.rtp, header, now_ns);
    }
    dropped(tables, DropReason::MediaBlocked, None)
}

/// A datagram for the leg behind a media address.
#[inline(always)]
fn up_within_rate<T: Tables>(tables: &T, flow: &Flow, octets: usize, now_ns: u64) -> Verdict {
    if is_within_rate(tables, flow, octets, now_ns) {
        return Verdict::Up;
    }
    dropped(tables, DropReason::Policed, Some(flow))
}

/// Takes a datagram from the rate limit of a flow, if it has one.
#[inline(always)]
fn is_within_rate<T: Tables>(tables: &T, flow: &Flow, octets: usize, now_ns: u64) -> bool {
    let index = flow.policer();
    index == NO_POLICER || tables.policer(index).is_none_or(|policer| conforms(policer, octets as u32, now_ns))
}

/// Counts and measures a datagram that a flow relays.
#[inline(always)]
fn relayed<T: Tables>(tables: &T, flow: &Flow, octets: usize, rtp: Option<RtpHeader>, now_ns: u64) {
    let measured = &flow.measured;
    tables.add(&measured.packets, 1);
    tables.add(&measured.octets, octets as u64);
    measured.last_ns.store(now_ns, Relaxed);
    if let Some(header) = rtp {
        measure::rtp(&measured.rtp, header, now_ns);
    }
    if let Some(counters) = tables.counters() {
        let direction = flow.direction();
        count(counters, Counter::packets(direction), 1);
        count(counters, Counter::octets(direction), octets as u64);
    }
}

#[inline(always)]
fn dropped<T: Tables>(tables: &T, reason: DropReason, flow: Option<&Flow>) -> Verdict {
    if let Some(flow) = flow {
        tables.add(&flow.measured.dropped, 1);
    }
    if let Some(counters) = tables.counters() {
        count(counters, Counter::drops(reason), 1);
    }
    Verdict::Drop
}

#[inline(always)]
fn count(counters: &Counters, counter: Counter, amount: u64) {
    if let Some(cell) = counters.get(counter.index() as usize) {
        cell.set(cell.get().wrapping_add(amount));
    }
}

/// The route of a flow: the one it remembers, else the one that the kernel says. Nothing when there is none that
/// takes the packet whole.
#[inline(always)]
fn next_hop<T: Tables>(tables: &T, flow: &Flow, query: &RouteQuery, now_ns: u64) -> Option<Route> {
    let cached = &flow.next_hop;
    let route = if now_ns < cached.until_ns.load(Relaxed) {
        let destination_mac_vlan = cached.destination_mac_vlan.load(Relaxed);
        let source_mac_mtu = cached.source_mac_mtu.load(Relaxed);
        Route {
            ifindex: cached.ifindex.load(Relaxed),
            mtu: (source_mac_mtu >> 48) as u16,
            vlan_tci: (destination_mac_vlan >> 48) as u16,
            destination_mac: destination_mac_vlan & MAC,
            source_mac: source_mac_mtu & MAC,
        }
    } else {
        let route = tables.route(query)?;
        cached.ifindex.store(route.ifindex, Relaxed);
        cached.destination_mac_vlan.store(route.destination_mac & MAC | u64::from(route.vlan_tci) << 48, Relaxed);
        cached.source_mac_mtu.store(route.source_mac & MAC | u64::from(route.mtu) << 48, Relaxed);
        cached.until_ns.store(now_ns + NEXT_HOP_LIFETIME_NS, Relaxed);
        route
    };
    (query.ip_octets <= route.mtu).then_some(route)
}

/// The low 48 bits.
const MAC: u64 = 0xffff_ffff_ffff;
