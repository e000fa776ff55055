//! Long-term credentials (RFC 8489 section 9.2.4, check by check) and shared secrets.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use raceway_turn::{Secret, Silence, limits};
use raceway_units::UnixTime;
use sha1::Sha1;

use crate::wire::*;
use crate::world::*;

#[test]
fn a_request_without_integrity_is_challenged() {
    let mut world = World::new();
    let response = world.ask(Client::alice().address, &message(ALLOCATE, [1; 12], &[transport()]));
    assert_eq!(response.error(), 401);
    assert_eq!(response.get(REALM), Some(REALM_NAME.as_bytes()));
    assert!(response.get(NONCE).unwrap().starts_with(b"obMatJos2"));
    assert_eq!(response.get(PASSWORD_ALGORITHMS), Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]));
    assert_eq!(response.kinds().len(), 4, "nothing else: {:x?}", response.kinds());
}

#[test]
fn every_kind_of_proof_is_accepted() {
    for proof in [Proof::Old, Proof::Sha256, Proof::Md5Chosen, Proof::Md5WithSha256, Proof::Md5ChosenWithSha1] {
        for hash_name in [false, true] {
            let mut world = World::new();
            let mut client = Client { proof, hash_name, fingerprint: true, ..Client::alice() };
            assert!(client.allocate(&mut world, &[]).is_success(), "{proof:?}");
            assert!(client.refresh(&mut world, None).is_success(), "{proof:?}");
        }
    }
}

#[test]
fn a_client_may_change_its_proof_while_it_has_an_allocation() {
    let mut world = World::new();
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[]).is_success());
    client.proof = Proof::Sha256;
    assert!(client.refresh(&mut world, None).is_success());
    client.proof = Proof::Old;
    assert!(client.refresh(&mut world, None).is_success());
}

#[test]
fn integrity_without_name_realm_or_nonce_is_a_bad_request() {
    let mut world = World::new();
    let client = Client { nonce: b"obMatJos2gAAAxxx".to_vec(), ..Client::alice() };
    let all: [Attribute; 3] =
        [(USERNAME, b"alice".to_vec()), (REALM, REALM_NAME.into()), (NONCE, client.nonce.clone())];
    for missing in 0..3 {
        let kept: Vec<Attribute> =
            all.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, attribute)| attribute.clone()).collect();
        let mut octets = message(ALLOCATE, [1; 12], &kept);
        sign_sha1(&mut octets, &client.key());
        let response = world.ask(client.address, &octets);
        assert_eq!(response.error(), 400);
        assert_eq!(response.kinds(), [ERROR_CODE], "no realm, nonce or integrity");
    }
}

#[test]
fn the_offer_of_algorithms_must_come_back_whole_with_one_of_it_chosen() {
    let offered = vec![0, 2, 0, 0, 0, 1, 0, 0];
    let cases = [
        (None, Some(offered.clone())),
        (Some(vec![0, 2, 0, 0]), None),
        (Some(vec![0, 1, 0, 0]), Some(vec![0, 1, 0, 0])),
        (Some(vec![0, 1, 0, 0]), Some(vec![0, 1, 0, 0, 0, 2, 0, 0])),
        (Some(vec![0, 3, 0, 0]), Some(offered.clone())),
        (Some(vec![0, 2, 0, 1, 9, 0, 0, 0]), Some(offered)),
    ];
    for (chosen, list) in cases {
        let mut world = World::new();
        let mut client = Client::alice();
        client.fetch_nonce(&mut world);
        let mut attributes = vec![transport()];
        attributes.extend(chosen.clone().map(|value| (PASSWORD_ALGORITHM, value)));
        attributes.extend(list.clone().map(|value| (PASSWORD_ALGORITHMS, value)));
        let octets = client.signed(ALLOCATE, [1; 12], &attributes);
        assert_eq!(world.ask(client.address, &octets).error(), 400, "{chosen:?} {list:?}");
    }
}

