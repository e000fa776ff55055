//! The full agent against a lite and against another full one, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_ice::{Candidate, CandidateKind, Component, Event, Mode, Outcome, Role, limits, priority};

use crate::world::{Check, DELAY, World, address, agent, at, credentials, nominated};

fn left() -> SocketAddr {
    address("192.0.2.1:4000")
}

fn right() -> SocketAddr {
    address("198.51.100.7:5000")
}

fn candidate(address: SocketAddr, kind: CandidateKind) -> Candidate {
    Candidate { component: Component::Rtp, address, priority: priority(kind, Component::Rtp) }
}

/// Two agents that know each other's credentials and host candidates.
fn world(modes: [Mode; 2]) -> World {
    let mut agents = [agent(modes[0], 1, &[left()]), agent(modes[1], 2, &[right()])];
    agents[0].set_remote(credentials(2));
    agents[1].set_remote(credentials(1));
    agents[0].add_remote_candidate(at(0), Candidate::host(Component::Rtp, right())).unwrap();
    agents[1].add_remote_candidate(at(0), Candidate::host(Component::Rtp, left())).unwrap();
    World::new(agents)
}

const CONTROLLING: Mode = Mode::Full(Role::Controlling);
const CONTROLLED: Mode = Mode::Full(Role::Controlled);

fn assert_connected(world: &World) {
    assert_eq!(world.agents[0].selected(Component::Rtp), Some(right()));
    assert_eq!(world.agents[1].selected(Component::Rtp), Some(left()));
}

#[test]
fn a_full_agent_connects_to_a_lite_one_in_two_round_trips() {
    let mut world = world([CONTROLLING, Mode::Lite]);
    world.run(DELAY * 4);
    assert_connected(&world);
    assert_eq!(world.events[1], [(at(10), nominated(left()))], "the lite one takes what is valid");
    assert_eq!(world.events[0], [(at(40), nominated(right()))], "the full one its answer");
}

#[test]
fn two_full_agents_connect() {
    let mut world = world([CONTROLLING, CONTROLLED]);
    world.run(Duration::from_secs(1));
    assert_connected(&world);
    let nominations = world.events.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(nominations, [1, 1], "once each");
}

#[test]
fn agents_that_both_control_or_both_do_not_connect_all_the_same() {
    for mode in [CONTROLLING, CONTROLLED] {
        let mut world = world([mode, mode]);
        world.run(Duration::from_secs(2));
        assert_connected(&world);
    }
}

#[test]
fn a_lossy_path_connects() {
    for modes in [[CONTROLLING, Mode::Lite], [CONTROLLING, CONTROLLED]] {
        let mut world = world(modes);
        world.loss = 400;
        world.run(Duration::from_secs(20));
        assert_connected(&world);
    }
}

#[test]
fn checks_wait_for_the_credentials_of_the_peer() {
    let mut agents = [agent(CONTROLLING, 1, &[left()]), agent(Mode::Lite, 2, &[right()])];
    agents[0].add_remote_candidate(at(0), Candidate::host(Component::Rtp, right())).unwrap();
    let mut world = World::new(agents);
    world.run(Duration::from_secs(1));
    assert_eq!(world.sent, [0, 0]);
    world.agents[0].set_remote(credentials(2));
    world.run(Duration::from_secs(1));
    assert_eq!(world.agents[0].selected(Component::Rtp), Some(right()));
}

#[test]
fn a_trickled_candidate_is_checked_and_an_unreachable_one_does_not_hold_up() {
    let mut world = world([CONTROLLING, Mode::Lite]);
    let unreachable = address("10.0.0.9:9");
    world.dead.push(unreachable);
    world.dead.push(right());
    world.run(Duration::from_secs(1));
    assert_eq!(world.agents[0].selected(Component::Rtp), None);
    let second = address("198.51.100.8:5000");
    world.agents[1].set_bases(&[second]);
    let now = world.now;
    world.agents[0].add_remote_candidate(now, candidate(unreachable, CandidateKind::Host)).unwrap();
    world.agents[0].add_remote_candidate(now, candidate(second, CandidateKind::Relayed)).unwrap();
    world.run(limits::NOMINATION_PATIENCE + Duration::from_millis(400));
    assert_eq!(world.agents[0].selected(Component::Rtp), Some(second));
}

