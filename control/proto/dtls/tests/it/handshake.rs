//! Handshakes between two of ours.

use std::time::Duration;

use raceway_dtls::{Association, Event, Failure, Fingerprint, Hash, Profile, Role, limits};

use crate::world::{ACTIVE, IDENTITIES, PASSIVE, World, address, association, at, identity};

fn fingerprint(side: usize, hash: Hash) -> Fingerprint {
    IDENTITIES[side].fingerprint(hash).unwrap()
}

#[test]
fn both_sides_get_the_same_keys_in_two_round_trips() {
    let mut world = World::of(&Profile::ALL);
    world.start();
    world.run(Duration::from_secs(1));
    world.assert_keyed();
    let elapsed = [ACTIVE, PASSIVE].map(|side| world.keys(side).unwrap().0.since(at(0)).as_millis());
    // ClientHello, ServerHello to Done, Certificate to Finished, Finished: there is no cookie to ask for.
    assert_eq!(elapsed, [40, 30]);
}

#[test]
fn the_passive_side_chooses_the_profile_in_its_order() {
    use Profile::{AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_32, Aes128CmSha1_80};
    for (ours, chosen) in [
        (vec![Aes128CmSha1_80, AeadAes256Gcm], Aes128CmSha1_80),
        (vec![AeadAes128Gcm], AeadAes128Gcm),
        (vec![Aes128CmSha1_32, Aes128CmSha1_80], Aes128CmSha1_32),
        (Profile::ALL.to_vec(), AeadAes256Gcm),
    ] {
        let mut world = World::new([association(ACTIVE, &Profile::ALL), association(PASSIVE, &ours)]);
        world.start();
        world.run(Duration::from_secs(1));
        world.assert_keyed();
        assert_eq!(world.keys(ACTIVE).unwrap().1.profile(), chosen);
    }
}

#[test]
fn without_a_profile_in_common_there_are_no_keys() {
    let sides = [association(ACTIVE, &[Profile::AeadAes256Gcm]), association(PASSIVE, &[Profile::Aes128CmSha1_80])];
    let mut world = World::new(sides);
    world.start();
    world.run(Duration::from_secs(1));
    let failed = Event::Failed(Failure::NoProfile);
    assert!(world.events[PASSIVE].iter().any(|(_, event)| *event == failed), "{:?}", world.events);
    assert!(world.keys(ACTIVE).is_none() && world.keys(PASSIVE).is_none());
}

#[test]
fn a_certificate_that_the_sdp_does_not_name_gets_no_keys() {
    for stranger in [ACTIVE, PASSIVE] {
        let mut world = World::of(&Profile::ALL);
        let role = if stranger == ACTIVE { Role::Active } else { Role::Passive };
        world.sides[stranger] = Association::new(role, &identity(), &Profile::ALL).unwrap();
        world.sides[stranger].set_fingerprints(at(0), vec![fingerprint(1 - stranger, Hash::Sha256)]);
        world.start();
        world.run(Duration::from_secs(1));
        let failed: Vec<_> = world.events[1 - stranger].iter().map(|(_, event)| event.clone()).collect();
        assert_eq!(failed, [Event::Failed(Failure::Fingerprint)], "no keys before it, none after");
    }
}

#[test]
fn an_empty_list_of_fingerprints_names_nobody() {
    let mut world = World::of(&Profile::ALL);
    world.sides[PASSIVE].set_fingerprints(at(0), Vec::new());
    world.start();
    world.run(Duration::from_secs(1));
    assert!(world.keys(PASSIVE).is_none());
}

#[test]
fn keys_wait_for_the_fingerprint() {
    let role = [Role::Active, Role::Passive];
    let sides = [ACTIVE, PASSIVE].map(|side| Association::new(role[side], &IDENTITIES[side], &Profile::ALL).unwrap());
    let mut world = World::new(sides);
    world.start();
    world.run(Duration::from_secs(60));
    assert!(world.events.iter().all(Vec::is_empty), "the answer may take its time: {:?}", world.events);
    for side in [ACTIVE, PASSIVE] {
        let now = world.now;
        world.sides[side].set_fingerprints(now, vec![fingerprint(1 - side, Hash::Sha512)]);
    }
    world.run(Duration::ZERO);
    world.assert_keyed();
}

