//! Calls that end by themselves, and parties that are not heard.

use std::time::Duration;

use raceway_api::LegReport;
use raceway_media::{Command, Delete, Ended, Event, Offer, Reply, Settings};

use crate::relay::leg_report;
use crate::world::*;

fn ended(world: &World) -> Vec<Ended> {
    world
        .events
        .iter()
        .filter_map(|event| if let Event::Ended { why, .. } = event { Some(*why) } else { None })
        .collect()
}

/// Parties at these addresses send until now.
fn hear(world: &mut World, remotes: &[&str]) {
    for remote in remotes {
        let leg = world.leg(remote).id;
        world.relay.legs.insert(leg, LegReport { last_rtp_ns: world.now.as_ns(), ..leg_report(leg) });
    }
}

#[test]
fn a_call_without_packets_ends_and_one_with_packets_does_not() {
    let mut world = World::new();
    world.plain();
    world.pass(Duration::from_secs(50));
    hear(&mut world, &["192.0.2.1:4000"]);
    world.pass(Duration::from_secs(50));
    assert_eq!(world.calls.len(), 1, "heard 50 s ago");
    world.pass(Duration::from_secs(12));
    assert_eq!((world.calls.len(), world.relay.sessions.len(), ended(&world)), (0, 0, vec![Ended::Timeout]));
}

#[test]
fn a_call_on_hold_may_be_silent_for_longer() {
    let mut world = World::with(Settings { silent_timeout: Duration::from_secs(300), ..settings() });
    world.plain();
    let held = |sdp: String| sdp.replace("sendrecv", "inactive");
    world.offer(Offer { to_tag: Some("bob".into()), ..offer(held(body("192.0.2.1", 4000))) });
    world.answer(answer(held(body("192.0.2.2", 5000))));
    world.pass(Duration::from_secs(298));
    assert_eq!(world.calls.len(), 1);
    world.pass(Duration::from_secs(4));
    assert_eq!(ended(&world), [Ended::SilentTimeout]);
}

#[test]
fn a_call_that_nobody_answers_ends_in_its_time() {
    let mut world = World::with(Settings { offer_timeout: Duration::from_secs(100), ..settings() });
    world.offer(offer(body("192.0.2.1", 4000)));
    world.pass(Duration::from_secs(98));
    assert_eq!(world.calls.len(), 1);
    world.pass(Duration::from_secs(4));
    assert_eq!(ended(&world), [Ended::OfferTimeout]);
}

#[test]
fn a_delayed_delete_answers_at_once_and_ends_later_unless_the_call_goes_on() {
    let mut world = World::new();
    world.plain();
    let delayed = || Command::Delete(Delete { delay: Some(Duration::from_secs(5)), ..delete() });
    assert!(matches!(world.command(delayed()), Ok(Reply::Deleted(_))));
    world.pass(Duration::from_millis(4_900));
    assert_eq!(world.calls.len(), 1);
    world.pass(Duration::from_millis(200));
    assert_eq!(ended(&world), [Ended::Deleted]);
    world.plain();
    world.command(delayed()).unwrap();
    world.offer(Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.1", 4000)) });
    world.pass(Duration::from_secs(10));
    assert_eq!(world.calls.len(), 1);
}

#[test]
fn an_operator_ends_a_call() {
    let mut world = World::new();
    world.plain();
    assert!(!world.calls.terminate(world.now, "nobody") && world.calls.terminate(world.now, CALL));
    world.settle();
    assert_eq!((world.relay.sessions.len(), ended(&world)), (0, vec![Ended::Terminated]));
}

#[test]
fn a_call_that_the_relay_lets_expire_is_forgotten() {
    let mut world = World::new();
    world.plain();
    let session = world.session_id();
    world.relay.forget();
    world.calls.handle_expired(world.now, session);
    world.settle();
    assert_eq!((world.calls.len(), ended(&world)), (0, vec![Ended::Expired]));
    world.plain();
}

#[test]
fn who_is_not_heard_is_told_once_while_the_other_is() {
    let mut world = World::new();
    world.plain();
    let one_way = |world: &World| -> Vec<String> {
        let events = world.events.iter();
        events
            .filter_map(|event| if let Event::OneWay { tag, .. } = event { Some(tag.clone()) } else { None })
            .collect()
    };
    for second in 0..30 {
        hear(&mut world, &["192.0.2.1:4000"]);
        world.pass(Duration::from_secs(1));
        assert_eq!(one_way(&world).len(), usize::from(second >= 9), "second {second}");
    }
    assert_eq!(one_way(&world), ["bob"]);
    hear(&mut world, &["192.0.2.2:5000"]);
    world.pass(Duration::from_secs(1));
    for _ in 0..15 {
        hear(&mut world, &["192.0.2.1:4000"]);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(one_way(&world).len(), 2, "again after it was heard");
}

#[test]
fn reports_are_asked_for_less_often_the_more_calls_there_are() {
    let mut settings = settings();
    settings.interfaces[0].ports = raceway_api::RelayPorts { first: 10_000, last: 60_000 };
    let mut world = World::with(settings);
    for call in 0..4000 {
        world.offer(Offer { call_id: call.to_string(), ..offer(body("192.0.2.1", 4000)) });
    }
    world.pass(Duration::from_secs(4));
    let mut reports = 0;
    let end = world.now.after(Duration::from_secs(4));
    while let Some(due) = world.calls.poll_timeout().filter(|due| *due <= end) {
        world.calls.handle_timeout(due);
        reports += std::iter::from_fn(|| world.calls.poll_output()).count();
    }
    assert_eq!(reports, 8000, "each once in two seconds");
}

/// The relay closes the sockets of a call a moment after it was told to.
#[test]
fn ports_that_were_given_back_rest_before_they_are_taken_again() {
    let mut world = World::new();
    let mut seen = std::collections::BTreeSet::new();
    for call in 0..100 {
        let call_id = call.to_string();
        let port = rtp(&world.offer(Offer { call_id: call_id.clone(), ..offer(body("192.0.2.1", 4000)) })).port();
        assert!(seen.insert(port), "{port} is taken again at once");
        world.calls.terminate(world.now, &call_id);
        world.settle();
    }
}
