//! What becomes of frames: one test for each rule, then rules that hold for any frame.

mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use raceway_abi::limits::NEXT_HOP_LIFETIME_NS;
use raceway_abi::{Counter, Direction, DropReason, Flow};
use raceway_datapath::{Route, Verdict};

use support::generate::{Random, frame, packet as random_packet};
use support::memory::{Memory, NOW_NS};
use support::packet::{Checksum, Packet, Read, Seen, channel_data, read, rtp};
use support::world::*;

const FAMILIES: [bool; 2] = [false, true];

fn to_peer(v6: bool, channel: u16, data: &[u8]) -> Packet {
    Packet::new(client(v6), listener(v6), channel_data(channel, data))
}

fn to_client(c: bool, p: bool, data: &[u8]) -> Packet {
    Packet::new(peer(p), relayed(p, u16::from(c)), data)
}

/// What left, when something must.
fn sent(memory: &Memory, packet: &Packet) -> Read {
    let (verdict, frame) = memory.relay(&packet.frame());
    assert!(matches!(verdict, Verdict::Send(_)), "{verdict:?} for {packet:?}");
    read(&frame)
}

fn assert_up(memory: &Memory, packet: &Packet) {
    let before = figures(memory);
    let frame = packet.frame();
    assert_eq!(memory.relay(&frame), (Verdict::Up, frame), "{packet:?}");
    assert_eq!(figures(memory), before, "what goes up leaves no trace");
}

fn assert_dropped(memory: &Memory, packet: &Packet, reason: DropReason) {
    let counter = Counter::drops(reason);
    let before = memory.counter(counter);
    assert_eq!(memory.relay(&packet.frame()).0, Verdict::Drop, "{packet:?}");
    assert_eq!(memory.counter(counter), before + 1, "{reason:?}");
}

fn flow<'a>(memory: &'a Memory, key: &raceway_abi::FlowKey) -> &'a Flow {
    &memory.flows[memory.slots[key] as usize]
}

/// Everything that is counted anywhere.
fn figures(memory: &Memory) -> Vec<u64> {
    let of_flow = |flow: &Flow| {
        let measured = &flow.measured;
        [
            measured.packets.load(Relaxed),
            measured.octets.load(Relaxed),
            measured.dropped.load(Relaxed),
            measured.rtp.received.load(Relaxed).into(),
            measured.rtp.lost.load(Relaxed).into(),
        ]
    };
    let policers = memory.policers.iter().map(|policer| policer.arrival_ns.load(Relaxed));
    let counters = memory.counters.iter().map(std::cell::Cell::get);
    memory.flows.iter().flat_map(of_flow).chain(policers).chain(counters).collect()
}

#[test]
fn channel_data_reaches_the_peer_of_either_family() {
    for c in FAMILIES {
        for p in FAMILIES {
            let memory = in_memory();
            let data = rtp(7, 160);
            let got = sent(&memory, &to_peer(c, channel::PLAIN + u16::from(p), &data));
            assert_eq!((got.source, got.destination), (relayed(p, u16::from(c)), peer(p)));
            assert_eq!((got.payload, got.checksum), (data, Seen::Right));
            assert_eq!((got.destination_mac, got.source_mac, got.vlan), (NEXT_MAC, OWN_MAC, None));
        }
    }
}

#[test]
fn a_peers_datagram_reaches_the_client_as_channel_data() {
    for c in FAMILIES {
        for p in FAMILIES {
            let memory = in_memory();
            let data = rtp(7, 161);
            let got = sent(&memory, &to_client(c, p, &data));
            assert_eq!((got.source, got.destination), (listener(c), client(c)));
            assert_eq!(got.payload, channel_data(channel::PLAIN + u16::from(p), &data));
            assert_eq!(got.checksum, Seen::Right);
        }
    }
}

