//! A message taken apart.

use crate::bencode;
use crate::command::{
    Answer, Change, Command, Connect, Delete, NOT_SUPPORTED, Offer, Query, Record, Recording, SubscribeRequest, Toggle,
    Unsubscribe, Verb,
};
use crate::fields::{Fields, Warnings, quoted};
use crate::json;
use crate::limits;
use crate::malformed::{Malformed, Rule};
use crate::refusal::Refusal;
use crate::value::Value;

/// How a body is written; the answer is written in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// bencode.
    Bencode,
    /// JSON.
    Json,
}

/// A body taken apart.
#[derive(Clone, Debug)]
pub struct Request {
    /// How it was written.
    pub form: Form,
    /// Its command's word, if it got that far.
    pub verb: Verb,
    /// What it asks for.
    pub command: Result<Command, Refusal>,
    /// What will not be done.
    pub warnings: Warnings,
    /// Whether `load limit` may be answered.
    pub supports_load_limit: bool,
}

/// Cookie and body of a datagram.
///
/// # Errors
/// [`NoCookie`], and then there is nothing to answer with.
pub fn split(datagram: &[u8]) -> Result<(&[u8], &[u8]), NoCookie> {
    let cookie = datagram.iter().take(limits::COOKIE_MAX + 1).position(|octet| *octet == b' ').ok_or(NoCookie)?;
    let (cookie, rest) = datagram.split_at(cookie);
    let printable = cookie.iter().all(|octet| octet.is_ascii_graphic());
    if cookie.is_empty() || !printable { Err(NoCookie) } else { Ok((cookie, &rest[1..])) }
}

/// A datagram does not begin with a cookie of at most [`COOKIE_MAX`](limits::COOKIE_MAX) visible octets and a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message begins with a cookie of 1 to 128 visible octets and a space")]
pub struct NoCookie;

/// Octets of the message that a stream begins with: cookie, space and body, which ends where its brackets do. `None` means
/// that more must come. What stands between messages (line ends, spaces) is for the caller to skip.
///
/// # Errors
/// What can never become a message, whatever comes.
pub fn frame(stream: &[u8]) -> Result<Option<usize>, StreamError> {
    let enough = |octets: usize| if octets >= limits::MESSAGE_MAX { Err(StreamError::Long) } else { Ok(None) };
    if !stream.contains(&b' ') && stream.len() <= limits::COOKIE_MAX {
        return Ok(None);
    }
    let (cookie, body) = split(stream)?;
    let length = match body.first() {
        None => return Ok(None),
        Some(b'{') => json::length(body),
        Some(_) => bencode::read(body).map(|(_, length)| length),
    };
    match length {
        Ok(length) if cookie.len() + 1 + length > limits::MESSAGE_MAX => Err(StreamError::Long),
        Ok(length) => Ok(Some(cookie.len() + 1 + length)),
        Err(Malformed { rule: Rule::Truncated, .. }) => enough(stream.len()),
        Err(malformed) => Err(malformed.into()),
    }
}

/// Why a stream cannot go on: where its next message begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No cookie.
    #[error(transparent)]
    NoCookie(#[from] NoCookie),
    /// Not bencode.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// [`MESSAGE_MAX`](limits::MESSAGE_MAX).
    #[error("a message has at most 65507 octets")]
    Long,
}

impl Request {
    /// Takes a body apart.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let form = if body.trim_ascii_start().first() == Some(&b'{') { Form::Json } else { Form::Bencode };
        let nothing = Self {
            form,
            verb: Verb::Other,
            command: Err(Refusal::NoCommand),
            warnings: Warnings::default(),
            supports_load_limit: false,
        };
        let value = match parse(form, body) {
            Ok(value) => value,
            Err(malformed) => return Self { command: Err(malformed.into()), ..nothing },
        };
        let Some(word) = value.get("command").and_then(Value::text) else { return nothing };
        let verb = Verb::parse(word);
        if verb == Verb::Other {
            return Self { command: Err(not_carried_out(word)), ..nothing };
        }
        let mut fields = match Fields::read(&value) {
            Ok(fields) => fields,
            Err(refusal) => return Self { verb, command: Err(refusal), ..nothing },
        };
        let warnings = core::mem::take(&mut fields.warnings);
        let supports_load_limit = fields.options.supports_load_limit;
        Self { form, verb, command: command(verb, fields), warnings, supports_load_limit }
    }
}

fn parse(form: Form, body: &[u8]) -> Result<Value<'_>, Malformed> {
    if body.len() > limits::MESSAGE_MAX {
        return Err(Malformed { at: limits::MESSAGE_MAX, rule: Rule::Long });
    }
    match form {
        Form::Json => json::read(body),
        Form::Bencode => match bencode::read(body)? {
            (value, length) if body[length..].trim_ascii().is_empty() => Ok(value),
            (_, length) => Err(Malformed { at: length, rule: Rule::Trailing }),
        },
    }
}

fn not_carried_out(word: &str) -> Refusal {
    match NOT_SUPPORTED.iter().find(|(known, _)| *known == word) {
        Some((command, why)) => Refusal::NotSupported { command, why },
        None => Refusal::Unknown(quoted(word)),
    }
}

/// A key that a command needs.
fn need<T>(verb: Verb, key: &'static str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or(Refusal::Missing { command: verb.as_str(), key })
}

