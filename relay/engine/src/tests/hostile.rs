//! Any octets at all.

use proptest::prelude::*;

use super::*;

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop_oneof![Just(CLIENT), Just(PEER), Just(RELAYED), Just(LISTENER), any::<u16>().prop_map(|port| v6(3, port))]
}

/// Payloads near to what is expected, so that they get further than the first check.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let any_octets = prop::collection::vec(any::<u8>(), 0..100);
    let channel = prop::collection::vec(any::<u8>(), 0..60).prop_flat_map(|data| {
        (any::<u8>(), Just(data)).prop_map(|(length, data)| {
            let mut out = vec![0x40, 1, 0, length % 70];
            out.extend(data);
            out
        })
    });
    let stun = (any::<bool>(), prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..24)), 0..4))
        .prop_map(|(send, attributes)| {
            let mut body = Vec::new();
            for (kind, value) in attributes {
                body.extend_from_slice(&[0, kind % 0x30, 0, value.len() as u8]);
                body.extend_from_slice(&value);
                body.resize(body.len().next_multiple_of(4), 0);
            }
            let mut out = vec![0, if send { 0x16 } else { 0x01 }, 0, body.len() as u8, 0x21, 0x12, 0xa4, 0x42];
            out.resize(20, 1);
            out.extend(body);
            out
        });
    prop_oneof![any_octets, channel, stun]
}

proptest! {
    #[test]
    fn every_datagram_gets_one_verdict_and_is_counted_once(
        listener in any::<bool>(),
        remote in endpoint(),
        local in endpoint(),
        payload in payload(),
    ) {
        let mut world = World::with_call();
        let arrival = if listener { Arrival::Listener } else { Arrival::Relayed };
        // `take` slices the buffer with the verdict's range, so that it lies inside is checked too.
        let (verdict, sent) = world.take(arrival, remote, local, &payload);
        let total: u64 = world.counters.values().iter().sum();
        match verdict {
            Verdict::Forward(_) => {
                let packets: u64 = Direction::ALL.iter().map(|d| world.relayed(*d).0).sum();
                prop_assert_eq!(packets, 1);
                prop_assert!(sent.len() <= payload.len() + 51);
            }
            Verdict::Punt | Verdict::Leg => prop_assert_eq!(total, 0),
            Verdict::Drop(reason) => {
                prop_assert_eq!(world.drops(reason), 1);
                prop_assert_eq!(total, 1);
            }
        }
    }
}
