//! Publishing, subscriptions, and parties that are connected without an offer.

use std::time::Duration;

use raceway_api::{Leg, MediaRule, Route, Security};
use raceway_media::options::{Ice, Transport};
use raceway_media::{
    Command, Connect, Delete, Ended, Event, Offer, Options, Refusal, Reply, SubscribeAnswer, SubscribeRequest,
    Unsubscribe,
};
use raceway_sdp::{Direction, Protocol};

use crate::world::*;

const RECORDER: &str = "recorder";

fn request() -> SubscribeRequest {
    SubscribeRequest { call_id: CALL.into(), all: true, to_tag: Some(RECORDER.into()), ..SubscribeRequest::default() }
}

/// What a subscriber is offered.
fn subscribe(world: &mut World, request: SubscribeRequest) -> (String, Vec<String>, String) {
    match world.command(Command::SubscribeRequest(request)) {
        Ok(Reply::Subscribed { sdp, from_tags, to_tag }) => (String::from_utf8(sdp).unwrap(), from_tags, to_tag),
        other => panic!("{other:?}"),
    }
}

/// An answer to all m-lines, by ports from `port` on.
fn takes(offered: &str, address: &str, port: u16) -> String {
    let mut text = format!("v=0\r\no=r 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n");
    for (index, media) in describe(offered).media.iter().enumerate() {
        let formats = media.encoding.lines().next().unwrap();
        let port = port + 2 * index as u16;
        text += &format!("m={} {port} {} {formats}\r\na=recvonly\r\n", media.kind.name(), media.protocol);
        let maps = media.encoding.lines().filter(|line| line.starts_with("a=rtpmap"));
        maps.for_each(|map| text += &format!("{map}\r\n"));
    }
    text
}

fn accept(world: &mut World, to_tag: &str, sdp: String) -> Result<Reply, Refusal> {
    let (call_id, to_tag, sdp) = (CALL.into(), to_tag.into(), sdp.into_bytes());
    world.command(Command::SubscribeAnswer(SubscribeAnswer { call_id, to_tag, sdp, options: Options::default() }))
}

fn unsubscribe(world: &mut World, to_tag: &str) -> Result<Reply, Refusal> {
    world.command(Command::Unsubscribe(Unsubscribe { call_id: CALL.into(), to_tag: to_tag.into() }))
}

fn connect(world: &mut World, from_tag: &str, to_tag: &str) -> Result<Reply, Refusal> {
    let (from_tag, to_tag) = (from_tag.into(), to_tag.into());
    world.command(Command::Connect(Connect { call_id: CALL.into(), from_tag, to_call_id: None, to_tag }))
}

/// Routes of the leg whose party is there, as our leg identifiers.
fn to(world: &World, remote: &str) -> Vec<Route> {
    world.leg(remote).to.clone()
}

fn settle_both(world: &mut World) {
    for remote in ["192.0.2.1:4000", "192.0.2.2:5000"] {
        let leg = world.leg(remote).id;
        world.learned(leg, false, remote);
    }
}

#[test]
fn a_subscriber_is_offered_what_the_parties_send_and_gets_it_once_it_has_answered() {
    let mut world = World::new();
    world.plain();
    let (offered, from_tags, to_tag) = subscribe(&mut world, request());
    assert_eq!((from_tags, &*to_tag), (vec!["alice".to_owned(), "bob".to_owned()], RECORDER));
    let media = describe(&offered).media;
    assert_eq!(media.len(), 2);
    for media in &media {
        assert_eq!((media.direction, media.protocol), (Direction::SendOnly, Protocol::Avp));
        assert_eq!(media.encoding, "0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000");
    }
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    assert_eq!(to(&world, "192.0.2.1:4000"), [Route::to(bob)], "nothing is sent before the answer");
    assert_eq!(accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000)), Ok(Reply::Done));
    let (first, second) = (world.leg("192.0.2.9:7000"), world.leg("192.0.2.9:7002"));
    assert_eq!(to(&world, "192.0.2.1:4000"), [Route::to(bob), Route::to(first.id)]);
    assert_eq!(to(&world, "192.0.2.2:5000"), [Route::to(alice), Route::to(second.id)]);
    let ports: Vec<_> = media.iter().map(|media| media.rtp.unwrap()).collect();
    assert_eq!(ports, [first.rtp.local, second.rtp.local]);
}

