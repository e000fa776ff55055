//! A small world: clients, peers, a listener and relayed transport addresses of both families, and flows between
//! them of every kind.

use std::net::{IpAddr, SocketAddr};

use raceway_abi::{
    Action, CHANNEL_INDICATION, CHANNEL_NONE, Direction, FLAG_BLOCKS_OTHERS, FLAG_LOCAL_DESTINATION, FLAG_MEDIA_ONLY,
    FLAG_RULED, Flow, FlowKey, FlowSpec, KEEP_DSCP, NO_POLICER, NextHop, PayloadFate, PayloadRule, Policer, Settings,
    mapped,
};
use std::sync::atomic::Ordering::Relaxed;

/// Expiry of what lives through any test, by the model's clock and the kernel's.
pub const FOREVER_NS: u64 = u64::MAX / 2;
/// Expiry of what is over by either clock.
pub const LONG_AGO_NS: u64 = 1;
/// A cost or burst that no test waits for.
const HOUR_NS: u64 = 3_600_000_000_000;

pub const LISTEN_PORT: u16 = 3478;
pub const FIRST_RELAY_PORT: u16 = 50_000;
pub const LAST_RELAY_PORT: u16 = 50_999;
pub const FIRST_MEDIA_PORT: u16 = 30_000;
pub const LAST_MEDIA_PORT: u16 = 30_099;

/// Interfaces that the cached routes name: 1 is where test frames come in.
pub const SAME_INTERFACE: u32 = 1;
pub const OTHER_INTERFACE: u32 = 77;
pub const MTU: u16 = 1500;
pub const NEXT_MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
pub const OWN_MAC: [u8; 6] = [0x02, 0x66, 0x77, 0x88, 0x99, 0xaa];
pub const VLAN_TCI: u16 = 0x2007;

pub fn socket(text: &str) -> SocketAddr {
    text.parse().expect("a literal")
}

pub fn client(v6: bool) -> SocketAddr {
    socket(if v6 { "[2001:db8:1::10]:5000" } else { "192.0.2.10:5000" })
}

/// The client at the other end of a hairpin.
pub fn other_client(v6: bool) -> SocketAddr {
    socket(if v6 { "[2001:db8:1::20]:5001" } else { "192.0.2.20:5001" })
}

pub fn peer(v6: bool) -> SocketAddr {
    socket(if v6 { "[2001:db8:2::5]:6000" } else { "203.0.113.5:6000" })
}

pub fn listener(v6: bool) -> SocketAddr {
    socket(if v6 { "[2001:db8::1]:3478" } else { "198.51.100.1:3478" })
}

pub fn relayed(v6: bool, number: u16) -> SocketAddr {
    SocketAddr::new(listener(v6).ip(), FIRST_RELAY_PORT + number)
}

/// A media address. 0 and 1 are the two legs of a call; 2, 3 and 4, 5 those of a call that passes here twice.
pub fn media(v6: bool, number: u16) -> SocketAddr {
    SocketAddr::new(listener(v6).ip(), FIRST_MEDIA_PORT + number)
}

/// Media addresses, and parties, of [`ruled`] calls.
pub const RENAMED: u16 = 8;
pub const SOME: u16 = 9;
pub const BLOCKED: u16 = 10;
pub const WITHOUT_DTMF: u16 = 11;

/// The media address at which little may arrive.
pub const FLOODED: u16 = 7;

/// The party of the leg at that media address.
pub fn party(v6: bool, number: u16) -> SocketAddr {
    SocketAddr::new(peer(v6).ip(), 8000 + number)
}

