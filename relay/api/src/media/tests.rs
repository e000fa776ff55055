use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::{DecodeError, FrameWriter, FromRelay, Operation, SessionId, SessionReport, ToRelay, decode};

const KEY: [u8; 32] = *b"a key that nobody may ever see..";

fn key(mki: usize) -> SrtpKey {
    SrtpKey {
        suite: Suite::AeadAes256Gcm,
        key: Secret::new(&KEY),
        salt: Secret::new(&[u8::MAX; limits::SALT_MAX]),
        mki: vec![u8::MAX; mki],
        lifetime: Some(u64::MAX),
    }
}

/// A leg as long as a leg can be.
fn longest() -> Leg<'static> {
    let address = "[2001:db8::ffff]:65535".parse().unwrap();
    let path = MediaPath { local: address, remote: Some(address) };
    let route = Route { leg: LegId(u32::MAX), payload_types: vec![(96, 127); limits::ROUTE_CHANGES_MAX] };
    let format = Format { payload_type: 127, codec: Codec::Other, clock_hz: u32::MAX };
    let rollover =
        Rollover { ssrc: u32::MAX, sent: true, roc: u32::MAX, sequence: Some(u16::MAX), srtcp_index: u32::MAX };
    Leg {
        rtcp: Some(path),
        receive: key(limits::MKI_MAX).into(),
        send: key(limits::MKI_MAX).into(),
        to: vec![route; limits::ROUTES_MAX],
        formats: vec![format; limits::FORMATS_MAX],
        bundled: Some(Box::new(Bundled {
            mid_extension: Some(14),
            mid: vec![u8::MAX; limits::MID_MAX],
            sources: vec![u32::MAX; limits::SOURCES_MAX],
        })),
        rules: LegRules { dscp: Some(63), ..LegRules::default() },
        rollovers: vec![rollover; limits::ROLLOVERS_MAX],
        blob: vec![u8::MAX; limits::LEG_BLOB_MAX].into(),
        ..Leg::new(LegId(u32::MAX), path)
    }
}

fn put(legs: Vec<Leg<'_>>) -> ToRelay<'_> {
    let operations = legs.into_iter().map(|leg| Operation::PutLeg(Box::new(leg))).collect();
    ToRelay::Apply { transaction: 1, session: SessionId(2), operations, then_send: None }
}

fn taken(message: &ToRelay<'_>) -> Result<(), DecodeError> {
    let mut writer = FrameWriter::new();
    assert!(writer.push(message));
    decode::<ToRelay<'_>>(writer.frame())?.next().expect("one").map(|taken| assert_eq!(taken, *message))
}

#[test]
fn the_longest_leg_is_as_long_as_said_and_arrives_whole() {
    let encoded = postcard::to_extend(&longest(), Vec::new()).unwrap();
    assert!((limits::LEG_OCTETS_MAX - 128..=limits::LEG_OCTETS_MAX).contains(&encoded.len()), "{}", encoded.len());
    assert_eq!(taken(&put(vec![longest(); limits::PUT_LEGS_MAX])), Ok(()));
}

#[test]
fn a_leg_over_any_limit_is_refused() {
    let changes: [fn(&mut Leg<'_>); 10] = [
        |leg| leg.to.push(Route::to(LegId(1))),
        |leg| leg.to[0].payload_types.push((1, 2)),
        |leg| leg.formats.push(leg.formats[0]),
        |leg| leg.rollovers.push(leg.rollovers[0]),
        |leg| leg.blob.to_mut().push(1),
        |leg| leg.bundled.as_mut().unwrap().mid.push(1),
        |leg| leg.bundled.as_mut().unwrap().sources.push(1),
        |leg| leg.receive = key(limits::MKI_MAX + 1).into(),
        |leg| leg.send = SrtpKey { key: Secret::new(&[1; limits::KEY_MAX + 1]), ..key(0) }.into(),
        |leg| leg.send = SrtpKey { salt: Secret::new(&[1; limits::SALT_MAX + 1]), ..key(0) }.into(),
    ];
    for change in changes {
        let mut leg = longest();
        change(&mut leg);
        assert_eq!(taken(&put(vec![leg])), Err(DecodeError::Limit));
    }
    let plain = Leg::new(LegId(1), longest().rtp);
    assert_eq!(taken(&put(vec![plain.clone(); limits::PUT_LEGS_MAX])), Ok(()));
    assert_eq!(taken(&put(vec![plain; limits::PUT_LEGS_MAX + 1])), Err(DecodeError::Limit));
}

#[test]
fn a_key_is_never_shown() {
    let shown = format!("{:?} {:?}", longest(), put(vec![longest()]));
    assert!(shown.contains("***"));
    let octets = KEY.map(|octet| octet.to_string()).join(", ");
    assert!(!shown.contains(&octets[..20]) && !shown.contains("nobody"), "{shown}");
}

#[test]
fn a_packed_leg_is_the_leg_and_shows_no_key() {
    for leg in [longest(), Leg::new(LegId(1), longest().rtp)] {
        assert_eq!(PackedLeg::new(&leg).leg(), leg);
    }
    let other = Leg { receive: key(0).into(), ..longest() };
    assert!(PackedLeg::new(&longest()) == PackedLeg::new(&longest()));
    assert!(PackedLeg::new(&longest()) != PackedLeg::new(&other));
    assert_eq!(format!("{:?}", PackedLeg::new(&other)), format!("{other:?}"));
}

#[test]
fn a_suite_says_how_long_its_key_is() {
    let Security::Srtp(key) = longest().send else { panic!("a key") };
    assert_eq!(key.suite.key_octets(), (key.key.expose().len(), 12));
    assert_eq!(Suite::AesCm128HmacSha1_32.key_octets(), (16, 14));
}

#[test]
fn a_snapshot_gives_a_leg_back_as_it_was_put() {
    let report = LegReport {
        id: LegId(7),
        leg: Some(longest()),
        rtp_remote: longest().rtp.remote,
        rtcp_remote: None,
        rtp_settled: true,
        rtcp_settled: false,
        received: Traffic { rtp_packets: 1, rtp_octets: 172, rtcp_packets: 0, rtcp_octets: 0 },
        sent: Traffic::default(),
        dropped: vec![(3, 9)],
        last_rtp_ns: 5,
        last_rtcp_ns: 0,
        round_trip_us: Some(40_000),
        ssrc_changes: 1,
        streams: vec![StreamReport { ssrc: 1, jitter_us: Some(2), ..StreamReport::default() }],
        translates: true,
        goodbyes: 1,
        extended_reports: 2,
        rollovers: longest().rollovers,
    };
    let session = SessionReport {
        recording: None,
        id: SessionId(1),
        worker: 0,
        expires_at_ns: 3,
        blob: (&[][..]).into(),
        relayed: Vec::new(),
        media: vec![(longest().rtp.local, longest().rtp.local)],
        flows: Vec::new(),
        legs: vec![report; limits::PUT_LEGS_MAX],
    };
    let message = FromRelay::Session(session);
    let mut writer = FrameWriter::new();
    assert!(writer.push(&message));
    assert_eq!(decode::<FromRelay<'_>>(writer.frame()).unwrap().next(), Some(Ok(message)));
}
