//! Every key of a message.

use core::time::Duration;
use std::str::FromStr;

use crate::command::All;
use crate::entry::Place::{Codec, Key};
use crate::entry::{Entry, Place, Wrong, begins, key, moot, no, no_rest_in, word, words};
use crate::fields::{Fields, name, names, one_of, quoted, text, unescaped};
use crate::limits;
use crate::options::{AttributeChange, Family, Metadata, Protocol, Scope, Transport};
use crate::value::Value;

const NO_CODECS: &str = "nothing is transcoded";
const NO_PLAYER: &str = "nothing is played into a call";
const NO_DSP: &str = "audio is not decoded, so DTMF in it is neither found nor replaced";
const NAMED_ITSELF: &str = "recordings are named by Raceway";

/// Keys, in the order of their names.
pub(crate) const KEYS: &[Entry] = &[
    key(&["address"], |f, v| address(v).map(|a| f.address = Some(a))),
    key(&["address family"], |f, v| {
        let family = one_of(v, &[("IP4", Family::Ipv4), ("IP6", Family::Ipv6)])?;
        f.options.address_family = Some(family);
        Ok(())
    }),
    words(&["all"], Place::All),
    no(Key, &["alias-key"], "parties are found by their tags"),
    no(Key, &["audio player", "player"], NO_PLAYER),
    no(Key, &["blob", "blob64"], NO_PLAYER),
    words(&["bundle"], Place::Bundle),
    key(&["call-id"], |f, v| text(v, limits::CALL_ID_MAX).map(|t| f.call_id = Some(t))),
    no(Key, &["calls"], "calls are joined by \"connect\" and \"subscribe request\""),
    no(Key, &["code", "digit"], NO_DSP),
    key(&["codec", "codecs"], codec).but("see the words below"),
    key(&["command"], |_, _| Ok(())),
    no(Key, &["db-id"], NO_PLAYER),
    no(Key, &["delay-buffer"], "media is not held back"),
    key(&["delete delay"], |f, v| number(v, 0..=86_400).map(|s| f.options.delete_delay = Some(Duration::from_secs(s)))),
    key(&["direction"], direction),
    no(Key, &["drop-traffic"], "use \"block media\""),
    words(&["DTLS"], Place::Dtls),
    no(Key, &["DTLS-fingerprint"], "fingerprints are SHA-256"),
    words(&["DTLS-reverse"], Place::DtlsReverse),
    no(Key, &["DTMF-delay"], NO_DSP),
    no(
        Key,
        &["DTMF-log-dest", "DTMF-log-destination"],
        "where DTMF events go is configured, [ng] dtmf_log_dest, for all calls",
    ),
    words(&["DTMF-security"], Place::DtmfSecurity),
    no(Key, &["DTMF-security-trigger", "DTMF-security-trigger-end"], NO_DSP),
    no(Key, &["duration"], NO_PLAYER),
    words(&["endpoint-learning"], Place::Learning),
    no(Key, &["extmap"], "header extensions pass as they are"),
    no(Key, &["file"], NO_PLAYER),
    words(&["flags"], Place::Flags),
    no(Key, &["frequency", "frequencies"], NO_DSP),
    key(&["from-interface"], |f, v| name(v).map(|t| f.options.interface_from = Some(t))),
    key(&["from-tag"], |f, v| text(v, limits::NAME_MAX).map(|t| f.from_tag = Some(t))),
    key(&["from-tags"], |f, v| names(v).map(|list| f.from_tags = list)),
    no(Key, &["generate RTCP"], "RTCP of the peers is passed on, translated; none is made"),
    words(&["ICE"], Place::Ice),
    words(&["ICE-lite"], Place::IceLite),
    no(Key, &["inbound-peer", "outbound-peer", "peer"], "interfaces are chosen by name, not by route"),
    no(Key, &["instance"], "there is one instance"),
    key(&["interface"], |f, v| name(v).map(|t| f.options.interface = Some(t))),
    key(&["label", "from-label"], |f, v| text(v, limits::NAME_MAX).map(|t| f.options.label = Some(t))),
    key(&["limit"], |f, v| number(v, 1..=1_000_000).map(|n| f.limit = Some(n as usize))),
    no(Key, &["media", "medias"], "there are no codecs to transcode with"),
    key(&["media address"], |f, v| address(v).map(|a| f.options.media_address = Some(a)))
        .but("the address that the other side is told, in place of the interface's"),
    no(Key, &["media echo"], "media is not sent back to where it came from"),
    key(&["metadata"], |f, v| text(v, limits::METADATA_MAX).map(|t| f.options.metadata = Some(Metadata(t)))),
    no(Key, &["moh"], NO_PLAYER),
    words(&["OSRTP"], Place::Osrtp),
    no(Key, &["output-destination", "output-dest", "output-file"], NAMED_ITSELF),
    no(Key, &["output-path", "output-dir", "output-directory", "output-folder"], NAMED_ITSELF),
    no(Key, &["output-pattern", "recording-pattern"], NAMED_ITSELF),
    no(Key, &["passthrough", "passthru"], NO_CODECS),
    key(&["pause"], |f, v| {
        f.pause = matches!(v.text(), Some("yes" | "on" | "true")) || v.integer() == Some(1);
        Ok(())
    }),
    no(Key, &["ptime"], "packets are passed as they are"),
    no(Key, &["ptime-reverse", "reverse-ptime"], "packets are passed as they are"),
    key(&["received from"], received_from),
    key(&["record call"], |f, v| {
        one_of(v, &[("yes", true), ("on", true), ("no", false), ("off", false)]).map(|on| f.options.record = Some(on))
    })
    .but("`yes` and `on` need `metadata` with `consent:yes`, else the command is refused"),
    no(Key, &["recording-destination", "recording-dest", "recording-file"], NAMED_ITSELF),
    no(Key, &["recording-path", "recording-dir", "recording-directory", "recording-folder"], NAMED_ITSELF),
    no(Key, &["recording-media-slot-offer", "recording-media-slot-answer", "recording-media-slots"], NAMED_ITSELF),
    no(Key, &["repeat-times", "repeat-duration", "start-pos"], NO_PLAYER),
    words(&["replace"], Place::Replace),
    words(&["rtcp-mux"], Place::RtcpMux),
    key(&["rtpp-flags"], crate::rtpp::take),
    words(&["SDES"], Place::Sdes),
    key(&["sdp"], |f, v| match v {
        Value::Text(octets) => {
            f.sdp = Some(octets.to_vec());
            Ok(())
        }
        other => Err(Wrong::Refuse(format!("an SDP is a string, not {}", other.kind()))),
    }),
    key(&["sdp-attr"], attributes),
    key(&["sdp-media-remove"], |f, v| names(v).map(|list| f.options.remove_media = list)),
    key(&["set-label"], |f, v| text(v, limits::NAME_MAX).map(|t| f.options.set_label = Some(t)))
        .but("in an offer or answer"),
    moot(Key, &["SIP code", "SIP response code"], "nothing depends on it"),
    moot(Key, &["SIP message type"], "nothing depends on it"),
    no(Key, &["source-call-id", "source-tag"], NO_PLAYER),
    key(&["supports"], |f, v| {
        f.options.supports_load_limit = names(v)?.iter().any(|name| name == "load limit");
        Ok(())
    }),
    no(Key, &["T.38", "T38"], "fax passes as it is"),
    no(Key, &["T.38-version", "T38-version"], "fax passes as it is"),
    no(Key, &["tags"], "calls are joined by \"connect\" and \"subscribe request\""),
    no(Key, &["template"], "there are no templates: send the flags"),
    key(&["to-call-id"], |f, v| text(v, limits::CALL_ID_MAX).map(|t| f.to_call_id = Some(t))),
    key(&["to-interface"], |f, v| name(v).map(|t| f.options.interface_to = Some(t))),
    key(&["to-label"], |f, v| text(v, limits::NAME_MAX).map(|t| f.to_label = Some(t))),
    key(&["to-tag"], |f, v| text(v, limits::NAME_MAX).map(|t| f.to_tag = Some(t))),
    key(&["TOS"], tos),
    key(&["transport protocol"], transport),
    no(Key, &["trigger", "trigger-end", "end-trigger"], NO_DSP),
    no(Key, &["trigger-end-time", "end-trigger-time", "trigger-end-digits", "end-trigger-digits"], NO_DSP),
    key(&["via-branch"], |f, v| text(v, limits::NAME_MAX).map(|t| f.via_branch = Some(t))),
    no(Key, &["volume"], NO_DSP),
    no(Key, &["vsc-pause-rec", "vsc-pause-resume-rec", "vsc-start-pause-resume-rec"], "recording is by command alone"),
    no(Key, &["vsc-start-rec", "vsc-start-stop-rec", "vsc-stop-rec"], "recording is by command alone"),
    no(Key, &["xmlrpc-callback"], "where it is told that media timed out is configured, [ng] notify"),
];

