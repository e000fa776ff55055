//! Addresses of c-lines and `a=rtcp` (RFC 8866 section 5.7, RFC 3605).

use std::net::IpAddr;

use crate::error::{SdpError, quote};
use crate::lines::Line;

/// Where media is to be sent, as a c-line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// An address; of a multicast one without TTL and count.
    Ip(IpAddr),
    /// A name that would have to be looked up, or an address of a network that is not the Internet.
    Name(String),
}

impl Connection {
    /// The address, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }
}

/// Reads a c-line.
pub(crate) fn connection(line: &Line<'_>) -> Result<Connection, SdpError> {
    let wrong = || SdpError::ConnectionLine { line: line.number, text: quote(&line.text) };
    let mut words = line.value().split_ascii_whitespace();
    let (Some(network), Some(kind), Some(address), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    read(network, kind, address).ok_or_else(wrong)
}

/// Network, kind and address of a c-line or `a=rtcp`; None if the address is not of its kind.
pub(crate) fn read(network: &str, kind: &str, address: &str) -> Option<Connection> {
    let base = address.split('/').next().unwrap_or(address);
    match (network.eq_ignore_ascii_case("IN"), base.parse::<IpAddr>()) {
        (true, Ok(ip)) => {
            let is_kind = kind.eq_ignore_ascii_case(if ip.is_ipv4() { "IP4" } else { "IP6" });
            is_kind.then_some(Connection::Ip(ip))
        }
        _ if base.is_empty() => None,
        _ => Some(Connection::Name(address.to_owned())),
    }
}

/// `IN IP4 192.0.2.1`.
pub(crate) fn write(ip: IpAddr) -> String {
    let kind = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!("IN {kind} {ip}")
}
