//! SRTP on one side, on both, and passed through.

use raceway_api::Rollover;
use raceway_srtp::{Job, Kind as SrtpKind, MasterKey, Sender, Suite};

use super::*;

fn master(suite: Suite, octet: u8) -> MasterKey {
    let (key, salt) = (vec![octet; suite.key_octets()], vec![octet ^ 0x55; suite.salt_octets()]);
    MasterKey::new(suite, &key, &salt).expect("as long as they are to be")
}

/// A party with keys of its own.
pub(super) struct Party {
    sender: Sender,
    receiver: Receiver,
    batch: Batch,
}

impl Party {
    /// `sends` is the octet that the key of what it sends is made of.
    pub(super) fn new(suite: Suite, sends: u8, receives: u8) -> Self {
        let sender = Sender::new(&master(suite, sends), 8);
        let receiver = Receiver::new(&master(suite, receives), 8);
        Self { sender, receiver, batch: Batch::new(Lanes::detect()) }
    }

    fn kind(packet: &[u8]) -> SrtpKind {
        SrtpKind::of(packet).expect("RTP or RTCP")
    }

    pub(super) fn protects(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = [packet, &[0; 200]].concat();
        let mut jobs = [Job::new(0, Self::kind(packet), &mut buffer, packet.len())];
        self.batch.protect(&mut core::slice::from_mut(&mut self.sender)[..], &mut jobs);
        jobs[0].result.expect("protected");
        jobs[0].packet().to_vec()
    }

    fn opens(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = packet.to_vec();
        let mut jobs = [Job::new(0, Self::kind(packet), &mut buffer, packet.len())];
        self.batch.unprotect(&mut core::slice::from_mut(&mut self.receiver)[..], &mut jobs);
        jobs[0].result.expect("authentic");
        jobs[0].packet().to_vec()
    }
}

/// What Alice sends is under `alice`, what is sent to her under `alice + 1`.
pub(super) fn secured(number: u32, suite: Suite, octet: u8, to: &[u32]) -> LegSetup {
    let (receive, send) = (master(suite, octet), master(suite, octet + 1));
    LegSetup { receive: Protection::Srtp(receive), send: Protection::Srtp(send), ..setup(number, to) }
}

#[test]
fn srtp_and_rtp_are_bridged_both_ways_with_every_suite() {
    for suite in Suite::ALL {
        let mut world = World::with([secured(A, suite, 1, &[B]), setup(B, &[A])]);
        let mut alice = Party::new(suite, 1, 2);
        for sequence in 0..200 {
            let packet = rtp(0, sequence, &[sequence as u8; 160]);
            let protected = alice.protects(&packet);
            assert_eq!(world.through(A_RTP, ALICE, &protected), packet);
            let got = world.through(B_RTP, BOB, &packet);
            assert_eq!(alice.opens(&got), packet);
        }
        let report = rtcp(201, 0, &[0x1234]);
        let protected = alice.protects(&report);
        assert_eq!(world.through(A_RTCP, rtcp_of(ALICE), &protected), report);
        let got = world.through(B_RTCP, rtcp_of(BOB), &report);
        assert_eq!(alice.opens(&got), report);
    }
}

#[test]
fn a_turn_of_many_packets_of_many_kinds_comes_out_whole_and_in_order() {
    let [one, other] = [Suite::Aes128CmSha1_80, Suite::AeadAes256Gcm];
    let mut world = World::with([secured(A, one, 1, &[B]), secured(B, other, 11, &[A])]);
    let (mut alice, mut bob) = (Party::new(one, 1, 2), Party::new(other, 11, 12));
    let mut expected = [Vec::new(), Vec::new()];
    for sequence in 0..150_u16 {
        let packet = rtp(0, sequence, &vec![1; 20 + usize::from(sequence)]);
        world.comes(A_RTP, ALICE, &alice.protects(&packet));
        expected[0].push(packet);
        let report = rtcp(201, 0, &[0x77, sequence.into()]);
        let packet = if sequence % 10 == 0 { report } else { rtp_of(0x77, 96, sequence, 1, &[2; 33]) };
        let socket = if sequence % 10 == 0 { B_RTCP } else { B_RTP };
        world.comes(socket, BOB, &bob.protects(&packet));
        expected[1].push(packet);
    }
    let mut got = [Vec::new(), Vec::new()];
    for sent in world.turn() {
        match sent.socket {
            B_RTP | B_RTCP => got[0].push(bob.opens(&sent.octets)),
            _ => got[1].push(alice.opens(&sent.octets)),
        }
    }
    assert_eq!(got, expected);
}

