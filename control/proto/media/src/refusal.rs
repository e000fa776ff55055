//! Why a command was refused. The text is the `error-reason` of the ng protocol.

use std::net::IpAddr;

use raceway_api::{OperationError, RecordingProblem};
use raceway_sdp::SdpError;

use crate::limits;
use crate::options::Family;

/// A rule that a command broke; the call is as it was before. m-lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No call of that name.
    #[error("Unknown call-id {0:?}")]
    UnknownCall(String),
    /// No party with that tag in the call.
    #[error("Unknown {what} {value:?} in call {call_id:?}")]
    UnknownParty {
        /// `from-tag`, `to-tag`, `via-branch`, `address` or `label`.
        what: &'static str,
        /// Its value.
        value: String,
        /// The call.
        call_id: String,
    },
    /// An answer to who has offered nothing.
    #[error("There is no offer of {from_tag:?} in call {call_id:?} that could be answered")]
    NoOffer {
        /// Who should have offered.
        from_tag: String,
        /// The call.
        call_id: String,
    },
    /// A name that is empty or over its limit.
    #[error("{what} has {octets} octets; 1 to {max} are taken")]
    Name {
        /// Which.
        what: &'static str,
        /// Its length.
        octets: usize,
        /// The limit.
        max: usize,
    },
    /// The body cannot be read.
    #[error("Cannot read the SDP: {0}")]
    Sdp(#[from] SdpError),
    /// A body without m-lines.
    #[error("The SDP has no m= line")]
    NoMedia,
    /// An answer with another number of m-lines than the offer (RFC 3264 section 6).
    #[error("The answer has {answered} m= lines, the offer had {offered}")]
    MediaCount {
        /// Of the offer.
        offered: usize,
        /// Of the answer.
        answered: usize,
    },
    /// An address that would have to be looked up.
    #[error("m-line {line}: {name:?} is not an IP address; names are not looked up")]
    NotAnAddress {
        /// Which.
        line: usize,
        /// The name.
        name: String,
    },
    /// Media may not go there.
    #[error(
        "m-line {line}: media cannot be sent to {address}: it is multicast, broadcast, link-local or a loopback address of this machine"
    )]
    Address {
        /// Which.
        line: usize,
        /// Where to.
        address: IpAddr,
    },
    /// The interface is not configured.
    #[error("Unknown interface {name:?}; configured are: {known}")]
    UnknownInterface {
        /// As it was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The interface has no address of that family.
    #[error("Interface {name:?} has no {family} address")]
    NoFamily {
        /// Which.
        name: String,
        /// Which.
        family: Family,
    },
    /// Every port is taken.
    #[error("All {family} media ports of interface {name:?} are in use")]
    PortsExhausted {
        /// Which.
        name: String,
        /// Which.
        family: Family,
    },
    /// As many calls as allowed.
    #[error("There are {0} calls, as many as allowed")]
    CallsExhausted(usize),
    /// No new calls while the appliance is being drained.
    #[error("Draining: no new calls")]
    Draining,
    /// Too many parties or streams.
    #[error("Call {call_id:?} would have more than {max} {what}")]
    TooMany {
        /// Which.
        call_id: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Too many commands at once.
    #[error("{max} commands wait for call {0:?} already", max = limits::WAITING_MAX)]
    Busy(String),
    /// SRTP without a key that could be used.
    #[error(
        "m-line {line}: {protocol} without an a=crypto line that can be used ({lines} lines, suites allowed: {suites})"
    )]
    NoSuite {
        /// Which.
        line: usize,
        /// Its protocol.
        protocol: String,
        /// `a=crypto` lines there.
        lines: usize,
        /// What would do.
        suites: String,
    },
    /// An answer chose a key that was not offered.
    #[error("m-line {line}: the answer's a=crypto {tag} {suite} was not offered")]
    NotOffered {
        /// Which.
        line: usize,
        /// Its number.
        tag: u32,
        /// Its suite.
        suite: &'static str,
    },
    /// A subscription to nobody.
    #[error("No from-tag, from-tags, address, label or \"all\" says whose media is wanted in call {0:?}")]
    NobodyNamed(String),
    /// A tag that is used for something else.
    #[error("{what} {tag:?} of call {call_id:?} is a party that {does}")]
    OtherPart {
        /// `from-tag` or `to-tag`.
        what: &'static str,
        /// The tag.
        tag: String,
        /// The call.
        call_id: String,
        /// What it does.
        does: &'static str,
    },
    /// A party whose media could be copied or connected has none.
    #[error("{tag:?} of call {call_id:?} has no media")]
    NothingToHear {
        /// Its tag.
        tag: String,
        /// The call.
        call_id: String,
    },
    /// SRTP that passes as it is, since before control was restarted, cannot be opened.
    #[error(
        "The SRTP keys of {0:?} are not known since raceway-control was restarted; they are after its next offer or answer"
    )]
    KeysUnknown(String),
    /// Nothing is transcoded.
    #[error("m-line {0}: the two have no format in common, and nothing is transcoded")]
    NoCommonFormat(usize),
    /// Two calls are two sessions of the relay.
    #[error(
        "Parties of different calls ({0:?} and {1:?}) cannot be connected: each call's media is on a worker of its own. Give both one call-id"
    )]
    OtherCall(String, String),
    /// DTLS without the fingerprint of a certificate.
    #[error("m-line {line}: {protocol} without an a=fingerprint line that can be used")]
    NoFingerprint {
        /// Which.
        line: usize,
        /// Its protocol.
        protocol: String,
    },
    /// DTLS-SRTP is not possible.
    #[error("m-line {line}: {protocol} needs DTLS-SRTP, for which there is no certificate here")]
    Dtls {
        /// Which.
        line: usize,
        /// Its protocol.
        protocol: String,
    },
    /// Nobody said that the parties agree to be recorded.
    #[error(
        "Recording is refused: the command's metadata does not say that the parties agree to it; send metadata with the pair \
         consent:yes"
    )]
    NoConsent,
    /// There is nothing to pause.
    #[error("Call {0:?} is not recorded")]
    NotRecorded(String),
    /// The recording could not be begun.
    #[error("The call is not recorded: {}", recording_problem(*.0))]
    Recording(RecordingProblem),
    /// The relay could not do it.
    #[error("The relay refused: {0}")]
    Relay(RelayReason),
    /// The relay is not there.
    #[error("The relay does not answer")]
    RelayAway,
}

