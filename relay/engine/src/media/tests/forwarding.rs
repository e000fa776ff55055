//! Where packets go, and what is measured of them.

use super::*;

#[test]
fn rtp_and_rtcp_go_to_the_other_party_from_its_own_socket() {
    let mut world = World::new();
    let packet = rtp(0, 1, &[5; 160]);
    let sent = world.take(A_RTP, ALICE, &packet);
    assert_eq!(sent, [Sent { socket: B_RTP, to: BOB, traffic_class: 0xb9, octets: packet.clone() }]);
    let report = rtcp(201, 0, &[0x1234]);
    let sent = world.take(B_RTCP, rtcp_of(BOB), &report);
    assert_eq!((sent[0].socket, sent[0].to, &sent[0].octets), (A_RTCP, rtcp_of(ALICE), &report));
    let values = world.counters.values();
    let of = |counter: Counter| values[counter.index() as usize];
    assert_eq!(of(Counter::packets(Direction::ClientToPeer)), 1);
    assert_eq!(of(Counter::octets(Direction::ClientToPeer)), packet.len() as u64);
    assert_eq!(of(Counter::packets(Direction::PeerToClient)), 1);
}

#[test]
fn rtcp_changes_between_a_socket_of_its_own_and_that_of_rtp() {
    let muxed = LegSetup { rtcp: None, ..setup(B, &[A]) };
    let mut world = World::with([setup(A, &[B]), muxed]);
    let report = rtcp(201, 0, &[0x1234]);
    let sent = world.take(A_RTCP, rtcp_of(ALICE), &report);
    assert_eq!((sent[0].socket, sent[0].to), (B_RTP, BOB));
    let sent = world.take(B_RTP, BOB, &report);
    assert_eq!((sent[0].socket, sent[0].to), (A_RTCP, rtcp_of(ALICE)));
}

#[test]
fn the_packets_of_a_turn_leave_in_the_order_in_which_they_came() {
    let mut world = World::new();
    for sequence in 0..3 * LEG_BATCH as u16 {
        world.comes(A_RTP, ALICE, &rtp(0, sequence, &[1]));
        world.comes(B_RTP, BOB, &rtp(0, sequence, &[2]));
    }
    let sent = world.turn();
    for (socket, octet) in [(B_RTP, 1), (A_RTP, 2)] {
        let of_one: Vec<_> = sent.iter().filter(|sent| sent.socket == socket).map(|sent| sent.octets.clone()).collect();
        let expected: Vec<_> = (0..3 * LEG_BATCH as u16).map(|sequence| rtp(0, sequence, &[octet])).collect();
        assert_eq!(of_one, expected);
    }
}

#[test]
fn a_leg_leads_to_several_each_with_its_own_payload_types() {
    let mut from = setup(A, &[B, C]);
    from.routes[0].payload_types = Box::new([(96, 111)]);
    let mut world = World::with([from, setup(B, &[]), setup(C, &[])]);
    let mut marked = rtp(96, 1, &[9; 20]);
    marked[1] |= 0x80;
    let sent = world.take(A_RTP, ALICE, &marked);
    assert_eq!(
        sent.iter().map(|sent| (sent.to, sent.octets[1])).collect::<Vec<_>>(),
        [(BOB, 0x80 | 111), (CAROL, 0x80 | 96)]
    );
    assert!(sent.iter().all(|sent| sent.octets[2..] == marked[2..]));
}

#[test]
fn without_a_buffer_for_a_copy_the_last_target_still_gets_its_packet() {
    let mut world = World::with([setup(A, &[B, C]), setup(B, &[]), setup(C, &[])]);
    world.desk.copies = 0;
    let sent = world.take(A_RTP, ALICE, &rtp(0, 1, &[1]));
    assert_eq!(sent.iter().map(|sent| sent.to).collect::<Vec<_>>(), [CAROL]);
    assert_eq!(world.drops(A, DropReason::NoBuffer), (1, 1));
}

#[test]
fn media_that_leads_nowhere_is_counted() {
    let mut world = World::with([setup(A, &[])]);
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[1]), DropReason::MediaUnrouted);
    world.refuses(B_RTP, BOB, &rtp(0, 1, &[1]), DropReason::MediaUnrouted);
    let unknown = LegSetup { rtp: (B_RTP, None), learning: Learning::Immediate, ..setup(B, &[A]) };
    let mut world = World::with([setup(A, &[B]), unknown]);
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[1]), DropReason::MediaUnrouted);
    assert_eq!(world.figures[0].received.rtp[0].load(Relaxed), 1, "it was accepted, and had nowhere to go");
    world.take(B_RTP, MALLORY, &rtp(0, 1, &[1]));
    assert_eq!(world.take(A_RTP, ALICE, &rtp(0, 2, &[1]))[0].to, MALLORY, "learned");
}

