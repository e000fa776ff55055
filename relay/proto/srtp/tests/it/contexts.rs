//! What a context takes, and what it refuses.

use raceway_srtp::limits::{OVERHEAD_MAX, STREAMS_MAX};
use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Receiver, Sender, SrtpError, Suite};

use crate::world::{KINDS, master, packet, pair, protect, rtcp, rtp, unprotect};

/// Keys of every suite, with and without a key identifier, and not encrypting.
fn masters() -> Vec<MasterKey> {
    let plain = Suite::ALL.map(|suite| master(suite, 1));
    let named = plain.clone().map(|master| master.with_mki(&[1, 2, 3, 4]).unwrap());
    let clear = plain.clone().map(|master| master.unencrypted(Kind::Rtp).unencrypted(Kind::Rtcp));
    [plain, named, clear].into_iter().flatten().collect()
}

#[test]
fn what_is_protected_is_received_octet_for_octet() {
    for master in masters() {
        let (mut sender, mut receiver) = pair(&master);
        for kind in KINDS {
            for (number, payload) in [0, 1, 15, 16, 17, 160, 1188, 1189, 9000].into_iter().enumerate() {
                let plain = match kind {
                    Kind::Rtp => rtp(5, number as u16, payload),
                    Kind::Rtcp => rtcp(5, payload),
                };
                let wire = protect(&mut sender, kind, &plain).unwrap();
                assert_eq!(wire.len(), plain.len() + sender.overhead(kind), "{master:?}");
                assert_eq!(unprotect(&mut receiver, kind, &wire).unwrap(), plain, "{master:?} {kind:?} {payload}");
            }
        }
    }
}

#[test]
fn the_payload_is_encrypted_unless_it_was_agreed_that_it_is_not() {
    for suite in Suite::ALL {
        for kind in KINDS {
            let plain = packet(kind, 5, 1);
            let clear = if kind == Kind::Rtp { 12 } else { 8 };
            let wire = protect(&mut Sender::new(&master(suite, 1), 1), kind, &plain).unwrap();
            assert_eq!(wire[..clear], plain[..clear]);
            assert!(wire[clear..plain.len()].iter().zip(&plain[clear..]).filter(|(a, b)| a == b).count() < 8);
            let bare = master(suite, 1).unencrypted(kind);
            assert_eq!(protect(&mut Sender::new(&bare, 1), kind, &plain).unwrap()[..plain.len()], plain);
        }
    }
}

#[test]
fn csrcs_and_header_extension_stay_in_the_clear() {
    for suite in Suite::ALL {
        let mut plain = rtp(5, 1, 0);
        plain[0] = 0x92;
        plain.extend([1; 8]);
        plain.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        plain.extend([7; 40]);
        let (mut sender, mut receiver) = pair(&master(suite, 1));
        let wire = protect(&mut sender, Kind::Rtp, &plain).unwrap();
        assert_eq!(wire[..28], plain[..28]);
        assert_ne!(wire[28..68], plain[28..]);
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wire).unwrap(), plain);
    }
}

#[test]
fn no_octet_can_be_changed() {
    for master in masters() {
        for kind in KINDS {
            let (mut sender, mut receiver) = pair(&master);
            let wire = protect(&mut sender, kind, &packet(kind, 5, 1)).unwrap();
            for at in 0..wire.len() {
                let mut forged = wire.clone();
                forged[at] ^= 0x10;
                assert!(unprotect(&mut receiver, kind, &forged).is_err(), "{master:?} {kind:?}, octet {at}");
            }
            assert!(unprotect(&mut receiver, kind, &wire).is_ok());
        }
    }
}

#[test]
fn no_packet_is_too_short_to_be_refused() {
    for master in masters() {
        for kind in KINDS {
            let (mut sender, mut receiver) = pair(&master);
            let wire = protect(&mut sender, kind, &packet(kind, 5, 1)).unwrap();
            for length in 0..wire.len() {
                assert!(unprotect(&mut receiver, kind, &wire[..length]).is_err(), "{master:?} {kind:?}, {length}");
            }
            for length in 0..if kind == Kind::Rtp { 12 } else { 8 } {
                assert_eq!(protect(&mut sender, kind, &wire[..length]), Err(SrtpError::Truncated));
            }
        }
    }
}

#[test]
fn a_header_that_runs_into_the_tag_is_refused() {
    for suite in Suite::ALL {
        let (_, mut receiver) = pair(&master(suite, 1));
        let mut packet = rtp(5, 1, suite.tag_octets(Kind::Rtp));
        packet[0] |= 1;
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &packet), Err(SrtpError::Truncated));
    }
}

#[test]
fn another_key_is_refused() {
    for suite in Suite::ALL {
        for kind in KINDS {
            let wire = protect(&mut Sender::new(&master(suite, 1), 1), kind, &packet(kind, 5, 1)).unwrap();
            let mut receiver = Receiver::new(&master(suite, 2), 1);
            assert_eq!(unprotect(&mut receiver, kind, &wire), Err(SrtpError::Authentication));
            let mut named = Receiver::new(&master(suite, 1).with_mki(&[9]).unwrap(), 1);
            assert!(matches!(
                unprotect(&mut named, kind, &wire),
                Err(SrtpError::UnknownKey | SrtpError::Authentication)
            ));
        }
    }
}

