//! `rtpp-flags`: a proxy's flags as one string, which newer proxies leave to us to take apart.
//!
//! Words between spaces: a bare one is a flag or part of a transport protocol, `key=value` is a key, and a value in
//! brackets is a list (`[a b]`) or a dictionary (`[a=b c=[d e]]`). Source: rtpengine's `control_ng_flags_parser.c`, which
//! is where this is documented.

use std::borrow::Cow;

use crate::entry::{Place, Wrong};
use crate::fields::{Fields, quoted};
use crate::keys;
use crate::limits;
use crate::options::Protocol;
use crate::value::Value;

/// Takes apart a string of flags and takes each.
pub(crate) fn take(fields: &mut Fields, value: &Value<'_>) -> Result<(), Wrong> {
    let Some(text) = value.text() else { return Err(Wrong::Refuse("a string in UTF-8 is expected".to_owned())) };
    let mut words = Words { rest: text, values: 0 };
    let mut transport = Parts::default();
    let mut directions = 0;
    while let Some(word) = words.next_word()? {
        if word.value.is_none() && transport.take(word.name) {
            continue;
        }
        if let Some(name) = direction(&word) {
            interface(fields, &mut directions, name)?;
            continue;
        }
        match word.value {
            None => fields.word(Place::Flags, word.name),
            Some(value) => one(fields, word.name, &value)?,
        }
    }
    match transport.protocol() {
        Some(protocol) => keys::transport(fields, &Value::from(protocol.as_str())),
        None => Ok(()),
    }
}

/// A key, or a flag that is written as one: `codec-strip=PCMU`, `transcode=PCMA`.
fn one(fields: &mut Fields, name: &str, value: &Value<'_>) -> Result<(), Wrong> {
    if name == "transcode" || name.starts_with("codec-") {
        fields.word(Place::Flags, &format!("{}-{}", name, value.text().unwrap_or_default()));
        return Ok(());
    }
    fields.key(name, value).map_err(|refusal| Wrong::Refuse(refusal.to_string()))
}

/// `internal`, `external`, and each `direction=NAME`: first the side that the SDP is from, then the other.
fn direction<'w>(word: &'w Word<'_>) -> Option<&'w str> {
    match (word.name, &word.value) {
        (name @ ("internal" | "external"), None) => Some(name),
        ("direction", Some(value)) => value.text(),
        _ => None,
    }
}

fn interface(fields: &mut Fields, directions: &mut usize, name: &str) -> Result<(), Wrong> {
    let side = match *directions {
        0 => &mut fields.options.interface_from,
        1 => &mut fields.options.interface_to,
        _ => return Err(Wrong::Refuse("more than two directions".to_owned())),
    };
    *side = Some(crate::fields::name(&Value::from(name))?);
    *directions += 1;
    Ok(())
}

/// A transport protocol that is put together from words.
#[derive(Default)]
struct Parts {
    any: bool,
    secure: bool,
    feedback: bool,
    tls: bool,
}

impl Parts {
    fn take(&mut self, word: &str) -> bool {
        match word {
            "RTP" => self.secure = false,
            "AVP" => self.feedback = false,
            "SRTP" => self.secure = true,
            "AVPF" => self.feedback = true,
            "DTLS" => self.tls = true,
            whole => {
                let Some(protocol) = Protocol::parse(whole) else { return false };
                self.secure = !matches!(protocol, Protocol::Avp | Protocol::Avpf);
                self.feedback = matches!(protocol, Protocol::Avpf | Protocol::Savpf | Protocol::TlsSavpf);
                self.tls = matches!(protocol, Protocol::TlsSavp | Protocol::TlsSavpf);
            }
        }
        self.any = true;
        true
    }

    fn protocol(&self) -> Option<Protocol> {
        self.any.then_some(match (self.tls, self.secure, self.feedback) {
            (true, _, false) => Protocol::TlsSavp,
            (true, _, true) => Protocol::TlsSavpf,
            (false, true, false) => Protocol::Savp,
            (false, true, true) => Protocol::Savpf,
            (false, false, false) => Protocol::Avp,
            (false, false, true) => Protocol::Avpf,
        })
    }
}

struct Word<'a> {
    name: &'a str,
    value: Option<Value<'a>>,
}

struct Words<'a> {
    rest: &'a str,
    values: usize,
}

impl<'a> Words<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn next_word(&mut self) -> Result<Option<Word<'a>>, Wrong> {
        self.skip_spaces();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find([' ', '=']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        let Some(rest) = rest.strip_prefix('=') else {
            self.rest = rest;
            return Ok(Some(Word { name, value: None }));
        };
        self.rest = rest;
        if name.is_empty() {
            return Err(Wrong::Refuse("\"=\" without a name before it".to_owned()));
        }
        let value = self.value(&[' '], 0)?;
        Ok(Some(Word { name, value: Some(value) }))
    }