/// Words of `DTMF-security`, of `all`, and keys of `codec`.
pub(crate) const KEY_WORDS: &[Entry] = &[
    word(Place::All, &["none"], |f| f.all = All::None),
    word(Place::All, &["all"], |f| f.all = All::All),
    word(Place::All, &["offer-answer"], |f| f.all = All::OfferAnswer),
    word(Place::All, &["except-offer-answer", "not-offer-answer", "non-offer-answer"], |f| {
        f.all = All::ExceptOfferAnswer;
    }),
    word(Place::All, &["flows"], |f| f.all = All::Flows),
    moot(Place::DtmfSecurity, &["drop"], "it is what block DTMF does"),
    no(Place::DtmfSecurity, &["off"], "use \"unblock DTMF\""),
    no(Place::DtmfSecurity, &["silence", "tone", "random", "zero", "DTMF"], NO_DSP),
    no_rest_in(Codec, &["accept-", "consume-", "ignore-", "mask-", "set-", "transcode-"], NO_CODECS),
    begins(Codec, &["except-"], |f, rest| add(&mut f.options.codecs.except, rest)),
    begins(Codec, &["offer-"], |f, rest| add(&mut f.options.codecs.offer, rest)),
    begins(Codec, &["strip-"], |f, rest| add(&mut f.options.codecs.strip, rest))
        .but("names in any case; with a codec goes what repeats it (rtx)"),
];

