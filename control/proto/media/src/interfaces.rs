//! Named interfaces: which address and ports a stream gets.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use raceway_api::{RelayAddress, RelayPorts};
use raceway_ports::{PortWish, Ports, Random, Relayed};
use raceway_units::Instant;

use crate::limits;
use crate::options::Family;
use crate::refusal::Refusal;
use crate::settings::Settings;

/// Interfaces with their ports, the default one first.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    named: Vec<Named>,
    /// Pairs that other programs have, until when.
    foreign: VecDeque<(Instant, Relayed)>,
    /// Pairs that were given back, until the relay has closed their sockets.
    resting: VecDeque<(Instant, Arc<str>, Relayed)>,
}

#[derive(Debug)]
struct Named {
    name: Arc<str>,
    offered: bool,
    ports: Ports,
    range: RelayPorts,
    addresses: Vec<RelayAddress>,
}

impl Interfaces {
    /// Takes over the configuration. An interface that it no longer names stays, not offered, for who uses it.
    pub fn configure(&mut self, settings: &Settings) {
        let mut before = std::mem::take(&mut self.named);
        before.iter_mut().for_each(|named| named.offered = false);
        for interface in &settings.interfaces {
            let address = RelayAddress { internal: interface.address, external: interface.advertised };
            if let Some(named) = self.named.iter_mut().find(|named| *named.name == *interface.name) {
                named.addresses.push(address);
                continue;
            }
            let at = before.iter().position(|named| *named.name == *interface.name);
            let ports = at.map_or_else(Ports::new, |at| before.swap_remove(at).ports);
            let (name, range) = (Arc::from(&*interface.name), interface.ports);
            self.named.push(Named { name, offered: true, ports, range, addresses: vec![address] });
        }
        for named in &mut self.named {
            named.ports.configure(&named.addresses, named.range);
        }
        self.named.extend(before);
    }

    /// The interface of that name, the default one without; a family that it has, best the one wanted.
    pub fn choose(&self, name: Option<&str>, wanted: Family, must: bool) -> Result<(Arc<str>, Family), Refusal> {
        let named = match name {
            None => self.named.iter().find(|named| named.offered),
            Some(name) => self.named.iter().find(|named| named.offered && *named.name == *name),
        };
        let named = named.ok_or_else(|| self.unknown(name.unwrap_or("default")))?;
        let has = |family| named.ports.has_family(family == Family::Ipv4);
        let other = if wanted == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 };
        let family = [wanted, other].into_iter().take(if must { 1 } else { 2 }).find(|family| has(*family));
        let family = family.ok_or_else(|| Refusal::NoFamily { name: named.name.to_string(), family: wanted })?;
        Ok((named.name.clone(), family))
    }

    fn unknown(&self, name: &str) -> Refusal {
        let known: Vec<&str> = self.named.iter().filter(|named| named.offered).map(|named| &*named.name).collect();
        Refusal::UnknownInterface { name: name.to_owned(), known: known.join(", ") }
    }

    /// An even port for RTP and the next for RTCP.
    pub fn take(&mut self, name: &str, family: Family, random: &mut Random) -> Result<Relayed, Refusal> {
        let taken = self.take_free(name, family, random);
        if taken.is_ok() || self.resting.is_empty() {
            return taken;
        }
        // Better one that the relay may still have than none.
        self.wake(Instant::from_ns(u64::MAX));
        self.take_free(name, family, random)
    }

    fn take_free(&mut self, name: &str, family: Family, random: &mut Random) -> Result<Relayed, Refusal> {
        let exhausted = || Refusal::PortsExhausted { name: name.to_owned(), family };
        let named = self.named.iter_mut().find(|named| *named.name == *name).ok_or_else(exhausted)?;
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        named.ports.take(family == Family::Ipv4, nowhere, PortWish::EvenAndNext, random).ok_or_else(exhausted)
    }

    /// Marks a pair as taken; false if it is.
    pub fn claim(&mut self, name: &str, pair: Relayed) -> bool {
        let at = self.named.iter().position(|named| *named.name == *name).unwrap_or_else(|| {
            let range = RelayPorts { first: 1, last: 0 };
            self.named.push(Named {
                name: name.into(),
                offered: false,
                ports: Ports::new(),
                range,
                addresses: Vec::new(),
            });
            self.named.len() - 1
        });
        let ports = &mut self.named[at].ports;
        let first = ports.claim(pair);
        let second = ports.claim(pair.next());
        if first && !second {
            ports.release(pair.internal);
        }
        if second && !first {
            ports.release(pair.next().internal);
        }
        first && second
    }

    /// Gives a pair back.
    pub fn release(&mut self, name: &str, pair: Relayed) {
        if let Some(named) = self.named.iter_mut().find(|named| *named.name == *name) {
            named.ports.release(pair.internal);
            named.ports.release(pair.next().internal);
        }
    }

    /// Gives a pair back that the relay may have open for a moment yet.
    pub fn rest(&mut self, name: &Arc<str>, pair: Relayed, now: Instant) {
        self.resting.push_back((now.after(limits::PORT_REST), Arc::clone(name), pair));
    }

    /// Pairs that have rested may be taken again.
    pub fn wake(&mut self, now: Instant) {
        while self.resting.front().is_some_and(|(until, ..)| *until <= now) {
            let Some((_, name, pair)) = self.resting.pop_front() else { return };
            self.release(&name, pair);
        }
    }

    /// Leaves a pair alone for a while: another program has it. It stays taken until then.
    pub fn set_aside(&mut self, name: &str, pair: Relayed, now: Instant) {
        if let Some(at) = self.resting.iter().rposition(|(_, _, resting)| *resting == pair) {
            self.resting.remove(at);
            self.release(name, pair);
        }
        if self.foreign.len() < limits::FOREIGN_PORTS_MAX && self.claim(name, pair) {
            self.foreign.push_back((now.after(limits::FOREIGN_PORT), pair));
        }
    }

    /// Ports that other programs had a while ago may be tried again.
    pub fn release_foreign(&mut self, now: Instant) {
        while self.foreign.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, pair)) = self.foreign.pop_front() else { return };
            let ip = pair.internal.ip();
            let named = self.named.iter().find(|named| named.addresses.iter().any(|address| address.internal == ip));
            if let Some(name) = named.map(|named| named.name.clone()) {
                self.release(&name, pair);
            }
        }
    }

    /// A remote address as packets must be addressed: what the world knows as ours is internal to us.
    pub fn internal(&self, remote: SocketAddr) -> SocketAddr {
        let ours = self.named.iter().find_map(|named| {
            let is_it = |address: &&RelayAddress| address.external == remote.ip() && named.has(remote.port());
            named.addresses.iter().find(is_it).map(|address| address.internal)
        });
        ours.map_or(remote, |ip| SocketAddr::new(ip, remote.port()))
    }

    /// Where packets to a remote address end.
    pub fn place(&self, remote: SocketAddr) -> Place {
        let is_here = |named: &Named| named.addresses.iter().any(|address| address.internal == remote.ip());
        match self.named.iter().any(|named| named.ports.is_taken(remote)) {
            true => Place::Media,
            false if self.named.iter().any(is_here) => Place::Here,
            false => Place::Elsewhere,
        }
    }
}

/// Where packets end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At another machine.
    Elsewhere,
    /// At a media port of ours: another leg.
    Media,
    /// At another program of this machine, which XDP cannot reach.
    Here,
}

impl Named {
    const fn has(&self, port: u16) -> bool {
        self.range.first <= port && port <= self.range.last
    }
}
