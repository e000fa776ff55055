//! Whom a client may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use raceway_api::{RelayAddress, RelayPorts};

use crate::policy::Policy;

/// Peer addresses that are denied unless `allow_peers` names them: what is not the public unicast Internet, and
/// where clouds answer with credentials.
const DENIED_V4: [Ipv4Net; 12] = [
    v4(0, 0, 0, 0, 8),          // this network, unspecified
    v4(10, 0, 0, 0, 8),         // private, RFC 1918
    v4(100, 64, 0, 0, 10),      // carrier-grade NAT, RFC 6598
    v4(127, 0, 0, 0, 8),        // loopback
    v4(169, 254, 0, 0, 16),     // link-local, RFC 3927; metadata services
    v4(172, 16, 0, 0, 12),      // private
    v4(192, 0, 0, 0, 24),       // protocol assignments, RFC 6890; a metadata service
    v4(192, 168, 0, 0, 16),     // private
    v4(168, 63, 129, 16, 32),   // a metadata service with a public address
    v4(224, 0, 0, 0, 4),        // multicast
    v4(240, 0, 0, 0, 4),        // reserved, with the broadcast address
    v4(255, 255, 255, 255, 32), // broadcast
];

/// The same of IPv6.
const DENIED_V6: [Ipv6Net; 9] = [
    v6([0, 0, 0, 0, 0, 0], 96),         // unspecified, loopback, IPv4-compatible
    v6([0, 0, 0, 0, 0, 0xffff], 96),    // IPv4-mapped
    v6([0, 0, 0, 0, 0xffff, 0], 96),    // IPv4-translated, RFC 2765
    v6([0x64, 0xff9b, 1, 0, 0, 0], 48), // NAT64 of the own network, RFC 8215
    v6([0x100, 0, 0, 0, 0, 0], 64),     // discard only, RFC 6666
    v6([0xfc00, 0, 0, 0, 0, 0], 7),     // unique local
    v6([0xfe80, 0, 0, 0, 0, 0], 10),    // link-local
    v6([0xfec0, 0, 0, 0, 0, 0], 10),    // site-local
    v6([0xff00, 0, 0, 0, 0, 0], 8),     // multicast
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 6], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], 0, 0), prefix)
}

/// Where datagrams for a peer go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The peer as this machine reaches it: the internal address of a relayed one.
    pub address: IpAddr,
    /// It is a relay address of this machine (hairpin).
    pub is_relay: bool,
}

/// Who may be a peer, and how it is reached.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    own: Vec<IpAddr>,
    relays: Vec<RelayAddress>,
    ports: Option<RelayPorts>,
}

impl Peers {
    pub fn new(policy: &Policy) -> Self {
        let listeners = policy.listeners.iter().map(|listener| listener.ip());
        let relays = policy.relay_addresses.iter().flat_map(|relay| [relay.internal, relay.external]);
        Self {
            allow: policy.allow_peers.clone(),
            deny: policy.deny_peers.clone(),
            own: policy.own_addresses.iter().copied().chain(listeners).chain(relays).collect(),
            relays: policy.relay_addresses.clone(),
            ports: Some(policy.ports),
        }
    }

    /// Whether a client may reach `address`; without a port, any port of it (a permission).
    ///
    /// In this order: `deny_peers` denies; a relayed address of this machine is allowed; `allow_peers` allows; own
    /// addresses and the default list deny; the rest is allowed. An IPv4 address inside an IPv6 one counts as well.
    /// A network in `allow_peers` leaves own addresses out: each has to be named by itself, since behind it are the
    /// services of this machine.
    pub fn allows(&self, address: IpAddr, port: Option<u16>) -> bool {
        let inner = embedded(address);
        let forms = || std::iter::once(address).chain(inner.iter().flatten().map(|&v4| IpAddr::V4(v4)));
        if forms().any(|form| contains(&self.deny, form)) {
            return false;
        }
        if self.is_relayed(address, port) || self.is_allowed(address) {
            return true;
        }
        !forms().any(|form| !self.is_allowed(form) && (self.own.contains(&form) || is_denied_by_default(form)))
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let by_itself = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
        let is_own = self.own.contains(&address);
        self.allow.iter().any(|net| net.contains(&address) && (!is_own || by_itself(net)))
    }

