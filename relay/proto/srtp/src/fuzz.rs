//! Fuzz entry.

use crate::batch::{Batch, Job};
use crate::error::SrtpError;
use crate::header;
use crate::limits::OVERHEAD_MAX;
use crate::master::MasterKey;
use crate::receiver::Receiver;
use crate::sdes;
use crate::sender::Sender;
use crate::sha1::Lanes;
use crate::suite::{Kind, Suite};

/// Packets of any content, and key parameters.
///
/// The first octet chooses suite and kind, the second the length of a key identifier. What follows is packets: an octet
/// `n`, then `n` octets, or one more than 255 for 0. Whatever comes: forged packets are refused and leave no stream behind;
/// what a sender protects its receiver gets back once, octet for octet, and not if anything was changed; a batch does what
/// its jobs do one after the other. All of the input is also read as key parameters: what can be read can be written and
/// read again.
pub fn fuzz(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        fuzz_parameters(text);
    }
    let [choice, mki, rest @ ..] = data else { return };
    let suite = Suite::ALL[usize::from(choice & 0x7f) % Suite::ALL.len()];
    let kind = if choice & 0x80 == 0 { Kind::Rtp } else { Kind::Rtcp };
    let master = MasterKey::new(suite, &[5; 32][..suite.key_octets()], &[6; 14][..suite.salt_octets()]);
    let master = master.expect("as long as the suite asks for").with_mki(&[7; 4][..usize::from(mki % 5)]);
    let packets = packets(rest);
    Run { master: master.expect("short enough"), kind }.go(&packets);
}

fn fuzz_parameters(text: &str) {
    for suite in Suite::ALL {
        if let Ok(master) = sdes::parse(suite, text) {
            assert_eq!(sdes::parse(suite, &sdes::write(&master)), Ok(master), "what was read can be written");
        }
    }
}

fn packets(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while let [length, after @ ..] = rest {
        let length = if *length == 0 { 256 } else { usize::from(*length) };
        let (packet, next) = after.split_at(length.min(after.len()));
        packets.push(packet);
        rest = next;
    }
    packets
}

struct Run {
    master: MasterKey,
    kind: Kind,
}

impl Run {
    fn go(&self, packets: &[&[u8]]) {
        let mut receiver = Receiver::new(&self.master, 8);
        for (packet, result) in self.unprotect(&mut receiver, packets) {
            assert!(result.is_err(), "forged: {packet:?}");
        }
        assert_eq!(receiver.positions().count(), 0, "a forged packet left a stream behind");
        let protected = self.protect(packets);
        let wires: Vec<_> = protected.iter().map(|(_, wire)| &wire[..]).collect();
        let changed: Vec<_> = wires.iter().map(|wire| changed(wire)).collect();
        let changed: Vec<_> = changed.iter().map(|wire| &wire[..]).collect();
        for (packet, result) in self.unprotect(&mut receiver, &changed) {
            assert!(result.is_err(), "changed: {packet:?}");
        }
        for ((plain, _), (packet, result)) in protected.iter().zip(self.unprotect(&mut receiver, &wires)) {
            // The indexes of a sender and a receiver that saw as many packets are the same.
            assert_eq!((result, &packet[..]), (Ok(()), &plain[..]));
        }
        for (_, result) in self.unprotect(&mut receiver, &wires) {
            assert!(
                matches!(result, Err(SrtpError::Replayed | SrtpError::Old | SrtpError::Authentication)),
                "{result:?}"
            );
        }
    }

    /// What became of each, alone and in a batch.
    fn unprotect(&self, receiver: &mut Receiver, packets: &[&[u8]]) -> Vec<(Vec<u8>, Result<(), SrtpError>)> {
        let mut batch = Batch::new(Lanes::detect());
        let mut buffers: Vec<_> = packets.iter().map(|packet| packet.to_vec()).collect();
        let mut jobs: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| {
                let octets = buffer.len();
                Job::new(0, self.kind, buffer, octets)
            })
            .collect();
        batch.unprotect(std::slice::from_mut(receiver), &mut jobs);
        jobs.iter().map(|job| (job.packet().to_vec(), job.result)).collect()
    }

    /// Packets that a sender took, and what it made of them.
    fn protect<'a>(&self, packets: &[&'a [u8]]) -> Vec<(&'a [u8], Vec<u8>)> {
        let (mut batched, mut single) = (Sender::new(&self.master, 8), Sender::new(&self.master, 8));
        let mut buffers: Vec<_> = packets.iter().map(|packet| [*packet, &[0; OVERHEAD_MAX]].concat()).collect();
        let mut copies = buffers.clone();
        let mut jobs: Vec<_> = buffers
            .iter_mut()
            .zip(packets)
            .map(|(buffer, packet)| Job::new(0, self.kind, buffer, packet.len()))
            .collect();
        Batch::new(Lanes::detect()).protect(std::slice::from_mut(&mut batched), &mut jobs);
        let mut portable = Batch::new(Lanes::NONE);
        let mut protected = Vec::new();
        for ((copy, packet), job) in copies.iter_mut().zip(packets).zip(&jobs) {
            let mut alone = [Job::new(0, self.kind, copy, packet.len())];
            portable.protect(std::slice::from_mut(&mut single), &mut alone);
            let [alone] = alone;
            assert_eq!((alone.result, alone.octets), (job.result, job.octets), "alone and in a batch");
            if alone.result.is_ok() {
                assert_eq!(alone.packet(), job.packet(), "alone and in a batch");
                let header =
                    if self.kind == Kind::Rtp { header::rtp(packet).map(drop) } else { header::rtcp(packet).map(drop) };
                assert_eq!(header, Ok(()), "only packets are protected");
                protected.push((*packet, alone.packet().to_vec()));
            }
        }
        protected
    }
}

/// With one bit changed, somewhere.
fn changed(wire: &[u8]) -> Vec<u8> {
    let mut wire = wire.to_vec();
    let at = wire.iter().fold(0_usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet)));
    let length = wire.len();
    wire[at / 8 % length] ^= 1 << (at % 8);
    wire
}
