//! Sources of one name that reach one party.

use raceway_srtp::{MasterKey, Suite};

use super::*;

const ANY: u32 = 0x9999;

/// Alice and Carol talk to Bob, and he to both.
fn conference() -> World {
    World::with([setup(A, &[B]), setup(B, &[A, C]), setup(C, &[B])])
}

fn ssrc(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[8..12].try_into().unwrap())
}

/// Both send to Bob as source 0x1234; what Carol is called there.
fn collide(world: &mut World) -> u32 {
    assert_eq!(world.through(A_RTP, ALICE, &rtp(0, 1, &[1; 160])), rtp(0, 1, &[1; 160]));
    let got = world.through(14, CAROL, &rtp(0, 1, &[3; 160]));
    assert_ne!(ssrc(&got), 0x1234);
    assert_eq!((&got[..8], &got[12..]), (&rtp(0, 1, &[3; 160])[..8], &[3; 160][..]), "nothing else changes");
    ssrc(&got)
}

#[test]
fn two_sources_of_one_name_are_two_for_who_hears_both() {
    let mut world = conference();
    let carol = collide(&mut world);
    assert_eq!(world.news().last(), Some(&(B, News::Translated)));
    for sequence in 2..20 {
        assert_eq!(ssrc(&world.through(A_RTP, ALICE, &rtp(0, sequence, &[1; 160]))), 0x1234);
        assert_eq!(ssrc(&world.through(14, CAROL, &rtp(0, sequence, &[3; 160]))), carol);
    }
    assert_eq!(world.news().iter().filter(|(_, news)| *news == News::Translated).count(), 0, "told once");
    assert_eq!(world.figures[1].translates.load(Relaxed), 1);
}

#[test]
fn reports_speak_of_sources_by_the_names_that_each_knows() {
    let mut world = conference();
    let carol = collide(&mut world);
    // What Carol says of herself, Bob gets of whom he knows by another name.
    let said = [rtcp(200, 0, &[0x1234, 1, 2, 3, 4, 5]), rtcp(203, 1, &[0x1234])].concat();
    let got = world.through(15, rtcp_of(CAROL), &said);
    assert_eq!(got, [rtcp(200, 0, &[carol, 1, 2, 3, 4, 5]), rtcp(203, 1, &[carol])].concat());
    assert_eq!(world.through(A_RTCP, rtcp_of(ALICE), &said), said);
    // What Bob says of both, each gets of itself by its own.
    let block = |ssrc: u32| [ssrc, 0, 7, 0, 0, 0];
    let report = |one: u32, other: u32| rtcp(201, 2, &[&[ANY][..], &block(one), &block(other)].concat());
    let mut sent = world.take(B_RTCP, rtcp_of(BOB), &report(0x1234, carol));
    sent.sort_by_key(|sent| sent.to.port);
    assert_eq!((sent[0].to, &sent[0].octets), (rtcp_of(ALICE), &report(0x1234, carol)));
    assert_eq!((sent[1].to, &sent[1].octets), (rtcp_of(CAROL), &report(0x1234, 0x1234)), "of herself");
    assert_eq!(world.figures[2].goodbyes.load(Relaxed), 1);
}

#[test]
fn two_parties_of_one_name_resolve_that_by_themselves() {
    let mut world = World::new();
    for sequence in 0..5 {
        let packet = rtp(0, sequence, &[1; 160]);
        assert_eq!(world.through(A_RTP, ALICE, &packet), packet);
        assert_eq!(world.through(B_RTP, BOB, &packet), packet);
    }
}

#[test]
fn one_after_the_other_may_have_one_name() {
    let mut world = conference();
    world.through(A_RTP, ALICE, &rtp(0, 1, &[1; 160]));
    world.wait(2000);
    assert_eq!(world.through(14, CAROL, &rtp(0, 1, &[3; 160])), rtp(0, 1, &[3; 160]));
}

/// A telephone that is put on hold and begins again at another sequence number, as the same source.
#[test]
fn who_begins_anew_is_heard_by_a_party_with_srtp() {
    let suite = Suite::Aes128CmSha1_80;
    let key =
        |octet: u8| MasterKey::new(suite, &vec![octet; suite.key_octets()], &vec![octet; suite.salt_octets()]).unwrap();
    let secured = LegSetup { receive: Protection::Srtp(key(1)), send: Protection::Srtp(key(2)), ..setup(B, &[A]) };
    let mut world = World::with([setup(A, &[B]), secured]);
    for sequence in 30_000..30_200 {
        assert_eq!(world.take(A_RTP, ALICE, &rtp(0, sequence, &[1; 160])).len(), 1);
    }
    world.refuses(A_RTP, ALICE, &rtp(0, 20_000, &[1; 160]), DropReason::SrtpReplayed);
    world.refuses(A_RTP, ALICE, &rtp(0, 20_001, &[1; 160]), DropReason::SrtpReplayed);
    let got = world.through(A_RTP, ALICE, &rtp(0, 20_002, &[1; 160]));
    assert_ne!(ssrc(&got), 0x1234);
    assert_eq!(ssrc(&world.through(A_RTP, ALICE, &rtp(0, 20_003, &[1; 160]))), ssrc(&got));
}
