//! Transport addresses, as the packet path holds them.

use core::net::{IpAddr, SocketAddr};

/// A transport address: IPv4 as `::ffff:a.b.c.d`, port in host order. One width for both families, so that keys and
/// comparisons need not ask which it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address.
    pub address: [u8; 16],
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// The IPv4 address, if it is one.
    #[inline]
    #[must_use]
    pub const fn v4(&self) -> Option<[u8; 4]> {
        match self.address {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let octets = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Self { address: octets, port: address.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(IpAddr::from(endpoint.address).to_canonical(), endpoint.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_come_back_as_they_went_in() {
        let v4: SocketAddr = ([192, 0, 2, 1], 5000).into();
        let v6: SocketAddr = ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], u16::MAX).into();
        for address in [v4, v6] {
            assert_eq!(SocketAddr::from(Endpoint::from(address)), address);
        }
        assert_eq!(Endpoint::from(v4).v4(), Some([192, 0, 2, 1]));
        assert_eq!(Endpoint::from(v6).v4(), None);
    }
}
