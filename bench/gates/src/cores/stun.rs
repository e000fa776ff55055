//! STUN indications on the packet path.

use std::hint::black_box;

use raceway_abi::mapped;
use raceway_stun::{DATA_HEADER_MAX, data_header, header, send_indication};
use raceway_units::Endpoint;

use super::{Scenario, scenario};
use crate::packets;

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("stun: read a Send indication", |_| {
            let datagram = packets::send_indication([203, 0, 113, 6], 6000, &packets::rtp());
            Box::new(move || {
                let datagram = black_box(&datagram[..]);
                let read = header(datagram).and_then(|head| send_indication(&head, datagram));
                assert_eq!(black_box(read).expect("well formed").data, 36..36 + packets::RTP_OCTETS);
            })
        }),
        scenario("stun: write the head of a Data indication, IPv4", |_| {
            heads(Endpoint { address: mapped([203, 0, 113, 6]), port: 6000 })
        }),
        scenario("stun: write the head of a Data indication, IPv6", |_| {
            heads(Endpoint { address: [0x20; 16], port: 6000 })
        }),
    ]
}

fn heads(peer: Endpoint) -> super::Operation {
    let mut room = [0; DATA_HEADER_MAX];
    Box::new(move || {
        let used = data_header(black_box(&mut room), &[7; 12], black_box(&peer), packets::RTP_OCTETS);
        assert!(black_box(used).is_some());
    })
}