/// Which of two lite peers is nominated: the worse answers at once, the better `late` ms after it was asked.
fn nominated_of_two(late: u64) -> Option<SocketAddr> {
    let (worse, better) = (address("198.51.100.8:1"), right());
    let mut agent = agent(CONTROLLING, 1, &[left()]);
    agent.set_remote(credentials(2));
    agent.add_remote_candidate(at(0), candidate(worse, CandidateKind::Relayed)).unwrap();
    agent.add_remote_candidate(at(0), candidate(better, CandidateKind::Host)).unwrap();
    let mut answers: Vec<(u64, SocketAddr, Vec<u8>)> = Vec::new();
    for ms in 0..1000 {
        agent.handle_timeout(at(ms));
        while let Some(transmit) = agent.poll_transmit() {
            let mut peer = crate::world::agent(Mode::Lite, 2, &[transmit.remote]);
            peer.handle_datagram(at(ms), transmit.remote, left(), &transmit.payload);
            let delay = if transmit.remote == better { late } else { 1 };
            answers.push((ms + delay, transmit.remote, peer.poll_transmit().unwrap().payload));
        }
        for (_, remote, answer) in answers.extract_if(.., |(due, ..)| *due <= ms) {
            agent.handle_datagram(at(ms), left(), remote, &answer);
        }
    }
    agent.selected(Component::Rtp)
}

#[test]
fn of_two_that_work_the_better_one_is_nominated_if_it_is_not_late() {
    let patience = limits::NOMINATION_PATIENCE.as_millis() as u64;
    assert_eq!(nominated_of_two(patience - 20), Some(right()));
    assert_eq!(nominated_of_two(patience + 100), Some(address("198.51.100.8:1")));
}

#[test]
fn a_peer_behind_a_nat_is_learned_from_its_checks() {
    let outside = address("203.0.113.5:6000");
    let mut agents = [agent(CONTROLLING, 1, &[left()]), agent(CONTROLLED, 2, &[right()])];
    agents[0].set_remote(credentials(2));
    agents[1].set_remote(credentials(1));
    agents[1].add_remote_candidate(at(0), Candidate::host(Component::Rtp, left())).unwrap();
    let mut world = World::new(agents);
    world.nat = Some((right(), outside));
    world.run(Duration::from_secs(1));
    assert_eq!(world.agents[0].selected(Component::Rtp), Some(outside));
    assert_eq!(world.agents[1].selected(Component::Rtp), Some(left()));
}

#[test]
fn an_answer_by_another_way_than_the_check_went_is_no_pair() {
    let mut world = world([CONTROLLING, Mode::Lite]);
    world.agents[0].handle_timeout(at(0));
    let check = world.agents[0].poll_transmit().unwrap();
    world.agents[1].handle_datagram(at(1), right(), left(), &check.payload);
    let answer = world.agents[1].poll_transmit().unwrap();
    let elsewhere = address("203.0.113.66:1");
    world.agents[0].handle_datagram(at(2), left(), elsewhere, &answer.payload);
    world.agents[0].handle_timeout(at(3));
    assert_eq!(world.agents[0].poll_event(), Some(Event::Failed { component: Component::Rtp }));
    assert!(!world.agents[0].is_validated(elsewhere) && !world.agents[0].is_validated(right()));
}

#[test]
fn an_answer_without_the_password_is_not_heard() {
    let mut world = world([CONTROLLING, Mode::Lite]);
    world.agents[0].handle_timeout(at(0));
    let check = world.agents[0].poll_transmit().unwrap();
    let mut answer = vec![1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42];
    answer.extend_from_slice(&check.payload[8..20]);
    answer.extend_from_slice(&[0, 0x20, 0, 8, 0, 1, 0x2e, 0xb2, 0xe1, 0x12, 0xa6, 0x43]);
    let outcome = world.agents[0].handle_datagram(at(1), left(), right(), &answer);
    assert_eq!(outcome, Outcome::Discarded(raceway_ice::Discard::Unauthenticated));
    assert!(!world.agents[0].is_validated(right()));
}

#[test]
fn a_silent_peer_fails_after_seven_checks_and_the_last_wait() {
    let mut world = world([CONTROLLING, Mode::Lite]);
    world.dead.push(right());
    world.run(Duration::from_secs(60));
    // 63 RTO of 500 ms to the last one, and 16 more.
    assert_eq!(world.events[0], [(at(39_500), Event::Failed { component: Component::Rtp })]);
    assert_eq!(world.sent[0], usize::from(limits::SENDS_MAX));
}

#[test]
fn consent_is_asked_for_and_its_end_is_told() {
    let mut world = world([CONTROLLING, Mode::Lite]);
    world.run(Duration::from_secs(60));
    assert_connected(&world);
    let checks = world.sent[0];
    assert!((12..=18).contains(&checks), "each 4 to 6 s: {checks}");
    let silent = world.now;
    world.dead.push(right());
    world.run(Duration::from_secs(40));
    let lost = Event::ConsentLost { component: Component::Rtp };
    let (when, event) = *world.events[0].last().unwrap();
    assert_eq!(event, lost);
    let after = when.since(silent);
    assert!(after <= limits::CONSENT_TIMEOUT && after >= Duration::from_secs(23), "{after:?}");
    assert_eq!(world.events[1].last().map(|(_, event)| *event), Some(lost), "the lite one notices too");
    let sent = world.sent[0];
    world.run(Duration::from_secs(60));
    assert_eq!(world.sent[0], sent, "nothing more is sent there");
}

