//! Transport addresses of ours: which are taken, and a random choice among the others.

use std::net::{IpAddr, SocketAddr};

use raceway_api::{RelayAddress, RelayPorts};

use crate::random::Random;

/// Random ports looked at before the free ones are counted.
const PORT_PROBES: usize = 4;
/// Words of a bitmap over all ports.
const WORDS: usize = (u16::MAX as usize + 1) / 64;
/// Ports that are even, in a word of the bitmap.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// What is asked of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortWish {
    /// Nothing.
    Any,
    /// An even one (RFC 8656 section 18.5, EVEN-PORT).
    Even,
    /// An even one, and the next higher one with it: RTP and RTCP (RFC 3550 section 11).
    EvenAndNext,
}

/// A transport address of ours as this machine and as the world sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// What a socket is bound to.
    pub internal: SocketAddr,
    /// What the other side is told.
    pub external: SocketAddr,
}

impl Relayed {
    /// The address with the next higher port; not for port 65535.
    #[must_use]
    pub fn next(self) -> Self {
        let up = |address: SocketAddr| SocketAddr::new(address.ip(), address.port() + 1);
        Self { internal: up(self.internal), external: up(self.external) }
    }
}

/// Ports of several addresses, 8 KiB each. An address that is no longer configured stays here, not offered, while ports
/// of it are taken.
#[derive(Debug)]
pub struct Ports {
    range: RelayPorts,
    pools: Vec<Pool>,
}

#[derive(Debug)]
struct Pool {
    address: RelayAddress,
    offered: bool,
    taken: Box<[u64; WORDS]>,
    taken_count: u32,
}

impl Default for Ports {
    fn default() -> Self {
        Self { range: RelayPorts { first: 1, last: 0 }, pools: Vec::new() }
    }
}

impl Ports {
    /// Of no address.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over addresses and range; ports that are taken stay taken.
    pub fn configure(&mut self, addresses: &[RelayAddress], range: RelayPorts) {
        self.range = range;
        self.pools.iter_mut().for_each(|pool| pool.offered = false);
        for &address in addresses {
            match self.pools.iter_mut().find(|pool| pool.address.internal == address.internal) {
                Some(pool) => (pool.address, pool.offered) = (address, true),
                None => self.pools.push(Pool::new(address, true)),
            }
        }
        self.pools.retain(|pool| pool.offered || pool.taken_count > 0);
    }

    /// Whether addresses of this family are offered at all.
    #[must_use]
    pub fn has_family(&self, is_ipv4: bool) -> bool {
        self.pools.iter().any(|pool| pool.offers(is_ipv4))
    }

    /// Takes a random free port, of the address `near` if that is offered, else of any.
    pub fn take(&mut self, is_ipv4: bool, near: IpAddr, wish: PortWish, random: &mut Random) -> Option<Relayed> {
        let near = self.pools.iter_mut().find(|pool| pool.address.internal == near && pool.offers(is_ipv4));
        if let Some(relayed) = near.and_then(|pool| pool.take(self.range, wish, random)) {
            return Some(relayed);
        }
        let first = random.below(self.pools.len().max(1)).min(self.pools.len());
        let (before, after) = self.pools.split_at_mut(first);
        let mut pools = after.iter_mut().chain(before).filter(|pool| pool.offers(is_ipv4));
        pools.find_map(|pool| pool.take(self.range, wish, random))
    }

    /// Whether an address is taken.
    #[must_use]
    pub fn is_taken(&self, internal: SocketAddr) -> bool {
        let (word, bit) = (usize::from(internal.port() / 64), 1 << (internal.port() % 64));
        let mut pools = self.pools.iter().filter(|pool| pool.address.internal == internal.ip());
        pools.any(|pool| pool.taken[word] & bit != 0)
    }

    /// Marks an address as taken; false if it is already, or is of no pool that could be made.
    pub fn claim(&mut self, relayed: Relayed) -> bool {
        let address = RelayAddress { internal: relayed.internal.ip(), external: relayed.external.ip() };
        let at = self.pools.iter().position(|pool| pool.address.internal == address.internal);
        let at = at.unwrap_or_else(|| {
            self.pools.push(Pool::new(address, false));
            self.pools.len() - 1
        });
        self.pools[at].mark(relayed.internal.port())
    }

    /// Gives an address back.
    pub fn release(&mut self, internal: SocketAddr) {
        if let Some(at) = self.pools.iter().position(|pool| pool.address.internal == internal.ip()) {
            self.pools[at].unmark(internal.port());
            if !self.pools[at].offered && self.pools[at].taken_count == 0 {
                self.pools.swap_remove(at);
            }
        }
    }
}

