//! Flows: what matches, what is done, within which limits, and what was measured.

use core::sync::atomic::Ordering::Relaxed;

use crate::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// [`FlowKey::channel`] of plain datagrams.
pub const CHANNEL_NONE: u16 = 0;
/// [`FlowKey::channel`] of the flow that stands for a client's Send indications.
pub const CHANNEL_INDICATION: u16 = 1;
/// [`FlowSpec::dscp`] that leaves the packet's own.
pub const KEEP_DSCP: u8 = 0xff;
/// [`FlowSpec::policer`] of a flow without a rate limit.
pub const NO_POLICER: u32 = u32::MAX;
/// [`FlowSpec::flags`]: the destination may be another relayed address of this appliance, so look again after
/// the rewrite instead of asking for a route (hairpin).
pub const FLAG_LOCAL_DESTINATION: u8 = 1;
/// [`FlowSpec::flags`]: only RTP and RTCP follow the flow (RFC 7983). Whatever else arrives by the same match is for the
/// leg behind the local address: XDP passes it up.
pub const FLAG_MEDIA_ONLY: u8 = 2;

/// [`FlowSpec::flags`]: RTP goes by [`FlowSpec::payload_rules`]. Only with [`FLAG_MEDIA_ONLY`].
pub const FLAG_RULED: u8 = 4;
/// [`FlowSpec::flags`]: RTP whose payload type has no rule is dropped. Only with [`FLAG_RULED`].
pub const FLAG_BLOCKS_OTHERS: u8 = 8;
/// Rules of a flow for payload types.
pub const PAYLOAD_RULES: usize = 8;

/// An IPv4 address in the form that keys and records use (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2).
#[must_use]
pub const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}

/// What a datagram is recognised by. 40 octets, no padding.
///
/// Beside exact keys two wildcard forms exist, for datagrams that reach a relayed transport address:
/// `remote_port == 0` is a permission (RFC 8656 section 9: any port of one peer address), and
/// `remote == [0; 16]` with port 0 says that the local address is a relayed one, or a media address, at all.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Source address of the datagram.
    pub remote: [u8; 16],
    /// Destination address of the datagram, one of ours.
    pub local: [u8; 16],
    /// Source port, host order.
    pub remote_port: u16,
    /// Destination port, host order.
    pub local_port: u16,
    /// [`CHANNEL_NONE`], [`CHANNEL_INDICATION`] or a channel number.
    pub channel: u16,
    /// Zero.
    pub reserved: u16,
}

impl FlowKey {
    /// The permission that would cover this datagram.
    #[must_use]
    pub const fn any_port(self) -> Self {
        Self { remote_port: 0, channel: CHANNEL_NONE, ..self }
    }

    /// The relayed transport address that this datagram reached.
    #[must_use]
    pub const fn any_remote(self) -> Self {
        Self { remote: [0; 16], remote_port: 0, channel: CHANNEL_NONE, ..self }
    }
}

/// What is done with a datagram that matched.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// The slot is empty.
    #[default]
    None,
    /// Rewrite and send.
    Forward,
    /// Drop, counted as [`DropReason::FlowDrops`](crate::DropReason::FlowDrops).
    Drop,
    /// XDP passes it up, at a media address within the rate limit; the worker wraps or unwraps an indication, or has a leg
    /// behind the local address.
    Worker,
    /// Marks a relayed transport address: what matches nothing better has no permission.
    Refuse,
}

impl Action {
    /// From the octet in a record; an unknown value is an empty slot.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        match octet {
            1 => Self::Forward,
            2 => Self::Drop,
            3 => Self::Worker,
            4 => Self::Refuse,
            _ => Self::None,
        }
    }
}

/// Which way a flow runs; the label of `raceway_packets_total{direction}`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the client towards its peer.
    #[default]
    ClientToPeer,
    /// From the peer towards the client.
    PeerToClient,
}

impl Direction {
    /// Both, in counter order.
    pub const ALL: [Direction; 2] = [Self::ClientToPeer, Self::PeerToClient];

    /// Metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClientToPeer => "client_to_peer",
            Self::PeerToClient => "peer_to_client",
        }
    }
}

/// What becomes of RTP of one payload type: three fields in 16 bits, so that a flow has room for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadRule(u16);

