//! Whole packets that other implementations publish as what AES-CM makes of a known key.

use raceway_srtp::{Kind, MasterKey, Position, Receiver, Sender, Suite};

use crate::world::{protect, unhex, unprotect};

const RTP: &str = "800f1234decafbadcafebabe abababababababababababababababab";
const RTCP: &str = "81c8000bcafebabe abababababababababababababababab";

fn check(suite: Suite, key: &str, salt: &str, kind: Kind, plain: &str, wire: &str) {
    let master = MasterKey::new(suite, &unhex(key), &unhex(salt)).unwrap();
    let (plain, wire) = (unhex(plain), unhex(wire));
    let mut sender = Sender::new(&master, 1);
    if kind == Kind::Rtcp {
        // Their SRTCP begins with index 1, as if a packet with index 0 had been sent.
        protect(&mut sender, kind, &plain).unwrap();
    }
    assert_eq!(protect(&mut sender, kind, &plain).unwrap(), wire);
    assert_eq!(unprotect(&mut Receiver::new(&master, 1), kind, &wire).unwrap(), plain);
}

#[test]
fn srtp_with_aes_128() {
    let wire = "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb";
    let (key, salt) = ("e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6");
    check(Suite::Aes128CmSha1_80, key, salt, Kind::Rtp, RTP, wire);
}

#[test]
fn srtcp_with_aes_128() {
    let wire = "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798";
    let (key, salt) = ("e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6");
    check(Suite::Aes128CmSha1_80, key, salt, Kind::Rtcp, RTCP, wire);
}

#[test]
fn srtp_with_aes_256() {
    let wire = "800f1234decafbadcafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a5b3a55d8873b";
    let key = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6";
    check(Suite::Aes256CmSha1_80, key, "3b04803de51ee7c96423ab5b78d2", Kind::Rtp, RTP, wire);
}

#[test]
fn a_position_goes_on_where_the_stream_was() {
    let master = MasterKey::new(Suite::Aes128CmSha1_80, &[1; 16], &[2; 14]).unwrap();
    let mut first = Sender::new(&master, 1);
    first.resume(&Position { ssrc: 0xcafe_babe, roc: 7, sequence: None, rtcp_index: None }).unwrap();
    let mut plain = unhex(RTP);
    protect(&mut first, Kind::Rtp, &plain).unwrap();
    protect(&mut first, Kind::Rtcp, &unhex(RTCP)).unwrap();
    let positions: Vec<_> = first.positions().collect();
    let expected = Position { ssrc: 0xcafe_babe, roc: 7, sequence: Some(0x1234), rtcp_index: Some(0) };
    assert_eq!(positions, [expected]);
    let (mut second, mut receiver) = (Sender::new(&master, 1), Receiver::new(&master, 1));
    second.resume(&expected).unwrap();
    receiver.resume(&expected).unwrap();
    assert!(protect(&mut second, Kind::Rtp, &plain).is_err(), "its index was used");
    plain[3] += 1;
    let wire = protect(&mut second, Kind::Rtp, &plain).unwrap();
    assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wire).unwrap(), plain);
    let wire = protect(&mut second, Kind::Rtcp, &unhex(RTCP)).unwrap();
    let index = u32::from_be_bytes(*wire[24..].first_chunk().unwrap()) & !(1 << 31);
    assert!(index > 1000, "indexes that may have been used since are left out: {index}");
    assert_eq!(unprotect(&mut receiver, Kind::Rtcp, &wire).unwrap(), unhex(RTCP));
}
