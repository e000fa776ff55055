//! ChannelData and plain datagrams.

use raceway_datapath::police;

use super::*;
use crate::Forward;

fn forward(egress: u32, to: Endpoint, payload: core::ops::Range<usize>) -> Verdict {
    Verdict::Forward(Forward { egress, to, payload, dont_fragment: false, dscp: KEEP_DSCP })
}

#[test]
fn channel_data_leaves_without_its_header_and_padding() {
    let mut world = World::with_call();
    let mut payload = channel_data(b"hello");
    payload.extend_from_slice(&[0; 3]);
    let (verdict, sent) = world.client_sends(&payload);
    assert_eq!(verdict, forward(FROM_RELAYED, PEER, HEADROOM + 4..HEADROOM + 9));
    assert_eq!(sent, b"hello");
    assert_eq!(world.relayed(Direction::ClientToPeer), (1, 5));
    let measured = &world.flow(&key(CLIENT, LISTENER, CHANNEL)).measured;
    assert_eq!((measured.packets.load(Relaxed), measured.octets.load(Relaxed)), (1, 5));
    assert_eq!(measured.last_ns.load(Relaxed), NOW.as_ns());
}

#[test]
fn a_datagram_of_a_channels_peer_gets_its_header() {
    let mut world = World::with_call();
    let (verdict, sent) = world.peer_sends(PEER, b"hello");
    assert_eq!(verdict, forward(FROM_LISTENER, CLIENT, HEADROOM - 4..HEADROOM + 5));
    assert_eq!(sent, channel_data(b"hello"));
    assert_eq!(world.relayed(Direction::PeerToClient), (1, 5));
}

#[test]
fn rtp_is_measured_under_the_framing() {
    let mut world = World::with_call();
    let rtp = |sequence: u16| {
        let mut packet = vec![0x80, 0];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 9]);
        packet
    };
    for sequence in [5, 6, 8] {
        world.client_sends(&channel_data(&rtp(sequence)));
    }
    let measured = &world.flow(&key(CLIENT, LISTENER, CHANNEL)).measured.rtp;
    assert_eq!((measured.received.load(Relaxed), measured.lost.load(Relaxed)), (3, 1));
}

#[test]
fn each_broken_rule_of_a_client_has_its_reason() {
    for (payload, reason) in [
        (&[][..], DropReason::UnknownProtocol),
        (&[0x80, 0, 0, 0], DropReason::UnknownProtocol),
        (&[0x16, 0xfe, 0xfd], DropReason::UnknownProtocol),
        (&[0x40, 1, 0], DropReason::MalformedChannelData),
        (&[0x40, 1, 0, 2, 9], DropReason::MalformedChannelData),
        (&[0x40, 2, 0, 0], DropReason::UnboundChannel),
        (&[0, 1, 0, 0], DropReason::MalformedStun),
    ] {
        let mut world = World::with_call();
        assert_eq!(world.client_sends(payload).0, Verdict::Drop(reason), "{payload:?}");
        assert_eq!(world.drops(reason), 1);
    }
}

#[test]
fn another_client_cannot_use_the_channel() {
    let mut world = World::with_call();
    for stranger in [v4([10, 0, 0, 9], 4001), v4([10, 0, 0, 8], 4000)] {
        let (verdict, _) = world.take(Arrival::Listener, stranger, LISTENER, &channel_data(b"x"));
        assert_eq!(verdict, Verdict::Drop(DropReason::UnboundChannel));
    }
    let (verdict, _) = world.take(Arrival::Listener, CLIENT, v4([10, 0, 0, 1], 3479), &channel_data(b"x"));
    assert_eq!(verdict, Verdict::Drop(DropReason::UnboundChannel));
}

