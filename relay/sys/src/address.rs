//! Socket addresses as the kernel reads and writes them.

use std::net::{IpAddr, SocketAddr};

/// Octets that hold a `sockaddr_in` or a `sockaddr_in6`, rounded up to eight.
pub(crate) const NAME_MAX: usize = 32;

/// A transport address: IPv4 as `::ffff:a.b.c.d`, port in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// Address.
    pub octets: [u8; 16],
    /// Port.
    pub port: u16,
}

impl Address {
    /// The IPv4 address, if it is one.
    #[inline]
    fn v4(&self) -> Option<[u8; 4]> {
        match self.octets {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        }
    }

    /// Writes a `sockaddr`; returns its length.
    #[inline]
    pub(crate) fn write(&self, name: &mut [u8; NAME_MAX]) -> u32 {
        name[2..4].copy_from_slice(&self.port.to_be_bytes());
        match self.v4() {
            Some(v4) => {
                name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                name[4..8].copy_from_slice(&v4);
                size_of::<libc::sockaddr_in>() as u32
            }
            None => {
                name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                // Flow information and scope: none, addresses of one link are not relayed to.
                name[4..8].fill(0);
                name[8..24].copy_from_slice(&self.octets);
                name[24..28].fill(0);
                size_of::<libc::sockaddr_in6>() as u32
            }
        }
    }

    /// Reads a `sockaddr`.
    #[inline]
    pub(crate) fn read(name: &[u8]) -> Option<Self> {
        let [f0, f1, p0, p1, rest @ ..] = name else { return None };
        let port = u16::from_be_bytes([*p0, *p1]);
        match i32::from(u16::from_ne_bytes([*f0, *f1])) {
            libc::AF_INET => {
                let v4 = rest.first_chunk::<4>()?;
                let mut octets = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
                octets[12..].copy_from_slice(v4);
                Some(Self { octets, port })
            }
            libc::AF_INET6 => Some(Self { octets: *rest.get(4..)?.first_chunk::<16>()?, port }),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let octets = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Self { octets, port: address.port() }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(IpAddr::from(address.octets).to_canonical(), address.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_kernel_form() {
        for text in ["192.0.2.1:5000", "[2001:db8::7]:65535"] {
            let address = Address::from(text.parse::<SocketAddr>().expect("an address"));
            let mut name = [0xff; NAME_MAX];
            let length = address.write(&mut name);
            assert_eq!(Address::read(&name[..length as usize]), Some(address));
            assert_eq!(SocketAddr::from(address).to_string(), text);
        }
    }

    #[test]
    fn a_short_or_foreign_name_is_refused() {
        assert_eq!(Address::read(&[2, 0, 1]), None);
        assert_eq!(Address::read(&[1, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Address::read(&[10, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
