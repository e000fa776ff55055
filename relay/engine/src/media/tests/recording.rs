//! What is recorded of a leg.

use core::sync::atomic::AtomicU64;

use raceway_api::MediaRule;
use raceway_srtp::Suite;

use super::secured::{Party, secured};
use super::*;

/// The same leg, recorded.
fn recorded(setup: LegSetup, lost: &Arc<AtomicU64>) -> LegSetup {
    LegSetup { tap: Some(Tap { recording: 3, lost: Arc::clone(lost) }), ..setup }
}

#[test]
fn what_a_party_says_is_recorded_opened_and_with_its_own_payload_type_and_source() {
    let (suite, lost) = (Suite::AeadAes128Gcm, Arc::default());
    let mut alice = secured(A, suite, 1, &[B]);
    alice.routes[0].payload_types = Box::new([(0, 8)]);
    let mut world = World::with([recorded(alice, &lost), setup(B, &[A])]);
    let mut phone = Party::new(suite, 1, 2);
    let packet = rtp(0, 1, &[5; 160]);
    assert_eq!(world.through(A_RTP, ALICE, &phone.protects(&packet)), rtp(8, 1, &[5; 160]));
    let report = rtcp(201, 0, &[0x1234]);
    world.take(A_RTCP, rtcp_of(ALICE), &phone.protects(&report));
    world.take(B_RTP, BOB, &rtp(0, 1, &[6; 160]));
    assert_eq!(
        world.desk.recorded,
        [(3, A_RTP, ALICE, packet), (3, A_RTCP, rtcp_of(ALICE), report)],
        "and of a leg that is not recorded, nothing"
    );
    assert_eq!(lost.load(Relaxed), 0);
}

#[test]
fn what_is_refused_or_blocked_is_not_recorded_and_what_is_silenced_is_silent() {
    let (suite, lost) = (Suite::Aes128CmSha1_80, Arc::default());
    let mut world = World::with([recorded(secured(A, suite, 1, &[B]), &lost), setup(B, &[A])]);
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[5; 160]), DropReason::SrtpAuthentication);
    let mut phone = Party::new(suite, 1, 2);
    let mut put = |media, block_dtmf| {
        let rules = LegRules { media, block_dtmf, ..LegRules::default() };
        world.put(&recorded(LegSetup { rules, ..secured(A, suite, 1, &[B]) }, &lost));
        world.take(A_RTP, ALICE, &phone.protects(&rtp(0, 2, &[5; 160])));
        world.take(A_RTP, ALICE, &phone.protects(&rtp(101, 3, &[1, 0, 0, 160])));
        phone = Party::new(suite, 1, 2);
        world.put(&setup(A, &[B]));
        core::mem::take(&mut world.desk.recorded).into_iter().map(|(.., octets)| octets).collect::<Vec<_>>()
    };
    assert_eq!(put(MediaRule::Block, false), <[Vec<u8>; 0]>::default());
    assert_eq!(put(MediaRule::Silence, false), [rtp(0, 2, &[0xff; 160])]);
    assert_eq!(put(MediaRule::Pass, true), [rtp(0, 2, &[5; 160])], "keys that nobody is to hear");
}

#[test]
fn what_comes_before_there_is_anybody_to_hear_it_is_recorded() {
    let lost = Arc::default();
    let mut world = World::with([recorded(setup(A, &[]), &lost)]);
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[5; 160]), DropReason::MediaUnrouted);
    assert_eq!(world.desk.recorded.len(), 1);
}

#[test]
fn packets_that_nobody_here_can_read_are_not_recorded() {
    let lost = Arc::default();
    let opaque =
        |number, to: &[u32]| LegSetup { receive: Protection::Opaque, send: Protection::Opaque, ..setup(number, to) };
    let mut world = World::with([recorded(opaque(A, &[B]), &lost), opaque(B, &[A])]);
    world.take(A_RTP, ALICE, &rtp(0, 1, &[5; 160]));
    assert_eq!(world.desk.recorded, []);
}

#[test]
fn without_room_packets_are_counted_and_pass_all_the_same() {
    let lost = Arc::default();
    let mut world = World::with([recorded(setup(A, &[B]), &lost), setup(B, &[A])]);
    world.desk.room = 2;
    for sequence in 0..5 {
        assert_eq!(world.take(A_RTP, ALICE, &rtp(0, sequence, &[5; 160])).len(), 1);
    }
    assert_eq!((world.desk.recorded.len(), lost.load(Relaxed)), (2, 3));
}
