//! SRTP with keys in SDP (RFC 4568), opportunistic (RFC 8643), towards each side as it wants it.

use raceway_api::{Security, SrtpKey, Suite};
use raceway_media::options::{Osrtp, Sdes, Transport};
use raceway_media::{Command, Offer, Options, Refusal};
use raceway_sdp::{Crypto, KeyMaterial};

use crate::world::*;

fn line(tag: u32, suite: raceway_sdp::Suite, octet: u8) -> Crypto {
    let octets = vec![octet; suite.key_octets() + suite.salt_octets()];
    Crypto { tag, suite, material: KeyMaterial::new(suite, &octets).unwrap(), mki: None }
}

const CM: raceway_sdp::Suite = raceway_sdp::Suite::AesCm128Sha1Tag80;
const GCM: raceway_sdp::Suite = raceway_sdp::Suite::AesGcm128;

fn secured(address: &str, port: u16, protocol: &str, lines: &[Crypto]) -> String {
    let mut body = body(address, port).replace("RTP/AVP", protocol);
    for line in lines {
        body += &format!("a=crypto:{}\r\n", line.value(true));
    }
    body
}

fn towards(protocol: &str) -> Options {
    Options { transport: Some(Transport::As(protocol.parse().unwrap())), ..Options::default() }
}

fn key(security: &Security) -> &SrtpKey {
    match security {
        Security::Srtp(key) => key,
        other => panic!("{other:?}"),
    }
}

/// Whether a key is of that octet throughout.
fn is_of(security: &Security, octet: u8) -> bool {
    let key = key(security);
    [key.key.expose(), key.salt.expose()].concat().iter().all(|other| *other == octet)
}

fn crypto(body: &str) -> Vec<Crypto> {
    describe(body).media[0].crypto.clone()
}

#[test]
fn a_plain_offer_becomes_srtp_and_its_answer_plain_again() {
    let mut world = World::new();
    let offered = world.offer(Offer { options: towards("RTP/SAVP"), ..offer(body("192.0.2.1", 4000)) });
    assert!(offered.contains(" RTP/SAVP 0 101"));
    let ours = crypto(&offered);
    assert_eq!(ours.len(), 6, "every suite");
    assert!(ours.iter().all(|one| ours.iter().filter(|other| other.material == one.material).count() == 1));
    let chosen = ours.iter().find(|line| line.suite == GCM).unwrap();
    let answered = world.answer(answer(secured("192.0.2.2", 5000, "RTP/SAVP", &[line(chosen.tag, GCM, 7)])));
    assert!(answered.contains(" RTP/AVP ") && !answered.contains("crypto"));
    let bob = world.leg("192.0.2.2:5000");
    assert!(is_of(&bob.receive, 7));
    let sent = key(&bob.send);
    assert_eq!([sent.key.expose(), sent.salt.expose()].concat(), chosen.material.octets());
    assert_eq!((sent.suite, &world.leg("192.0.2.1:4000").receive), (Suite::AeadAes128Gcm, &Security::Plain));
}

#[test]
fn nothing_passes_before_keys_are_known() {
    let mut world = World::new();
    world.offer(Offer { options: towards("RTP/SAVP"), ..offer(body("192.0.2.1", 4000)) });
    let bob = world.session().legs.values().find(|leg| leg.rtp.remote.is_none()).unwrap();
    assert_eq!((&bob.receive, &bob.send), (&Security::Await, &Security::Await));
}

#[test]
fn an_srtp_offer_becomes_plain_and_is_answered_with_its_first_suite_and_a_key_of_ours() {
    let mut world = World::new();
    let lines = [line(1, CM, 1), line(2, GCM, 2)];
    let offered =
        world.offer(Offer { options: towards("RTP/AVP"), ..offer(secured("192.0.2.1", 4000, "RTP/SAVP", &lines)) });
    assert!(offered.contains(" RTP/AVP 0 101") && !offered.contains("crypto"), "{offered}");
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    assert!(answered.contains(" RTP/SAVP "));
    let [line] = &crypto(&answered)[..] else { panic!("one line") };
    assert_eq!((line.tag, line.suite), (1, CM));
    let alice = world.leg("192.0.2.1:4000");
    assert!(is_of(&alice.receive, 1));
    let sent = key(&alice.send);
    assert_eq!([sent.key.expose(), sent.salt.expose()].concat(), line.material.octets());
    let again = world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(again, answered, "the same key when the answer comes again");
}

