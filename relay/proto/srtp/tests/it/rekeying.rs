//! Another master key in a call.

use raceway_srtp::{Kind, Receiver, Sender, SrtpError, Streams, Suite};

use crate::world::{KINDS, master, packet, pair, protect, rtcp, rtp, unprotect};

/// Streams that have gone once round the sequence numbers.
fn turned(suite: Suite) -> (Sender, Receiver) {
    let (mut sender, mut receiver) = pair(&master(suite, 1));
    for sequence in [40_000, 65_000, 10] {
        let wire = protect(&mut sender, Kind::Rtp, &rtp(5, sequence, 20)).unwrap();
        assert!(unprotect(&mut receiver, Kind::Rtp, &wire).is_ok());
    }
    (sender, receiver)
}

#[test]
fn kept_streams_go_on_with_their_counters() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = turned(suite);
        let late = protect(&mut sender, Kind::Rtp, &rtp(5, 11, 20)).unwrap();
        assert!(sender.rekey(&master(suite, 2), Streams::Keep));
        assert!(receiver.rekey(&master(suite, 2), Streams::Keep));
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &late).unwrap(), rtp(5, 11, 20), "still of the key before");
        let wire = protect(&mut sender, Kind::Rtp, &rtp(5, 12, 20)).unwrap();
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wire).unwrap(), rtp(5, 12, 20));
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wire), Err(SrtpError::Replayed));
        assert_eq!(receiver.positions().next().unwrap().roc, 1);
    }
}

#[test]
fn the_key_before_ends_when_it_is_forgotten() {
    for suite in Suite::ALL {
        for kind in KINDS {
            let (mut sender, mut receiver) = pair(&master(suite, 1));
            let wires: Vec<_> = (1..4).map(|n| protect(&mut sender, kind, &packet(kind, 5, n)).unwrap()).collect();
            assert!(unprotect(&mut receiver, kind, &wires[0]).is_ok());
            receiver.rekey(&master(suite, 2), Streams::Keep);
            assert!(unprotect(&mut receiver, kind, &wires[1]).is_ok());
            receiver.forget_previous();
            assert_eq!(unprotect(&mut receiver, kind, &wires[2]), Err(SrtpError::Authentication), "{suite} {kind:?}");
        }
    }
}

#[test]
fn reset_streams_begin_anew() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = turned(suite);
        sender.rekey(&master(suite, 2), Streams::Reset);
        receiver.rekey(&master(suite, 2), Streams::Reset);
        assert_eq!((sender.positions().count(), receiver.positions().count()), (0, 0));
        let wire = protect(&mut sender, Kind::Rtp, &rtp(5, 11, 20)).unwrap();
        assert!(unprotect(&mut receiver, Kind::Rtp, &wire).is_ok());
        assert_eq!(receiver.positions().next().unwrap().roc, 0);
    }
}

/// Some peers keep their counter, and some begin at zero: the receiver finds out.
#[test]
fn a_peer_that_begins_anew_with_its_new_key_is_understood() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = turned(suite);
        sender.rekey(&master(suite, 2), Streams::Reset);
        receiver.rekey(&master(suite, 2), Streams::Keep);
        let lost = protect(&mut sender, Kind::Rtp, &rtp(5, 11, 20)).unwrap();
        assert_eq!(unprotect(&mut receiver, Kind::Rtp, &lost), Err(SrtpError::Authentication), "{suite}");
        for sequence in 12..20 {
            let wire = protect(&mut sender, Kind::Rtp, &rtp(5, sequence, 20)).unwrap();
            assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wire).unwrap(), rtp(5, sequence, 20), "{suite}");
            assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wire), Err(SrtpError::Replayed));
        }
        assert_eq!(receiver.positions().next().unwrap().roc, 0);
    }
}

/// A new key makes any index new, but only until the first packet of it was taken.
#[test]
fn the_search_after_a_new_key_takes_no_packet_twice() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = turned(suite);
        sender.rekey(&master(suite, 2), Streams::Keep);
        receiver.rekey(&master(suite, 2), Streams::Keep);
        let mut taken = Vec::new();
        for sequence in [500, 30_000, 60_000, 20_000_u16] {
            let wire = protect(&mut sender, Kind::Rtp, &rtp(5, sequence, 20)).unwrap();
            assert!(unprotect(&mut receiver, Kind::Rtp, &wire).is_ok(), "{suite}");
            taken.push(wire);
        }
        let mut forged = taken[3].clone();
        forged[3] ^= 1;
        for _ in 0..40 {
            assert!(unprotect(&mut receiver, Kind::Rtp, &forged).is_err());
            for wire in &taken {
                assert!(unprotect(&mut receiver, Kind::Rtp, wire).is_err(), "{suite}: taken twice");
            }
        }
    }
}

/// Its keystream must not begin anew.
#[test]
fn the_same_key_again_changes_nothing() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = turned(suite);
        for streams in [Streams::Keep, Streams::Reset] {
            assert!(!sender.rekey(&master(suite, 1), streams));
            assert!(!receiver.rekey(&master(suite, 1), streams));
        }
        assert_eq!(protect(&mut sender, Kind::Rtp, &rtp(5, 10, 99)), Err(SrtpError::Replayed));
        assert_eq!(receiver.positions().next().unwrap().roc, 1);
    }
}

/// Each packet says which key it is of, also when the suite changes with the key.
#[test]
fn keys_are_told_by_their_identifiers() {
    for (before, after) in
        [(Suite::Aes128CmSha1_80, Suite::AeadAes256Gcm), (Suite::AeadAes128Gcm, Suite::Aes256CmSha1_32)]
    {
        let named = |suite, number| master(suite, number).with_mki(&[number, 0]).unwrap();
        let (mut sender, mut receiver) = pair(&named(before, 1));
        let old = [
            protect(&mut sender, Kind::Rtp, &rtp(5, 1, 20)).unwrap(),
            protect(&mut sender, Kind::Rtcp, &rtcp(5, 20)).unwrap(),
        ];
        sender.rekey(&named(after, 2), Streams::Keep);
        receiver.rekey(&named(after, 2), Streams::Keep);
        let new = [
            protect(&mut sender, Kind::Rtp, &rtp(5, 2, 20)).unwrap(),
            protect(&mut sender, Kind::Rtcp, &rtcp(5, 20)).unwrap(),
        ];
        for (wires, sequence) in [(&new, 2), (&old, 1)] {
            assert_eq!(unprotect(&mut receiver, Kind::Rtp, &wires[0]).unwrap(), rtp(5, sequence, 20));
            assert_eq!(unprotect(&mut receiver, Kind::Rtcp, &wires[1]).unwrap(), rtcp(5, 20));
        }
        let mut stranger = Receiver::new(&named(after, 3), 1);
        assert_eq!(unprotect(&mut stranger, Kind::Rtp, &new[0]), Err(SrtpError::UnknownKey));
    }
}
