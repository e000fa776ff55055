//! DTLS-SRTP (RFC 5763, RFC 5764) towards each side, with real associations as peers.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_api::{LegId, Security};
use raceway_dtls::{Association, Certificate, Event, Hash, Identity, Keys, Profile, Role};
use raceway_media::options::{Dtls, Transport};
use raceway_media::{Answer, Command, Event as CallEvent, Offer, Options};
use raceway_units::UnixTime;

use crate::world::*;

pub fn identity() -> Identity {
    Identity::new(&Certificate::generate(UnixTime(1_700_000_000)).unwrap()).unwrap()
}

pub fn world() -> World {
    let mut world = World::new();
    world.calls.set_identity(identity()).unwrap();
    world
}

/// A party that does DTLS at one address.
pub struct Peer {
    pub identity: Identity,
    pub association: Option<Association>,
    pub address: SocketAddr,
    pub keys: Option<Keys>,
}

impl Peer {
    pub fn new(text: &str) -> Self {
        Self { identity: identity(), association: None, address: address(text), keys: None }
    }

    /// Its body, with `a=setup`.
    fn body(&self, setup: &str) -> String {
        let fingerprint = self.identity.fingerprint(Hash::Sha256).unwrap();
        let body = body(&self.address.ip().to_string(), self.address.port()).replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
        format!("{body}a=setup:{setup}\r\na=fingerprint:{fingerprint}\r\na=rtcp-mux\r\n")
    }

    /// Takes a body that says how we are.
    pub fn read(&mut self, world: &World, body: &str, role: Role) {
        let described = describe(body);
        let media = &described.media[0];
        let theirs = media.fingerprints.iter().map(|fingerprint| fingerprint.to_string().parse().unwrap()).collect();
        let mut association = Association::new(role, &self.identity, &Profile::ALL).unwrap();
        association.set_fingerprints(world.now, theirs);
        association.allow(world.now, media.rtp.unwrap());
        self.association = Some(association);
    }
}

/// Lets both talk for a while.
pub fn run(world: &mut World, peers: &mut [&mut Peer], time: Duration) {
    let end = world.now.after(time);
    while world.now < end {
        for peer in &mut *peers {
            let Some(association) = &mut peer.association else { continue };
            association.handle_timeout(world.now);
            while let Some(sent) = association.poll_transmit() {
                let local = internal(sent.remote);
                world.calls.handle_punt(world.now, local, peer.address, &sent.payload);
                world.settle();
            }
        }
        for datagram in std::mem::take(&mut world.relay.sent) {
            let peer = peers.iter_mut().find(|peer| peer.address == datagram.to);
            if let Some(association) = peer.and_then(|peer| peer.association.as_mut()) {
                association.handle_datagram(world.now, external(datagram.from), &datagram.payload);
            }
        }
        for peer in &mut *peers {
            let events = peer.association.as_mut().map(|association| std::iter::from_fn(|| association.poll_event()));
            for event in events.into_iter().flatten() {
                if let Event::Keys(keys) = event {
                    peer.keys = Some(keys);
                }
            }
        }
        world.pass(Duration::from_millis(20));
    }
}

/// Behind our NAT a port is what it is in front of it.
fn internal(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_string().replace("203.0.113.7", "10.0.1.1").parse().unwrap(), address.port())
}

fn external(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_string().replace("10.0.1.1", "203.0.113.7").parse().unwrap(), address.port())
}

/// Key and salt that a leg has one way.
fn material(security: &Security) -> (Vec<u8>, Vec<u8>) {
    match security {
        Security::Srtp(key) => (key.key.expose().to_vec(), key.salt.expose().to_vec()),
        other => panic!("{other:?}"),
    }
}

/// The leg has the peer's keys, each the other way round.
pub fn agrees(world: &World, leg: LegId, peer: &Peer) {
    let (leg, keys) = (&world.session().legs[&leg], peer.keys.as_ref().expect("keys"));
    let owned = |(key, salt): (&[u8], &[u8])| (key.to_vec(), salt.to_vec());
    assert_eq!(material(&leg.receive), owned(keys.send()));
    assert_eq!(material(&leg.send), owned(keys.receive()));
}

pub fn towards(protocol: &str) -> Options {
    Options { transport: Some(Transport::As(protocol.parse().unwrap())), ..Options::default() }
}

