//! Calls from offer to delete.

use raceway_api::MediaRule;
use raceway_api::{Learning, Route, SourcePolicy};
use raceway_media::{Change, Command, Event, Offer, Options, Refusal, Reply, Toggle};

use crate::world::*;

#[test]
fn an_offer_and_its_answer_anchor_media_between_the_two() {
    let mut world = World::new();
    let (offered, answered) = world.plain();
    let (to_bob, to_alice) = (rtp(&offered), rtp(&answered));
    assert_eq!((to_bob.ip(), to_alice.ip()), (address("10.0.0.1:0").ip(), address("10.0.0.1:0").ip()));
    assert!(to_bob.port() % 2 == 0 && to_alice.port() % 2 == 0 && to_bob != to_alice, "even, and two");
    assert!(offered.contains(&format!("a=rtcp:{}\r\n", to_bob.port() + 1)));
    let session = world.session();
    assert_eq!((session.legs.len(), session.media.len()), (2, 4));
    let (alice, bob) = (world.leg("192.0.2.1:4000"), world.leg("192.0.2.2:5000"));
    assert_eq!((alice.rtp.local, bob.rtp.local), (to_alice, to_bob));
    assert_eq!(alice.rtcp.unwrap().remote, Some(address("192.0.2.1:4001")));
    assert_eq!((&alice.to, &bob.to), (&vec![Route::to(bob.id)], &vec![Route::to(alice.id)]));
    assert_eq!((alice.learning, alice.source), (Learning::Heuristic, SourcePolicy::Any));
    assert_eq!(alice.formats.len(), 2);
}

#[test]
fn a_body_that_comes_back_has_a_call_send_nothing_to_itself() {
    let mut world = World::new();
    let offered = world.offer(Offer {
        options: Options { interface_to: Some("ext".into()), ..Options::default() },
        ..offer(body("192.0.2.1", 4000))
    });
    world.answer(answer(body("192.0.2.2", 5000)));
    // Alice says that she is where Bob sends to: at the address that he knows, of a NAT.
    let bobs = describe(&offered).media[0].rtp.unwrap();
    assert_eq!(bobs.ip(), address("203.0.113.7:0").ip());
    world.offer(offer(body("203.0.113.7", bobs.port())));
    world.answer(answer(body("192.0.2.2", 5000)));
    let bob = world.leg("192.0.2.2:5000").id;
    let alice = world.session().legs.values().find(|leg| leg.id != bob).unwrap();
    assert_eq!((alice.rtp.remote, alice.rtcp.unwrap().remote), (None, None));
    assert_ne!(alice.learning, Learning::Off, "her packets say where she is");
}

#[test]
fn the_answer_waits_for_the_relay() {
    let mut world = World::new();
    world.give(Command::Offer(offer(body("192.0.2.1", 4000))));
    assert_eq!(world.calls.poll_outcome(), None);
    world.settle();
    assert!(matches!(world.calls.poll_outcome(), Some((_, Ok(Reply::Sdp(_))))));
}

#[test]
fn bodies_keep_everything_but_addresses_and_ports() {
    let mut world = World::new();
    let (offered, _) = world.plain();
    let port = rtp(&offered).port();
    let expected = body("192.0.2.1", 4000)
        .replace("c=IN IP4 192.0.2.1", "c=IN IP4 10.0.0.1")
        .replace("m=audio 4000", &format!("m=audio {port}"));
    assert_eq!(offered, format!("{expected}a=rtcp:{}\r\n", port + 1));
}

#[test]
fn delete_removes_everything_and_gives_the_ports_back() {
    let mut world = World::new();
    for _ in 0..600 {
        world.plain();
        let call = world.delete();
        assert_eq!((&*call.call_id, call.parties.len(), call.answered), (CALL, 2, true));
        assert!(world.relay.sessions.is_empty() && world.calls.is_empty());
    }
    assert!(matches!(world.events.last(), Some(Event::Ended { .. })));
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let mut world = World::new();
    world.offer(offer(body("192.0.2.1", 4000)));
    let alice = world.leg("192.0.2.1:4000").id;
    let bob = world.session().legs.values().find(|leg| leg.id != alice).unwrap();
    assert_eq!((bob.rtp.remote, &bob.to), (None, &vec![Route::to(alice)]));
    assert!(world.leg("192.0.2.1:4000").to.is_empty(), "nobody has answered");
}