/// 200,000 packets, of which a flow took most: nobody counts them but who looks now and then.
#[test]
fn what_passed_unopened_may_be_opened_later() {
    let mut world = World::new();
    let ends = Options { asymmetric: true, ..Options::default() };
    let offered = secured("192.0.2.1", 4000, "RTP/SAVP", &[line(1, CM, 1)]);
    let answered = secured("192.0.2.2", 5000, "RTP/SAVP", &[line(1, CM, 9)]);
    world.offer(Offer { options: ends.clone(), ..offer(offered.clone()) });
    world.answer(raceway_media::Answer { options: ends.clone(), ..answer(answered.clone()) });
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    let at = world.leg("192.0.2.1:4000").rtp.local;
    world.pass(std::time::Duration::from_secs(2));
    let flow = *world.session().flows.values().find(|flow| flow.matches.local == at).expect("it passes in XDP");
    let mut sent = 65_000_u32;
    let stream =
        |sent: u32| raceway_api::StreamReport { ssrc: 7, sequence: sent as u16, received: 9, ..Default::default() };
    let report = raceway_api::LegReport { streams: vec![stream(sent)], ..crate::relay::leg_report(alice) };
    world.relay.legs.insert(alice, report);
    world.pass(std::time::Duration::from_secs(2));
    while sent < 265_000 {
        sent += 10_000;
        let report = crate::relay::flow_report(flow);
        let rtp_sequence = sent as u16;
        let report = raceway_api::FlowReport { packets: sent.into(), rtp_ssrc: 7, rtp_sequence, ..report };
        world.relay.flows.insert(flow.id, report);
        world.pass(std::time::Duration::from_secs(1));
    }
    let looks = Options { detect_dtmf: true, ..ends };
    let again = Offer { to_tag: Some("bob".into()), options: looks, ..offer(offered) };
    world.offer(again);
    world.answer(answer(answered));
    let put = |id| {
        let legs = world.relay.operations.iter().filter_map(move |operation| match operation {
            raceway_api::Operation::PutLeg(leg) if leg.id == id => Some(leg),
            _ => None,
        });
        legs.flat_map(|leg| &leg.rollovers)
    };
    let of = |leg, sent: bool| {
        let found = put(leg).find(|rollover| rollover.ssrc == 7 && rollover.sent == sent);
        found.map(|rollover| (rollover.roc, rollover.sequence))
    };
    let expected = Some((265_000 >> 16, Some(265_000_u32 as u16)));
    assert_eq!(key(&world.leg("192.0.2.1:4000").receive).suite, Suite::AesCm128HmacSha1_80);
    assert_eq!((of(alice, false), of(bob, true)), (expected, expected), "to open, and to close again");
}

#[test]
fn both_sides_with_srtp_share_keys_and_packets_pass_unopened() {
    let mut world = World::new();
    let offered = world.offer(offer(secured("192.0.2.1", 4000, "RTP/SAVP", &[line(1, CM, 1)])));
    let lines = crypto(&offered);
    assert_eq!((&lines[0], lines.len()), (&line(1, CM, 1), 6), "Alice's key first, then ours");
    let answered = world.answer(answer(secured("192.0.2.2", 5000, "RTP/SAVP", &[line(1, CM, 9)])));
    assert_eq!(crypto(&answered), [line(1, CM, 9)]);
    for leg in world.session().legs.values() {
        assert_eq!((&leg.receive, &leg.send), (&Security::Opaque, &Security::Opaque));
    }
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    world.learned(alice, false, "192.0.2.1:4000");
    world.learned(bob, false, "192.0.2.2:5000");
    assert_eq!(world.session().flows.len(), 2);
}