#[test]
fn two_clients_relayed_here_meet_in_one_pass() {
    for c in FAMILIES {
        for p in FAMILIES {
            let memory = in_memory();
            let data = rtp(7, 80);
            let number = channel::HAIRPIN + u16::from(p);
            let got = sent(&memory, &to_peer(c, number, &data));
            assert_eq!((got.source, got.destination), (listener(!c), other_client(!c)));
            assert_eq!(got.payload, channel_data(0x4777, &data));
            assert_eq!(got.checksum, Seen::Right);
            let first = flow(&memory, &key(client(c), listener(c), number));
            let second = flow(&memory, &key(relayed(p, u16::from(c)), relayed(p, 20 + u16::from(c)), 0));
            for flow in [first, second] {
                assert_eq!(flow.measured.packets.load(Relaxed), 1);
                assert_eq!(flow.measured.octets.load(Relaxed), data.len() as u64);
                assert_eq!(flow.measured.rtp.received.load(Relaxed), 1);
            }
            for direction in Direction::ALL {
                assert_eq!(memory.counter(Counter::packets(direction)), 1);
            }
        }
    }
}

/// RTP, RTCP, and both encrypted, are told from all else by the first octet (RFC 7983).
#[test]
fn media_of_settled_legs_is_sent_on_as_it_is_and_marked_if_the_flow_says_so() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let mut rtcp = rtp(1, 40);
        rtcp[1] = 200;
        for data in [rtp(7, 160), rtcp, vec![0xbf; 4]] {
            let packet = Packet { traffic_class: 0x01, ..Packet::new(party(v6, 0), media(v6, 0), data.clone()) };
            let got = sent(&memory, &packet);
            assert_eq!((got.source, got.destination), (media(v6, 1), party(v6, 1)));
            assert_eq!((got.payload, got.checksum, got.traffic_class), (data.clone(), Seen::Right, 0x01));
            let back = sent(&memory, &Packet { traffic_class: 0x01, ..Packet::new(party(v6, 1), media(v6, 1), data) });
            assert_eq!((back.source, back.destination), (media(v6, 0), party(v6, 0)));
            assert_eq!(back.traffic_class, 46 << 2 | 0x01);
        }
    }
}

#[test]
fn a_call_that_passes_here_twice_is_relayed_in_one_pass_from_family_to_family() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let data = rtp(7, 160);
        let got = sent(&memory, &Packet::new(party(v6, 2), media(v6, 2), data.clone()));
        assert_eq!((got.source, got.destination), (media(!v6, 5), party(!v6, 5)));
        assert_eq!((got.payload, got.checksum), (data, Seen::Right));
        for key in [key(party(v6, 2), media(v6, 2), 0), key(media(v6, 3), media(v6, 4), 0)] {
            assert_eq!(flow(&memory, &key).measured.packets.load(Relaxed), 1);
        }
    }
}

#[test]
fn a_client_of_turn_reaches_a_call_here_in_one_pass() {
    for v6 in FAMILIES {
        let got = sent(&in_memory(), &to_peer(v6, channel::MEDIA, &rtp(7, 160)));
        assert_eq!((got.source, got.destination), (media(v6, 1), party(v6, 6)));
    }
}

#[test]
fn what_is_neither_rtp_nor_rtcp_goes_up_to_the_leg_whatever_its_hop_limit() {
    for v6 in FAMILIES {
        let memory = in_memory();
        for first_octet in [0, 3, 19, 20, 63, 64, 127, 192, 255] {
            let data = vec![first_octet; 40];
            for (number, hop_limit) in [(0, 64), (0, 1), (2, 64)] {
                let packet = Packet::new(party(v6, number), media(v6, number), data.clone());
                assert_up(&memory, &Packet { hop_limit, ..packet });
            }
            assert_up(&memory, &to_peer(v6, channel::MEDIA, &data));
        }
        assert_up(&memory, &Packet { trailer: 20, ..Packet::new(party(v6, 0), media(v6, 0), "") });
        assert_up(&memory, &to_peer(v6, channel::MEDIA, b""));
    }
}

#[test]
fn a_stranger_at_a_media_address_is_for_the_leg() {
    for v6 in FAMILIES {
        assert_up(&in_memory(), &Packet::new(stranger(v6), media(v6, 0), rtp(7, 160)));
    }
}

