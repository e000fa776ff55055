//! The lite agent, by checks that another codec wrote.

use std::net::SocketAddr;

use raceway_ice::{Agent, Component, Discard, Event, Mode, Outcome, Role, limits};
use stun_types::attribute::XorMappedAddress;
use stun_types::message::{IntegrityAlgorithm, Message};

use crate::world::{Check, address, agent, at, code, credentials, events, has_fingerprint, nominated, only, signed_by};

fn ours() -> SocketAddr {
    address("192.0.2.1:4000")
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

fn lite() -> Agent {
    agent(Mode::Lite, 1, &[ours()])
}

fn give(agent: &mut Agent, ms: u64, remote: SocketAddr, check: &Check) -> Outcome {
    let outcome = agent.handle_datagram(at(ms), ours(), remote, &check.octets());
    while agent.poll_transmit().is_some() {}
    outcome
}

#[test]
fn a_check_is_answered_with_the_address_that_it_came_from() {
    for (remote, algorithm) in [
        (peer(5000), IntegrityAlgorithm::Sha1),
        (address("[2001:db8::7]:5000"), IntegrityAlgorithm::Sha1),
        (peer(5000), IntegrityAlgorithm::Sha256),
    ] {
        let mut agent = lite();
        let check = Check { algorithm, ..Check::to(1) };
        assert_eq!(agent.handle_datagram(at(0), ours(), remote, &check.octets()), Outcome::Accepted);
        let response = only(&mut agent);
        assert_eq!((response.local, response.remote), (ours(), remote));
        let message = Message::from_bytes(&response.payload).unwrap();
        assert_eq!(message.transaction_id(), check.transaction.into());
        let mapped = message.attribute::<XorMappedAddress>().unwrap();
        assert_eq!(mapped.addr(message.transaction_id()), remote);
        assert!(signed_by(1, &response.payload) && has_fingerprint(&response.payload));
        assert!(response.payload.len() <= check.octets().len(), "not larger than its request");
    }
}

#[test]
fn until_something_is_nominated_the_first_valid_pair_is_used() {
    let mut agent = lite();
    assert!(!agent.is_validated(peer(5000)));
    assert_eq!(give(&mut agent, 0, peer(5000), &Check::to(1)), Outcome::Accepted);
    assert_eq!(give(&mut agent, 1, peer(5001), &Check { transaction: 1, ..Check::to(1) }), Outcome::Accepted);
    assert!(agent.is_validated(peer(5000)) && agent.is_validated(peer(5001)) && !agent.is_validated(peer(5002)));
    assert_eq!((agent.selected(Component::Rtp), events(&mut agent)), (Some(peer(5000)), vec![nominated(peer(5000))]));
    // Any nomination is better, and the next one is measured by it.
    give(&mut agent, 10, peer(5001), &Check { priority: 1, ..Check::nominating(1, 2) });
    give(&mut agent, 20, peer(5000), &Check { transaction: 3, ..Check::to(1) });
    assert_eq!((agent.selected(Component::Rtp), events(&mut agent)), (Some(peer(5001)), vec![nominated(peer(5001))]));
}

#[test]
fn use_candidate_nominates_once() {
    let mut agent = lite();
    for transaction in 0..3 {
        give(&mut agent, 0, peer(5000), &Check::nominating(1, transaction));
    }
    assert_eq!(events(&mut agent), [nominated(peer(5000))]);
    assert_eq!(agent.selected(Component::Rtp), Some(peer(5000)));
}

#[test]
fn a_peer_whose_nat_has_rebound_is_followed_at_once() {
    for ms in [1, 100, 60_000] {
        let mut agent = lite();
        give(&mut agent, 0, peer(5000), &Check::nominating(1, 1));
        give(&mut agent, ms, peer(6000), &Check::nominating(1, 2));
        assert_eq!(events(&mut agent), [nominated(peer(5000)), nominated(peer(6000))], "after {ms} ms");
    }
}

#[test]
fn a_peer_that_nominates_all_that_works_means_its_best() {
    let mut agent = lite();
    let nominate = |priority, transaction| Check { priority, ..Check::nominating(1, transaction) };
    give(&mut agent, 0, peer(5001), &nominate(50, 1));
    give(&mut agent, 20, peer(5000), &nominate(100, 2));
    give(&mut agent, 40, peer(5002), &nominate(10, 3));
    assert_eq!(events(&mut agent), [nominated(peer(5001)), nominated(peer(5000))]);
    let settled = limits::NOMINATION_SETTLING.as_millis() as u64;
    give(&mut agent, settled + 40, peer(5002), &nominate(10, 4));
    assert_eq!(events(&mut agent), [nominated(peer(5002))], "later, whatever it nominates");
}

#[test]
fn a_check_without_credentials_is_refused_and_changes_nothing() {
    let no_username = Check { username: None, ..Check::nominating(1, 1) };
    let no_integrity = Check { password: None, ..Check::nominating(1, 1) };
    let stranger = Check { username: Some("stranger:peer".to_owned()), ..Check::nominating(1, 1) };
    let longer = Check { username: Some(format!("{}x:peer", credentials(1).ufrag())), ..Check::nominating(1, 1) };
    let wrong = Check { password: Some("wrong".repeat(5)), ..Check::nominating(1, 1) };
    for (check, expected) in [(no_username, 400), (no_integrity, 400), (stranger, 401), (longer, 401), (wrong, 401)] {
        let mut agent = lite();
        let octets = check.octets();
        assert_eq!(agent.handle_datagram(at(0), ours(), peer(5000), &octets), Outcome::Refused(expected));
        let response = only(&mut agent).payload;
        assert_eq!(code(&response), Some(expected));
        assert!(response.len() <= octets.len() && has_fingerprint(&response));
        assert!(!agent.is_validated(peer(5000)) && agent.selected(Component::Rtp).is_none());
        assert_eq!((events(&mut agent), agent.poll_timeout()), (vec![], None));
    }
}

#[test]
fn a_bare_request_is_answered_only_within_a_budget() {
    let mut bare = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bare.resize(20, 9);
    let mut agent = lite();
    for _ in 0..limits::UNAUTHENTICATED_PER_SECOND {
        assert_eq!(agent.handle_datagram(at(0), ours(), peer(1), &bare), Outcome::Refused(400));
        assert!(only(&mut agent).payload.len() <= 36);
    }
    let over = Outcome::Discarded(Discard::OverBudget);
    assert_eq!(agent.handle_datagram(at(999), ours(), peer(1), &bare), over);
    assert_eq!(agent.poll_transmit(), None);
    assert_eq!(agent.handle_datagram(at(1000), ours(), peer(1), &bare), Outcome::Refused(400));
}

#[test]
fn an_unknown_required_attribute_is_named() {
    let mut agent = lite();
    let extra = vec![(0x7ffe, vec![1]), (0xc057, vec![2, 3, 4, 5]), (0x7ffe, vec![])];
    let check = Check { extra, ..Check::nominating(1, 1) };
    assert_eq!(agent.handle_datagram(at(0), ours(), peer(5000), &check.octets()), Outcome::Refused(420));
    let response = only(&mut agent).payload;
    let message = Message::from_bytes(&response).unwrap();
    let unknown = message.attribute::<stun_types::attribute::UnknownAttributes>().unwrap();
    assert!(unknown.has_attribute(0x7ffe.into()) && signed_by(1, &response));
    assert_eq!(events(&mut agent), []);
}

#[test]
fn a_controlled_peer_must_change_its_role() {
    let mut agent = lite();
    let check = Check { role: (0x8029, u64::MAX), ..Check::nominating(1, 1) };
    assert_eq!(agent.handle_datagram(at(0), ours(), peer(5000), &check.octets()), Outcome::Refused(487));
    let response = only(&mut agent).payload;
    assert!(code(&response) == Some(487) && signed_by(1, &response));
    assert_eq!(events(&mut agent), []);
}

#[test]
fn a_copied_check_does_not_move_the_peer() {
    let mut agent = lite();
    let check = Check::nominating(1, 1);
    give(&mut agent, 0, peer(5000), &check);
    give(&mut agent, 50, address("203.0.113.66:9"), &check);
    assert_eq!(events(&mut agent), [nominated(peer(5000))]);
    assert!(!agent.is_validated(address("203.0.113.66:9")));
    give(&mut agent, 60, peer(5000), &check);
    assert_eq!(agent.selected(Component::Rtp), Some(peer(5000)), "a retransmission is no copy");
}

#[test]
fn three_thousand_sources_take_no_more_memory_than_eight() {
    let mut agent = lite();
    give(&mut agent, 0, peer(5000), &Check::nominating(1, 0));
    for source in 1..3000_u16 {
        give(&mut agent, 1, peer(source), &Check { transaction: source.into(), ..Check::to(1) });
    }
    let validated = (0..6000).filter(|port| agent.is_validated(peer(*port))).count();
    assert_eq!((validated, agent.candidates()), (limits::VALIDATED_MAX, 0));
    assert!(agent.is_validated(peer(5000)), "the nominated one is kept");
    assert_eq!(agent.selected(Component::Rtp), Some(peer(5000)));
}

#[test]
fn a_peer_that_kept_consent_and_falls_silent_has_lost_it() {
    let mut agent = lite();
    give(&mut agent, 0, peer(5000), &Check::nominating(1, 1));
    assert_eq!(agent.poll_timeout(), None, "it may be one that does not keep consent");
    give(&mut agent, 5000, peer(5000), &Check { transaction: 2, ..Check::to(1) });
    let deadline = at(35_000);
    assert_eq!(agent.poll_timeout(), Some(deadline));
    give(&mut agent, 6000, peer(6666), &Check { transaction: 3, ..Check::to(1) });
    assert_eq!(agent.poll_timeout(), Some(deadline), "another address does not count");
    agent.handle_timeout(at(34_999));
    assert_eq!(events(&mut agent), [nominated(peer(5000))]);
    agent.handle_timeout(deadline);
    assert_eq!(events(&mut agent), [Event::ConsentLost { component: Component::Rtp }]);
    assert_eq!(agent.selected(Component::Rtp), None);
    give(&mut agent, 40_000, peer(5000), &Check::nominating(1, 4));
    assert_eq!(events(&mut agent), [nominated(peer(5000))], "it may come back");
}

#[test]
fn a_restart_keeps_the_pair_until_the_next_nomination() {
    let mut agent = lite();
    give(&mut agent, 0, peer(5000), &Check::nominating(1, 1));
    agent.restart(credentials(2));
    assert_eq!(agent.selected(Component::Rtp), Some(peer(5000)));
    assert_eq!(give(&mut agent, 10, peer(6000), &Check::nominating(1, 2)), Outcome::Accepted, "the old password lives");
    assert_eq!(events(&mut agent), [nominated(peer(5000))], "and nominates nobody");
    give(&mut agent, 20, peer(5000), &Check::nominating(2, 3));
    assert_eq!(events(&mut agent), [nominated(peer(5000))], "the restart is over");
    assert_eq!(
        give(&mut agent, 30, peer(5000), &Check::nominating(1, 4)),
        Outcome::Refused(401),
        "the old one is dead"
    );
}

#[test]
fn components_are_nominated_each() {
    let bases = [ours(), address("192.0.2.1:4001")];
    let mut agent = agent(Mode::Lite, 1, &bases);
    agent.handle_datagram(at(0), bases[1], peer(5001), &Check::nominating(1, 1).octets());
    assert_eq!(events(&mut agent), [Event::Nominated { component: Component::Rtcp, remote: peer(5001) }]);
    assert_eq!(agent.selected(Component::Rtp), None);
    agent.set_bases(&bases[..1]);
    let outcome = agent.handle_datagram(at(1), bases[1], peer(5001), &Check::nominating(1, 2).octets());
    assert_eq!(outcome, Outcome::Discarded(Discard::UnknownLocal), "RTCP is muxed now");
}

#[test]
fn a_lite_agent_sends_no_check_of_its_own() {
    let mut agent = lite();
    agent.set_remote(credentials(2));
    agent.add_remote_candidate(at(0), raceway_ice::Candidate::host(Component::Rtp, peer(5000))).unwrap();
    give(&mut agent, 0, peer(5000), &Check::nominating(1, 1));
    for ms in (0..60_000).step_by(100) {
        agent.handle_timeout(at(ms));
        assert_eq!(agent.poll_transmit(), None);
    }
}

#[test]
fn debug_of_an_agent_hides_passwords_and_seed() {
    let mut agent = agent(Mode::Full(Role::Controlling), 1, &[ours()]);
    agent.set_remote(credentials(2));
    agent.restart(credentials(3));
    let shown = format!("{agent:?}");
    for octet in 1..=3 {
        assert!(!shown.contains(credentials(octet).password()), "{shown}");
    }
    assert!(!shown.contains("1, 1, 1"), "{shown}");
}
