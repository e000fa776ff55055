//! What nobody should send.

use proptest::prelude::*;
use raceway_srtp::{MasterKey, Suite};

use super::*;

fn stun() -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&[7; 12]);
    message
}

/// A DTLS 1.2 record.
fn dtls() -> Vec<u8> {
    vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
}

#[test]
fn stun_and_dtls_go_to_control_if_the_leg_wants_them() {
    let mut world = World::new();
    world.refuses(A_RTP, ALICE, &stun(), DropReason::UnknownProtocol);
    world.refuses(A_RTP, ALICE, &dtls(), DropReason::UnknownProtocol);
    world.put(&LegSetup { punt: Punts { stun: true, dtls: false }, ..setup(A, &[B]) });
    world.take(A_RTP, MALLORY, &stun());
    assert_eq!(world.punted, 1);
    world.refuses(A_RTP, ALICE, &dtls(), DropReason::UnknownProtocol);
    world.put(&LegSetup { punt: Punts { stun: true, dtls: true }, ..setup(A, &[B]) });
    world.take(A_RTCP, ALICE, &dtls());
    assert_eq!(world.punted, 2);
    world.refuses(A_RTP, ALICE, &stun()[..19], DropReason::MalformedStun);
}

#[test]
fn a_flood_at_one_leg_takes_nothing_from_what_another_may_hand_to_control() {
    let punts = |number, to| LegSetup { punt: Punts { stun: true, dtls: true }, ..setup(number, &[to]) };
    let mut world = World::with([punts(A, B), punts(B, A)]);
    for _ in 0..10_000 {
        world.comes(A_RTP, MALLORY, &stun());
    }
    world.turn();
    let burst = crate::limits::LEG_PUNT_BURST as usize;
    assert_eq!(world.punted, burst);
    assert_eq!(world.drops(A, DropReason::LegBudget), (10_000 - burst as u64, 10_000 - burst as u64));
    world.take(B_RTP, BOB, &stun());
    assert_eq!(world.punted, burst + 1);
    world.wait(1000);
    world.take(A_RTP, ALICE, &stun());
    assert_eq!(world.punted, burst + 2, "it comes back");
}

#[test]
fn a_flood_of_strangers_leaves_a_party_what_it_tells_control() {
    let mut world =
        World::with([LegSetup { punt: Punts { stun: true, dtls: true }, ..setup(A, &[B]) }, setup(B, &[A])]);
    for _ in 0..1000 {
        world.comes(A_RTP, MALLORY, &stun());
    }
    let strangers = world.punted;
    world.comes(A_RTP, ALICE, &stun());
    world.comes(A_RTCP, rtcp_of(ALICE), &dtls());
    assert_eq!(world.punted, strangers + 2);
    for _ in 0..1000 {
        world.comes(A_RTP, ALICE, &stun());
    }
    assert_eq!(world.punted, 2 * strangers, "it has a limit of its own");
}

