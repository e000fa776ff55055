//! What is told, in words.

use raceway_config::Notice;
use raceway_media::{Ended, Event};
use raceway_units::UnixTime;
use serde::Serialize;

/// By HTTP.
#[derive(Debug, Default, Serialize)]
struct Message<'a> {
    event: &'static str,
    call_id: &'a str,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digit: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u32>,
}

/// By UDP: as rtpengine writes it for `dtmf-log-dest`.
#[derive(Debug, Serialize)]
struct Dtmf<'a> {
    callid: &'a str,
    source_tag: &'a str,
    source_label: &'a str,
    tags: &'a [String],
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: u64,
    source_ip: String,
    event: u8,
    duration: u32,
    volume: u8,
}

/// What it is; none of what nobody is told.
pub(super) fn kind(event: &Event) -> Option<Notice> {
    Some(match event {
        Event::Ended { why: Ended::Timeout | Ended::SilentTimeout | Ended::OfferTimeout, .. } => Notice::Timeout,
        Event::Ended { why: Ended::Deleted | Ended::Terminated | Ended::Expired, .. } => Notice::Ended,
        Event::OneWay { .. } => Notice::OneWay,
        Event::DtlsFailed { .. } | Event::KeyExhausted { .. } => Notice::NoKeys,
        Event::Dtmf { .. } => Notice::Dtmf,
        Event::Recording { .. } => return None,
    })
}

/// All of it.
pub(super) fn json(at: UnixTime, notice: Notice, event: &Event) -> Vec<u8> {
    let message = Message { event: notice.name(), at: at.0, ..Message::default() };
    let message = match event {
        Event::Ended { call, why } => Message {
            call_id: &call.call_id,
            tags: call.parties.iter().map(|party| &*party.tag).filter(|tag| !tag.is_empty()).collect(),
            why: Some(why.name()),
            created: Some(call.created.0),
            ..message
        },
        Event::OneWay { call_id, tag } => Message { call_id, tag: Some(tag), ..message },
        Event::DtlsFailed { call_id, tag, reason } => Message { call_id, tag: Some(tag), why: Some(reason), ..message },
        Event::KeyExhausted { call_id, tag } => {
            Message { call_id, tag: Some(tag), why: Some("an SRTP key is used up"), ..message }
        }
        Event::Recording { call_id, .. } => Message { call_id, ..message },
        Event::Dtmf { call_id, tag, dtmf, .. } => {
            let (digit, duration_ms) = (digit(dtmf.event), Some(dtmf.duration_ms));
            Message { call_id, tag: Some(tag), digit, duration_ms, ..message }
        }
    };
    serde_json::to_vec(&message).expect("messages have text keys, and a vector takes all")
}

/// DTMF; None for anything else.
pub(super) fn dtmf(at: UnixTime, event: &Event) -> Option<Vec<u8>> {
    let Event::Dtmf { call_id, tag, label, tags, source, dtmf } = event else { return None };
    let message = Dtmf {
        callid: call_id,
        source_tag: tag,
        source_label: label.as_deref().unwrap_or_default(),
        tags,
        kind: "DTMF",
        timestamp: at.0,
        source_ip: source.map(|source| source.ip().to_string()).unwrap_or_default(),
        event: dtmf.event,
        duration: dtmf.duration_ms,
        volume: dtmf.volume,
    };
    Some(serde_json::to_vec(&message).expect("messages have text keys, and a vector takes all"))
}

/// RFC 4733 section 3.2.
fn digit(event: u8) -> Option<char> {
    "0123456789*#ABCD".chars().nth(event.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::notify) const DIGIT: &str = r#"{"callid":"a\"b","source_tag":"x","source_label":"","tags":["x","y"],"type":"DTMF","timestamp":1700000000,"source_ip":"192.0.2.1","event":11,"duration":160,"volume":10}"#;

    pub(in crate::notify) fn digit() -> Event {
        Event::Dtmf {
            call_id: "a\"b".to_owned(),
            tag: "x".to_owned(),
            label: None,
            tags: vec!["x".to_owned(), "y".to_owned()],
            source: Some("192.0.2.1:4000".parse().expect("an address")),
            dtmf: raceway_api::Dtmf { event: 11, volume: 10, duration_ms: 160, payload_type: 101 },
        }
    }

    #[test]
    fn dtmf_is_told_by_http_with_its_digit() {
        let text = String::from_utf8(json(UnixTime(5), Notice::Dtmf, &digit())).expect("text");
        let wanted = r#"{"event":"dtmf","call_id":"a\"b","at":5,"tag":"x","digit":"#;
        assert!(text.starts_with(wanted) && text.ends_with("\"#\",\"duration_ms\":160}"), "{text}");
    }
}