#[test]
fn an_expired_channel_counts_as_absent() {
    let mut world = World::with_call();
    world.expire(&key(CLIENT, LISTENER, CHANNEL));
    assert_eq!(world.client_sends(&channel_data(b"x")).0, Verdict::Drop(DropReason::Expired));
    assert_eq!(world.flow(&key(CLIENT, LISTENER, CHANNEL)).measured.dropped.load(Relaxed), 1);
    // Towards the client the permission takes over, then nothing does.
    world.expire(&key(PEER, RELAYED, CHANNEL_NONE));
    let (verdict, sent) = world.peer_sends(PEER, b"x");
    assert!(matches!(verdict, Verdict::Forward(_)));
    assert_eq!(sent[..2], [0x00, 0x17]);
    world.expire(&key(PEER, RELAYED, CHANNEL_NONE).any_port());
    assert_eq!(world.peer_sends(PEER, b"x").0, Verdict::Drop(DropReason::Expired));
}

#[test]
fn a_peer_without_permission_is_refused() {
    let mut world = World::with_call();
    assert_eq!(world.peer_sends(v4([192, 0, 2, 8], 6000), b"x").0, Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.drops(DropReason::NoPermission), 1);
}

#[test]
fn over_its_rate_a_flow_drops_and_says_so() {
    let mut world = World::with_call();
    let limited = FlowSpec { policer: 2, ..channel_out(v4([10, 0, 0, 10], 1), RELAYED, PEER) };
    world.put(limited, [FROM_RELAYED, 0]);
    world.policers[2].ns_per_octet_q20.store(police::ns_per_octet_q20(8_000), Relaxed);
    world.policers[2].burst_ns.store(100_000_000, Relaxed);
    let client = v4([10, 0, 0, 10], 1);
    let mut send = |size| world.take(Arrival::Listener, client, LISTENER, &channel_data(&vec![0; size])).0;
    // 100 octets with the headers: the whole burst.
    assert!(matches!(send(72), Verdict::Forward(_)));
    assert_eq!(send(0), Verdict::Drop(DropReason::Policed));
    let flow = world.flow(&limited.key);
    assert_eq!((flow.measured.packets.load(Relaxed), flow.measured.dropped.load(Relaxed)), (1, 1));
}

#[test]
fn a_flow_that_drops_does() {
    let mut world = World::with_call();
    let muted = v4([192, 0, 2, 9], 7000);
    world.put(spec(key(muted, RELAYED, CHANNEL_NONE), Action::Drop, LISTENER, CLIENT), [0, 0]);
    assert_eq!(world.peer_sends(muted, b"x").0, Verdict::Drop(DropReason::FlowDrops));
}

#[test]
fn a_flow_to_another_of_ours_needs_it_to_be_there() {
    let mut world = World::with_call();
    let (other, client) = (v4([10, 0, 0, 2], 50_001), v4([10, 0, 0, 11], 1));
    world.put(to_own(channel_out(client, RELAYED, other)), [FROM_RELAYED, 0]);
    let send = |world: &mut World| world.take(Arrival::Listener, client, LISTENER, &channel_data(b"x")).0;
    assert_eq!(send(&mut world), Verdict::Drop(DropReason::NoPermission));
    world.put(refuse(other, other), [0, 0]);
    assert!(matches!(send(&mut world), Verdict::Forward(forward) if forward.to == other));
    world.expire(&refuse(other, other).key);
    assert_eq!(send(&mut world), Verdict::Drop(DropReason::NoPermission));
}

#[test]
fn a_flow_changes_dscp_when_it_says_so() {
    let mut world = World::with_call();
    let client = v4([10, 0, 0, 12], 1);
    world.put(FlowSpec { dscp: 46, ..channel_out(client, RELAYED, PEER) }, [FROM_RELAYED, 0]);
    let (verdict, _) = world.take(Arrival::Listener, client, LISTENER, &channel_data(b"x"));
    assert!(matches!(verdict, Verdict::Forward(Forward { dscp: 46, .. })));
}