#[test]
fn what_is_neither_rtp_nor_rtcp_is_dropped_for_its_reason() {
    let mut world = World::new();
    let malformed: [&[u8]; 7] = [
        &[0x80],
        &rtp(0, 1, &[])[..11],
        &[0x8f, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
        &[0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9],
        &[0x80, 200, 0, 9, 0, 0, 0, 1],
        &[0x80, 201, 0, 1],
        &[&rtcp(201, 0, &[1])[..], &[1]].concat(),
    ];
    for packet in malformed {
        world.refuses(A_RTP, ALICE, packet, DropReason::MalformedMedia);
    }
    world.refuses(A_RTCP, ALICE, &rtp(0, 1, &[1]), DropReason::MalformedMedia);
    for first_octet in [4, 19, 64, 127, 192, 255] {
        world.refuses(A_RTP, ALICE, &[first_octet; 40], DropReason::UnknownProtocol);
    }
    world.refuses(A_RTP, ALICE, &[], DropReason::UnknownProtocol);
    assert_eq!(world.figures[0].received.rtp[0].load(Relaxed) + world.figures[0].received.rtcp[0].load(Relaxed), 0);
}

/// Numbers that name nothing.
#[test]
fn a_socket_or_leg_out_of_range_is_nobodys() {
    let mut world = World::new();
    world.refuses(4_000_000, ALICE, &rtp(0, 1, &[1]), DropReason::MediaUnrouted);
    let far = Leg::new(&LegSetup { rtp: (4_000_000, None), ..setup(C, &[]) }, Arc::default());
    assert!(world.media.put(NOW, 4_000_000, Box::new(far)).is_some(), "it comes back");
    world.media.set_route(4_000_000, 3, 5);
    world.media.set_route(A, 300, 5);
    assert!(world.media.remove(4_000_000).is_none());
}

fn protection() -> impl Strategy<Value = Protection> {
    let key =
        |suite: Suite| MasterKey::new(suite, &vec![1; suite.key_octets()], &vec![2; suite.salt_octets()]).unwrap();
    prop_oneof![
        Just(Protection::Plain),
        Just(Protection::Opaque),
        Just(Protection::Await),
        Just(Protection::Srtp(key(Suite::Aes128CmSha1_80))),
        Just(Protection::Srtp(key(Suite::AeadAes128Gcm))),
    ]
}

fn rules() -> impl Strategy<Value = LegRules> {
    use raceway_api::MediaRule::{Block, Pass, Silence};
    let media = prop_oneof![3 => Just(Pass), 1 => Just(Block), 2 => Just(Silence)];
    (media, any::<(bool, bool, bool)>(), prop::option::of(0..64_u8)).prop_map(|(media, flags, dscp)| {
        let (block_dtmf, detect_dtmf, feedback) = flags;
        LegRules { media, block_dtmf, detect_dtmf, feedback, dscp }
    })
}

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let media = (prop::sample::select(vec![0x80_u8, 0x90, 0xa0, 0xb1, 0x81]), any::<u8>());
    let octets = prop::collection::vec(any::<u8>(), 0..120);
    prop_oneof![
        4 => (media, octets.clone()).prop_map(|((first, second), rest)| [&[first, second][..], &rest].concat()),
        1 => octets,
        2 => (0..200_u16, prop::sample::select(vec![0_u8, 96, 101])).prop_map(|(n, pt)| rtp(pt, n, &[n as u8; 40])),
        1 => (200..208_u8, any::<[u32; 4]>()).prop_map(|(kind, body)| rtcp(kind, 1, &body)),
    ]
}

proptest! {
    /// Whatever comes, wherever, under whatever rules: nothing panics, every buffer is accounted for, and every datagram
    /// is sent, handed to control or counted as dropped.
    #[test]
    fn anything_at_any_leg_is_survived_and_accounted_for(
        protections in [protection(), protection(), protection(), protection()],
        rules in [rules(), rules()],
        policy in prop::sample::select(vec![SourcePolicy::Any, SourcePolicy::Strict, SourcePolicy::Handover]),
        learning in prop::sample::select(vec![Learning::Off, Learning::Immediate, Learning::Delayed, Learning::Heuristic]),
        datagrams in prop::collection::vec((10..15_u32, 0..4_usize, datagram(), 0..3000_u64), 1..200),
    ) {
        let [ar, asend, br, bsend] = protections;
        let leg = |number, to, receive, send, rules| LegSetup {
            receive, send, rules, learning, source: policy,
            punt: Punts { stun: true, dtls: true },
            ..setup(number, &[to])
        };
        let mut world = World::with([leg(A, B, ar, asend, rules[0]), leg(B, A, br, bsend, rules[1])]);
        let (mut sent, total) = (0, datagrams.len());
        for (socket, who, octets, ms) in datagrams {
            world.comes(socket, [ALICE, BOB, CAROL, MALLORY][who], &octets);
            if ms % 3 == 0 {
                world.wait(ms);
                sent += world.turn().len();
            }
        }
        sent += world.turn().len();
        let dropped: u64 = DropReason::ALL.iter().map(|reason| world.drops(A, *reason).0).sum();
        prop_assert_eq!(sent + world.punted + dropped as usize, total);
    }

    #[test]
    fn what_leaves_a_plain_leg_is_still_rtp_or_rtcp(rules in rules(), datagrams in prop::collection::vec(datagram(), 1..50)) {
        let mut world = World::with([LegSetup { rules, ..setup(A, &[B]) }, setup(B, &[])]);
        for octets in datagrams {
            for sent in world.take(A_RTP, ALICE, &octets) {
                let whole = match Kind::of(&sent.octets) {
                    Some(Kind::Rtp) => RtpPacket::of(&sent.octets).is_some(),
                    Some(Kind::Rtcp) => rtp::is_rtcp(&sent.octets),
                    None => false,
                };
                prop_assert!(whole, "{:?} became {:?}", octets, sent.octets);
            }
        }
    }
}
