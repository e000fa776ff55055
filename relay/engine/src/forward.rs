//! From a datagram to a verdict.

use core::cell::Cell;
use core::ops::{Deref, Range};
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use raceway_abi::{
    Action, CHANNEL_INDICATION, CHANNEL_NONE, Counter, Direction, DropReason, Flow, FlowKey, KEEP_DSCP, Policer,
};
use raceway_datapath::channel::CHANNEL_DATA_OCTETS;
use raceway_datapath::rules::Ruling;
use raceway_datapath::{ChannelHeader, Protocol, decide, measure, police, rules};
use raceway_stun::{Class, DATA_HEADER_MAX, Header, data_header, header, padding, send_indication};
use raceway_units::{Endpoint, Instant, PrefixBudget};

use crate::limits::{ICMP_BURST, ICMP_CELLS, ICMP_PER_SECOND};
use crate::table::Missing;
use crate::verdict::{Arrival, Datagram, Forward, Verdict, key};
use crate::{Counters, OwnAddresses, RequestBudget, Table};

/// The forwarding machine of one worker.
pub struct Forwarder<R, P> {
    pub(crate) table: Arc<Table<R>>,
    pub(crate) policers: Arc<P>,
    pub(crate) own: Arc<OwnAddresses>,
    requests: Arc<RequestBudget>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) icmp_budget: Box<PrefixBudget<ICMP_CELLS>>,
    transactions: Cell<u64>,
}

/// A datagram on its way: where it is and which flow it follows.
struct Matched<'a> {
    slot: u32,
    flow: &'a Flow,
    /// Its sender, as a Data indication would name it.
    remote: Endpoint,
    /// The application data in the buffer.
    data: Range<usize>,
}

impl<R: Deref<Target = [Flow]>, P: Deref<Target = [Policer]>> Forwarder<R, P> {
    /// A machine over shared tables that counts in `counters`. `seed` makes its transaction identifiers and hashes
    /// unlike those of others.
    pub fn new(
        table: Arc<Table<R>>,
        policers: Arc<P>,
        own: Arc<OwnAddresses>,
        requests: Arc<RequestBudget>,
        counters: Arc<Counters>,
        seed: u64,
    ) -> Self {
        let icmp_budget = Box::new(PrefixBudget::new(seed, ICMP_PER_SECOND, ICMP_BURST));
        Self { table, policers, own, requests, counters, icmp_budget, transactions: Cell::new(seed) }
    }

    /// Decides about a datagram, edits it in place, polices, measures and counts it.
    #[inline]
    pub fn handle(&mut self, now: Instant, datagram: Datagram<'_>) -> Verdict {
        let outcome = match datagram.arrival {
            Arrival::Listener => self.client_datagram(now, datagram),
            Arrival::Relayed => self.peer_datagram(now, datagram),
            Arrival::Media => self.party_datagram(now, datagram),
        };
        outcome.unwrap_or_else(|reason| self.dropped(reason))
    }

    /// Counts a datagram that the shell could not take, send or hand over.
    pub fn dropped(&self, reason: DropReason) -> Verdict {
        self.counters.add(Counter::drops(reason), 1);
        Verdict::Drop(reason)
    }

    /// RFC 7983: the first octet tells STUN from ChannelData.
    fn client_datagram(&self, now: Instant, datagram: Datagram<'_>) -> Result<Verdict, DropReason> {
        let payload = datagram.buffer.get(datagram.payload.clone()).ok_or(DropReason::Oversized)?;
        match payload.first().map_or(Protocol::Other, |first| Protocol::of(*first)) {
            Protocol::ChannelData => self.channel_datagram(now, datagram),
            Protocol::Stun => {
                let head = header(payload).map_err(|_| DropReason::MalformedStun)?;
                match head.class {
                    Class::Indication if head.is_send_indication() => self.indication(now, &head, datagram),
                    Class::Request | Class::Indication => self.for_control(now, &datagram, payload.len()),
                    // Nothing was asked of the client.
                    Class::Response => Err(DropReason::UnknownProtocol),
                }
            }
            Protocol::Dtls | Protocol::Media | Protocol::Other => Err(DropReason::UnknownProtocol),
        }
    }

    /// A message that control decides about, within the budget of its source.
    fn for_control(&self, now: Instant, datagram: &Datagram<'_>, octets: usize) -> Result<Verdict, DropReason> {
        let allocation = key(datagram.remote, datagram.local, CHANNEL_INDICATION);
        let has_allocation = self.table.live(&allocation, now).is_some();
        let conforms = self.requests.conforms(now, &datagram.remote, octets, has_allocation);
        if conforms { Ok(Verdict::Punt) } else { Err(DropReason::StunBudget) }
    }

    /// RFC 8656 section 12.6.
    fn channel_datagram(&self, now: Instant, datagram: Datagram<'_>) -> Result<Verdict, DropReason> {
        let Datagram { local, remote, buffer, payload, .. } = datagram;
        let split = ChannelHeader::split(buffer.get(payload.clone()).unwrap_or_default());
        let (header, data) = split.ok_or(DropReason::MalformedChannelData)?;
        let length = data.len();
        let (slot, flow) = self
            .table
            .look_up(&key(remote, local, header.channel), now)
            .map_err(|missing| missing.reason(DropReason::UnboundChannel))?;
        let start = payload.start + CHANNEL_DATA_OCTETS;
        self.follow(now, buffer, Matched { slot, flow, remote, data: start..start + length })
    }

