//! Two associations and a network with virtual time between them.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use raceway_dtls::{Association, Certificate, Event, Hash, Identity, Keys, Profile, Role, Transmit};
use raceway_units::{Instant, Random, UnixTime};

pub static IDENTITIES: LazyLock<[Identity; 2]> = LazyLock::new(|| [identity(), identity()]);

pub const ACTIVE: usize = 0;
pub const PASSIVE: usize = 1;

pub fn identity() -> Identity {
    Identity::new(&Certificate::generate(UnixTime(1_800_000_000)).unwrap()).unwrap()
}

pub fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, side as u8 + 1], 4000))
}

pub fn at(ms: u64) -> Instant {
    Instant::from_ns(1_000_000_000 + ms * 1_000_000)
}

/// Calls live on one thread and are made on another.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Association>();
    is_send::<Identity>();
};

/// An association with one of [`IDENTITIES`] that knows the other's fingerprint.
pub fn association(side: usize, profiles: &[Profile]) -> Association {
    let role = if side == ACTIVE { Role::Active } else { Role::Passive };
    let mut association = Association::new(role, &IDENTITIES[side], profiles).unwrap();
    association.set_fingerprints(at(0), vec![IDENTITIES[1 - side].fingerprint(Hash::Sha256).unwrap()]);
    association
}

pub struct World {
    pub sides: [Association; 2],
    pub now: Instant,
    pub events: [Vec<(Instant, Event)>; 2],
    /// When each side sent how many datagrams, one entry each.
    pub sent: [Vec<Instant>; 2],
    pub delay: Duration,
    /// Up to so much more, so that datagrams overtake each other.
    pub jitter: Duration,
    /// Of 1000.
    pub loss: u64,
    /// Whether a datagram of a side gets lost, by how many it sent before.
    pub lost: fn(side: usize, number: usize) -> bool,
    random: Random,
    wire: Vec<(Instant, usize, Transmit)>,
}

impl World {
    pub fn new(sides: [Association; 2]) -> Self {
        Self {
            sides,
            now: at(0),
            events: Default::default(),
            sent: Default::default(),
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0,
            lost: |_, _| false,
            random: Random::new(1),
            wire: Vec::new(),
        }
    }

    pub fn of(profiles: &[Profile]) -> Self {
        Self::new([association(ACTIVE, profiles), association(PASSIVE, profiles)])
    }

    pub fn seeded(mut self, seed: u64) -> Self {
        self.random = Random::new(seed);
        self
    }

    /// Lets both speak, the passive side first.
    pub fn start(&mut self) {
        for side in [PASSIVE, ACTIVE] {
            self.sides[side].allow(self.now, address(1 - side));
        }
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        self.drain();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            while let Some(at) = self.wire.iter().position(|(at, ..)| *at <= self.now) {
                let (_, from, transmit) = self.wire.remove(at);
                self.sides[1 - from].handle_datagram(self.now, address(from), &transmit.payload);
                self.drain();
            }
            for side in &mut self.sides {
                side.handle_timeout(self.now);
            }
            self.drain();
            let due = self.sides.iter().filter_map(Association::poll_timeout).min();
            assert!(due.is_none_or(|due| due > self.now), "a timer that goes off for ever");
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let timers = self.sides.iter().filter_map(Association::poll_timeout);
        timers.chain(self.wire.iter().map(|(at, ..)| *at)).min()
    }

    fn drain(&mut self) {
        for from in 0..2 {
            while let Some(transmit) = self.sides[from].poll_transmit() {
                assert_eq!(transmit.remote, address(1 - from));
                assert!(transmit.payload.len() <= raceway_dtls::limits::MTU as usize);
                let lost = (self.lost)(from, self.sent[from].len()) || self.random.below(1000) < self.loss;
                self.sent[from].push(self.now);
                if lost {
                    continue;
                }
                let more = self.random.below(self.jitter.as_nanos() as u64 + 1);
                self.wire.push((self.now.after(self.delay + Duration::from_nanos(more)), from, transmit));
                self.wire.sort_by_key(|(at, ..)| *at);
            }
            let now = self.now;
            self.events[from].extend(std::iter::from_fn(|| self.sides[from].poll_event()).map(|event| (now, event)));
        }
    }

    /// Keys of a side, and when it had them.
    pub fn keys(&self, side: usize) -> Option<(Instant, &Keys)> {
        self.events[side]
            .iter()
            .find_map(|(at, event)| if let Event::Keys(keys) = event { Some((*at, keys)) } else { None })
    }

    pub fn assert_keyed(&self) {
        let [Some((_, active)), Some((_, passive))] = [ACTIVE, PASSIVE].map(|side| self.keys(side)) else {
            panic!("no keys: {:?}", self.events);
        };
        assert_eq!((active.profile(), active.material()), (passive.profile(), passive.material()));
        assert_eq!((active.send(), active.receive()), (passive.receive(), passive.send()));
    }
}
