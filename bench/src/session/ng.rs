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

/// A call: offered, then answered.
pub struct Call {
    number: u32,
    callee: SocketAddrV4,
    request: Vec<u8>,
    /// Where the callee sends to, once the offer was taken.
    callee_port: Option<u16>,
    ports: Option<Ports>,
}

impl Call {
    /// One between two ends of media.
    #[must_use]
    pub fn new(number: u32, caller: SocketAddrV4, callee: SocketAddrV4) -> Self {
        let request = request(number, "offer", caller);
        Self { number, callee, request, callee_port: None, ports: None }
    }

    /// The relay's ports, once it was answered.
    #[must_use]
    pub fn ports(&self) -> Option<Ports> {
        self.ports
    }
}

impl Dialogue for Call {
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
                self.request = request(self.number, "answer", self.callee);
                Ok(Step::Next)
            }
            Some(callee) => {
                self.ports = Some(Ports { caller: port, callee });
                Ok(Step::Done)
            }
        }
    }
}

/// A request: a cookie, and a dictionary.
fn request(number: u32, command: &str, media: SocketAddrV4) -> Vec<u8> {
    let ip = media.ip();
    let sdp = format!(
        "v=0\r\no=- {number} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n",
        media.port(),
    );
    let (call, from, to) = (format!("call-{number}"), format!("from-{number}"), format!("to-{number}"));
    let mut fields =
        vec![("ICE", "remove"), ("call-id", &call), ("command", command), ("from-tag", &from), ("sdp", &sdp)];
    if command == "answer" {
        fields.push(("to-tag", &to));
    }
    let text = |text: &str| format!("{}:{text}", text.len());
    let fields: String = fields.iter().map(|(key, value)| text(key) + &text(value)).collect();
    // The cookie tells a request from a retransmission.
    format!("{command}{number} d{fields}e").into_bytes()
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
        let mut call = Call::new(7, caller, callee);
        assert!(call.request().starts_with(b"offer7 d3:ICE6:remove7:call-id6:call-77:command5:offer"));
        assert_eq!(call.take(b"offer8 d6:result2:oke").expect("no error"), Step::Stray);
        assert_eq!(call.take(&answer("offer", 30_000)).expect("taken"), Step::Next);
        assert!(String::from_utf8_lossy(call.request()).contains("m=audio 5000"));
        assert_eq!(call.take(&answer("answer", 30_018)).expect("taken"), Step::Done);
        assert_eq!(call.ports(), Some(Ports { caller: 30_018, callee: 30_000 }));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let (caller, callee) = ("10.0.0.1:4000".parse().expect("one"), "10.0.0.2:5000".parse().expect("one"));
        let mut call = Call::new(7, caller, callee);
        assert!(call.take(b"offer7 d6:result5:error12:error-reason4:fulle").is_err());
    }
}