    /// RFC 8656 section 11.2.
    fn indication(&self, now: Instant, head: &Header, datagram: Datagram<'_>) -> Result<Verdict, DropReason> {
        let Datagram { local, remote, buffer, payload, .. } = datagram;
        let (slot, flow) =
            self.table.live(&key(remote, local, CHANNEL_INDICATION), now).ok_or(DropReason::NoAllocation)?;
        let send = send_indication(head, &buffer[payload.clone()]).map_err(|_| DropReason::MalformedStun)?;
        let (which, relayed) = relayed_of_family(flow, &send.peer).ok_or(DropReason::NoPermission)?;
        let to = self.reachable(now, send.peer)?;
        let permission = key(to, relayed, CHANNEL_NONE).any_port();
        self.table.live(&permission, now).ok_or(DropReason::NoPermission)?;
        let data = payload.start + send.data.start..payload.start + send.data.end;
        self.admit(now, flow, &buffer[data.clone()])?;
        Ok(Verdict::Forward(Forward {
            egress: self.table.egress(slot, which),
            to,
            payload: data,
            dont_fragment: send.dont_fragment,
            dscp: KEEP_DSCP,
        }))
    }

    /// RFC 8656 sections 11.3 and 12.7: exact, else any port, else refused.
    fn peer_datagram(&self, now: Instant, datagram: Datagram<'_>) -> Result<Verdict, DropReason> {
        let Datagram { local, remote, buffer, payload, .. } = datagram;
        let exact = key(remote, local, CHANNEL_NONE);
        let (slot, flow) = self
            .table
            .look_up(&exact, now)
            .or_else(|missing| self.table.look_up(&exact.any_port(), now).map_err(|other| missing.or(other)))
            .map_err(|missing| missing.reason(DropReason::NoPermission))?;
        self.follow(now, buffer, Matched { slot, flow, remote, data: payload })
    }

    /// By an exact flow, as XDP would have it; else by a leg.
    fn party_datagram(&self, now: Instant, datagram: Datagram<'_>) -> Result<Verdict, DropReason> {
        let Datagram { local, remote, buffer, payload, .. } = datagram;
        let data = buffer.get(payload.clone()).ok_or(DropReason::Oversized)?;
        let Some((slot, flow)) = self.table.live(&key(remote, local, CHANNEL_NONE), now) else {
            return Ok(Verdict::Leg);
        };
        if !decide::takes(flow, data.first().copied().unwrap_or_default(), data.len()) {
            return Ok(Verdict::Leg);
        }
        let Some(first) = data.first_chunk().filter(|_| flow.is_ruled()) else {
            return self.follow(now, buffer, Matched { slot, flow, remote, data: payload });
        };
        match rules::ruling(flow, u32::from_le_bytes(*first), data.len()) {
            Ruling::Leg => Ok(Verdict::Leg),
            Ruling::Block => Err(self.block(now, flow, data)),
            Ruling::Pass(first) => {
                let start = payload.start;
                let verdict = self.follow(now, buffer, Matched { slot, flow, remote, data: payload })?;
                buffer[start..start + 4].copy_from_slice(&first.to_le_bytes());
                Ok(verdict)
            }
        }
    }

    /// Polices and measures RTP that the rules of its flow drop; why it is dropped.
    fn block(&self, now: Instant, flow: &Flow, data: &[u8]) -> DropReason {
        if !self.is_within_rate(now, flow, data) {
            return DropReason::Policed;
        }
        measure::blocked(&flow.measured, data, now.as_ns());
        DropReason::MediaBlocked
    }

    /// Does what the flow says.
    fn follow(&self, now: Instant, buffer: &mut [u8], matched: Matched<'_>) -> Result<Verdict, DropReason> {
        let Matched { slot, flow, remote, data } = matched;
        match flow.action() {
            Action::Forward | Action::Worker => {}
            Action::Drop => return Err(DropReason::FlowDrops),
            Action::Refuse | Action::None => return Err(DropReason::NoPermission),
        }
        let to = Endpoint { address: flow.destination(), port: flow.destination_port() };
        if flow.local_destination() {
            self.relayed_here(now, to).ok_or(DropReason::NoPermission)?;
        }
        self.admit(now, flow, &buffer[data.clone()])?;
        let payload = self.frame(now, flow, remote, buffer, data)?;
        let dscp = flow.dscp();
        Ok(Verdict::Forward(Forward { egress: self.table.egress(slot, 0), to, payload, dont_fragment: false, dscp }))
    }

    fn is_within_rate(&self, now: Instant, flow: &Flow, data: &[u8]) -> bool {
        let policer = self.policers.get(flow.policer() as usize);
        let conforms = policer.is_none_or(|policer| police::conforms(policer, data.len() as u32, now.as_ns()));
        if !conforms {
            flow.measured.dropped.fetch_add(1, Relaxed);
        }
        conforms
    }

