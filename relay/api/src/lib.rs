//! Control <-> relay messages and their codec, without I/O.
//!
//! One Unix `SOCK_SEQPACKET` connection; one packet is one *frame*: the API version and one or more messages.
//! Commands state what should exist, so they can be sent again. Control sends [`ToRelay`], the relay [`FromRelay`].
//!
//! A session is opened by control with [`ToRelay::Apply`]; its operations happen in order, and only when all of
//! them held does the relay send the datagrams that came with them: a flow exists before the response that lets
//! a client use it leaves the box.

#![no_std]

extern crate alloc;

mod codec;
mod from_relay;
pub mod limits;
mod media;
mod recording;
mod to_relay;

pub use codec::{Decode, DecodeError, FrameWriter, Limited, decode, fuzz};
pub use from_relay::{
    FlowReport, FromRelay, InterfaceReport, OperationError, Punt, SessionReport, Statistics, XdpMode,
};
pub use media::{
    Bundled, Codec, Dtmf, Format, Learning, Leg, LegEvent, LegId, LegReport, LegRules, MediaPath, MediaRule, PackedLeg,
    PayloadFate, PayloadRule, PayloadRules, Punts, Rollover, Route, Secret, Security, SourcePolicy, SrtpKey,
    StreamReport, Suite, Traffic,
};
pub use recording::{Recording, RecordingFigures, RecordingProblem, RecordingReport, RecordingState};
pub use to_relay::{
    Datagram, Destination, Flow, FlowAction, FlowId, Framing, Listener, Match, Operation, RelayAddress, RelayPorts,
    Remote, SessionId, ToRelay,
};

/// Version of every message; each frame carries it, and each side refuses another.
pub const API_VERSION: u16 = 4;
