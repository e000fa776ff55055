//! ICE (RFC 8445) towards each side as it wants it, with real agents as peers.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_ice::{Agent, Candidate, Component, Credentials, Event, Mode, Role};
use raceway_media::options::{Ice, IceLite};
use raceway_media::{Answer, Offer, Options};

use crate::world::*;

/// A party with an agent of its own at one address.
pub struct Peer {
    pub agent: Agent,
    pub address: SocketAddr,
    pub nominated: Option<SocketAddr>,
}

impl Peer {
    pub fn new(mode: Mode, text: &str, octet: u8) -> Self {
        let credentials = Credentials::from_random(&[octet; 24]);
        let agent = Agent::new(mode, credentials, &[address(text)], [octet; 32]);
        Self { agent, address: address(text), nominated: None }
    }

    /// What it writes after the lines of a body.
    pub fn lines(&self) -> String {
        let (ours, ip, port) = (self.agent.local_credentials(), self.address.ip(), self.address.port());
        format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=candidate:1 1 UDP 2130706431 {ip} {port} typ host\r\na=rtcp-mux\r\n",
            ours.ufrag(),
            ours.password()
        )
    }

    /// Takes what a body says.
    pub fn read(&mut self, world: &World, body: &str) {
        let description = describe(body);
        let ice = &description.media[0].ice;
        let credentials = ice.credentials.as_ref().expect("ICE");
        self.agent.set_remote(Credentials::new(&credentials.fragment, &credentials.password).unwrap());
        for (component, address, priority) in ice.udp() {
            let component = Component::from_number(component).unwrap();
            let _ = self.agent.add_remote_candidate(world.now, Candidate { component, address, priority });
        }
    }
}

/// Lets agents and calls talk for a while.
pub fn run(world: &mut World, peers: &mut [&mut Peer], time: Duration) {
    let end = world.now.after(time);
    while world.now < end {
        for peer in &mut *peers {
            peer.agent.handle_timeout(world.now);
            while let Some(transmit) = peer.agent.poll_transmit() {
                world.calls.handle_punt(world.now, transmit.remote, transmit.local, &transmit.payload);
                world.settle();
            }
        }
        for datagram in std::mem::take(&mut world.relay.sent) {
            if let Some(peer) = peers.iter_mut().find(|peer| peer.address == datagram.to) {
                peer.agent.handle_datagram(world.now, datagram.to, datagram.from, &datagram.payload);
            }
        }
        for peer in &mut *peers {
            while let Some(event) = peer.agent.poll_event() {
                if let Event::Nominated { remote, .. } = event {
                    peer.nominated = Some(remote);
                }
            }
        }
        world.pass(Duration::from_millis(10));
    }
}

fn browser() -> Peer {
    Peer::new(Mode::Full(Role::Controlling), "198.51.100.44:50123", 1)
}

fn ice_offer(peer: &Peer) -> Offer {
    offer(body("0.0.0.0", 9) + &peer.lines())
}

#[test]
fn a_full_party_is_answered_by_a_lite_agent_and_media_goes_where_it_nominates() {
    let mut world = World::new();
    let mut alice = browser();
    let options = Options { ice: Some(Ice::Remove), ..Options::default() };
    let offered = world.offer(Offer { options, ..ice_offer(&alice) });
    assert!(!offered.contains("a=ice") && !offered.contains("candidate"));
    let options = Options { rtcp_mux: Default::default(), ..Options::default() };
    let answered = world.answer(Answer { options, ..answer(body("192.0.2.2", 5000)) });
    assert!(answered.contains("a=ice-lite\r\n") && answered.contains("a=end-of-candidates"));
    let ours = describe(&answered).media[0].ice.udp().collect::<Vec<_>>();
    assert_eq!((ours[0].0, ours[0].1), (1, rtp(&answered)));
    alice.read(&world, &answered);
    let leg = world.session().legs.values().find(|leg| leg.punt.stun).expect("STUN comes here").clone();
    assert_eq!((leg.rtp.remote, leg.learning), (None, raceway_api::Learning::Off));
    run(&mut world, &mut [&mut alice], Duration::from_secs(2));
    assert_eq!(alice.nominated, Some(rtp(&answered)));
    assert_eq!(world.session().legs[&leg.id].rtp.remote, Some(alice.address));
}

#[test]
fn both_sides_may_do_ice_each_with_us() {
    let mut world = World::new();
    let mut alice = browser();
    let mut bob = Peer::new(Mode::Full(Role::Controlling), "198.51.100.55:40000", 2);
    let offered = world.offer(ice_offer(&alice));
    bob.read(&world, &offered);
    let answered = world.answer(answer(body("0.0.0.0", 9) + &bob.lines()));
    alice.read(&world, &answered);
    run(&mut world, &mut [&mut alice, &mut bob], Duration::from_secs(2));
    assert_eq!((alice.nominated, bob.nominated), (Some(rtp(&answered)), Some(rtp(&offered))));
    let remotes: Vec<_> = world.session().legs.values().map(|leg| leg.rtp.remote).collect();
    assert_eq!(remotes, [Some(alice.address), Some(bob.address)]);
    assert_eq!(world.session().flows.len(), 2, "settled, so it goes by XDP");
}