    /// Polices, measures and counts application data of a flow.
    fn admit(&self, now: Instant, flow: &Flow, data: &[u8]) -> Result<(), DropReason> {
        if !self.is_within_rate(now, flow, data) {
            return Err(DropReason::Policed);
        }
        measure::relayed(&flow.measured, data, now.as_ns());
        let direction = flow.direction();
        self.counters.add(Counter::packets(direction), 1);
        self.counters.add(Counter::octets(direction), data.len() as u64);
        Ok(())
    }

    /// Writes the framing of the flow in front of (and, to fill a word, behind) the data.
    fn frame(
        &self,
        now: Instant,
        flow: &Flow,
        remote: Endpoint,
        buffer: &mut [u8],
        data: Range<usize>,
    ) -> Result<Range<usize>, DropReason> {
        match flow.push_channel() {
            CHANNEL_NONE => Ok(data),
            CHANNEL_INDICATION => {
                let peer = self.shown(now, remote);
                self.frame_indication(peer, buffer, data)
            }
            channel => {
                let start = data.start.checked_sub(CHANNEL_DATA_OCTETS).ok_or(DropReason::Oversized)?;
                let octets = u16::try_from(data.len()).map_err(|_| DropReason::Oversized)?;
                let header = ChannelHeader { channel, octets }.word().to_le_bytes();
                buffer[start..data.start].copy_from_slice(&header);
                Ok(start..data.end)
            }
        }
    }

    fn frame_indication(
        &self,
        peer: Endpoint,
        buffer: &mut [u8],
        data: Range<usize>,
    ) -> Result<Range<usize>, DropReason> {
        let transaction = self.next_transaction();
        let end = data.end + padding(data.len());
        buffer.get_mut(data.end..end).ok_or(DropReason::Oversized)?.fill(0);
        let room_start = data.start.saturating_sub(DATA_HEADER_MAX);
        let room = &mut buffer[room_start..data.start];
        let used = data_header(room, &transaction, &peer, data.len()).ok_or(DropReason::Oversized)?;
        Ok(data.start - used..end)
    }

    /// An identifier for an indication (RFC 8489 section 5): unlike all others of this worker.
    pub(crate) fn next_transaction(&self) -> [u8; 12] {
        let mut out = [0; 12];
        self.transactions.set(self.transactions.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mixed = mix(self.transactions.get());
        out[..8].copy_from_slice(&mixed.to_be_bytes());
        out[8..].copy_from_slice(&(mix(!mixed) as u32).to_be_bytes());
        out
    }

    /// Where a datagram to `peer` really goes: elsewhere, or to a live relayed transport address of ours.
    fn reachable(&self, now: Instant, peer: Endpoint) -> Result<Endpoint, DropReason> {
        let Some(internal) = self.own.internal(peer.address) else { return Ok(peer) };
        let to = Endpoint { address: internal, port: peer.port };
        self.relayed_here(now, to).map(|_| to).ok_or(DropReason::NoPermission)
    }

    /// How a peer is named to a client: by its external address if it is relayed here.
    pub(crate) fn shown(&self, now: Instant, peer: Endpoint) -> Endpoint {
        if !self.own.is_internal(peer.address) {
            return peer;
        }
        self.relayed_here(now, peer).unwrap_or(peer)
    }

    /// The external form of a live relayed transport address of ours. Its flow (the one that refuses) keeps it as
    /// its source.
    fn relayed_here(&self, now: Instant, local: Endpoint) -> Option<Endpoint> {
        let any = FlowKey { local: local.address, local_port: local.port, ..FlowKey::default() };
        let (_, flow) = self.table.live(&any, now)?;
        Some(Endpoint { address: flow.source(), port: flow.source_port() })
    }
}

impl Missing<'_> {
    /// What to count; an expired flow counts it too.
    #[cold]
    fn reason(self, if_absent: DropReason) -> DropReason {
        match self {
            Self::Absent => if_absent,
            Self::Expired(flow) => {
                flow.measured.dropped.fetch_add(1, Relaxed);
                DropReason::Expired
            }
        }
    }

    fn or(self, other: Self) -> Self {
        match self {
            Self::Absent => other,
            Self::Expired(_) => self,
        }
    }
}

/// The relayed transport address of an allocation that sends to `peer`, and which egress that is.
///
/// A flow for Send indications keeps its IPv4 relayed address as its source and its IPv6 one as its destination.
fn relayed_of_family(flow: &Flow, peer: &Endpoint) -> Option<(usize, Endpoint)> {
    let (which, relayed) = match peer.v4() {
        Some(_) => (0, Endpoint { address: flow.source(), port: flow.source_port() }),
        None => (1, Endpoint { address: flow.destination(), port: flow.destination_port() }),
    };
    (relayed.port != 0).then_some((which, relayed))
}

/// splitmix64's finaliser.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut x = value;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Whether a flow runs to the client.
pub(crate) fn towards_client(flow: &Flow) -> bool {
    flow.direction() == Direction::PeerToClient
}
