//! SRTP of single packets of G.711, without lanes: the portable path.

use std::hint::black_box;

use raceway_srtp::limits::OVERHEAD_MAX;
use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Receiver, Sender, Suite};

use super::{Operation, Scenario, scenario};
use crate::packets;

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("srtp: protect, AES_CM_128_HMAC_SHA1_80", |_| protects(Suite::Aes128CmSha1_80)),
        scenario("srtp: protect, AES_CM_128_HMAC_SHA1_32", |_| protects(Suite::Aes128CmSha1_32)),
        scenario("srtp: protect, AES_256_CM_HMAC_SHA1_80", |_| protects(Suite::Aes256CmSha1_80)),
        scenario("srtp: protect, AES_256_CM_HMAC_SHA1_32", |_| protects(Suite::Aes256CmSha1_32)),
        scenario("srtp: protect, AEAD_AES_128_GCM", |_| protects(Suite::AeadAes128Gcm)),
        scenario("srtp: protect, AEAD_AES_256_GCM", |_| protects(Suite::AeadAes256Gcm)),
        scenario("srtp: unprotect, AES_CM_128_HMAC_SHA1_80", |runs| unprotects(Suite::Aes128CmSha1_80, runs)),
        scenario("srtp: unprotect, AES_CM_128_HMAC_SHA1_32", |runs| unprotects(Suite::Aes128CmSha1_32, runs)),
        scenario("srtp: unprotect, AES_256_CM_HMAC_SHA1_80", |runs| unprotects(Suite::Aes256CmSha1_80, runs)),
        scenario("srtp: unprotect, AES_256_CM_HMAC_SHA1_32", |runs| unprotects(Suite::Aes256CmSha1_32, runs)),
        scenario("srtp: unprotect, AEAD_AES_128_GCM", |runs| unprotects(Suite::AeadAes128Gcm, runs)),
        scenario("srtp: unprotect, AEAD_AES_256_GCM", |runs| unprotects(Suite::AeadAes256Gcm, runs)),
    ]
}

fn master(suite: Suite) -> MasterKey {
    let octets = [7; 32];
    MasterKey::new(suite, &octets[..suite.key_octets()], &octets[..suite.salt_octets()]).expect("lengths fit")
}

/// A packet with this sequence number, and room.
fn packet(sequence: u16) -> Vec<u8> {
    let mut packet = packets::rtp();
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet.extend([0; OVERHEAD_MAX]);
    packet
}

fn protects(suite: Suite) -> Operation {
    let (mut batch, mut senders) = (Batch::new(Lanes::NONE), [Sender::new(&master(suite), 8)]);
    let (mut sequence, mut buffer) = (0, packet(0));
    Box::new(move || {
        sequence += 1;
        buffer[2..4].copy_from_slice(&u16::to_be_bytes(sequence));
        let mut jobs = [Job::new(0, Kind::Rtp, black_box(&mut buffer), packets::RTP_OCTETS)];
        batch.protect(&mut senders, &mut jobs);
        assert_eq!(black_box(&jobs[0]).result, Ok(()));
    })
}

fn unprotects(suite: Suite, runs: u32) -> Operation {
    let (mut batch, mut senders) = (Batch::new(Lanes::NONE), [Sender::new(&master(suite), 8)]);
    let mut protected: Vec<_> = (0..runs as u16).map(packet).collect();
    let mut jobs: Vec<_> =
        protected.iter_mut().map(|buffer| Job::new(0, Kind::Rtp, buffer, packets::RTP_OCTETS)).collect();
    batch.protect(&mut senders, &mut jobs);
    let octets = jobs[0].octets;
    let (mut receivers, mut number) = ([Receiver::new(&master(suite), 8)], 0);
    Box::new(move || {
        let mut jobs = [Job::new(0, Kind::Rtp, black_box(&mut protected[number]), octets)];
        number += 1;
        batch.unprotect(&mut receivers, &mut jobs);
        assert_eq!(black_box(&jobs[0]).result, Ok(()));
    })
}