pub fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => mapped(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

pub fn key(remote: SocketAddr, local: SocketAddr, channel: u16) -> FlowKey {
    FlowKey {
        remote: octets(remote.ip()),
        local: octets(local.ip()),
        remote_port: remote.port(),
        local_port: local.port(),
        channel,
        reserved: 0,
    }
}

pub fn forward(key: FlowKey, source: SocketAddr, destination: SocketAddr, push_channel: u16) -> FlowSpec {
    FlowSpec {
        key,
        source: octets(source.ip()),
        destination: octets(destination.ip()),
        source_port: source.port(),
        destination_port: destination.port(),
        push_channel,
        action: Action::Forward,
        direction: if key.channel == CHANNEL_NONE { Direction::PeerToClient } else { Direction::ClientToPeer },
        dscp: KEEP_DSCP,
        policer: NO_POLICER,
        ..FlowSpec::default()
    }
}

/// A flow of the world, and how long it lives.
pub struct Entry {
    pub spec: FlowSpec,
    pub expires_at_ns: u64,
    /// Interface and tag of its cached route.
    pub ifindex: u32,
    pub vlan_tci: u16,
}

impl From<FlowSpec> for Entry {
    fn from(spec: FlowSpec) -> Self {
        Self { spec, expires_at_ns: FOREVER_NS, ifindex: SAME_INTERFACE, vlan_tci: 0 }
    }
}

/// Channels: each is bound to the peer that its number says.
pub mod channel {
    /// Plus one if the peer is IPv6.
    pub const PLAIN: u16 = 0x4000;
    /// To a relayed address of another client here.
    pub const HAIRPIN: u16 = 0x4010;
    /// To a relayed address of ours where nobody expects this client.
    pub const HAIRPIN_NOWHERE: u16 = 0x4012;
    /// Over its rate from the second datagram on.
    pub const POLICED: u16 = 0x4020;
    /// Within its rate.
    pub const SLOW: u16 = 0x4021;
    pub const EXPIRED: u16 = 0x4030;
    pub const MUTED: u16 = 0x4031;
    pub const WORKERS: u16 = 0x4032;
    /// Marked, and leaves by another interface with a tag.
    pub const MARKED: u16 = 0x4040;
    /// Hairpin to where the second flow is over its rate.
    pub const HAIRPIN_POLICED: u16 = 0x4041;
    /// Two families in one flow, which nobody should write.
    pub const TORN: u16 = 0x4042;
    /// From the part of the range that RFC 8656 left out.
    pub const OLD: u16 = 0x7fff;
    /// To the media address of a call, which expects this client.
    pub const MEDIA: u16 = 0x4050;
    pub const UNBOUND: u16 = 0x4fff;
    pub const ALL: [u16; 18] = [
        PLAIN,
        PLAIN + 1,
        PLAIN,
        PLAIN + 1,
        HAIRPIN,
        HAIRPIN + 1,
        HAIRPIN_NOWHERE,
        POLICED,
        SLOW,
        EXPIRED,
        MUTED,
        WORKERS,
        MARKED,
        HAIRPIN_POLICED,
        TORN,
        OLD,
        MEDIA,
        UNBOUND,
    ];
}

/// Peers that are more than a peer, at the first relayed address.
pub fn special_peer(v6: bool, number: u16) -> SocketAddr {
    SocketAddr::new(peer(v6).ip(), 7000 + number)
}
/// Its flow is over, its permission too.
pub const EXPIRED_PEER: u16 = 0;
pub const MUTED_PEER: u16 = 1;
/// Its datagrams go to the client in indications.
pub const INDICATION_PEER: u16 = 2;

/// The host whose any port has a permission.
pub fn permitted(v6: bool) -> SocketAddr {
    socket(if v6 { "[2001:db8:2::99]:1234" } else { "203.0.113.99:1234" })
}

/// The host whose permission is over.
pub fn formerly_permitted(v6: bool) -> SocketAddr {
    socket(if v6 { "[2001:db8:2::98]:1234" } else { "203.0.113.98:1234" })
}

pub fn stranger(v6: bool) -> SocketAddr {
    socket(if v6 { "[2001:db8:3::1]:53" } else { "203.0.113.200:53" })
}

/// All flows, by slot.
pub fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for c in [false, true] {
        for p in [false, true] {
            let out = channel::PLAIN + u16::from(p);
            let relayed_p = relayed(p, u16::from(c));
            entries.push(forward(key(client(c), listener(c), out), relayed_p, peer(p), CHANNEL_NONE).into());
            entries.push(forward(key(peer(p), relayed_p, CHANNEL_NONE), listener(c), client(c), out).into());
            hairpin(&mut entries, c, p);
        }
        entries.extend(client_flows(c));
        entries.extend(peer_flows(c));
    }
    calls(&mut entries);
    entries
}