#[test]
fn what_is_forged_is_dropped_counted_and_teaches_nothing() {
    let suite = Suite::Aes128CmSha1_80;
    let learning = LegSetup { learning: Learning::Immediate, ..secured(A, suite, 1, &[B]) };
    let mut world = World::with([learning, setup(B, &[A])]);
    let mut alice = Party::new(suite, 1, 2);
    let mut mallory = Party::new(suite, 99, 98);
    world.refuses(A_RTP, MALLORY, &mallory.protects(&rtp(0, 1, &[1; 20])), DropReason::SrtpAuthentication);
    assert_eq!((world.news(), world.figures[0].remotes()[0]), (vec![], (Some(ALICE), false)));
    let protected = alice.protects(&rtp(0, 1, &[1; 20]));
    assert_eq!(world.take(A_RTP, ALICE, &protected).len(), 1);
    world.refuses(A_RTP, MALLORY, &protected, DropReason::SrtpReplayed);
    assert_eq!(world.figures[0].remotes()[0], (Some(ALICE), true));
    assert_eq!(world.figures[0].received.rtp[0].load(Relaxed), 1);
}

#[test]
fn a_strict_leg_authenticates_nothing_that_comes_from_elsewhere() {
    let suite = Suite::Aes128CmSha1_80;
    let strict = LegSetup { source: SourcePolicy::Strict, ..secured(A, suite, 1, &[B]) };
    let mut world = World::with([strict, setup(B, &[A])]);
    world.refuses(A_RTP, MALLORY, &rtp(0, 1, &[1; 30]), DropReason::MediaSource);
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[1; 30]), DropReason::SrtpAuthentication);
}

#[test]
fn a_packet_that_comes_twice_in_a_turn_passes_once() {
    let suite = Suite::Aes128CmSha1_80;
    let mut world = World::with([secured(A, suite, 1, &[B]), setup(B, &[A])]);
    let protected = Party::new(suite, 1, 2).protects(&rtp(0, 1, &[1; 20]));
    world.comes(A_RTP, ALICE, &protected);
    world.comes(A_RTP, ALICE, &protected);
    assert_eq!(world.turn().len(), 1);
    assert_eq!(world.drops(A, DropReason::SrtpReplayed), (1, 1));
    // Towards a secured leg, too: its keystream must not be used for other octets.
    world.comes(B_RTP, BOB, &rtp(0, 1, &[1; 20]));
    world.comes(B_RTP, BOB, &rtp(0, 1, &[2; 20]));
    assert_eq!(world.turn().len(), 1);
}

#[test]
fn a_leg_without_keys_yet_lets_nothing_in_or_out() {
    let mut world = World::with([
        LegSetup { receive: Protection::Await, send: Protection::Await, ..setup(A, &[B]) },
        setup(B, &[A]),
    ]);
    world.refuses(A_RTP, ALICE, &rtp(0, 1, &[1]), DropReason::MediaKeyless);
    world.refuses(B_RTP, BOB, &rtp(0, 1, &[1]), DropReason::MediaKeyless);
    let suite = Suite::AeadAes128Gcm;
    world.put(&secured(A, suite, 1, &[B]));
    let protected = Party::new(suite, 1, 2).protects(&rtp(0, 2, &[1; 20]));
    assert_eq!(world.take(A_RTP, ALICE, &protected).len(), 1);
}

