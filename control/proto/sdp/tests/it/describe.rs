//! What bodies mean.

use raceway_sdp::{Connection, Description, Direction, Kind, Protocol, Rtcp, Sdp, SdpError, Setup, Suite};

use crate::corpus::file;

fn describe(name: &str) -> Description {
    Sdp::parse(&file(name)).unwrap().describe().unwrap()
}

#[test]
fn a_plain_offer_says_where_rtp_and_rtcp_go() {
    let description = describe("sipp-offer.sdp");
    let [media] = &description.media[..] else { panic!("one m-line") };
    assert_eq!((media.kind, media.protocol, media.direction), (Kind::Audio, Protocol::Avp, Direction::SendRecv));
    assert_eq!(media.rtp, Some("10.77.1.1:6000".parse().unwrap()));
    assert_eq!((media.rtcp, media.rtcp_address()), (Rtcp::Next, Some("10.77.1.1:6001".parse().unwrap())));
    assert_eq!(media.codecs.preferred().unwrap().to_string(), "PCMU/8000");
    assert_eq!((media.ptime_ms, media.codecs.telephone_event(), media.rtcp_mux), (Some(20), None, false));
    assert!(media.ice.credentials.is_none() && !media.is_refused() && !media.is_zero_address());
}

#[test]
fn a_browsers_offer_has_bundle_ice_dtls_and_simulcast() {
    let description = describe("chrome-offer.sdp");
    assert_eq!(description.bundles, [["0", "1", "2"]]);
    let [audio, video, data] = &description.media[..] else { panic!("three m-lines") };
    assert_eq!((audio.protocol, audio.rtcp_mux), (Protocol::TlsSavpf, true));
    assert_eq!(audio.ice.credentials.as_ref().unwrap().fragment, "F7gI");
    assert_eq!(audio.ice.credentials.as_ref().unwrap().password, "x9cml/YzichV2+XlhiMu8g==", "with its equals signs");
    assert_eq!(audio.ice.candidates.len(), 4, "one over TCP and one by name among them");
    assert!(audio.ice.is_trickle() && !audio.ice.lite && !audio.ice.end_of_candidates);
    assert_eq!(audio.setup, Some(Setup::ActPass));
    assert_eq!((audio.fingerprints.len(), audio.fingerprints[0].fingerprint.len()), (1, 32));
    assert_eq!(audio.codecs.preferred().unwrap().to_string(), "opus/48000/2");
    assert_eq!(audio.codecs.telephone_event(), Some(110), "the one of Opus' clock rate");
    assert_eq!((audio.mid.as_deref(), &audio.ssrcs[..]), (Some("0"), &[3_570_614_608][..]));
    assert_eq!((&video.rids[..], video.simulcast), (&["hi".to_owned(), "mid".into(), "lo".into()][..], true));
    assert!(video.is_zero_address());
    assert_eq!((data.kind, data.protocol, data.bundle_only), (Kind::Application, Protocol::Other, true));
    assert!(!data.is_refused(), "its port is the bundle's");
}

#[test]
fn what_stands_in_the_session_is_in_each_m_line() {
    let description = describe("firefox-answer.sdp");
    let media = &description.media[0];
    assert_eq!((media.fingerprints.len(), media.setup.clone()), (1, Some(Setup::Active)));
    assert!(media.ice.is_trickle() && media.ice.end_of_candidates);
    assert_eq!((media.direction, media.codecs.telephone_event()), (Direction::RecvOnly, Some(101)));
    let description = describe("linphone-offer.sdp");
    let fragments = description.media.iter().map(|media| &*media.ice.credentials.as_ref().unwrap().fragment);
    assert_eq!(fragments.collect::<Vec<_>>(), ["12ab34cd", "12ab34cd"]);
}

#[test]
fn keys_that_are_understood_are_read_and_the_others_are_counted() {
    let description = describe("linphone-offer.sdp");
    let [audio, video] = &description.media[..] else { panic!("two m-lines") };
    let suites: Vec<Suite> = audio.crypto.iter().map(|crypto| crypto.suite).collect();
    assert_eq!(suites, [Suite::AesCm128Sha1Tag80, Suite::AesCm128Sha1Tag32, Suite::AesCm256Sha1Tag80]);
    assert_eq!((audio.crypto_lines, audio.protocol), (4, Protocol::Savpf));
    assert_eq!(video.crypto[0].suite, Suite::AesGcm128);
    assert_eq!(video.rtcp_address(), Some("192.0.2.32:9079".parse().unwrap()), "another address than RTP's");
    assert_eq!(video.direction, Direction::Inactive);
    let description = describe("freeswitch-offer.sdp");
    let suites: Vec<Suite> = description.media[0].crypto.iter().map(|crypto| crypto.suite).collect();
    assert_eq!(suites, [Suite::AesGcm256, Suite::AesCm128Sha1Tag80]);
}

#[test]
fn opportunistic_srtp_is_avp_with_keys() {
    let media = &describe("osrtp-offer.sdp").media[0];
    assert_eq!((media.protocol, media.crypto.len(), media.crypto[0].mki), (Protocol::Avp, 1, Some((1, 4))));
    assert_eq!(media.codecs.0.len(), 3);
}

#[test]
fn hold_by_a_zero_address_and_a_count_of_ports_are_seen() {
    let media = &describe("latin1-hold.sdp").media[0];
    assert!(media.is_zero_address());
    assert_eq!((media.port, media.codecs.0[0].to_string()), (8000, "PCMA/8000/1".to_owned()));
}

#[test]
fn ipv6_and_media_that_is_not_rtp() {
    let description = describe("freeswitch-offer.sdp");
    assert_eq!(description.media[1].rtp, Some("[2001:db8:7::2]:28410".parse().unwrap()));
    let description = describe("asterisk-answer.sdp");
    assert_eq!((description.media[1].kind, description.media[1].protocol), (Kind::Image, Protocol::Other));
    assert_eq!(description.media[0].direction, Direction::SendOnly);
}

#[test]
fn names_in_place_of_addresses_are_told_and_rtcp_that_cannot_be_read_is_an_error() {
    let mut body = file("odd.sdp");
    let error = Sdp::parse(&body).unwrap().describe().unwrap_err();
    assert_eq!(error.to_string(), r#"SDP line 20: a=rtcp (RFC 3605) cannot be read: "a=rtcp:x""#);
    body.truncate(body.len() - "a=rtcp:x\r\n\r\n".len());
    let description = Sdp::parse(&body).unwrap().describe().unwrap();
    assert_eq!(description.media[1].connection, Connection::Name("host.example.org".to_owned()));
    assert_eq!((description.media[1].rtp, description.media[1].direction), (None, Direction::RecvOnly));
    assert_eq!(description.origin.unwrap().version(), None, "more digits than a number has");
}

#[test]
fn an_m_line_without_an_address_anywhere_is_an_error() {
    let sdp = Sdp::parse(b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n").unwrap();
    assert_eq!(sdp.describe(), Err(SdpError::NoConnection(5)));
}