#[test]
fn a_reload_that_offers_less_leaves_clients_their_choice() {
    let mut world = World::new();
    let mut client = Client { proof: Proof::Sha256, ..Client::alice() };
    assert!(client.allocate(&mut world, &[]).is_success());
    let mut policy = world.policy.clone();
    policy.users[1].password = Secret::ha1(md5_key("bob", REALM_NAME, "builder").try_into().unwrap());
    world.server.reconfigure(policy).unwrap();
    let octets = client.signed(REFRESH, [1; 12], &[]);
    assert!(world.ask(client.address, &octets).is_success(), "what came with its nonce still holds");
    let mut bob = Client::new("192.0.2.11:1", "bob", "builder");
    assert!(bob.allocate(&mut world, &[]).is_success());
    let challenge = world.ask(client.address, &message(ALLOCATE, [2; 12], &[transport()]));
    assert_eq!(challenge.get(PASSWORD_ALGORITHMS), Some(&[0, 1, 0, 0][..]));
}

#[test]
fn an_algorithm_that_was_not_offered_is_a_bad_request() {
    let mut world = World::with(|policy| {
        policy.users[1].password = Secret::ha1(md5_key("bob", REALM_NAME, "builder").try_into().unwrap());
    });
    let mut client = Client::alice();
    client.fetch_nonce(&mut world);
    let chosen =
        |number| [transport(), (PASSWORD_ALGORITHMS, vec![0, 1, 0, 0]), (PASSWORD_ALGORITHM, vec![0, number, 0, 0])];
    let octets = client.signed(ALLOCATE, [1; 12], &chosen(2));
    assert_eq!(world.ask(client.address, &octets).error(), 400);
    let octets = client.signed(ALLOCATE, [1; 12], &chosen(1));
    assert!(world.ask(client.address, &octets).is_success());
}

#[test]
fn a_nonce_whose_features_were_taken_away_is_stale() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.fetch_nonce(&mut world);
    assert_eq!(&client.nonce[9..13], b"wAAA");
    client.nonce[9] = b'A';
    let octets = client.signed(ALLOCATE, [1; 12], &[transport()]);
    assert_eq!(world.ask(client.address, &octets).error(), 438);
}

#[test]
fn an_unknown_user_a_wrong_password_and_a_wrong_realm_are_challenged() {
    let mut world = World::new();
    let mut unknown = Client::new("192.0.2.10:1", "carol", "x");
    let mut wrong = Client::new("192.0.2.10:2", "alice", "x");
    let mut realm = Client { realm: "example.net".to_owned(), ..Client::alice() };
    let mut hashed = Client { hash_name: true, ..Client::new("192.0.2.10:3", "carol", "x") };
    for client in [&mut unknown, &mut wrong, &mut realm, &mut hashed] {
        let response = client.allocate(&mut world, &[]);
        assert_eq!(response.error(), 401);
        assert!(response.get(NONCE).is_some() && response.get(REALM).is_some());
        assert!(response.get(PASSWORD_ALGORITHMS).is_some());
    }
    assert_eq!(world.server.session_count(), 0);
    assert!(world.relay.applied.is_empty());
}

#[test]
fn every_changed_bit_of_a_signed_request_is_noticed() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.fetch_nonce(&mut world);
    let octets = client.signed(ALLOCATE, [1; 12], &[transport(), number(LIFETIME, 700)]);
    for bit in 0..octets.len() * 8 {
        let mut changed = octets.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        world.punt(client.address, &changed);
        assert_eq!(world.server.session_count(), 0, "bit {bit}");
    }
}

#[test]
fn attributes_behind_the_integrity_do_not_count() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.fetch_nonce(&mut world);
    let mut octets = client.signed(ALLOCATE, [1; 12], &[transport()]);
    push(&mut octets, LIFETIME, &3000_u32.to_be_bytes());
    push(&mut octets, 0x7777, &[]);
    let response = world.ask(client.address, &octets);
    assert_eq!((response.error(), response.lifetime()), (0, Some(600)));
}

#[test]
fn the_sha256_integrity_decides_when_both_are_there() {
    let mut world = World::new();
    let mut client = Client { proof: Proof::Md5WithSha256, ..Client::alice() };
    client.fetch_nonce(&mut world);
    let attributes =
        [transport(), (USERNAME, b"alice".to_vec()), (REALM, REALM_NAME.into()), (NONCE, client.nonce.clone())];
    let mut octets = message(ALLOCATE, [1; 12], &attributes);
    sign_sha1(&mut octets, &client.key());
    sign_sha256(&mut octets, b"another key");
    assert_eq!(world.ask(client.address, &octets).error(), 401);
}