#[test]
fn a_new_certificate_is_for_new_associations() {
    let (old, new) = (identity(), identity());
    let mut before = Association::new(Role::Passive, &old, &Profile::ALL).unwrap();
    before.set_fingerprints(at(0), vec![fingerprint(ACTIVE, Hash::Sha256)]);
    let mut current = old.clone();
    assert_ne!(current.fingerprint(Hash::Sha256), new.fingerprint(Hash::Sha256));
    let was = std::mem::replace(&mut current, new);
    drop(old);
    let mut after = Association::new(Role::Passive, &current, &Profile::ALL).unwrap();
    after.set_fingerprints(at(0), vec![fingerprint(ACTIVE, Hash::Sha256)]);
    for (passive, identity) in [(before, was), (after, current)] {
        let mut active = association(ACTIVE, &Profile::ALL);
        active.set_fingerprints(at(0), vec![identity.fingerprint(Hash::Sha256).unwrap()]);
        let mut world = World::new([active, passive]);
        world.start();
        world.run(Duration::from_secs(1));
        world.assert_keyed();
    }
}

#[test]
fn a_lossy_path_that_overtakes_and_doubles_gives_keys() {
    let mut slowest = Duration::ZERO;
    for seed in 0..60 {
        let mut world = World::of(&Profile::ALL).seeded(seed);
        (world.loss, world.jitter) = (300, Duration::from_millis(30));
        world.start();
        world.run(limits::HANDSHAKE_TIMEOUT);
        world.assert_keyed();
        slowest = slowest.max(world.keys(ACTIVE).unwrap().0.since(at(0)));
    }
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
}

#[test]
fn a_lost_last_flight_is_repeated_when_the_peer_asks() {
    let mut world = World::of(&Profile::ALL);
    world.start();
    // Of the passive side's datagrams the first are ServerHello to Done; then comes Finished, which gets lost twice.
    world.lost = |side, number| side == PASSIVE && (1..3).contains(&number);
    world.run(Duration::from_secs(3));
    world.assert_keyed();
    assert!(world.sent[PASSIVE].len() >= 4);
}

#[test]
fn a_flight_is_sent_again_after_100_ms_then_ever_later() {
    let mut world = World::of(&Profile::ALL);
    world.lost = |_, _| true;
    world.start();
    world.run(Duration::from_secs(60));
    let sent: Vec<_> = world.sent[ACTIVE].iter().map(|sent| sent.since(at(0)).as_millis()).collect();
    assert_eq!(sent, [0, 100, 300, 700, 1500, 2500, 3500, 4500, 5500, 6500, 7500, 8500, 9500]);
    assert_eq!(world.events[ACTIVE], [(at(10_000), Event::Failed(Failure::Timeout(None)))]);
    assert_eq!((world.events[PASSIVE].len(), world.sides[PASSIVE].poll_timeout()), (0, None), "it was never spoken to");
}

#[test]
fn the_peer_is_told_of_the_end() {
    let mut world = World::of(&Profile::ALL);
    world.start();
    world.run(Duration::from_secs(1));
    world.sides[ACTIVE].close();
    world.run(Duration::from_secs(1));
    let goodbyes = world.sent[ACTIVE].iter().filter(|sent| **sent >= at(1000)).count();
    assert_eq!(goodbyes, 1, "once");
    world.sides[ACTIVE].close();
    assert_eq!(world.sides[ACTIVE].poll_transmit(), None);
}

#[test]
fn the_last_flight_is_let_go_when_it_has_lingered() {
    let mut world = World::of(&Profile::ALL);
    world.start();
    world.run(limits::LINGER * 2);
    world.assert_keyed();
    assert_eq!(world.events.each_ref().map(Vec::len), [1, 1]);
    assert!(world.sides.iter().all(|side| side.poll_timeout().is_none()));
    let outcome =
        world.sides[PASSIVE].handle_datagram(world.now, address(ACTIVE), &[22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0]);
    assert_eq!(outcome, raceway_dtls::Outcome::Discarded(raceway_dtls::Discard::Over));
}

#[test]
fn datagrams_follow_the_address_that_was_named_last() {
    let mut active = association(ACTIVE, &Profile::ALL);
    active.allow(at(0), address(5));
    assert_eq!(active.poll_transmit().unwrap().remote, address(5));
    active.allow(at(1), address(6));
    active.handle_timeout(at(100));
    assert_eq!(active.poll_transmit().unwrap().remote, address(6), "the ClientHello again, elsewhere");
}

#[test]
fn flights_that_are_repeated_on_both_sides_do_not_call_for_each_other() {
    let mut world = World::of(&Profile::ALL);
    world.start();
    world.run(Duration::from_millis(100));
    world.assert_keyed();
    let sent = world.sent.each_ref().map(Vec::len);
    let now = world.now;
    for side in [ACTIVE, PASSIVE].repeat(20) {
        let finished = [22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 20];
        world.sides[side].handle_datagram(now, address(1 - side), &finished);
    }
    world.run(limits::LINGER);
    assert_eq!(world.sent[ACTIVE].len(), sent[ACTIVE], "only who sent the last flight repeats it");
    assert_eq!(world.sent[PASSIVE].len(), sent[PASSIVE] + 1, "and once for all that come together");
}
