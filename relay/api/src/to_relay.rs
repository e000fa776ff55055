//! What control tells the relay.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Leg, LegId, PayloadRules, Recording};

/// Names a session; chosen by control, never reused while it may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// Names a flow inside its session; chosen by control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FlowId(pub u32);

/// A message to the relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRelay<'a> {
    /// First message of a connection. The relay answers with [`FromRelay::Hello`](crate::FromRelay::Hello).
    Hello {
        /// Control's program version, for people.
        version: Cow<'a, str>,
    },
    /// The whole list of addresses to answer TURN clients on, and of those that relayed transport addresses are made
    /// on; replaces the one before. Sockets that stay in the list stay open.
    Configure {
        /// Where clients send to.
        listeners: Vec<Listener>,
        /// Where peers send to. A peer that is one of these must be relayed there, from now on until the relay ends.
        relay_addresses: Vec<RelayAddress>,
        /// Ports of relayed transport addresses.
        relay_ports: RelayPorts,
        /// Ports of media addresses; absent: no media.
        media_ports: Option<RelayPorts>,
        /// Short STUN requests a second that XDP lets pass from one source prefix (/24, /56); zero means all.
        stun_requests_per_second: u32,
    },
    /// Asks for every session and flow: [`FromRelay::Session`](crate::FromRelay::Session) messages, then
    /// [`FromRelay::SnapshotEnd`](crate::FromRelay::SnapshotEnd).
    Snapshot,
    /// Control has said all it knows: the relay forgets flows that it adopted from a relay before it and that no
    /// session has claimed since.
    Synchronised,
    /// Operations on one session, in order; all or (on the first failure) nothing further, and then
    /// [`FromRelay::Failed`](crate::FromRelay::Failed).
    Apply {
        /// Comes back in `Failed`.
        transaction: u64,
        /// Session meant.
        session: SessionId,
        /// At most [`OPERATIONS_MAX`](crate::limits::OPERATIONS_MAX).
        operations: Vec<Operation<'a>>,
        /// Sent after all operations held.
        then_send: Option<Datagram<'a>>,
    },
    /// A datagram to a client or a party.
    Send(Datagram<'a>),
    /// Asks for [`FromRelay::Statistics`](crate::FromRelay::Statistics).
    Statistics,
    /// Asks for one session, or for all with their flows and counters, as `Session` messages and `SnapshotEnd`. One session
    /// is told as it is between the messages before and those after, so its last figures can be had before it goes.
    Report {
        /// All when absent.
        session: Option<SessionId>,
    },
    /// Changes the log level (`error`, `warn`, `info`, `debug`).
    LogLevel(Cow<'a, str>),
}

/// An address that TURN clients send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// Concrete address, never a wildcard.
    pub address: SocketAddr,
}

/// An address that relayed transport addresses are made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RelayAddress {
    /// Address of this machine.
    pub internal: IpAddr,
    /// The same as clients and peers see it; equal without a 1:1 NAT. Same family.
    pub external: IpAddr,
}