/// Calls whose legs are settled, and media addresses at which nothing is: of either family, and between them.
fn calls(entries: &mut Vec<Entry>) {
    let anchor = |remote: SocketAddr, at: SocketAddr, from: SocketAddr, to: SocketAddr, flags: u8| FlowSpec {
        flags: FLAG_MEDIA_ONLY | flags,
        ..forward(key(remote, at, CHANNEL_NONE), from, to, CHANNEL_NONE)
    };
    for v6 in [false, true] {
        // The legs 0 and 1 are of one family, 2 and 5 of different ones.
        entries.push(anchor(party(v6, 0), media(v6, 0), media(v6, 1), party(v6, 1), 0).into());
        let marked = anchor(party(v6, 1), media(v6, 1), media(v6, 0), party(v6, 0), 0);
        entries.push(FlowSpec { dscp: 46, ..marked }.into());
        let out = anchor(party(v6, 2), media(v6, 2), media(v6, 3), media(v6, 4), FLAG_LOCAL_DESTINATION);
        entries.push(out.into());
        entries.push(anchor(media(v6, 3), media(v6, 4), media(!v6, 5), party(!v6, 5), 0).into());
        let relayed = relayed(v6, u16::from(v6));
        let channel = forward(key(client(v6), listener(v6), channel::MEDIA), relayed, media(v6, 6), CHANNEL_NONE);
        entries.push(FlowSpec { flags: FLAG_LOCAL_DESTINATION, ..channel }.into());
        entries.push(anchor(relayed, media(v6, 6), media(v6, 1), party(v6, 6), 0).into());
        ruled(entries, &anchor, v6);
        for number in 0..16 {
            let any = FlowKey { remote: [0; 16], remote_port: 0, ..key(stranger(v6), media(v6, number), CHANNEL_NONE) };
            let policer = if number == FLOODED { 3 } else { NO_POLICER };
            entries.push(FlowSpec { key: any, action: Action::Worker, policer, ..FlowSpec::default() }.into());
        }
    }
}

/// Calls of one leg each whose RTP goes by its payload type: other names, some towards the other family, nothing, no DTMF.
fn ruled(
    entries: &mut Vec<Entry>,
    anchor: &impl Fn(SocketAddr, SocketAddr, SocketAddr, SocketAddr, u8) -> FlowSpec,
    v6: bool,
) {
    let rule = PayloadRule::new;
    let rules: [(u16, bool, u8, &[PayloadRule]); 4] = [
        (RENAMED, v6, 0, &[rule(0, 96, PayloadFate::Pass), rule(101, 102, PayloadFate::Pass)]),
        (SOME, !v6, FLAG_BLOCKS_OTHERS, &[rule(0, 0, PayloadFate::Pass), rule(8, 96, PayloadFate::Pass)]),
        (BLOCKED, v6, FLAG_BLOCKS_OTHERS, &[]),
        (WITHOUT_DTMF, v6, 0, &[rule(101, 101, PayloadFate::Block)]),
    ];
    for (number, to, flags, rules) in rules {
        let from = media(to, number + 4);
        let mut spec = anchor(party(v6, number), media(v6, number), from, party(to, number + 4), FLAG_RULED | flags);
        spec.payload_rules[..rules.len()].copy_from_slice(rules);
        spec.dscp = if number == RENAMED { 46 } else { KEEP_DSCP };
        entries.push(spec.into());
    }
}

fn hairpin(entries: &mut Vec<Entry>, c: bool, p: bool) {
    let here = relayed(p, u16::from(c));
    let there = relayed(p, 20 + u16::from(c));
    let first = forward(key(client(c), listener(c), channel::HAIRPIN + u16::from(p)), here, there, CHANNEL_NONE);
    entries.push(FlowSpec { flags: FLAG_LOCAL_DESTINATION, ..first }.into());
    // The other client has the other family where it can.
    let back = forward(key(here, there, CHANNEL_NONE), listener(!c), other_client(!c), 0x4777);
    entries.push(back.into());
}

fn client_flows(c: bool) -> Vec<Entry> {
    let to_peer =
        |number: u16| forward(key(client(c), listener(c), number), relayed(c, u16::from(c)), peer(c), CHANNEL_NONE);
    let hairpin = |number: u16, to: u16| FlowSpec {
        destination_port: FIRST_RELAY_PORT + to,
        destination: octets(relayed(c, to).ip()),
        flags: FLAG_LOCAL_DESTINATION,
        ..to_peer(number)
    };
    let policed_back =
        forward(key(relayed(c, u16::from(c)), relayed(c, 40), CHANNEL_NONE), listener(c), other_client(c), 0x4778);
    vec![
        hairpin(channel::HAIRPIN_NOWHERE, 30).into(),
        hairpin(channel::HAIRPIN_POLICED, 40).into(),
        FlowSpec { policer: 2, ..policed_back }.into(),
        to_peer(channel::OLD).into(),
        FlowSpec { policer: 0, ..to_peer(channel::POLICED) }.into(),
        FlowSpec { policer: 1, ..to_peer(channel::SLOW) }.into(),
        Entry { expires_at_ns: LONG_AGO_NS, ..to_peer(channel::EXPIRED).into() },
        FlowSpec { action: Action::Drop, ..to_peer(channel::MUTED) }.into(),
        FlowSpec { action: Action::Worker, ..to_peer(channel::WORKERS) }.into(),
        Entry {
            ifindex: OTHER_INTERFACE,
            vlan_tci: VLAN_TCI,
            ..FlowSpec { dscp: 46, ..to_peer(channel::MARKED) }.into()
        },
        FlowSpec { source: octets(relayed(!c, 0).ip()), ..to_peer(channel::TORN) }.into(),
        FlowSpec {
            action: Action::Worker,
            ..forward(key(client(c), listener(c), CHANNEL_INDICATION), relayed(c, 0), peer(c), 0)
        }
        .into(),
    ]
}