    fn is_relayed(&self, address: IpAddr, port: Option<u16>) -> bool {
        port.is_none_or(|port| self.is_relay_port(port)) && self.relays.iter().any(|relay| relay.external == address)
    }

    /// How a peer is reached: one that is relayed here under an external address has an internal one.
    pub fn route(&self, peer: IpAddr) -> Route {
        match self.relays.iter().find(|relay| relay.external == peer) {
            Some(relay) => Route { address: relay.internal, is_relay: true },
            None => Route { address: peer, is_relay: false },
        }
    }

    /// Whether a port of a relay address is one that can be relayed.
    pub fn is_relay_port(&self, port: u16) -> bool {
        self.ports.is_some_and(|ports| (ports.first..=ports.last).contains(&port))
    }

    /// The peer that a route leads to.
    pub fn peer(&self, routed: IpAddr) -> IpAddr {
        self.relays.iter().find(|relay| relay.internal == routed).map_or(routed, |relay| relay.external)
    }
}

fn contains(list: &[IpNet], address: IpAddr) -> bool {
    list.iter().any(|net| net.contains(&address))
}

fn is_denied_by_default(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => DENIED_V4.iter().any(|net| net.contains(&v4)),
        IpAddr::V6(v6) => DENIED_V6.iter().any(|net| net.contains(&v6)),
    }
}

