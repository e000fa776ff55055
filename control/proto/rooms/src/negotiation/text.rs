//! Session descriptions as they are written.

use core::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use raceway_sdp::Fingerprint;

use super::codec::Format;
use super::extension::Extension;

/// What is ours in a description, the same for all its media sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// A number of the session that others do not have (RFC 8866 section 5.2).
    pub session: u64,
    /// One more with each description.
    pub version: u64,
    /// ICE user name.
    pub fragment: String,
    /// ICE password.
    pub password: String,
    /// Of our certificate.
    pub fingerprint: Fingerprint,
    /// Where media is taken; the first is the default.
    pub addresses: Vec<SocketAddr>,
}

/// A stream that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Synchronisation source.
    pub ssrc: u32,
    /// The one of what is sent again.
    pub rtx_ssrc: Option<u32>,
    /// Who sends: what the same one sends is played together (RFC 3550 section 6.5.1).
    pub cname: String,
    /// The media stream and the track in it (RFC 8830).
    pub msid: String,
}

impl Outgoing {
    /// The same where nothing is sent again if there is no payload type for it.
    pub(crate) fn for_format(self, format: &Format) -> Self {
        Self { rtx_ssrc: self.rtx_ssrc.filter(|_| format.rtx.is_some()), ..self }
    }
}

/// A description in the making.
pub(crate) struct Text(String);

macro_rules! line {
    ($text:expr, $($rest:tt)*) => {{
        write!($text.0, $($rest)*).expect("a string takes all");
        $text.0.push_str("\r\n");
    }};
}

impl Text {
    /// The part before media. We are lite: reached at our own addresses, and never the one who checks (RFC 8445 section 2.5).
    pub(crate) fn begin(ours: &Ours, mids: &[&str]) -> Self {
        let mut text = Self(String::new());
        line!(text, "v=0");
        line!(text, "o=- {} {} IN IP4 127.0.0.1", ours.session, ours.version);
        line!(text, "s=-");
        line!(text, "t=0 0");
        if !mids.is_empty() {
            line!(text, "a=group:BUNDLE {}", mids.join(" "));
        }
        line!(text, "a=extmap-allow-mixed");
        line!(text, "a=msid-semantic: WMS *");
        line!(text, "a=ice-lite");
        text
    }

    /// The m-line and what all media sections have.
    pub(crate) fn media(&mut self, ours: &Ours, is_audio: bool, mid: &str, formats: &[&Format], setup: &str) {
        let default = ours.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 9)));
        let numbers = formats.iter().flat_map(|format| [Some(format.payload_type), format.red, format.rtx]).flatten();
        let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
        let kind = if is_audio { "audio" } else { "video" };
        line!(self, "m={kind} {} UDP/TLS/RTP/SAVPF {}", default.port(), numbers.join(" "));
        let family = if default.ip().is_ipv4() { "IP4" } else { "IP6" };
        line!(self, "c=IN {family} {}", default.ip());
        line!(self, "a=ice-ufrag:{}", ours.fragment);
        line!(self, "a=ice-pwd:{}", ours.password);
        line!(self, "a=fingerprint:{}", ours.fingerprint);
        line!(self, "a=setup:{setup}");
        line!(self, "a=mid:{mid}");
        line!(self, "a=rtcp-mux");
        line!(self, "a=rtcp-rsize");
        for (index, address) in ours.addresses.iter().enumerate() {
            line!(self, "a=candidate:{}", candidate(index, *address));
        }
        line!(self, "a=end-of-candidates");
    }

    pub(crate) fn formats(&mut self, formats: &[&Format]) {
        for format in formats {
            let number = format.payload_type;
            line!(self, "a=rtpmap:{number} {}", format.codec.rtpmap());
            if let Some(parameters) = &format.parameters {
                line!(self, "a=fmtp:{number} {parameters}");
            }
            for feedback in &format.feedback {
                line!(self, "a=rtcp-fb:{number} {feedback}");
            }
            if let Some(red) = format.red {
                line!(self, "a=rtpmap:{red} red/{}/2", format.codec.clock_hz());
                line!(self, "a=fmtp:{red} {number}/{number}");
            }
            if let Some(rtx) = format.rtx {
                line!(self, "a=rtpmap:{rtx} rtx/{}", format.codec.clock_hz());
                line!(self, "a=fmtp:{rtx} apt={number}");
            }
        }
    }

    pub(crate) fn extensions(&mut self, extensions: &[(u8, Extension)]) {
        for (id, extension) in extensions {
            line!(self, "a=extmap:{id} {}", extension.uri());
        }
    }

    pub(crate) fn encodings(&mut self, names: &[String]) {
        for name in names {
            line!(self, "a=rid:{name} recv");
        }
        if !names.is_empty() {
            line!(self, "a=simulcast:recv {}", names.join(";"));
        }
    }

    pub(crate) fn outgoing(&mut self, outgoing: &Outgoing) {
        let Outgoing { ssrc, rtx_ssrc, cname, msid } = outgoing;
        line!(self, "a=msid:{msid}");
        if let Some(rtx) = rtx_ssrc {
            line!(self, "a=ssrc-group:FID {ssrc} {rtx}");
        }
        for ssrc in [Some(*ssrc), *rtx_ssrc].into_iter().flatten() {
            line!(self, "a=ssrc:{ssrc} cname:{cname}");
            line!(self, "a=ssrc:{ssrc} msid:{msid}");
        }
    }

    pub(crate) fn refused(&mut self, line: &str, mid: Option<&str>) {
        line!(self, "m={line}");
        line!(self, "c=IN IP4 0.0.0.0");
        if let Some(mid) = mid {
            line!(self, "a=mid:{mid}");
        }
        line!(self, "a=inactive");
    }

    pub(crate) fn word(&mut self, word: &str) {
        line!(self, "a={word}");
    }

    pub(crate) fn end(self) -> String {
        self.0
    }
}

/// A host candidate of RTP with RTCP (RFC 8839 section 5.1); addresses of one family are preferred in their order.
pub(crate) fn candidate(index: usize, address: SocketAddr) -> String {
    let index = u32::try_from(index).unwrap_or(u32::MAX).min(255);
    // RFC 8445 section 5.1.2.1: type 126, IPv6 before IPv4 is left to the order of the addresses.
    let priority = (126 << 24) | ((65_535 - index) << 8) | 255;
    let ip: IpAddr = address.ip();
    format!("{} 1 udp {priority} {ip} {} typ host", index + 1, address.port())
}
