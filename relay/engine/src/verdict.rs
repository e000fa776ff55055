//! What goes into the forwarding machine and what comes out.

use core::ops::Range;

use raceway_abi::{DropReason, FlowKey};
use raceway_units::Endpoint;

/// Which kind of socket a datagram arrived at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// One that TURN clients send to.
    Listener,
    /// A relayed transport address, which peers send to.
    Relayed,
    /// A media address, which a party of a call sends to.
    Media,
}

/// A datagram as it arrived.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Which kind of socket it arrived at.
    pub arrival: Arrival,
    /// Our address.
    pub local: Endpoint,
    /// Its source.
    pub remote: Endpoint,
    /// Memory that holds it, with room in front for headers.
    pub buffer: &'a mut [u8],
    /// Where its UDP payload lies in `buffer`.
    pub payload: Range<usize>,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Socket to send from, as the writer of the table named it.
    pub egress: u32,
    /// Destination.
    pub to: Endpoint,
    /// The UDP payload to send, as a range of the buffer.
    pub payload: Range<usize>,
    /// The DF bit must be set (RFC 8656 section 14, DONT-FRAGMENT).
    pub dont_fragment: bool,
    /// DSCP (0..=63), or `KEEP_DSCP`.
    pub dscp: u8,
}

/// What to do with a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Forward(Forward),
    /// Control decides.
    Punt,
    /// No flow takes it: it is for the legs of its media address.
    Leg,
    /// Nothing; the reason has been counted.
    Drop(DropReason),
}

/// The key of a datagram from `remote` to `local`.
#[inline]
#[must_use]
pub fn key(remote: Endpoint, local: Endpoint, channel: u16) -> FlowKey {
    FlowKey {
        remote: remote.address,
        local: local.address,
        remote_port: remote.port,
        local_port: local.port,
        channel,
        reserved: 0,
    }
}
