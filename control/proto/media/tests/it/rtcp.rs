//! RTCP on RTP's port (RFC 5761), offered, accepted, taken apart.

use raceway_media::options::{RtcpAttribute, RtcpMux};
use raceway_media::{Offer, Options};

use crate::world::*;

fn muxed(body: String) -> String {
    format!("{body}a=rtcp-mux\r\n")
}

fn with(rtcp_mux: RtcpMux) -> Options {
    Options { rtcp_mux, ..Options::default() }
}

/// Whether Bob was offered it, Alice was told it, Bob's RTCP has no port, Alice's has none.
fn run(options: Options, alice: bool, bob: bool) -> (bool, bool, bool, bool) {
    let mut world = World::new();
    let as_said = |body, said: bool| if said { muxed(body) } else { body };
    let offered = world.offer(Offer { options, ..offer(as_said(body("192.0.2.1", 4000), alice)) });
    let answered = world.answer(answer(as_said(body("192.0.2.2", 5000), bob)));
    let none = |remote: &str| world.leg(remote).rtcp.is_none();
    let has = |body: &str| body.contains("a=rtcp-mux\r\n");
    (has(&offered), has(&answered), none("192.0.2.2:5000"), none("192.0.2.1:4000"))
}

#[test]
fn it_passes_as_it_was_said_without_a_flag() {
    assert_eq!(run(Options::default(), true, true), (true, true, true, true));
    assert_eq!(run(Options::default(), true, false), (true, false, false, false));
    assert_eq!(run(Options::default(), false, false), (false, false, false, false));
    assert_eq!(run(Options::default(), false, true), (false, false, false, false), "an answer that was not offered");
}

#[test]
fn demux_accept_reject_and_offer() {
    let demux = with(RtcpMux { demux: true, ..RtcpMux::default() });
    assert_eq!(run(demux, true, false), (false, true, false, true));
    let accept = with(RtcpMux { accept: true, ..RtcpMux::default() });
    assert_eq!(run(accept, true, false), (true, true, false, true));
    let reject = with(RtcpMux { reject: true, ..RtcpMux::default() });
    assert_eq!(run(reject, true, true), (false, false, false, false));
    let offer = with(RtcpMux { offer: true, ..RtcpMux::default() });
    assert_eq!(run(offer.clone(), false, true), (true, false, true, false));
    let both = with(RtcpMux { offer: true, reject: true, ..RtcpMux::default() });
    assert_eq!(run(both, true, true), (true, false, true, false));
}

#[test]
fn the_port_of_rtcp_is_written_as_asked() {
    let written = |options: Options| {
        let mut world = World::new();
        let offered = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
        let port = rtp(&offered).port();
        let line = offered.lines().find(|line| line.starts_with("a=rtcp:")).map(str::to_owned);
        line.map(|line| line.replace(&(port + 1).to_string(), "NEXT").replace(&port.to_string(), "SAME"))
    };
    assert_eq!(written(Options::default()).as_deref(), Some("a=rtcp:NEXT"));
    let full = Options { rtcp_attribute: Some(RtcpAttribute::Full), ..Options::default() };
    assert_eq!(written(full).as_deref(), Some("a=rtcp:NEXT IN IP4 10.0.0.1"));
    let none = Options { rtcp_attribute: Some(RtcpAttribute::None), ..Options::default() };
    assert_eq!(written(none), None);
    let require = with(RtcpMux { require: true, ..RtcpMux::default() });
    assert_eq!(written(require).as_deref(), Some("a=rtcp:SAME"));
}

#[test]
fn the_port_is_kept_for_when_it_is_taken_apart_again() {
    let mut world = World::new();
    world.offer(offer(muxed(body("192.0.2.1", 4000))));
    let answered = world.answer(answer(muxed(body("192.0.2.2", 5000))));
    assert_eq!(world.session().media.len(), 2, "sockets for RTCP are closed");
    world.offer(Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.1", 4000)) });
    world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(world.session().media.len(), 4);
    assert_eq!(world.leg("192.0.2.1:4000").rtcp.unwrap().local.port(), rtp(&answered).port() + 1);
}