#[test]
fn a_re_offer_keeps_ports_and_takes_the_new_address_when_it_is_answered() {
    let mut world = World::new();
    let (offered, answered) = world.plain();
    let again = Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.9", 4100)) };
    assert_eq!(rtp(&world.offer(again)), rtp(&offered), "the same port towards Bob");
    assert_eq!(world.leg("192.0.2.1:4000").rtp.local, rtp(&answered), "not before the answer");
    assert_eq!(rtp(&world.answer(answer(body("192.0.2.2", 5000)))), rtp(&answered));
    assert_eq!(world.leg("192.0.2.9:4100").rtp.local, rtp(&answered));
    assert_eq!(world.session().legs.len(), 2);
}

#[test]
fn the_callee_may_offer_as_well() {
    let mut world = World::new();
    let (offered, answered) = world.plain();
    let again = Offer { from_tag: "bob".into(), to_tag: Some("alice".into()), ..offer(body("192.0.2.2", 5002)) };
    assert_eq!(rtp(&world.offer(again)), rtp(&answered));
    let back =
        raceway_media::Answer { from_tag: "bob".into(), to_tag: "alice".into(), ..answer(body("192.0.2.1", 4000)) };
    assert_eq!(rtp(&world.answer(back)), rtp(&offered));
    assert_eq!(world.leg("192.0.2.2:5002").rtp.local, rtp(&offered));
}

#[test]
fn hold_by_direction_passes_and_hold_by_zero_address_sends_nothing() {
    let mut world = World::new();
    world.plain();
    let held = body("192.0.2.1", 4000).replace("sendrecv", "sendonly");
    assert!(world.offer(Offer { to_tag: Some("bob".into()), ..offer(held) }).contains("a=sendonly"));
    world.answer(answer(body("192.0.2.2", 5000).replace("sendrecv", "recvonly")));
    assert_eq!(world.leg("192.0.2.1:4000").rtp.remote, Some(address("192.0.2.1:4000")));
    let old = body("192.0.2.1", 4000).replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0");
    assert!(world.offer(Offer { to_tag: Some("bob".into()), ..offer(old.clone()) }).contains("c=IN IP4 0.0.0.0"));
    world.answer(answer(body("192.0.2.2", 5000)));
    let alice = world.session().legs.values().find(|leg| leg.rtp.remote.is_none()).expect("a held leg");
    assert_eq!(alice.to.len(), 1, "what it sends passes");
    let mut options = Options::default();
    options.replace.zero_address = true;
    let zero = world.offer(Offer { to_tag: Some("bob".into()), options, ..offer(old) });
    assert!(!zero.contains("c=IN IP4 0.0.0.0"));
}

#[test]
fn media_that_is_refused_or_not_rtp_gets_port_zero_and_no_leg() {
    let mut world = World::new();
    let two = format!(
        "{}m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\nm=image 4004 udptl t38\r\n",
        body("192.0.2.1", 4000)
    );
    let offered = world.offer(offer(two));
    assert!(offered.contains("m=image 0 udptl t38"));
    assert_eq!(world.session().legs.len(), 4);
    let answered = format!("{}m=video 0 RTP/AVP 96\r\nm=image 0 udptl t38\r\n", body("192.0.2.2", 5000));
    let answered = world.answer(answer(answered));
    assert!(answered.contains("m=video 0 "));
    assert_eq!((world.session().legs.len(), world.session().media.len()), (2, 4), "its ports are closed");
}

#[test]
fn several_streams_have_legs_of_their_own() {
    let mut world = World::new();
    let video = |port| format!("m=video {port} RTP/AVPF 96\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n");
    let offered = world.offer(offer(format!("{}{}", body("192.0.2.1", 4000), video(4002))));
    assert!(offered.contains("a=rtcp-fb:96 nack pli"));
    world.answer(answer(format!("{}{}", body("192.0.2.2", 5000), video(5002))));
    let (alice, bob) = (world.leg("192.0.2.1:4002"), world.leg("192.0.2.2:5002"));
    assert_eq!(alice.to, [Route::to(bob.id)]);
    assert!(alice.rules.feedback && !world.leg("192.0.2.1:4000").rules.feedback);
}

