//! Socket addresses as the kernel reads and writes them.

use raceway_units::Endpoint;

/// Octets that hold a `sockaddr_in` or a `sockaddr_in6`, rounded up to eight.
pub(crate) const NAME_MAX: usize = 32;

/// Writes a `sockaddr`; returns its length.
#[inline]
pub(crate) fn write(endpoint: &Endpoint, name: &mut [u8; NAME_MAX]) -> u32 {
    name[2..4].copy_from_slice(&endpoint.port.to_be_bytes());
    match endpoint.v4() {
        Some(v4) => {
            name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            name[4..8].copy_from_slice(&v4);
            size_of::<libc::sockaddr_in>() as u32
        }
        None => {
            name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            // Flow information and scope: none, addresses of one link are not relayed to.
            name[4..8].fill(0);
            name[8..24].copy_from_slice(&endpoint.address);
            name[24..28].fill(0);
            size_of::<libc::sockaddr_in6>() as u32
        }
    }
}

/// Reads a `sockaddr`.
#[inline]
pub(crate) fn read(name: &[u8]) -> Option<Endpoint> {
    let [f0, f1, p0, p1, rest @ ..] = name else { return None };
    let port = u16::from_be_bytes([*p0, *p1]);
    match i32::from(u16::from_ne_bytes([*f0, *f1])) {
        libc::AF_INET => {
            let v4 = rest.first_chunk::<4>()?;
            let mut address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
            address[12..].copy_from_slice(v4);
            Some(Endpoint { address, port })
        }
        libc::AF_INET6 => Some(Endpoint { address: *rest.get(4..)?.first_chunk::<16>()?, port }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn both_families_survive_the_kernel_form() {
        for text in ["192.0.2.1:5000", "[2001:db8::7]:65535"] {
            let endpoint = Endpoint::from(text.parse::<SocketAddr>().expect("an address"));
            let mut name = [0xff; NAME_MAX];
            let length = write(&endpoint, &mut name);
            assert_eq!(read(&name[..length as usize]), Some(endpoint));
        }
    }

    #[test]
    fn a_short_or_foreign_name_is_refused() {
        assert_eq!(read(&[2, 0, 1]), None);
        assert_eq!(read(&[1, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(read(&[10, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