/// Whatever it is, and whoever sends it.
#[test]
fn at_a_media_address_no_more_goes_up_than_its_rate() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let stun = [&[0, 1, 0, 0][..], &[0; 16]].concat();
        let payloads = [rtp(7, 160), stun, vec![22; 100]];
        let mut left = POLICED_OCTETS;
        for at in 0.. {
            let payload = payloads[at % 3].clone();
            left = match left.checked_sub(payload.len() as u64 + 28) {
                Some(left) => left,
                None => break,
            };
            let packet = Packet::new(stranger(v6), media(v6, FLOODED), payload);
            assert_eq!(memory.relay(&packet.frame()), (Verdict::Up, packet.frame()));
        }
        for payload in [rtp(7, 160), vec![0; 200], vec![22; 200]] {
            assert_dropped(&memory, &Packet::new(stranger(v6), media(v6, FLOODED), payload), DropReason::Policed);
        }
        assert_up(&memory, &Packet::new(stranger(v6), media(v6, 0), rtp(7, 160)));
    }
}

/// ICE and DTLS of a party come by the match of its media.
#[test]
fn what_an_anchored_flow_leaves_to_the_leg_counts_against_its_rate() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let anchor = flow(&memory, &key(party(v6, 0), media(v6, 0), 0));
        write_flow(anchor, &raceway_abi::FlowSpec { policer: 3, ..anchor.spec() }.into());
        let stun = Packet::new(party(v6, 0), media(v6, 0), vec![0; (POLICED_OCTETS - 28) as usize - 600]);
        assert_eq!(memory.relay(&stun.frame()), (Verdict::Up, stun.frame()));
        assert_dropped(&memory, &Packet::new(party(v6, 0), media(v6, 0), vec![0; 600]), DropReason::Policed);
        assert_dropped(&memory, &Packet::new(party(v6, 0), media(v6, 0), rtp(1, 600)), DropReason::Policed);
    }
}

/// RTP of a party, of this payload type and with this first octet.
fn rtp_of(first: u8, second: u8, octets: usize) -> Vec<u8> {
    let mut data = rtp(7, octets);
    (data[0], data[1]) = (first, second);
    data
}

#[test]
fn a_payload_type_is_called_otherwise_whatever_else_is_in_the_packet() {
    for v6 in FAMILIES {
        for checksum in [Checksum::Right, Checksum::Unfinished] {
            for (first, second, renamed) in [(0x80, 0, 96), (0x80, 0x80, 0x80 | 96), (0xb3, 101, 102), (0x80, 8, 8)] {
                let data = rtp_of(first, second, 161);
                let packet = Packet { checksum, ..Packet::new(party(v6, RENAMED), media(v6, RENAMED), data.clone()) };
                let got = sent(&in_memory(), &packet);
                assert_eq!((got.destination, got.checksum), (party(v6, RENAMED + 4), Seen::Right));
                assert_eq!((got.payload, got.traffic_class), (rtp_of(first, renamed, 161), 46 << 2));
            }
        }
        let wrong = Packet::new(party(v6, RENAMED), media(v6, RENAMED), rtp(7, 160));
        let got = sent(&in_memory(), &Packet { checksum: Checksum::Wrong, ..wrong });
        assert_eq!(got.checksum, Seen::Wrong, "what was wrong stays wrong");
        let mut report = rtp(7, 40);
        report[1] = 200;
        let got = sent(&in_memory(), &Packet::new(party(v6, RENAMED), media(v6, RENAMED), report.clone()));
        assert_eq!(got.payload, report, "RTCP has no payload type");
    }
}

