//! A configuration that was checked; the rest of the program sees only this.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::media::{Cdr, Media, Ng, Recording};
use crate::origin::Origin;
use crate::secret::{Secret, UserKey};

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the program keeps things and who it runs as.
    pub node: Node,
    /// The data plane.
    pub relay: Relay,
    /// STUN and TURN.
    pub turn: Turn,
    /// Metrics and health.
    pub http: Http,
    /// Commands of SIP proxies.
    pub ng: Ng,
    /// Calls.
    pub media: Media,
    /// Recordings of calls.
    pub recording: Recording,
    /// Records of calls.
    pub cdr: Cdr,
    /// The log.
    pub log: Log,
    /// Where each key stands in the file.
    pub origin: Origin,
}

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What outlives the process; absent means that [`Paths`](crate::Paths) chooses.
    pub state_dir: Option<PathBuf>,
    /// Sockets; absent means that [`Paths`](crate::Paths) chooses.
    pub run_dir: Option<PathBuf>,
    /// Account that control becomes when it is started by root; absent means `raceway` if there is one, else a user
    /// identifier that nobody has.
    pub user: Option<String>,
}

/// `[relay]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Interfaces that XDP is attached to.
    pub interfaces: Interfaces,
    /// How XDP is attached.
    pub xdp: Xdp,
    /// Worker threads.
    pub workers: Workers,
    /// Most flows held at a time.
    pub flows_max: u32,
    /// Directory in bpffs that holds the pinned maps and links.
    pub pin_dir: PathBuf,
}

/// `relay.interfaces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// Those that carry an address of `turn.listen` or `turn.relay_addresses`.
    Auto,
    /// These, by kernel name; never empty.
    Named(Vec<String>),
}

/// `relay.xdp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xdp {
    /// Native if the driver has it, else the kernel's generic hook, else workers alone on that interface.
    Auto,
    /// Native, or the relay refuses to start.
    Native,
    /// The kernel's generic hook, or the relay refuses to start.
    Generic,
    /// Workers alone.
    Off,
}

/// `relay.workers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One on each core that the process may run on.
    Auto,
    /// One on each of these cores; never empty, no core twice.
    Cores(Vec<u16>),
}

/// `[turn]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Where clients send to; a wildcard address stands for every address of the machine of its family.
    pub listen: Vec<SocketAddr>,
    /// Realm of the credentials; absent means the one made on first start.
    pub realm: Option<String>,
    /// Addresses that relayed transport addresses are made on; absent means the global ones of the machine.
    pub relay_addresses: Option<Vec<IpAddr>>,
    /// 1:1 NAT: address of the machine to address that the world sees.
    pub external_addresses: BTreeMap<IpAddr, IpAddr>,
    /// Ports of relayed transport addresses.
    pub port_range: PortRange,
    /// Lifetime of an allocation that asks for none.
    pub lifetime_default: Duration,
    /// Longest lifetime of an allocation.
    pub lifetime_max: Duration,
    /// Whether responses name the software (RFC 8489 section 14.14).
    pub software: bool,
    /// How long a nonce is good for.
    pub nonce_lifetime: Duration,
    /// `[turn.auth]`.
    pub auth: Auth,
    /// `[turn.policy]`.
    pub policy: Policy,
}

/// First and last port, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port; at least 1.
    pub first: u16,
    /// Last port; not below the first.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` is in it.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// `[turn.auth]`. Both empty means the user made on first start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Long-term users by name.
    pub users: BTreeMap<String, UserKey>,
    /// Secrets of time-limited credentials (`expiry:user`); all are good at the same time.
    pub shared_secrets: Vec<Secret>,
}

/// `[turn.policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Peers allowed although the built-in list refuses them.
    pub allow_peers: Vec<IpNet>,
    /// Peers refused, whatever else holds.
    pub deny_peers: Vec<IpNet>,
    /// Allocations of one user at a time; zero means no limit, absent means three quarters of the ports that there are.
    pub quota_per_user: Option<u32>,
    /// Allocations at a time; zero means no limit.
    pub quota_total: u32,
    /// Flows of one user at a time; zero means no limit, absent means three quarters of `relay.flows_max`.
    pub flows_per_user: Option<u32>,
    /// Bits per second in each direction of one allocation; zero means no limit.
    pub bits_per_second_per_allocation: u64,
    /// Octets per second that answers to unproven requests may be larger than those, by /24 or /56.
    pub unauthenticated_octets_per_second: u64,
    /// Short STUN requests per second that XDP lets pass, by /24 or /56; zero means all.
    pub stun_requests_per_second: u32,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where `/metrics`, `/healthz` and `/readyz` are served; absent means nowhere.
    pub listen: Option<SocketAddr>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Least serious level that is written.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
    /// Whether addresses and user names are left out.
    pub redact: bool,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What does not work.
    Error,
    /// What may soon not work.
    Warn,
    /// What changed.
    Info,
    /// What happens.
    Debug,
}

impl LogLevel {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug].into_iter().find(|level| level.as_str() == text)
    }
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        crate::parse("", "").expect("every default is valid, as a test shows")
    }
}
