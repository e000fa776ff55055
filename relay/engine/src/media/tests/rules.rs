//! What the rules of a leg make of its packets.

use raceway_api::{Dtmf, MediaRule};

use super::*;

/// Two legs, of which the first has these rules.
fn with_rules(rules: LegRules) -> World {
    World::with([LegSetup { rules, ..setup(A, &[B]) }, setup(B, &[A])])
}

#[test]
fn blocked_media_is_dropped_and_its_reports_are_not() {
    let mut world = with_rules(LegRules { media: MediaRule::Block, ..LegRules::default() });
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[1]), DropReason::MediaBlocked);
    assert_eq!(world.drops(A, DropReason::MediaBlocked), (1, 1));
    assert_eq!(world.take(A_RTCP, rtcp_of(ALICE), &rtcp(201, 0, &[1])).len(), 1);
    assert_eq!(world.take(B_RTP, BOB, &rtp(0, 1, &[1])).len(), 1, "the other way");
    assert_eq!(world.figures[0].streams()[0].rtp.received.load(Relaxed), 1, "it is measured all the same");
}

#[test]
fn silenced_media_has_the_silence_of_its_codec() {
    let mut world = with_rules(LegRules { media: MediaRule::Silence, ..LegRules::default() });
    let got = world.through(A_RTP, ALICE, &rtp(0, 1, &[5; 160]));
    assert_eq!(got, rtp(0, 1, &[0xff; 160]));
    let got = world.through(A_RTP, ALICE, &rtp(96, 2, &[5; 60]));
    assert_eq!(got, rtp(96, 2, &[0xf8, 0xff, 0xfe]));
    world.refuses(A_RTP, ALICE, &rtp(101, 3, &[1, 0, 0, 160]), DropReason::MediaBlocked);
    world.refuses(A_RTP, ALICE, &rtp(35, 4, &[1]), DropReason::MediaBlocked);
}

#[test]
fn padding_of_a_silenced_packet_goes() {
    let mut world = with_rules(LegRules { media: MediaRule::Silence, ..LegRules::default() });
    let mut padded = rtp(0, 1, &[5, 5, 5, 5, 0, 0, 0, 4]);
    padded[0] |= 0x20;
    assert_eq!(world.through(A_RTP, ALICE, &padded), rtp(0, 1, &[0xff; 4]));
}

#[test]
fn keys_are_told_once_and_blocked_if_they_are_to_be() {
    for block_dtmf in [false, true] {
        let mut world = with_rules(LegRules { detect_dtmf: true, block_dtmf, ..LegRules::default() });
        let event = |sequence, payload: [u8; 4]| rtp_of(0x1234, 101, sequence, 800, &payload);
        let packets = [event(1, [5, 10, 0, 160]), event(2, [5, 0x8a, 1, 64]), event(3, [5, 0x8a, 1, 64])];
        let left: usize = packets.iter().map(|packet| world.take(A_RTP, ALICE, packet).len()).sum();
        assert_eq!(left, if block_dtmf { 0 } else { 3 });
        let dtmf = Dtmf { event: 5, volume: 10, duration_ms: 40, payload_type: 101 };
        assert_eq!(world.news(), [(A, News::FirstPacket(0x1234, 101)), (A, News::Dtmf(dtmf))]);
    }
}

#[test]
fn a_key_whose_end_is_lost_is_told_when_speech_goes_on() {
    let mut world = with_rules(LegRules { detect_dtmf: true, ..LegRules::default() });
    world.take(A_RTP, ALICE, &rtp_of(0x1234, 101, 1, 800, &[7, 3, 0, 160]));
    world.take(A_RTP, ALICE, &rtp(0, 2, &[0; 160]));
    assert_eq!(world.news().len(), 1, "only the first packet so far");
    world.wait(600);
    world.take(A_RTP, ALICE, &rtp(0, 3, &[0; 160]));
    let dtmf = Dtmf { event: 7, volume: 3, duration_ms: 20, payload_type: 101 };
    assert_eq!(world.news(), [(A, News::Dtmf(dtmf))]);
}

#[test]
fn what_goes_to_a_party_is_marked_as_its_leg_says_and_keeps_its_ecn() {
    let marked = LegSetup { rules: LegRules { dscp: Some(46), ..LegRules::default() }, ..setup(B, &[A]) };
    let mut world = World::with([setup(A, &[B]), marked]);
    assert_eq!(world.take(A_RTP, ALICE, &rtp(0, 1, &[1]))[0].traffic_class, 46 << 2 | 1);
    assert_eq!(world.take(B_RTP, BOB, &rtp(0, 1, &[1]))[0].traffic_class, 0xb9);
}

#[test]
fn feedback_reaches_only_who_speaks_avpf() {
    let report = rtcp(201, 0, &[1]);
    let (nack, pli) = (rtcp(205, 1, &[1, 2, 3]), rtcp(206, 1, &[1, 2]));
    let compound = [&report[..], &nack].concat();
    let mut world = World::new();
    assert_eq!(world.through(A_RTCP, rtcp_of(ALICE), &compound), report);
    world.refuses(A_RTCP, rtcp_of(ALICE), &pli, DropReason::RtcpFeedback);
    let avpf = LegSetup { rules: LegRules { feedback: true, ..LegRules::default() }, ..setup(B, &[A]) };
    world.put(&avpf);
    assert_eq!(world.through(A_RTCP, rtcp_of(ALICE), &compound), compound);
    assert_eq!(world.through(A_RTCP, rtcp_of(ALICE), &pli), pli);
}

#[test]
fn of_two_receivers_each_gets_the_feedback_that_it_wants() {
    let avpf = LegSetup { rules: LegRules { feedback: true, ..LegRules::default() }, ..setup(C, &[]) };
    let mut world = World::with([setup(A, &[B, C]), setup(B, &[]), avpf]);
    let (report, pli) = (rtcp(201, 0, &[1]), rtcp(206, 1, &[1, 2]));
    let compound = [&report[..], &pli].concat();
    let sent = world.take(A_RTCP, rtcp_of(ALICE), &compound);
    assert_eq!(sent.iter().map(|sent| sent.octets.clone()).collect::<Vec<_>>(), [report, compound]);
}