    /// A text up to one of `ends`, or what is in brackets; `depth` brackets are open.
    fn value(&mut self, ends: &[char], depth: usize) -> Result<Value<'a>, Wrong> {
        self.values += 1;
        if self.values > limits::VALUES_MAX {
            return Err(Wrong::Refuse(format!("more than {} values", limits::VALUES_MAX)));
        }
        let Some(rest) = self.rest.strip_prefix('[') else {
            let end = self.rest.find(ends).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(Value::from(text));
        };
        if depth == limits::DEPTH_MAX {
            return Err(Wrong::Refuse(format!("brackets are nested more than {} deep", limits::DEPTH_MAX)));
        }
        self.rest = rest;
        self.skip_spaces();
        // What the first element is decides, as it does in rtpengine.
        let first = self.rest.split([' ', ']']).next().unwrap_or_default();
        if !first.starts_with('[') && first.contains('=') { self.dictionary(depth) } else { self.list(depth) }
    }

    /// Whether the bracket is closed, which is then passed.
    fn closed(&mut self) -> Result<bool, Wrong> {
        self.skip_spaces();
        match self.rest.strip_prefix(']') {
            Some(rest) => {
                self.rest = rest;
                Ok(true)
            }
            None if self.rest.is_empty() => Err(Wrong::Refuse("a bracket is not closed".to_owned())),
            None => Ok(false),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, Wrong> {
        let mut items = Vec::new();
        while !self.closed()? {
            items.push(self.value(&[' ', ']'], depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value<'a>, Wrong> {
        let mut pairs: Vec<(Cow<'a, [u8]>, Value<'a>)> = Vec::new();
        while !self.closed()? {
            let end = self.rest.find([' ', '=', ']']).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            let Some(rest) = rest.strip_prefix('=') else {
                return Err(Wrong::Refuse(format!("{} has no value in its brackets", quoted(name))));
            };
            self.rest = rest;
            if pairs.len() == limits::KEYS_MAX {
                return Err(Wrong::Refuse(format!("more than {} keys in brackets", limits::KEYS_MAX)));
            }
            let value = self.value(&[' ', ']'], depth + 1)?;
            pairs.push((Cow::Borrowed(name.as_bytes()), value));
        }
        Ok(Value::Dictionary(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{AttributeChange, Family, Ice, Scope, Transport};

    fn taken(text: &str) -> Fields {
        let mut fields = Fields::default();
        assert!(take(&mut fields, &Value::from(text)).is_ok(), "{text}");
        fields
    }

    fn refused(text: &str) -> String {
        match take(&mut Fields::default(), &Value::from(text)) {
            Err(Wrong::Refuse(what) | Wrong::Warn(what)) => what,
            Ok(()) => panic!("{text} was taken"),
        }
    }

    #[test]
    fn words_keys_and_lists_are_told_apart() {
        let fields = taken(
            "trust-address  replace-origin ICE=force address-family=IP6 rtcp-mux=[offer require] label=a TOS=184 \
             sdp-attr=[audio=[add=[ptime:20 x] remove=[y]]] strict-source",
        );
        assert_eq!(fields.warnings.text(), None);
        let options = fields.options;
        assert!(options.replace.origin && options.rtcp_mux.require && options.strict_source);
        assert_eq!((options.ice, options.address_family), (Some(Ice::Force), Some(Family::Ipv6)));
        assert_eq!((options.label.as_deref(), options.tos), (Some("a"), Some(184)));
        let changes = [
            (Scope::Audio, AttributeChange::Add("ptime:20".to_owned())),
            (Scope::Audio, AttributeChange::Add("x".to_owned())),
            (Scope::Audio, AttributeChange::Remove("y".to_owned())),
        ];
        assert_eq!(options.attributes, changes);
    }

    #[test]
    fn a_transport_is_whole_or_in_parts() {
        let transport = |text: &str| taken(text).options.transport;
        for protocol in Protocol::ALL {
            assert_eq!(transport(protocol.as_str()), Some(Transport::As(protocol)));
        }
        assert_eq!(transport("SRTP AVPF"), Some(Transport::As(Protocol::Savpf)));
        assert_eq!(transport("DTLS AVPF"), Some(Transport::As(Protocol::TlsSavpf)));
        assert_eq!(transport("RTP/SAVPF RTP"), Some(Transport::As(Protocol::Avpf)));
        assert_eq!(transport("DTLS=passive"), None);
    }

    #[test]
    fn the_first_direction_is_the_side_that_the_sdp_is_from() {
        let sides = |text: &str| {
            let options = taken(text).options;
            (options.interface_from.unwrap_or_default(), options.interface_to.unwrap_or_default())
        };
        let both = ("int".to_owned(), "ext".to_owned());
        assert_eq!(sides("direction=int direction=ext"), both);
        assert_eq!(sides("direction=[int ext]"), both);
        assert_eq!(sides("internal external"), ("internal".to_owned(), "external".to_owned()));
        assert_eq!(refused("internal external internal"), "more than two directions");
    }

    #[test]
    fn what_is_not_supported_is_warned_about_here_too() {
        let warning = taken("codec-mask=PCMU transcode=opus template=x nonsense").warnings.text().expect("warnings");
        for part in ["mask-PCMU", "transcode-opus", "template is not supported", "\"nonsense\" is not known"] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
        assert_eq!(taken("codec-strip=PCMU codec-strip=opus").options.codecs.strip, ["PCMU", "opus"]);
    }

    #[test]
    fn brackets_have_an_end_and_a_depth() {
        assert_eq!(refused("rtcp-mux=[offer"), "a bracket is not closed");
        assert!(refused(&format!("rtcp-mux={}", "[".repeat(60_000))).contains("16 deep"));
        assert!(refused("sdp-attr=[a=b c]").contains("\"c\" has no value"));
        assert!(refused("=x").contains("without a name"));
        assert!(refused(&format!("rtcp-mux=[{}]", "a ".repeat(5000))).contains("4096 values"));
    }
}