#[test]
fn of_some_that_pass_the_others_do_not() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let from = |second| Packet::new(party(v6, SOME), media(v6, SOME), rtp_of(0x80, second, 161));
        let got = sent(&memory, &from(0x80 | 8));
        assert_eq!((got.destination, got.checksum), (party(!v6, SOME + 4), Seen::Right), "towards the other family");
        assert_eq!(got.payload, rtp_of(0x80, 0x80 | 96, 161));
        assert_eq!(sent(&memory, &from(0)).payload, rtp_of(0x80, 0, 161));
        assert_dropped(&memory, &from(18), DropReason::MediaBlocked);
    }
}

#[test]
fn what_is_blocked_is_measured_and_not_relayed_and_rtcp_passes() {
    for v6 in FAMILIES {
        let memory = in_memory();
        for sequence in 0..5 {
            let packet = Packet::new(party(v6, BLOCKED), media(v6, BLOCKED), rtp(sequence, 160));
            assert_dropped(&memory, &packet, DropReason::MediaBlocked);
        }
        let measured = &flow(&memory, &key(party(v6, BLOCKED), media(v6, BLOCKED), 0)).measured;
        assert_eq!((measured.packets.load(Relaxed), measured.blocked.load(Relaxed)), (0, 5));
        assert_eq!((measured.rtp.received.load(Relaxed), measured.last_ns.load(Relaxed)), (5, NOW_NS));
        assert_eq!(Direction::ALL.map(|way| memory.counter(Counter::packets(way))), [0, 0]);
        let mut report = rtp(7, 40);
        report[1] = 201;
        sent(&memory, &Packet::new(party(v6, BLOCKED), media(v6, BLOCKED), report));
        let event = Packet::new(party(v6, WITHOUT_DTMF), media(v6, WITHOUT_DTMF), rtp_of(0x80, 0x80 | 101, 4));
        assert_dropped(&memory, &event, DropReason::MediaBlocked);
        sent(&memory, &Packet::new(party(v6, WITHOUT_DTMF), media(v6, WITHOUT_DTMF), rtp(7, 160)));
    }
}

#[test]
fn a_hairpin_that_meets_nothing_goes_up_whole() {
    for c in FAMILIES {
        assert_up(&in_memory(), &to_peer(c, channel::HAIRPIN_NOWHERE, b"hello hello hello"));
    }
}

#[test]
fn what_the_second_flow_of_a_hairpin_refuses_is_counted_there_alone() {
    let memory = in_memory();
    let data = [0; 1500 - 28 - 4 - 8];
    let packet = to_peer(false, channel::HAIRPIN_POLICED, &data);
    sent(&memory, &packet);
    assert_dropped(&memory, &packet, DropReason::Policed);
    let first = flow(&memory, &key(client(false), listener(false), channel::HAIRPIN_POLICED));
    let second = flow(&memory, &key(relayed(false, 0), relayed(false, 40), 0));
    for (flow, dropped) in [(first, 0), (second, 1)] {
        let measured = &flow.measured;
        assert_eq!((measured.packets.load(Relaxed), measured.dropped.load(Relaxed)), (1, dropped));
        assert_eq!(memory.counter(Counter::packets(flow.direction())), 1);
    }
}

#[test]
fn flows_and_directions_are_counted() {
    let memory = in_memory();
    let data = rtp(1, 100);
    sent(&memory, &to_peer(false, channel::PLAIN, &data));
    sent(&memory, &to_client(false, false, &data));
    sent(&memory, &to_client(false, false, &data));
    let octets = data.len() as u64;
    assert_eq!(memory.counter(Counter::packets(Direction::ClientToPeer)), 1);
    assert_eq!(memory.counter(Counter::octets(Direction::ClientToPeer)), octets);
    assert_eq!(memory.counter(Counter::packets(Direction::PeerToClient)), 2);
    assert_eq!(memory.counter(Counter::octets(Direction::PeerToClient)), 2 * octets);
    let measured = &flow(&memory, &key(peer(false), relayed(false, 0), 0)).measured;
    assert_eq!(measured.packets.load(Relaxed), 2);
    assert_eq!(measured.last_ns.load(Relaxed), NOW_NS);
    assert_eq!(measured.rtp.ssrc.load(Relaxed), 0xdead_beef);
}

