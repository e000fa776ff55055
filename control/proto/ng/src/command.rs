//! What a message asks for.

use core::net::IpAddr;

use crate::options::{Metadata, Options};

/// The word in `command`. Metrics have it as a label, so there are so many and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// `ping`.
    Ping,
    /// `offer`.
    Offer,
    /// `answer`.
    Answer,
    /// `delete`.
    Delete,
    /// `query`.
    Query,
    /// `list`.
    List,
    /// `statistics`.
    Statistics,
    /// `block media`.
    BlockMedia,
    /// `unblock media`.
    UnblockMedia,
    /// `silence media`.
    SilenceMedia,
    /// `unsilence media`.
    UnsilenceMedia,
    /// `block DTMF`.
    BlockDtmf,
    /// `unblock DTMF`.
    UnblockDtmf,
    /// `start recording`.
    StartRecording,
    /// `stop recording`.
    StopRecording,
    /// `pause recording`.
    PauseRecording,
    /// `publish`.
    Publish,
    /// `subscribe request`.
    SubscribeRequest,
    /// `subscribe answer`.
    SubscribeAnswer,
    /// `unsubscribe`.
    Unsubscribe,
    /// `connect`.
    Connect,
    /// Any other.
    Other,
}

impl Verb {
    /// Every one.
    pub const ALL: [Self; 22] = [
        Self::Ping,
        Self::Offer,
        Self::Answer,
        Self::Delete,
        Self::Query,
        Self::List,
        Self::Statistics,
        Self::BlockMedia,
        Self::UnblockMedia,
        Self::SilenceMedia,
        Self::UnsilenceMedia,
        Self::BlockDtmf,
        Self::UnblockDtmf,
        Self::StartRecording,
        Self::StopRecording,
        Self::PauseRecording,
        Self::Publish,
        Self::SubscribeRequest,
        Self::SubscribeAnswer,
        Self::Unsubscribe,
        Self::Connect,
        Self::Other,
    ];

    /// As it is written; `other` for those that are not known.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::List => "list",
            Self::Statistics => "statistics",
            Self::BlockMedia => "block media",
            Self::UnblockMedia => "unblock media",
            Self::SilenceMedia => "silence media",
            Self::UnsilenceMedia => "unsilence media",
            Self::BlockDtmf => "block DTMF",
            Self::UnblockDtmf => "unblock DTMF",
            Self::StartRecording => "start recording",
            Self::StopRecording => "stop recording",
            Self::PauseRecording => "pause recording",
            Self::Publish => "publish",
            Self::SubscribeRequest => "subscribe request",
            Self::SubscribeAnswer => "subscribe answer",
            Self::Unsubscribe => "unsubscribe",
            Self::Connect => "connect",
            Self::Other => "other",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes; any other word is [`Other`](Self::Other).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text).unwrap_or(Self::Other)
    }

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Commands of rtpengine that Raceway does not carry out, and why.
pub const NOT_SUPPORTED: [(&str, &str); 12] = [
    ("start forwarding", "media is not decoded to PCM"),
    ("stop forwarding", "media is not decoded to PCM"),
    ("play media", "nothing is played into a call"),
    ("stop media", "nothing is played into a call"),
    ("play DTMF", "nothing is played into a call"),
    ("inject start", "nothing is played into a call"),
    ("inject stop", "nothing is played into a call"),
    ("create", "calls are made by \"offer\" and \"publish\""),
    ("create answer", "calls are made by \"offer\" and \"publish\""),
    ("mesh", "calls are joined by \"connect\" and \"subscribe request\""),
    ("transform", "there are no codecs to transcode with"),
    ("cli", "use racewayctl"),
];

/// A command, complete and typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Is anybody there?
    Ping,
    /// An SDP that offers.
    Offer(Offer),
    /// One that answers.
    Answer(Answer),
    /// End a call or a branch of it.
    Delete(Delete),
    /// What is known of a call.
    Query(Query),
    /// Call identifiers.
    List {
        /// At most so many; at least 1.
        limit: usize,
    },
    /// Figures of all calls.
    Statistics,
    /// Block, silence, and the end of it.
    Change(Change),
    /// Recording.
    Record(Record),
    /// Media without a call: one side that sends.
    Publish(Offer),
    /// Wants a copy of someone's media.
    SubscribeRequest(SubscribeRequest),
    /// The SDP of whoever wants it.
    SubscribeAnswer(Answer),
    /// No longer wants it.
    Unsubscribe(Unsubscribe),
    /// Joins two parties, also of different calls.
    Connect(Connect),
}

