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
    /// By HTTP, `POST /ng` and `/ng-plain`; absent means nowhere.
    pub http_listen: Option<SocketAddr>,
    /// Who is answered.
    pub allow: Vec<IpNet>,
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