#[test]
fn a_suite_of_ours_bridges_two_sides_that_share_none() {
    let mut world = World::new();
    let offered = world.offer(offer(secured("192.0.2.1", 4000, "RTP/SAVP", &[line(1, CM, 1)])));
    let chosen = crypto(&offered).into_iter().find(|line| line.suite == GCM).unwrap();
    let answered = world.answer(answer(secured("192.0.2.2", 5000, "RTP/SAVP", &[line(chosen.tag, GCM, 9)])));
    let [to_alice] = &crypto(&answered)[..] else { panic!("one line") };
    assert_eq!((to_alice.tag, to_alice.suite), (1, CM));
    let (alice, bob) = (world.leg("192.0.2.1:4000"), world.leg("192.0.2.2:5000"));
    assert!(is_of(&alice.receive, 1) && is_of(&bob.receive, 9));
    assert_eq!((key(&alice.send).suite, key(&bob.send).suite), (Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm));
}

#[test]
fn recrypt_gives_each_side_keys_of_its_own() {
    let mut world = World::new();
    let options = Options { sdes: Sdes { recrypt: true, ..Sdes::default() }, ..Options::default() };
    let offered = world.offer(Offer { options, ..offer(secured("192.0.2.1", 4000, "RTP/SAVP", &[line(1, CM, 1)])) });
    let ours = crypto(&offered);
    assert!(ours.iter().all(|ours| ours.material != line(1, CM, 1).material));
    let chosen = ours.iter().find(|line| line.suite == CM).unwrap();
    world.answer(answer(secured("192.0.2.2", 5000, "RTP/SAVP", &[line(chosen.tag, CM, 9)])));
    assert!(is_of(&world.leg("192.0.2.1:4000").receive, 1) && !is_of(&world.leg("192.0.2.1:4000").send, 9));
}

#[test]
fn suites_are_chosen_ordered_and_left_out_as_asked() {
    let offered = |sdes: Sdes| -> Vec<raceway_sdp::Suite> {
        let mut world = World::new();
        let options = Options { sdes, ..towards("RTP/SAVP") };
        let offered = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
        crypto(&offered).iter().map(|line| line.suite).collect()
    };
    assert_eq!(offered(Sdes { only: vec![CM], ..Sdes::default() }), [CM]);
    assert_eq!(offered(Sdes { order: vec![CM, GCM], ..Sdes::default() })[..2], [CM, GCM]);
    let without = offered(Sdes { without: vec![CM], ..Sdes::default() });
    assert!(without.len() == 5 && !without.contains(&CM));
    let mut world = World::new();
    let options = Options { sdes: Sdes { nonew: true, ..Sdes::default() }, ..Options::default() };
    let passed = world.offer(Offer { options, ..offer(secured("192.0.2.1", 4000, "RTP/SAVP", &[line(4, CM, 1)])) });
    assert_eq!(crypto(&passed), [line(4, CM, 1)], "none is added");
}

#[test]
fn keys_stay_over_a_re_offer_and_change_when_the_other_side_changes_its_own() {
    let mut world = World::new();
    let first = world.offer(Offer { options: towards("RTP/SAVP"), ..offer(body("192.0.2.1", 4000)) });
    let chosen = crypto(&first)[0].clone();
    world.answer(answer(secured("192.0.2.2", 5000, "RTP/SAVP", &[line(chosen.tag, chosen.suite, 7)])));
    let again = || Offer { to_tag: Some("bob".into()), options: towards("RTP/SAVP"), ..offer(body("192.0.2.1", 4000)) };
    assert_eq!(crypto(&world.offer(again())), crypto(&first));
    world.answer(answer(secured("192.0.2.2", 5000, "RTP/SAVP", &[line(chosen.tag, chosen.suite, 8)])));
    let bob = world.leg("192.0.2.2:5000");
    assert!(is_of(&bob.receive, 8));
    let sent = key(&bob.send);
    assert_eq!([sent.key.expose(), sent.salt.expose()].concat(), chosen.material.octets());
}

#[test]
fn new_keys_of_a_re_offer_count_when_it_is_answered() {
    let mut world = World::new();
    let offer_with = |octet| {
        let sdp = secured("192.0.2.1", 4000, "RTP/SAVP", &[line(1, CM, octet)]);
        Offer { options: towards("RTP/AVP"), ..offer(sdp) }
    };
    world.offer(offer_with(1));
    world.answer(answer(body("192.0.2.2", 5000)));
    world.offer(Offer { to_tag: Some("bob".into()), ..offer_with(2) });
    assert!(is_of(&world.leg("192.0.2.1:4000").receive, 1));
    world.answer(answer(body("192.0.2.2", 5000)));
    assert!(is_of(&world.leg("192.0.2.1:4000").receive, 2));
}

