//! Restarts of control and of the relay, and what the operator does to sessions.

use raceway_api::{RelayAddress, SessionId};
use raceway_turn::Family;

use crate::wire::*;
use crate::world::*;

fn allocated() -> (World, Client) {
    let mut world = World::new();
    let mut client = Client::alice();
    assert!(client.allocate(&mut world, &[]).is_success());
    (world, client)
}

fn view(world: &World) -> String {
    let mut views: Vec<String> = world.server.sessions(world.now).map(|view| format!("{view:?}")).collect();
    views.sort();
    views.join("\n")
}

#[test]
fn a_new_control_knows_what_the_old_one_knew() {
    let mut world = World::new();
    let mut one = Client::alice();
    let mut two = Client::new("[2001:db8:9::1]:7", "bob", "builder");
    one.allocate(&mut world, &[family(ADDITIONAL_ADDRESS_FAMILY, 2), number(LIFETIME, 700)]);
    one.bind(&mut world, 0x4000, address(PEER));
    one.bind(&mut world, 0x4001, peer_v6());
    two.allocate(&mut world, &[family(REQUESTED_ADDRESS_FAMILY, 2)]);
    two.permit(&mut world, &[peer_v6()]);
    world.pass_s(50);
    let (before, flows) = (view(&world), (world.flows(&one), world.flows(&two)));
    world.restart_control();
    assert_eq!(view(&world), before);
    assert_eq!((world.flows(&one), world.flows(&two)), flows);
    assert_eq!((world.server.allocations(Family::V4), world.server.allocations(Family::V6)), (1, 2));
    assert!(one.refresh(&mut world, None).is_success());
    assert_eq!(two.refresh(&mut world, Some(0)).lifetime(), Some(0));
    world.pass_s(700);
    assert_eq!(world.server.session_count(), 0);
    assert!(world.relay.sessions.is_empty());
}

#[test]
fn restored_ports_users_and_names_are_not_given_again() {
    let mut world = World::with(|policy| {
        (policy.ports.first, policy.ports.last) = (50000, 50001);
        policy.quota_per_user = 2;
    });
    let mut one = Client::alice();
    let port = one.allocate(&mut world, &[]).relayed()[0].port();
    let session = world.session(&one).unwrap();
    world.restart_control();
    let mut two = Client::new("192.0.2.10:2", "alice", "wonderland");
    assert_eq!(two.allocate(&mut world, &[]).relayed()[0].port(), 50000 ^ 50001 ^ port);
    assert!(world.session(&two).unwrap() > session);
    assert_eq!(Client::new("192.0.2.10:3", "alice", "wonderland").allocate(&mut world, &[]).error(), 486);
}

#[test]
fn another_user_still_has_the_wrong_credentials_after_a_restart() {
    let (mut world, client) = allocated();
    world.restart_control();
    let mut bob = Client { address: client.address, ..Client::new("192.0.2.1:1", "bob", "builder") };
    assert_eq!(bob.refresh(&mut world, Some(0)).error(), 441);
}

#[test]
fn a_channel_bounded_by_its_allocation_gets_its_time_back_after_a_restart() {
    let (mut world, mut client) = allocated();
    world.pass_s(300);
    client.bind(&mut world, 0x4000, address(PEER));
    world.restart_control();
    client.refresh(&mut world, None);
    assert_eq!(world.flow(&client, 2 << 28 | 0x4000).unwrap().expires_at_ns, world.in_s(600));
}

#[test]
fn what_cannot_be_understood_is_removed() {
    let (mut world, _client) = allocated();
    let good = world.relay.sessions.values().next().unwrap().clone();
    let mut blobs: Vec<Vec<u8>> = (0..good.blob.len()).map(|cut| good.blob[..cut].to_vec()).collect();
    let mut other_version = good.blob.clone();
    other_version[0] = 9;
    blobs.push(other_version);
    for (at, blob) in blobs.iter().enumerate() {
        let mut broken = good.clone();
        broken.blob = blob.clone();
        broken.flows.clear();
        world.relay.sessions.insert(SessionId(1000 + at as u64), broken);
    }
    world.restart_control();
    assert_eq!(world.server.session_count(), 1);
    assert_eq!(world.relay.sessions.len(), 1);
    assert_eq!(world.server.counters().restore_failures, blobs.len() as u64);
}

