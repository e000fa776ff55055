//! Calls as a media proxy knows them, without I/O: offers and answers pass, media is anchored between the parties.
//!
//! Commands, time and randomness go in; SDP, messages to the relay and events come out. RFC 3264 (offer/answer), RFC 4568
//! (keys in SDP), RFC 5761 (RTCP on RTP's port) and RFC 8643 (opportunistic SRTP) decide, and where they are silent what
//! rtpengine's ng protocol documents; `docs/rfc/sdp.md` says how bodies are read and written.
//!
//! # Example
//! ```
//! use raceway_api::RelayPorts;
//! use raceway_media::{Calls, Command, Interface, Offer, RequestId, Settings};
//! use raceway_units::{Instant, UnixTime};
//!
//! let address = "192.0.2.1".parse().unwrap();
//! let ports = RelayPorts { first: 30_000, last: 39_999 };
//! let interface = Interface { name: "int".to_owned(), address, advertised: address, ports };
//! let mut calls = Calls::new(Settings::new(vec![interface]), Box::new(|octets| octets.fill(4))).unwrap();
//!
//! let sdp = b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
//! let offer = Offer { call_id: "a".into(), from_tag: "b".into(), sdp: sdp.to_vec(), ..Offer::default() };
//! calls.handle_command(Instant::from_ns(1), UnixTime(0), RequestId(1), Command::Offer(offer));
//! assert!(calls.poll_output().is_some(), "ports are to be opened; when they are, the outcome comes");
//! ```

mod answer;
mod blob;
mod body;
mod bundle;
mod call;
mod calls;
mod change;
mod command;
mod connect;
mod dtls;
mod event;
mod heard;
mod ice;
mod interfaces;
pub mod limits;
mod measured;
mod offer;
pub mod options;
mod payloads;
mod plan;
mod publish;
mod rates;
mod recording;
mod refusal;
mod restore;
mod rewrite;
mod security;
mod settings;
mod signal;
mod subscribe;
mod transaction;
mod trickle;
mod view;

pub use calls::{Calls, is_media, is_media_transaction};
pub use command::{
    Answer, Change, Command, Connect, Consent, Delete, Offer, Record, Recording, Reply, RequestId, SubscribeAnswer,
    SubscribeRequest, Toggle, Trickle, Unsubscribe,
};
pub use event::{Ended, Event};
pub use measured::Quality;
pub use options::Options;
pub use raceway_ports::RandomSource;
pub use refusal::{Refusal, RelayReason, recording_problem};
pub use settings::{Interface, Settings, SettingsError};
pub use view::{CallView, MediaView, PartyView, PathView, RecordingView};