#[test]
fn what_a_subscriber_sends_goes_nowhere_but_its_reports_if_they_are_mirrored() {
    for (mirror, routes) in [(false, 0), (true, 1)] {
        let mut world = World::new();
        world.plain();
        let options = Options { rtcp_mirror: mirror, ..Options::default() };
        let (offered, ..) = subscribe(&mut world, SubscribeRequest { options, ..request() });
        accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000)).unwrap();
        let (alice, leg) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.9:7000"));
        assert_eq!((&leg.to[..], leg.rules.media), (&[Route::to(alice)][..routes], MediaRule::Block));
    }
}

#[test]
fn exact_flows_give_way_to_a_subscriber_and_come_back_after_it() {
    let mut world = World::new();
    world.plain();
    settle_both(&mut world);
    let before = world.session().clone();
    assert_eq!(before.flows.len(), 2);
    let (offered, ..) = subscribe(&mut world, request());
    assert_eq!(world.session().flows.len(), 2, "nobody has answered");
    accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000)).unwrap();
    assert!(world.session().flows.is_empty());
    assert_eq!(unsubscribe(&mut world, RECORDER), Ok(Reply::Done));
    let after = world.session();
    assert_eq!((&after.flows, &after.legs, &after.media), (&before.flows, &before.legs, &before.media));
}

#[test]
fn several_subscribe_to_one_party_and_each_ends_for_itself() {
    let mut world = World::new();
    world.plain();
    let one = || SubscribeRequest { all: false, from_tags: vec!["bob".into()], to_tag: None, ..request() };
    let mut tags = Vec::new();
    for port in [7000, 7100, 7200] {
        let (offered, from_tags, to_tag) = subscribe(&mut world, one());
        assert_eq!((from_tags, describe(&offered).media.len()), (vec!["bob".to_owned()], 1));
        accept(&mut world, &to_tag, takes(&offered, "192.0.2.9", port)).unwrap();
        tags.push(to_tag);
    }
    tags.dedup();
    assert_eq!((tags.len(), to(&world, "192.0.2.2:5000").len(), to(&world, "192.0.2.1:4000").len()), (3, 4, 1));
    unsubscribe(&mut world, &tags[1]).unwrap();
    let last = world.leg("192.0.2.9:7200").id;
    assert_eq!(to(&world, "192.0.2.2:5000").last(), Some(&Route::to(last)));
    assert_eq!(to(&world, "192.0.2.2:5000").len(), 3);
    let delete = Delete { from_tag: Some(tags[2].clone()), ..delete() };
    assert!(matches!(world.command(Command::Delete(delete)), Ok(Reply::Deleted(_))));
    assert_eq!((to(&world, "192.0.2.2:5000").len(), world.calls.len()), (2, 1));
}

#[test]
fn a_subscriber_may_speak_srtp_with_keys_of_its_own() {
    let mut world = World::new();
    world.plain();
    let options = Options { transport: Some(Transport::As(Protocol::Savp)), ..Options::default() };
    let (offered, ..) = subscribe(&mut world, SubscribeRequest { options, ..request() });
    let media = describe(&offered).media;
    assert!(media.iter().all(|media| media.protocol == Protocol::Savp && !media.crypto.is_empty()));
    let crypto = offered.lines().filter(|line| line.starts_with("a=crypto:1 ")).collect::<Vec<_>>();
    assert_ne!(crypto[0], crypto[1]);
    let mut answer = takes(&offered, "192.0.2.9", 7000);
    for line in crypto {
        answer = answer.replacen("a=recvonly\r\n", &format!("a=recvonly \r\n{line}\r\n"), 1);
    }
    let answer = answer.replace("recvonly ", "recvonly");
    accept(&mut world, RECORDER, answer).unwrap();
    for remote in ["192.0.2.9:7000", "192.0.2.9:7002"] {
        assert!(matches!(world.leg(remote).send, Security::Srtp(_)));
    }
    assert_eq!(world.leg("192.0.2.1:4000").receive, Security::Plain);
    let (bare, ..) = subscribe(&mut world, SubscribeRequest { to_tag: Some("other".into()), ..request() });
    let refused = accept(&mut world, RECORDER, takes(&bare, "192.0.2.9", 7000));
    assert_eq!(refused, Ok(Reply::Done), "an answer of RTP/AVP is the recorder's right, as of any party");
}

