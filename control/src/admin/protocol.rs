//! Requests and replies.

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::view::{Flow, Session};

/// Octets of a request line.
pub const REQUEST_MAX: u64 = 64 << 10;

/// Sessions or flows in one reply when the request does not say.
pub const LIMIT_DEFAULT: usize = 1000;

/// Sessions or flows in one reply at most: about 100 MiB of JSON.
pub const LIMIT_MAX: usize = 200_000;

/// What racewayctl asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How everything is.
    Status,
    /// Sessions, in the order of their names.
    Sessions {
        /// Most that are wanted.
        limit: usize,
    },
    /// One session and its flows.
    Session {
        /// Its name.
        id: u64,
    },
    /// Flows as the relay holds them.
    Flows {
        /// Of this session, else of all.
        session: Option<u64>,
        /// Most that are wanted.
        limit: usize,
    },
    /// Calls, the oldest first.
    Calls {
        /// Most that are wanted.
        limit: usize,
    },
    /// One call.
    Call {
        /// Its name.
        id: String,
    },
    /// End a call.
    Terminate {
        /// Its name.
        id: String,
    },
    /// Read the configuration file again.
    Reload,
    /// End a session: its relayed addresses close at once.
    End {
        /// Its name.
        id: u64,
    },
    /// Refuse new allocations, or accept them again.
    Drain {
        /// Refuse.
        on: bool,
    },
    /// Change the log level of control and relay.
    LogLevel {
        /// `error`, `warn`, `info` or `debug`.
        level: String,
    },
}

/// What control answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Answer to [`Request::Status`].
    Status(Box<Status>),
    /// Answer to [`Request::Sessions`].
    Sessions {
        /// As many as were asked for.
        sessions: Vec<Session>,
        /// How many there are.
        total: usize,
    },
    /// Answer to [`Request::Session`].
    Session {
        /// The session.
        session: Session,
        /// Its flows; absent while the relay is away.
        flows: Option<Vec<Flow>>,
    },
    /// Answer to [`Request::Flows`].
    Flows {
        /// As many as were asked for.
        flows: Vec<Flow>,
        /// How many there are.
        total: usize,
    },
    /// Answer to [`Request::Calls`].
    Calls {
        /// As many as were asked for.
        calls: Vec<Call>,
        /// How many there are.
        total: usize,
    },
    /// Answer to [`Request::Call`].
    Call(Box<Call>),
    /// Answer to [`Request::Terminate`].
    Terminated {
        /// Call that was ended.
        id: String,
    },
    /// Answer to [`Request::Reload`].
    Reloaded {
        /// What changed, a line each.
        changes: Vec<String>,
        /// What changes only with a restart, a line each.
        restart: Vec<String>,
    },
    /// Answer to [`Request::End`].
    Ended {
        /// Session that was ended.
        id: u64,
    },
    /// Answer to [`Request::Drain`].
    Drained {
        /// Whether new allocations are refused.
        on: bool,
        /// Sessions that are left.
        sessions: usize,
    },
    /// Answer to [`Request::LogLevel`].
    LogLevel {
        /// The level that is written from now on.
        level: String,
    },
    /// It could not be done: what, why, what to do.
    Refused(String),
}

/// How everything is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Control's program version.
    pub version: String,
    /// Control's process.
    pub pid: u32,
    /// Seconds since control started.
    pub uptime_s: u64,
    /// Account that control runs as.
    pub user: String,
    /// `ready`, `draining`, `restoring` or `no relay`.
    pub state: String,
    /// The configuration file.
    pub config: Option<String>,
    /// Where clients send to.
    pub listeners: Vec<String>,
    /// Where peers send to.
    pub relay_addresses: Vec<RelayAddress>,
    /// Ports of relayed addresses.
    pub port_range: String,
    /// The realm.
    pub realm: String,
    /// Where metrics are served.
    pub metrics: Option<String>,
    /// Sessions held.
    pub sessions: usize,
    /// Calls that are there.
    pub calls: usize,
    /// Where commands of SIP proxies are taken.
    pub proxies: Vec<String>,
    /// Relayed IPv4 addresses.
    pub allocations_ipv4: usize,
    /// Relayed IPv6 addresses.
    pub allocations_ipv6: usize,
    /// The relay; absent when it was never there.
    pub relay: Option<RelayStatus>,
    /// What the relay could not do.
    pub problems: Vec<String>,
}

/// An address that is relayed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayAddress {
    /// Of this machine.
    pub internal: String,
    /// As the world sees it.
    pub external: String,
}

/// How the relay is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelayStatus {
    /// It is there now.
    pub connected: bool,
    /// Its program version.
    pub version: String,
    /// Threads that relay.
    pub workers: u16,
    /// Their busy share since the last time someone asked, 0 to 1.
    pub worker_busy: Vec<f64>,
    /// Flows that XDP can see.
    pub flows_xdp: u64,
    /// Flows that only workers see.
    pub flows_worker: u64,
    /// Most flows.
    pub flows_max: u32,
    /// Datagrams relayed by XDP.
    pub packets_xdp: u64,
    /// Datagrams relayed by workers.
    pub packets_worker: u64,
    /// Datagrams dropped, by reason, those that are not zero.
    pub drops: Vec<(String, u64)>,
    /// Times that control connected again to this relay process.
    pub control_restarts: u64,
    /// Data path of each interface.
    pub interfaces: Vec<Interface>,
}

/// Data path of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Kernel name.
    pub name: String,
    /// `native`, `generic` or `off`.
    pub xdp: String,
    /// Why.
    pub reason: String,
}
