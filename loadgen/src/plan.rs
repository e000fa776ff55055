//! What each worker is to do: sockets, streams, TURN clients.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::Receiver;
use raceway_loadgen_core::Identity;
use raceway_loadgen_core::call::{Party, Told};
use raceway_loadgen_core::turn::{Credentials, Settings};
use raceway_srtp::MasterKey;

use crate::source::Source;
use crate::target::Reach;
use crate::worker::Order;

/// The work of one worker. Sockets, streams and clients name each other by their place in these lists.
#[derive(Debug, Default)]
pub struct Plan {
    /// Sockets.
    pub ports: Vec<Port>,
    /// Streams that it sends.
    pub streams: Vec<Stream>,
    /// TURN clients.
    pub clients: Vec<Client>,
    /// Which of the streams that wait begin when.
    pub orders: Option<Receiver<Order>>,
}

/// A socket and what arrives there.
#[derive(Debug)]
pub struct Port {
    /// The socket.
    pub fd: OwnedFd,
    /// The TURN client whose server sends to it.
    pub client: Option<u32>,
    /// It is behind the emulated link, if there is one.
    pub impaired: bool,
    /// Its media is SRTP with these.
    pub keys: Option<Keys>,
}

impl Port {
    /// A socket with plain media of nobody in particular.
    #[must_use]
    pub const fn new(fd: OwnedFd) -> Self {
        Self { fd, client: None, impaired: false, keys: None }
    }
}

/// Keys of a socket's media.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Of what is sent.
    pub ours: MasterKey,
    /// Of what arrives.
    pub theirs: MasterKey,
}

impl Keys {
    /// Those of a party and of what it was told, if its media is SRTP.
    #[must_use]
    pub fn of(party: &Party, told: &Told) -> Option<Self> {
        let (ours, theirs) = party.key.clone().zip(told.key.clone())?;
        Some(Self { ours, theirs })
    }
}

/// A stream to send, and where it should arrive.
#[derive(Debug)]
pub struct Stream {
    /// What it sends.
    pub source: Source,
    /// What people call it.
    pub name: String,
    /// Who it is.
    pub identity: Identity,
    /// Streams of one call begin together.
    pub call: u32,
    /// Where it leaves, and how.
    pub route: Route,
    /// The socket at which it should arrive, if that is one of this worker's.
    pub arrives_at: Option<u32>,
    /// How reports get from there to the sender, if there is a way.
    pub back: Option<Route>,
    /// It begins when there is an order for it, and not with the run.
    pub waits: bool,
}

/// How the packets of a stream travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// As they are.
    Plain {
        /// The socket.
        port: u32,
        /// Where to.
        to: SocketAddr,
    },
    /// By a TURN client to its peer, once that is bound or permitted.
    ByClient {
        /// The client.
        client: u32,
    },
    /// From a peer's socket to what a TURN client was allocated.
    ToClient {
        /// The peer's socket.
        port: u32,
        /// The client.
        client: u32,
    },
}

/// How data of a TURN client travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// ChannelData.
    Channel,
    /// Send and Data indications.
    Indication,
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Channel => "channels",
            Self::Indication => "indications",
        })
    }
}

/// A TURN client.
#[derive(Debug)]
pub struct Client {
    /// Its socket.
    pub port: u32,
    /// The server.
    pub server: SocketAddr,
    /// Its peer; none for a client that only allocates.
    pub peer: Option<SocketAddr>,
    /// How its data travels.
    pub framing: Framing,
    /// Who it says it is.
    pub credentials: Arc<Credentials>,
    /// What it asks for.
    pub settings: Settings,
    /// Seed of its transaction ids.
    pub seed: u128,
    /// When it begins: after the run's begin, or after media's where it comes and goes.
    pub after: Duration,
    /// For a client that comes and goes: how.
    pub turns: Option<Turns>,
    /// Where the server may say that its relayed address is.
    pub reach: Reach,
}

/// How a client comes and goes. Each turn has its time, whatever became of the one before: a slow server does not make
/// the generator ask less.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// From the due time of an allocation to that of the next.
    pub every: Duration,
    /// How long an allocation is kept.
    pub hold: Duration,
}
