//! BUNDLE (RFC 9143): several m-lines at one address, towards each side by itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use raceway_api::{Bundled, Learning, Leg, Security};
use raceway_dtls::{Hash, Role};
use raceway_media::options::{Bundle, Ice, RtcpMux};
use raceway_media::{Answer, Calls, Offer, Options};
use raceway_sdp::Media;

use crate::dtls::{Peer, agrees, identity, run, towards, world};
use crate::world::*;

const ICE: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=candidate:1 1 UDP 2130706431 198.51.100.44 50123 typ host\r\n";
const MID: &str = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";

/// An m-line of a browser, without what its transport is.
fn line(kind: &str, port: u16, mid: &str, payload_type: u8) -> String {
    format!(
        "m={kind} {port} UDP/TLS/RTP/SAVPF {payload_type}\r\na=mid:{mid}\r\na=rtcp-mux\r\n\
        a=rtpmap:{payload_type} some/90000\r\na=ssrc:{payload_type}00 cname:x\r\na=rtcp-fb:{payload_type} nack\r\n"
    )
}

fn head(group: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 198.51.100.44\r\nt=0 0\r\n{group}")
}

fn transport(peer: &Peer, setup: &str) -> String {
    format!("{ICE}a=setup:{setup}\r\na=fingerprint:{}\r\n", peer.identity.fingerprint(Hash::Sha256).unwrap())
}

/// Audio and video of a browser, bundled.
fn web(peer: &Peer, setup: &str) -> String {
    let transport = transport(peer, setup);
    let (audio, video) = (line("audio", 50123, "a0", 111), line("video", 50123, "v1", 96));
    format!("{}{audio}{transport}{video}{transport}", head("a=group:BUNDLE a0 v1\r\n"))
}

/// Audio and video of a phone.
fn plain(host: &str, ports: [u16; 2]) -> String {
    let lines = format!("m=audio {} RTP/AVP 111\r\na=rtpmap:111 some/90000\r\n", ports[0]);
    let video = format!("m=video {} RTP/AVP 96\r\na=rtpmap:96 some/90000\r\n", ports[1]);
    format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n{lines}{video}")
}

fn to_plain() -> Options {
    let rtcp_mux = RtcpMux { demux: true, ..RtcpMux::default() };
    Options { ice: Some(Ice::Remove), rtcp_mux, ..towards("RTP/AVP") }
}

fn to_web() -> Options {
    Options { ice: Some(Ice::Force), ..towards("UDP/TLS/RTP/SAVPF") }
}

fn browser() -> Peer {
    Peer::new("198.51.100.44:50123")
}

fn media(body: &str) -> Vec<Media> {
    describe(body).media
}

fn bundles(body: &str) -> Vec<Vec<String>> {
    describe(body).bundles
}

fn ports(body: &str) -> Vec<u16> {
    media(body).iter().map(|media| media.port).collect()
}

/// Legs by the address that they have of ours, those with several first.
fn by_local(world: &World) -> Vec<Vec<Leg<'static>>> {
    let locals: BTreeSet<SocketAddr> = world.session().legs.values().map(|leg| leg.rtp.local).collect();
    let at = |local| world.session().legs.values().filter(|leg| leg.rtp.local == local).cloned().collect();
    let mut groups: Vec<Vec<Leg<'static>>> = locals.into_iter().map(at).collect();
    groups.sort_by_key(|legs| std::cmp::Reverse(legs.len()));
    groups
}

fn offer_of(sdp: String, options: Options) -> Offer {
    Offer { options, ..offer(sdp) }
}

fn answer_of(sdp: String, options: Options) -> Answer {
    Answer { options, ..answer(sdp) }
}

/// A browser calls a phone; both bodies as they went on.
fn web_calls_plain(world: &mut World, peer: &Peer) -> (String, String) {
    let offered = world.offer(offer_of(web(peer, "actpass"), to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [5000, 5002]), to_web()));
    (offered, answered)
}