#[test]
fn an_old_nonce_is_stale_and_the_new_one_works() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[number(LIFETIME, 3600)]);
    world.pass_s(3599);
    let octets = client.signed(REFRESH, [1; 12], &[]);
    assert_eq!(world.ask(client.address, &octets).error(), 0);
    world.pass_s(1);
    let octets = client.signed(REFRESH, [2; 12], &[]);
    let response = world.ask(client.address, &octets);
    assert_eq!(response.error(), 438);
    assert!(response.get(REALM).is_some() && response.get(PASSWORD_ALGORITHMS).is_some());
    client.nonce = response.get(NONCE).unwrap().to_vec();
    assert!(client.refresh(&mut world, None).is_success());
}

#[test]
fn a_nonce_is_good_for_one_address_and_port() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.fetch_nonce(&mut world);
    for other in ["192.0.2.10:40001", "192.0.2.11:40000"] {
        let thief = Client { address: address(other), ..client.clone() };
        let octets = thief.signed(ALLOCATE, [1; 12], &[transport()]);
        assert_eq!(world.ask(thief.address, &octets).error(), 438);
    }
}

#[test]
fn a_nonce_from_elsewhere_is_stale_before_the_credentials_are_looked_at() {
    let mut world = World::new();
    let mut client = Client { nonce: b"obMatJos2wAAAxxx".to_vec(), ..Client::new("192.0.2.10:1", "alice", "x") };
    let octets = client.signed(ALLOCATE, [1; 12], &[transport()]);
    let response = world.ask(client.address, &octets);
    assert_eq!(response.error(), 438);
    client.nonce = response.get(NONCE).unwrap().to_vec();
    assert_eq!(client.allocate(&mut world, &[]).error(), 401);
}

#[test]
fn a_wrong_password_with_an_old_nonce_is_challenged() {
    let mut world = World::new();
    let mut client = Client::new("192.0.2.10:1", "alice", "x");
    client.fetch_nonce(&mut world);
    world.pass_s(3600);
    let octets = client.signed(ALLOCATE, [1; 12], &[transport()]);
    assert_eq!(world.ask(client.address, &octets).error(), 401);
}

/// So many wrong passwords from 192.0.2.0/24 that no more are looked at. The guesser, who has a good nonce.
fn guess(world: &mut World) -> Client {
    let mut guesser = Client::new("192.0.2.66:1", "alice", "guess");
    guesser.fetch_nonce(world);
    for at in 0..limits::FAILURES_BURST {
        let octets = guesser.signed(ALLOCATE, [1; 12], &[transport()]);
        assert_eq!(world.ask(guesser.address, &octets).error(), 401, "guess {at}");
    }
    guesser
}

#[test]
fn wrong_credentials_beyond_their_budget_are_not_looked_at() {
    let mut world = World::new();
    let guesser = guess(&mut world);
    let octets = guesser.signed(ALLOCATE, [1; 12], &[transport()]);
    for _ in 0..3 {
        assert!(world.punt(guesser.address, &octets).is_empty());
    }
    assert_eq!(world.server.counters().silences(Silence::WrongCredentials), 3);
    world.pass_s(1);
    let answers = (0..200).filter(|_| !world.punt(guesser.address, &octets).is_empty()).count();
    assert_eq!(answers as u64, limits::FAILURES_PER_SECOND);
}

#[test]
fn who_guesses_hurts_neither_allocations_that_are_there_nor_other_prefixes() {
    let mut world = World::new();
    let mut neighbour = Client::new("192.0.2.10:1", "bob", "builder");
    assert!(neighbour.allocate(&mut world, &[]).is_success());
    let guesser = guess(&mut world);
    let octets = guesser.signed(ALLOCATE, [1; 12], &[transport()]);
    assert!(world.punt(guesser.address, &octets).is_empty());
    assert!(neighbour.refresh(&mut world, None).is_success());
    assert!(neighbour.permit(&mut world, &[address(PEER)]).is_success());
    assert!(Client::new("192.0.3.10:1", "bob", "builder").allocate(&mut world, &[]).is_success());
    world.pass_s(1);
    assert!(
        Client::new("192.0.2.11:1", "bob", "builder").allocate(&mut world, &[]).is_success(),
        "there is room again"
    );
}

