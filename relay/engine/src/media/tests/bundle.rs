//! Two m-lines of Alice at one socket, and what tells them apart; Carol and Dave have one each.

use raceway_api::{Bundled, Rollover};
use raceway_srtp::{Job, Kind as SrtpKind, MasterKey, Sender, Suite};

use super::*;
use crate::limits::SRTP_STREAMS;

/// Number of the header extension that holds the MID.
const MID: u8 = 4;

/// Alice's m-line `mid` with these payload types, which Carol or Dave hears.
fn line(number: u32, mid: &str, payload_types: &[u8], to: u32) -> LegSetup {
    let format = |payload_type: &u8| Format { payload_type: *payload_type, codec: Codec::Other, clock_hz: 90_000 };
    LegSetup {
        rtp: (A_RTP, Some(ALICE)),
        rtcp: None,
        formats: payload_types.iter().map(format).collect(),
        bundled: Some(Box::new(Bundled { mid_extension: Some(MID), mid: mid.into(), sources: Vec::new() })),
        ..setup(number, &[to])
    }
}

/// Audio (111) from and to Carol, video (96) from and to Dave.
fn bundle() -> World {
    World::with([line(A, "0", &[111], C), line(B, "1", &[96], D), setup(C, &[A]), setup(D, &[B])])
}

/// A packet with an element of a header extension.
fn named(mid: &[u8], ssrc: u32, payload_type: u8, sequence: u16) -> Vec<u8> {
    let mut elements = vec![0x10, 7, MID << 4 | (mid.len() as u8 - 1)];
    elements.extend_from_slice(mid);
    extended(0xbede, &elements, ssrc, payload_type, sequence)
}

fn extended(profile: u16, elements: &[u8], ssrc: u32, payload_type: u8, sequence: u16) -> Vec<u8> {
    let mut packet = rtp_of(ssrc, payload_type, sequence, 0, &[]);
    packet[0] |= 0x10;
    let words = elements.len().div_ceil(4);
    packet.extend_from_slice(&profile.to_be_bytes());
    packet.extend_from_slice(&(words as u16).to_be_bytes());
    packet.extend_from_slice(elements);
    packet.resize(16 + 4 * words, 0);
    packet.extend_from_slice(&[1, 2, 3]);
    packet
}

/// Who gets what comes from Alice.
fn getters(world: &mut World, octets: &[u8]) -> Vec<Endpoint> {
    world.take(A_RTP, ALICE, octets).into_iter().map(|sent| sent.to).collect()
}

#[test]
fn a_mid_counts_more_than_a_source_and_a_source_more_than_a_payload_type() {
    let mut world = bundle();
    assert_eq!(getters(&mut world, &rtp_of(1, 111, 1, 0, &[1])), [CAROL]);
    assert_eq!(getters(&mut world, &rtp_of(2, 96, 1, 0, &[1])), [DAVE]);
    assert_eq!(getters(&mut world, &named(b"1", 1, 111, 2)), [DAVE], "the source is the other m-line's now");
    world.put(&line(B, "1", &[96, 111], D));
    assert_eq!(getters(&mut world, &rtp_of(1, 111, 3, 0, &[1])), [DAVE], "a payload type of both");
    assert_eq!(getters(&mut world, &named(b"0", 1, 96, 4)), [CAROL]);
    assert_eq!(getters(&mut world, &rtp_of(1, 111, 5, 0, &[1])), [CAROL]);
}

#[test]
fn what_is_of_no_m_line_is_dropped() {
    let mut world = bundle();
    world.refuses(A_RTP, ALICE, &named(b"2", 1, 111, 1), DropReason::MediaUnrouted);
    world.refuses(A_RTP, ALICE, &named(b"00", 1, 111, 1), DropReason::MediaUnrouted);
    world.refuses(A_RTP, ALICE, &rtp_of(1, 97, 1, 0, &[1]), DropReason::MediaUnrouted);
    world.put(&line(B, "1", &[96, 111], D));
    world.refuses(A_RTP, ALICE, &rtp_of(1, 111, 1, 0, &[1]), DropReason::MediaUnrouted);
}

