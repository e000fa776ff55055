//! What XDP knows when a client hears of it.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData};
use raceway_abi::{ABI_VERSION, map_name};
use raceway_api::{
    Datagram, Destination, Flow, FlowAction, FlowId, FrameWriter, Framing, Match, Operation, Remote, SessionId, ToRelay,
};
use raceway_relay::clock;
use raceway_units::Endpoint;

use crate::harness::{End, Relay};
use crate::net::command;
use crate::place::with_bpf;

/// Sessions of one frame, each with a response.
const SESSIONS: u16 = 250;

/// A frame of many sessions takes the relay a while; the first response must not leave before XDP knows the first flow.
#[test]
fn needs_bpf_no_response_leaves_before_xdp_knows_its_flow() {
    with_bpf("order", |place| {
        command(&["ip", "link", "set", "lo", "up"]);
        let pins = place.options.pin_dir.display();
        let lines = format!("workers = [0]\ninterfaces = [\"lo\"]\nxdp = \"generic\"\npin_dir = \"{pins}\"");
        let relay = Relay::start_with("auto", &lines);
        let (mut control, listeners) = relay.control(&["127.0.0.1"]);
        let client = End::new("127.0.0.1");
        // All of them wait there, while each is looked at.
        socket2::SockRef::from(&client.0).set_recv_buffer_size(1 << 20).expect("less is given");
        let slots = place.options.pin_dir.join(format!("v{ABI_VERSION}")).join(map_name::SLOTS);
        let slots = Map::HashMap(MapData::from_pin(slots).expect("pinned"));
        let slots = HashMap::<_, [u8; 40], u32>::try_from(slots).expect("keys of 40 octets");
        let mut frame = FrameWriter::new();
        for number in 0..SESSIONS {
            assert!(frame.push(&session(number, &client, listeners[0])), "more than a frame");
        }
        control.say_octets(frame.frame());
        for expected in 0..SESSIONS {
            let key = key(client.address(), listeners[0], 0x4000 + expected);
            let (payload, _) = client.receive();
            let slot = slots.get(&key, 0);
            assert_eq!(payload, expected.to_be_bytes());
            assert!(slot.is_ok(), "response {expected} of {SESSIONS} came before its flow");
        }
    });
}

/// A session with one flow, for a channel of its number, and a response that is that number.
fn session(number: u16, client: &End, listener: SocketAddr) -> ToRelay<'static> {
    let expires_at_ns = clock::now().after(Duration::from_secs(60)).as_ns();
    // Nobody else is in this network.
    let relayed = SocketAddr::from(([127, 0, 0, 1], 50_000 + number));
    let matches =
        Match { remote: Remote::Exact(client.address()), local: listener, framing: Framing::Channel(0x4000 + number) };
    let action = FlowAction::Forward {
        towards: Destination::Peer,
        from: relayed,
        to: ([127, 0, 0, 9], 9).into(),
        framing: Framing::Plain,
        local_destination: false,
    };
    let payload = Cow::Owned(number.to_be_bytes().to_vec());
    ToRelay::Apply {
        transaction: number.into(),
        session: SessionId(number.into()),
        operations: vec![
            Operation::PutSession { worker: 0, expires_at_ns, bits_per_second: 0, blob: Cow::Owned(Vec::new()) },
            Operation::OpenRelayed { address: relayed, external: relayed },
            Operation::PutFlow(Flow { id: FlowId(1), matches, action, expires_at_ns }),
        ],
        then_send: Some(Datagram { from: listener, to: client.address(), payload }),
    }
}

/// A key as the map has it.
fn key(remote: SocketAddr, local: SocketAddr, channel: u16) -> [u8; 40] {
    let mut key = [0; 40];
    let (remote, local) = (Endpoint::from(remote), Endpoint::from(local));
    key[..16].copy_from_slice(&remote.address);
    key[16..32].copy_from_slice(&local.address);
    for (at, field) in [(32, remote.port), (34, local.port), (36, channel)] {
        key[at..at + 2].copy_from_slice(&field.to_ne_bytes());
    }
    key
}
