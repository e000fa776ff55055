//! What the kernel says of interfaces, routes and neighbours (rtnetlink(7)).

use std::io::{self, Read, Write};
use std::net::IpAddr;

use socket2::{Domain, Protocol, Socket, Type};

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;
/// Values of [`libc::IFLA_XDP`]'s `IFLA_XDP_ATTACHED` with a program in the driver: there alone, or there and elsewhere.
const IN_DRIVER: [u8; 2] = [1, 4];
const IFLA_XDP_ATTACHED: u16 = 2;
/// Octets of a netlink header, and of what stands before the attributes of each kind of message.
const HEADER: usize = 16;
const LINK: usize = 16;
const ROUTE: usize = 12;
const NEIGHBOUR: usize = 12;
/// Octets of an answer about one thing, all statistics of an interface included, and to spare.
const ANSWER_MAX: usize = 32 << 10;

/// An interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its Ethernet address, if it has one.
    pub mac: Option<[u8; 6]>,
    /// Octets of the longest IP packet that it takes.
    pub mtu: Option<u32>,
    /// The far end of a veth link: its number, and what this network namespace calls the one that it is in, if that is
    /// another.
    pub far_end: Option<(u32, Option<u32>)>,
    /// An XDP program is attached in its driver.
    pub has_driver_program: bool,
}

/// Where packets to an address go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Number of the interface by which they leave.
    pub ifindex: u32,
    /// The gateway that they are sent to, if not to their destination.
    pub gateway: Option<IpAddr>,
}

/// An interface of this network namespace, or of the one that it calls `namespace`, which takes the right to administer
/// that.
///
/// # Errors
/// There is none, or the kernel does not tell.
pub fn device(ifindex: u32, namespace: Option<u32>) -> io::Result<Device> {
    let mut body = vec![0; LINK];
    body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    if let Some(namespace) = namespace {
        body.extend(attribute(libc::IFLA_TARGET_NETNSID, &namespace.to_ne_bytes()));
    }
    let answer = ask(libc::RTM_GETLINK, libc::RTM_NEWLINK, &body)?;
    Ok(device_of(answer.get(HEADER + LINK..).unwrap_or_default()))
}

fn device_of(octets: &[u8]) -> Device {
    let found = attributes(octets);
    let xdp = value(&found, libc::IFLA_XDP).map(attributes).unwrap_or_default();
    let attached = value(&xdp, IFLA_XDP_ATTACHED).and_then(<[u8]>::first);
    Device {
        mac: value(&found, libc::IFLA_ADDRESS).and_then(|octets| octets.try_into().ok()).filter(|mac| *mac != [0; 6]),
        mtu: word(&found, libc::IFLA_MTU),
        far_end: word(&found, libc::IFLA_LINK).map(|far| (far, word(&found, libc::IFLA_LINK_NETNSID))),
        has_driver_program: attached.is_some_and(|attached| IN_DRIVER.contains(attached)),
    }
}

/// The way to an address.
///
/// # Errors
/// There is none.
pub fn route(to: IpAddr) -> io::Result<Route> {
    let mut body = vec![0; ROUTE];
    (body[0], body[1]) = family(to);
    body.extend(attribute(libc::RTA_DST, &octets(to)));
    let answer = ask(libc::RTM_GETROUTE, libc::RTM_NEWROUTE, &body)?;
    let found = attributes(answer.get(HEADER + ROUTE..).unwrap_or_default());
    let ifindex = word(&found, libc::RTA_OIF).ok_or(io::ErrorKind::NotFound)?;
    Ok(Route { ifindex, gateway: value(&found, libc::RTA_GATEWAY).and_then(address) })
}

/// Ethernet address of a neighbour, if the kernel knows it.
#[must_use]
pub fn neighbour(ifindex: u32, of: IpAddr) -> Option<[u8; 6]> {
    let mut body = vec![0; NEIGHBOUR];
    body[0] = family(of).0;
    body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    body.extend(attribute(libc::NDA_DST, &octets(of)));
    let answer = ask(libc::RTM_GETNEIGH, libc::RTM_NEWNEIGH, &body).ok()?;
    let found = attributes(answer.get(HEADER + NEIGHBOUR..)?);
    value(&found, libc::NDA_LLADDR)?.try_into().ok()
}