#[test]
fn families_are_bridged() {
    let mut world = World::new();
    let options = Options { address_family: Some(raceway_media::options::Family::Ipv6), ..Options::default() };
    let offered = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
    assert!(rtp(&offered).is_ipv6() && offered.contains("c=IN IP6 2001:db8::1"));
    let answered = world.answer(answer(body("2001:db8:2::5", 5000)));
    assert!(rtp(&answered).is_ipv4() && answered.contains("c=IN IP4 10.0.0.1"));
}

#[test]
fn a_party_that_answers_from_the_other_family_gets_ports_of_that() {
    let mut world = World::new();
    world.offer(offer(body("192.0.2.1", 4000)));
    let answered = world.answer(answer(body("2001:db8:2::5", 5000)));
    assert!(rtp(&answered).is_ipv4());
    assert!(world.leg("[2001:db8:2::5]:5000").rtp.local.is_ipv6());
}

#[test]
fn interfaces_are_chosen_by_name_and_advertise_what_they_should() {
    let mut world = World::new();
    let options =
        || Options { interface_from: Some("int".into()), interface_to: Some("ext".into()), ..Options::default() };
    let offered = world.offer(Offer { options: options(), ..offer(body("192.0.2.1", 4000)) });
    assert_eq!(rtp(&offered).ip().to_string(), "203.0.113.7");
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(rtp(&answered).ip().to_string(), "10.0.0.1");
    let bob = world.leg("192.0.2.2:5000").rtp.local;
    assert_eq!((bob.ip().to_string(), bob.port()), ("10.0.1.1".to_owned(), rtp(&offered).port()));
    assert_eq!(world.session().media.get(&bob), Some(&rtp(&offered)));
}

#[test]
fn a_remote_address_that_is_ours_is_taken_as_the_internal_one() {
    let mut world = World::new();
    world.offer(offer(body("203.0.113.7", 30_100)));
    assert_eq!(world.leg("10.0.1.1:30100").rtp.remote, Some(address("10.0.1.1:30100")));
}

#[test]
fn the_address_of_signalling_counts_when_it_is_asked_for() {
    let mut world = World::new();
    let received_from = Some("198.51.100.9".parse().unwrap());
    let options = Options { received_from, sip_source_address: true, ..Options::default() };
    world.offer(Offer { options, ..offer(body("192.168.1.5", 4000)) });
    assert_eq!(world.leg("198.51.100.9:4000").rtcp.unwrap().remote, Some(address("198.51.100.9:4001")));
}

#[test]
fn learning_and_source_policy_are_as_asked() {
    let cases = [
        (Options { asymmetric: true, ..Options::default() }, Learning::Off, SourcePolicy::Any),
        (
            Options { learning: Some(Learning::Immediate), strict_source: true, ..Options::default() },
            Learning::Immediate,
            SourcePolicy::Strict,
        ),
        (Options { media_handover: true, ..Options::default() }, Learning::Heuristic, SourcePolicy::Handover),
        (Options { no_port_latching: true, ..Options::default() }, Learning::Off, SourcePolicy::Any),
    ];
    for (options, learning, source) in cases {
        let mut world = World::new();
        world.plain_with(options);
        for leg in world.session().legs.values() {
            assert_eq!((leg.learning, leg.source), (learning, source));
        }
    }
}

fn toggle(from_tag: Option<&str>, what: Toggle, on: bool) -> Command {
    let from_tag = from_tag.map(str::to_owned);
    Command::Change(Change { call_id: CALL.into(), from_tag, address: None, label: None, all: false, what, on })
}