#[test]
fn a_lite_agent_follows_a_full_peer_through_a_rebinding() {
    let mut world = world([Mode::Lite, CONTROLLING]);
    world.run(Duration::from_secs(3));
    let rebound = address("198.51.100.7:6000");
    world.nat = Some((right(), rebound));
    let now = world.now;
    // A controlling peer that sees its path break nominates again; here its next check does.
    let check = Check { priority: priority(CandidateKind::PeerReflexive, Component::Rtp), ..Check::nominating(1, 77) };
    world.agents[0].handle_datagram(now, left(), rebound, &check.octets());
    world.run(DELAY);
    assert_eq!(world.events[0].last(), Some(&(now, nominated(rebound))));
}

#[test]
fn a_restart_moves_both_to_new_credentials_without_a_gap() {
    let mut world = world([CONTROLLING, Mode::Lite]);
    world.run(Duration::from_secs(10));
    world.agents.iter_mut().zip([3, 4]).for_each(|(agent, octet)| agent.restart(credentials(octet)));
    assert_connected(&world);
    world.run(Duration::from_secs(60));
    assert_connected(&world);
    assert_eq!(world.events.each_ref().map(Vec::len), [1, 1], "the old pair is kept alive with the old credentials");
    let now = world.now;
    world.agents[0].set_remote(credentials(4));
    world.agents[1].set_remote(credentials(3));
    world.agents[0].add_remote_candidate(now, Candidate::host(Component::Rtp, right())).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.events.each_ref().map(Vec::len), [2, 2], "nominated anew");
    world.run(Duration::from_secs(60));
    assert_connected(&world);
}

#[test]
fn both_components_connect() {
    let bases = [[left(), address("192.0.2.1:4001")], [right(), address("198.51.100.7:5001")]];
    let mut agents = [agent(CONTROLLING, 1, &bases[0]), agent(Mode::Lite, 2, &bases[1])];
    agents[0].set_remote(credentials(2));
    for (component, base) in Component::ALL.into_iter().zip(bases[1]) {
        agents[0].add_remote_candidate(at(0), Candidate::host(component, base)).unwrap();
    }
    let mut world = World::new(agents);
    world.run(Duration::from_secs(1));
    for (component, at) in Component::ALL.into_iter().zip(0..) {
        assert_eq!(world.agents[0].selected(component), Some(bases[1][at]));
        assert_eq!(world.agents[1].selected(component), Some(bases[0][at]));
    }
}

#[test]
fn candidates_of_signalling_have_a_limit() {
    let mut agent = agent(CONTROLLING, 1, &[left()]);
    for port in 1..=limits::CANDIDATES_MAX as u16 {
        agent.add_remote_candidate(at(0), candidate(SocketAddr::new(right().ip(), port), CandidateKind::Host)).unwrap();
    }
    let more = candidate(SocketAddr::new(right().ip(), 9999), CandidateKind::Host);
    let error = agent.add_remote_candidate(at(0), more).unwrap_err();
    assert_eq!(error.to_string(), "more than 32 remote ICE candidates for one component");
    let known = candidate(SocketAddr::new(right().ip(), 1), CandidateKind::Host);
    assert_eq!(agent.add_remote_candidate(at(0), known), Ok(()));
}

#[test]
fn three_thousand_sources_make_no_more_than_eight_candidates() {
    let mut agent = agent(CONTROLLED, 1, &[left()]);
    agent.set_remote(credentials(2));
    agent.add_remote_candidate(at(0), Candidate::host(Component::Rtp, right())).unwrap();
    for source in 1..3000_u16 {
        let check = Check { transaction: source.into(), ..Check::to(1) };
        let remote = SocketAddr::new(right().ip(), 10_000 + source);
        assert_eq!(agent.handle_datagram(at(1), left(), remote, &check.octets()), Outcome::Accepted);
        while agent.poll_transmit().is_some() {}
    }
    assert_eq!(agent.candidates(), 1 + limits::PEER_REFLEXIVE_MAX);
    let sent = (0..1000).map(|ms| {
        agent.handle_timeout(at(1 + ms));
        std::iter::from_fn(|| agent.poll_transmit()).count()
    });
    assert!(sent.sum::<usize>() <= 40, "checks keep to Ta");
}