/// What becomes of the payload of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFate {
    /// It passes.
    Pass,
    /// The packet is dropped, counted as [`DropReason::MediaBlocked`](crate::DropReason::MediaBlocked).
    Block,
}

impl PayloadRule {
    /// For no payload type: 72 is RTCP's (RFC 5761 section 4).
    pub const UNUSED: Self = Self(72);

    /// RTP of `payload_type` is called `renamed` when it leaves. Both below 128.
    #[must_use]
    pub const fn new(payload_type: u8, renamed: u8, fate: PayloadFate) -> Self {
        let fate = match fate {
            PayloadFate::Pass => 0,
            PayloadFate::Block => 1,
        };
        Self((payload_type & 0x7f) as u16 | ((renamed & 0x7f) as u16) << 7 | fate << 14)
    }

    /// From its place in a record.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// As it stands in a record.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Which payload type it is for.
    #[inline(always)]
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        self.0 as u8 & 0x7f
    }

    /// What it is called when it leaves.
    #[inline(always)]
    #[must_use]
    pub const fn renamed(self) -> u8 {
        (self.0 >> 7) as u8 & 0x7f
    }

    /// What becomes of the payload.
    #[inline(always)]
    #[must_use]
    pub const fn fate(self) -> PayloadFate {
        if self.0 >> 14 == 0 { PayloadFate::Pass } else { PayloadFate::Block }
    }
}

impl Default for PayloadRule {
    fn default() -> Self {
        Self::UNUSED
    }
}

/// A flow as its owner describes it; immutable while it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowSpec {
    /// Session that the flow belongs to.
    pub session: u64,
    /// Name of the flow inside its session.
    pub id: u32,
    /// What it matches.
    pub key: FlowKey,
    /// New source address (one of ours).
    pub source: [u8; 16],
    /// New destination address.
    pub destination: [u8; 16],
    /// New source port.
    pub source_port: u16,
    /// New destination port.
    pub destination_port: u16,
    /// Channel number of the ChannelData header to push, or [`CHANNEL_NONE`]. (A header to pop is known from the key.)
    pub push_channel: u16,
    /// What is done.
    pub action: Action,
    /// Which way it runs.
    pub direction: Direction,
    /// New DSCP (0..=63), or [`KEEP_DSCP`].
    pub dscp: u8,
    /// [`FLAG_LOCAL_DESTINATION`] and its like, or zero.
    pub flags: u8,
    /// By payload type, each named once; with [`FLAG_RULED`].
    pub payload_rules: [PayloadRule; PAYLOAD_RULES],
    /// Index of its policer, or [`NO_POLICER`].
    pub policer: u32,
}

/// A flow in the table. 256 octets; four cache lines, of which a packet reads two and writes one or two.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Flow {
    session: AtomicU64,
    key: [AtomicU64; 5],
    source: [AtomicU64; 2],
    destination: [AtomicU64; 2],
    source_port: AtomicU16,
    destination_port: AtomicU16,
    push_channel: AtomicU16,
    action: AtomicU8,
    direction: AtomicU8,
    dscp: AtomicU8,
    flags: AtomicU8,
    reserved: AtomicU16,
    policer: AtomicU32,
    id: AtomicU32,
    reserved2: AtomicU32,
    /// Expiry, kernel monotonic nanoseconds: at or after it nothing passes. The one limit that changes in place.
    pub expires_at_ns: AtomicU64,
    /// Cached route; valid while the clock is before `until_ns`.
    pub next_hop: NextHop,
    /// What was measured.
    pub measured: Measured,
    payload_rules: [AtomicU64; 2],
}

/// A route that XDP found, kept for [`limits::NEXT_HOP_LIFETIME_NS`](crate::limits::NEXT_HOP_LIFETIME_NS).
#[repr(C)]
#[derive(Debug, Default)]
pub struct NextHop {
    /// Kernel monotonic nanoseconds until which the other fields hold.
    pub until_ns: AtomicU64,
    /// Destination MAC in the low 48 bits (first octet lowest), VLAN tag (TCI, 0 = none) above.
    pub destination_mac_vlan: AtomicU64,
    /// Source MAC in the low 48 bits, path MTU above.
    pub source_mac_mtu: AtomicU64,
    /// Interface to send by, as [`Egress`](crate::Egress) has it.
    pub ifindex: AtomicU32,
    /// Zero.
    pub reserved: AtomicU32,
}

