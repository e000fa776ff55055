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
    /// Of an offer or answer: the SDP that the other side is to get.
    Sdp(Vec<u8>),
    /// Of a delete: the call as it was at the end.
    Deleted(Box<CallView>),
    /// Of the others.
    Done,
}