#[test]
fn a_source_that_was_announced_needs_no_mid() {
    let announced = |number, mid: &str, source, to| LegSetup {
        bundled: Some(Box::new(Bundled { mid_extension: None, mid: mid.into(), sources: vec![source] })),
        ..line(number, mid, &[96], to)
    };
    let mut world = World::with([announced(A, "0", 7, C), announced(B, "1", 8, D), setup(C, &[A]), setup(D, &[B])]);
    assert_eq!(getters(&mut world, &rtp_of(8, 96, 1, 0, &[1])), [DAVE]);
    assert_eq!(getters(&mut world, &rtp_of(7, 96, 1, 0, &[1])), [CAROL]);
    world.refuses(A_RTP, ALICE, &rtp_of(9, 96, 1, 0, &[1]), DropReason::MediaUnrouted);
}

#[test]
fn a_mid_is_found_in_extensions_of_both_forms() {
    let mut world = bundle();
    for (profile, elements) in [
        (0xbede, &[0, 0x12, 1, 2, 3, MID << 4, b'1'][..]),
        (0x1000, &[1, 0, 0, 0, MID, 1, b'1'][..]),
        (0x100f, &[9, 3, 1, 2, 3, MID, 1, b'1'][..]),
    ] {
        assert_eq!(getters(&mut world, &extended(profile, elements, 1, 111, 1)), [DAVE], "{profile:x}");
    }
    for (profile, elements) in [
        (0xbede, &[0xf0, 0, MID << 4, b'1'][..]),
        (0xbede, &[MID << 4 | 15, b'1'][..]),
        (0x1000, &[MID, 200, b'1'][..]),
        (0x2000, &[MID, 1, b'1'][..]),
    ] {
        let mut world = bundle();
        assert_eq!(getters(&mut world, &extended(profile, elements, 1, 111, 1)), [CAROL], "{profile:x} {elements:x?}");
    }
}

#[test]
fn reports_go_to_whom_they_are_about() {
    let mut world = bundle();
    let (audio, video, carol, dave) = (1, 2, 3, 4);
    world.take(A_RTP, ALICE, &rtp_of(audio, 111, 1, 0, &[1]));
    world.take(A_RTP, ALICE, &rtp_of(video, 96, 1, 0, &[1]));
    world.take(C_RTP, CAROL, &rtp_of(carol, 96, 1, 0, &[1]));
    world.take(D_RTP, DAVE, &rtp_of(dave, 96, 1, 0, &[1]));
    for leg in [C, D] {
        let to = [0, 0, A, B][leg as usize];
        world.put(&LegSetup { rules: LegRules { feedback: true, ..LegRules::default() }, ..setup(leg, &[to]) });
    }
    let block = |source: u32| [source, 0, 0, 0, 0, 0];
    let [carol_rtcp, dave_rtcp] = [CAROL, DAVE].map(rtcp_of);
    // Of somebody who sends, and of somebody who only receives.
    assert_eq!(getters(&mut world, &rtcp(201, 0, &[video])), [dave_rtcp]);
    assert_eq!(getters(&mut world, &rtcp(201, 0, &[audio])), [carol_rtcp]);
    assert_eq!(getters(&mut world, &rtcp(201, 1, &[&[99][..], &block(dave)].concat())), [dave_rtcp]);
    assert_eq!(getters(&mut world, &rtcp(201, 1, &[&[99][..], &block(carol)].concat())), [carol_rtcp]);
    assert_eq!(getters(&mut world, &rtcp(206, 1, &[99, dave])), [dave_rtcp], "a picture is lost");
    assert_eq!(getters(&mut world, &rtcp(206, 4, &[99, 0, dave, 1 << 24])), [dave_rtcp], "a full picture is wanted");
    let remb = u32::from_be_bytes(*b"REMB");
    assert_eq!(getters(&mut world, &rtcp(206, 15, &[99, 0, remb, 1 << 24, dave])), [dave_rtcp], "an estimate");
    assert_eq!(getters(&mut world, &rtcp(203, 2, &[98, video])), [dave_rtcp]);
    // About both: both get it.
    let mut both = getters(&mut world, &rtcp(201, 2, &[&[99][..], &block(carol), &block(dave)].concat()));
    both.sort_by_key(|endpoint| endpoint.port);
    assert_eq!(both, [carol_rtcp, dave_rtcp]);
    assert_eq!(getters(&mut world, &rtcp(201, 0, &[99])).len(), 1, "about nobody: of the first");
}

