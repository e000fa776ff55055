//! Interfaces that streams leave and arrive by, and the way to a target.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::net::if_::if_nametoindex;
use raceway_sys::netlink::{device, neighbour, route};

/// How long a neighbour may take to say where it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two looks for it.
const STEP: Duration = Duration::from_millis(50);
/// Octets of a packet on Ethernet, where the kernel does not say.
const MTU: u32 = 1500;

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
        let found = device(ifindex, None).with_context(|| format!("{name}: the kernel does not describe it"))?;
        let mac =
            found.mac.with_context(|| format!("{name} has no Ethernet address: frames cannot be sent from it"))?;
        Ok(Self { name: name.to_owned(), ifindex, mac, mtu: found.mtu.unwrap_or(MTU) })
    }

    /// Hardware address of the next hop towards a target, which must be reached by this interface.
    ///
    /// # Errors
    /// The way leads elsewhere, or nobody answers.
    pub fn next_hop(&self, target: SocketAddr) -> Result<[u8; 6]> {
        let name = &self.name;
        let way = route(target.ip()).with_context(|| format!("{target}: no route to it"))?;
        if way.ifindex != self.ifindex {
            bail!(
                "{target} is not reached by {name}: name the interface that leads there, or the --next-hop on {name}"
            );
        }
        let hop = way.gateway.unwrap_or(target.ip());
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
            nudge(hop)?;
            std::thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        }
    }
}

/// Makes the kernel look for a neighbour: an empty datagram to the port that discards (RFC 863).
fn nudge(hop: IpAddr) -> io::Result<()> {
    let any: SocketAddr = if hop.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    // A neighbour that does not answer is found out by waiting.
    let _ = UdpSocket::bind(any)?.send_to(&[], (hop, 9));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_ethernet_is_refused() {
        assert!(Interface::find("lo").unwrap_err().to_string().contains("no Ethernet address"));
        assert!(Interface::find("nowhere0").unwrap_err().to_string().contains("no such interface"));
    }
}