#[test]
fn what_we_have_no_keys_for_passes_as_it_is_and_only_to_its_like() {
    let opaque =
        |number, to: &[u32]| LegSetup { receive: Protection::Opaque, send: Protection::Opaque, ..setup(number, to) };
    let mut world = World::with([opaque(A, &[B]), opaque(B, &[A])]);
    let mut alice = Party::new(Suite::Aes128CmSha1_80, 1, 2);
    for packet in [rtp(0, 1, &[1; 160]), rtcp(201, 0, &[1])] {
        let protected = alice.protects(&packet);
        assert_eq!(world.through(A_RTP, ALICE, &protected), protected);
    }
    let silent = LegRules { media: raceway_api::MediaRule::Silence, ..LegRules::default() };
    world.put(&LegSetup { rules: silent, ..opaque(A, &[B]) });
    world.refuses(A_RTP, ALICE, &alice.protects(&rtp(0, 9, &[1])), DropReason::MediaBlocked);
    world.put(&opaque(A, &[B]));
    world.put(&setup(B, &[A]));
    world.refuses(A_RTP, ALICE, &alice.protects(&rtp(0, 2, &[1])), DropReason::MediaUnrouted);
    world.refuses(B_RTP, BOB, &rtp(0, 2, &[1]), DropReason::MediaUnrouted);
}

#[test]
fn an_equal_key_keeps_its_context_and_another_one_takes_over_with_grace() {
    let suite = Suite::Aes128CmSha1_80;
    let mut world = World::with([secured(A, suite, 1, &[B]), setup(B, &[A])]);
    let mut alice = Party::new(suite, 1, 2);
    let protected = alice.protects(&rtp(0, 1, &[1; 20]));
    assert_eq!(world.take(A_RTP, ALICE, &protected).len(), 1);
    world.put(&secured(A, suite, 1, &[B]));
    world.refuses(A_RTP, ALICE, &protected, DropReason::SrtpReplayed);
    let on_its_way = alice.protects(&rtp(0, 2, &[1; 20]));
    let late = alice.protects(&rtp(0, 3, &[1; 20]));
    world.put(&secured(A, suite, 21, &[B]));
    let mut again = Party::new(suite, 21, 22);
    assert_eq!(world.take(A_RTP, ALICE, &on_its_way).len(), 1);
    assert_eq!(world.take(A_RTP, ALICE, &again.protects(&rtp(0, 4, &[1; 20]))).len(), 1);
    let got = world.through(B_RTP, BOB, &rtp(0, 4, &[1; 20]));
    assert_eq!(again.opens(&got), rtp(0, 4, &[1; 20]));
    world.wait(3000);
    world.refuses(A_RTP, ALICE, &late, DropReason::SrtpAuthentication);
}

#[test]
fn rollover_counters_are_told_and_go_on_after_a_restart() {
    let suite = Suite::Aes128CmSha1_80;
    let mut world = World::with([secured(A, suite, 1, &[B]), setup(B, &[A])]);
    let mut alice = Party::new(suite, 1, 2);
    let mut told = Vec::new();
    for sequence in [65_534_u16, 65_535, 0, 1] {
        let packet = rtp(0, sequence, &[1; 20]);
        world.take(A_RTP, ALICE, &alice.protects(&packet));
        let got = world.through(B_RTP, BOB, &packet);
        assert_eq!(alice.opens(&got), packet);
        told.extend(world.news().into_iter().filter_map(|(_, news)| match news {
            News::Rollover(Rollover { sent, roc, .. }) => Some((sent, roc)),
            _ => None,
        }));
    }
    assert_eq!(told, [(false, 0), (true, 0), (false, 1), (true, 1)]);
    let rollovers: Vec<_> = world.figures[0].rollovers().collect();
    let mut restarted = World::with([LegSetup { rollovers, ..secured(A, suite, 1, &[B]) }, setup(B, &[A])]);
    let packet = rtp(0, 2, &[1; 20]);
    assert_eq!(restarted.through(A_RTP, ALICE, &alice.protects(&packet)), packet);
    let got = restarted.through(B_RTP, BOB, &packet);
    assert_eq!(alice.opens(&got), packet);
}