#[test]
fn opportunistic_srtp_passes_and_either_side_may_decline() {
    let opportunistic = || secured("192.0.2.1", 4000, "RTP/AVP", &[line(1, CM, 1)]);
    let mut world = World::new();
    let offered = world.offer(offer(opportunistic()));
    assert!(offered.contains(" RTP/AVP ") && crypto(&offered)[0] == line(1, CM, 1));
    let answered = world.answer(answer(secured("192.0.2.2", 5000, "RTP/AVP", &[line(1, CM, 9)])));
    assert_eq!(crypto(&answered), [line(1, CM, 9)]);

    let mut world = World::new();
    world.offer(offer(opportunistic()));
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    assert!(!answered.contains("crypto"));
    assert_eq!(world.leg("192.0.2.1:4000").receive, Security::Plain);

    let mut world = World::new();
    let options = Options { osrtp: Osrtp { accept: true, ..Osrtp::default() }, ..Options::default() };
    world.offer(Offer { options, ..offer(opportunistic()) });
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(crypto(&answered).len(), 1, "accepted whatever Bob says");
    assert!(is_of(&world.leg("192.0.2.1:4000").receive, 1));

    let mut world = World::new();
    let options = Options { osrtp: Osrtp { offer: true, ..Osrtp::default() }, ..Options::default() };
    let offered = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
    assert!(offered.contains(" RTP/AVP ") && crypto(&offered).len() == 6);
}

#[test]
fn an_mki_is_taken_over() {
    let mut world = World::new();
    let with = Crypto { mki: Some((258, 3)), ..line(1, CM, 1) };
    world.offer(Offer { options: towards("RTP/AVP"), ..offer(secured("192.0.2.1", 4000, "RTP/SAVP", &[with])) });
    world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(key(&world.leg("192.0.2.1:4000").receive).mki, [0, 1, 2]);
}

#[test]
fn unusable_keys_are_refused_with_what_would_do() {
    let mut world = World::new();
    let bad = format!(
        "{}a=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA\r\n",
        body("192.0.2.1", 4000).replace("RTP/AVP", "RTP/SAVP")
    );
    let sdes = Sdes { only: vec![CM], ..Sdes::default() };
    let options = Options { sdes, ..towards("RTP/AVP") };
    world.offer(Offer { options, ..offer(bad) });
    let refusal = world.command(Command::Answer(answer(body("192.0.2.2", 5000)))).unwrap_err();
    let expected =
        "m-line 1: RTP/SAVP without an a=crypto line that can be used (0 lines, suites allowed: AEAD_AES_256_GCM, ";
    assert!(refusal.to_string().starts_with(expected), "{refusal}");
    let mut world = World::new();
    world.offer(Offer { options: towards("RTP/SAVP"), ..offer(body("192.0.2.1", 4000)) });
    let wrong = secured("192.0.2.2", 5000, "RTP/SAVP", &[line(77, CM, 1)]);
    let refusal = world.command(Command::Answer(answer(wrong))).unwrap_err();
    assert_eq!(refusal, Refusal::NotOffered { line: 1, tag: 77, suite: "AES_CM_128_HMAC_SHA1_80" });
    let refusal =
        world.command(Command::Answer(answer(body("192.0.2.2", 5000).replace("RTP/AVP", "RTP/SAVP")))).unwrap_err();
    assert!(matches!(refusal, Refusal::NoSuite { line: 1, .. }));
}

#[test]
fn a_key_is_never_shown() {
    let mut world = World::new();
    world.offer(offer(secured("192.0.2.1", 4000, "RTP/SAVP", &[line(1, CM, 1)])));
    let shown = format!("{:?} {:?}", world.calls.calls().collect::<Vec<_>>(), world.session().legs);
    assert!(!shown.contains("[1, 1, 1") && !shown.contains("AQEBAQEB"));
}