#[test]
fn a_dtls_party_talks_with_a_plain_one() {
    for (setup, wanted, said, role) in [
        ("actpass", None, "active", Role::Passive),
        ("actpass", Some(Dtls::Passive), "passive", Role::Active),
        ("active", None, "passive", Role::Active),
        ("passive", None, "active", Role::Passive),
    ] {
        let mut world = world();
        let mut alice = Peer::new("192.0.2.1:4000");
        let offered = world.offer(Offer { options: towards("RTP/AVP"), ..offer(alice.body(setup)) });
        assert!(offered.contains(" RTP/AVP ") && !offered.contains("fingerprint"));
        let options = Options { dtls: wanted, ..Options::default() };
        let answered = world.answer(Answer { options, ..answer(body("192.0.2.2", 5000)) });
        assert!(
            answered.contains(" UDP/TLS/RTP/SAVPF ") && answered.contains(&format!("a=setup:{said}\r\n")),
            "{answered}"
        );
        let leg = world.leg("192.0.2.1:4000");
        assert!(leg.punt.dtls && leg.receive == Security::Await && leg.send == Security::Await);
        let id = leg.id;
        alice.read(&world, &answered, role);
        run(&mut world, &mut [&mut alice], Duration::from_secs(2));
        agrees(&world, id, &alice);
        assert_eq!(world.leg("192.0.2.2:5000").receive, Security::Plain);
    }
}

#[test]
fn a_plain_party_talks_with_a_dtls_one_whoever_of_them_begins() {
    for (setup, role) in [("active", Role::Active), ("passive", Role::Passive)] {
        let mut world = world();
        let mut bob = Peer::new("192.0.2.2:5000");
        let options = Options { interface_to: Some("ext".into()), ..towards("UDP/TLS/RTP/SAVP") };
        let offered = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
        assert!(offered.contains(" UDP/TLS/RTP/SAVP ") && offered.contains("a=setup:actpass"));
        // A browser begins as soon as it has answered.
        bob.read(&world, &offered, role);
        let answered = world.answer(answer(bob.body(setup).replace("SAVPF", "SAVP")));
        assert!(answered.contains(" RTP/AVP ") && !answered.contains("fingerprint"));
        run(&mut world, &mut [&mut bob], Duration::from_secs(2));
        let id = world.leg("192.0.2.2:5000").id;
        agrees(&world, id, &bob);
    }
}

#[test]
fn another_certificate_than_the_one_of_the_body_gets_no_media() {
    let mut world = world();
    let mut alice = Peer::new("192.0.2.1:4000");
    world.offer(Offer { options: towards("RTP/AVP"), ..offer(alice.body("active")) });
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.identity = identity();
    alice.read(&world, &answered, Role::Active);
    run(&mut world, &mut [&mut alice], Duration::from_secs(2));
    assert_eq!(world.leg("192.0.2.1:4000").receive, Security::Await);
    assert!(world.events.iter().any(|event| matches!(event, CallEvent::DtlsFailed { tag, .. } if tag == "alice")));
}

#[test]
fn that_a_certificate_is_gone_is_told_once_however_many_datagrams_come() {
    let mut world = world();
    let alice = Peer::new("192.0.2.1:4000");
    let offered = |setup| Offer { options: towards("RTP/AVP"), ..offer(alice.body(setup)) };
    world.offer(offered("active"));
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    for _ in 0..raceway_media::limits::IDENTITIES_MAX {
        world.calls.set_identity(identity()).unwrap();
    }
    world.offer(offered("passive"));
    world.answer(answer(body("192.0.2.2", 5000)));
    for _ in 0..10 {
        world.calls.handle_punt(world.now, rtp(&answered), address("198.51.100.66:6666"), &[22; 100]);
        world.settle();
    }
    let failures = world.events.iter().filter(|event| matches!(event, CallEvent::DtlsFailed { .. }));
    assert_eq!(failures.count(), 1);
}

#[test]
fn a_client_hello_from_elsewhere_is_not_heard() {
    let mut world = world();
    let mut alice = Peer::new("192.0.2.1:4000");
    world.offer(Offer { options: towards("RTP/AVP"), ..offer(alice.body("active")) });
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &answered, Role::Active);
    let hello = alice.association.as_mut().unwrap().poll_transmit().unwrap();
    world.calls.handle_punt(world.now, hello.remote, address("192.0.2.66:4000"), &hello.payload);
    world.settle();
    assert!(world.relay.sent.is_empty());
    world.calls.handle_punt(world.now, hello.remote, alice.address, &hello.payload);
    world.settle();
    assert!(!world.relay.sent.is_empty());
}

#[test]
fn a_re_offer_with_the_same_certificate_keeps_keys_and_another_one_brings_new_ones() {
    let mut world = world();
    let mut alice = Peer::new("192.0.2.1:4000");
    world.offer(Offer { options: towards("RTP/AVP"), ..offer(alice.body("actpass")) });
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &answered, Role::Passive);
    run(&mut world, &mut [&mut alice], Duration::from_secs(2));
    let id = world.leg("192.0.2.1:4000").id;
    let again =
        |peer: &Peer| Offer { to_tag: Some("bob".into()), options: towards("RTP/AVP"), ..offer(peer.body("actpass")) };
    world.offer(again(&alice));
    assert_eq!(world.answer(answer(body("192.0.2.2", 5000))), answered);
    run(&mut world, &mut [&mut alice], Duration::from_secs(1));
    agrees(&world, id, &alice);
    let mut other = Peer::new("192.0.2.1:4000");
    world.offer(again(&other));
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    other.read(&world, &answered, Role::Passive);
    run(&mut world, &mut [&mut other], Duration::from_secs(2));
    agrees(&world, id, &other);
}