#[test]
fn a_browser_gets_one_address_for_its_m_lines_and_a_phone_one_for_each() {
    let mut world = world();
    let (offered, answered) = web_calls_plain(&mut world, &browser());
    assert!(bundles(&offered).is_empty(), "{offered}");
    assert_ne!(ports(&offered)[0], ports(&offered)[1]);
    assert_eq!(bundles(&answered), [["a0", "v1"]]);
    let [audio, video] = &media(&answered)[..] else { panic!("{answered}") };
    assert_eq!([&audio.mid, &video.mid], [&Some("a0".to_owned()), &Some("v1".to_owned())]);
    assert_eq!(audio.rtp, video.rtp);
    assert_eq!((&audio.ice, &audio.fingerprints, &audio.setup), (&video.ice, &video.fingerprints, &video.setup));
    assert!(audio.rtcp_mux && video.rtcp_mux && audio.ice.lite && !audio.fingerprints.is_empty());
    let legs = by_local(&world);
    assert_eq!(legs.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
    let bundled =
        |mid: &str, source| Some(Box::new(Bundled { mid_extension: None, mid: mid.into(), sources: vec![source] }));
    assert_eq!([&legs[0][0].bundled, &legs[0][1].bundled], [&bundled("a0", 11100), &bundled("v1", 9600)]);
    assert_eq!([&legs[1][0].bundled, &legs[2][0].bundled], [&None, &None]);
    let punts: Vec<bool> = legs[0].iter().map(|leg| leg.punt.stun && leg.punt.dtls).collect();
    assert_eq!(punts.iter().filter(|punts| **punts).count(), 1, "one agent and one association");
    assert!(legs[0].iter().all(|leg| leg.rtcp.is_none() && leg.learning == Learning::Off));
    assert_eq!(world.session().media.len(), 1 + 2 + 2, "what is not needed is closed");
}

#[test]
fn a_browser_that_is_called_may_bundle_what_a_phone_does_not() {
    let mut world = world();
    let peer = browser();
    let offered = world.offer(offer_of(plain("192.0.2.1", [4000, 4002]), to_web()));
    assert_eq!(bundles(&offered), [["0", "1"]]);
    let [audio, video] = &media(&offered)[..] else { panic!("{offered}") };
    assert_ne!(audio.port, video.port, "who does not know of bundles takes each by itself");
    assert!(audio.rtcp_mux && video.rtcp_mux, "without any flag");
    assert_eq!([&audio.mid, &video.mid], [&Some("0".to_owned()), &Some("1".to_owned())]);
    let sdp = web(&peer, "active").replace("a0", "0").replace("v1", "1");
    let answered = world.answer(answer_of(sdp, to_plain()));
    assert!(bundles(&answered).is_empty() && ports(&answered)[0] != ports(&answered)[1], "{answered}");
    let legs = by_local(&world);
    assert_eq!(legs[0].len(), 2);
    assert_eq!(legs[0][0].rtp.local.port(), audio.port, "that of the first");
    assert_eq!(world.session().media.len(), 1 + 2 + 2);
}

#[test]
fn a_browser_that_does_not_bundle_has_an_address_for_each() {
    let mut world = world();
    let peer = browser();
    let offered = world.offer(offer_of(plain("192.0.2.1", [4000, 4002]), to_web()));
    let sdp = web(&peer, "active").replace("a=group:BUNDLE a0 v1\r\n", "").replace("video 50123", "video 50124");
    world.answer(answer_of(sdp, to_plain()));
    let legs = by_local(&world);
    assert!(legs.iter().all(|legs| legs.len() == 1 && legs[0].bundled.is_none()));
    let told = ports(&offered);
    let local = |port: &u16| legs.iter().any(|legs| legs[0].rtp.local.port() == *port && legs[0].punt.dtls);
    assert!(told.iter().all(local), "as told");
}

#[test]
fn keys_of_one_handshake_are_those_of_every_m_line() {
    let mut world = world();
    let mut peer = browser();
    let without_ice = |sdp: String| sdp.replace(ICE, "");
    world.offer(offer_of(without_ice(web(&peer, "actpass")), to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [5000, 5002]), Options::default()));
    assert_eq!(bundles(&answered), [["a0", "v1"]]);
    peer.read(&world, &answered, Role::Passive);
    run(&mut world, &mut [&mut peer], Duration::from_secs(1));
    let legs = by_local(&world);
    assert_eq!(legs[0].len(), 2);
    legs[0].iter().for_each(|leg| agrees(&world, leg.id, &peer));
    assert!(legs[0].iter().all(|leg| leg.rtp.remote == Some(peer.address)));
    assert!(world.session().flows.is_empty(), "a flow would take what is of another m-line");
    // The first m-line goes, and with it nothing of what the two share.
    let sdp = without_ice(web(&peer, "actpass")).replace("audio 50123", "audio 0").replace("BUNDLE a0 v1", "BUNDLE v1");
    world.offer(offer_of(sdp, to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [0, 5002]), Options::default()));
    assert_eq!((bundles(&answered), ports(&answered)[0]), (vec![vec!["v1".to_owned()]], 0));
    assert_eq!(ports(&answered)[1], legs[0][0].rtp.local.port());
    let left = &by_local(&world);
    let left: Vec<_> = left.iter().flatten().filter(|leg| leg.rtp.local == legs[0][0].rtp.local).collect();
    assert_eq!(left.len(), 1);
    assert!(left[0].punt.dtls);
    agrees(&world, left[0].id, &peer);
    assert_eq!(world.session().media.len(), 1 + 2);
}