fn address(value: &Value<'_>) -> Result<core::net::IpAddr, Wrong> {
    let text = value.text().unwrap_or_default();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    core::net::IpAddr::from_str(bare).map_err(|_| Wrong::Refuse(format!("{} is not an IP address", quoted(text))))
}

fn number(value: &Value<'_>, range: core::ops::RangeInclusive<u64>) -> Result<u64, Wrong> {
    let number = value.integer().and_then(|number| u64::try_from(number).ok()).filter(|number| range.contains(number));
    number.ok_or_else(|| Wrong::Refuse(format!("not a whole number from {} to {}", range.start(), range.end())))
}

/// `[from, to]`.
fn direction(fields: &mut Fields, value: &Value<'_>) -> Result<(), Wrong> {
    let wrong = || Wrong::Refuse("names the two interfaces, as in [\"int\", \"ext\"]".to_owned());
    let Value::List(list) = value else { return Err(wrong()) };
    let [from, to] = &list[..] else { return Err(wrong()) };
    fields.options.interface_from = Some(name(from)?);
    fields.options.interface_to = Some(name(to)?);
    Ok(())
}

/// `[family, address]`, or the address.
fn received_from(fields: &mut Fields, value: &Value<'_>) -> Result<(), Wrong> {
    let value = match value {
        Value::List(list) => match &list[..] {
            [_, address] => address,
            _ => return Err(Wrong::Refuse("has a family and an address, as in [\"IP4\", \"192.0.2.1\"]".to_owned())),
        },
        other => other,
    };
    fields.options.received_from = Some(address(value)?);
    Ok(())
}

