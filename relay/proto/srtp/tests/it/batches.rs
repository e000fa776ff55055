//! A batch does what its jobs do one after the other, on every path.

use proptest::prelude::*;
use raceway_srtp::limits::OVERHEAD_MAX;
use raceway_srtp::{Batch, Job, Kind, Lanes, Position, Receiver, Sender, SrtpError, Streams, Suite};

use crate::world::{master, rtcp, rtp};

/// Contexts of the tests, one of each suite.
const CONTEXTS: usize = Suite::ALL.len();

/// A packet for one of the contexts.
#[derive(Clone, Debug)]
struct Packet {
    context: usize,
    kind: Kind,
    ssrc: u32,
    sequence: u16,
    payload: usize,
    /// An octet of the protected packet that is changed on the way.
    changed: Option<usize>,
    /// Whether it arrives twice.
    twice: bool,
}

fn packets() -> impl Strategy<Value = Vec<Packet>> {
    let context = 0..CONTEXTS;
    let kind = prop::sample::select(vec![Kind::Rtp, Kind::Rtp, Kind::Rtp, Kind::Rtcp]);
    let sequence = prop_oneof![4 => 65_500..=65_535_u16, 4 => 0..40_u16, 1 => any::<u16>()];
    let payload = prop_oneof![3 => Just(160_usize), 1 => 0..1400_usize];
    let changed = prop::option::weighted(0.1, any::<prop::sample::Index>().prop_map(|at| at.index(1 << 10)));
    let packet = (context, kind, 1..4_u32, sequence, payload, changed, prop::bool::weighted(0.15));
    let packet = packet.prop_map(|(context, kind, ssrc, sequence, payload, changed, twice)| Packet {
        context,
        kind,
        ssrc,
        sequence,
        payload,
        changed,
        twice,
    });
    prop::collection::vec(packet, 1..150)
}

/// What became of a packet.
type Outcome = (Result<(), SrtpError>, Vec<u8>);

fn senders() -> Vec<Sender> {
    Suite::ALL.map(|suite| Sender::new(&master(suite, 1), 3)).into()
}

/// Receivers some of which still take the key before.
fn receivers(rekeyed: bool) -> Vec<Receiver> {
    let receiver = |suite| {
        let mut receiver = Receiver::new(&master(suite, if rekeyed { 2 } else { 1 }), 3);
        if rekeyed {
            receiver.resume(&Position { ssrc: 1, roc: 0, sequence: None, rtcp_index: None }).unwrap();
            receiver.rekey(&master(suite, 1), Streams::Keep);
        }
        receiver
    };
    Suite::ALL.map(receiver).into()
}

fn run(packets: &[(usize, Kind, Vec<u8>)], together: usize, mut work: impl FnMut(&mut [Job<'_>])) -> Vec<Outcome> {
    let mut buffers: Vec<_> = packets.iter().map(|(.., packet)| [&packet[..], &[0; OVERHEAD_MAX]].concat()).collect();
    let mut jobs: Vec<_> = buffers
        .iter_mut()
        .zip(packets)
        .map(|(buffer, (context, kind, packet))| Job::new(*context, *kind, buffer, packet.len()))
        .collect();
    jobs.chunks_mut(together).for_each(&mut work);
    jobs.iter().map(|job| (job.result, if job.result.is_ok() { job.packet().to_vec() } else { Vec::new() })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn batches_agree_with_one_by_one(packets in packets(), rekeyed in any::<bool>()) {
        let plain: Vec<_> = packets
            .iter()
            .map(|packet| match packet.kind {
                Kind::Rtp => (packet.context, packet.kind, rtp(packet.ssrc, packet.sequence, packet.payload)),
                Kind::Rtcp => (packet.context, packet.kind, rtcp(packet.ssrc, packet.payload)),
            })
            .collect();
        let protect = |lanes: Lanes, together: usize| {
            let (mut batch, mut senders) = (Batch::new(lanes), senders());
            run(&plain, together, |jobs| batch.protect(&mut senders[..], jobs))
        };
        let expected = protect(Lanes::NONE, 1);
        for lanes in Lanes::all() {
            prop_assert_eq!(&protect(lanes, 7), &expected, "{}", lanes);
            prop_assert_eq!(&protect(lanes, 1000), &expected, "{}", lanes);
        }
        let mut wires = Vec::new();
        for (packet, (result, wire)) in packets.iter().zip(&expected) {
            if result.is_ok() {
                let mut wire = wire.clone();
                if let Some(at) = packet.changed {
                    let at = at % wire.len();
                    wire[at] ^= 1;
                }
                wires.extend(std::iter::repeat_n((packet.context, packet.kind, wire), 1 + usize::from(packet.twice)));
            }
        }
        let unprotect = |lanes: Lanes, together: usize| {
            let (mut batch, mut receivers) = (Batch::new(lanes), receivers(rekeyed));
            let outcomes = run(&wires, together, |jobs| batch.unprotect(&mut receivers[..], jobs));
            let positions: Vec<Vec<_>> = receivers.iter().map(|receiver| receiver.positions().collect()).collect();
            (outcomes, positions)
        };
        let expected = unprotect(Lanes::NONE, 1);
        for lanes in Lanes::all() {
            prop_assert_eq!(&unprotect(lanes, 7), &expected, "{}", lanes);
            prop_assert_eq!(&unprotect(lanes, 1000), &expected, "{}", lanes);
        }
    }
}

/// The wrap is in the middle of a batch: what was guessed for the packets after it was wrong, and is put right.
#[test]
fn a_batch_may_turn_the_sequence_number() {
    for suite in Suite::ALL {
        let mut senders = [Sender::new(&master(suite, 1), 1)];
        let mut receivers = [Receiver::new(&master(suite, 1), 1)];
        let sequences = (0..64).map(|n: u16| 65_500_u16.wrapping_add(n));
        let plain: Vec<_> = sequences.map(|sequence| (0, Kind::Rtp, rtp(1, sequence, 100))).collect();
        let mut batch = Batch::new(Lanes::detect());
        let wires = run(&plain, 1000, |jobs| batch.protect(&mut senders[..], jobs));
        let wires: Vec<_> = wires.into_iter().map(|(_, wire)| (0, Kind::Rtp, wire)).collect();
        let received = run(&wires, 1000, |jobs| batch.unprotect(&mut receivers[..], jobs));
        let expected: Vec<_> = plain.into_iter().map(|(.., packet)| (Ok(()), packet)).collect();
        assert_eq!(received, expected, "{suite}");
        assert_eq!(receivers[0].positions().next().unwrap().roc, 1);
    }
}