#[test]
fn m_lines_for_the_bundle_only_come_by_its_address() {
    for refuses in [false, true] {
        let mut world = world();
        let peer = browser();
        let sdp = web(&peer, "actpass").replace("video 50123", "video 0") + "a=bundle-only\r\n";
        let options = Options { bundle: Bundle { reject: refuses, ..Bundle::default() }, ..to_plain() };
        let offered = world.offer(offer_of(sdp, options));
        assert_eq!(ports(&offered)[1] == 0, refuses);
        assert!(!offered.contains("bundle-only"));
        let port = if refuses { 0 } else { 5002 };
        let answered = world.answer(answer_of(plain("192.0.2.2", [5000, port]), to_web()));
        assert_eq!(bundles(&answered).len(), usize::from(!refuses));
        assert_eq!(ports(&answered)[0] == ports(&answered)[1], !refuses);
    }
}

#[test]
fn what_a_tagged_m_line_says_is_for_the_others_too() {
    let mut world = world();
    let peer = browser();
    let transport = transport(&peer, "actpass");
    // Data is what carries all: it is refused, and its transport goes on.
    let data = format!("m=application 50123 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n{transport}");
    let (audio, video) = (line("audio", 0, "a0", 111), line("video", 0, "v1", 96));
    let only = "a=bundle-only\r\n";
    let sdp = format!("{}{data}{audio}{only}{video}{only}", head("a=group:BUNDLE d a0 v1\r\n"));
    let offered = world.offer(offer_of(sdp.replace("a=mid:d", "a=mid:d\r\na=rtcp-mux"), to_plain()));
    assert_eq!(ports(&offered)[0], 0);
    let phone = plain("192.0.2.2", [5000, 5002]).replace("m=audio", "m=application 0 UDP/DTLS/SCTP x\r\nm=audio");
    let answered = world.answer(answer_of(phone, to_web()));
    assert_eq!(bundles(&answered), [["a0", "v1"]]);
    assert_eq!(by_local(&world)[0].len(), 2);
    assert!(media(&answered)[1].ice.credentials.is_some() && !media(&answered)[1].fingerprints.is_empty());
}

#[test]
fn the_next_m_line_carries_the_bundle_if_the_first_is_refused() {
    let mut world = world();
    world.offer(offer_of(web(&browser(), "actpass"), to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [0, 5002]), to_web()));
    assert_eq!(bundles(&answered), [["v1"]]);
    assert!(!media(&answered)[1].fingerprints.is_empty() && media(&answered)[1].ice.credentials.is_some());
    assert_eq!(world.session().media.len(), 1 + 2);
}

#[test]
fn a_re_offer_keeps_the_address_and_a_new_m_line_joins_it() {
    let mut world = world();
    let peer = browser();
    world.offer(offer_of(plain("192.0.2.1", [4000, 4002]), to_web()));
    world.answer(answer_of(web(&peer, "active").replace("a0", "0").replace("v1", "1"), to_plain()));
    let local = by_local(&world)[0][0].rtp.local.port();
    let more = "m=video 4004 RTP/AVP 97\r\na=rtpmap:97 some/90000\r\n";
    let offered = world.offer(offer_of(plain("192.0.2.1", [4000, 4002]) + more, to_web()));
    assert_eq!((ports(&offered), bundles(&offered)), (vec![local; 3], vec![vec!["0".into(), "1".into(), "2".into()]]));
    let line = line("video", 50123, "2", 97) + &transport(&peer, "active");
    let sdp =
        web(&peer, "active").replace("BUNDLE a0 v1", "BUNDLE 0 1 2").replace("a0", "0").replace("v1", "1") + &line;
    world.answer(answer_of(sdp, to_plain()));
    assert_eq!(by_local(&world)[0].len(), 3);
}