#[test]
fn over_its_rate_a_flow_drops() {
    let memory = in_memory();
    let packet = to_peer(false, channel::POLICED, &[0; 1200]);
    sent(&memory, &packet);
    assert_dropped(&memory, &packet, DropReason::Policed);
    let measured = &flow(&memory, &key(client(false), listener(false), channel::POLICED)).measured;
    assert_eq!((measured.packets.load(Relaxed), measured.dropped.load(Relaxed)), (1, 1));
    (0..100).for_each(|_| drop(sent(&memory, &to_peer(false, channel::SLOW, &[0; 1200]))));
}

#[test]
fn muted_flows_drop_and_the_workers_flows_go_up() {
    for v6 in FAMILIES {
        let memory = in_memory();
        assert_dropped(&memory, &to_peer(v6, channel::MUTED, b"data"), DropReason::FlowDrops);
        assert_up(&memory, &to_peer(v6, channel::WORKERS, b"data"));
        let from = |number| Packet::new(special_peer(v6, number), relayed(v6, u16::from(v6)), "data");
        assert_dropped(&memory, &from(MUTED_PEER), DropReason::FlowDrops);
        assert_up(&memory, &from(INDICATION_PEER));
    }
}

#[test]
fn a_stranger_at_a_relayed_address_has_no_permission() {
    for v6 in FAMILIES {
        let memory = in_memory();
        assert_dropped(&memory, &Packet::new(stranger(v6), relayed(v6, 0), "data"), DropReason::NoPermission);
        assert_up(&memory, &Packet::new(permitted(v6), relayed(v6, u16::from(v6)), "data"));
    }
}

#[test]
fn what_expired_counts_as_absent() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let at = relayed(v6, u16::from(v6));
        assert_dropped(&memory, &Packet::new(special_peer(v6, EXPIRED_PEER), at, "data"), DropReason::Expired);
        assert_dropped(&memory, &Packet::new(formerly_permitted(v6), at, "data"), DropReason::Expired);
        let expired = flow(&memory, &key(special_peer(v6, EXPIRED_PEER), at, 0));
        assert_eq!(expired.measured.dropped.load(Relaxed), 1);
        // On a port for clients, the worker says so.
        assert_up(&memory, &to_peer(v6, channel::EXPIRED, b"data"));
    }
}

#[test]
fn a_flow_ends_at_its_expiry_to_the_nanosecond() {
    let memory = in_memory();
    let packet = to_peer(false, channel::PLAIN, b"data");
    flow(&memory, &key(client(false), listener(false), channel::PLAIN)).expires_at_ns.store(NOW_NS + 1, Relaxed);
    sent(&memory, &packet);
    memory.now_ns.set(NOW_NS + 1);
    assert_up(&memory, &packet);
}

/// An answer to the host's own question may come to any port.
#[test]
fn a_port_in_the_range_that_is_no_relayed_address_goes_up() {
    for v6 in FAMILIES {
        assert_up(&in_memory(), &Packet::new(stranger(v6), relayed(v6, 555), "an answer"));
    }
}

#[test]
fn channel_data_that_is_padded_lies_or_is_unbound_goes_up() {
    let memory = in_memory();
    let message = channel_data(channel::PLAIN, b"data");
    let with = |payload: Vec<u8>| Packet::new(client(false), listener(false), payload);
    sent(&memory, &with(message.clone()));
    assert_up(&memory, &with([&message[..], &[0]].concat()));
    assert_up(&memory, &with(message[..7].to_vec()));
    assert_up(&memory, &with(message[..3].to_vec()));
    assert_up(&memory, &with(Vec::new()));
    assert_up(&memory, &to_peer(false, channel::UNBOUND, b"data"));
    assert_up(&memory, &with([&[0x50, 0x00], &message[2..]].concat()));
}

#[test]
fn channel_numbers_of_rfc_5766_are_relayed() {
    let got = sent(&in_memory(), &to_peer(false, channel::OLD, b"data"));
    assert_eq!((got.destination, got.payload), (peer(false), b"data".to_vec()));
}

