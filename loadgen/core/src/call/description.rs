//! What the parties of a call say of their media (RFC 8866, RFC 4568), and what the relay makes of it.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::str::FromStr;

use raceway_sdp::Sdp;
use raceway_srtp::{MasterKey, Suite, sdes};

use crate::profile::Profile;
use crate::track::Media;

/// How a party has its media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// `RTP/AVP`: as it is.
    #[default]
    Avp,
    /// `RTP/SAVP`: as SRTP, with keys in the descriptions.
    Savp,
}

/// Why a text is no [`Transport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write RTP/AVP, or RTP/SAVP for SRTP")]
pub struct TransportError;

impl Transport {
    /// As in an m-line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Savp => "RTP/SAVP",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        let all = [Self::Avp, Self::Savp];
        all.into_iter().find(|transport| transport.name().eq_ignore_ascii_case(text)).ok_or(TransportError)
    }
}

/// What is sent, as descriptions name it: the words of the m-line, and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    kind: &'static str,
    payload_types: String,
    attributes: String,
}

impl Formats {
    /// Those of a profile.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        let (mut payload_types, mut attributes) = (String::new(), String::new());
        let mut kind = "audio";
        let mut add = |payload_type: u8, encoding: &str, rate: u32| {
            let name = format!("{payload_type} {encoding}/{rate}");
            if !attributes.contains(&name) {
                // Writing to a String does not fail.
                let _ = write!(payload_types, " {payload_type}");
                let _ = write!(attributes, "a=rtpmap:{name}{}\r\n", if encoding == "opus" { "/2" } else { "" });
            }
        };
        for track in profile.tracks() {
            kind = if track.media == Media::Video { "video" } else { "audio" };
            add(track.payload_type, track.encoding, track.clock_rate);
            if let Some(events) = track.event_payload_type() {
                add(events, "telephone-event", 8_000);
            }
        }
        Self { kind, payload_types, attributes }
    }
}

/// A party of a call.
#[derive(Clone, Debug)]
pub struct Party {
    /// Where it sends from and receives.
    pub media: SocketAddr,
    /// What it sends with; without, its media is plain RTP.
    pub key: Option<MasterKey>,
}

impl Party {
    /// How it has its media.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        if self.key.is_some() { Transport::Savp } else { Transport::Avp }
    }

    /// Its description. `tag` is the number of its `a=crypto` line; `mux` if it has RTCP on the port of RTP.
    pub(super) fn describe(&self, formats: &Formats, session: u64, tag: u32, mux: bool) -> String {
        let family = if self.media.is_ipv4() { "IP4" } else { "IP6" };
        let (ip, port, name) = (self.media.ip(), self.media.port(), self.transport().name());
        let Formats { kind, payload_types, attributes } = formats;
        let mut text = format!(
            "v=0\r\no=- {session} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m={kind} {port} {name}{payload_types}\r\n{attributes}a=sendrecv\r\n"
        );
        if mux {
            text += "a=rtcp-mux\r\n";
        }
        if let Some(key) = &self.key {
            // Writing to a String does not fail.
            let _ = write!(text, "a=crypto:{tag} {} {}\r\n", key.suite(), *sdes::write(key));
        }
        text
    }
}

/// What the relay tells a party of the other side's media: in truth its own.
#[derive(Clone, Debug)]
pub struct Told {
    /// Where media goes.
    pub to: SocketAddr,
    /// RTCP goes there too.
    pub mux: bool,
    /// What comes back is protected with this.
    pub key: Option<MasterKey>,
    /// Number of the `a=crypto` line that has the key.
    pub tag: u32,
}

