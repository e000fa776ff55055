//! What of a body is made ours, by flags.

use raceway_media::options::{AttributeChange, Replace, Scope};
use raceway_media::{Answer, Offer, Options};
use raceway_sdp::{CodecName, Selection};

use crate::world::*;

fn sent(replace: Replace, sdp: &str) -> String {
    let mut world = World::new();
    world.offer(Offer { options: Options { replace, ..Options::default() }, ..offer(sdp) })
}

fn origin(body: &str) -> String {
    body.lines().find(|line| line.starts_with("o=")).unwrap().to_owned()
}

#[test]
fn the_origins_address_is_replaced_when_asked() {
    let sdp = body("192.0.2.1", 4000);
    assert_eq!(origin(&sent(Replace::default(), &sdp)), "o=ua 53655765 2353687637 IN IP4 192.0.2.1");
    let replaced = sent(Replace { origin: true, ..Replace::default() }, &sdp);
    assert_eq!(origin(&replaced), "o=ua 53655765 2353687637 IN IP4 10.0.0.1");
}

#[test]
fn later_bodies_to_a_party_may_keep_name_session_and_version_of_the_first() {
    let mut world = World::new();
    let replace = Replace { origin_full: true, session_name: true, sdp_version: true, ..Replace::default() };
    let mut say = |sdp: String| {
        let options = Options { replace, ..Options::default() };
        world.offer(Offer { options, ..offer(sdp) })
    };
    let first = say(body("192.0.2.1", 4000));
    assert_eq!(origin(&first), "o=ua 53655765 2353687637 IN IP4 10.0.0.1");
    let other = body("192.0.2.1", 4000).replace("o=ua 53655765 2353687637", "o=other 1 1").replace("s=-", "s=x");
    let second = say(other.clone());
    assert_eq!(second, first, "nothing changed, so the version stays");
    let third = say(other.replace("sendrecv", "sendonly"));
    assert_eq!(origin(&third), "o=ua 53655765 2353687638 IN IP4 10.0.0.1", "one up");
    assert!(third.contains("s=-\r\n"));
}

#[test]
fn the_version_goes_up_each_time_when_forced() {
    let mut world = World::new();
    let replace = Replace { force_increment_version: true, ..Replace::default() };
    let mut say = || {
        let options = Options { replace, ..Options::default() };
        origin(&world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) }))
    };
    assert!(say().contains(" 2353687637 "));
    assert!(say().contains(" 2353687638 "));
    assert!(say().contains(" 2353687639 "));
}

#[test]
fn the_sessions_address_is_replaced_where_an_m_line_needs_it_or_when_asked() {
    let own = body("192.0.2.1", 4000).replace("RTP/AVP 0 101\r\n", "RTP/AVP 0 101\r\nc=IN IP4 192.0.2.7\r\n");
    let written = sent(Replace::default(), &own);
    assert!(written.contains("s=-\r\nc=IN IP4 192.0.2.1\r\n") && written.contains("101\r\nc=IN IP4 10.0.0.1\r\n"));
    let written = sent(Replace { session_connection: true, ..Replace::default() }, &own);
    assert!(written.contains("s=-\r\nc=IN IP4 10.0.0.1\r\n"));
}

#[test]
fn m_lines_on_another_address_than_the_sessions_get_their_own() {
    let mut world = World::new();
    let two = format!("{}m=audio 4002 RTP/AVP 0\r\nc=IN IP6 2001:db8:9::1\r\n", body("192.0.2.1", 4000));
    let written = world.offer(offer(two));
    let description = describe(&written);
    let families: Vec<bool> = description.media.iter().map(|media| media.rtp.unwrap().is_ipv4()).collect();
    assert_eq!(families, [true, false]);
}

#[test]
fn another_address_is_told_when_asked() {
    let mut world = World::new();
    let options = Options { media_address: Some("198.51.100.5".parse().unwrap()), ..Options::default() };
    let written = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
    assert_eq!(rtp(&written).ip().to_string(), "198.51.100.5");
}

