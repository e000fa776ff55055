//! A call as a SIP proxy sets it up on rtpengine: offer and answer by the ng protocol (bencode over UDP).

use std::net::SocketAddrV4;

use anyhow::{Context, Result, ensure};

use super::exchange::{Dialogue, Step};

/// A request that is answered by anyone who is there.
pub const PING: &[u8] = b"bench d7:command4:pinge";

/// Ports that the relay has for the two sides of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Where the caller sends to.
    pub caller: u16,
    /// Where the callee sends to.
    pub callee: u16,
}

/// How a call is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// RTP on both sides.
    Plain,
    /// RTP of the caller is made SRTP of the callee (AES_CM_128_HMAC_SHA1_80), with keys in SDP.
    ToSrtp,
}

impl Call {
    /// As in tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Plain => "calls, RTP to RTP",
            Self::ToSrtp => "calls, RTP to SRTP",
        }
    }
}

/// The suite that the callee takes, and its key.
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const KEY: &str = "inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5";

/// A call: offered, then answered.
pub struct Offered {
    number: u32,
    how: Call,
    callee: SocketAddrV4,
    request: Vec<u8>,
    /// Where the callee sends to, once the offer was taken.
    callee_port: Option<u16>,
    ports: Option<Ports>,
}

impl Offered {
    /// One between two ends of media.
    #[must_use]
    pub fn new(number: u32, caller: SocketAddrV4, callee: SocketAddrV4, how: Call) -> Self {
        let request = request(number, "offer", &description(number, caller, "RTP/AVP", None), how);
        Self { number, how, callee, request, callee_port: None, ports: None }
    }

    /// The relay's ports, once it was answered.
    #[must_use]
    pub fn ports(&self) -> Option<Ports> {
        self.ports
    }
}

impl Dialogue for Offered {
    fn request(&self) -> &[u8] {
        &self.request
    }

    fn take(&mut self, answer: &[u8]) -> Result<Step> {
        let cookie = |message: &[u8]| message.split(|octet| *octet == b' ').next().map(<[u8]>::to_vec);
        if cookie(answer) != cookie(&self.request) {
            return Ok(Step::Stray);
        }
        let port = media_port(answer).with_context(|| String::from_utf8_lossy(answer).into_owned())?;
        match self.callee_port {
            None => {
                self.callee_port = Some(port);
                let (profile, line) = match self.how {
                    Call::Plain => ("RTP/AVP", None),
                    Call::ToSrtp => ("RTP/SAVP", Some(format!("a=crypto:{} {SUITE} {KEY}\r\n", tag_of_suite(answer)?))),
                };
                let description = description(self.number, self.callee, profile, line.as_deref());
                self.request = request(self.number, "answer", &description, self.how);
                Ok(Step::Next)
            }
            Some(callee) => {
                self.ports = Some(Ports { caller: port, callee });
                Ok(Step::Done)
            }
        }
    }
}

/// The description that an end of media gives.
fn description(number: u32, media: SocketAddrV4, profile: &str, line: Option<&str>) -> String {
    let ip = media.ip();
    format!(
        "v=0\r\no=- {number} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} {profile} 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n{}",
        media.port(),
        line.unwrap_or_default(),
    )
}

/// A request: a cookie, and a dictionary, whose keys are in order.
fn request(number: u32, command: &str, sdp: &str, how: Call) -> Vec<u8> {
    let (call, from, to) = (format!("call-{number}"), format!("from-{number}"), format!("to-{number}"));
    let mut fields =
        vec![("ICE", "remove"), ("call-id", &call), ("command", command), ("from-tag", &from), ("sdp", sdp)];
    if how == Call::ToSrtp {
        fields.insert(0, ("DTLS", "off"));
    }
    if command == "answer" {
        fields.push(("to-tag", &to));
    }
    match how {
        Call::Plain => {}
        Call::ToSrtp if command == "offer" => fields.push(("transport-protocol", "RTP/SAVP")),
        Call::ToSrtp => fields.push(("transport-protocol", "RTP/AVP")),
    }
    let text = |text: &str| format!("{}:{text}", text.len());
    let fields: String = fields.iter().map(|(key, value)| text(key) + &text(value)).collect();
    // The cookie tells a request from a retransmission.
    format!("{command}{number} d{fields}e").into_bytes()
}

/// The tag under which [`SUITE`] is offered.
fn tag_of_suite(answer: &[u8]) -> Result<u32> {
    let text = std::str::from_utf8(answer)?;
    let mut lines = text.split("a=crypto:").skip(1).filter_map(|line| line.split_once(' '));
    let (tag, _) =
        lines.find(|(_, rest)| rest.starts_with(&format!("{SUITE} "))).context("the suite is not offered")?;
    Ok(tag.parse()?)
}

/// Port of the media line of the description in an answer that says `ok`.
fn media_port(answer: &[u8]) -> Result<u16> {
    let text = std::str::from_utf8(answer)?;
    ensure!(text.contains("6:result2:ok"), "refused");
    let media = text.split("m=audio ").nth(1).context("no media line")?;
    Ok(media.split(' ').next().context("no port")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(command: &str, port: u16) -> Vec<u8> {
        let sdp = format!("v=0\r\nm=audio {port} RTP/AVP 0\r\n");
        format!("{command}7 d3:sdp{}:{sdp}6:result2:oke", sdp.len()).into_bytes()
    }

    #[test]
    fn a_call_is_offered_and_answered() {
        let (caller, callee) = ("10.0.0.1:4000".parse().expect("one"), "10.0.0.2:5000".parse().expect("one"));
        let mut call = Offered::new(7, caller, callee, Call::Plain);
        assert!(call.request().starts_with(b"offer7 d3:ICE6:remove7:call-id6:call-77:command5:offer"));
        assert_eq!(call.take(b"offer8 d6:result2:oke").expect("no error"), Step::Stray);
        assert_eq!(call.take(&answer("offer", 30_000)).expect("taken"), Step::Next);
        assert!(String::from_utf8_lossy(call.request()).contains("m=audio 5000"));
        assert_eq!(call.take(&answer("answer", 30_018)).expect("taken"), Step::Done);
        assert_eq!(call.ports(), Some(Ports { caller: 30_018, callee: 30_000 }));
    }

    #[test]
    fn a_call_towards_srtp_is_answered_with_the_tag_of_its_suite() {
        let (caller, callee) = ("10.0.0.1:4000".parse().expect("one"), "10.0.0.2:5000".parse().expect("one"));
        let mut call = Offered::new(7, caller, callee, Call::ToSrtp);
        assert!(String::from_utf8_lossy(call.request()).ends_with("18:transport-protocol8:RTP/SAVPe"));
        let lines = "m=audio 4 RTP/SAVP 0\r\na=crypto:1 AEAD_AES_256_GCM inline:x\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:y";
        let answer = format!("offer7 d3:sdp{}:{lines}6:result2:oke", lines.len());
        assert_eq!(call.take(answer.as_bytes()).expect("taken"), Step::Next);
        assert!(String::from_utf8_lossy(call.request()).contains("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let (caller, callee) = ("10.0.0.1:4000".parse().expect("one"), "10.0.0.2:5000".parse().expect("one"));
        let mut call = Offered::new(7, caller, callee, Call::Plain);
        assert!(call.take(b"offer7 d6:result5:error12:error-reason4:fulle").is_err());
    }
}
