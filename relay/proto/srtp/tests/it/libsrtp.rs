//! Against libsrtp, which is what most peers have (`libsrtp2-1` of Debian, by `tests/libsrtp.py`).

use std::io::Write;
use std::process::{Command, Stdio};

use raceway_srtp::{Kind, MasterKey, Receiver, Sender, Suite};

use crate::world::{KINDS, protect, rtcp, rtp, unhex, unprotect};

/// Answers of libsrtp to sessions, each a list of packets; nothing where it is not installed.
fn ask(sessions: &[String]) -> Option<Vec<Vec<String>>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libsrtp.py");
    let child = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return missing("no python3") };
    let mut input = child.stdin.take().unwrap();
    let text: String = sessions.iter().map(|session| format!("{session}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    if !output.status.success() {
        return missing("no libsrtp: apt-get install libsrtp2-1");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect())
}

fn missing(why: &str) -> Option<Vec<Vec<String>>> {
    assert!(std::env::var("RACEWAY_REQUIRE_BPF").is_err(), "must run here: {why}");
    println!("skipped: {why}");
    None
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Plain packets of both kinds: of several lengths, with CSRCs and extension, over a turn of the sequence number.
fn packets(kind: Kind) -> Vec<Vec<u8>> {
    if kind == Kind::Rtcp {
        return (0..40).map(|n| rtcp(0x0102_0304 + n % 2, 20 + 4 * n as usize)).collect();
    }
    let packet = |n: u16| {
        let mut packet = rtp(0x0102_0304 + u32::from(n % 2), 65_500_u16.wrapping_add(n), 1 + usize::from(n) * 17);
        if n.is_multiple_of(3) {
            packet[0] = 0x91;
            packet.splice(12..12, [9, 9, 9, 9, 0xbe, 0xde, 0, 2, 0x10, 1, 0x22, 2, 2, 2, 0, 0]);
        }
        packet
    };
    (0..80).map(packet).collect()
}

/// Every suite, kind, and with and without a key identifier.
fn cases() -> Vec<(MasterKey, Kind)> {
    let mut cases = Vec::new();
    for suite in Suite::ALL {
        let octets: Vec<u8> = (0..46).map(|n| n * 5 + 1).collect();
        let key = MasterKey::new(suite, &octets[..suite.key_octets()], &octets[32..32 + suite.salt_octets()]).unwrap();
        for kind in KINDS {
            cases.push((key.clone(), kind));
            cases.push((key.clone().with_mki(&[1, 2, 3, 4]).unwrap(), kind));
        }
    }
    cases
}

fn session((key, kind): &(MasterKey, Kind), direction: &str, packets: &[Vec<u8>]) -> String {
    let kind = if *kind == Kind::Rtp { "rtp" } else { "rtcp" };
    let mki = if key.mki().is_empty() { "-".to_owned() } else { hex(key.mki()) };
    let secret = hex(&[key.key(), key.salt()].concat());
    let packets: Vec<_> = packets.iter().map(|packet| hex(packet)).collect();
    format!("{} {direction} {kind} {mki} {secret} {}", key.suite(), packets.join(" "))
}

#[test]
fn what_libsrtp_protects_is_received() {
    let cases = cases();
    let sessions: Vec<_> = cases.iter().map(|case| session(case, "protect", &packets(case.1))).collect();
    let Some(answers) = ask(&sessions) else { return };
    assert_eq!(answers.len(), cases.len());
    for ((key, kind), wires) in cases.iter().zip(answers) {
        let (mut sender, mut receiver) = (Sender::new(key, 2), Receiver::new(key, 2));
        for (plain, wire) in packets(*kind).iter().zip(wires) {
            let received = unprotect(&mut receiver, *kind, &unhex(&wire));
            assert_eq!(received.as_ref(), Ok(plain), "{key:?} {kind:?} {wire}");
            // SRTCP indexes of libsrtp begin at 1, so those octets differ.
            let own = protect(&mut sender, *kind, plain).unwrap();
            assert!(*kind == Kind::Rtcp || hex(&own) == wire, "{key:?}");
        }
    }
}

#[test]
fn what_is_protected_here_is_received_by_libsrtp() {
    // libsrtp 2.5 looks for the identifier of an SRTCP packet where it would be with the tag of SRTP.
    let misplaced = |(key, kind): &(MasterKey, Kind)| {
        *kind == Kind::Rtcp && !key.mki().is_empty() && key.suite().tag_octets(Kind::Rtp) == 4
    };
    let cases: Vec<_> = cases().into_iter().filter(|case| !misplaced(case)).collect();
    let protected = |(key, kind): &(MasterKey, Kind)| -> Vec<Vec<u8>> {
        let mut sender = Sender::new(key, 2);
        packets(*kind).iter().map(|plain| protect(&mut sender, *kind, plain).unwrap()).collect()
    };
    let sessions: Vec<_> = cases.iter().map(|case| session(case, "unprotect", &protected(case))).collect();
    let Some(answers) = ask(&sessions) else { return };
    for (case, received) in cases.iter().zip(answers) {
        let expected: Vec<_> = packets(case.1).iter().map(|plain| hex(plain)).collect();
        assert_eq!(received, expected, "{case:?}");
    }
}
