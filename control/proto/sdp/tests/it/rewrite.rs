//! What changes, and that nothing else does.

use std::net::IpAddr;

use raceway_sdp::{Crypto, Direction, IceCredentials, KeyMaterial, Protocol, Sdp, Setup, Suite};

use crate::corpus::file;

const OURS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

/// Lines that are only in one of two bodies.
fn difference(before: &[u8], after: &[u8]) -> (Vec<String>, Vec<String>) {
    let lines = |body: &[u8]| -> Vec<String> { String::from_utf8_lossy(body).lines().map(str::to_owned).collect() };
    let (mut gone, mut new) = (lines(before), lines(after));
    gone.retain(|line| {
        let at = new.iter().position(|other| other == line);
        at.map(|at| new.remove(at)).is_none()
    });
    (gone, new)
}

#[test]
fn anchoring_a_plain_offer_changes_address_and_port_alone() {
    let body = file("sipp-offer.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    sdp.session_mut().set_connection(OURS);
    sdp.media_mut()[0].set_port(30_000);
    sdp.media_mut()[0].set_rtcp(Some((30_001, None)));
    let (gone, new) = difference(&body, &sdp.encode());
    assert_eq!(gone, ["c=IN IP4 10.77.1.1", "m=audio 6000 RTP/AVP 0"]);
    assert_eq!(new, ["c=IN IP4 203.0.113.7", "m=audio 30000 RTP/AVP 0", "a=rtcp:30001"]);
}

#[test]
fn setting_what_is_there_already_changes_nothing() {
    let body = file("sipp-offer.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    sdp.session_mut().set_connection("10.77.1.1".parse().unwrap());
    sdp.set_origin(&sdp.origin().unwrap());
    sdp.set_session_name("-");
    let media = &mut sdp.media_mut()[0];
    media.set_port(6000);
    media.set_protocol(Protocol::Avp);
    media.set_direction(Direction::SendRecv);
    media.set_rtcp(None);
    media.set_rtcp_mux(false);
    assert_eq!(sdp.encode(), body);
}

#[test]
fn a_connection_is_put_where_the_grammar_has_it() {
    let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\ni=x\r\nb=AS:1\r\n";
    let mut sdp = Sdp::parse(body).unwrap();
    sdp.session_mut().set_connection(OURS);
    sdp.media_mut()[0].section_mut().set_connection("2001:db8::1".parse().unwrap());
    let expected = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 203.0.113.7\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0\r\ni=x\r\nc=IN IP6 2001:db8::1\r\nb=AS:1\r\n";
    assert_eq!(sdp.text(), expected);
}

#[test]
fn a_browsers_offer_becomes_plain_rtp() {
    let body = file("chrome-offer.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    sdp.remove_ice();
    sdp.set_bundles(&[]);
    for media in sdp.media_mut() {
        media.section_mut().set_connection(OURS);
    }
    let audio = &mut sdp.media_mut()[0];
    audio.remove_security();
    audio.set_protocol(Protocol::Avp);
    audio.set_port(30_000);
    audio.set_rtcp_mux(false);
    audio.set_rtcp(Some((30_001, None)));
    for media in &mut sdp.media_mut()[1..] {
        media.refuse();
    }
    let after = sdp.encode();
    let description = Sdp::parse(&after).unwrap().describe().unwrap();
    let [audio, video, data] = &description.media[..] else { panic!("three m-lines") };
    assert_eq!((audio.protocol, audio.rtp), (Protocol::Avp, Some("203.0.113.7:30000".parse().unwrap())));
    assert!(video.is_refused() && data.is_refused(), "nor is the latter in the bundle");
    assert!(description.bundles.is_empty());
    let text = String::from_utf8(after).unwrap();
    for word in ["ice-", "candidate", "fingerprint", "setup", "rtcp-mux", "rtcp-fb:111", "bundle-only", "BUNDLE"] {
        assert!(!text.contains(word), "{word} is gone");
    }
    for word in
        ["a=msid-semantic: WMS 7f1a2c", "a=extmap:1 ", "a=fmtp:111 minptime=10;useinbandfec=1", "a=ssrc:3570614608"]
    {
        assert!(text.contains(word), "{word} is kept");
    }
}

#[test]
fn keys_fingerprints_and_ice_are_added_at_the_end() {
    let body = file("sipp-offer.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    let material = KeyMaterial::new(Suite::AesCm128Sha1Tag80, &[0; 30]).unwrap();
    let crypto = Crypto { tag: 1, suite: Suite::AesCm128Sha1Tag80, material, mki: None };
    let other = file("chrome-offer.sdp");
    let other = Sdp::parse(&other).unwrap().describe().unwrap();
    let media = &mut sdp.media_mut()[0];
    media.add_crypto(&[crypto], true);
    media.add_dtls(&other.media[0].fingerprints[0], &Setup::Passive);
    let credentials = IceCredentials { fragment: "abcd".into(), password: "0123456789012345678901".into() };
    media.add_ice(&credentials, &other.media[0].ice.candidates[..1], true);
    let (gone, new) = difference(&body, &sdp.encode());
    assert_eq!(gone, [""; 0]);
    let expected = [
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "a=setup:passive",
        "a=fingerprint:sha-256 AB:12:CD:34:EF:56:78:9A:BC:DE:F0:12:34:56:78:9A:BC:DE:F0:12:34:56:78:9A:BC:DE:F0:12:34:56:78:9A",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        "a=candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 network-id 1",
        "a=end-of-candidates",
    ];
    assert_eq!(new, expected);
}

#[test]
fn hold_replaces_the_direction_where_it_stands() {
    let body = file("sipp-offer.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    sdp.media_mut()[0].set_direction(Direction::SendOnly);
    assert!(sdp.text().ends_with("a=ptime:20\r\na=sendonly\r\n"));
    let twice = b"v=0\r\nm=audio 1 RTP/AVP 0\r\na=inactive\r\na=sendonly\r\na=recvonly\r\n";
    let mut sdp = Sdp::parse(twice).unwrap();
    sdp.media_mut()[0].set_direction(Direction::RecvOnly);
    assert_eq!(sdp.text(), "v=0\r\nm=audio 1 RTP/AVP 0\r\na=recvonly\r\n");
}

#[test]
fn line_ends_stay_as_they_are_and_new_lines_take_the_bodys() {
    let body = file("latin1-hold.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    sdp.media_mut()[0].set_rtcp(Some((9, None)));
    let after = sdp.encode();
    assert!(!after.contains(&b'\r') && after.ends_with(b"a=rtcp:9\n"));
    let mut sdp = Sdp::parse(b"v=0\r\nm=audio 1 RTP/AVP 0").unwrap();
    sdp.media_mut()[0].set_rtcp(Some((9, None)));
    assert_eq!(sdp.text(), "v=0\r\nm=audio 1 RTP/AVP 0\r\na=rtcp:9\r\n");
}

#[test]
fn a_latin1_body_stays_latin1_until_something_does_not_fit() {
    let body = file("latin1-hold.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    assert_eq!(sdp.origin().unwrap().username, "Müller");
    sdp.media_mut()[0].set_port(1);
    assert!(sdp.encode().windows(6).any(|octets| octets == b"M\xfcller"));
    sdp.set_session_name("→");
    assert!(String::from_utf8(sdp.encode()).unwrap().contains("Müller"));
}

#[test]
fn an_origin_is_replaced_field_by_field() {
    let body = file("odd.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    let mut origin = sdp.origin().unwrap();
    origin.set_ip(OURS);
    sdp.set_origin(&origin);
    assert!(sdp.text().contains("o=- 12 99999999999999999999999999 IN IP4 203.0.113.7\r\n"));
}

#[test]
fn nothing_that_is_added_can_end_a_line() {
    let mut sdp = Sdp::parse(b"v=0\r\nm=audio 1 RTP/AVP 0\r\n").unwrap();
    sdp.media_mut()[0].section_mut().add("x\r\na=y", Some("1\r\na=crypto:1\n"));
    sdp.set_session_name("no line, no change");
    assert_eq!(sdp.text(), "v=0\r\nm=audio 1 RTP/AVP 0\r\na=xa=y:1a=crypto:1\r\n");
}

#[test]
fn m_lines_and_attributes_are_removed_added_and_substituted_by_name() {
    let body = file("asterisk-answer.sdp");
    let mut sdp = Sdp::parse(&body).unwrap();
    sdp.retain_media(|_, media| media.section().has("rtpmap"));
    let section = sdp.media_mut()[0].section_mut();
    assert!(section.substitute("ptime:20", "ptime:30") && !section.substitute("ptime:20", "ptime:40"));
    section.remove(|name, value| name == "rtpmap" && value.is_some_and(|value| value.starts_with("0 ")));
    let (gone, new) = difference(&body, &sdp.encode());
    assert_eq!(new, ["a=ptime:30"]);
    assert_eq!(gone.len(), 6 + 2);
}