#[test]
fn a_route_leads_to_a_leg_that_comes_later_and_to_no_other_with_its_number() {
    let mut world = World::with([setup(A, &[])]);
    let mut early = setup(A, &[B]);
    early.routes[0].leg = NO_LEG;
    world.put(&early);
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[1]), DropReason::MediaUnrouted);
    world.put(&setup(B, &[]));
    world.media.set_route(A, 0, B);
    assert_eq!(world.take(A_RTP, ALICE, &rtp(0, 2, &[1])).len(), 1);
    assert!(world.media.remove(B).is_some());
    let stranger = LegSetup { session: SESSION + 1, ..setup(B, &[]) };
    world.put(&stranger);
    world.refuses(A_RTP, ALICE, &rtp(0, 3, &[1]), DropReason::MediaUnrouted);
}

#[test]
fn a_leg_that_is_gone_hears_and_gets_nothing() {
    let mut world = World::new();
    assert!(world.media.remove(B).is_some());
    assert!(world.media.remove(B).is_none());
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[1]), DropReason::MediaUnrouted);
    world.refuses(B_RTP, BOB, &rtp(0, 1, &[1]), DropReason::MediaUnrouted);
    world.refuses(B_RTCP, rtcp_of(BOB), &rtcp(201, 0, &[1]), DropReason::MediaUnrouted);
}

#[test]
fn legs_that_share_a_socket_are_told_apart_by_payload_type_and_sender() {
    let bundled = |number, payload_type, to: u32| {
        let format = Format { payload_type, codec: Codec::Other, clock_hz: 90_000 };
        let (rtp, bundled) = ((A_RTP, Some(ALICE)), Some(Box::default()));
        LegSetup { rtp, rtcp: None, formats: vec![format], bundled, ..setup(number, &[to]) }
    };
    let mut world = World::with([bundled(A, 111, C), bundled(B, 96, C), setup(C, &[])]);
    let heard = |world: &World| [0, 1].map(|leg: usize| world.figures[leg].received.rtp[0].load(Relaxed));
    world.take(A_RTP, ALICE, &rtp_of(1, 111, 1, 0, &[1]));
    assert_eq!(heard(&world), [1, 0]);
    world.take(A_RTP, ALICE, &rtp_of(2, 96, 1, 0, &[1]));
    assert_eq!(heard(&world), [1, 1]);
    for (sender, expected) in [(1, [1, 0]), (2, [1, 1])] {
        world.take(A_RTP, ALICE, &rtcp(201, 0, &[sender]));
        assert_eq!([0, 1].map(|leg: usize| world.figures[leg].received.rtcp[0].load(Relaxed)), expected);
    }
    assert!(world.media.remove(B).is_some());
    world.take(A_RTP, ALICE, &rtp_of(2, 96, 2, 0, &[1]));
    assert_eq!(heard(&world), [2, 1], "alone, a leg gets all");
}

#[test]
fn a_leg_that_leaves_a_shared_socket_leaves_it_to_all_the_others() {
    for gone in [A, B, C] {
        let bundled = |number, payload_type| {
            let format = Format { payload_type, codec: Codec::Other, clock_hz: 90_000 };
            LegSetup { rtp: (A_RTP, Some(ALICE)), rtcp: None, formats: vec![format], ..setup(number, &[]) }
        };
        let mut world = World::with([bundled(A, 96), bundled(B, 97), bundled(C, 98)]);
        assert!(world.media.remove(gone).is_some());
        for (leg, payload_type) in [(A, 96), (B, 97), (C, 98)].into_iter().filter(|(leg, _)| *leg != gone) {
            world.take(A_RTP, ALICE, &rtp(payload_type, 1, &[1]));
            assert_eq!(world.figures[leg as usize].received.rtp[0].load(Relaxed), 1, "{gone} is gone, {leg} is not");
        }
    }
}

#[test]
fn figures_tell_loss_order_jitter_and_sources() {
    let mut world = World::new();
    for sequence in [1, 2, 2, 5, 4] {
        world.wait(20);
        world.take(A_RTP, ALICE, &rtp(0, sequence, &[0; 160]));
    }
    world.take(A_RTP, ALICE, &rtp_of(0x99, 0, 1, 0, &[0; 160]));
    let figures = &world.figures[0];
    let streams = figures.streams();
    let first = streams.iter().find(|stream| stream.rtp.ssrc.load(Relaxed) == 0x1234).expect("measured");
    let rtp = &first.rtp;
    let of = |figure: &core::sync::atomic::AtomicU32| figure.load(Relaxed);
    assert_eq!((of(&rtp.received), of(&rtp.lost), of(&rtp.reordered), of(&first.duplicated)), (5, 1, 1, 1));
    assert!(of(&first.jitter_max_q4) >= of(&rtp.jitter_q4) && of(&rtp.jitter_q4) > 0);
    assert_eq!((streams.len(), figures.ssrc_changes.load(Relaxed)), (2, 1));
    assert_eq!(figures.last_rtp_ns.load(Relaxed), world.now.as_ns());
    assert_eq!(world.figures[1].sent.rtp[0].load(Relaxed), 6);
}