#[test]
fn wrong_credentials_count_against_nobody_who_did_not_send_them() {
    let mut world = World::new();
    let mut victim = Client::alice();
    victim.fetch_nonce(&mut world);
    let forged = Client { nonce: victim.nonce.clone(), ..Client::new("192.0.2.66:1", "alice", "guess") };
    let octets = forged.signed(ALLOCATE, [1; 12], &[transport()]);
    for port in 1..=2 * limits::FAILURES_BURST as u16 {
        let from = SocketAddr::new(victim.address.ip(), port);
        assert!(world.punt(from, &octets).iter().all(|response| response.error() == 438));
    }
    assert_eq!(world.server.counters().silences(Silence::WrongCredentials), 0);
    assert!(victim.allocate(&mut world, &[]).is_success());
}

#[test]
fn right_credentials_take_nothing_from_the_budget_for_wrong_ones() {
    let mut world = World::with(|policy| policy.unauthenticated.burst = u64::MAX);
    for port in 0..2 * limits::FAILURES_BURST as u16 {
        let mut client = Client::new(&format!("192.0.2.10:{}", 1000 + port), "alice", "wonderland");
        assert!(client.allocate(&mut world, &[]).is_success());
        client.refresh(&mut world, Some(0));
    }
}

#[test]
fn nonces_outlive_a_restart_of_control() {
    let mut world = World::new();
    let mut client = Client::alice();
    client.allocate(&mut world, &[]);
    world.restart_control();
    let octets = client.signed(REFRESH, [1; 12], &[]);
    assert!(world.ask(client.address, &octets).is_success());
}

const CAROL: &str = "192.0.2.20:4000";

/// The password of `expiry:user` as coturn computes it.
fn shared(secret: &str, name: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(name.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn shared_world() -> World {
    World::with(|policy| {
        policy.shared_secrets = vec![Secret::new("old".to_owned()), Secret::new("north".to_owned())];
    })
}

pub fn shared_client(address_text: &str, secret: &str, name: &str) -> Client {
    Client::new(address_text, name, &shared(secret, name))
}

#[test]
fn every_live_secret_makes_credentials() {
    for secret in ["old", "north"] {
        for name in ["1700000600:carol", "1700000600"] {
            for proof in [Proof::Old, Proof::Sha256] {
                let mut client = Client { proof, ..shared_client(CAROL, secret, name) };
                assert!(client.allocate(&mut shared_world(), &[]).is_success(), "{secret} {name}");
            }
        }
    }
    assert_eq!(shared_client(CAROL, "other", "1700000600:carol").allocate(&mut shared_world(), &[]).error(), 401);
}

#[test]
fn expired_credentials_are_challenged() {
    let mut world = shared_world();
    world.wall = UnixTime(1_700_000_601);
    assert_eq!(shared_client(CAROL, "north", "1700000600:carol").allocate(&mut world, &[]).error(), 401);
}

#[test]
fn static_users_work_beside_shared_secrets_and_names_are_not_hashed() {
    let mut world = shared_world();
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[]).is_success());
    assert_eq!(&client.nonce[9..13], b"gAAA", "a hashed name cannot be checked against a secret");
    let mut world = World::new();
    client.fetch_nonce(&mut world);
    assert_eq!(&client.nonce[9..13], b"wAAA");
}

#[test]
fn an_allocation_goes_on_with_the_credentials_it_was_made_with() {
    let mut world = shared_world();
    let mut client = shared_client(CAROL, "north", "1700000600:carol");
    assert!(client.allocate(&mut world, &[]).is_success());
    world.wall = UnixTime(1_700_000_900);
    assert!(client.refresh(&mut world, None).is_success(), "expired meanwhile");
    let mut policy = world.policy.clone();
    policy.shared_secrets = vec![Secret::new("new".to_owned())];
    world.server.reconfigure(policy).unwrap();
    assert!(client.refresh(&mut world, None).is_success(), "rotated meanwhile");
    world.restart_control();
    assert!(client.refresh(&mut world, None).is_success(), "control restarted with the old configuration");
}

#[test]
fn no_secret_is_printed() {
    let world = shared_world();
    let printed = format!("{:?} {:?}", world.policy, world.server);
    for secret in ["north", "wonderland", "builder"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
