//! What workers are told, and what they tell.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use hdrhistogram::Histogram;
use raceway_loadgen_core::Schedule;
use raceway_loadgen_core::report::Interval;
use raceway_loadgen_core::rtcp::Figures;
use raceway_netem::Config;
use raceway_units::Instant;

use super::{Expectation, Receivers, Settled, TurnFigures};
use crate::clock::Timeline;
use crate::plan::{Keys, Stream};

/// What the main thread tells workers.
#[derive(Debug, Default)]
pub struct Control {
    /// When media begins, nanoseconds on the timeline; zero until all workers are ready.
    pub begin_at: AtomicU64,
    /// Nothing more is to be sent.
    pub stop: AtomicBool,
}

/// A call is up: its media begins.
#[derive(Debug)]
pub struct Order {
    /// Its streams, as numbered in the plan.
    pub streams: Range<u32>,
    /// The caller's socket; the callee's is the next one.
    pub port: u32,
    /// Where each of them sends.
    pub to: [SocketAddr; 2],
    /// Keys of each.
    pub keys: [Option<Keys>; 2],
    /// When media may begin.
    pub begin: Instant,
    /// When it ends.
    pub end: Instant,
}

/// What a worker tells the main thread.
#[derive(Debug)]
pub enum Report {
    /// Its clients are ready, or have failed; media may begin.
    Ready(Box<Settled>),
    /// The network says that this address cannot be reached; said once.
    Unreachable(SocketAddr),
    /// What was counted since the last.
    Interval(Box<Interval>),
    /// All is over.
    Done(Box<Outcome>),
    /// The kernel refuses to go on.
    Failed(io::Error),
}

/// What a worker found in the end.
#[derive(Debug)]
pub struct Outcome {
    /// Streams that arrived, or should have.
    pub receivers: Receivers,
    /// Packets sent, by place in the plan's streams.
    pub sent: Vec<u64>,
    /// Packets that fell due and were not sent any more.
    pub unsent: u64,
    /// Streams as planned.
    pub streams: Vec<Stream>,
    /// What TURN clients met.
    pub turn: TurnFigures,
    /// What each participant exchanged by RTCP, by the stream that it sends, and round trips in microseconds.
    pub rtcp: (Vec<(Option<u32>, Figures)>, Histogram<u64>),
    /// Share of the time in which the worker worked or waited awake.
    pub busy: f64,
}

/// What all workers of a run have in common.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The time that counts.
    pub timeline: Timeline,
    /// How long media flows.
    pub duration: Duration,
    /// How long late packets are waited for.
    pub drain: Duration,
    /// How streams begin; `begin` is set when it is known.
    pub schedule: Schedule,
    /// Seed of streams.
    pub seed: u64,
    /// What is expected of streams that arrive.
    pub expectation: Expectation,
    /// The link that impaired sockets are behind.
    pub impair: Option<Config>,
    /// Whether reports are sent and read.
    pub rtcp: bool,
}