/// Negative: as it was. Above 255: the default again, which is what absence means too.
fn tos(fields: &mut Fields, value: &Value<'_>) -> Result<(), Wrong> {
    let tos = value.integer().ok_or_else(|| Wrong::Refuse("not a whole number".to_owned()))?;
    fields.options.tos = u8::try_from(tos).ok();
    Ok(())
}

pub(crate) fn transport(fields: &mut Fields, value: &Value<'_>) -> Result<(), Wrong> {
    let text = value.text().unwrap_or_default();
    let transport = match text {
        "accept" => Some(Transport::Accept),
        other => Protocol::parse(other).map(Transport::As),
    };
    let known = Protocol::ALL.map(Protocol::as_str).join(", ");
    let wrong = || Wrong::Refuse(format!("{} is not one of {known} and accept", quoted(text)));
    fields.options.transport = Some(transport.ok_or_else(wrong)?);
    Ok(())
}

fn codec(fields: &mut Fields, value: &Value<'_>) -> Result<(), Wrong> {
    let Value::Dictionary(pairs) = value else {
        return Err(Wrong::Warn(format!("a dictionary is expected, not {}", value.kind())));
    };
    for (name, value) in pairs {
        let name = String::from_utf8_lossy(name);
        names(value)?.iter().for_each(|codec| fields.word(Codec, &format!("{name}-{codec}")));
    }
    Ok(())
}

/// Adds the name of a codec.
fn add(list: &mut Vec<String>, codec: &str) -> Result<(), Wrong> {
    if list.len() == limits::LIST_MAX {
        return Err(Wrong::Warn(format!("more than {} codecs", limits::LIST_MAX)));
    }
    list.push(unescaped(codec));
    Ok(())
}

pub(crate) fn scope(name: &str) -> Option<Scope> {
    match name {
        "none" | "global" => Some(Scope::Session),
        "audio" => Some(Scope::Audio),
        "video" => Some(Scope::Video),
        _ => None,
    }
}

/// `{ scope: { add: [text, ..], remove: [text, ..], substitute: [[from, to], ..] } }`.
fn attributes(fields: &mut Fields, value: &Value<'_>) -> Result<(), Wrong> {
    let wrong = |what: &str| Wrong::Warn(what.to_owned());
    let Value::Dictionary(scopes) = value else { return Err(wrong("a dictionary of scopes is expected")) };
    for (name, commands) in scopes {
        let name = String::from_utf8_lossy(name);
        let scope = scope(&name).ok_or_else(|| wrong(&format!("{} is not none, audio or video", quoted(&name))))?;
        let Value::Dictionary(commands) = commands else { return Err(wrong("a dictionary of commands is expected")) };
        for (command, value) in commands {
            for change in changes(&String::from_utf8_lossy(command), value)? {
                fields.attribute(scope, change)?;
            }
        }
    }
    Ok(())
}

fn changes(command: &str, value: &Value<'_>) -> Result<Vec<AttributeChange>, Wrong> {
    match command {
        "add" => Ok(names(value)?.into_iter().map(AttributeChange::Add).collect()),
        "remove" => Ok(names(value)?.into_iter().map(AttributeChange::Remove).collect()),
        "substitute" => match value {
            Value::List(list) if list.iter().any(|item| matches!(item, Value::List(_))) => {
                list.iter().map(substitution).collect()
            }
            one => Ok(vec![substitution(one)?]),
        },
        other => Err(Wrong::Warn(format!("{} is not add, remove or substitute", quoted(other)))),
    }
}

/// `[from, to]`, or `from>to`.
fn substitution(value: &Value<'_>) -> Result<AttributeChange, Wrong> {
    let wrong = || Wrong::Warn("substitute names what there is and what comes in its place".to_owned());
    let (from, to) = match value {
        Value::List(list) => match &list[..] {
            [from, to] => (from.text().ok_or_else(wrong)?, to.text().ok_or_else(wrong)?),
            [pair] => pair.text().and_then(|text| text.split_once('>')).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        },
        pair => pair.text().and_then(|text| text.split_once('>')).ok_or_else(wrong)?,
    };
    Ok(AttributeChange::Substitute(unescaped(from), unescaped(to)))
}
