//! Whether the far end of a veth link has an XDP program in its driver.
//!
//! Only then do frames that veth sends by `XDP_TX` arrive, and they are cheaper than redirected ones. The far end is
//! mostly in another network namespace; rtnetlink(7) answers for that too, if we may administer it.

use std::io::{self, Read, Write};

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

const AF_NETLINK: i32 = 16;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;
const IFLA_LINK: u16 = 5;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFLA_XDP_ATTACHED: u16 = 2;
/// Values of [`IFLA_XDP_ATTACHED`] with a program in the driver: there alone, or there and elsewhere.
const IN_DRIVER: [u8; 2] = [1, 4];
/// Octets of a netlink header, and of the interface header behind it.
const HEADERS: usize = 16 + 16;
/// Octets of an answer about one interface, all of its statistics included, and to spare.
const ANSWER_MAX: usize = 32 << 10;

/// Whether the far end of this veth has a program in its driver. False when that cannot be found out.
pub(super) fn has_program(interface: &str) -> bool {
    ask(interface).unwrap_or(false)
}

fn ask(interface: &str) -> io::Result<bool> {
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(0)))?;
    let near = describe(&socket, if_nametoindex(interface)?, None)?;
    let near = attributes(near.get(HEADERS..).unwrap_or_default());
    let Some(far) = word(&near, IFLA_LINK) else { return Ok(false) };
    let far = describe(&socket, far, word(&near, IFLA_LINK_NETNSID))?;
    Ok(is_in_driver(far.get(HEADERS..).unwrap_or_default()))
}

/// The kernel's answer about an interface, in this namespace or in the one that it calls `namespace` here.
fn describe(socket: &Socket, ifindex: u32, namespace: Option<u32>) -> io::Result<Vec<u8>> {
    let mut socket = socket;
    socket.write_all(&question(ifindex, namespace))?;
    let mut answer = vec![0; ANSWER_MAX];
    let octets = socket.read(&mut answer)?;
    answer.truncate(octets);
    match answer.get(4..6) {
        Some(kind) if kind == RTM_NEWLINK.to_ne_bytes() => Ok(answer),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn question(ifindex: u32, namespace: Option<u32>) -> Vec<u8> {
    let mut message = vec![0; HEADERS];
    message[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message[20..24].copy_from_slice(&ifindex.to_ne_bytes());
    if let Some(namespace) = namespace {
        message.extend_from_slice(&8_u16.to_ne_bytes());
        message.extend_from_slice(&IFLA_TARGET_NETNSID.to_ne_bytes());
        message.extend_from_slice(&namespace.to_ne_bytes());
    }
    let octets = message.len() as u32;
    message[..4].copy_from_slice(&octets.to_ne_bytes());
    message
}

fn is_in_driver(octets: &[u8]) -> bool {
    let xdp = value(&attributes(octets), IFLA_XDP).map(attributes).unwrap_or_default();
    value(&xdp, IFLA_XDP_ATTACHED).and_then(<[u8]>::first).is_some_and(|attached| IN_DRIVER.contains(attached))
}

/// Attributes one behind the other: kind and value.
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

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut octets = (4 + value.len() as u16).to_ne_bytes().to_vec();
        octets.extend_from_slice(&kind.to_ne_bytes());
        octets.extend_from_slice(value);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    #[test]
    fn a_program_in_the_driver_is_told_from_others() {
        for (attached, expected) in [(0, false), (1, true), (2, false), (3, false), (4, true)] {
            let xdp = attribute(IFLA_XDP | 0x8000, &attribute(IFLA_XDP_ATTACHED, &[attached]));
            let answer = [attribute(3, b"veth0\0"), xdp].concat();
            assert_eq!(is_in_driver(&answer), expected, "{attached}");
        }
        assert!(!is_in_driver(&[]));
    }

    #[test]
    fn attributes_that_lie_about_their_length_end_the_list() {
        let good = attribute(IFLA_LINK, &7_u32.to_ne_bytes());
        for length in [0_u16, 3, 200] {
            let lie = [length.to_ne_bytes(), [1, 0]].concat();
            assert_eq!(word(&attributes(&[&good[..], &lie].concat()), IFLA_LINK), Some(7));
        }
    }
}