/// Counters of one flow, over XDP and worker alike.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Measured {
    /// Datagrams relayed.
    pub packets: AtomicU64,
    /// Octets of application data relayed.
    pub octets: AtomicU64,
    /// Datagrams refused by the policer or after expiry.
    pub dropped: AtomicU64,
    /// Kernel monotonic nanoseconds of the last datagram.
    pub last_ns: AtomicU64,
    /// RTP, if the payload is RTP or SRTP.
    pub rtp: Rtp,
    /// RTP packets that rules of the flow dropped. They are measured, and not among the others.
    pub blocked: AtomicU64,
}

/// RTP reception figures (RFC 3550 appendix A.3 and A.8).
#[repr(C)]
#[derive(Debug, Default)]
pub struct Rtp {
    /// Last synchronisation source.
    pub ssrc: AtomicU32,
    /// Highest sequence number, extended by its cycles (upper 16 bits).
    pub highest_sequence: AtomicU32,
    /// Packets missing below the highest sequence number, late ones given back.
    pub lost: AtomicU32,
    /// Packets that came after a later one.
    pub reordered: AtomicU32,
    /// RTP packets seen of this source.
    pub received: AtomicU32,
    /// Interarrival jitter in timestamp units, times 16 (RFC 3550 appendix A.8).
    pub jitter_q4: AtomicU32,
    /// Timestamp of the last packet.
    pub timestamp: AtomicU32,
    /// Timestamp of the first packet of this source.
    pub first_timestamp: AtomicU32,
    /// Arrival of the first packet of this source, kernel monotonic nanoseconds.
    pub first_ns: AtomicU64,
    /// Arrival of the last packet of this source, kernel monotonic nanoseconds.
    pub last_ns: AtomicU64,
    /// Clock rate in Hz: from the static payload type (RFC 3551) or inferred; 0 while unknown.
    pub clock_hz: AtomicU32,
    /// Last payload type in the low octet.
    pub payload_type: AtomicU32,
}

const _: () = assert!(size_of::<FlowKey>() == 40);
const _: () = assert!(size_of::<Flow>() == 256);
const _: () = assert!(2 * PAYLOAD_RULES == size_of::<[AtomicU64; 2]>());

#[inline(always)]
fn split(octets: [u8; 16]) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    (u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p]))
}

#[inline(always)]
fn join(low: u64, high: u64) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = low.to_ne_bytes();
    let [i, j, k, l, m, n, o, p] = high.to_ne_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

fn store(words: &[AtomicU64; 2], octets: [u8; 16]) {
    let (low, high) = split(octets);
    words[0].store(low, Relaxed);
    words[1].store(high, Relaxed);
}

#[inline(always)]
fn load(words: &[AtomicU64; 2]) -> [u8; 16] {
    join(words[0].load(Relaxed), words[1].load(Relaxed))
}

impl Flow {
    /// Writes a description into an unpublished slot: its measurements and route start anew.
    pub fn publish(&self, spec: &FlowSpec, expires_at_ns: u64) {
        self.session.store(spec.session, Relaxed);
        self.id.store(spec.id, Relaxed);
        self.store_key(&spec.key);
        store(&self.source, spec.source);
        store(&self.destination, spec.destination);
        self.source_port.store(spec.source_port, Relaxed);
        self.destination_port.store(spec.destination_port, Relaxed);
        self.push_channel.store(spec.push_channel, Relaxed);
        self.direction.store(spec.direction as u8, Relaxed);
        self.dscp.store(spec.dscp, Relaxed);
        self.flags.store(spec.flags, Relaxed);
        self.store_payload_rules(&spec.payload_rules);
        self.policer.store(spec.policer, Relaxed);
        self.expires_at_ns.store(expires_at_ns, Relaxed);
        self.next_hop.until_ns.store(0, Relaxed);
        self.measured.reset();
        self.action.store(spec.action as u8, Relaxed);
    }