/// Family and prefix length of one address.
const fn family(address: IpAddr) -> (u8, u8) {
    match address {
        IpAddr::V4(_) => (AF_INET, 32),
        IpAddr::V6(_) => (AF_INET6, 128),
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4().or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// Asks one question, which one message answers.
fn ask(question: u16, expected: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW.cloexec(), Some(Protocol::from(0)))?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend(question.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    socket.write_all(&message)?;
    let mut answer = vec![0; ANSWER_MAX];
    let octets = socket.read(&mut answer)?;
    answer.truncate(octets);
    match answer.get(4..6) {
        Some(kind) if kind == expected.to_ne_bytes() => Ok(answer),
        Some(kind) if kind == (libc::NLMSG_ERROR as u16).to_ne_bytes() => Err(refusal(&answer)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The number of an error message, which is negative there.
fn refusal(answer: &[u8]) -> io::Error {
    let number = answer.get(HEADER..).and_then(<[u8]>::first_chunk).map_or(0, |octets| i32::from_ne_bytes(*octets));
    if number == 0 { io::ErrorKind::InvalidData.into() } else { io::Error::from_raw_os_error(number.wrapping_neg()) }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut octets = (4 + value.len() as u16).to_ne_bytes().to_vec();
    octets.extend(kind.to_ne_bytes());
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

/// Attributes one behind the other: kind and value. One that lies about its length ends the list.
fn attributes(mut octets: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((&[a, b, c, d], _)) = octets.split_first_chunk() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = octets.get(4..length) else { break };
        // The upper two bits are flags.
        found.push((u16::from_ne_bytes([c, d]) & 0x3fff, value));
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn value<'a>(attributes: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(other, _)| *other == kind).map(|(_, value)| *value)
}

fn word(attributes: &[(u16, &[u8])], kind: u16) -> Option<u32> {
    Some(u32::from_ne_bytes(value(attributes, kind)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_in_the_driver_is_told_from_others() {
        for (attached, expected) in [(0, false), (1, true), (2, false), (3, false), (4, true)] {
            let xdp = attribute(libc::IFLA_XDP | 0x8000, &attribute(IFLA_XDP_ATTACHED, &[attached]));
            let answer = [attribute(libc::IFLA_IFNAME, b"veth0\0"), xdp].concat();
            assert_eq!(device_of(&answer).has_driver_program, expected, "{attached}");
        }
        assert_eq!(device_of(&[]), Device::default());
    }

    #[test]
    fn a_far_end_may_be_in_another_namespace() {
        let link = attribute(libc::IFLA_LINK, &7_u32.to_ne_bytes());
        assert_eq!(device_of(&link).far_end, Some((7, None)));
        let elsewhere = [link, attribute(libc::IFLA_LINK_NETNSID, &3_u32.to_ne_bytes())].concat();
        assert_eq!(device_of(&elsewhere).far_end, Some((7, Some(3))));
    }

    #[test]
    fn attributes_that_lie_about_their_length_end_the_list() {
        let good = attribute(libc::RTA_OIF, &7_u32.to_ne_bytes());
        for length in [0_u16, 3, 200] {
            let lie = [length.to_ne_bytes(), [1, 0]].concat();
            assert_eq!(word(&attributes(&[&good[..], &lie].concat()), libc::RTA_OIF), Some(7));
        }
    }

    #[test]
    fn this_machine_is_reached_by_its_loopback_which_has_no_ethernet_address() {
        let Route { ifindex, gateway } = route([127, 0, 0, 1].into()).unwrap();
        let loopback = device(ifindex, None).unwrap();
        assert_eq!((gateway, loopback.mac, loopback.far_end), (None, None, None));
        assert!(loopback.mtu.is_some_and(|mtu| mtu >= 1500));
    }

    #[test]
    fn what_is_not_there_is_an_error_with_its_number() {
        let error = device(u32::MAX >> 1, None).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
