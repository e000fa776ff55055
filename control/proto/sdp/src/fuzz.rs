//! Fuzz entry.

use std::net::Ipv4Addr;

use crate::crypto::{Crypto, KeyMaterial, Suite};
use crate::formats::{CodecName, Selection};
use crate::fragment::fragments;
use crate::ice::IceCredentials;
use crate::limits;
use crate::media::Direction;
use crate::protocol::Protocol;
use crate::session::Sdp;

/// Any octets as a body.
///
/// What is read comes back octet for octet; what was changed in every way is a body again, and means what was said.
pub fn fuzz(data: &[u8]) {
    if let Ok(fragments) = fragments(data) {
        assert!(fragments.len() <= limits::MEDIA_MAX);
    }
    let Ok(sdp) = Sdp::parse(data) else { return };
    assert_eq!(sdp.encode(), data, "octet for octet");
    let before = sdp.describe();
    let mut changed = sdp.clone();
    change(&mut changed);
    let body = changed.encode();
    let grown = sdp.media().len() * 1024 + 1024;
    if body.len() > limits::BODY_MAX || data.len() + grown > limits::BODY_MAX {
        return;
    }
    let Ok(read) = Sdp::parse(&body) else {
        let lines = body.iter().filter(|octet| **octet == b'\n').count();
        assert!(lines >= limits::LINES_MAX, "a changed body is a body: {:?}", String::from_utf8_lossy(&body));
        return;
    };
    assert_eq!(read.text(), changed.text());
    if before.is_ok()
        && let Ok(description) = read.describe()
    {
        for media in &description.media {
            assert_eq!((media.port, media.protocol, media.direction), (30_000, Protocol::Savp, Direction::SendOnly));
            assert_eq!(media.rtp, Some((Ipv4Addr::LOCALHOST, 30_000).into()));
            assert_eq!(media.crypto.len(), 1);
            assert_eq!(media.ice.credentials.as_ref().map(|ice| &*ice.fragment), Some("abcd"));
        }
    }
}

fn change(sdp: &mut Sdp<'_>) {
    sdp.remove_ice();
    sdp.set_bundles(&[vec!["a".to_owned()]]);
    if let Some(mut origin) = sdp.origin() {
        origin.set_ip(Ipv4Addr::LOCALHOST.into());
        sdp.set_origin(&origin);
    }
    sdp.set_session_name("-");
    sdp.session_mut().set_connection(Ipv4Addr::LOCALHOST.into());
    let material = KeyMaterial::new(Suite::AesGcm128, &[3; 28]).expect("16 and 12");
    let crypto = Crypto { tag: 1, suite: Suite::AesGcm128, material, mki: None };
    let credentials = IceCredentials { fragment: "abcd".to_owned(), password: "abcdefghijklmnopqrstuv".to_owned() };
    let selection = Selection {
        strip: vec![CodecName::of("0")],
        offer: vec![CodecName::of("opus")],
        single: true,
        ..Selection::default()
    };
    for media in sdp.media_mut() {
        media.select(&selection);
        media.refuse();
        media.set_port(30_000);
        media.set_protocol(Protocol::Savp);
        media.set_rtcp(Some((30_001, Some(Ipv4Addr::LOCALHOST.into()))));
        media.set_rtcp_mux(true);
        media.set_direction(Direction::SendOnly);
        media.section_mut().set_connection(Ipv4Addr::LOCALHOST.into());
        media.add_crypto(std::slice::from_ref(&crypto), true);
        media.add_ice(&credentials, &[], true);
    }
}
