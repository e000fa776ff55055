//! What the relay tells control.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Flow, LegEvent, LegId, LegReport, RecordingFigures, RecordingReport, RecordingState, SessionId};

/// A message from the relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromRelay<'a> {
    /// Answer to [`ToRelay::Hello`](crate::ToRelay::Hello).
    Hello {
        /// The relay's program version, for people.
        version: Cow<'a, str>,
        /// Random number of this relay process: another one means that it restarted.
        instance: u64,
        /// Workers, numbered from 0.
        workers: u16,
        /// Most flows it holds.
        flows_max: u32,
        /// Sessions it holds now.
        sessions: u32,
        /// Control connections so far in the life of this relay process, this one included.
        connections: u64,
        /// What each interface got.
        interfaces: Vec<InterfaceReport<'a>>,
    },
    /// A datagram from a client or a party that control must decide about.
    #[serde(borrow)]
    Punt(Punt<'a>),
    /// An [`Apply`](crate::ToRelay::Apply) stopped; operations before `operation` stand, nothing was sent.
    Failed {
        /// Of the `Apply`.
        transaction: u64,
        /// Of the `Apply`.
        session: SessionId,
        /// Index of the operation that failed.
        operation: u16,
        /// Why.
        error: OperationError,
    },
    /// An [`Apply`](crate::ToRelay::Apply) that held [`Confirm`](crate::Operation::Confirm) is in force.
    Applied {
        /// Of the `Apply`.
        transaction: u64,
        /// Of the `Apply`.
        session: SessionId,
    },
    /// Something happened on a leg.
    Leg {
        /// Its session.
        session: SessionId,
        /// Which.
        leg: LegId,
        /// When, kernel monotonic nanoseconds.
        at_ns: u64,
        /// What.
        event: LegEvent,
    },
    /// A session reached its expiry and was removed.
    Expired(SessionId),
    /// One session of a snapshot or report. A session with many flows or legs comes in several messages with the same
    /// `id`, which the receiver adds up.
    Session(SessionReport<'a>),
    /// The snapshot or report is complete.
    SnapshotEnd,
    /// Answer to [`ToRelay::Statistics`](crate::ToRelay::Statistics).
    Statistics(Statistics),
    /// A `Configure` or other command could not be carried out whole; what, why and what to do, for people.
    Problem(Cow<'a, str>),
    /// A recording begins, stops because it cannot be written, or goes on.
    Recording {
        /// Of which session.
        session: SessionId,
        /// How it goes.
        state: RecordingState,
    },
}

/// A datagram from a client, or STUN or DTLS from a party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Punt<'a> {
    /// Worker that received it.
    pub worker: u16,
    /// Listener or media address that it reached.
    pub local: SocketAddr,
    /// Its source.
    pub remote: SocketAddr,
    /// When the worker received it, kernel monotonic nanoseconds.
    pub received_at_ns: u64,
    /// UDP payload.
    #[serde(borrow)]
    pub payload: Cow<'a, [u8]>,
}

/// Why an operation could not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationError {
    /// Another process or session has the relayed address.
    AddressInUse,
    /// The address is not one of this machine.
    AddressNotAvailable,
    /// The kernel refused the socket for another reason (rights, limits).
    SocketRefused,
    /// Out of file descriptors.
    OpenFiles,
    /// The flow table is full (`flows_max`).
    FlowsFull,
    /// The match belongs to another session.
    MatchTaken,
    /// The session was not created.
    UnknownSession,
    /// The session has as many legs as it may ([`LEGS_MAX`](crate::limits::LEGS_MAX)), or the worker as many.
    LegsFull,
    /// The flow was not created.
    UnknownFlow,
    /// The session table is full.
    SessionsFull,
    /// The command is not one that makes sense (family mismatch, missing address, key of a wrong length).
    Invalid,
}

/// One session as the relay holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReport<'a> {
    /// Its name.
    pub id: SessionId,
    /// Worker that receives for it.
    pub worker: u16,
    /// When it ends by itself.
    pub expires_at_ns: u64,
    /// As control left it.
    #[serde(borrow)]
    pub blob: Cow<'a, [u8]>,
    /// Open relayed transport addresses: local, external.
    pub relayed: Vec<(SocketAddr, SocketAddr)>,
    /// Open media addresses: local, external.
    pub media: Vec<(SocketAddr, SocketAddr)>,
    /// Its flows.
    pub flows: Vec<FlowReport>,
    /// Its legs.
    pub legs: Vec<LegReport<'a>>,
    /// Its recording.
    #[serde(borrow)]
    pub recording: Option<RecordingReport<'a>>,
}

/// One flow and what it measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowReport {
    /// As it was put; `expires_at_ns` as it is now.
    pub flow: Flow,
    /// Also in the XDP table.
    pub xdp: bool,
    /// Datagrams relayed.
    pub packets: u64,
    /// Octets of application data relayed.
    pub octets: u64,
    /// Datagrams dropped by its limits.
    pub dropped: u64,
    /// RTP packets dropped by its rules; they are among `rtp_received`.
    pub blocked: u64,
    /// When the last datagram came that was within its limits, kernel monotonic nanoseconds; zero for never.
    pub last_ns: u64,
    /// RTP packets received of the last source.
    pub rtp_received: u32,
    /// RTP packets lost.
    pub rtp_lost: u32,
    /// RTP packets reordered.
    pub rtp_reordered: u32,
    /// Jitter (RFC 3550) in microseconds; absent while the clock rate is unknown.
    pub rtp_jitter_us: Option<u32>,
    /// Last SSRC.
    pub rtp_ssrc: u32,
    /// Its highest sequence number, that is the one after all others.
    pub rtp_sequence: u16,
    /// Last RTP payload type.
    pub rtp_payload_type: u8,
}

/// What an interface got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceReport<'a> {
    /// Kernel name.
    pub name: Cow<'a, str>,
    /// Data path.
    pub mode: XdpMode,
    /// Why this and not a better one; for people.
    pub reason: Cow<'a, str>,
}

impl InterfaceReport<'_> {
    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> InterfaceReport<'static> {
        InterfaceReport {
            name: Cow::Owned(self.name.into_owned()),
            mode: self.mode,
            reason: Cow::Owned(self.reason.into_owned()),
        }
    }
}

/// Data path of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook, after the packet buffer was made.
    Generic,
    /// Not attached: workers only.
    Off,
}

impl XdpMode {
    /// Metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Off => "off",
        }
    }
}

/// Everything `/metrics` needs from the relay. Counter arrays are indexed by `raceway_abi::Counter`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Counters of XDP, summed over CPUs.
    pub xdp: Vec<u64>,
    /// Counters of the workers, summed.
    pub worker: Vec<u64>,
    /// Sessions held.
    pub sessions: u64,
    /// Flows that XDP can see.
    pub flows_xdp: u64,
    /// Flows that only workers see.
    pub flows_worker: u64,
    /// RTP packets lost, over live and ended flows.
    pub rtp_lost: u64,
    /// Live RTP flows by jitter: counts per upper bound of `rtp_jitter_bounds_us`, then one above all.
    pub rtp_jitter_counts: Vec<u64>,
    /// Upper bounds of the buckets in microseconds.
    pub rtp_jitter_bounds_us: Vec<u32>,
    /// Sum of the jitter of all live RTP flows, microseconds.
    pub rtp_jitter_sum_us: u64,
    /// Busy share since the last `Statistics`, by worker, in parts of a million.
    pub worker_busy_ppm: Vec<u32>,
    /// What each interface got.
    pub interfaces: Vec<InterfaceReport<'static>>,
    /// Recordings.
    pub recording: RecordingFigures,
}
