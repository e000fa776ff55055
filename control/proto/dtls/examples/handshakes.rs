//! What a handshake costs: time of the passive side on one core, and memory of an association while it lingers and after.
//!
//!     cargo run --release -p raceway-dtls --example handshakes

use std::net::SocketAddr;

use raceway_dtls::{Association, Certificate, Event, Hash, Identity, Profile, Role, limits};
use raceway_units::{Instant, UnixTime};

/// So many at a time, and so often.
const BATCH: usize = 500;
const BATCHES: usize = 8;

fn main() {
    let [ours, theirs] = [0, 1].map(|_| {
        let certificate = Certificate::generate(UnixTime(1_800_000_000)).expect("OpenSSL makes certificates");
        Identity::new(&certificate).expect("OpenSSL takes its own certificate")
    });
    let later = Instant::from_ns(1).after(limits::LINGER + limits::HANDSHAKE_TIMEOUT);
    let mut kept = Vec::with_capacity(BATCH * BATCHES);
    let (mut spent, before) = (0, resident());
    let mut sizes = Vec::new();
    for _ in 0..BATCHES {
        let start = kept.len();
        kept.extend((0..BATCH).map(|_| handshake(&ours, &theirs, &mut spent)));
        sizes.push(resident());
        kept[start..].iter_mut().for_each(|association: &mut Association| association.handle_timeout(later));
    }
    println!("a handshake of the passive side: {} us of a core", spent / kept.len() as u64 / 1000);
    println!("an association that lingers: {} octets", (sizes[0] - before) / BATCH);
    let more = sizes[BATCHES - 1].saturating_sub(sizes[0]) / (BATCH * (BATCHES - 1));
    println!("one that has lingered: {more} octets; {} of them are its own", size_of::<Association>());
}

/// A passive association with keys.
fn handshake(ours: &Identity, theirs: &Identity, spent: &mut u64) -> Association {
    let now = Instant::from_ns(1);
    let [here, there] = [1, 2].map(|octet| SocketAddr::from(([192, 0, 2, octet], 4000)));
    let mut active = Association::new(Role::Active, theirs, &Profile::ALL).expect("a session");
    active.set_fingerprints(now, vec![ours.fingerprint(Hash::Sha256).expect("a hash")]);
    let fingerprints = vec![theirs.fingerprint(Hash::Sha256).expect("a hash")];
    active.allow(now, here);
    let start = on_core();
    let mut passive = Association::new(Role::Passive, ours, &Profile::ALL).expect("a session");
    passive.set_fingerprints(now, fingerprints);
    passive.allow(now, there);
    *spent += on_core() - start;
    while let Some(transmit) = active.poll_transmit() {
        let start = on_core();
        passive.handle_datagram(now, there, &transmit.payload);
        *spent += on_core() - start;
        while let Some(transmit) = passive.poll_transmit() {
            active.handle_datagram(now, here, &transmit.payload);
        }
    }
    assert!(matches!(passive.poll_event(), Some(Event::Keys(_))), "keys");
    passive
}

/// Nanoseconds that this thread has had a core.
fn on_core() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number of nanoseconds")
}

/// Octets of memory that this process has.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4096
}