impl Command {
    /// The word that it came with.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Ping => Verb::Ping,
            Self::Offer(_) => Verb::Offer,
            Self::Answer(_) => Verb::Answer,
            Self::Delete(_) => Verb::Delete,
            Self::Query(_) => Verb::Query,
            Self::List { .. } => Verb::List,
            Self::Statistics => Verb::Statistics,
            Self::Change(change) => match (change.what, change.on) {
                (Toggle::BlockMedia, true) => Verb::BlockMedia,
                (Toggle::BlockMedia, false) => Verb::UnblockMedia,
                (Toggle::SilenceMedia, true) => Verb::SilenceMedia,
                (Toggle::SilenceMedia, false) => Verb::UnsilenceMedia,
                (Toggle::BlockDtmf, true) => Verb::BlockDtmf,
                (Toggle::BlockDtmf, false) => Verb::UnblockDtmf,
            },
            Self::Record(record) => match record.what {
                Recording::Start => Verb::StartRecording,
                Recording::Stop => Verb::StopRecording,
                Recording::Pause => Verb::PauseRecording,
            },
            Self::Publish(_) => Verb::Publish,
            Self::SubscribeRequest(_) => Verb::SubscribeRequest,
            Self::SubscribeAnswer(_) => Verb::SubscribeAnswer,
            Self::Unsubscribe(_) => Verb::Unsubscribe,
            Self::Connect(_) => Verb::Connect,
        }
    }
}

/// `offer` and `publish`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `call-id`.
    pub call_id: String,
    /// `from-tag`.
    pub from_tag: String,
    /// `to-tag`: in a re-offer.
    pub to_tag: Option<String>,
    /// `via-branch`.
    pub via_branch: Option<String>,
    /// `sdp`.
    pub sdp: Vec<u8>,
    /// Everything else.
    pub options: Options,
}

/// `answer` and `subscribe answer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `call-id`.
    pub call_id: String,
    /// `from-tag`; empty in a `subscribe answer` without one.
    pub from_tag: String,
    /// `to-tag`.
    pub to_tag: String,
    /// `via-branch`.
    pub via_branch: Option<String>,
    /// `sdp`.
    pub sdp: Vec<u8>,
    /// Everything else.
    pub options: Options,
}

/// `delete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// `call-id`.
    pub call_id: String,
    /// `from-tag`.
    pub from_tag: Option<String>,
    /// `to-tag`.
    pub to_tag: Option<String>,
    /// `via-branch`.
    pub via_branch: Option<String>,
    /// `delete delay`, whole seconds.
    pub delay: Option<core::time::Duration>,
    /// `fatal`: that there is no such call is an error, not a warning.
    pub fatal: bool,
    /// `fast`: without what `query` would tell.
    pub fast: bool,
    /// `discard recording`: what is recorded of it now is removed.
    pub discard: bool,
    /// The flag `to-tag`: of a call with several branches, this party's alone.
    pub only_to_tag: bool,
}

/// `query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// `call-id`.
    pub call_id: String,
    /// `from-tag`.
    pub from_tag: Option<String>,
    /// `to-tag`.
    pub to_tag: Option<String>,
}

/// What is switched by block and silence commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toggle {
    /// Media goes no further.
    BlockMedia,
    /// Silence goes in its place.
    SilenceMedia,
    /// Events of RFC 4733 go no further.
    BlockDtmf,
}

/// Which parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum All {
    /// The one that is named; the call if none is.
    #[default]
    None,
    /// All, also those that were named one by one.
    All,
    /// Flows of offers and answers.
    OfferAnswer,
    /// The other flows.
    ExceptOfferAnswer,
    /// All flows.
    Flows,
}

/// `block media` and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `call-id`.
    pub call_id: String,
    /// `from-tag`: the party whose media it is.
    pub from_tag: Option<String>,
    /// `to-tag`: only towards this one.
    pub to_tag: Option<String>,
    /// `address`: the party with this address in its SDP.
    pub address: Option<IpAddr>,
    /// `label`: the party with it.
    pub label: Option<String>,
    /// `to-label`: only towards this one.
    pub to_label: Option<String>,
    /// `set-label`: the party gets it.
    pub set_label: Option<String>,
    /// `all`.
    pub all: All,
    /// What is switched.
    pub what: Toggle,
    /// On or off.
    pub on: bool,
}

/// What becomes of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Begins or goes on.
    Start,
    /// Ends.
    Stop,
    /// Stops, and can go on.
    Pause,
}

/// `start recording` and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `call-id`.
    pub call_id: String,
    /// What becomes of it.
    pub what: Recording,
    /// `discard recording`: when it stops, it is removed.
    pub discard: bool,
    /// `metadata`, which says whether the parties agreed.
    pub metadata: Metadata,
}

/// `subscribe request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// `call-id`.
    pub call_id: String,
    /// `from-tag`, `from-tags`: whose media.
    pub from_tags: Vec<String>,
    /// `label`, `address`: or that of these.
    pub label: Option<String>,
    /// Likewise.
    pub address: Option<IpAddr>,
    /// `all`: or everyone's.
    pub all: All,
    /// `to-tag`: name of the subscriber; made up if absent.
    pub to_tag: Option<String>,
    /// Everything else.
    pub options: Options,
}

/// `unsubscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// `call-id`.
    pub call_id: String,
    /// `to-tag`.
    pub to_tag: String,
}

/// `connect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// `call-id`.
    pub call_id: String,
    /// `from-tag`.
    pub from_tag: String,
    /// `to-call-id`: absent means the same call.
    pub to_call_id: Option<String>,
    /// `to-tag`.
    pub to_tag: String,
    /// Everything else.
    pub options: Options,
}
