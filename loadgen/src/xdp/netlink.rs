//! What the kernel says of routes, neighbours and interfaces (rtnetlink(7)).

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

const AF_NETLINK: i32 = 16;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const RTM_GETLINK: u16 = 18;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const IFLA_ADDRESS: u16 = 1;
const IFLA_MTU: u16 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// Octets of a netlink header, and of what stands before the attributes of each kind of message.
const HEADER: usize = 16;
const LINK: usize = 16;
const ROUTE: usize = 12;
const NEIGHBOUR: usize = 12;
/// Octets of an answer about one thing, and to spare.
const ANSWER_MAX: usize = 32 << 10;
/// How long a neighbour may take to say where it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// An interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Octets of the longest IP packet that it takes.
    pub mtu: u32,
}

impl Interface {
    /// By its name.
    ///
    /// # Errors
    /// There is none, or it is no Ethernet.
    pub fn find(name: &str) -> Result<Self> {
        let ifindex =
            if_nametoindex(name).ok().with_context(|| format!("--interface {name}: there is no such interface"))?;
        let mut body = vec![0; LINK];
        body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        let answer = ask(RTM_GETLINK, &body).with_context(|| format!("{name}: the kernel does not describe it"))?;
        let found = attributes(answer.get(HEADER + LINK..).unwrap_or_default());
        let mac = value(&found, IFLA_ADDRESS).and_then(|octets| octets.try_into().ok()).filter(|mac| *mac != [0; 6]);
        let mac = mac.with_context(|| format!("{name} has no Ethernet address: frames cannot be sent from it"))?;
        let mtu = word(&found, IFLA_MTU).unwrap_or(1500);
        Ok(Self { name: name.to_owned(), ifindex, mac, mtu })
    }

    /// Hardware address of the next hop towards a target, which must be reached by this interface.
    ///
    /// # Errors
    /// The way leads elsewhere, or nobody answers.
    pub fn next_hop(&self, target: SocketAddr) -> Result<[u8; 6]> {
        let name = &self.name;
        let (by, gateway) = route(target.ip()).with_context(|| format!("{target}: no route to it"))?;
        if by != self.ifindex {
            bail!(
                "{target} is not reached by {name}: name the interface that leads there, or the --next-hop on {name}"
            );
        }
        let hop = gateway.unwrap_or(target.ip());
        let mut left = PATIENCE;
        loop {
            if let Some(mac) = neighbour(self.ifindex, hop) {
                return Ok(mac);
            }
            if left.is_zero() {
                bail!(
                    "{hop}, the next hop towards {target}, does not say its Ethernet address: give it with --next-hop"
                );
            }
            nudge(hop);
            let step = Duration::from_millis(50);
            std::thread::sleep(step);
            left = left.saturating_sub(step);
        }
    }
}

/// Makes the kernel look for a neighbour: an empty datagram to the port that discards (RFC 863).
fn nudge(hop: IpAddr) {
    let any: SocketAddr = if hop.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    if let Ok(socket) = UdpSocket::bind(any) {
        let _ = socket.send_to(&[], (hop, 9));
    }
}

/// The interface by which an address is reached, and the gateway if there is one.
fn route(to: IpAddr) -> io::Result<(u32, Option<IpAddr>)> {
    let mut body = vec![0; ROUTE];
    (body[0], body[1]) = family(to);
    body.extend(attribute(RTA_DST, &octets(to)));
    let answer = ask(RTM_GETROUTE, &body)?;
    let found = attributes(answer.get(HEADER + ROUTE..).unwrap_or_default());
    let by = word(&found, RTA_OIF).ok_or(io::ErrorKind::NotFound)?;
    Ok((by, value(&found, RTA_GATEWAY).and_then(address)))
}

fn neighbour(ifindex: u32, of: IpAddr) -> Option<[u8; 6]> {
    let mut body = vec![0; NEIGHBOUR];
    body[0] = family(of).0;
    body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    body.extend(attribute(NDA_DST, &octets(of)));
    let answer = ask(RTM_GETNEIGH, &body).ok()?;
    let found = attributes(answer.get(HEADER + NEIGHBOUR..)?);
    value(&found, NDA_LLADDR)?.try_into().ok()
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

fn ask(kind: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(0)))?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    socket.write_all(&message)?;
    let mut answer = vec![0; ANSWER_MAX];
    let octets = socket.read(&mut answer)?;
    answer.truncate(octets);
    match answer.get(4..6) {
        Some(kind) if kind != NLMSG_ERROR.to_ne_bytes() => Ok(answer),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
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
    fn attributes_that_lie_about_their_length_end_the_list() {
        let good = attribute(RTA_OIF, &7_u32.to_ne_bytes());
        for length in [0_u16, 3, 200] {
            let lie = [length.to_ne_bytes(), [1, 0]].concat();
            assert_eq!(word(&attributes(&[&good[..], &lie].concat()), RTA_OIF), Some(7));
        }
    }

    #[test]
    fn this_machine_is_reached_by_its_loopback() {
        let (by, gateway) = route([127, 0, 0, 1].into()).unwrap();
        assert_eq!((by, gateway), (if_nametoindex("lo").unwrap(), None));
        assert!(Interface::find("lo").unwrap_err().to_string().contains("no Ethernet address"));
        assert!(Interface::find("nowhere0").unwrap_err().to_string().contains("no such interface"));
    }
}