/// IPv4 addresses that a datagram to this IPv6 address may end up at: mapped, compatible and translated forms,
/// NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo with its server and client (RFC 4380), ISATAP (RFC 5214).
fn embedded(address: IpAddr) -> [Option<Ipv4Addr>; 2] {
    let IpAddr::V6(v6) = address else { return [None, None] };
    let s = v6.segments();
    let at = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => [at(high, low), None],
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [at(high, low), None],
        // 64:ff9b:1::/48: the address is split around octet 8 (RFC 6052 section 2.2), or at the end of a /96 in it.
        [0x64, 0xff9b, 1, split, high, low, last, end] => [at(split, (high & 0xff) << 8 | low >> 8), at(last, end)],
        [0x2002, high, low, ..] => [at(high, low), None],
        [0x2001, 0, high, low, _, _, client_high, client_low] => [at(high, low), at(!client_high, !client_low)],
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => [at(high, low), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(allow: &[&str], deny: &[&str]) -> Peers {
        let relay = |internal: &str, external: &str| RelayAddress {
            internal: internal.parse().unwrap(),
            external: external.parse().unwrap(),
        };
        let mut policy =
            Policy::new("r".to_owned(), vec![relay("10.0.0.1", "198.51.100.1"), relay("2001:db8::1", "2001:db8::1")]);
        policy.listeners = vec!["198.51.100.2:3478".parse().unwrap()];
        policy.own_addresses = vec!["203.0.113.9".parse().unwrap()];
        policy.allow_peers = allow.iter().map(|net| net.parse().unwrap()).collect();
        policy.deny_peers = deny.iter().map(|net| net.parse().unwrap()).collect();
        Peers::new(&policy)
    }

    fn allows(peers: &Peers, address: &str) -> bool {
        peers.allows(address.parse().unwrap(), Some(5000))
    }

    #[test]
    fn a_network_that_is_allowed_leaves_own_addresses_out() {
        let wide = peers(&["10.0.0.0/8", "203.0.113.0/24", "198.51.100.0/24"], &[]);
        for own in ["10.0.0.1", "203.0.113.9", "198.51.100.1", "198.51.100.2", "::ffff:203.0.113.9"] {
            assert!(!allows(&wide, own), "{own}");
        }
        assert!(allows(&wide, "10.0.0.2") && allows(&wide, "203.0.113.8"));
        assert!(allows(&peers(&["203.0.113.9/32"], &[]), "203.0.113.9"));
    }

    #[test]
    fn public_unicast_addresses_are_allowed() {
        for address in ["198.51.100.77", "8.8.8.8", "192.0.1.1", "172.32.0.1", "100.128.0.1", "2001:db8::77", "2a00::1"]
        {
            assert!(allows(&peers(&[], &[]), address), "{address}");
        }
    }

    #[test]
    fn what_is_not_public_unicast_is_denied() {
        let denied = [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.1.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "168.63.129.16",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in denied {
            assert!(!allows(&peers(&[], &[]), address), "{address}");
        }
    }

    #[test]
    fn a_denied_ipv4_address_is_denied_inside_an_ipv6_one() {
        for address in [
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
            "2002:a01:203::1",
            "2001:0:7f00:1::1",             // Teredo server 127.0.0.1
            "2001:0:808:808:0:0:f5ff:fffe", // Teredo client 10.0.0.1
            "2001:db8::5efe:127.0.0.1",
            "2001:db8::200:5efe:10.0.0.1",
        ] {
            assert!(!allows(&peers(&[], &[]), address), "{address}");
        }
        for address in ["64:ff9b::8.8.8.8", "2002:808:808::1", "2001:0:808:808:0:0:f7f7:f7f7"] {
            assert!(allows(&peers(&[], &[]), address), "{address}");
        }
        assert!(!allows(&peers(&[], &["8.8.8.0/24"]), "64:ff9b::8.8.8.8"), "deny_peers reaches inside");
        assert!(allows(&peers(&["10.0.0.0/8"], &[]), "64:ff9b::10.1.1.1"), "allow_peers reaches inside");
        assert!(!allows(&peers(&["10.0.0.0/8"], &[]), "::ffff:10.1.1.1"), "mapped forms need their own permission");
    }

    #[test]
    fn allow_peers_overrides_a_default_and_deny_peers_overrides_both() {
        assert!(allows(&peers(&["10.0.0.0/8"], &[]), "10.1.1.1"));
        assert!(!allows(&peers(&["10.0.0.0/8"], &["10.1.0.0/16"]), "10.1.1.1"));
        assert!(allows(&peers(&["127.0.0.1/32"], &[]), "127.0.0.1"));
        assert!(allows(&peers(&["::ffff:0:0/96"], &[]), "::ffff:8.8.8.8"));
        assert!(!allows(&peers(&["::ffff:0:0/96"], &["8.8.8.8/32"]), "::ffff:8.8.8.8"));
    }

    #[test]
    fn own_addresses_are_denied_but_relayed_ones_reach_each_other() {
        let peers = peers(&[], &[]);
        for own in ["203.0.113.9", "198.51.100.2", "10.0.0.1"] {
            assert!(!allows(&peers, own), "{own}");
        }
        let relay = "198.51.100.1".parse().unwrap();
        assert!(!peers.allows(relay, Some(3478)));
        assert!(peers.allows(relay, Some(50000)));
        assert!(peers.allows(relay, None), "a permission is for any port");
        assert!(peers.allows("2001:db8::1".parse().unwrap(), Some(50000)));
    }

    #[test]
    fn deny_peers_denies_hairpin_as_well() {
        let peers = peers(&[], &["198.51.100.0/24"]);
        assert!(!peers.allows("198.51.100.1".parse().unwrap(), Some(50000)));
    }

    #[test]
    fn an_own_address_can_be_allowed() {
        assert!(allows(&peers(&["203.0.113.9/32"], &[]), "203.0.113.9"));
    }

    #[test]
    fn a_relayed_peer_is_reached_by_its_internal_address() {
        let peers = peers(&[], &[]);
        let (internal, external) = ("10.0.0.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
        assert_eq!(peers.route(external), Route { address: internal, is_relay: true });
        assert_eq!(peers.peer(internal), external);
        let other = "8.8.8.8".parse().unwrap();
        assert_eq!(peers.route(other), Route { address: other, is_relay: false });
        assert_eq!(peers.peer(other), other);
    }
}