#[test]
fn ice_and_bundle_and_fingerprints_are_taken_out() {
    let mut world = World::new();
    let sdp = body("192.0.2.1", 4000)
        .replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0\r\na=ice-lite\r\na=fingerprint:sha-1 AB\r\n")
        + "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=candidate:1 1 udp 1 192.0.2.1 4000 typ host\r\na=mid:0\r\na=x-own:1\r\n";
    let ice = Some(raceway_media::options::Ice::Remove);
    let written = world.offer(Offer { options: Options { ice, ..Options::default() }, ..offer(sdp) });
    for gone in ["BUNDLE", "ice", "candidate", "fingerprint"] {
        assert!(!written.contains(gone), "{gone}");
    }
    assert!(written.contains("a=mid:0\r\na=x-own:1\r\n"));
}

#[test]
fn attributes_are_changed_where_asked() {
    let mut world = World::new();
    let options = Options {
        attributes: vec![
            (Scope::Session, AttributeChange::Add("tool:x".into())),
            (Scope::Media("audio".into()), AttributeChange::Remove("rtpmap:0 PCMU/8000".into())),
            (Scope::EveryMedia, AttributeChange::Substitute("sendrecv".into(), "sendonly".into())),
            (Scope::Media("video".into()), AttributeChange::Add("never".into())),
        ],
        generate_mid: true,
        ..Options::default()
    };
    let written = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
    assert!(
        written.contains("t=0 0\r\na=tool:x\r\nm=audio")
            && written.contains("a=sendonly")
            && written.contains("a=mid:0")
    );
    assert!(!written.contains("PCMU") && !written.contains("never"));
}

#[test]
fn kinds_of_media_that_are_taken_out_get_port_zero() {
    let mut world = World::new();
    let two = format!("{}m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n", body("192.0.2.1", 4000));
    let options = Options { remove_media: vec!["video".into()], ..Options::default() };
    let written = world.offer(Offer { options, ..offer(two) });
    assert!(written.contains("m=video 0 "));
    assert_eq!(world.session().legs.len(), 2);
}

#[test]
fn inactive_is_written_when_asked() {
    let mut world = World::new();
    let written = world
        .offer(Offer { options: Options { inactive: true, ..Options::default() }, ..offer(body("192.0.2.1", 4000)) });
    assert!(written.contains("a=inactive") && !written.contains("a=sendrecv"));
}

#[test]
fn a_latin1_body_with_line_feeds_passes_as_it_is() {
    let mut world = World::new();
    let mut sdp = body("192.0.2.1", 4000).replace("\r\n", "\n").into_bytes();
    let at = sdp.windows(3).position(|octets| octets == b"s=-").unwrap() + 2;
    sdp[at] = 0xe9;
    let outcome = world.command(raceway_media::Command::Offer(offer(sdp)));
    let Ok(raceway_media::Reply::Sdp(sdp)) = outcome else { panic!("{outcome:?}") };
    assert!(sdp.windows(3).any(|octets| octets == b"s=\xe9") && !sdp.contains(&b'\r'));
}

#[test]
fn codecs_that_are_taken_out_are_as_if_they_had_never_been_there() {
    let names = |text: &str| text.split(' ').map(CodecName::of).collect();
    let strip =
        |text: &str| Options { codecs: Selection { strip: names(text), ..Selection::default() }, ..Options::default() };
    let sdp = |host: &str, port| body(host, port).replace(" 0 101", " 0 8 101");
    let without = |text: &str| text.replace(" 0 8 101", " 0 101");
    let (mut stripped, mut plain) = (World::new(), World::new());
    let offered = stripped.offer(Offer { options: strip("PCMA"), ..offer(sdp("192.0.2.1", 4000)) });
    assert_eq!(offered, plain.offer(offer(without(&sdp("192.0.2.1", 4000)))), "nothing else changes");
    let answered = stripped.answer(Answer { options: strip("PCMA"), ..answer(sdp("192.0.2.2", 5000)) });
    assert_eq!(answered, plain.answer(answer(without(&sdp("192.0.2.2", 5000)))));
    assert_eq!(stripped.session(), plain.session(), "also for the relay");
}