    /// Marks the slot empty.
    pub fn retire(&self) {
        self.expires_at_ns.store(0, Relaxed);
        self.action.store(Action::None as u8, Relaxed);
    }

    /// The description as it was published.
    #[must_use]
    pub fn spec(&self) -> FlowSpec {
        FlowSpec {
            session: self.session.load(Relaxed),
            id: self.id.load(Relaxed),
            key: self.key(),
            source: self.source(),
            destination: self.destination(),
            source_port: self.source_port(),
            destination_port: self.destination_port(),
            push_channel: self.push_channel(),
            action: self.action(),
            direction: self.direction(),
            dscp: self.dscp(),
            flags: self.flags.load(Relaxed),
            payload_rules: self.payload_rules(),
            policer: self.policer(),
        }
    }

    /// What the flow matches.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        let [a, b, c, d, e] = &self.key;
        let ports = e.load(Relaxed);
        FlowKey {
            remote: join(a.load(Relaxed), b.load(Relaxed)),
            local: join(c.load(Relaxed), d.load(Relaxed)),
            remote_port: ports as u16,
            local_port: (ports >> 16) as u16,
            channel: (ports >> 32) as u16,
            reserved: 0,
        }
    }

    fn store_key(&self, key: &FlowKey) {
        let [a, b, c, d, e] = &self.key;
        for (words, octets) in [([a, b], key.remote), ([c, d], key.local)] {
            let (low, high) = split(octets);
            words[0].store(low, Relaxed);
            words[1].store(high, Relaxed);
        }
        let ports = u64::from(key.remote_port) | u64::from(key.local_port) << 16 | u64::from(key.channel) << 32;
        e.store(ports, Relaxed);
    }

    fn store_payload_rules(&self, rules: &[PayloadRule; PAYLOAD_RULES]) {
        for (word, rules) in self.payload_rules.iter().zip(rules.as_chunks::<4>().0) {
            let [a, b, c, d] = rules.map(|rule| u64::from(rule.bits()));
            word.store(a | b << 16 | c << 32 | d << 48, Relaxed);
        }
    }

    fn payload_rules(&self) -> [PayloadRule; PAYLOAD_RULES] {
        let words = self.payload_rule_words();
        core::array::from_fn(|at| PayloadRule::from_bits((words[at / 4] >> (16 * (at % 4))) as u16))
    }

    /// Its rules for payload types, four in a word, the first one lowest.
    #[inline(always)]
    #[must_use]
    pub fn payload_rule_words(&self) -> [u64; 2] {
        [self.payload_rules[0].load(Relaxed), self.payload_rules[1].load(Relaxed)]
    }

    /// Session that the flow belongs to.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session.load(Relaxed)
    }

    /// New source address.
    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> [u8; 16] {
        load(&self.source)
    }

    /// New destination address.
    #[inline(always)]
    #[must_use]
    pub fn destination(&self) -> [u8; 16] {
        load(&self.destination)
    }

    /// New source address as two words in the machine's own octet order. (The BPF stack has no room for octets
    /// that are not aligned.)
    #[inline(always)]
    #[must_use]
    pub fn source_words(&self) -> [u64; 2] {
        [self.source[0].load(Relaxed), self.source[1].load(Relaxed)]
    }

    /// New destination address as two words in the machine's own octet order.
    #[inline(always)]
    #[must_use]
    pub fn destination_words(&self) -> [u64; 2] {
        [self.destination[0].load(Relaxed), self.destination[1].load(Relaxed)]
    }

    /// New source port.
    #[inline(always)]
    #[must_use]
    pub fn source_port(&self) -> u16 {
        self.source_port.load(Relaxed)
    }

    /// New destination port.
    #[inline(always)]
    #[must_use]
    pub fn destination_port(&self) -> u16 {
        self.destination_port.load(Relaxed)
    }

    /// Channel number to push, or [`CHANNEL_NONE`].
    #[inline(always)]
    #[must_use]
    pub fn push_channel(&self) -> u16 {
        self.push_channel.load(Relaxed)
    }

    /// What is done.
    #[inline(always)]
    #[must_use]
    pub fn action(&self) -> Action {
        Action::from_octet(self.action.load(Relaxed))
    }

    /// Which way it runs.
    #[inline(always)]
    #[must_use]
    pub fn direction(&self) -> Direction {
        if self.direction.load(Relaxed) == 0 { Direction::ClientToPeer } else { Direction::PeerToClient }
    }

    /// New DSCP, or [`KEEP_DSCP`].
    #[inline(always)]
    #[must_use]
    pub fn dscp(&self) -> u8 {
        self.dscp.load(Relaxed)
    }

    /// Whether the destination may be another relayed address of this appliance.
    #[inline(always)]
    #[must_use]
    pub fn local_destination(&self) -> bool {
        self.flags.load(Relaxed) & FLAG_LOCAL_DESTINATION != 0
    }

    /// Whether it takes nothing but RTP and RTCP.
    #[inline(always)]
    #[must_use]
    pub fn media_only(&self) -> bool {
        self.flags.load(Relaxed) & FLAG_MEDIA_ONLY != 0
    }

    /// Whether RTP goes by its rules for payload types.
    #[inline(always)]
    #[must_use]
    pub fn is_ruled(&self) -> bool {
        self.flags.load(Relaxed) & FLAG_RULED != 0
    }

    /// Whether RTP whose payload type has no rule is dropped.
    #[inline(always)]
    #[must_use]
    pub fn blocks_others(&self) -> bool {
        self.flags.load(Relaxed) & FLAG_BLOCKS_OTHERS != 0
    }

    /// Index of its policer, or [`NO_POLICER`].
    #[inline(always)]
    #[must_use]
    pub fn policer(&self) -> u32 {
        self.policer.load(Relaxed)
    }
}

