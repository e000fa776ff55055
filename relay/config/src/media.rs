//! `[ng]`, `[media]`, `[recording]` and `[cdr]`, checked.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::config::PortRange;

/// `[ng]`: where SIP proxies send commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ng {
    /// By UDP and by TCP; empty means that there is no ng.
    pub listen: Vec<SocketAddr>,
    /// Whether [`listen`](Self::listen) was written, else it is the default: then an address that is taken is no problem.
    pub listen_written: bool,
    /// By HTTP and WebSocket, `POST /ng` and `/ng-plain`; absent means nowhere.
    pub http_listen: Option<SocketAddr>,
    /// The same by TLS.
    pub https: Option<Https>,
    /// Who is answered.
    pub allow: Vec<IpNet>,
    /// Where DTMF goes as rtpengine tells it, a JSON object in a datagram; absent means nowhere.
    pub dtmf_log_dest: Option<SocketAddr>,
    /// Where it is told by HTTP what happens to calls; absent means nowhere.
    pub notify: Option<Url>,
    /// What is told there.
    pub notify_of: Vec<Notice>,
}

/// `https_listen` with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    /// Where.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// An address of the web: `http://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// By TLS.
    pub https: bool,
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// From the slash on.
    pub path: String,
}

impl core::fmt::Display for Url {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { https, host, port, path } = self;
        let scheme = if *https { "https" } else { "http" };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}{path}"),
            false => write!(f, "{scheme}://{host}:{port}{path}"),
        }
    }
}

/// What can be told of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A call ended since no media came, or nobody answered.
    Timeout,
    /// A party is not heard, while the other one is.
    OneWay,
    /// Keys for SRTP did not come, or are used up.
    NoKeys,
    /// A call ended in any other way.
    Ended,
    /// A party pressed a key.
    Dtmf,
}

impl Notice {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::OneWay, Self::NoKeys, Self::Ended, Self::Dtmf];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::OneWay => "one_way",
            Self::NoKeys => "no_keys",
            Self::Ended => "ended",
            Self::Dtmf => "dtmf",
        }
    }
}

impl Ng {
    /// Whether a proxy at `address` is answered.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow.iter().any(|net| net.contains(&address))
    }
}

/// `[media]`: where calls are relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// By name, in the order of the file, the first one is that of who names none; absent means the machine's addresses.
    pub interfaces: Option<Vec<MediaInterface>>,
    /// Ports of calls; absent means that `turn.port_range` leaves none of the default.
    pub port_range: Option<PortRange>,
    /// How long no media may come before a call ends.
    pub timeout: Duration,
    /// How long, while the call is on hold.
    pub silent_timeout: Duration,
}

/// An address of a logical interface; a name may have one of each family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MediaInterface {
    /// What `direction` and `interface` of a command call it.
    pub name: String,
    /// Of this machine.
    pub address: IpAddr,
    /// As SDP has it.
    pub advertised: IpAddr,
}

/// `[recording]`. Directory and key, or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Where recordings are written; absent means that none are.
    pub directory: Option<PathBuf>,
    /// X25519: whoever has the private half can read them, and this machine cannot.
    pub public_key: Option<[u8; 32]>,
    /// 10^6 octets that one recording may have on the disk.
    pub max_mb: u32,
    /// 10^6 octets of the disk that are left to others: with less, nothing is recorded.
    pub keep_free_mb: u32,
}

/// `[cdr]`: one JSON line a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cdr {
    /// Where they are written; absent means that none are.
    pub file: Option<PathBuf>,
    /// Days after which a line is deleted.
    pub retention_days: u32,
    /// Whether parties and addresses are written as `***`.
    pub redact: bool,
}