#[test]
fn srtp_that_passed_unopened_is_opened_for_a_subscriber_and_passes_again_after_it() {
    let mut world = World::new();
    let secured = |address, port| {
        let line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm\r\n";
        body(address, port).replace("RTP/AVP", "RTP/SAVP") + line
    };
    world.offer(offer(secured("192.0.2.1", 4000)));
    world.answer(answer(secured("192.0.2.2", 5000).replace("MTIz", "MTIy")));
    let opaque = |leg: &Leg<'_>| (leg.receive.clone(), leg.send.clone()) == (Security::Opaque, Security::Opaque);
    let both = |world: &World| [opaque(world.leg("192.0.2.1:4000")), opaque(world.leg("192.0.2.2:5000"))];
    assert_eq!(both(&world), [true; 2]);
    let options = Options { transport: Some(Transport::As(Protocol::Avp)), ..Options::default() };
    let bob = SubscribeRequest { all: false, from_tags: vec!["bob".into()], options, ..request() };
    let (offered, ..) = subscribe(&mut world, bob);
    assert!(!offered.contains("crypto"), "{offered}");
    accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000)).unwrap();
    assert_eq!(both(&world), [false; 2]);
    assert!(matches!(world.leg("192.0.2.2:5000").receive, Security::Srtp(_)));
    unsubscribe(&mut world, RECORDER).unwrap();
    assert_eq!(both(&world), [true; 2]);
}

#[test]
fn a_subscriber_is_offered_no_codec_that_the_command_takes_out() {
    let mut world = World::new();
    world.plain();
    let strip = vec![raceway_sdp::CodecName::of("telephone-event")];
    let codecs = raceway_sdp::Selection { strip, ..raceway_sdp::Selection::default() };
    let options = Options { codecs, ..Options::default() };
    let (offered, ..) = subscribe(&mut world, SubscribeRequest { options, ..request() });
    assert!(describe(&offered).media.iter().all(|media| media.encoding == "0\na=rtpmap:0 PCMU/8000"), "{offered}");
}

#[test]
fn a_subscriber_may_do_ice() {
    let mut world = World::new();
    world.plain();
    let options = Options { ice: Some(Ice::Force), ..Options::default() };
    let (offered, ..) = subscribe(&mut world, SubscribeRequest { options, ..request() });
    assert_eq!(offered.matches("a=candidate:").count(), 4, "{offered}");
    let ice = "a=ice-ufrag:abcdefgh\r\na=ice-pwd:abcdefghabcdefghabcdefgh\r\na=candidate:1 1 udp 1 192.0.2.9 7000 typ host\r\n";
    let answer = takes(&offered, "192.0.2.9", 7000).replace("a=recvonly\r\n", &format!("a=recvonly\r\n{ice}"));
    accept(&mut world, RECORDER, answer).unwrap();
    let legs = world.session().legs.values().filter(|leg| leg.punt.stun).count();
    assert_eq!(legs, 2);
}

#[test]
fn a_request_for_a_tag_that_is_there_replaces_what_it_got_and_keeps_its_ports() {
    let mut world = World::new();
    world.plain();
    let (first, ..) = subscribe(&mut world, request());
    accept(&mut world, RECORDER, takes(&first, "192.0.2.9", 7000)).unwrap();
    let only = SubscribeRequest { all: false, from_tags: vec!["bob".into()], ..request() };
    let (second, ..) = subscribe(&mut world, only);
    assert_eq!((describe(&second).media.len(), rtp(&second)), (1, rtp(&first)));
    let origin = |text: &str| describe(text).origin.unwrap();
    assert_eq!(origin(&second).session, origin(&first).session);
    assert_eq!(origin(&second).version(), origin(&first).version().map(|version| version + 1));
    assert_eq!((to(&world, "192.0.2.1:4000").len(), to(&world, "192.0.2.2:5000").len()), (1, 1));
    accept(&mut world, RECORDER, takes(&second, "192.0.2.9", 7000)).unwrap();
    assert_eq!((to(&world, "192.0.2.1:4000").len(), to(&world, "192.0.2.2:5000").len()), (1, 2));
    assert_eq!(world.session().legs.len(), 3);
}

#[test]
fn a_subscriber_that_refuses_a_line_or_receives_nothing_gets_nothing_of_it() {
    let mut world = World::new();
    world.plain();
    let (offered, ..) = subscribe(&mut world, request());
    let answer = takes(&offered, "192.0.2.9", 7000).replace("m=audio 7000", "m=audio 0");
    accept(&mut world, RECORDER, answer).unwrap();
    assert_eq!((to(&world, "192.0.2.1:4000").len(), to(&world, "192.0.2.2:5000").len()), (1, 2));
    let (offered, ..) = subscribe(&mut world, request());
    accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000).replace("recvonly", "inactive")).unwrap();
    assert_eq!((to(&world, "192.0.2.1:4000").len(), to(&world, "192.0.2.2:5000").len()), (1, 1));
}