/// The relay was away while the sequence number turned: both directions go on with the next counter.
#[test]
fn a_rollover_during_a_restart_is_noticed() {
    let suite = Suite::Aes128CmSha1_80;
    let mut world = World::with([secured(A, suite, 1, &[B]), setup(B, &[A])]);
    let mut alice = Party::new(suite, 1, 2);
    let mut last = None;
    for sequence in [100, 20_000, 40_000, 49_200, 50_000_u16] {
        let packet = rtp(0, sequence, &[1; 20]);
        world.take(A_RTP, ALICE, &alice.protects(&packet));
        let got = world.through(B_RTP, BOB, &packet);
        assert_eq!(alice.opens(&got), packet);
        let mut told = world.news().into_iter().filter_map(|(_, news)| match news {
            News::Rollover(rollover) => Some(rollover),
            _ => None,
        });
        last = told.next_back().or(last);
    }
    assert_eq!(last.and_then(|rollover: Rollover| rollover.sequence), Some(49_200), "told at each quarter");
    let rollovers: Vec<_> = world.figures[0].rollovers().collect();
    let mut restarted = World::with([LegSetup { rollovers, ..secured(A, suite, 1, &[B]) }, setup(B, &[A])]);
    let packet = rtp(0, 5, &[1; 20]);
    assert_eq!(restarted.through(A_RTP, ALICE, &alice.protects(&packet)), packet);
    let got = restarted.through(B_RTP, BOB, &packet);
    assert_eq!(alice.opens(&got), packet, "a sender that took the counter before would not be understood");
}

#[test]
fn no_srtcp_index_is_used_again_after_a_restart_not_even_the_first_one() {
    let suite = Suite::Aes128CmSha1_80;
    let mut world = World::with([secured(A, suite, 1, &[B]), setup(B, &[A])]);
    let mut alice = Party::new(suite, 1, 2);
    let report = rtcp(201, 0, &[0x1234]);
    let got = world.through(B_RTCP, rtcp_of(BOB), &report);
    assert_eq!(alice.opens(&got), report);
    let rollovers: Vec<_> = world.figures[0].rollovers().collect();
    let mut restarted = World::with([LegSetup { rollovers, ..secured(A, suite, 1, &[B]) }, setup(B, &[A])]);
    let got = restarted.through(B_RTCP, rtcp_of(BOB), &report);
    assert_eq!(alice.opens(&got), report, "a replay would not open");
}

#[test]
fn a_key_that_is_used_up_is_told_of() {
    let suite = Suite::Aes128CmSha1_80;
    let send = Protection::Srtp(master(suite, 2).with_lifetime(2));
    let mut world = World::with([LegSetup { send, ..secured(A, suite, 1, &[B]) }, setup(B, &[A])]);
    for sequence in 0..2 {
        assert_eq!(world.take(B_RTP, BOB, &rtp(0, sequence, &[1])).len(), 1);
    }
    world.news();
    world.refuses(B_RTP, BOB, &rtp(0, 2, &[1]), DropReason::SrtpKeyExhausted);
    assert_eq!(world.news(), [(A, News::KeyExhausted(true))]);
}

#[test]
fn a_packet_without_room_for_a_tag_is_dropped() {
    let suite = Suite::AeadAes256Gcm;
    let mut world = World::with([secured(A, suite, 1, &[B]), setup(B, &[A])]);
    let longest = MEMORY - HEADROOM - 12;
    world.refuses(B_RTP, BOB, &rtp(0, 1, &vec![0; longest]), DropReason::Oversized);
}

#[test]
fn strangers_do_not_take_all_the_streams_of_a_key() {
    let learning = Learning::Immediate;
    let mut world = World::with([secured(A, Suite::Aes128CmSha1_80, 1, &[B]), LegSetup { learning, ..setup(B, &[A]) }]);
    world.take(B_RTP, BOB, &rtp_of(1, 0, 1, 160, &[5; 160]));
    for ssrc in 100..200 {
        world.comes(B_RTP, MALLORY, &rtp_of(ssrc, 0, 1, 160, &[5; 160]));
    }
    assert_eq!(world.turn().len(), crate::limits::SRTP_STREAMS_OF_ANYBODY - 1, "in one turn as in many");
    assert_eq!(world.take(B_RTP, BOB, &rtp_of(2, 0, 1, 160, &[5; 160])).len(), 1, "a new source of the party");
    assert_eq!(world.take(B_RTP, MALLORY, &rtp_of(2, 0, 2, 320, &[5; 160])).len(), 1, "a party that moved");
}
