//! Messages between the two processes: what an allocation takes.

use std::borrow::Cow;
use std::hint::black_box;
use std::net::SocketAddr;

use raceway_api::{
    Datagram, Destination, Flow, FlowAction, FlowId, FrameWriter, Framing, Match, Operation, Remote, SessionId,
    ToRelay, decode,
};

use super::{Scenario, scenario};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("api: encode an Apply of six operations", |_| {
            let (apply, mut writer) = (apply(), FrameWriter::new());
            Box::new(move || {
                writer.clear();
                assert!(writer.push(black_box(&apply)));
                black_box(writer.frame());
            })
        }),
        scenario("api: decode an Apply of six operations", |_| {
            let mut writer = FrameWriter::new();
            assert!(writer.push(&apply()));
            Box::new(move || {
                let mut messages = decode::<ToRelay<'_>>(black_box(writer.frame())).expect("our version");
                assert!(black_box(messages.next()).is_some_and(|message| message.is_ok()));
            })
        }),
    ]
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("a literal")
}

/// An allocation with a channel, and the answer to its client.
fn apply() -> ToRelay<'static> {
    let (client, listener) = (address("192.0.2.10:5000"), address("198.51.100.1:3478"));
    let (relayed, peer) = (address("198.51.100.1:50000"), address("203.0.113.5:6000"));
    let flow = |id, remote, local, framing, action| {
        let matches = Match { remote, local, framing };
        Operation::PutFlow(Flow { id: FlowId(id), matches, action, expires_at_ns: 1_600_000_000_000 })
    };
    let forward =
        |towards, from, to, framing| FlowAction::Forward { towards, from, to, framing, local_destination: false };
    let channel = Framing::Channel(0x4000);
    let from_client = Remote::Exact(client);
    let unwrap = FlowAction::Unwrap { relayed_v4: Some(relayed), relayed_v6: None };
    let to_peer = forward(Destination::Peer, relayed, peer, Framing::Plain);
    let to_client = forward(Destination::Client, listener, client, channel);
    let blob = Cow::Owned(vec![7; 120]);
    ToRelay::Apply {
        transaction: 1,
        session: SessionId(1 << 40),
        operations: vec![
            Operation::PutSession { worker: 0, expires_at_ns: 1_600_000_000_000, bits_per_second: 0, blob },
            Operation::OpenRelayed { address: relayed, external: relayed },
            flow(1, from_client, listener, Framing::Indication, unwrap),
            flow(2, Remote::Any, relayed, Framing::Plain, FlowAction::Refuse),
            flow(3, from_client, listener, channel, to_peer),
            flow(4, Remote::Exact(peer), relayed, Framing::Plain, to_client),
        ],
        then_send: Some(Datagram { from: listener, to: client, payload: Cow::Owned(vec![1; 100]) }),
    }
}
