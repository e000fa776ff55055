//! What happens for each packet takes no memory, new streams, failures and searches included.

use raceway_srtp::limits::OVERHEAD_MAX;
use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Receiver, Sender, Streams, Suite};
use raceway_sys::allocations::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn packets_take_no_memory() {
    for suite in Suite::ALL {
        let master = |number| {
            let key = [number; 32];
            MasterKey::new(suite, &key[..suite.key_octets()], &key[..suite.salt_octets()]).unwrap()
        };
        let mut senders: Vec<_> = (0..4).map(|n| Sender::new(&master(n), 8)).collect();
        let mut receivers: Vec<_> = (0..4).map(|n| Receiver::new(&master(n), 8)).collect();
        receivers[3].rekey(&master(9), Streams::Keep);
        let mut batch = Batch::new(Lanes::detect());
        let mut buffers = vec![[0_u8; 400 + OVERHEAD_MAX]; 50];
        let (mut received, mut refused) = (0, 0);
        for turn in 0..40_u16 {
            let kind = if turn % 4 == 3 { Kind::Rtcp } else { Kind::Rtp };
            let mut jobs: Vec<_> =
                buffers.iter_mut().enumerate().map(|(n, buffer)| job(n, buffer, kind, turn)).collect();
            let before = allocations::of_this_thread();
            batch.protect(&mut senders[..], &mut jobs);
            // Every ninth is damaged, and one counter turns.
            jobs.iter_mut().step_by(9).for_each(|job| job.buffer[20] ^= 1);
            batch.unprotect(&mut receivers[..], &mut jobs);
            assert_eq!(allocations::of_this_thread(), before, "{suite}");
            received += jobs.iter().filter(|job| job.result.is_ok()).count();
            refused += jobs.iter().filter(|job| job.result.is_err()).count();
        }
        assert!(received > 1000 && refused > 100, "{suite}: {received} received, {refused} refused");
    }
    // This test could not fail if nothing were counted.
    let before = allocations::of_this_thread();
    drop(std::hint::black_box(vec![0u8; 10]));
    assert_eq!(allocations::of_this_thread(), before + 1);
}

/// A packet of one of four contexts and several streams.
fn job(number: usize, buffer: &mut [u8], kind: Kind, turn: u16) -> Job<'_> {
    let sequence = turn.wrapping_mul(3_000).wrapping_add(number as u16);
    let octets = 60 + 7 * number;
    buffer[..12].copy_from_slice(&[0x80, if kind == Kind::Rtp { 96 } else { 200 }, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    if kind == Kind::Rtp {
        buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
        buffer[11] = (number % 3) as u8;
    }
    Job::new(number % 4, kind, buffer, octets)
}