impl Measured {
    fn reset(&self) {
        let rtp = &self.rtp;
        let totals = [&self.packets, &self.octets, &self.dropped, &self.last_ns, &self.blocked];
        for counter in totals.into_iter().chain([&rtp.first_ns, &rtp.last_ns]) {
            counter.store(0, Relaxed);
        }
        for word in [
            &rtp.ssrc,
            &rtp.highest_sequence,
            &rtp.lost,
            &rtp.reordered,
            &rtp.received,
            &rtp.jitter_q4,
            &rtp.timestamp,
            &rtp.first_timestamp,
            &rtp.clock_hz,
            &rtp.payload_type,
        ] {
            word.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FATES: [PayloadFate; 2] = [PayloadFate::Pass, PayloadFate::Block];

    #[test]
    fn a_payload_rule_reads_back() {
        for fate in FATES {
            let rule = PayloadRule::new(127, 96, fate);
            assert_eq!((rule.payload_type(), rule.renamed(), rule.fate()), (127, 96, fate));
        }
        assert_eq!(PayloadRule::default().payload_type(), 72, "which no RTP packet has");
    }

    #[test]
    fn a_published_description_reads_back_whole() {
        let spec = FlowSpec {
            session: 7,
            id: 3,
            key: FlowKey {
                remote: mapped([10, 0, 0, 1]),
                local: mapped([10, 0, 0, 2]),
                remote_port: 5000,
                local_port: 3478,
                channel: 0x4001,
                reserved: 0,
            },
            source: mapped([10, 0, 1, 2]),
            destination: [0x20; 16],
            source_port: 50_000,
            destination_port: 6000,
            push_channel: 0x4002,
            action: Action::Forward,
            direction: Direction::PeerToClient,
            dscp: 46,
            flags: FLAG_LOCAL_DESTINATION | FLAG_MEDIA_ONLY | FLAG_RULED,
            payload_rules: core::array::from_fn(|at| PayloadRule::new(96 + at as u8, 127 - at as u8, FATES[at % 2])),
            policer: 9,
        };
        let flow = Flow::default();
        flow.measured.packets.store(5, Relaxed);
        flow.publish(&spec, 99);
        assert_eq!(flow.spec(), spec);
        assert_eq!(flow.expires_at_ns.load(Relaxed), 99);
        assert_eq!(flow.measured.packets.load(Relaxed), 0);
        flow.retire();
        assert_eq!(flow.action(), Action::None);
    }

    #[test]
    fn actions_survive_their_octet() {
        for action in [Action::None, Action::Forward, Action::Drop, Action::Worker, Action::Refuse] {
            assert_eq!(Action::from_octet(action as u8), action);
        }
    }
}
