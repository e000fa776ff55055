//! What the configuration says of media.

use std::net::IpAddr;
use std::time::Duration;

use raceway_api::{Learning, RelayPorts};

use crate::limits;

/// An address of a named interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name by which commands ask for it. Several entries may have the same.
    pub name: String,
    /// Address of this machine.
    pub address: IpAddr,
    /// What the other side is told; the same without a 1:1 NAT.
    pub advertised: IpAddr,
    /// Ports; RTP on even ones, RTCP on the next.
    pub ports: RelayPorts,
}

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The first one's name is the default.
    pub interfaces: Vec<Interface>,
    /// A call without a packet for so long ends.
    pub timeout: Duration,
    /// The same for a call on hold.
    pub silent_timeout: Duration,
    /// The same for one that was never answered.
    pub offer_timeout: Duration,
    /// How long a deleted call stays, unless the command says.
    pub delete_delay: Duration,
    /// How addresses are learned unless the command says.
    pub learning: Learning,
    /// DTMF is told of every party that may send it, whether or not a command says so; of streams that begin from now on.
    pub detect_dtmf: bool,
    /// Calls at one time.
    pub calls_max: usize,
    /// Workers of the relay.
    pub workers: u16,
}

impl Settings {
    /// The defaults, for these interfaces.
    #[must_use]
    pub fn new(interfaces: Vec<Interface>) -> Self {
        Self {
            interfaces,
            timeout: Duration::from_secs(60),
            silent_timeout: Duration::from_secs(3600),
            offer_timeout: Duration::from_secs(3600),
            delete_delay: Duration::ZERO,
            learning: Learning::Heuristic,
            detect_dtmf: false,
            calls_max: limits::CALLS_MAX,
            workers: 1,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let mut names: Vec<&str> = Vec::new();
        for interface in &self.interfaces {
            let name = &*interface.name;
            if name.is_empty() || name.len() > limits::INTERFACE_NAME_MAX {
                return Err(SettingsError::Name(name.to_owned()));
            }
            if interface.address.is_ipv4() != interface.advertised.is_ipv4() {
                return Err(SettingsError::Family { address: interface.address, advertised: interface.advertised });
            }
            let RelayPorts { first, last } = interface.ports;
            if first == 0 || u32::from(last) < u32::from(first).next_multiple_of(2) + 1 {
                return Err(SettingsError::Ports { first, last });
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > limits::INTERFACES_MAX || self.interfaces.len() > limits::ADDRESSES_MAX {
            return Err(SettingsError::TooManyInterfaces(self.interfaces.len()));
        }
        if self.calls_max == 0 || self.calls_max > limits::CALLS_MAX {
            return Err(SettingsError::Calls(self.calls_max));
        }
        if self.interfaces.is_empty() { Err(SettingsError::NoInterface) } else { Ok(()) }
    }
}

/// A rule that settings broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There must be one.
    #[error("no media interface")]
    NoInterface,
    /// Over a limit.
    #[error("{0} addresses of media interfaces; at most {max}, of {names} names", max = limits::ADDRESSES_MAX, names = limits::INTERFACES_MAX)]
    TooManyInterfaces(usize),
    /// Empty or too long.
    #[error("interface name {0:?}: 1 to {max} octets", max = limits::INTERFACE_NAME_MAX)]
    Name(String),
    /// An address is advertised as one of the other family.
    #[error("interface address {address} cannot be advertised as {advertised}: another family")]
    Family {
        /// Of this machine.
        address: IpAddr,
        /// What would be told.
        advertised: IpAddr,
    },
    /// No room for a pair.
    #[error("media ports {first} to {last}: RTP and RTCP need an even port and the next")]
    Ports {
        /// First.
        first: u16,
        /// Last.
        last: u16,
    },
    /// Zero, or over the limit.
    #[error("{0} calls: 1 to {max} are possible", max = limits::CALLS_MAX)]
    Calls(usize),
}
