//! What requests cost on the heap.

use allocation_counter::measure;

use crate::wire::*;
use crate::world::*;

/// Octets of the heap that are held after `work` and were not before, and the number of requests it made.
fn cost(work: impl FnOnce()) -> (i64, u64) {
    let info = measure(work);
    (info.bytes_current, info.count_total)
}

fn give(world: &mut World, client: &Client, octets: &[u8]) {
    world.server.handle_punt(world.now, world.wall, 0, address(LISTENER), client.address, octets);
    while world.server.poll_output().is_some() {}
}

#[test]
fn a_flood_of_unproven_requests_holds_no_memory() {
    let mut world = World::new();
    let flood = |world: &mut World, count: u32| {
        for at in 0..count {
            let client = Client {
                address: (std::net::Ipv4Addr::from(at.wrapping_mul(7_777_777)), 5000).into(),
                ..Client::alice()
            };
            let mut forged = message(ALLOCATE, [7; 12], &[transport()]);
            if at % 2 == 0 {
                forged =
                    Client { nonce: b"obMatJos2gAAAxxx".to_vec(), ..client.clone() }.signed(ALLOCATE, [7; 12], &[]);
            }
            give(world, &client, &forged);
        }
    };
    flood(&mut world, 1000);
    let (held, _) = cost(|| flood(&mut world, 10_000));
    assert_eq!(held, 0);
}

#[test]
fn requests_ask_the_heap_for_little() {
    let mut world = World::new();
    let mut client = Client::alice();
    // What lives as long as the server takes its memory first.
    Client::new("192.0.2.77:9", "bob", "builder").allocate(&mut world, &[]);
    client.fetch_nonce(&mut world);
    let challenge = message(ALLOCATE, [1; 12], &[transport()]);
    let allocate = client.signed(ALLOCATE, [2; 12], &[transport()]);
    let refresh = client.signed(REFRESH, [3; 12], &[]);
    let peer = peer_attribute(address(PEER), &[4; 12]);
    let permit = client.signed(CREATE_PERMISSION, [4; 12], std::slice::from_ref(&peer));
    let bind = client.signed(CHANNEL_BIND, [4; 12], &[channel_attribute(0x4000), peer]);
    let (held, count) = cost(|| give(&mut world, &client, &challenge));
    assert!(held == 0 && count <= 3, "401: {held} octets, {count} requests");
    for (name, octets, most) in [
        ("Allocate", allocate, 16),
        ("Refresh", refresh, 16),
        ("CreatePermission", permit, 12),
        ("ChannelBind", bind, 12),
    ] {
        let (held, count) = cost(|| give(&mut world, &client, &octets));
        println!("{name}: {held} octets stay, {count} requests");
        assert!(count <= most, "{name}: {count} requests");
        assert!(held < 1536, "{name}: {held} octets stay");
    }
    assert_eq!(world.server.session_count(), 2);
}