#[test]
fn an_m_line_may_leave_the_bundle() {
    let mut world = world();
    let peer = browser();
    web_calls_plain(&mut world, &peer);
    let local = by_local(&world)[0][0].rtp.local.port();
    let sdp = web(&peer, "actpass").replace("BUNDLE a0 v1", "BUNDLE a0").replace("video 50123", "video 50125");
    world.offer(offer_of(sdp, to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [5000, 5002]), to_web()));
    assert_eq!((bundles(&answered), ports(&answered)[0]), (vec![vec!["a0".to_owned()]], local));
    assert_ne!(ports(&answered)[1], local);
    assert!(by_local(&world).iter().all(|legs| legs.len() == 1 && legs[0].bundled.is_none()));
    assert_eq!(world.session().media.len(), 1 + 1 + 2 + 2);
}

#[test]
fn m_lines_that_nothing_tells_apart_are_not_bundled() {
    for (types, extension, expected) in [([111, 96], "", true), ([96, 96], "", false), ([96, 96], MID, true)] {
        let mut world = world();
        let phone = plain("192.0.2.1", [4000, 4002]).replace("111", &types[0].to_string());
        let phone = phone.replace("m=video", &format!("{extension}m=video")) + extension;
        let offered = world.offer(offer_of(phone, to_web()));
        assert_eq!(!bundles(&offered).is_empty(), expected, "{types:?} {extension}");
    }
}

#[test]
fn a_browser_is_asked_for_mids_where_payload_types_are_the_same() {
    let mut world = world();
    let peer = browser();
    let sdp = web(&peer, "actpass").replace("a=mid:a0\r\n", &format!("a=mid:a0\r\n{MID}"));
    let sdp = sdp.replace("a=mid:v1\r\n", &format!("a=mid:v1\r\n{MID}"));
    // Not in the fingerprint, which is another one each time.
    let sdp = sdp.replace("SAVPF 96", "SAVPF 111").replace("rtpmap:96", "rtpmap:111");
    world.offer(offer_of(sdp, to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [5000, 5002]).replace("96", "111"), to_web()));
    assert_eq!(media(&answered).iter().map(|media| media.mid_extension).collect::<Vec<_>>(), [Some(4); 2]);
    let legs = by_local(&world);
    assert!(legs[0].iter().all(|leg| leg.bundled.as_ref().unwrap().mid_extension == Some(4)));
}

#[test]
fn m_lines_with_keys_in_sdp_or_rtcp_apart_are_not_bundled() {
    let group = "a=group:BUNDLE 0 1\r\n";
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
    let phone = plain("192.0.2.1", [4000, 4002]).replace("t=0 0\r\n", &format!("t=0 0\r\n{group}"));
    let named = phone.replace("m=video", "a=mid:0\r\nm=video") + "a=mid:1\r\n";
    let muxed = named.replace("a=mid", "a=rtcp-mux\r\na=mid");
    let keyed = muxed.replace("RTP/AVP", "RTP/SAVP").replace("a=mid", &format!("{crypto}a=mid"));
    for (sdp, expected) in [(&named, false), (&muxed, true), (&keyed, false)] {
        let mut world = World::new();
        let offered = world.offer(offer(sdp.clone()));
        assert_eq!(!bundles(&offered).is_empty(), expected, "{sdp}");
        let answered = world.answer(answer(sdp.replace("192.0.2.1", "192.0.2.2")));
        assert_eq!(bundles(&answered), bundles(&offered));
        assert_eq!(by_local(&world)[0].len(), if expected { 2 } else { 1 });
    }
}

#[test]
fn bundles_are_offered_required_and_refused_as_asked() {
    let asked =
        |bundle| Options { bundle, rtcp_mux: RtcpMux { offer: true, ..RtcpMux::default() }, ..Options::default() };
    let phone = || plain("192.0.2.1", [4000, 4002]);
    for (bundle, groups, only) in [
        (Bundle::default(), 0, false),
        (Bundle { offer: true, ..Bundle::default() }, 1, false),
        (Bundle { require: true, ..Bundle::default() }, 1, true),
    ] {
        let mut world = World::new();
        let offered = world.offer(offer_of(phone(), asked(bundle)));
        assert_eq!(bundles(&offered).len(), groups);
        assert_eq!((media(&offered)[1].bundle_only, ports(&offered)[1] == 0), (only, only));
        assert_ne!(ports(&offered)[0], 0);
        assert_eq!(world.session().media.len(), if only { 6 } else { 8 });
    }
    // Of what a browser offers, a phone hears if it is to.
    for (accept, expected) in [(false, 0), (true, 1)] {
        let mut world = world();
        let options = Options { ice: Some(Ice::Remove), ..towards("RTP/AVP") };
        let options = Options { bundle: Bundle { accept, ..Bundle::default() }, ..options };
        assert_eq!(bundles(&world.offer(offer_of(web(&browser(), "actpass"), options))).len(), expected);
    }
}

