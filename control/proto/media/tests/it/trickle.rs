//! Candidates that trickle in after the SDP (RFC 8838, RFC 8840), as proxies hand them on: fragments with the sender's tag.

use std::time::Duration;

use raceway_ice::{Mode, Role};
use raceway_media::options::{Ice, IceLite};
use raceway_media::{Answer, Command, Offer, Options, Refusal, Reply, Trickle};

use crate::ice::{Peer, run};
use crate::world::*;

/// Of a peer whose SDP has no candidate, one as a fragment.
fn fragment(peer: &Peer) -> String {
    let ours = peer.agent.local_credentials();
    format!(
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n{}a=end-of-candidates\r\n",
        ours.ufrag(),
        ours.password(),
        candidate(peer)
    )
}

fn candidate(peer: &Peer) -> String {
    let (ip, port) = (peer.address.ip(), peer.address.port());
    format!("a=candidate:1 1 UDP 2130706431 {ip} {port} typ host\r\n")
}

/// Its SDP before it knows any.
fn sdp(peer: &Peer) -> String {
    body("0.0.0.0", 9) + "a=mid:0\r\n" + &peer.lines().replace(&candidate(peer), "")
}

fn trickle(world: &mut World, tag: &str, sdp: String) -> Result<Reply, Refusal> {
    world.command(Command::Trickle(Trickle { call_id: CALL.into(), tag: tag.into(), sdp: sdp.into() }))
}

/// A peer that waits to be checked.
fn lite(address: &str, octet: u8) -> Peer {
    Peer::new(Mode::Lite, address, octet)
}

fn lite_offer(peer: &Peer) -> Offer {
    offer(sdp(peer).replace("s=-\r\n", "s=-\r\na=ice-lite\r\n"))
}

#[test]
fn candidates_count_whether_they_come_before_the_answer_or_after_it() {
    for before in [true, false] {
        let mut world = World::new();
        let mut alice = lite("198.51.100.44:50123", 1);
        world.offer(Offer { options: Options { ice: Some(Ice::Remove), ..Options::default() }, ..lite_offer(&alice) });
        if before {
            assert_eq!(trickle(&mut world, "alice", fragment(&alice)), Ok(Reply::Done));
        }
        let answered = world.answer(answer(body("192.0.2.2", 5000)));
        alice.read(&world, &answered);
        run(&mut world, &mut [&mut alice], Duration::from_secs(1));
        assert_eq!(alice.nominated.is_some(), before);
        if !before {
            assert_eq!(trickle(&mut world, "alice", fragment(&alice)), Ok(Reply::Done));
            run(&mut world, &mut [&mut alice], Duration::from_secs(1));
        }
        assert_eq!(alice.nominated, Some(rtp(&answered)));
        assert!(world.session().legs.values().any(|leg| leg.rtp.remote == Some(alice.address)));
    }
}

#[test]
fn candidates_of_who_answers_count_also_when_they_overtake_the_answer() {
    for (early, wait, expected) in [(false, 0, true), (true, 0, true), (true, 5, false)] {
        let mut world = World::new();
        let mut bob = lite("198.51.100.55:40000", 2);
        let options = Options { ice: Some(Ice::Force), ice_lite: Some(IceLite::Off), ..Options::default() };
        let offered = world.offer(Offer { options, ..offer(body("192.0.2.1", 4000)) });
        bob.read(&world, &offered);
        if early {
            assert_eq!(trickle(&mut world, "bob", fragment(&bob)), Ok(Reply::Done));
            world.pass(Duration::from_secs(wait));
        }
        let sdp = sdp(&bob).replace("s=-\r\n", "s=-\r\na=ice-lite\r\n");
        world.answer(Answer { options: Options::default(), ..answer(sdp) });
        if !early {
            assert_eq!(trickle(&mut world, "bob", fragment(&bob)), Ok(Reply::Done));
        }
        run(&mut world, &mut [&mut bob], Duration::from_secs(1));
        assert_eq!(bob.nominated.is_some(), expected, "early: {early}, {wait} s");
    }
}

#[test]
fn candidates_of_another_generation_or_m_line_are_left_out() {
    let mut world = World::new();
    let mut alice = lite("198.51.100.44:50123", 1);
    world.offer(Offer { options: Options { ice: Some(Ice::Remove), ..Options::default() }, ..lite_offer(&alice) });
    let answered = world.answer(answer(body("192.0.2.2", 5000)));
    alice.read(&world, &answered);
    let past = fragment(&alice).replace(alice.agent.local_credentials().ufrag(), "past");
    for sdp in [past, fragment(&alice).replace("mid:0", "mid:1"), String::new()] {
        assert_eq!(trickle(&mut world, "alice", sdp), Ok(Reply::Done));
        run(&mut world, &mut [&mut alice], Duration::from_secs(1));
        assert_eq!(alice.nominated, None);
    }
    // Without credentials they are of the last SDP, and without m-lines of the first.
    assert_eq!(trickle(&mut world, "alice", candidate(&alice)), Ok(Reply::Done));
    run(&mut world, &mut [&mut alice], Duration::from_secs(1));
    assert_eq!(alice.nominated, Some(rtp(&answered)));
}

#[test]
fn fragments_that_cannot_be_read_or_are_of_no_call_are_refused() {
    let mut world = World::new();
    let unknown = trickle(&mut world, "alice", String::new());
    assert_eq!(unknown, Err(Refusal::UnknownCall(CALL.into())));
    world.plain();
    let refused = trickle(&mut world, "alice", "no line\r\n".into()).unwrap_err();
    assert_eq!(refused.to_string(), "Cannot read the SDP: SDP line 1 is not <type>=<value>: \"no line\"");
    for number in 0..100 {
        assert_eq!(trickle(&mut world, &number.to_string(), String::new()), Ok(Reply::Done), "few are kept");
    }
}

#[test]
fn it_is_said_that_candidates_may_trickle_where_that_is_asked_for() {
    let browser = Peer::new(Mode::Full(Role::Controlling), "198.51.100.44:50123", 1);
    for (trickle, ice, expected) in [(true, Ice::Force, 1), (false, Ice::Force, 0), (true, Ice::Remove, 0)] {
        let mut world = World::new();
        let options = Options { ice: Some(ice), trickle, ..Options::default() };
        let offered = world.offer(Offer { options, ..offer(body("0.0.0.0", 9) + &browser.lines()) });
        assert_eq!(offered.matches("a=ice-options:trickle\r\n").count(), expected);
    }
}