fn peer_flows(p: bool) -> Vec<Entry> {
    let at = relayed(p, u16::from(p));
    let to_client =
        |remote: SocketAddr, push: u16| forward(key(remote, at, CHANNEL_NONE), listener(p), client(p), push);
    let permission = |remote: SocketAddr| {
        let spec = to_client(remote, CHANNEL_INDICATION);
        FlowSpec { key: spec.key.any_port(), ..spec }
    };
    let mut entries: Vec<Entry> = vec![
        Entry { expires_at_ns: LONG_AGO_NS, ..to_client(special_peer(p, EXPIRED_PEER), channel::PLAIN).into() },
        FlowSpec { action: Action::Drop, ..to_client(special_peer(p, MUTED_PEER), channel::PLAIN) }.into(),
        to_client(special_peer(p, INDICATION_PEER), CHANNEL_INDICATION).into(),
        permission(permitted(p)).into(),
        Entry { expires_at_ns: LONG_AGO_NS, ..permission(formerly_permitted(p)).into() },
    ];
    for number in [0, 1, 20, 21, 30, 40] {
        let any = FlowKey { remote: [0; 16], remote_port: 0, ..key(stranger(p), relayed(p, number), CHANNEL_NONE) };
        entries.push(FlowSpec { key: any, action: Action::Refuse, ..FlowSpec::default() }.into());
    }
    entries
}

/// Octets that a limit of [`write_policers`] lets pass.
pub const POLICED_OCTETS: u64 = 2000;

/// Limits that the flows name: 0, 2 and 3 let [`POLICED_OCTETS`] pass and then nothing (an octet costs 18 minutes),
/// 1 lets all.
pub fn write_policers(policers: &[Policer]) {
    const OCTET_NS: u64 = 1 << 40;
    let tight = (OCTET_NS << 20, POLICED_OCTETS * OCTET_NS);
    for (policer, (rate, burst_ns)) in policers.iter().zip([tight, (1 << 20, FOREVER_NS), tight, tight]) {
        policer.ns_per_octet_q20.store(rate, Relaxed);
        policer.burst_ns.store(burst_ns, Relaxed);
    }
}

/// Ports, and a budget of three short requests for each prefix.
pub fn write_settings(settings: &Settings) {
    settings.relay_port_first.store(FIRST_RELAY_PORT, Relaxed);
    settings.relay_port_last.store(LAST_RELAY_PORT, Relaxed);
    settings.media_port_first.store(FIRST_MEDIA_PORT, Relaxed);
    settings.media_port_last.store(LAST_MEDIA_PORT, Relaxed);
    settings.listen_ports[0].store(LISTEN_PORT, Relaxed);
    settings.listen_ports[7].store(3479, Relaxed);
    settings.stun_request_cost_ns.store(HOUR_NS, Relaxed);
    settings.stun_burst_ns.store(3 * HOUR_NS + HOUR_NS / 2, Relaxed);
    settings.stun_seed.store(0x1234_5678_9abc_def0, Relaxed);
}

/// Publishes a flow with a route that never goes stale.
pub fn write_flow(flow: &Flow, entry: &Entry) {
    flow.publish(&entry.spec, entry.expires_at_ns);
    write_next_hop(&flow.next_hop, entry);
}

fn write_next_hop(next_hop: &NextHop, entry: &Entry) {
    let word = |mac: [u8; 6], above: u16| {
        let [a, b, c, d, e, f] = mac;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) | u64::from(above) << 48
    };
    next_hop.ifindex.store(entry.ifindex, Relaxed);
    next_hop.destination_mac_vlan.store(word(NEXT_MAC, entry.vlan_tci), Relaxed);
    next_hop.source_mac_mtu.store(word(OWN_MAC, MTU), Relaxed);
    next_hop.until_ns.store(FOREVER_NS, Relaxed);
}

/// The world in plain memory.
pub fn in_memory() -> super::memory::Memory {
    let mut memory = super::memory::Memory::new();
    for entry in entries() {
        let slot = memory.put(&entry.spec, entry.expires_at_ns);
        write_flow(&memory.flows[slot as usize], &entry);
    }
    memory.policers = (0..4).map(|_| Policer::default()).collect();
    write_policers(&memory.policers);
    write_settings(&memory.settings);
    memory
}