#[test]
fn a_channel_belongs_to_its_client() {
    let memory = in_memory();
    let mut packet = to_peer(false, channel::PLAIN, b"data");
    packet.source.set_port(5001);
    assert_up(&memory, &packet);
}

#[test]
fn short_requests_have_a_budget_for_each_prefix() {
    let memory = in_memory();
    let request = |last: u8, octets: usize| {
        let mut message = vec![0x00, 0x01];
        message.resize(octets, 0);
        Packet::new(SocketAddr::from(([192, 0, 2, last], 999)), listener(false), message)
    };
    for last in [1, 2, 3] {
        assert_eq!(memory.relay(&request(last, 20).frame()).0, Verdict::Up);
    }
    assert_dropped(&memory, &request(4, 20), DropReason::StunBudget);
    assert_up(&memory, &request(5, 132));
    let mut other_prefix = request(4, 20);
    other_prefix.source = socket("192.0.3.4:999");
    assert_eq!(memory.relay(&other_prefix.frame()).0, Verdict::Up);
    let mut indication = request(4, 20);
    indication.payload[1] = 0x16;
    assert_up(&memory, &indication);
    memory.settings.stun_request_cost_ns.store(0, Relaxed);
    assert_up(&memory, &request(4, 20));
}

#[test]
fn a_spent_time_to_live_is_dropped_and_a_live_one_spends() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let with = |hop_limit| Packet { hop_limit, ..to_peer(v6, channel::PLAIN + u16::from(v6), b"data") };
        for spent in [0, 1] {
            assert_dropped(&memory, &with(spent), DropReason::TtlExceeded);
        }
        assert_eq!(sent(&memory, &with(2)).hop_limit, 1);
        assert_eq!(sent(&memory, &with(255)).hop_limit, 254);
    }
}

#[test]
fn dscp_is_kept_or_marked_and_ecn_is_kept() {
    for v6 in FAMILIES {
        let memory = in_memory();
        let with = |channel| Packet { traffic_class: 0b1010_1011, ..to_peer(v6, channel, b"data") };
        assert_eq!(sent(&memory, &with(channel::PLAIN)).traffic_class, 0b1010_1011);
        assert_eq!(sent(&memory, &with(channel::PLAIN + 1)).traffic_class, 0b1010_1011);
        assert_eq!(sent(&memory, &with(channel::MARKED)).traffic_class, 46 << 2 | 0b11);
    }
}

#[test]
fn dont_fragment_is_copied_and_where_it_is_not_set_packets_are_told_apart() {
    let memory = in_memory();
    let with = |dont_fragment| Packet { dont_fragment, ..to_peer(false, channel::PLAIN, b"data") };
    let atomic = sent(&memory, &with(true));
    assert_eq!((atomic.dont_fragment, atomic.identification), (true, 0));
    let mut seen: Vec<u16> = (0..1000).map(|_| sent(&memory, &with(false)).identification).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1000);
}

#[test]
fn translated_packets_may_be_fragmented_up_to_1260_octets() {
    let memory = in_memory();
    let of = |ip_octets: usize| sent(&memory, &to_peer(true, channel::PLAIN, &vec![0; ip_octets - 28])).dont_fragment;
    assert!(!of(1260));
    assert!(of(1261));
}

#[test]
fn a_packet_that_outgrows_the_path_goes_up() {
    let memory = in_memory();
    let data = |ip_octets: usize, header: usize| vec![1; ip_octets - header];
    // 4 octets of ChannelData header to push.
    sent(&memory, &to_client(false, false, &data(1500 - 4, 28)));
    assert_up(&memory, &to_client(false, false, &data(1500 - 3, 28)));
    // 20 more for IPv6, 4 less without a channel.
    sent(&memory, &to_peer(false, channel::PLAIN + 1, &data(1500, 48)));
    assert_up(&memory, &to_peer(false, channel::PLAIN + 1, &data(1501, 48)));
}

