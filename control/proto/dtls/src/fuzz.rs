//! Fuzz entry.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use raceway_units::{Instant, UnixTime};

use crate::association::{Association, Event, Role};
use crate::certificate::{Certificate, Identity};
use crate::fingerprint::{Fingerprint, Hash};
use crate::keys::Profile;

/// A key takes longer to make than an input to run.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let certificate = Certificate::generate(UnixTime(1_800_000_000)).expect("OpenSSL makes certificates");
    Identity::new(&certificate).expect("OpenSSL takes its own certificate")
});

/// Octets between two associations that shake hands.
///
/// The input is steps: an octet that says what, an octet `n`, and `n` octets. `0`: a datagram to the passive side, `1`: to the
/// active one. `2`: the next datagram of the active side arrives, with its octets changed at places that the step names; `3`:
/// the next one of the passive side. `4`: time passes. `5`: a fingerprint as text. Whatever comes, keys that are given out are
/// those that the other side gives out too.
pub fn fuzz(data: &[u8]) {
    let mut run = Run::new();
    let mut rest = data;
    while let [what, length, after @ ..] = rest {
        let Some((value, next)) = after.split_at_checked(usize::from(*length)) else { break };
        rest = next;
        run.step(*what, value);
    }
    run.compare();
}

struct Run {
    /// The active one and the passive one.
    sides: [Association; 2],
    events: [Vec<Event>; 2],
    now: Instant,
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, side as u8 + 1), 4000))
}

impl Run {
    fn new() -> Self {
        let now = Instant::from_ns(1_000_000_000);
        let mut sides = [Role::Active, Role::Passive]
            .map(|role| Association::new(role, &IDENTITY, &Profile::ALL).expect("OpenSSL makes a session"));
        for (side, association) in sides.iter_mut().enumerate() {
            let fingerprint = IDENTITY.fingerprint(Hash::Sha256).expect("OpenSSL hashes");
            association.set_fingerprints(now, vec![fingerprint]);
            association.allow(now, address(1 - side));
        }
        Self { sides, events: Default::default(), now }
    }

    fn step(&mut self, what: u8, value: &[u8]) {
        match what {
            0 | 1 => self.give(usize::from(what == 0), value),
            2 | 3 => {
                let from = usize::from(what == 3);
                if let Some(transmit) = self.sides[from].poll_transmit() {
                    self.give(1 - from, &changed(transmit.payload, value));
                }
            }
            4 => {
                let ms = value.iter().map(|octet| u64::from(*octet)).sum();
                self.now = self.now.after(Duration::from_millis(ms));
                self.sides.iter_mut().for_each(|side| side.handle_timeout(self.now));
            }
            5 => {
                let text = String::from_utf8_lossy(value);
                if let Ok(fingerprint) = text.parse::<Fingerprint>() {
                    assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
                }
            }
            _ => {}
        }
    }

    fn give(&mut self, to: usize, datagram: &[u8]) {
        self.sides[to].handle_datagram(self.now, address(1 - to), datagram);
        self.events[to].extend(std::iter::from_fn(|| self.sides[to].poll_event()));
    }

    fn compare(&self) {
        let keys = self.events.each_ref().map(|events| {
            events.iter().find_map(|event| if let Event::Keys(keys) = event { Some(keys) } else { None })
        });
        if let [Some(active), Some(passive)] = keys {
            assert_eq!((active.profile(), active.material()), (passive.profile(), passive.material()));
            assert_eq!(active.send(), passive.receive());
        }
        for events in &self.events {
            assert!(events.len() <= 1, "one end: {events:?}");
        }
    }
}

/// A datagram with the octets at some places changed: pairs of place and mask.
fn changed(mut datagram: Vec<u8>, value: &[u8]) -> Vec<u8> {
    for pair in value.chunks_exact(2) {
        let at = usize::from(pair[0]) * 7 % datagram.len().max(1);
        if let Some(octet) = datagram.get_mut(at) {
            *octet ^= pair[1];
        }
    }
    datagram
}