#[test]
fn families_cross() {
    let mut world = World::with_call();
    let (client, relayed, peer) = (v4([10, 0, 0, 13], 1), v6(1, 50_000), v6(2, 60));
    world.put(channel_out(client, relayed, peer), [FROM_RELAYED_V6, 0]);
    let (verdict, sent) = world.take(Arrival::Listener, client, LISTENER, &channel_data(b"six"));
    assert_eq!(verdict, forward(FROM_RELAYED_V6, peer, HEADROOM + 4..HEADROOM + 7));
    assert_eq!(sent, b"six");
}

/// A flow of an anchored leg: from [`PEER`] to `MEDIA`, sent on to [`CLIENT`].
fn anchor() -> FlowSpec {
    FlowSpec {
        flags: FLAG_MEDIA_ONLY,
        dscp: 46,
        ..spec(key(PEER, MEDIA, CHANNEL_NONE), Action::Forward, OTHER_MEDIA, CLIENT)
    }
}

const MEDIA: Endpoint = v4([10, 0, 0, 2], 30_000);
const OTHER_MEDIA: Endpoint = v4([10, 0, 0, 2], 30_002);
const FROM_MEDIA: u32 = 4;

fn at_media(world: &mut World, remote: Endpoint, payload: &[u8]) -> Verdict {
    world.take(Arrival::Media, remote, MEDIA, payload).0
}

#[test]
fn an_anchored_leg_is_passed_by_its_rtp_and_rtcp_and_by_nothing_else() {
    let mut world = World::new();
    world.put(anchor(), [FROM_MEDIA, 0]);
    for first_octet in 0..=255 {
        let payload = [first_octet; 40];
        let verdict = at_media(&mut world, PEER, &payload);
        if (128..=191).contains(&first_octet) {
            let forward = Forward {
                egress: FROM_MEDIA,
                to: CLIENT,
                payload: HEADROOM..HEADROOM + 40,
                dont_fragment: false,
                dscp: 46,
            };
            assert_eq!(verdict, Verdict::Forward(forward));
        } else {
            assert_eq!(verdict, Verdict::Leg, "{first_octet}");
        }
    }
    assert_eq!(at_media(&mut world, PEER, &[]), Verdict::Leg);
    assert_eq!(world.flow(&anchor().key).measured.packets.load(Relaxed), 64);
}

#[test]
fn what_no_live_flow_takes_at_a_media_address_is_for_the_legs() {
    let mut world = World::new();
    assert_eq!(at_media(&mut world, PEER, &[0x80; 40]), Verdict::Leg);
    world.put(anchor(), [FROM_MEDIA, 0]);
    let stranger = Endpoint { port: 9, ..PEER };
    assert_eq!(at_media(&mut world, stranger, &[0x80; 40]), Verdict::Leg);
    world.expire(&anchor().key);
    assert_eq!(at_media(&mut world, PEER, &[0x80; 40]), Verdict::Leg, "the stream comes back to its leg");
}

#[test]
fn a_blocked_stream_is_dropped_before_its_leg() {
    let mut world = World::new();
    world.put(FlowSpec { action: Action::Drop, flags: 0, ..anchor() }, [0, 0]);
    assert_eq!(at_media(&mut world, PEER, &[0x80; 40]), Verdict::Drop(DropReason::FlowDrops));
}

#[test]
fn an_anchored_leg_that_leads_to_another_address_of_ours_needs_one_that_is_open() {
    let mut world = World::new();
    let inner = v4([10, 0, 0, 2], 30_004);
    let hairpin = FlowSpec { destination_port: inner.port, destination: inner.address, ..to_own(anchor()) };
    let hairpin = FlowSpec { flags: hairpin.flags | FLAG_MEDIA_ONLY, ..hairpin };
    world.put(hairpin, [FROM_MEDIA, 0]);
    assert_eq!(at_media(&mut world, PEER, &[0x80; 40]), Verdict::Drop(DropReason::NoPermission));
    let gate = key(inner, inner, CHANNEL_NONE).any_remote();
    world.put(spec(gate, Action::Worker, inner, Endpoint::default()), [0, 0]);
    assert!(matches!(at_media(&mut world, PEER, &[0x80; 40]), Verdict::Forward(forward) if forward.to == inner));
}
