//! RFC 6188 section 7, of AES-256.

use super::unhex;
use crate::cipher::Cipher;
use crate::keys::derive;
use crate::master::MasterKey;
use crate::suite::Suite;

#[test]
fn section_7_1_keystream() {
    let octets = super::rfc3711::keystream("57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98", 0xff02);
    let first = "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31";
    assert_eq!(octets[..48], unhex(first));
    let last = "cea518c90fd91ced9cbb18c078a54711 3dbc4814f4da5f00a08772b63c6a046d 6eb246913062a16891433e97dd01a57f";
    assert_eq!(octets[16 * 0xfeff..], unhex(last));
}

#[test]
fn section_7_2_key_derivation() {
    let key = unhex("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6");
    let master = MasterKey::new(Suite::Aes256CmSha1_80, &key, &unhex("3b04803de51ee7c96423ab5b78d2")).unwrap();
    let prf = Cipher::counter(&key);
    let derived = |label, octets: usize| {
        let mut out = vec![0xff; octets];
        derive(&prf, &master, label, &mut out);
        out
    };
    assert_eq!(derived(0, 32), unhex("5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4"));
    assert_eq!(derived(1, 20), unhex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    assert_eq!(derived(2, 14), unhex("fa31791685ca444a9e07c6c64e93"));
}
