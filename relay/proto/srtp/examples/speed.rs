//! What a packet costs: `cargo run --release -p raceway-srtp --example speed [SUITE]`, nanoseconds, for one thread.
//!
//! Packets of 32 contexts make a batch, one of each. The columns: a batch as the processor allows; the same batch without
//! lanes; batches of one packet. Each figure is the least of many stretches, so that others on the machine count little.

use std::time::Instant;

use raceway_srtp::limits::OVERHEAD_MAX;
use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Receiver, Sender, Suite};

/// Contexts, and packets of a batch.
const CONTEXTS: usize = 32;
/// Batches of a stretch, and stretches.
const BATCHES: u16 = 200;
const STRETCHES: u16 = 60;
/// RTP with 20 ms of G.711, and a full packet of video.
const SIZES: [usize; 2] = [172, 1200];

struct Stand {
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    buffers: Vec<Vec<u8>>,
    octets: usize,
    sequence: u16,
}

impl Stand {
    fn new(suite: Suite, octets: usize) -> Self {
        let master = |n: usize| {
            let key = [n as u8; 32];
            MasterKey::new(suite, &key[..suite.key_octets()], &key[..suite.salt_octets()]).expect("lengths fit")
        };
        let buffers = (0..CONTEXTS).map(|_| vec![0; octets + OVERHEAD_MAX]).collect();
        let senders = (0..CONTEXTS).map(|n| Sender::new(&master(n), 8)).collect();
        let receivers = (0..CONTEXTS).map(|n| Receiver::new(&master(n), 8)).collect();
        Self { senders, receivers, buffers, octets, sequence: 0 }
    }

    /// Nanoseconds of a packet to protect and to unprotect, in batches of so many.
    fn measure(&mut self, batch: &mut Batch, together: usize) -> [f64; 2] {
        let mut least = [f64::MAX; 2];
        for _ in 0..STRETCHES {
            let mut spent = [0; 2];
            for _ in 0..BATCHES {
                self.sequence = self.sequence.wrapping_add(1);
                let [protect, unprotect] = self.once(batch, together);
                spent[0] += protect;
                spent[1] += unprotect;
            }
            for (least, spent) in least.iter_mut().zip(spent) {
                *least = least.min(spent as f64 / (f64::from(BATCHES) * CONTEXTS as f64));
            }
        }
        least
    }

    fn once(&mut self, batch: &mut Batch, together: usize) -> [u128; 2] {
        let octets = self.octets;
        for buffer in &mut self.buffers {
            buffer[..2].copy_from_slice(&[0x80, 0]);
            buffer[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        }
        let buffers = self.buffers.iter_mut().enumerate();
        let mut jobs: Vec<_> = buffers.map(|(n, buffer)| Job::new(n, Kind::Rtp, buffer, octets)).collect();
        let start = Instant::now();
        jobs.chunks_mut(together).for_each(|jobs| batch.protect(&mut self.senders, jobs));
        let protected = start.elapsed().as_nanos();
        let start = Instant::now();
        jobs.chunks_mut(together).for_each(|jobs| batch.unprotect(&mut self.receivers, jobs));
        let unprotected = start.elapsed().as_nanos();
        assert!(jobs.iter().all(|job| job.result.is_ok() && job.octets == octets));
        [protected, unprotected]
    }
}

fn main() {
    let lanes = Lanes::detect();
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("HMAC-SHA1: {lanes}; ns per packet, protect / unprotect");
    println!("{:<26} {:>6} {:>15} {:>15} {:>15}", "suite", "octets", "batch of 32", "without lanes", "one by one");
    for suite in Suite::ALL.into_iter().filter(|suite| suite.name().contains(&only)) {
        for octets in SIZES {
            let cases = [(lanes, CONTEXTS), (Lanes::NONE, CONTEXTS), (lanes, 1)];
            let cells = cases.map(|(lanes, together)| {
                let [protect, unprotect] = Stand::new(suite, octets).measure(&mut Batch::new(lanes), together);
                format!("{protect:.0} / {unprotect:.0}")
            });
            println!("{:<26} {octets:>6} {:>15} {:>15} {:>15}", suite.name(), cells[0], cells[1], cells[2]);
        }
    }
}