#[test]
fn subscriptions_that_cannot_be_are_refused_and_say_why() {
    let mut world = World::new();
    let refused = |world: &mut World, request| match world.command(Command::SubscribeRequest(request)) {
        Err(refusal) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut world, request()), format!("Unknown call-id {CALL:?}"));
    world.plain();
    let nobody = SubscribeRequest { all: false, ..request() };
    assert!(refused(&mut world, nobody.clone()).starts_with("No from-tag, from-tags, address, label"));
    let unknown = SubscribeRequest { from_tags: vec!["carol".into()], ..nobody };
    assert!(refused(&mut world, unknown).starts_with("Unknown from-tag \"carol\""));
    let party = SubscribeRequest { to_tag: Some("bob".into()), ..request() };
    assert!(refused(&mut world, party).contains("talks with another one"));
    assert!(unsubscribe(&mut world, "alice").unwrap_err().to_string().contains("talks with another one"));
    let (offered, ..) = subscribe(&mut world, request());
    let less = takes(&offered, "192.0.2.9", 7000);
    let less = &less[..less.rfind("m=audio").unwrap()];
    assert!(accept(&mut world, RECORDER, less.to_owned()).unwrap_err().to_string().starts_with("The answer has 1 m="));
    let foreign = takes(&offered, "192.0.2.9", 7000).replace("0 101", "9");
    assert_eq!(accept(&mut world, RECORDER, foreign), Err(Refusal::NoCommonFormat(1)));
    assert_eq!(world.session().legs.len(), 4);
}

#[test]
fn one_stream_has_so_many_copies_and_no_more() {
    let mut world = World::new();
    world.plain();
    let mut answered = 0;
    let refusal = loop {
        let tag = format!("r{answered}");
        let bob =
            SubscribeRequest { all: false, from_tags: vec!["bob".into()], to_tag: Some(tag.clone()), ..request() };
        match world.command(Command::SubscribeRequest(bob)) {
            Ok(Reply::Subscribed { sdp, .. }) => {
                accept(&mut world, &tag, takes(&String::from_utf8(sdp).unwrap(), "192.0.2.9", 7000 + 2 * answered))
                    .unwrap();
            }
            other => break other.unwrap_err(),
        }
        answered += 1;
    };
    assert!(matches!(refusal, Refusal::TooMany { .. }), "{refusal}");
    assert!((10..16).contains(&answered), "{answered}");
}

#[test]
fn a_restart_of_control_keeps_subscriptions() {
    let mut world = World::new();
    world.plain();
    let (offered, ..) = subscribe(&mut world, request());
    accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000)).unwrap();
    let sessions = world.relay.sessions.clone();
    assert_eq!(crate::restore::restart(&mut world), 0);
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions, sessions);
    let view = world.calls.query(CALL, None, None).unwrap();
    assert_eq!(view.parties[2].hears, ["alice", "bob"]);
    let (again, ..) = subscribe(&mut world, SubscribeRequest { to_tag: Some("second".into()), ..request() });
    assert_eq!(describe(&again).media[0].encoding, "0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000");
    unsubscribe(&mut world, RECORDER).unwrap();
    assert_eq!(to(&world, "192.0.2.1:4000").len(), 1);
}

#[test]
fn a_relay_that_cannot_leaves_the_call_as_it_was() {
    let mut world = World::new();
    world.plain();
    let before = (world.session().clone(), world.calls.query(CALL, None, None).unwrap().parties);
    world.relay.fail = Some(raceway_api::OperationError::LegsFull);
    let refused = world.command(Command::SubscribeRequest(request()));
    assert!(matches!(refused, Err(Refusal::Relay(_))), "{refused:?}");
    assert_eq!((world.session().clone(), world.calls.query(CALL, None, None).unwrap().parties), before);
}

fn publication(port: u16) -> Offer {
    let sdp = body("192.0.2.5", port).replace("sendrecv", "sendonly");
    let sdp =
        sdp.replace("RTP/AVP 0 101", "RTP/AVP 101 8 0").replace("a=rtpmap:0 ", "a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 ");
    Offer { from_tag: "studio".into(), ..offer(sdp) }
}

fn publish(world: &mut World) -> String {
    text(world.command(Command::Publish(publication(6000))))
}