#[test]
fn checksums_stay_absent_wrong_or_are_finished() {
    for c in FAMILIES {
        for p in FAMILIES {
            let memory = in_memory();
            let with = |checksum| Packet { checksum, ..to_peer(c, channel::PLAIN + u16::from(p), &rtp(3, 77)) };
            assert_eq!(sent(&memory, &with(Checksum::Wrong)).checksum, Seen::Wrong);
            assert_eq!(sent(&memory, &with(Checksum::Unfinished)).checksum, Seen::Right);
            match (c, p) {
                (false, false) => assert_eq!(sent(&memory, &with(Checksum::Zero)).checksum, Seen::Zero),
                // IPv6 has no absent checksum (RFC 8200 section 8.1).
                (false, true) => assert_eq!(sent(&memory, &with(Checksum::Zero)).checksum, Seen::Right),
                (true, _) => assert_up(&memory, &with(Checksum::Zero)),
            }
        }
    }
}

/// Data for which the checksum comes out as zero, which UDP writes as all ones.
#[test]
fn a_checksum_of_zero_is_written_as_all_ones() {
    let memory = in_memory();
    let all: Vec<bool> = (0..=u16::MAX)
        .map(|word| {
            let (verdict, frame) = memory.relay(&to_peer(false, channel::PLAIN, &word.to_be_bytes()).frame());
            assert!(matches!(verdict, Verdict::Send(_)));
            assert_ne!(read(&frame).checksum, Seen::Zero);
            frame[40..42] == [0xff, 0xff]
        })
        .collect();
    assert_eq!(all.iter().filter(|&&ones| ones).count(), 1);
}

#[test]
fn a_tag_is_taken_away_and_put_on() {
    for vlan in [None, Some(0x0123)] {
        for v6 in FAMILIES {
            let memory = in_memory();
            let with = |channel| Packet { vlan, ..to_peer(v6, channel, b"some data") };
            assert_eq!(sent(&memory, &with(channel::PLAIN)).vlan, None);
            let marked = with(channel::MARKED);
            assert_eq!(memory.relay(&marked.frame()).0, Verdict::Send(OTHER_INTERFACE));
            assert_eq!(sent(&memory, &marked).vlan, Some(VLAN_TCI));
        }
    }
}

#[test]
fn what_the_kernel_should_look_at_goes_up() {
    let memory = in_memory();
    for v6 in FAMILIES {
        let good = to_peer(v6, channel::PLAIN, b"some data to cut");
        sent(&memory, &good);
        let options = if v6 { 8 } else { 4 };
        assert_up(&memory, &Packet { options, ..good.clone() });
        assert_up(&memory, &Packet { protocol: 6, ..good.clone() });
        assert_up(&memory, &Packet { group_mac: true, ..good.clone() });
        for off in [-1, 1] {
            assert_up(&memory, &Packet { udp_length_off: off, ..good.clone() });
            assert_up(&memory, &Packet { ip_length_off: off, ..good.clone() });
        }
        let frame = good.frame();
        for cut in 1..frame.len() {
            assert_eq!(memory.relay(&frame[..frame.len() - cut]).0, Verdict::Up, "{cut} octets short");
        }
    }
    let v4 = to_peer(false, channel::PLAIN, b"some data");
    for fragment_word in [0x1234_2000, 0x1234_0001, 0x1234_8000] {
        assert_up(&memory, &Packet { fragment_word: Some(fragment_word), ..v4.clone() });
    }
    assert_up(&memory, &Packet { header_checksum_wrong: true, ..v4 });
}

#[test]
fn a_flow_of_two_families_goes_up() {
    for v6 in FAMILIES {
        assert_up(&in_memory(), &to_peer(v6, channel::TORN, b"data"));
    }
}

#[test]
fn octets_behind_the_packet_are_not_data() {
    let memory = in_memory();
    let got = sent(&memory, &Packet { trailer: 18, ..to_peer(false, channel::PLAIN, b"tiny") });
    assert_eq!((got.payload, got.trailer), (b"tiny".to_vec(), 18));
}

