//! The emulated link that sockets are behind: one direction up, one down.

use raceway_netem::{Config, Link};
use raceway_units::{Endpoint, Instant, Random};

/// Octets of the headers of IPv4 and UDP, which take their share of a link's rate.
const HEADERS: usize = 28;

/// A datagram that is or was on the link.
#[derive(Clone, Debug)]
pub enum Through {
    /// On its way out of a socket.
    Up {
        /// The socket.
        port: u32,
        /// Where to.
        to: Endpoint,
        /// What is in it.
        octets: Vec<u8>,
    },
    /// On its way to a socket.
    Down {
        /// The socket.
        port: u32,
        /// Where from.
        remote: Option<Endpoint>,
        /// What is in it.
        octets: Vec<u8>,
    },
}

/// Both directions.
pub struct Access {
    up: Link<Through>,
    down: Link<Through>,
}

impl Access {
    /// Two directions that are alike and independent.
    pub fn new(config: Config, seed: u64) -> Self {
        let [up, down] = [4, 5].map(|purpose| Link::new(config, Random::of(seed, purpose).next()));
        Self { up, down }
    }

    /// A datagram leaves a socket.
    pub fn up(&mut self, port: u32, to: Endpoint, datagram: &[u8], now: Instant) {
        self.up.handle(Through::Up { port, to, octets: datagram.to_vec() }, datagram.len() + HEADERS, now);
    }

    /// A datagram comes for a socket.
    pub fn down(&mut self, port: u32, remote: Option<Endpoint>, datagram: &[u8], now: Instant) {
        self.down.handle(Through::Down { port, remote, octets: datagram.to_vec() }, datagram.len() + HEADERS, now);
    }

    /// A datagram that has come through.
    pub fn poll(&mut self, now: Instant) -> Option<Through> {
        let delivery = self.up.poll(now).or_else(|| self.down.poll(now))?;
        let (Through::Up { octets, .. } | Through::Down { octets, .. }) = &delivery.payload;
        // A link damages headers too; what the kernel would make of those is to drop the datagram.
        match delivery.damaged_bit.map(|bit| (bit / 8) as usize) {
            Some(at) if at < HEADERS => self.poll(now),
            Some(at) if at - HEADERS < octets.len() => {
                Some(damage(delivery.payload, at - HEADERS, delivery.damaged_bit))
            }
            _ => Some(delivery.payload),
        }
    }

    /// When the next datagram comes through.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.up.poll_timeout().into_iter().chain(self.down.poll_timeout()).min()
    }
}

fn damage(mut datagram: Through, at: usize, bit: Option<u64>) -> Through {
    let (Through::Up { octets, .. } | Through::Down { octets, .. }) = &mut datagram;
    octets[at] ^= 1 << (bit.unwrap_or(0) % 8);
    datagram
}
