//! What happens to calls without a command.

use std::net::SocketAddr;

use raceway_api::{Dtmf, RecordingState};

use crate::command::RequestId;
use crate::view::CallView;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A call is over; this is what it was.
    Ended {
        /// As it was at the end.
        call: Box<CallView>,
        /// Why.
        why: Ended,
    },
    /// A party pressed a key (RFC 4733).
    Dtmf {
        /// The call.
        call_id: String,
        /// Whose key.
        tag: String,
        /// Its label.
        label: Option<String>,
        /// Tags of all parties of the call.
        tags: Vec<String>,
        /// Where it came from.
        source: Option<SocketAddr>,
        /// What.
        dtmf: Dtmf,
    },
    /// A party that should send is not heard, while another one of the call is.
    OneWay {
        /// The call.
        call_id: String,
        /// Who is not heard.
        tag: String,
    },
    /// DTLS with a party came to nothing: its media stays off.
    DtlsFailed {
        /// The call.
        call_id: String,
        /// Whose.
        tag: String,
        /// Why, for people.
        reason: String,
    },
    /// The recording of a call is written again, or is not.
    Recording {
        /// The call.
        call_id: String,
        /// What its files are called.
        stem: String,
        /// How it goes.
        state: RecordingState,
        /// The command that asked for it, and whose answer comes next.
        request: Option<RequestId>,
    },
    /// An SRTP key of a party protects no more packets: its media stops.
    KeyExhausted {
        /// The call.
        call_id: String,
        /// Whose.
        tag: String,
    },
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// By a command.
    Deleted,
    /// No packet came for [`Settings::timeout`](crate::Settings::timeout).
    Timeout,
    /// The same of a call on hold.
    SilentTimeout,
    /// It was not answered.
    OfferTimeout,
    /// An operator ended it.
    Terminated,
    /// The relay let it expire.
    Expired,
}

impl Ended {
    /// All of them, for counters.
    pub const ALL: [Self; 6] =
        [Self::Deleted, Self::Timeout, Self::SilentTimeout, Self::OfferTimeout, Self::Terminated, Self::Expired];

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Timeout => "timeout",
            Self::SilentTimeout => "silent_timeout",
            Self::OfferTimeout => "offer_timeout",
            Self::Terminated => "terminated",
            Self::Expired => "expired",
        }
    }
}