#[test]
fn a_route_is_asked_for_once_and_again_when_it_is_old() {
    let memory = in_memory();
    let packet = to_peer(false, channel::PLAIN, b"data");
    flow(&memory, &key(client(false), listener(false), channel::PLAIN)).next_hop.until_ns.store(0, Relaxed);
    assert_up(&memory, &packet);
    let route =
        Route { ifindex: 9, mtu: 1400, vlan_tci: 5, destination_mac: 0x0605_0403_0202, source_mac: 0x0c0b_0a09_0802 };
    memory.route.set(Some(route));
    for _ in 0..3 {
        let got = sent(&memory, &packet);
        assert_eq!((got.destination_mac, got.source_mac), ([2, 2, 3, 4, 5, 6], [2, 8, 9, 0xa, 0xb, 0xc]));
        assert_eq!(got.vlan, Some(5));
    }
    assert_eq!(memory.routes_asked.get(), 2);
    memory.now_ns.set(NOW_NS + NEXT_HOP_LIFETIME_NS);
    sent(&memory, &packet);
    assert_eq!(memory.routes_asked.get(), 3);
}

#[test]
fn a_driver_without_room_for_longer_headers_sends_the_packet_up() {
    let memory = in_memory();
    let frame = to_client(false, true, b"data").frame();
    let mut buffer = frame.clone();
    let end = buffer.len();
    let mut packet = raceway_datapath::Frame::new(&mut buffer, 0, end).expect("inside");
    let before = figures(&memory);
    // IPv6 to IPv4 with a channel shrinks, the other way grows.
    assert!(matches!(raceway_datapath::relay(&mut packet, &memory), Verdict::Send(_)));
    let frame = to_client(true, false, b"data").frame();
    let mut buffer = frame.clone();
    let end = buffer.len();
    let mut packet = raceway_datapath::Frame::new(&mut buffer, 0, end).expect("inside");
    let sent = figures(&memory);
    assert_ne!(sent, before);
    assert_eq!(raceway_datapath::relay(&mut packet, &memory), Verdict::Up);
    assert_eq!(packet.as_octets(), frame);
    assert_eq!(figures(&memory), sent);
}

/// Any frame: up means as it came; sent means right in every field, one hop less, and the payload as it was.
#[test]
fn rules_that_hold_for_any_frame() {
    let memory = in_memory();
    let mut random = Random(7);
    let mut verdicts = [0; 3];
    for _ in 0..40_000 {
        let frame = frame(&mut random);
        let before = figures(&memory);
        let (verdict, after) = memory.relay(&frame);
        match verdict {
            Verdict::Up => {
                assert_eq!(after, frame);
                verdicts[0] += 1;
            }
            Verdict::Drop => {
                assert_ne!(figures(&memory), before, "a drop is counted");
                verdicts[1] += 1;
            }
            Verdict::Send(ifindex) => {
                let got = read(&after);
                assert!(ifindex == SAME_INTERFACE || ifindex == OTHER_INTERFACE);
                assert_eq!(got.destination_mac, NEXT_MAC);
                verdicts[2] += 1;
            }
        }
    }
    assert!(verdicts.iter().all(|&count| count > 1000), "the generator reaches every verdict: {verdicts:?}");
}

/// A whole packet with a right checksum leaves with a right one, with a wrong one stays wrong.
#[test]
fn checksums_of_any_packet_are_as_right_as_they_came() {
    let memory = in_memory();
    let mut random = Random(11);
    for _ in 0..40_000 {
        let packet = random_packet(&mut random);
        if let (Verdict::Send(_), frame) = memory.relay(&packet.frame()) {
            let expected = match packet.checksum {
                Checksum::Right | Checksum::Unfinished => Seen::Right,
                Checksum::Wrong => Seen::Wrong,
                Checksum::Zero if read(&frame).destination.is_ipv4() => Seen::Zero,
                Checksum::Zero => Seen::Right,
            };
            assert_eq!(read(&frame).checksum, expected, "{packet:?}");
        }
    }
}