#[test]
fn who_publishes_is_answered_and_heard_by_who_subscribes() {
    let mut world = World::new();
    let answered = publish(&mut world);
    let media = &describe(&answered).media[0];
    assert_eq!((media.direction, &*media.encoding), (Direction::RecvOnly, "8\na=rtpmap:8 PCMA/8000"));
    assert!(to(&world, "192.0.2.5:6000").is_empty());
    let one = SubscribeRequest { from_tags: vec!["studio".into()], all: false, ..request() };
    let (offered, ..) = subscribe(&mut world, one);
    assert_eq!(describe(&offered).media[0].encoding, "8\na=rtpmap:8 PCMA/8000");
    accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000)).unwrap();
    let listener = world.leg("192.0.2.9:7000").id;
    assert_eq!(to(&world, "192.0.2.5:6000"), [Route::to(listener)]);
    for (remote, leg) in [("192.0.2.5:6000", world.leg("192.0.2.5:6000").id), ("192.0.2.9:7000", listener)] {
        world.learned(leg, false, remote);
    }
    assert_eq!(world.session().flows.len(), 1, "to one listener that is settled, XDP sends");
}

#[test]
fn a_publication_that_falls_silent_times_out() {
    let mut world = World::new();
    publish(&mut world);
    world.pass(Duration::from_secs(70));
    let ended = world.events.iter().any(|event| matches!(event, Event::Ended { why: Ended::Timeout, .. }));
    assert!(ended, "{:?}", world.events);
}

#[test]
fn who_publishes_beside_others_goes_alone() {
    let mut world = World::new();
    publish(&mut world);
    let other = Offer { from_tag: "stage".into(), ..publication(6100) };
    world.command(Command::Publish(other)).unwrap();
    let gone = |tag: &str| Command::Delete(Delete { from_tag: Some(tag.into()), ..delete() });
    world.command(gone("studio")).unwrap();
    assert_eq!((world.calls.len(), world.session().legs.len()), (1, 1));
    world.command(gone("stage")).unwrap();
    assert!(world.calls.is_empty());
}

#[test]
fn parties_of_a_call_are_connected_and_payload_types_follow() {
    let mut world = World::new();
    world.plain();
    let opus = |address, port, number: u8| {
        body(address, port)
            .replace("0 101", &format!("0 {number}"))
            .replace("rtpmap:101 telephone-event/8000", &format!("rtpmap:{number} opus/48000/2"))
    };
    let carol = Offer { from_tag: "carol".into(), ..offer(opus("192.0.2.3", 6000, 96)) };
    world.command(Command::Publish(carol)).unwrap();
    let dave = Offer { from_tag: "dave".into(), ..offer(opus("192.0.2.4", 6100, 111).replace(" 0 ", " ")) };
    world.command(Command::Publish(dave)).unwrap();
    assert_eq!(connect(&mut world, "alice", "carol"), Ok(Reply::Done));
    let (alice, carol) = (world.leg("192.0.2.1:4000"), world.leg("192.0.2.3:6000"));
    assert_eq!((&alice.to, &carol.to), (&vec![Route::to(carol.id)], &vec![Route::to(alice.id)]));
    assert!(to(&world, "192.0.2.2:5000").is_empty(), "bob is heard by nobody");
    assert_eq!(connect(&mut world, "alice", "dave"), Err(Refusal::NoCommonFormat(1)));
    let erin = Offer { from_tag: "erin".into(), ..offer(opus("192.0.2.6", 6200, 99).replace(" 0 ", " ")) };
    world.command(Command::Publish(erin)).unwrap();
    connect(&mut world, "dave", "erin").unwrap();
    let (dave, erin) = (world.leg("192.0.2.4:6100"), world.leg("192.0.2.6:6200"));
    assert_eq!(dave.to, [Route { leg: erin.id, payload_types: vec![(111, 99)] }]);
    assert_eq!(erin.to, [Route { leg: dave.id, payload_types: vec![(99, 111)] }]);
}

#[test]
fn parties_that_cannot_be_connected_are_told_why() {
    let mut world = World::new();
    world.plain();
    let (offered, ..) = subscribe(&mut world, request());
    accept(&mut world, RECORDER, takes(&offered, "192.0.2.9", 7000)).unwrap();
    assert!(connect(&mut world, "alice", RECORDER).unwrap_err().to_string().contains("a party that subscribes"));
    assert!(connect(&mut world, "alice", "nobody").unwrap_err().to_string().starts_with("Unknown to-tag"));
    assert!(connect(&mut world, "alice", "alice").unwrap_err().to_string().contains("from-tag too"));
    let (call_id, from_tag, to_tag) = (CALL.into(), "alice".into(), "x".into());
    let other = Connect { call_id, from_tag, to_call_id: Some("other".into()), to_tag };
    let refusal = world.command(Command::Connect(other)).unwrap_err().to_string();
    assert!(refusal.starts_with("Parties of different calls"), "{refusal}");
}