#[test]
fn of_many_sources_the_last_four_are_measured_each_from_its_own_beginning() {
    let mut world = World::new();
    for ssrc in 1..=5 {
        world.wait(1);
        for sequence in [10, 12] {
            world.take(A_RTP, ALICE, &rtp_of(ssrc, 0, sequence, 0, &[0; 160]));
        }
    }
    let measured = world.figures[0].streams();
    let told =
        measured.iter().map(|s| (s.rtp.ssrc.load(Relaxed), s.rtp.received.load(Relaxed), s.rtp.lost.load(Relaxed)));
    assert_eq!(told.collect::<Vec<_>>(), [(5, 2, 1), (4, 2, 1), (3, 2, 1), (2, 2, 1)]);
}

#[test]
fn the_clock_rate_of_a_dynamic_payload_type_is_known_from_the_first_packet() {
    let mut world = World::new();
    world.take(A_RTP, ALICE, &rtp(96, 1, &[0; 20]));
    assert_eq!(world.figures[0].streams()[0].rtp.clock_hz.load(Relaxed), 48_000);
}

#[test]
fn the_round_trip_to_a_party_is_known_by_its_reports_on_what_we_sent_it() {
    let mut world = World::new();
    let sender_report = rtcp(200, 0, &[0x55, 0x1111_2222, 0x3333_4444, 0, 0, 0]);
    world.take(A_RTCP, rtcp_of(ALICE), &sender_report);
    world.wait(150);
    // Bob held it for 100 ms.
    let report = |last| rtcp(201, 1, &[0x66, 0x55, 0, 0, 0, last, 65_536 / 10]);
    world.take(B_RTCP, rtcp_of(BOB), &report(0x9999_9999));
    assert_eq!(world.figures[1].round_trip_us(), None, "on nothing that we know of");
    world.take(B_RTCP, rtcp_of(BOB), &report(0x2222_3333));
    let us = world.figures[1].round_trip_us().expect("known");
    assert!((50_000..50_100).contains(&us), "{us}");
}

#[test]
fn over_its_rate_a_socket_drops_whatever_comes_and_others_do_not() {
    let stun = Punts { stun: true, dtls: false };
    let mut world = World::with([LegSetup { punt: stun, ..setup(A, &[B]) }, setup(B, &[A])]);
    world.media.set_policer(A_RTP, 0);
    // 200 octets, and nothing more for a long time.
    let policer = &world.media.policers[0];
    policer.ns_per_octet_q20.store(1_000_000_000 << 20, Relaxed);
    policer.burst_ns.store(200_000_000_000, Relaxed);
    assert_eq!(world.take(A_RTP, ALICE, &rtp(0, 1, &[0; 160])).len(), 1);
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    for datagram in [&rtp(0, 2, &[0; 160])[..], &binding, &[22; 40], &[0xff; 9]] {
        world.refuses(A_RTP, MALLORY, datagram, DropReason::Policed);
    }
    assert_eq!((world.drops(A, DropReason::Policed), world.punted), ((4, 4), 0));
    assert_eq!(world.take(A_RTCP, rtcp_of(ALICE), &rtcp(201, 0, &[1])).len(), 1);
    assert_eq!(world.take(B_RTP, BOB, &rtp(0, 1, &[0; 160])).len(), 1);
}

#[test]
fn what_is_learned_is_told_and_outlives_a_change_of_the_leg() {
    let learning = LegSetup { learning: Learning::Immediate, ..setup(A, &[B]) };
    let mut world = World::with([learning.clone(), setup(B, &[A])]);
    world.take(A_RTP, CAROL, &rtp(0, 1, &[1]));
    assert_eq!(world.news(), [(A, News::Learned(false, CAROL, true)), (A, News::FirstPacket(0x1234, 0))]);
    assert_eq!(world.take(B_RTP, BOB, &rtp(0, 1, &[1]))[0].to, CAROL);
    assert_eq!(world.figures[0].remotes()[0], (Some(CAROL), true));
    let strict = LegSetup { source: SourcePolicy::Strict, ..learning };
    world.put(&strict);
    assert_eq!(world.take(B_RTP, BOB, &rtp(0, 2, &[1]))[0].to, CAROL);
    world.refuses(A_RTP, MALLORY, &rtp(0, 2, &[1]), DropReason::MediaSource);
    assert_eq!(world.figures[0].streams()[0].rtp.received.load(Relaxed), 1, "what is refused is not measured");
    assert_eq!(world.take(B_RTP, BOB, &rtp(0, 3, &[1]))[0].to, CAROL, "and moves nothing");
}

#[test]
fn rtcp_is_learned_by_itself() {
    let learning = LegSetup { learning: Learning::Immediate, ..setup(A, &[B]) };
    let mut world = World::with([learning, setup(B, &[A])]);
    world.take(A_RTCP, CAROL, &rtcp(201, 0, &[1]));
    assert_eq!(world.news(), [(A, News::Learned(true, CAROL, true))]);
    assert_eq!(world.figures[0].remotes(), [(Some(ALICE), false), (Some(CAROL), true)]);
}