/// Ports of relayed transport addresses, or of media addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPorts {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// One step of an [`Apply`](ToRelay::Apply).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation<'a> {
    /// Creates the session, or changes what is given here and leaves its flows.
    PutSession {
        /// Worker that receives for it: where its first request came in. Of a session that exists it stays.
        worker: u16,
        /// When the relay forgets it without being told, kernel monotonic nanoseconds.
        expires_at_ns: u64,
        /// Bits per second of its relayed transport addresses in each direction; zero means no limit. Media addresses have
        /// limits of their own.
        bits_per_second: u64,
        /// At most [`BLOB_MAX`](crate::limits::BLOB_MAX) octets; given back in a snapshot.
        blob: Cow<'a, [u8]>,
    },
    /// Opens a relayed transport address for the session: binds the socket. Fails with
    /// [`AddressInUse`](crate::OperationError::AddressInUse) and the like. Nothing if it is open for this session.
    OpenRelayed {
        /// Local address (internal one behind a 1:1 NAT).
        address: SocketAddr,
        /// The same as peers and clients see it; equal without NAT.
        external: SocketAddr,
    },
    /// Opens a media address for the session: binds the socket, whose datagrams are those of the legs that name it. If it is
    /// open for this session, only its rate changes. As `OpenRelayed` in all else.
    OpenMedia {
        /// Local address (internal one behind a 1:1 NAT).
        address: SocketAddr,
        /// The same as parties see it; equal without NAT.
        external: SocketAddr,
        /// Bits per second that may arrive there, headers of IP and UDP included, whoever sends and whatever it is; zero means
        /// no limit. More than that is dropped before any work on it.
        bits_per_second: u64,
    },
    /// Closes a media address with the flows that arrive there; nothing if it is not open. Fails with
    /// [`Invalid`](crate::OperationError::Invalid) while a leg names it.
    CloseMedia {
        /// Local address.
        address: SocketAddr,
    },
    /// Creates a leg, or changes it: what is equal (keys, remote addresses) keeps its state, and what it measured stays.
    /// At most [`PUT_LEGS_MAX`](crate::limits::PUT_LEGS_MAX) in an `Apply`.
    PutLeg(Box<Leg<'a>>),
    /// Removes a leg; nothing if it is not there.
    RemoveLeg(LegId),
    /// Answered with [`FromRelay::Applied`](crate::FromRelay::Applied) once all operations before it are in force, in
    /// XDP and at the workers.
    Confirm,
    /// Creates or replaces a flow. Replacing one by an equal one keeps its counters.
    PutFlow(Flow),
    /// Changes a flow's expiry.
    Extend {
        /// Flow meant.
        flow: FlowId,
        /// New expiry, kernel monotonic nanoseconds.
        expires_at_ns: u64,
    },
    /// Removes a flow; nothing if it is not there.
    RemoveFlow(FlowId),
    /// Removes the session with its flows, legs and addresses; nothing if it is not there.
    RemoveSession,
    /// Records the session from now on; of one that is recorded already, under the same stem, only `paused` changes, else that
    /// one ends. Answered with [`FromRelay::Recording`](crate::FromRelay::Recording) once there is a file or a reason why not;
    /// the session goes on whatever becomes of it. At most one in an `Apply`. Fails with
    /// [`Invalid`](crate::OperationError::Invalid) for a stem or note that is not proper.
    Record(Recording<'a>),
    /// Ends the recording of the session; nothing if it is not recorded.
    StopRecording {
        /// Its files are removed.
        discard: bool,
    },
}

/// What matches and what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Name inside the session.
    pub id: FlowId,
    /// What it matches.
    pub matches: Match,
    /// What is done.
    pub action: FlowAction,
    /// When it stops by itself, kernel monotonic nanoseconds.
    pub expires_at_ns: u64,
}

/// What a datagram is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Who sends it.
    pub remote: Remote,
    /// Our address that it was sent to.
    pub local: SocketAddr,
    /// How the application data is framed in it.
    pub framing: Framing,
}

/// Who sends a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Remote {
    /// This address and port.
    Exact(SocketAddr),
    /// Any port of this address: a permission (RFC 8656 section 9).
    AnyPort(IpAddr),
    /// Anyone.
    Any,
}

/// How application data is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Framing {
    /// Not at all.
    Plain,
    /// ChannelData with this number (RFC 8656 section 12.4).
    Channel(u16),
    /// Send or Data indication (RFC 8656 section 11).
    Indication,
}

/// What is done with a datagram that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowAction {
    /// Strip the framing it came in, put the new one on, send it.
    Forward {
        /// Towards the client or the peer; decides the counters and which rate limit is meant.
        towards: Destination,
        /// Our address that it leaves from.
        from: SocketAddr,
        /// Where it goes.
        to: SocketAddr,
        /// New framing.
        framing: Framing,
        /// `to` is a relayed address of this appliance (hairpin).
        local_destination: bool,
    },
    /// Send RTP and RTCP on, RTP as its payload type says: both legs are settled, and nothing else has to be changed. What
    /// else arrives (RFC 7983: STUN, DTLS) is the leg's whose address it reached.
    Anchor {
        /// As of `Forward`.
        towards: Destination,
        /// Our media address that it leaves from.
        from: SocketAddr,
        /// Where it goes.
        to: SocketAddr,
        /// New DSCP (0 to 63); absent: that of the packet.
        dscp: Option<u8>,
        /// What becomes of RTP by its payload type.
        payloads: PayloadRules,
        /// As of `Forward`: `to` is an address of this appliance.
        local_destination: bool,
    },
    /// Unwrap Send indications: the peer is named inside, the relayed address of its family sends.
    Unwrap {
        /// Relayed IPv4 address.
        relayed_v4: Option<SocketAddr>,
        /// Relayed IPv6 address.
        relayed_v6: Option<SocketAddr>,
    },
    /// Drop and count.
    Drop,
    /// What reaches this relayed address and matches nothing better has no permission.
    Refuse,
}

/// Which end a flow runs towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Destination {
    /// The peer.
    Peer,
    /// The client.
    Client,
}

/// A datagram to send to a client, or to a party of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram<'a> {
    /// Listener or media address that it leaves from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// At most [`DATAGRAM_MAX`](crate::limits::DATAGRAM_MAX) octets.
    pub payload: Cow<'a, [u8]>,
}
