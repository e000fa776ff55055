//! What is asked, and what is answered.

use std::net::IpAddr;
use std::time::Duration;

use crate::options::Options;
use crate::view::CallView;

/// Names a command; chosen by who gives it, comes back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// Something that changes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// An SDP offer that passes the proxy.
    Offer(Offer),
    /// The answer to it.
    Answer(Answer),
    /// A call, or a branch of it, has ended.
    Delete(Delete),
    /// Candidates of a party that come after its SDP.
    Trickle(Trickle),
    /// Media of a party is blocked and the like.
    Change(Change),
    /// A call is recorded.
    Record(Record),
    /// An SDP offer of who sends and is heard by subscribers; makes a call if there is none.
    Publish(Offer),
    /// Somebody wants copies of what parties send.
    SubscribeRequest(SubscribeRequest),
    /// The answer of who gets them.
    SubscribeAnswer(SubscribeAnswer),
    /// It wants them no longer.
    Unsubscribe(Unsubscribe),
    /// Two parties talk with each other from now on.
    Connect(Connect),
}

impl Command {
    /// The call that it is about.
    #[must_use]
    pub fn call_id(&self) -> &str {
        match self {
            Self::Offer(offer) => &offer.call_id,
            Self::Answer(answer) => &answer.call_id,
            Self::Delete(delete) => &delete.call_id,
            Self::Trickle(trickle) => &trickle.call_id,
            Self::Change(change) => &change.call_id,
            Self::Record(record) => &record.call_id,
            Self::Publish(offer) => &offer.call_id,
            Self::SubscribeRequest(request) => &request.call_id,
            Self::SubscribeAnswer(answer) => &answer.call_id,
            Self::Unsubscribe(unsubscribe) => &unsubscribe.call_id,
            Self::Connect(connect) => &connect.call_id,
        }
    }
}

/// An SDP offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The call's name.
    pub call_id: String,
    /// Tag of who offers.
    pub from_tag: String,
    /// Tag of who is offered to, once it is known.
    pub to_tag: Option<String>,
    /// Branch of a fork.
    pub via_branch: Option<String>,
    /// The body.
    pub sdp: Vec<u8>,
    /// Flags.
    pub options: Options,
}

/// An SDP answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The call's name.
    pub call_id: String,
    /// Tag of who offered.
    pub from_tag: String,
    /// Tag of who answers.
    pub to_tag: String,
    /// Branch of a fork.
    pub via_branch: Option<String>,
    /// The body.
    pub sdp: Vec<u8>,
    /// Flags.
    pub options: Options,
}

/// A fragment of SDP with candidates (RFC 8840).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trickle {
    /// The call's name.
    pub call_id: String,
    /// Tag of who sent it.
    pub tag: String,
    /// The fragment.
    pub sdp: Vec<u8>,
}

/// The end of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// The call's name.
    pub call_id: String,
    /// Tag of one party; absent: whoever.
    pub from_tag: Option<String>,
    /// Tag of the other.
    pub to_tag: Option<String>,
    /// Only this branch, if there are others.
    pub via_branch: Option<String>,
    /// How long the call stays nevertheless; absent: as configured.
    pub delay: Option<Duration>,
    /// What is recorded of it now is removed.
    pub discard: bool,
}

/// Blocking and the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The call's name.
    pub call_id: String,
    /// Only of the party with this tag.
    pub from_tag: Option<String>,
    /// Only of the party at this address.
    pub address: Option<IpAddr>,
    /// Only of the party with this label.
    pub label: Option<String>,
    /// Of every party, whatever else is said.
    pub all: bool,
    /// What.
    pub what: Toggle,
    /// On, or off again.
    pub on: bool,
}

/// Copies of what others send. Nobody named: refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// The call's name.
    pub call_id: String,
    /// Tags of those whose media it is, in the order of the m-lines.
    pub from_tags: Vec<String>,
    /// Or the party with this label.
    pub label: Option<String>,
    /// Or the party at this address.
    pub address: Option<IpAddr>,
    /// Or all that talk or publish.
    pub all: bool,
    /// Tag of the subscriber; one that is there gets other copies. Made up if absent.
    pub to_tag: Option<String>,
    /// Flags; the other side is the subscriber.
    pub options: Options,
}

/// A subscriber's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeAnswer {
    /// The call's name.
    pub call_id: String,
    /// Tag of the subscriber.
    pub to_tag: String,
    /// The body.
    pub sdp: Vec<u8>,
    /// Flags.
    pub options: Options,
}

/// The end of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The call's name.
    pub call_id: String,
    /// Tag of the subscriber.
    pub to_tag: String,
}

/// Two parties, with each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// The call's name.
    pub call_id: String,
    /// Tag of one.
    pub from_tag: String,
    /// The other one's call; absent: the same.
    pub to_call_id: Option<String>,
    /// Tag of the other.
    pub to_tag: String,
}

/// What can be switched on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toggle {
    /// RTP is dropped.
    BlockMedia,
    /// RTP is silenced.
    SilenceMedia,
    /// DTMF is dropped.
    BlockDtmf,
}

/// Recording of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The call's name.
    pub call_id: String,
    /// What becomes of it.
    pub what: Recording,
    /// Whether it may be.
    pub consent: Consent,
}

/// What becomes of the recording of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// It begins, or goes on after a pause.
    Start,
    /// Nothing is added to it until it is started again.
    Pause,
    /// It ends.
    Stop {
        /// Its files are removed.
        discard: bool,
    },
}

/// What a command says about whether the parties agree to be recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// They do. Without it nothing begins.
    pub given: bool,
    /// All that the command says of the call, which is written into the recording.
    pub metadata: String,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Of an offer or answer: the SDP that the other side is to get. Of a publication: the answer.
    Sdp(Vec<u8>),
    /// Of a subscribe request: the SDP that the subscriber is to get, and who is who.
    Subscribed {
        /// The body.
        sdp: Vec<u8>,
        /// Whose media it is.
        from_tags: Vec<String>,
        /// The subscriber.
        to_tag: String,
    },
    /// Of a delete: the call as it was at the end.
    Deleted(Box<CallView>),
    /// Of the others.
    Done,
}
