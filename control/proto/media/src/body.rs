//! Bodies that are made here: what a subscriber is offered, what a publisher is answered.

use std::net::IpAddr;

use raceway_ports::Random;
use raceway_sdp::{Direction, Kind, Protocol};

use crate::call::Sent;

/// An m-line, before our port and keys are written into it.
#[derive(Debug)]
pub(crate) struct Line {
    pub kind: Kind,
    /// None: refused.
    pub media: Option<LineMedia>,
}

/// What is in one that is not refused.
#[derive(Debug)]
pub(crate) struct LineMedia {
    pub feedback: bool,
    /// Formats, and lines that explain them ([`raceway_sdp::MediaSection::encoding`]).
    pub encoding: String,
    pub direction: Direction,
}

/// A body for [`rewrite`](crate::rewrite), which puts ports, protocol, keys and ICE into it. The version is one more than
/// in what was sent before.
pub(crate) fn draft(ip: IpAddr, before: Option<&Sent>, lines: &[Line], random: &mut Random) -> String {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let known = before.and_then(|sent| sent.origin.as_ref());
    let session = known.map_or_else(|| (random.u64() >> 2).to_string(), |origin| origin.session.clone());
    let version = before.map_or(1, |sent| sent.version.wrapping_add(1));
    let mut text = format!("v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nt=0 0\r\n");
    for line in lines {
        let kind = line.kind.name();
        let Some(media) = &line.media else {
            text += &format!("m={kind} 0 RTP/AVP 0\r\nc=IN {family} {ip}\r\n");
            continue;
        };
        let protocol = Protocol::Avp.with_feedback(media.feedback).name();
        let (formats, attributes) = media.encoding.split_once('\n').unwrap_or((&media.encoding, ""));
        text += &format!("m={kind} 9 {protocol} {formats}\r\nc=IN {family} {ip}\r\n");
        attributes.lines().for_each(|attribute| text += &format!("{attribute}\r\n"));
        text += &format!("a={}\r\n", media.direction.name());
    }
    text
}