#[test]
fn a_buffer_without_room_is_refused_before_anything_changes() {
    for master in masters() {
        for kind in KINDS {
            let plain = packet(kind, 5, 1);
            let mut sender = Sender::new(&master, 1);
            let short = sender.overhead(kind) - 1;
            let mut buffer = [&plain[..], &vec![0; short]].concat();
            let mut jobs = [Job::new(0, kind, &mut buffer, plain.len())];
            Batch::new(Lanes::detect()).protect(std::slice::from_mut(&mut sender), &mut jobs);
            assert_eq!((jobs[0].result, jobs[0].packet()), (Err(SrtpError::Room), &plain[..]));
            assert_eq!(sender.positions().count(), 0);
            assert!(sender.overhead(kind) <= OVERHEAD_MAX);
        }
    }
}

#[test]
fn forged_ssrcs_leave_nothing_behind() {
    for suite in Suite::ALL {
        for kind in KINDS {
            let (mut sender, mut receiver) = pair(&master(suite, 1));
            let wire = protect(&mut sender, kind, &packet(kind, 5, 1)).unwrap();
            for ssrc in 0..1000_u32 {
                let mut forged = wire.clone();
                let at = if kind == Kind::Rtp { 8 } else { 4 };
                forged[at..at + 4].copy_from_slice(&(ssrc + 100).to_be_bytes());
                assert_eq!(unprotect(&mut receiver, kind, &forged), Err(SrtpError::Authentication));
            }
            assert_eq!(receiver.positions().count(), 0);
            assert!(unprotect(&mut receiver, kind, &wire).is_ok());
        }
    }
}

#[test]
fn a_context_has_as_many_streams_as_it_was_made_for() {
    let master = master(Suite::AeadAes128Gcm, 1);
    let (mut sender, mut receiver) = (Sender::new(&master, 3), Receiver::new(&master, 2));
    let wires: Vec<_> = (0..3).map(|ssrc| protect(&mut sender, Kind::Rtp, &rtp(ssrc, 1, 10)).unwrap()).collect();
    assert_eq!(protect(&mut sender, Kind::Rtp, &rtp(3, 1, 10)), Err(SrtpError::Streams));
    assert_eq!(protect(&mut sender, Kind::Rtcp, &rtcp(3, 10)), Err(SrtpError::Streams));
    assert!(protect(&mut sender, Kind::Rtp, &rtp(2, 2, 10)).is_ok(), "those it has go on");
    assert!(unprotect(&mut receiver, Kind::Rtp, &wires[0]).is_ok());
    assert!(unprotect(&mut receiver, Kind::Rtp, &wires[1]).is_ok());
    assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wires[2]), Err(SrtpError::Streams));
    let mut sender = Sender::new(&master, usize::MAX);
    let taken = (0..1000).filter(|ssrc| protect(&mut sender, Kind::Rtp, &rtp(*ssrc, 1, 10)).is_ok()).count();
    assert_eq!(taken, STREAMS_MAX, "whatever was asked for");
}

/// Two packets with one index would be encrypted with one keystream.
#[test]
fn a_sender_uses_no_index_twice() {
    for suite in Suite::ALL {
        let (mut sender, _) = pair(&master(suite, 1));
        assert!(protect(&mut sender, Kind::Rtp, &rtp(5, 10, 20)).is_ok());
        assert_eq!(protect(&mut sender, Kind::Rtp, &rtp(5, 10, 30)), Err(SrtpError::Replayed));
        assert!(protect(&mut sender, Kind::Rtp, &rtp(5, 9, 20)).is_ok(), "late, not twice");
        assert!(protect(&mut sender, Kind::Rtp, &rtp(6, 10, 20)).is_ok(), "another stream");
        assert!(protect(&mut sender, Kind::Rtp, &rtp(5, 1000, 20)).is_ok());
        assert_eq!(protect(&mut sender, Kind::Rtp, &rtp(5, 11, 20)), Err(SrtpError::Old));
    }
}

#[test]
fn srtcp_indexes_count_up_for_each_stream() {
    for suite in Suite::ALL {
        let (mut sender, _) = pair(&master(suite, 1));
        let mut index = |ssrc| {
            let plain = rtcp(ssrc, 20);
            let wire = protect(&mut sender, Kind::Rtcp, &plain).unwrap();
            let at = plain.len() + if suite.is_gcm() { 16 } else { 0 };
            u32::from_be_bytes(*wire[at..].first_chunk().unwrap())
        };
        let indexes = [index(1), index(1), index(2), index(1)];
        assert_eq!(indexes, [1 << 31, 1 << 31 | 1, 1 << 31, 1 << 31 | 2], "{suite}");
    }
}

/// RFC 3711 section 3.4: each packet says whether it is encrypted.
#[test]
fn srtcp_that_is_not_encrypted_is_received_by_who_expects_it_encrypted() {
    for suite in Suite::ALL {
        let bare = master(suite, 1).unencrypted(Kind::Rtcp);
        let wire = protect(&mut Sender::new(&bare, 1), Kind::Rtcp, &rtcp(5, 20)).unwrap();
        let mut receiver = Receiver::new(&master(suite, 1), 1);
        assert_eq!(unprotect(&mut receiver, Kind::Rtcp, &wire).unwrap(), rtcp(5, 20));
    }
}

#[test]
fn debug_shows_streams_and_no_secret() {
    let (mut sender, receiver) = pair(&master(Suite::Aes128CmSha1_80, 1));
    protect(&mut sender, Kind::Rtp, &rtp(5, 10, 20)).unwrap();
    let shown = format!("{sender:?} {receiver:?}");
    assert!(shown.contains("***") && shown.contains("ssrc: 5"), "{shown}");
}
