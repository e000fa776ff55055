//! Forks: several who are called by one offer.

use raceway_api::Route;
use raceway_media::{Answer, Command, Delete, Offer, Reply};

use crate::world::*;

fn branch(name: &str) -> Offer {
    Offer { via_branch: Some(name.into()), ..offer(body("192.0.2.1", 4000)) }
}

fn of_branch(name: &str, tag: &str, sdp: String) -> Answer {
    Answer { via_branch: Some(name.into()), to_tag: tag.into(), ..answer(sdp) }
}

#[test]
fn each_branch_has_ports_of_its_own_and_the_caller_one_for_all() {
    let mut world = World::new();
    let (first, second) = (rtp(&world.offer(branch("1"))), rtp(&world.offer(branch("2"))));
    assert_ne!(first, second);
    let bob = rtp(&world.answer(of_branch("1", "bob", body("192.0.2.2", 5000))));
    let carol = rtp(&world.answer(of_branch("2", "carol", body("192.0.2.3", 6000))));
    assert_eq!(bob, carol);
    assert_eq!((world.leg("192.0.2.2:5000").rtp.local, world.leg("192.0.2.3:6000").rtp.local), (first, second));
    assert_eq!(world.session().legs.len(), 3);
}

#[test]
fn the_branch_that_answered_last_talks_with_the_caller_and_is_heard_alone() {
    let mut world = World::new();
    world.offer(branch("1"));
    world.offer(branch("2"));
    world.answer(of_branch("1", "bob", body("192.0.2.2", 5000)));
    world.answer(of_branch("2", "carol", body("192.0.2.3", 6000)));
    let (alice, bob, carol) = (world.leg("192.0.2.1:4000"), world.leg("192.0.2.2:5000"), world.leg("192.0.2.3:6000"));
    assert_eq!((&alice.to, &carol.to), (&vec![Route::to(carol.id)], &vec![Route::to(alice.id)]));
    assert!(bob.to.is_empty());
    world.answer(of_branch("1", "bob", body("192.0.2.2", 5000)));
    let (alice, bob) = (world.leg("192.0.2.1:4000"), world.leg("192.0.2.2:5000"));
    assert_eq!((&alice.to, &bob.to), (&vec![Route::to(bob.id)], &vec![Route::to(alice.id)]));
}

#[test]
fn before_an_answer_every_branch_is_heard() {
    let mut world = World::new();
    world.offer(branch("1"));
    world.offer(branch("2"));
    assert_eq!(world.session().legs.values().filter(|leg| leg.to.len() == 1).count(), 2);
}

#[test]
fn a_fork_that_the_proxy_did_not_name_shares_the_port_and_the_last_answer_counts() {
    let mut world = World::new();
    let offered = rtp(&world.offer(offer(body("192.0.2.1", 4000))));
    world.answer(answer(body("192.0.2.2", 5000)));
    world.answer(Answer { to_tag: "carol".into(), ..answer(body("192.0.2.3", 6000)) });
    assert_eq!(world.leg("192.0.2.3:6000").rtp.local, offered);
    assert_eq!(world.session().legs.len(), 2);
    world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(world.leg("192.0.2.2:5000").rtp.local, offered);
    let call = world.calls.query(CALL, None, None).unwrap();
    assert_eq!((&*call.parties[1].tag, &call.parties[1].former_tags[..]), ("bob", &["carol".to_owned()][..]));
}

#[test]
fn a_serial_fork_offers_the_same_ports_again() {
    let mut world = World::new();
    let first = rtp(&world.offer(offer(body("192.0.2.1", 4000))));
    assert_eq!(rtp(&world.offer(offer(body("192.0.2.1", 4000)))), first);
    assert_eq!(world.session().legs.len(), 2);
}

#[test]
fn a_losing_branch_is_deleted_and_the_call_goes_on() {
    let mut world = World::new();
    world.offer(branch("1"));
    world.offer(branch("2"));
    world.answer(of_branch("2", "carol", body("192.0.2.3", 6000)));
    let losing = Delete { via_branch: Some("1".into()), ..delete() };
    assert!(matches!(world.command(Command::Delete(losing)), Ok(Reply::Deleted(_))));
    assert_eq!((world.session().legs.len(), world.session().media.len(), world.calls.len()), (2, 4, 1));
    let winning = Delete { via_branch: Some("2".into()), ..delete() };
    world.command(Command::Delete(winning)).unwrap();
    assert!(world.relay.sessions.is_empty() && world.calls.is_empty());
}

#[test]
fn an_early_answer_and_the_final_one_say_the_same() {
    let mut world = World::new();
    world.offer(offer(body("192.0.2.1", 4000)));
    let early = world.answer(answer(body("192.0.2.2", 5000)));
    world.relay.operations.clear();
    assert_eq!(world.answer(answer(body("192.0.2.2", 5000))), early);
    let changes = world.relay.operations.iter();
    let changes =
        changes.filter(|o| !matches!(o, raceway_api::Operation::PutSession { .. } | raceway_api::Operation::Confirm));
    assert_eq!(changes.count(), 0, "the relay is told nothing new");
}

#[test]
fn the_offer_to_a_branch_that_is_gone_cannot_be_answered() {
    let mut world = World::new();
    world.offer(branch("1"));
    world.offer(Offer { from_tag: "carol".into(), ..offer(body("192.0.2.3", 6000)) });
    world.command(Command::Delete(Delete { via_branch: Some("1".into()), ..delete() })).unwrap();
    let refusal = world.command(Command::Answer(of_branch("1", "bob", body("192.0.2.2", 5000)))).unwrap_err();
    assert!(refusal.to_string().starts_with("There is no offer"), "{refusal}");
}

#[test]
fn an_early_answer_may_refuse_what_the_final_one_takes() {
    let mut world = World::new();
    let two = |address, port, video: u16| format!("{}m=video {video} RTP/AVP 96\r\n", body(address, port));
    world.offer(offer(two("192.0.2.1", 4000, 4002)));
    world.answer(answer(two("192.0.2.2", 5000, 0)));
    assert_eq!(world.session().legs.len(), 2);
    world.answer(answer(two("192.0.2.2", 5000, 5002)));
    assert_eq!(world.session().legs.len(), 4);
}