/// Why the relay could not, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayReason {
    /// Ports were tried and others had them.
    #[error("{0} media ports in a row are taken by other programs")]
    PortsTaken(u8),
    /// Anything else.
    #[error("{}", words(*.0))]
    Error(OperationError),
}

const fn words(error: OperationError) -> &'static str {
    match error {
        OperationError::AddressInUse => "another program has the port",
        OperationError::AddressNotAvailable => "the interface's address is not one of this machine",
        OperationError::SocketRefused => "the kernel refused the socket",
        OperationError::OpenFiles => "out of file descriptors",
        OperationError::FlowsFull => "the flow table is full (relay.flows_max)",
        OperationError::MatchTaken => "another call has this 5-tuple",
        OperationError::UnknownSession | OperationError::UnknownFlow => "it does not know the call",
        OperationError::SessionsFull => "its session table is full",
        OperationError::LegsFull => "its leg table is full",
        OperationError::Invalid => "it does not make sense of the call",
    }
}

/// Why nothing is recorded, in words.
#[must_use]
pub fn recording_problem(problem: RecordingProblem) -> String {
    let words = match problem {
        RecordingProblem::Unconfigured => "the relay has no [recording] directory and public_key",
        RecordingProblem::TooMany => "there are as many recordings as the relay makes at a time",
        RecordingProblem::Limit => "it is as large as it may be ([recording] max_mb)",
        RecordingProblem::Full => "the disk is full, or has no more room than [recording] keep_free_mb leaves",
        RecordingProblem::Gone => "the directory of recordings is not there",
        RecordingProblem::Denied => "the relay may not write to the directory of recordings",
        RecordingProblem::Other(0) => "the relay's recorder does not answer",
        RecordingProblem::Other(errno) => return format!("its file cannot be written (errno {errno})"),
    };
    words.to_owned()
}