#[test]
fn who_is_lite_is_checked_by_a_full_agent() {
    let mut world = World::new();
    let mut alice = Peer::new(Mode::Lite, "198.51.100.44:50123", 1);
    let lite = |body: String| body.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n");
    world.offer(offer(lite(body("198.51.100.44", 50123) + &alice.lines())));
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    assert!(!answered.contains("a=ice-lite") && answered.contains("a=ice-ufrag"));
    alice.read(&world, &answered);
    run(&mut world, &mut [&mut alice], Duration::from_secs(2));
    assert_eq!(alice.nominated, Some(rtp(&answered)));
}

#[test]
fn ice_is_offered_as_asked() {
    let offered = |ice: Option<Ice>, with: bool| {
        let mut world = World::new();
        let sdp = if with { body("0.0.0.0", 9) + &browser().lines() } else { body("192.0.2.1", 4000) };
        world.offer(Offer { options: Options { ice, ..Options::default() }, ..offer(sdp) })
    };
    let has = |ice, with| offered(ice, with).contains("a=ice-ufrag");
    assert!(!has(Some(Ice::Remove), true) && has(Some(Ice::Force), false) && has(None, true) && !has(None, false));
    assert!(has(Some(Ice::Optional), true) && !has(Some(Ice::Optional), false));
    let relayed = offered(Some(Ice::ForceRelay), false);
    assert!(relayed.contains(" typ relay raddr "), "{relayed}");
    let mut world = World::new();
    let options = Options { ice: Some(Ice::Force), ice_lite: Some(IceLite::Off), ..Options::default() };
    let full = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
    assert!(full.contains("a=ice-ufrag") && !full.contains("a=ice-lite"));
}

#[test]
fn who_declines_ice_is_served_by_its_address() {
    let mut world = World::new();
    let options = Options { ice: Some(Ice::Force), ..Options::default() };
    world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
    world.answer(answer(body("192.0.2.2", 5000)));
    let bob = world.leg("192.0.2.2:5000");
    assert!(!bob.punt.stun && bob.learning != raceway_api::Learning::Off);
}

#[test]
fn ice_may_be_refused_to_who_offered() {
    let mut world = World::new();
    let options = Options { ice_reject: true, ..Options::default() };
    world.offer(Offer { options, ..ice_offer(&browser()) });
    assert!(!world.answer(answer(body("192.0.2.2", 5000))).contains("a=ice"));
}

#[test]
fn a_restart_gets_new_credentials_and_media_goes_on_meanwhile() {
    let mut world = World::new();
    let mut alice = browser();
    world.offer(ice_offer(&alice));
    let first = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &first);
    run(&mut world, &mut [&mut alice], Duration::from_secs(2));
    let credentials = |body: &str| describe(body).media[0].ice.credentials.clone().unwrap();
    world.offer(Offer { to_tag: Some("bob".into()), ..ice_offer(&alice) });
    let same = world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(credentials(&same), credentials(&first), "no restart");
    let mut again = Peer::new(Mode::Full(Role::Controlling), "198.51.100.44:50999", 9);
    world.offer(Offer { to_tag: Some("bob".into()), ..ice_offer(&again) });
    let second = world.answer(answer(body("192.0.2.2", 5000)));
    assert_ne!(credentials(&second), credentials(&first));
    let remote = |world: &World| world.session().legs.values().next().unwrap().rtp.remote;
    assert_eq!(remote(&world), Some(alice.address), "until another pair is nominated");
    again.read(&world, &second);
    run(&mut world, &mut [&mut again], Duration::from_secs(2));
    assert_eq!(remote(&world), Some(again.address));
}

#[test]
fn checks_are_answered_after_a_restart_of_control() {
    let mut world = World::new();
    let mut alice = browser();
    world.offer(ice_offer(&alice));
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &answered);
    run(&mut world, &mut [&mut alice], Duration::from_secs(2));
    let sessions = world.relay.sessions.clone();
    crate::restore::restart(&mut world);
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions, sessions);
    run(&mut world, &mut [&mut alice], Duration::from_secs(40));
    assert_eq!(world.session().legs.values().next().unwrap().rtp.remote, Some(alice.address), "consent is kept");
}

#[test]
fn who_stops_answering_is_sent_nothing_more() {
    let mut world = World::new();
    let mut alice = browser();
    world.offer(ice_offer(&alice));
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &answered);
    run(&mut world, &mut [&mut alice], Duration::from_secs(12));
    assert!(world.session().legs.values().next().unwrap().rtp.remote.is_some());
    run(&mut world, &mut [], Duration::from_secs(40));
    assert_eq!(world.session().legs.values().next().unwrap().rtp.remote, None);
}

#[test]
fn stun_of_strangers_and_other_octets_are_survived() {
    let mut world = World::new();
    let alice = browser();
    world.offer(ice_offer(&alice));
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    let (local, stranger) = (rtp(&answered), address("198.51.100.66:6666"));
    for payload in
        [&[][..], &[0], &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[22; 100]]
    {
        world.calls.handle_punt(world.now, local, stranger, payload);
        world.calls.handle_punt(world.now, address("10.0.0.1:1"), stranger, payload);
        world.settle();
    }
    assert_eq!(world.session().legs.values().next().unwrap().rtp.remote, None);
}
