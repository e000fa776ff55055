//! What is refused leaves everything as it was.

use raceway_api::{OperationError, RelayPorts};
use raceway_media::{Command, Interface, Offer, Options, Refusal, Reply, Settings};

use crate::world::*;

/// Gives a command that is refused, and looks that nothing changed.
fn refused(world: &mut World, command: Command) -> Refusal {
    let (calls, sessions) = (world.calls.calls().collect::<Vec<_>>(), world.relay.sessions.clone());
    let refusal = world.command(command).expect_err("a refusal");
    assert_eq!(world.calls.calls().collect::<Vec<_>>(), calls);
    assert_eq!(world.relay.sessions, sessions);
    refusal
}

fn small(last: u16) -> Settings {
    let ports = RelayPorts { first: 30_000, last };
    let address = "10.0.0.1".parse().unwrap();
    Settings::new(vec![Interface { name: "int".into(), address, advertised: address, ports }])
}

#[test]
fn a_refusal_says_exactly_why() {
    let cases = [
        (
            body("192.0.2.1", 4000).replace("v=0", "v=1"),
            r#"Cannot read the SDP: SDP does not begin with v=0 but with "v=1""#,
        ),
        ("v=0\r\ns=-\r\n".into(), "The SDP has no m= line"),
        (body("host.example", 4000), r#"m-line 1: "host.example" is not an IP address; names are not looked up"#),
        (
            body("224.1.1.1", 4000),
            "m-line 1: media cannot be sent to 224.1.1.1: it is multicast, broadcast, link-local or a loopback address of this machine",
        ),
        (
            body("169.254.169.254", 4000),
            "m-line 1: media cannot be sent to 169.254.169.254: it is multicast, broadcast, link-local or a loopback address of this \
             machine",
        ),
        (
            body("127.0.0.1", 4000),
            "m-line 1: media cannot be sent to 127.0.0.1: it is multicast, broadcast, link-local or a loopback address of this machine",
        ),
        (
            body("::ffff:127.0.0.1", 4000),
            "m-line 1: media cannot be sent to 127.0.0.1: it is multicast, broadcast, link-local or a loopback address of this machine",
        ),
        (
            body("192.0.2.1", 4000).replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"),
            "m-line 1: UDP/TLS/RTP/SAVPF without an a=fingerprint line that can be used",
        ),
    ];
    for (sdp, reason) in cases {
        let mut world = World::new();
        assert_eq!(refused(&mut world, Command::Offer(offer(sdp.clone()))).to_string(), reason);
        world.plain();
        let again = Offer { to_tag: Some("bob".into()), ..offer(sdp.clone()) };
        assert_eq!(refused(&mut world, Command::Offer(again)).to_string(), reason);
        if sdp.contains("m=") {
            assert_eq!(refused(&mut world, Command::Answer(answer(sdp))).to_string(), reason);
        }
    }
}

#[test]
fn an_answer_with_another_number_of_m_lines_is_refused() {
    let mut world = World::new();
    world.offer(offer(body("192.0.2.1", 4000)));
    let two = format!("{}m=video 1 RTP/AVP 96\r\n", body("192.0.2.2", 5000));
    let refusal = refused(&mut world, Command::Answer(answer(two)));
    assert_eq!(refusal, Refusal::MediaCount { offered: 1, answered: 2 });
}

#[test]
fn interfaces_that_do_not_fit_are_named() {
    let mut world = World::new();
    let to = |name: &str| Offer {
        options: Options { interface_to: Some(name.into()), ..Options::default() },
        ..offer(body("192.0.2.1", 4000))
    };
    let refusal = refused(&mut world, Command::Offer(to("dmz")));
    assert_eq!(refusal.to_string(), r#"Unknown interface "dmz"; configured are: int, ext"#);
    let mut wrong = to("ext");
    wrong.options.address_family = Some(raceway_media::options::Family::Ipv6);
    assert_eq!(refused(&mut world, Command::Offer(wrong)).to_string(), r#"Interface "ext" has no IPv6 address"#);
}

#[test]
fn exhausted_ports_refuse_the_whole_offer_and_are_there_again_after_a_delete() {
    let mut world = World::with(small(30_005));
    world.plain();
    let other = Offer { call_id: "other".into(), ..offer(body("192.0.2.1", 4000)) };
    let refusal = refused(&mut world, Command::Offer(other.clone()));
    assert_eq!(refusal.to_string(), r#"All IPv4 media ports of interface "int" are in use"#);
    let more = format!("{}m=video 4002 RTP/AVP 96\r\n", body("192.0.2.1", 4000));
    refused(&mut world, Command::Offer(Offer { to_tag: Some("bob".into()), ..offer(more) }));
    world.delete();
    world.offer(other);
}

#[test]
fn a_port_of_another_program_is_passed_over() {
    let mut world = World::with(small(30_199));
    world.relay.foreign = (30_000..30_200).filter(|port| port % 8 < 2).collect();
    for call in 0..20 {
        let call_id = format!("call {call}");
        let outcome = world.command(Command::Offer(Offer { call_id, ..offer(body("192.0.2.1", 4000)) }));
        assert!(matches!(outcome, Ok(Reply::Sdp(_))), "{outcome:?}");
    }
    world.relay.foreign = (30_000..30_200).collect();
    let all = Offer { call_id: "last".into(), ..offer(body("192.0.2.1", 4000)) };
    let refusal = refused(&mut world, Command::Offer(all));
    assert_eq!(refusal.to_string(), "The relay refused: 4 media ports in a row are taken by other programs");
}

#[test]
fn a_relay_that_cannot_leaves_the_call_as_it_was() {
    let mut world = World::new();
    world.relay.fail = Some(OperationError::SessionsFull);
    let refusal = refused(&mut world, Command::Offer(offer(body("192.0.2.1", 4000))));
    assert_eq!(refusal.to_string(), "The relay refused: its session table is full");
    world.plain();
    world.pass(std::time::Duration::from_millis(10));
    world.relay.fail = Some(OperationError::LegsFull);
    let again = Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.9", 4100)) };
    refused(&mut world, Command::Offer(again));
    world.delete();
    assert!(world.relay.sessions.is_empty());
}

#[test]
fn commands_for_one_call_are_taken_in_turn() {
    let mut world = World::new();
    let first = world.give(Command::Offer(offer(body("192.0.2.1", 4000))));
    let second = world.give(Command::Answer(answer(body("192.0.2.2", 5000))));
    let third = world.give(Command::Delete(delete()));
    let fourth = world.give(Command::Offer(offer(body("192.0.2.1", 4000))));
    world.settle();
    let outcomes: Vec<_> = std::iter::from_fn(|| world.calls.poll_outcome()).collect();
    let requests: Vec<_> = outcomes.iter().map(|(request, _)| *request).collect();
    assert_eq!(requests, [first, second, third, fourth]);
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
    assert_eq!((world.calls.len(), world.relay.sessions.len()), (1, 1));
}

#[test]
fn more_commands_than_may_wait_are_refused() {
    let mut world = World::new();
    for _ in 0..=raceway_media::limits::WAITING_MAX {
        world.give(Command::Offer(offer(body("192.0.2.1", 4000))));
    }
    let late = world.give(Command::Offer(offer(body("192.0.2.1", 4000))));
    assert!(matches!(world.calls.poll_outcome(), Some((request, Err(Refusal::Busy(_)))) if request == late));
    world.settle();
    assert_eq!(std::iter::from_fn(|| world.calls.poll_outcome()).filter(|(_, outcome)| outcome.is_ok()).count(), 17);
}

#[test]
fn names_and_numbers_have_limits() {
    let mut world = World::new();
    let long = Offer { from_tag: "x".repeat(121), ..offer(body("192.0.2.1", 4000)) };
    let refusal = refused(&mut world, Command::Offer(long));
    assert_eq!(refusal.to_string(), "from-tag has 121 octets; 1 to 120 are taken");
    let empty = Offer { call_id: String::new(), ..offer(body("192.0.2.1", 4000)) };
    assert!(matches!(refused(&mut world, Command::Offer(empty)), Refusal::Name { what: "call-id", .. }));
    for branch in 1..raceway_media::limits::PARTIES_MAX {
        world.offer(Offer { via_branch: Some(branch.to_string()), ..offer(body("192.0.2.1", 4000)) });
    }
    let more = Offer { via_branch: Some("one more".into()), ..offer(body("192.0.2.1", 4000)) };
    assert!(matches!(refused(&mut world, Command::Offer(more)), Refusal::TooMany { what: "parties", .. }));
    let mut world = World::with(Settings { calls_max: 1, ..settings() });
    world.plain();
    let other = Offer { call_id: "other".into(), ..offer(body("192.0.2.1", 4000)) };
    assert_eq!(refused(&mut world, Command::Offer(other)).to_string(), "There are 1 calls, as many as allowed");
}

#[test]
fn many_m_lines_come_in_messages_that_the_relay_takes() {
    let mut world = World::new();
    let many = format!("{}{}", body("192.0.2.1", 4000), "m=audio 4002 RTP/AVP 0\r\n".repeat(20));
    let offered = world.offer(offer(many.clone()));
    assert_eq!(offered.matches("m=audio 0 ").count(), 5, "those beyond the limit are refused");
    assert_eq!(world.session().legs.len(), 32);
    world.answer(answer(many.replace("192.0.2.1", "192.0.2.2")));
    world.delete();
}

#[test]
fn while_the_relay_is_away_commands_are_refused_and_calls_stay() {
    let mut world = World::new();
    world.plain();
    let before: Vec<_> = world.calls.calls().collect();
    world.give(Command::Offer(Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.9", 4100)) }));
    world.give(Command::Answer(answer(body("192.0.2.2", 5000))));
    world.give(Command::Offer(Offer { call_id: "other".into(), ..offer(body("192.0.2.9", 4100)) }));
    world.calls.relay_lost();
    assert_eq!(world.calls.poll_output(), None);
    let outcomes: Vec<_> = std::iter::from_fn(|| world.calls.poll_outcome()).map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, vec![Err(Refusal::RelayAway); 3]);
    assert_eq!(world.calls.calls().collect::<Vec<_>>(), before);
    let session = world.relay.sessions.clone();
    world.relay.forget();
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions, session, "all is said again");
}

#[test]
fn a_call_that_is_deleted_while_the_relay_is_away_is_gone_when_it_is_back() {
    let mut world = World::new();
    world.plain();
    world.calls.relay_lost();
    world.delete();
    assert!(matches!(world.command(Command::Offer(offer(body("192.0.2.1", 4000)))), Err(Refusal::RelayAway)));
    assert_eq!((world.calls.len(), world.relay.sessions.len()), (0, 1));
    world.calls.reinstall();
    world.settle();
    assert!(world.relay.sessions.is_empty());
}

#[test]
fn what_the_relay_could_not_do_unasked_is_said_again() {
    let mut world = World::new();
    world.plain();
    let delayed = raceway_media::Delete { delay: Some(std::time::Duration::from_secs(30)), ..delete() };
    world.relay.fail = Some(OperationError::FlowsFull);
    world.command(Command::Delete(delayed)).unwrap();
    let stale = world.session().blob.clone();
    world.pass(std::time::Duration::from_secs(1));
    assert_ne!(world.session().blob, stale);
}

#[test]
fn no_new_calls_while_draining() {
    let mut world = World::new();
    world.plain();
    world.calls.drain(true);
    let other = Offer { call_id: "other".into(), ..offer(body("192.0.2.1", 4000)) };
    assert_eq!(refused(&mut world, Command::Offer(other)), Refusal::Draining);
    world.offer(Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.1", 4000)) });
}