fn master(octet: u8) -> MasterKey {
    let suite = Suite::AeadAes128Gcm;
    MasterKey::new(suite, &vec![octet; suite.key_octets()], &vec![octet; suite.salt_octets()]).expect("long enough")
}

fn keyed(setup: LegSetup) -> LegSetup {
    LegSetup { receive: Protection::Srtp(master(1)), send: Protection::Srtp(master(2)), ..setup }
}

/// The same bundle, with the keys of one association.
fn secured() -> World {
    let lines = [keyed(line(A, "0", &[111], C)), keyed(line(B, "1", &[96], D)), setup(C, &[A]), setup(D, &[B])];
    World::with(lines)
}

fn protected(octet: u8, packet: &[u8]) -> Vec<u8> {
    let mut sender = Sender::new(&master(octet), 1);
    let mut buffer = [packet, &[0; 64]].concat();
    let mut jobs = [Job::new(0, SrtpKind::Rtp, &mut buffer, packet.len())];
    Batch::new(Lanes::detect()).protect(&mut core::slice::from_mut(&mut sender)[..], &mut jobs);
    jobs[0].result.expect("protected");
    jobs[0].packet().to_vec()
}

#[test]
fn what_is_forged_moves_no_source_to_another_m_line() {
    let mut world = secured();
    assert_eq!(getters(&mut world, &protected(1, &rtp_of(1, 111, 1, 0, &[1]))), [CAROL]);
    world.refuses(A_RTP, ALICE, &protected(9, &named(b"1", 1, 111, 2)), DropReason::SrtpAuthentication);
    world.put(&secured_line_b(&[96, 111]));
    assert_eq!(getters(&mut world, &protected(1, &rtp_of(1, 111, 3, 0, &[1]))), [CAROL]);
}

fn secured_line_b(payload_types: &[u8]) -> LegSetup {
    keyed(line(B, "1", payload_types, D))
}

#[test]
fn two_m_lines_never_send_the_same_source_under_one_key() {
    let mut world = secured();
    assert_eq!(world.take(C_RTP, CAROL, &rtp_of(5, 111, 1, 0, &[1])).len(), 1);
    world.refuses(D_RTP, DAVE, &rtp_of(5, 96, 1, 0, &[2]), DropReason::SrtpStreams);
    world.refuses(D_RTP + 1, rtcp_of(DAVE), &rtcp(201, 0, &[5]), DropReason::SrtpStreams);
    assert_eq!(world.take(D_RTP, DAVE, &rtp_of(6, 96, 1, 0, &[2])).len(), 1);
    world.put(&secured_line_b(&[96]));
    world.refuses(C_RTP, CAROL, &rtp_of(6, 111, 2, 0, &[1]), DropReason::SrtpStreams);
    for source in 100..100 + SRTP_STREAMS as u32 - 1 {
        assert_eq!(world.take(C_RTP, CAROL, &rtp_of(source, 111, 1, 0, &[1])).len(), 1);
    }
    world.refuses(C_RTP, CAROL, &rtp_of(999, 111, 1, 0, &[1]), DropReason::SrtpStreams);
    let rollovers: Vec<Rollover> = world.figures[0].rollovers().collect();
    assert!(rollovers.iter().all(|rollover| rollover.ssrc != 999));
}

#[test]
fn a_leg_that_is_said_again_keeps_its_sources() {
    let mut world = bundle();
    world.take(A_RTP, ALICE, &named(b"1", 7, 96, 1));
    world.put(&line(B, "1", &[96, 111], D));
    assert_eq!(getters(&mut world, &rtp_of(7, 111, 2, 0, &[1])), [DAVE]);
}
