//! Commands to the relay and its answers: a cookie, and a dictionary in bencode.

use raceway_ng::{Dictionary, Value, bencode};

use super::description::Transport;
use super::figures::Stage;

/// Which command of which call a message belongs to. It is the cookie, by which relays tell a command from one that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    /// Number of the run.
    pub run: u32,
    /// Number of the call.
    pub call: u32,
    /// How often it was made before.
    pub turn: u32,
    /// What it asks for.
    pub stage: Stage,
}

impl Cookie {
    fn write(self) -> String {
        let Self { run, call, turn, stage } = self;
        format!("{run:08x}.{call}.{turn}.{}", stage.letter())
    }

    fn read(text: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(text).ok()?.split('.');
        let run = u32::from_str_radix(parts.next()?, 16).ok()?;
        let (call, turn) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let stage = Stage::of_letter(parts.next()?)?;
        parts.next().is_none().then_some(Self { run, call, turn, stage })
    }
}

/// Writes a command with what belongs to it.
pub(super) fn write(cookie: Cookie, sdp: Option<(&str, Transport)>, out: &mut Vec<u8>) {
    let Cookie { run, call, turn, stage } = cookie;
    let named = Dictionary::default()
        .with("command", stage.name())
        .with("call-id", format!("{run:08x}-{call}-{turn}@loadgen"))
        .with("from-tag", format!("a{call}"));
    let command = match (stage, sdp) {
        (Stage::Delete, _) | (_, None) => named.with("delete delay", 0i64),
        (_, Some((sdp, other_side))) => {
            let named = if stage == Stage::Answer { named.with("to-tag", format!("b{call}")) } else { named };
            named
                .with("sdp", sdp)
                .with("ICE", "remove")
                .with("DTLS", "off")
                .with("rtcp-mux", ["accept", "offer"].into_iter().collect::<Value<'_>>())
                .with("transport-protocol", other_side.name())
        }
    };
    out.clear();
    out.extend_from_slice(cookie.write().as_bytes());
    out.push(b' ');
    bencode::write(&command.into(), out);
}

/// The command that anyone answers who is there; `cookie` comes back.
#[must_use]
pub fn ping(cookie: &str) -> Vec<u8> {
    let mut out = format!("{cookie} ").into_bytes();
    bencode::write(&Dictionary::default().with("command", "ping").into(), &mut out);
    out
}

/// What the relay says to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was carried out.
    Ok {
        /// The description for the other side.
        sdp: Option<Vec<u8>>,
        /// RTP packets that it counted at all ports of the call, and those that went no further.
        counted: Option<(u64, u64)>,
    },
    /// It was not, and why.
    Refused(String),
}

/// Octets of a reason that are kept.
const REASON_MAX: usize = 120;

/// Reads a message of the relay: its cookie, and what it says.
#[must_use]
pub fn reply(datagram: &[u8]) -> Option<(&[u8], Reply)> {
    let at = datagram.iter().position(|octet| *octet == b' ')?;
    let (cookie, rest) = datagram.split_at(at);
    let (answer, _) = bencode::read(&rest[1..]).ok()?;
    let text = |key: &str| answer.get(key).and_then(Value::text);
    let reply = match text("result")? {
        "ok" | "pong" => {
            let sdp = answer.get("sdp").and_then(|sdp| match sdp {
                Value::Text(octets) => Some(octets.to_vec()),
                Value::Integer(_) | Value::List(_) | Value::Dictionary(_) => None,
            });
            let counter = |key: &str| {
                let rtp = answer.get("totals")?.get("RTP")?;
                rtp.get(key)?.integer().and_then(|number| u64::try_from(number).ok())
            };
            Reply::Ok { sdp, counted: counter("packets").map(|packets| (packets, counter("errors").unwrap_or(0))) }
        }
        result => {
            let reason = text("error-reason").unwrap_or(result);
            Reply::Refused(reason.chars().take(REASON_MAX).collect())
        }
    };
    Some((cookie, reply))
}

/// Which command of ours a message answers, and what it says.
pub(super) fn read(datagram: &[u8]) -> Option<(Cookie, Reply)> {
    let (cookie, reply) = reply(datagram)?;
    Some((Cookie::read(cookie)?, reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: Cookie = Cookie { run: 0xbeef, call: 7, turn: 2, stage: Stage::Answer };

    #[test]
    fn a_command_names_its_call_and_what_the_other_side_is_to_get() {
        let mut out = Vec::new();
        write(COOKIE, Some(("v=0", Transport::Savp)), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "0000beef.7.2.a d7:command6:answer7:call-id20:0000beef-7-2@loadgen8:from-tag2:a76:to-tag2:b73:sdp3:v=0\
             3:ICE6:remove4:DTLS3:off8:rtcp-muxl6:accept5:offere18:transport-protocol8:RTP/SAVPe"
        );
    }

    #[test]
    fn an_answer_is_known_by_its_cookie() {
        let (cookie, reply) = read(b"0000beef.7.2.a d3:sdp3:v=06:result2:oke").unwrap();
        assert_eq!((cookie, reply), (COOKIE, Reply::Ok { sdp: Some(b"v=0".to_vec()), counted: None }));
        let refused = b"0000beef.7.2.a d6:result5:error12:error-reason4:fulle";
        assert_eq!(read(refused).unwrap().1, Reply::Refused("full".to_owned()));
        let counted = b"0000beef.7.2.d d6:result2:ok6:totalsd3:RTPd7:packetsi500e6:errorsi3eeee";
        assert_eq!(read(counted).unwrap().1, Reply::Ok { sdp: None, counted: Some((500, 3)) });
    }

    #[test]
    fn what_answers_nothing_is_left() {
        let strangers = [
            &b""[..],
            b"x",
            b"x d6:result2:oke",
            b"0000beef.7.2.a de",
            b"0000beef.7.2.x d6:result2:oke",
            b"0000beef.7.2.a",
        ];
        assert!(strangers.iter().all(|datagram| read(datagram).is_none()));
    }
}
