//! Packets and contexts to try.

use raceway_srtp::limits::OVERHEAD_MAX;
use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Receiver, Sender, SrtpError, Suite};

pub const KINDS: [Kind; 2] = [Kind::Rtp, Kind::Rtcp];

/// A master key of a suite; another one for another number.
pub fn master(suite: Suite, number: u8) -> MasterKey {
    let octets: Vec<u8> = (0..46).map(|n| n ^ number.wrapping_mul(29)).collect();
    let (key, salt) = octets.split_at(32);
    MasterKey::new(suite, &key[..suite.key_octets()], &salt[..suite.salt_octets()]).unwrap()
}

/// RTP with a payload that depends on its sequence number.
pub fn rtp(ssrc: u32, sequence: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..payload).map(|n| (n as u8).wrapping_add(sequence as u8)));
    packet
}

/// A sender report.
pub fn rtcp(ssrc: u32, octets: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..octets).map(|n| n as u8));
    packet
}

pub fn packet(kind: Kind, ssrc: u32, sequence: u16) -> Vec<u8> {
    match kind {
        Kind::Rtp => rtp(ssrc, sequence, 160),
        Kind::Rtcp => rtcp(ssrc, 20),
    }
}

pub fn protect(sender: &mut Sender, kind: Kind, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = [packet, &[0; OVERHEAD_MAX]].concat();
    let mut jobs = [Job::new(0, kind, &mut buffer, packet.len())];
    Batch::new(Lanes::NONE).protect(std::slice::from_mut(sender), &mut jobs);
    let [job] = jobs;
    job.result.map(|()| job.packet().to_vec())
}

pub fn unprotect(receiver: &mut Receiver, kind: Kind, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    let mut jobs = [Job::new(0, kind, &mut buffer, packet.len())];
    Batch::new(Lanes::NONE).unprotect(std::slice::from_mut(receiver), &mut jobs);
    let [job] = jobs;
    job.result.map(|()| job.packet().to_vec())
}

/// Both ends of one direction.
pub fn pair(master: &MasterKey) -> (Sender, Receiver) {
    (Sender::new(master, 4), Receiver::new(master, 4))
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