impl Pool {
    fn new(address: RelayAddress, offered: bool) -> Self {
        Self { address, offered, taken: Box::new([0; WORDS]), taken_count: 0 }
    }

    fn offers(&self, is_ipv4: bool) -> bool {
        self.offered && self.address.internal.is_ipv4() == is_ipv4
    }

    /// Looks at random ports first, which is quick while most are free; then counts the free ones and takes a
    /// random one of them. Either way each free port is as likely as any other.
    fn take(&mut self, range: RelayPorts, wish: PortWish, random: &mut Random) -> Option<Relayed> {
        let size = usize::from(range.last - range.first) + 1;
        let probed = (0..PORT_PROBES)
            .map(|_| range.first + random.below(size) as u16)
            .find(|port| self.fitting(range, wish, usize::from(port / 64)) >> (port % 64) & 1 == 1);
        let port = probed.or_else(|| self.nth_fitting(range, wish, random))?;
        self.mark(port);
        if wish == PortWish::EvenAndNext {
            self.mark(port + 1);
        }
        Some(Relayed {
            internal: SocketAddr::new(self.address.internal, port),
            external: SocketAddr::new(self.address.external, port),
        })
    }

    fn nth_fitting(&self, range: RelayPorts, wish: PortWish, random: &mut Random) -> Option<u16> {
        let words = usize::from(range.first / 64)..=usize::from(range.last / 64);
        let count: u32 = words.clone().map(|word| self.fitting(range, wish, word).count_ones()).sum();
        if count == 0 {
            return None;
        }
        let mut skip = random.below(count as usize) as u32;
        for word in words {
            let mut fitting = self.fitting(range, wish, word);
            if skip >= fitting.count_ones() {
                skip -= fitting.count_ones();
                continue;
            }
            (0..skip).for_each(|_| fitting &= fitting - 1);
            return Some((word * 64) as u16 + fitting.trailing_zeros() as u16);
        }
        None
    }

    /// Free ports of a word that fit the wish. An even port and its next are in one word.
    fn fitting(&self, range: RelayPorts, wish: PortWish, word: usize) -> u64 {
        let free = !self.taken[word] & in_range(range, word);
        match wish {
            PortWish::Any => free,
            PortWish::Even => free & EVEN,
            PortWish::EvenAndNext => free & EVEN & (free >> 1),
        }
    }

    fn mark(&mut self, port: u16) -> bool {
        let (word, bit) = (usize::from(port / 64), 1 << (port % 64));
        let was_free = self.taken[word] & bit == 0;
        self.taken[word] |= bit;
        self.taken_count += u32::from(was_free);
        was_free
    }

    fn unmark(&mut self, port: u16) {
        let (word, bit) = (usize::from(port / 64), 1 << (port % 64));
        self.taken_count -= u32::from(self.taken[word] & bit != 0);
        self.taken[word] &= !bit;
    }
}

