//! From a snapshot of the relay back to calls.

use raceway_api::SessionReport;
use raceway_media::{Calls, Command, Offer, Options, Reply};

use crate::world::*;

/// Another control process takes over from what the relay has.
pub fn restart(world: &mut World) -> usize {
    let reports: Vec<SessionReport<'static>> =
        world.relay.sessions.keys().filter_map(|session| world.relay.report(*session, true)).collect();
    world.calls = Calls::new(settings(), random(7)).unwrap();
    for report in &reports {
        // One leg a message, as the relay may split it.
        for at in 0..report.legs.len().max(1) {
            let legs = report.legs[at..report.legs.len().min(at + 1)].to_vec();
            let flows = if at == 0 { report.flows.clone() } else { Vec::new() };
            world.calls.restore(&SessionReport { legs, flows, ..report.clone() });
        }
    }
    let failures = world.calls.restore_end(world.now);
    world.settle();
    failures
}

#[test]
fn a_call_is_what_it_was_and_the_relay_need_not_change() {
    let mut world = World::new();
    world.plain_with(Options { label: Some("boss".into()), interface_to: Some("ext".into()), ..Options::default() });
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    world.learned(alice, false, "192.0.2.1:4000");
    world.learned(bob, false, "192.0.2.2:5000");
    for (leg, remote) in [(alice, "192.0.2.1:4000"), (bob, "192.0.2.2:5000")] {
        let report = crate::relay::leg_report(leg);
        let report = raceway_api::LegReport { rtp_remote: Some(address(remote)), rtp_settled: true, ..report };
        world.relay.legs.insert(leg, report);
    }
    let (before, sessions) = (world.calls.query(CALL, None, None).unwrap(), world.relay.sessions.clone());
    assert_eq!(restart(&mut world), 0);
    let after = world.calls.query(CALL, None, None).unwrap();
    let words = |call: &raceway_media::CallView| {
        let parties = call.parties.iter().map(|party| {
            let media: Vec<_> =
                party.media.iter().map(|media| (media.leg, media.rtp, media.kind, media.codec.clone())).collect();
            (party.tag.clone(), party.label.clone(), party.peer.clone(), media)
        });
        (call.call_id.clone(), call.created, call.answered, parties.collect::<Vec<_>>())
    };
    assert_eq!(words(&after), words(&before));
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions, sessions);
}

#[test]
fn flows_that_ended_while_control_was_away_are_put_again() {
    let mut world = World::new();
    world.plain_with(Options { asymmetric: true, ..Options::default() });
    world.pass(std::time::Duration::from_secs(2));
    let flows = world.session().flows.len();
    assert!(flows > 0);
    let session = world.session_id();
    world.relay.sessions.get_mut(&session).unwrap().flows.clear();
    world.now = world.now.after(10 * raceway_media::limits::FLOW_LIFETIME);
    assert_eq!(restart(&mut world), 0);
    assert_eq!(world.session().flows.len(), flows);
    assert!(world.session().flows.values().all(|flow| flow.expires_at_ns > world.now.as_ns()));
}

#[test]
fn a_restored_call_goes_on_with_its_ports() {
    let mut world = World::new();
    let (offered, answered) = world.plain();
    restart(&mut world);
    let again = Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.9", 4100)) };
    assert_eq!(rtp(&world.offer(again)), rtp(&offered));
    assert_eq!(rtp(&world.answer(answer(body("192.0.2.2", 5000)))), rtp(&answered));
    for call in 0..400 {
        let other = Offer { call_id: call.to_string(), ..offer(body("192.0.2.1", 4000)) };
        if world.command(Command::Offer(other)).is_err() {
            break;
        }
    }
    world.delete();
}

#[test]
fn an_answer_to_an_offer_from_before_is_refused() {
    let mut world = World::new();
    world.offer(offer(body("192.0.2.1", 4000)));
    restart(&mut world);
    let refusal = world.command(Command::Answer(answer(body("192.0.2.2", 5000)))).unwrap_err();
    assert!(refusal.to_string().starts_with("There is no offer"), "{refusal}");
    assert!(matches!(world.command(Command::Delete(delete())), Ok(Reply::Deleted(_))));
}

#[test]
fn what_is_not_understood_or_is_there_twice_is_removed() {
    let mut world = World::new();
    world.plain();
    let id = world.session_id();
    let copy = world.session().clone();
    world.relay.sessions.insert(raceway_api::SessionId(id.0 + 1), copy);
    assert_eq!(restart(&mut world), 1, "two with one name");
    assert_eq!((world.calls.len(), world.relay.sessions.len()), (1, 1));
    let session = world.session_id();
    world.relay.sessions.get_mut(&session).unwrap().blob[0] = 99;
    assert_eq!(restart(&mut world), 1, "another version");
    assert!(world.calls.is_empty() && world.relay.sessions.is_empty());
}

#[test]
fn secured_calls_keep_their_keys() {
    let mut world = World::new();
    let transport = Some(raceway_media::options::Transport::As("RTP/SAVP".parse().unwrap()));
    let offered =
        world.offer(Offer { options: Options { transport, ..Options::default() }, ..offer(body("192.0.2.1", 4000)) });
    let line = describe(&offered).media[0].crypto[0].value(true);
    let secured = body("192.0.2.2", 5000).replace("RTP/AVP", "RTP/SAVP");
    world.answer(answer(format!("{secured}a=crypto:{line}\r\n")));
    let sessions = world.relay.sessions.clone();
    restart(&mut world);
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions, sessions);
}

#[test]
fn blobs_fit_with_the_longest_names() {
    let mut world = World::new();
    let long = |letter: &str| letter.repeat(raceway_media::limits::TAG_MAX);
    let call_id = "c".repeat(raceway_media::limits::CALL_ID_MAX);
    let options = Options { label: Some(long("l")), ..Options::default() };
    let sdp = format!("{}a=mid:{}\r\n", body("192.0.2.1", 4000), "m".repeat(200));
    let first = Offer {
        call_id,
        from_tag: long("f"),
        to_tag: Some(long("t")),
        via_branch: Some(long("b")),
        sdp: sdp.into(),
        options,
    };
    world.offer(first);
    assert_eq!(restart(&mut world), 0);
    assert_eq!(world.calls.len(), 1);
}

#[test]
fn a_relay_that_was_lost_before_it_told_its_calls_is_spoken_with_once_it_has() {
    let mut world = World::new();
    world.calls.relay_lost();
    assert!(world.command(Command::Offer(offer(body("192.0.2.1", 4000)))).is_err());
    assert_eq!(world.calls.restore_end(world.now), 0);
    world.plain();
}