/// A relay with a session of each of two worlds, which know nothing of each other.
fn merged(ports: [u16; 2], clients: [&str; 2]) -> World {
    let mut worlds = ports.map(|port| World::with(|policy| (policy.ports.first, policy.ports.last) = (port, port)));
    for (world, client) in worlds.iter_mut().zip(clients) {
        assert!(Client::new(client, "alice", "wonderland").allocate(world, &[]).is_success());
    }
    let [mut world, other] = worlds;
    let session = other.relay.sessions.into_values().next().unwrap();
    world.relay.sessions.insert(SessionId(77), session);
    world.restart_control();
    world
}

#[test]
fn of_two_sessions_with_one_5_tuple_or_one_port_one_stays() {
    let (one, two) = ("192.0.2.10:1", "192.0.2.10:2");
    for (ports, clients, left) in
        [([5, 6], [one, two], 2), ([5, 6], [one, one], 1), ([5, 5], [one, two], 1), ([5, 5], [one, one], 1)]
    {
        let world = merged(ports, clients);
        assert_eq!((world.server.session_count(), world.relay.sessions.len()), (left, left), "{ports:?} {clients:?}");
        assert_eq!(world.server.counters().restore_failures, 2 - left as u64);
    }
}

#[test]
fn a_session_that_contradicts_another_leaves_no_port_taken() {
    let single = |policy: &mut raceway_turn::Policy| (policy.ports.first, policy.ports.last) = (5, 5);
    let (mut world, mut other) = (World::with(single), World::with(single));
    Client::new("192.0.2.10:1", "alice", "wonderland").allocate(&mut world, &[]);
    let dual = family(ADDITIONAL_ADDRESS_FAMILY, 2);
    Client::new("192.0.2.10:2", "alice", "wonderland").allocate(&mut other, &[dual]);
    other.relay.snapshot().iter().for_each(|report| {
        let report = raceway_api::SessionReport { id: SessionId(77), ..report.clone() };
        world.server.restore(&report);
    });
    world.server.restore_end(world.now);
    world.settle();
    assert_eq!(world.server.session_count(), 1);
    let v6 = family(REQUESTED_ADDRESS_FAMILY, 2);
    assert!(Client::new("192.0.2.10:3", "bob", "builder").allocate(&mut world, &[v6]).is_success());
}

#[test]
fn a_blob_of_another_version_is_not_understood() {
    let (mut world, _client) = allocated();
    world.relay.sessions.values_mut().next().unwrap().blob[0] += 1;
    world.restart_control();
    assert_eq!((world.server.session_count(), world.relay.sessions.len()), (0, 0));
    assert_eq!(world.server.counters().restore_failures, 1);
}

#[test]
fn a_session_that_ended_meanwhile_is_not_restored() {
    let (mut world, _client) = allocated();
    world.now = world.now.after(std::time::Duration::from_secs(600));
    world.restart_control();
    assert_eq!((world.server.session_count(), world.relay.sessions.len()), (0, 0));
}

#[test]
fn a_snapshot_changes_nothing_of_sessions_that_are_held() {
    let (mut world, mut client) = allocated();
    let old = world.relay.snapshot();
    client.bind(&mut world, 0x4000, address(PEER));
    let before = view(&world);
    old.iter().for_each(|report| world.server.restore(report));
    world.server.restore_end(world.now);
    world.settle();
    assert_eq!(view(&world), before);
    assert_eq!(world.flows(&client).len(), 5);
}