fn command(verb: Verb, fields: Fields) -> Result<Command, Refusal> {
    match verb {
        Verb::Ping => Ok(Command::Ping),
        Verb::Statistics => Ok(Command::Statistics),
        Verb::List => Ok(Command::List { limit: fields.limit.unwrap_or(limits::LIST_DEFAULT) }),
        Verb::Offer => offer(verb, fields).map(Command::Offer),
        Verb::Publish => offer(verb, fields).map(Command::Publish),
        Verb::Answer => {
            need(verb, "from-tag", fields.from_tag.as_ref())?;
            answer(verb, fields).map(Command::Answer)
        }
        Verb::SubscribeAnswer => answer(verb, fields).map(Command::SubscribeAnswer),
        Verb::Delete => delete(verb, fields),
        Verb::Query => Ok(Command::Query(Query {
            call_id: need(verb, "call-id", fields.call_id)?,
            from_tag: fields.from_tag,
            to_tag: fields.to_tag,
        })),
        Verb::BlockMedia => change(verb, fields, Toggle::BlockMedia, true),
        Verb::UnblockMedia => change(verb, fields, Toggle::BlockMedia, false),
        Verb::SilenceMedia => change(verb, fields, Toggle::SilenceMedia, true),
        Verb::UnsilenceMedia => change(verb, fields, Toggle::SilenceMedia, false),
        Verb::BlockDtmf => change(verb, fields, Toggle::BlockDtmf, true),
        Verb::UnblockDtmf => change(verb, fields, Toggle::BlockDtmf, false),
        Verb::StartRecording => record(verb, fields, Recording::Start),
        Verb::StopRecording if fields.pause => record(verb, fields, Recording::Pause),
        Verb::StopRecording => record(verb, fields, Recording::Stop),
        Verb::PauseRecording => record(verb, fields, Recording::Pause),
        Verb::SubscribeRequest => subscribe(verb, fields),
        Verb::Unsubscribe => Ok(Command::Unsubscribe(Unsubscribe {
            call_id: need(verb, "call-id", fields.call_id)?,
            to_tag: need(verb, "to-tag", fields.to_tag)?,
        })),
        Verb::Connect => Ok(Command::Connect(Connect {
            call_id: need(verb, "call-id", fields.call_id)?,
            from_tag: need(verb, "from-tag", fields.from_tag)?,
            to_call_id: fields.to_call_id,
            to_tag: need(verb, "to-tag", fields.to_tag)?,
            options: fields.options,
        })),
        Verb::Other => Err(Refusal::NoCommand),
    }
}

fn offer(verb: Verb, fields: Fields) -> Result<Offer, Refusal> {
    Ok(Offer {
        call_id: need(verb, "call-id", fields.call_id)?,
        from_tag: need(verb, "from-tag", fields.from_tag)?,
        to_tag: fields.to_tag,
        via_branch: fields.via_branch,
        sdp: need(verb, "sdp", fields.sdp)?,
        options: fields.options,
    })
}

fn answer(verb: Verb, fields: Fields) -> Result<Answer, Refusal> {
    Ok(Answer {
        call_id: need(verb, "call-id", fields.call_id)?,
        from_tag: fields.from_tag.unwrap_or_default(),
        to_tag: need(verb, "to-tag", fields.to_tag)?,
        via_branch: fields.via_branch,
        sdp: need(verb, "sdp", fields.sdp)?,
        options: fields.options,
    })
}

/// Kamailio deletes with both tags whenever it knows them; that this is about the second party alone is said by a flag.
fn delete(verb: Verb, fields: Fields) -> Result<Command, Refusal> {
    Ok(Command::Delete(Delete {
        call_id: need(verb, "call-id", fields.call_id)?,
        from_tag: fields.from_tag,
        to_tag: fields.to_tag,
        via_branch: fields.via_branch,
        delay: fields.options.delete_delay,
        fatal: fields.fatal,
        fast: fields.fast,
        discard: fields.discard,
        only_to_tag: fields.to_tag_flag,
    }))
}

fn change(verb: Verb, fields: Fields, what: Toggle, on: bool) -> Result<Command, Refusal> {
    Ok(Command::Change(Change {
        call_id: need(verb, "call-id", fields.call_id)?,
        from_tag: fields.from_tag,
        to_tag: fields.to_tag,
        address: fields.address,
        label: fields.options.label,
        to_label: fields.to_label,
        set_label: fields.options.set_label,
        all: fields.all,
        what,
        on,
    }))
}

fn record(verb: Verb, fields: Fields, what: Recording) -> Result<Command, Refusal> {
    let call_id = need(verb, "call-id", fields.call_id)?;
    let discard = fields.discard;
    Ok(Command::Record(Record { call_id, what, discard, metadata: fields.options.metadata.unwrap_or_default() }))
}

fn subscribe(verb: Verb, fields: Fields) -> Result<Command, Refusal> {
    let mut from_tags = fields.from_tags;
    if let Some(tag) = fields.from_tag {
        from_tags.insert(0, tag);
    }
    let mut options = fields.options;
    // Here the label chooses whose media it is; that of the subscriber has keys of its own.
    let label = options.label.take();
    options.label = options.set_label.take().or(fields.to_label);
    Ok(Command::SubscribeRequest(SubscribeRequest {
        call_id: need(verb, "call-id", fields.call_id)?,
        from_tags,
        label,
        address: fields.address,
        all: fields.all,
        to_tag: fields.to_tag,
        options,
    }))
}