impl Told {
    /// Reads what a party is told.
    ///
    /// # Errors
    /// It can do nothing with it, and why.
    pub(super) fn read(sdp: &[u8], party: &Party) -> Result<Self, String> {
        let unusable = |error| format!("its description cannot be read: {error}");
        let description = Sdp::parse(sdp).and_then(|sdp| sdp.describe()).map_err(unusable)?;
        let media = description.media.first().ok_or("its description has no media")?;
        if media.is_refused() {
            return Err("it refuses the media with port 0".to_owned());
        }
        let to = media.rtp.filter(|to| !to.ip().is_unspecified()).ok_or("its description has no address")?;
        if media.protocol.is_secure() != party.key.is_some() {
            let (asked, got) = (party.transport(), media.protocol.name());
            return Err(format!("its description has {got} where {asked} was asked for"));
        }
        let Some(ours) = &party.key else { return Ok(Self { to, mux: media.rtcp_mux, key: None, tag: 0 }) };
        let same = |crypto: &&raceway_sdp::Crypto| Suite::from_name(crypto.suite.name()) == Some(ours.suite());
        let line = media.crypto.iter().find(same).ok_or_else(|| format!("it does not offer {}", ours.suite()))?;
        let (key, salt) = line.material.octets().split_at(ours.suite().key_octets());
        let mki = line.mki.map(|(value, octets)| value.to_be_bytes()[4 - usize::from(octets.min(4))..].to_vec());
        let key = MasterKey::new(ours.suite(), key, salt).and_then(|key| key.with_mki(&mki.unwrap_or_default()));
        let key = key.map_err(|error| format!("its key cannot be used: {error}"))?;
        Ok(Self { to, mux: media.rtcp_mux, key: Some(key), tag: line.tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(profile: &str) -> Formats {
        Formats::of(&profile.parse().unwrap())
    }

    fn party(suite: Option<Suite>) -> Party {
        let key = suite
            .map(|suite| MasterKey::new(suite, &vec![1; suite.key_octets()], &vec![2; suite.salt_octets()]).unwrap());
        Party { media: "10.0.0.1:4000".parse().unwrap(), key }
    }

    #[test]
    fn a_party_is_told_what_another_one_says() {
        for suite in Suite::ALL.map(Some).into_iter().chain([None]) {
            let party = party(suite);
            let told = Told::read(party.describe(&formats("pcmu"), 7, 3, true).as_bytes(), &party).unwrap();
            assert_eq!((told.to, told.mux, told.key.is_some()), (party.media, true, suite.is_some()));
            assert!(told.tag == 3 || suite.is_none());
            let octets = |key: Option<MasterKey>| key.map(|key| [key.key(), key.salt()].concat());
            assert_eq!(octets(told.key), octets(party.key.clone()));
        }
    }

    #[test]
    fn codecs_have_their_names_once() {
        let all = formats("telephone-event");
        assert_eq!(all.payload_types, " 0 101");
        assert_eq!(all.attributes, "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n");
        let layers = formats("simulcast");
        assert_eq!((layers.kind, layers.attributes.matches("rtpmap").count()), ("video", 1));
        assert!(formats("opus").attributes.contains("opus/48000/2"));
    }

    #[test]
    fn what_a_party_cannot_use_is_said() {
        let says = |sdp: &str, suite| Told::read(sdp.as_bytes(), &party(suite)).unwrap_err();
        let head = "v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n";
        let key = "inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5";
        let line = format!("{head}m=audio 9 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}\r\n");
        assert!(says("rubbish", None).contains("cannot be read"));
        assert!(says(head, None).contains("no media"));
        assert!(says(&format!("{head}m=audio 0 RTP/AVP 0\r\n"), None).contains("port 0"));
        assert!(
            says(&format!("{head}m=audio 9 RTP/AVP 0\r\n").replace("10.0.0.9", "0.0.0.0"), None).contains("address")
        );
        assert!(says(&line, None).contains("RTP/SAVP where RTP/AVP"));
        assert!(says(&line, Some(Suite::AeadAes256Gcm)).contains("does not offer AEAD_AES_256_GCM"));
        Told::read(line.as_bytes(), &party(Some(Suite::Aes128CmSha1_80))).unwrap();
    }

    #[test]
    fn transports_are_read_by_their_names() {
        assert_eq!("rtp/savp".parse(), Ok(Transport::Savp));
        assert_eq!("RTP/AVP".parse(), Ok(Transport::Avp));
        assert_eq!("SRTP".parse::<Transport>(), Err(TransportError));
    }
}
