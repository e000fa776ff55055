//! Addresses of this machine, and what a configuration that leaves them open means here.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use raceway_api::RelayAddress;
use raceway_config::Turn;

/// The machine's addresses, in the order of its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineAddresses {
    /// Unicast addresses that a socket can be bound to without naming an interface.
    pub all: Vec<IpAddr>,
    /// The one that the default route of each family leaves from.
    pub preferred: Vec<IpAddr>,
}

impl MachineAddresses {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn read() -> io::Result<Self> {
        let mut all = Vec::new();
        for interface in nix::ifaddrs::getifaddrs()? {
            let Some(address) = interface.address.as_ref() else { continue };
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            let Some(ip) = v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()))) else { continue };
            if usable(ip) && !all.contains(&ip) {
                all.push(ip);
            }
        }
        let preferred = default_routes().into_iter().filter(|ip| all.contains(ip)).collect();
        Ok(Self { all, preferred })
    }

    /// Whether `ip` is one of them; every 127.0.0.0/8 address is, if any is.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        self.all.contains(&ip)
            || matches!(ip, IpAddr::V4(v4) if v4.is_loopback() && self.all.iter().any(is_loopback_v4))
    }

    /// `turn.listen` with wildcards replaced by addresses.
    #[must_use]
    pub fn listeners(&self, turn: &Turn) -> Vec<SocketAddr> {
        let mut listeners = Vec::new();
        let mut seen = BTreeSet::new();
        let mut add = |address: SocketAddr| {
            if seen.insert(address) {
                listeners.push(address);
            }
        };
        for configured in &turn.listen {
            if configured.ip().is_unspecified() {
                let family = self.all.iter().filter(|ip| ip.is_ipv4() == configured.is_ipv4());
                family.for_each(|ip| add(SocketAddr::new(*ip, configured.port())));
            } else {
                add(*configured);
            }
        }
        listeners
    }

    /// `turn.relay_addresses`, or what stands for them here: the address of the default route of each family, else
    /// the global ones, else loopback.
    #[must_use]
    pub fn relay_addresses(&self, turn: &Turn) -> Vec<RelayAddress> {
        let internal = match &turn.relay_addresses {
            Some(addresses) => addresses.clone(),
            None => self.default_relay_addresses(),
        };
        let external = |internal| turn.external_addresses.get(&internal).copied().unwrap_or(internal);
        internal.into_iter().map(|internal| RelayAddress { internal, external: external(internal) }).collect()
    }

    fn default_relay_addresses(&self) -> Vec<IpAddr> {
        let mut chosen = Vec::new();
        for v4 in [true, false] {
            let family = |ip: &&IpAddr| ip.is_ipv4() == v4 && !ip.is_loopback();
            match self.preferred.iter().find(family) {
                Some(preferred) => chosen.push(*preferred),
                None => chosen.extend(self.all.iter().filter(family)),
            }
        }
        if chosen.is_empty() { self.all.iter().copied().filter(IpAddr::is_loopback).collect() } else { chosen }
    }
}

fn is_loopback_v4(ip: &IpAddr) -> bool {
    ip.is_ipv4() && ip.is_loopback()
}

fn usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
    }
}

/// Connecting a UDP socket sends nothing: it asks the kernel for the route.
fn default_routes() -> Vec<IpAddr> {
    let source = |from: IpAddr, to: IpAddr| -> Option<IpAddr> {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let v4 = source(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(203, 0, 113, 1).into());
    let v6 = source(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    v4.into_iter().chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn turn(text: &str) -> Turn {
        raceway_config::parse("", text).expect("valid").turn
    }

    fn internal(addresses: &MachineAddresses, text: &str) -> Vec<IpAddr> {
        addresses.relay_addresses(&turn(text)).iter().map(|a| a.internal).collect()
    }

    #[test]
    fn wildcards_stand_for_every_address_of_their_family() {
        let machine = MachineAddresses { all: ips(&["127.0.0.1", "::1", "10.0.0.1"]), preferred: Vec::new() };
        let listeners: Vec<String> = machine.listeners(&turn("")).iter().map(ToString::to_string).collect();
        assert_eq!(listeners, ["127.0.0.1:3478", "10.0.0.1:3478", "[::1]:3478"]);
        let named = machine.listeners(&turn("[turn]\nlisten = [\"10.0.0.1:5000\"]"));
        assert_eq!(named, ["10.0.0.1:5000".parse().expect("an address")]);
    }

    #[test]
    fn relay_addresses_are_those_of_the_default_route_else_global_else_loopback() {
        let mut machine = MachineAddresses {
            all: ips(&["127.0.0.1", "::1", "172.17.0.1", "10.0.0.1", "2001:db8::1"]),
            preferred: ips(&["10.0.0.1"]),
        };
        assert_eq!(internal(&machine, ""), ips(&["10.0.0.1", "2001:db8::1"]));
        machine.preferred.clear();
        assert_eq!(internal(&machine, ""), ips(&["172.17.0.1", "10.0.0.1", "2001:db8::1"]));
        machine.all.truncate(2);
        assert_eq!(internal(&machine, ""), ips(&["127.0.0.1", "::1"]));
    }

    #[test]
    fn external_addresses_go_with_their_internal_ones() {
        let machine = MachineAddresses::default();
        let text = "[turn]\nrelay_addresses = [\"10.0.0.1\", \"10.0.0.2\"]\n\
                    external_addresses = { \"10.0.0.1\" = \"203.0.113.7\" }";
        let external: Vec<_> = machine.relay_addresses(&turn(text)).iter().map(|a| a.external).collect();
        assert_eq!(external, ips(&["203.0.113.7", "10.0.0.2"]));
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        let machine = MachineAddresses::read().expect("the kernel answers");
        assert!(machine.has(Ipv4Addr::new(127, 0, 0, 9).into()), "{machine:?}");
        assert!(!machine.has(Ipv4Addr::new(203, 0, 113, 1).into()), "{machine:?}");
    }
}