#[test]
fn media_of_one_party_is_blocked_silenced_and_let_go_again() {
    let mut world = World::new();
    world.plain();
    let media = |world: &World, remote| world.leg(remote).rules.media;
    assert_eq!(world.command(toggle(Some("alice"), Toggle::BlockMedia, true)), Ok(Reply::Done));
    assert_eq!((media(&world, "192.0.2.1:4000"), media(&world, "192.0.2.2:5000")), (MediaRule::Block, MediaRule::Pass));
    world.command(toggle(Some("alice"), Toggle::BlockMedia, false)).unwrap();
    world.command(toggle(None, Toggle::SilenceMedia, true)).unwrap();
    assert_eq!(
        (media(&world, "192.0.2.1:4000"), media(&world, "192.0.2.2:5000")),
        (MediaRule::Silence, MediaRule::Silence)
    );
    world.command(toggle(Some("bob"), Toggle::BlockDtmf, true)).unwrap();
    assert!(world.leg("192.0.2.2:5000").rules.block_dtmf && !world.leg("192.0.2.1:4000").rules.block_dtmf);
    let refusal = world.command(toggle(Some("carol"), Toggle::BlockDtmf, true)).unwrap_err();
    assert_eq!(refusal.to_string(), r#"Unknown from-tag "carol" in call "1-31631@10.77.1.1""#);
}

#[test]
fn dtmf_is_detected_when_asked_and_told_with_its_party() {
    let mut world = World::new();
    world.plain_with(Options { detect_dtmf: true, label: None, ..Options::default() });
    let bob = world.leg("192.0.2.2:5000");
    assert!(bob.rules.detect_dtmf);
    let (session, leg) = (world.session_id(), bob.id);
    let dtmf = raceway_api::Dtmf { event: 5, volume: 10, duration_ms: 100, payload_type: 101 };
    world.calls.handle_leg_event(world.now, session, leg, &raceway_api::LegEvent::Dtmf(dtmf));
    world.settle();
    assert!(matches!(&world.events[..], [Event::Dtmf { tag, dtmf: told, .. }] if tag == "bob" && *told == dtmf));
}

#[test]
fn type_of_service_marks_what_is_sent_to_who_gets_the_body() {
    let mut world = World::new();
    world.offer(Offer { options: Options { tos: Some(184), ..Options::default() }, ..offer(body("192.0.2.1", 4000)) });
    world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(world.leg("192.0.2.2:5000").rules.dscp, Some(46));
    assert_eq!(world.leg("192.0.2.1:4000").rules.dscp, None);
}

#[test]
fn unknown_calls_and_parties_are_refused_by_name() {
    let mut world = World::new();
    let refusal = world.command(Command::Answer(answer(body("192.0.2.2", 5000)))).unwrap_err();
    assert_eq!(refusal.to_string(), r#"Unknown call-id "1-31631@10.77.1.1""#);
    assert_eq!(world.command(Command::Delete(delete())), Err(Refusal::UnknownCall(CALL.into())));
    world.offer(offer(body("192.0.2.1", 4000)));
    let wrong = raceway_media::Answer { from_tag: "carol".into(), ..answer(body("192.0.2.2", 5000)) };
    let refusal = world.command(Command::Answer(wrong)).unwrap_err();
    assert_eq!(refusal.to_string(), r#"Unknown from-tag "carol" in call "1-31631@10.77.1.1""#);
    world.answer(answer(body("192.0.2.2", 5000)));
    let wrong =
        raceway_media::Answer { from_tag: "bob".into(), to_tag: "alice".into(), ..answer(body("192.0.2.1", 4000)) };
    let refusal = world.command(Command::Answer(wrong)).unwrap_err();
    assert_eq!(refusal.to_string(), r#"There is no offer of "bob" in call "1-31631@10.77.1.1" that could be answered"#);
    let wrong = raceway_media::Delete { from_tag: Some("carol".into()), ..delete() };
    assert!(matches!(world.command(Command::Delete(wrong)), Err(Refusal::UnknownParty { .. })));
    assert!(world.calls.query("nobody", None, None).is_err() && world.calls.query(CALL, Some("carol"), None).is_err());
    assert_eq!(world.calls.query(CALL, Some("bob"), None).unwrap().parties.len(), 1);
}