/// Bits of a word whose ports are in the range.
fn in_range(range: RelayPorts, word: usize) -> u64 {
    let start = word * 64;
    let (first, last) = (usize::from(range.first), usize::from(range.last));
    if last < start || first >= start + 64 {
        return 0;
    }
    let from_first = u64::MAX << first.saturating_sub(start);
    let to_last = u64::MAX >> (63 - (last - start).min(63));
    from_first & to_last
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn random() -> Random {
        let mut state = 1_u64;
        Random::new(Box::new(move |octets| {
            for octet in octets {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *octet = (state >> 56) as u8;
            }
        }))
    }

    fn address(internal: &str, external: &str) -> RelayAddress {
        RelayAddress { internal: internal.parse().unwrap(), external: external.parse().unwrap() }
    }

    fn ports(first: u16, last: u16) -> Ports {
        let mut ports = Ports::new();
        ports.configure(&[address("10.0.0.1", "192.0.2.1")], RelayPorts { first, last });
        ports
    }

    const NEAR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn every_port_of_the_range_is_given_once_in_no_order() {
        let (mut ports, mut random) = (ports(1000, 1199), random());
        let given: Vec<u16> = std::iter::from_fn(|| ports.take(true, NEAR, PortWish::Any, &mut random))
            .map(|relayed| relayed.internal.port())
            .collect();
        let distinct: BTreeSet<u16> = given.iter().copied().collect();
        assert_eq!(distinct, (1000..=1199).collect());
        assert_eq!(given.len(), 200);
        assert!(given.windows(2).filter(|pair| pair[1] == pair[0] + 1).count() < 10, "sequential");
    }

    #[test]
    fn the_choice_is_uniform_also_when_few_are_free() {
        let (mut ports, mut random) = (ports(1000, 1999), random());
        for port in 1000..2000 {
            if port % 250 != 7 {
                ports.pools[0].mark(port);
            }
        }
        let mut counts = [0; 4];
        for _ in 0..4000 {
            let relayed = ports.take(true, NEAR, PortWish::Any, &mut random).unwrap();
            counts[usize::from((relayed.internal.port() - 1000) / 250)] += 1;
            ports.release(relayed.internal);
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn even_ports_are_even_and_pairs_take_two() {
        let (mut ports, mut random) = (ports(1001, 1006), random());
        let pair = ports.take(true, NEAR, PortWish::EvenAndNext, &mut random).unwrap();
        assert!([1002, 1004].contains(&pair.internal.port()));
        assert!(!ports.claim(pair.next()), "the next port is held");
        ports.take(true, NEAR, PortWish::EvenAndNext, &mut random).unwrap();
        assert_eq!(ports.take(true, NEAR, PortWish::EvenAndNext, &mut random), None, "1006 has no next in the range");
        let even = ports.take(true, NEAR, PortWish::Even, &mut random).unwrap();
        assert_eq!(even.internal.port(), 1006);
        assert_eq!(ports.take(true, NEAR, PortWish::Even, &mut random), None);
        assert_eq!(ports.take(true, NEAR, PortWish::Any, &mut random).unwrap().internal.port(), 1001);
    }

    #[test]
    fn the_address_a_client_sent_to_is_preferred_and_the_others_help_out() {
        let (mut ports, mut random) = (Ports::new(), random());
        let addresses = [address("10.0.0.1", "10.0.0.1"), address("10.0.0.2", "10.0.0.2"), address("::1", "::1")];
        ports.configure(&addresses, RelayPorts { first: 5, last: 5 });
        assert_eq!(ports.take(true, NEAR, PortWish::Any, &mut random).unwrap().internal.ip(), NEAR);
        assert_eq!(ports.take(true, NEAR, PortWish::Any, &mut random).unwrap().internal.to_string(), "10.0.0.2:5");
        assert_eq!(ports.take(true, NEAR, PortWish::Any, &mut random), None);
        assert_eq!(ports.take(false, NEAR, PortWish::Any, &mut random).unwrap().internal.to_string(), "[::1]:5");
    }

    #[test]
    fn an_address_that_nobody_sent_to_is_not_chosen_while_there_is_a_better_one() {
        let (mut ports, mut random) = (Ports::new(), random());
        let addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|ip| address(ip, ip));
        ports.configure(&addresses, RelayPorts { first: 1000, last: 1099 });
        for relay in addresses {
            for _ in 0..30 {
                let relayed = ports.take(true, relay.internal, PortWish::Any, &mut random).unwrap();
                assert_eq!(relayed.internal.ip(), relay.internal);
            }
        }
    }

    #[test]
    fn an_external_address_is_told_beside_the_internal_one() {
        let relayed = ports(7, 7).take(true, NEAR, PortWish::Any, &mut random()).unwrap();
        assert_eq!(
            (relayed.internal.to_string(), relayed.external.to_string()),
            ("10.0.0.1:7".into(), "192.0.2.1:7".into())
        );
    }

    #[test]
    fn a_withdrawn_address_is_kept_while_it_is_in_use() {
        let (mut ports, mut random) = (ports(7, 8), random());
        let relayed = ports.take(true, NEAR, PortWish::Any, &mut random).unwrap();
        ports.configure(&[address("10.0.0.9", "10.0.0.9")], RelayPorts { first: 7, last: 8 });
        assert!(!ports.claim(relayed), "still taken");
        assert_eq!(ports.take(true, NEAR, PortWish::Any, &mut random).unwrap().internal.ip().to_string(), "10.0.0.9");
        ports.release(relayed.internal);
        assert_eq!(ports.pools.len(), 1);
    }

    #[test]
    fn the_whole_port_space_can_be_used() {
        let (mut ports, mut random) = (ports(1, 65535), random());
        for _ in 0..65535 {
            ports.take(true, NEAR, PortWish::Any, &mut random).unwrap();
        }
        assert_eq!(ports.take(true, NEAR, PortWish::Any, &mut random), None);
    }
}
