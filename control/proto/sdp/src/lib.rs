//! SDP (RFC 8866) as offer and answer need it, without I/O.
//!
//! A body is kept as its lines, octet for octet. [`Sdp::describe`] says what the lines mean to a media relay; the methods
//! that change something touch the lines that they are about and no other, so what nobody here understands passes
//! through as it came. `docs/rfc/sdp.md` says what is implemented, assumed and left out.
//!
//! # Example
//! ```
//! use raceway_sdp::Sdp;
//!
//! let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
//! let mut sdp = Sdp::parse(body).unwrap();
//! assert_eq!(sdp.describe().unwrap().media[0].rtp, Some("192.0.2.1:4000".parse().unwrap()));
//! sdp.media_mut()[0].set_port(30_000);
//! assert!(sdp.encode().ends_with(b"m=audio 30000 RTP/AVP 0\r\n"));
//! ```

mod address;
mod codecs;
mod crypto;
mod describe;
pub mod encoding;
mod error;
mod formats;
mod fragment;
mod fuzz;
mod ice;
pub mod limits;
mod lines;
mod media;
mod origin;
mod protocol;
mod section;
mod session;

pub use address::Connection;
pub use codecs::{Codec, Codecs};
pub use crypto::{Crypto, KeyMaterial, Suite};
pub use describe::{Description, Kind, MID_EXTENSION, Media, Rtcp};
pub use error::SdpError;
pub use formats::{CodecName, Selection};
pub use fragment::{Fragment, fragments};
pub use fuzz::fuzz;
pub use ice::{Ice, IceCredentials, candidate};
pub use media::{Direction, MediaSection};
pub use origin::Origin;
pub use protocol::Protocol;
pub use sdp_types::attributes::{Candidate, Fingerprint, Setup};
pub use section::Section;
pub use session::Sdp;
