//! Fuzz entry.

use crate::fragment::Fragment;
use crate::http::{Change, EntityTag};
use crate::limits;
use crate::negotiation::{Offered, Ours, Outgoing};
use crate::signal::FromClient;
use crate::token::Keys;

/// A message, a fragment, a token and a description: nothing panics, what was read is within the limits, and an answer can be
/// read again.
pub fn fuzz(data: &[u8]) {
    if let Ok(fragment) = Fragment::read(data) {
        assert!(fragment.candidates.len() <= limits::CANDIDATES_MAX);
        assert!(fragment.candidates.iter().all(|candidate| candidate.text.len() <= limits::CANDIDATE_MAX));
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = FromClient::read(text);
        assert!(Keys::default().verify(text, raceway_units::UnixTime(0)).is_err(), "no key, no grant");
        let _ = Change::read(Some(text), EntityTag::from_random(1), "user", data);
    }
    if let Ok(offered) = Offered::read(data) {
        answers(&offered);
    }
}

fn answers(offered: &Offered) {
    let ours = Ours {
        session: 1,
        version: 1,
        fragment: "frag".to_owned(),
        password: "passwordpasswordpassword".to_owned(),
        fingerprint: "sha-256 00:11".parse().expect("a fingerprint"),
        addresses: vec![core::net::SocketAddr::from(([192, 0, 2, 1], 7000))],
    };
    let publisher = offered.answer_publisher(&ours, &[]).map(|answer| (answer.sdp, answer.accepted.len()));
    let stream = |_| Outgoing { ssrc: 1, rtx_ssrc: Some(2), cname: "c".to_owned(), msid: "m t".to_owned() };
    let player = offered.answer_player(&ours, &[], &[], stream).map(|answer| (answer.sdp, answer.accepted.len()));
    for (sdp, accepted) in [publisher, player].into_iter().flatten() {
        let again = Offered::read(sdp.as_bytes()).expect("what is written can be read");
        assert_eq!(again.sections.len(), offered.sections.len());
        assert!(accepted <= again.sections.len());
    }
}