#[test]
fn a_new_relay_is_told_everything() {
    let mut world = World::new();
    let mut clients: Vec<Client> =
        (1..=20).map(|port| Client::new(&format!("192.0.2.10:{port}"), "alice", "wonderland")).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.allocate(&mut world, &[]);
        for channel in 0..at as u16 * 5 {
            let peer = std::net::SocketAddr::new(address(PEER).ip(), 1000 + channel);
            client.bind(&mut world, 0x4000 + channel, peer);
        }
    }
    let before = world.relay.sessions.clone();
    world.relay.sessions.clear();
    world.server.reinstall();
    world.settle();
    for (id, session) in &before {
        let again = &world.relay.sessions[id];
        assert_eq!((&again.flows, &again.relayed), (&session.flows, &session.relayed));
        assert_eq!(again.expires_at_ns, session.expires_at_ns);
    }
    assert_eq!(world.relay.sessions.len(), before.len());
    world.server.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions.len(), before.len(), "saying it twice is saying it once");
}

#[test]
fn a_new_relay_is_not_told_what_has_ended() {
    let (mut world, mut client) = allocated();
    client.permit(&mut world, &[address(PEER)]);
    world.pass_s(300);
    world.server.handle_timeout(world.now);
    world.relay.sessions.clear();
    world.server.reinstall();
    world.settle();
    assert_eq!(world.relay.sessions.values().next().unwrap().flows.len(), 2);
}

#[test]
fn a_session_whose_port_the_new_relay_cannot_open_ends() {
    let (mut world, mut client) = allocated();
    let relayed = world.relay.sessions.values().next().unwrap().relayed[0].0;
    world.relay.sessions.clear();
    world.relay.occupied.insert(relayed);
    world.server.reinstall();
    world.settle();
    assert_eq!((world.server.session_count(), world.relay.sessions.len()), (0, 0));
    assert_eq!(client.refresh(&mut world, None).error(), 437);
}

#[test]
fn an_operator_can_remove_a_session() {
    let (mut world, mut client) = allocated();
    let session = world.session(&client).unwrap();
    assert!(world.server.session(world.now, session).is_some());
    assert!(world.server.remove(session));
    world.settle();
    assert!(world.relay.sessions.is_empty());
    assert!(world.server.session(world.now, session).is_none());
    assert!(!world.server.remove(session));
    assert_eq!(client.refresh(&mut world, None).error(), 437);
}

#[test]
fn a_reload_keeps_sessions_and_a_bad_one_changes_nothing() {
    let (mut world, mut client) = allocated();
    let before = view(&world);
    let mut bad = world.policy.clone();
    bad.users.clear();
    bad.realm.clear();
    assert!(world.server.reconfigure(bad).is_err());
    assert!(Client::new("192.0.2.10:2", "alice", "wonderland").allocate(&mut world, &[]).is_success());
    let mut policy = world.policy.clone();
    policy.users.remove(0);
    policy.relay_addresses =
        vec![RelayAddress { internal: "198.51.100.8".parse().unwrap(), external: "198.51.100.8".parse().unwrap() }];
    policy.lifetime_default = std::time::Duration::from_secs(60);
    world.server.reconfigure(policy).unwrap();
    world.settle();
    assert!(view(&world).contains(&before));
    assert_eq!(client.refresh(&mut world, None).lifetime(), Some(60), "the session goes on without its user");
    assert_eq!(Client::new("192.0.2.10:3", "alice", "wonderland").allocate(&mut world, &[]).error(), 401);
    let mut bob = Client::new("192.0.2.10:4", "bob", "builder");
    assert_eq!(bob.allocate(&mut world, &[]).relayed()[0].ip().to_string(), "198.51.100.8");
}

#[test]
fn a_session_blob_fits_with_the_longest_name() {
    let name = "n".repeat(raceway_turn::limits::USERNAME_MAX);
    let mut world = World::with(|policy| policy.users[0].name = name.clone());
    let mut client = Client::new("[2001:db8:9::1]:7", &name, "wonderland");
    assert!(client.allocate(&mut world, &[family(ADDITIONAL_ADDRESS_FAMILY, 2)]).is_success());
    let blob = world.relay.sessions.values().next().unwrap().blob.len();
    assert!(blob <= raceway_api::limits::BLOB_MAX, "{blob}");
    let mut too_long = Client::new("[2001:db8:9::1]:8", &format!("{name}n"), "wonderland");
    assert_eq!(too_long.allocate(&mut world, &[]).error(), 401);
}
