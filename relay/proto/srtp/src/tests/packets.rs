//! Limits that no test could reach by sending.

use crate::batch::{Batch, Job};
use crate::error::SrtpError;
use crate::limits::{RTCP_PACKETS_MAX, RTP_PACKETS_MAX};
use crate::master::MasterKey;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::sha1::Lanes;
use crate::stream::Position;
use crate::suite::{Kind, Suite};

fn master(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &[1; 32][..suite.key_octets()], &[2; 14][..suite.salt_octets()]).unwrap()
}

fn packet(kind: Kind, sequence: u16) -> ([u8; 64], usize) {
    let mut packet = [0; 64];
    packet[..12].copy_from_slice(&[0x80, if kind == Kind::Rtp { 0 } else { 200 }, 0, 0, 0, 0, 0, 9, 0, 0, 0, 9]);
    if kind == Kind::Rtp {
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    }
    (packet, 32)
}

fn protect(sender: &mut Sender, kind: Kind, sequence: u16) -> Result<Vec<u8>, SrtpError> {
    let (mut buffer, octets) = packet(kind, sequence);
    let mut jobs = [Job::new(0, kind, &mut buffer, octets)];
    Batch::new(Lanes::NONE).protect(std::slice::from_mut(sender), &mut jobs);
    let [job] = jobs;
    job.result.map(|()| job.packet().to_vec())
}

fn unprotect(receiver: &mut Receiver, kind: Kind, packet: &[u8]) -> Result<(), SrtpError> {
    let mut buffer = packet.to_vec();
    let mut jobs = [Job::new(0, kind, &mut buffer, packet.len())];
    Batch::new(Lanes::NONE).unprotect(std::slice::from_mut(receiver), &mut jobs);
    jobs[0].result
}

#[test]
fn a_master_key_protects_as_many_packets_as_it_may() {
    for suite in Suite::ALL {
        for (kind, most) in [(Kind::Rtp, RTP_PACKETS_MAX), (Kind::Rtcp, RTCP_PACKETS_MAX)] {
            let (mut sender, mut receiver) = (Sender::new(&master(suite), 1), Receiver::new(&master(suite), 1));
            sender.keys_mut().age(kind, most - 2);
            receiver.keys_mut().age(kind, most - 1);
            let first = protect(&mut sender, kind, 1).unwrap();
            let second = protect(&mut sender, kind, 2).unwrap();
            assert_eq!(protect(&mut sender, kind, 3), Err(SrtpError::Exhausted), "{suite} {kind:?}");
            assert_eq!(unprotect(&mut receiver, kind, &first), Ok(()));
            assert_eq!(unprotect(&mut receiver, kind, &second), Err(SrtpError::Exhausted));
        }
    }
}

#[test]
fn a_sender_keeps_to_a_shorter_lifetime_that_was_agreed_on() {
    let agreed = master(Suite::Aes128CmSha1_80).with_lifetime(2);
    let (mut sender, mut receiver) = (Sender::new(&agreed, 1), Receiver::new(&agreed, 1));
    for sequence in 1..3 {
        let packet = protect(&mut sender, Kind::Rtp, sequence).unwrap();
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &packet), Ok(()));
    }
    assert_eq!(protect(&mut sender, Kind::Rtp, 3), Err(SrtpError::Exhausted));
    let text = SrtpError::Exhausted.to_string();
    assert_eq!(text, "the master key has come to the end of its lifetime: a new one is needed");
}

#[test]
fn a_stream_ends_with_its_index() {
    let position = Position { ssrc: 9, roc: u32::MAX, sequence: Some(65_533), rtcp_index: None };
    let key = master(Suite::AeadAes128Gcm);
    let (mut sender, mut receiver) = (Sender::new(&key, 1), Receiver::new(&key, 1));
    sender.resume(&position).unwrap();
    receiver.resume(&position).unwrap();
    for sequence in [65_534, 65_535] {
        let packet = protect(&mut sender, Kind::Rtp, sequence).unwrap();
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &packet), Ok(()));
    }
    assert_eq!(protect(&mut sender, Kind::Rtp, 0), Err(SrtpError::Exhausted));
    let (packet, octets) = packet(Kind::Rtp, 0);
    assert_eq!(unprotect(&mut receiver, Kind::Rtp, &packet[..octets + 16]), Err(SrtpError::Exhausted));
}

#[test]
fn an_srtcp_index_ends_too() {
    let last = RTCP_PACKETS_MAX as u32 - 1 - crate::limits::RTCP_INDEX_SKIP;
    let mut sender = Sender::new(&master(Suite::Aes128CmSha1_80), 1);
    sender.resume(&Position { ssrc: 9, roc: 0, sequence: None, rtcp_index: Some(last - 1) }).unwrap();
    // The SSRC of RTCP is the second word.
    let mut buffer = [0; 64];
    buffer[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 9]);
    let mut send = || {
        let mut jobs = [Job::new(0, Kind::Rtcp, &mut buffer, 8)];
        Batch::new(Lanes::NONE).protect(std::slice::from_mut(&mut sender), &mut jobs);
        jobs[0].result
    };
    assert_eq!(send(), Ok(()));
    assert_eq!(send(), Err(SrtpError::Exhausted));
}
