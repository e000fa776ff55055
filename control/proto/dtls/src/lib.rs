//! DTLS-SRTP associations without I/O: RFC 5763, 5764, 6347, 8122, over OpenSSL.
//!
//! Datagrams, addresses and time go in; datagrams and, at the end of a handshake whose certificate is the one that the peer's
//! SDP named, keys for SRTP come out. `docs/rfc/dtls.md` says what is implemented, assumed and left out.
//!
//! The library draws its random numbers itself, and signs certificates: that much is not pure here.
//!
//! # Example
//! ```
//! use raceway_dtls::{Association, Certificate, Event, Hash, Identity, Profile, Role};
//! use raceway_units::{Instant, UnixTime};
//!
//! let now = Instant::from_ns(1);
//! let identity = || Identity::new(&Certificate::generate(UnixTime(1_800_000_000)).unwrap());
//! let (ours, theirs) = (identity().unwrap(), identity().unwrap());
//! let mut passive = Association::new(Role::Passive, &ours, &Profile::ALL).unwrap();
//! let mut active = Association::new(Role::Active, &theirs, &Profile::ALL).unwrap();
//! passive.set_fingerprints(now, vec![theirs.fingerprint(Hash::Sha256).unwrap()]);
//! active.set_fingerprints(now, vec![ours.fingerprint(Hash::Sha256).unwrap()]);
//!
//! let (here, there) = ("192.0.2.1:4000".parse().unwrap(), "198.51.100.7:5000".parse().unwrap());
//! passive.allow(now, there);
//! active.allow(now, here);
//! while let Some(hello) = active.poll_transmit() {
//!     passive.handle_datagram(now, there, &hello.payload);
//!     while let Some(flight) = passive.poll_transmit() {
//!         active.handle_datagram(now, here, &flight.payload);
//!     }
//! }
//! let (Some(Event::Keys(one)), Some(Event::Keys(other))) = (passive.poll_event(), active.poll_event()) else { panic!() };
//! assert_eq!((one.send(), one.receive()), (other.receive(), other.send()));
//! ```

mod association;
mod certificate;
mod fingerprint;
mod flight;
mod fuzz;
mod keys;
pub mod limits;
mod records;
mod session;

pub use association::{Association, Discard, Event, Failure, Outcome, Role, Transmit};
pub use certificate::{Certificate, Identity, LibraryError};
pub use fingerprint::{Fingerprint, FingerprintError, Hash};
pub use fuzz::fuzz;
pub use keys::{Keys, Profile};