#[test]
fn keys_stay_over_a_restart_of_control_and_a_new_certificate() {
    let mut world = world();
    let mut alice = Peer::new("192.0.2.1:4000");
    world.offer(Offer { options: towards("RTP/AVP"), ..offer(alice.body("actpass")) });
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &answered, Role::Passive);
    run(&mut world, &mut [&mut alice], Duration::from_secs(2));
    let sessions = world.relay.sessions.clone();
    crate::restore::restart(&mut world);
    world.calls.set_identity(identity()).unwrap();
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions, sessions);
    let again =
        |peer: &Peer| Offer { to_tag: Some("bob".into()), options: towards("RTP/AVP"), ..offer(peer.body("actpass")) };
    world.offer(again(&alice));
    let said = world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(said, answered, "the old certificate, which Alice knows");
    let id = world.leg("192.0.2.1:4000").id;
    agrees(&world, id, &alice);
    world.offer(again(&Peer::new("192.0.2.1:4000")));
    let said = world.answer(answer(body("192.0.2.2", 5000)));
    let ours = |body: &str| describe(body).media[0].fingerprints.clone();
    assert_ne!(ours(&said), ours(&answered), "the new one for an association that is new");
}

#[test]
fn with_ice_a_client_hello_counts_from_where_ice_has_validated_the_peer() {
    use raceway_ice::{Agent, Credentials, Mode};
    let mut world = world();
    let mut alice = Peer::new("192.0.2.1:4000");
    let mut agent = Agent::new(
        Mode::Full(raceway_ice::Role::Controlling),
        Credentials::from_random(&[3; 24]),
        &[alice.address],
        [3; 32],
    );
    let ours = agent.local_credentials();
    let ice = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ours.ufrag(), ours.password());
    world.offer(Offer { options: towards("RTP/AVP"), ..offer(alice.body("active") + &ice) });
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &answered, Role::Active);
    let hello = alice.association.as_mut().unwrap().poll_transmit().unwrap();
    world.calls.handle_punt(world.now, hello.remote, alice.address, &hello.payload);
    world.settle();
    assert!(world.relay.sent.is_empty(), "its SDP names the address, and ICE has not seen it");
    let description = describe(&answered);
    let theirs = description.media[0].ice.credentials.clone().unwrap();
    agent.set_remote(Credentials::new(&theirs.fragment, &theirs.password).unwrap());
    let ours = raceway_ice::Candidate::host(raceway_ice::Component::Rtp, hello.remote);
    agent.add_remote_candidate(world.now, ours).unwrap();
    agent.handle_timeout(world.now);
    let check = agent.poll_transmit().unwrap();
    world.calls.handle_punt(world.now, check.remote, check.local, &check.payload);
    world.settle();
    world.relay.sent.clear();
    world.calls.handle_punt(world.now, hello.remote, alice.address, &hello.payload);
    world.settle();
    assert!(!world.relay.sent.is_empty());
}

#[test]
fn without_a_certificate_or_when_switched_off_there_is_no_dtls() {
    let mut world = World::new();
    let alice = Peer::new("192.0.2.1:4000");
    let refusal = world.command(Command::Offer(offer(alice.body("actpass")))).unwrap_err();
    let expected = "m-line 1: UDP/TLS/RTP/SAVPF needs DTLS-SRTP, for which there is no certificate here";
    assert_eq!(refusal.to_string(), expected);
    let mut world = self::world();
    let options = Options { dtls: Some(Dtls::Off), ..towards("UDP/TLS/RTP/SAVPF") };
    let offered = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
    assert!(offered.contains(" RTP/SAVPF ") && offered.contains("a=crypto") && !offered.contains("fingerprint"));
    let mut world = self::world();
    world.offer(Offer { options: towards("UDP/TLS/RTP/SAVPF"), ..offer(body("192.0.2.1", 4000)) });
    let refusal = world.command(Command::Answer(answer(body("192.0.2.2", 5000)))).unwrap_err();
    assert!(refusal.to_string().contains("without an a=fingerprint"), "{refusal}");
}

#[test]
fn both_sides_may_do_dtls_each_with_us() {
    let mut world = world();
    let (mut alice, mut bob) = (Peer::new("192.0.2.1:4000"), Peer::new("192.0.2.2:5000"));
    let offered = world.offer(offer(alice.body("actpass")));
    bob.read(&world, &offered, Role::Active);
    let answered = world.answer(answer(bob.body("active")));
    alice.read(&world, &answered, Role::Passive);
    run(&mut world, &mut [&mut alice, &mut bob], Duration::from_secs(2));
    let ids = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    agrees(&world, ids.0, &alice);
    agrees(&world, ids.1, &bob);
    assert!(world.session().flows.is_empty(), "each has its own keys");
}