#[test]
fn a_bundle_outlives_control() {
    let mut world = world();
    let mut peer = browser();
    world.offer(offer_of(web(&peer, "actpass").replace(ICE, ""), to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [5000, 5002]), Options::default()));
    peer.read(&world, &answered, Role::Passive);
    run(&mut world, &mut [&mut peer], Duration::from_secs(1));
    let before = world.session().clone();
    let report = world.relay.report(world.session_id(), true).unwrap();
    world.calls = Calls::new(settings(), random(9)).unwrap();
    world.calls.set_identity(identity()).unwrap();
    world.calls.restore(&report);
    assert_eq!(world.calls.restore_end(world.now), 0);
    world.relay.forget();
    world.calls.reinstall();
    world.settle();
    assert_eq!(*world.session(), before);
    assert!(by_local(&world)[0].iter().all(|leg| matches!(leg.send, Security::Srtp(_))));
    world.delete();
}

#[test]
fn rtcp_is_muxed_with_who_does_ice_and_dtls_unless_it_is_refused() {
    let one = |peer: &Peer, setup| format!("{}{}{}", head(""), line("audio", 50123, "a0", 111), transport(peer, setup));
    let phone = |host, port| plain(host, [port, 1]).split("m=video").next().unwrap().to_owned();
    for refuses in [false, true] {
        let mut world = world();
        let rtcp_mux = RtcpMux { reject: refuses, ..RtcpMux::default() };
        let options = Options { rtcp_mux, ..to_plain() };
        world.offer(offer_of(one(&browser(), "actpass"), options));
        let answered = world.answer(answer_of(phone("192.0.2.2", 5000), to_web()));
        assert_eq!(media(&answered)[0].rtcp_mux, !refuses);
        let of_web = world.session().legs.values().find(|leg| leg.punt.dtls).unwrap();
        assert_eq!(of_web.rtcp.is_none(), !refuses);
    }
    for (options, expected) in [(to_web(), true), (towards("UDP/TLS/RTP/SAVPF"), false), (Options::default(), false)] {
        let mut world = world();
        let offered = world.offer(offer_of(phone("192.0.2.1", 4000), options));
        assert_eq!(media(&offered)[0].rtcp_mux, expected, "{offered}");
        let candidates = media(&offered)[0].ice.udp().count();
        assert_eq!(candidates, usize::from(expected), "no candidate for RTCP");
    }
}

#[test]
fn an_ice_restart_of_a_bundle_is_one_for_all_of_it() {
    let mut world = world();
    let peer = browser();
    let (_, before) = web_calls_plain(&mut world, &peer);
    let keys: Vec<_> = media(&before).into_iter().map(|media| (media.ice.credentials, media.fingerprints)).collect();
    let again = |sdp: String| sdp.replace("ufrag:abcd", "ufrag:efgh");
    world.offer(offer_of(again(web(&peer, "actpass")), to_plain()));
    let answered = world.answer(answer_of(plain("192.0.2.2", [5000, 5002]), to_web()));
    let after: Vec<_> = media(&answered).into_iter().map(|media| (media.ice.credentials, media.fingerprints)).collect();
    assert_eq!(after[0], after[1]);
    assert_ne!(after[0].0, keys[0].0, "a restart is followed");
    assert_eq!(after[0].1, keys[0].1, "and the association goes on");
    assert_eq!(ports(&answered), ports(&before));
}

#[test]
fn no_flow_takes_what_comes_to_an_address_of_several_m_lines() {
    let mut world = World::new();
    let sdp = plain("192.0.2.1", [4000, 4000]).replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0 1\r\n");
    world.offer(offer(sdp.replace("m=video", "a=mid:0\r\na=rtcp-mux\r\nm=video") + "a=mid:1\r\na=rtcp-mux\r\n"));
    let phone = plain("192.0.2.2", [5000, 5002]).replace("m=video", "a=rtcp-mux\r\nm=video") + "a=rtcp-mux\r\n";
    let answered = world.answer(answer(phone));
    assert_eq!(bundles(&answered), [["0", "1"]]);
    let legs: Vec<Leg<'static>> = by_local(&world).into_iter().flatten().collect();
    for leg in &legs {
        let remote = leg.rtp.remote.unwrap().to_string();
        world.learned(leg.id, false, &remote);
    }
    let taken: BTreeSet<SocketAddr> = world.session().flows.values().map(|flow| flow.matches.local).collect();
    assert_eq!(taken, legs[2..].iter().map(|leg| leg.rtp.local).collect(), "those of the phone alone");
}
