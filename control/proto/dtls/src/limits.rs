//! What bounds an association, and its times.

use std::time::Duration;

/// Octets of a datagram that is sent. Fits IPv6's smallest MTU with room for a tunnel.
pub const MTU: u32 = 1200;
/// Octets of a datagram that is read: more than any path carries.
pub const DATAGRAM_MAX: usize = 9000;
/// Addresses that a peer may speak from; the one that was named first makes room.
pub const ALLOWED_MAX: usize = 8;
/// Fingerprints of a peer that are looked at.
pub const FINGERPRINTS_MAX: usize = 16;
/// Datagrams of a flight: what a certificate of [`CERTIFICATE_MAX`] makes, with room.
pub const FLIGHT_MAX: usize = 32;
/// Octets of a certificate, DER, that a peer may show.
pub const CERTIFICATE_MAX: usize = 16 * 1024;
/// Until a flight is sent again the first time. RFC 6347 section 4.2.4.1 has a second; media waits for this.
pub const FIRST_TIMEOUT: Duration = Duration::from_millis(100);
/// Doubled each time up to this.
pub const LAST_TIMEOUT: Duration = Duration::from_secs(1);
/// From the first datagram on, a handshake may take so long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// So long after the keys the last flight is kept, for a peer that has missed it.
pub const LINGER: Duration = Duration::from_secs(10);
/// The last flight is repeated no sooner than this.
pub const REPEAT_INTERVAL: Duration = Duration::from_millis(50);
/// Days that a certificate is valid.
pub const CERTIFICATE_DAYS: u64 = 365;

const _: () = assert!(LINGER.as_secs() >= HANDSHAKE_TIMEOUT.as_secs());
