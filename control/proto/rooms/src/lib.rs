//! Rooms: who may do what in them, who is in them, and the words by which clients and operators speak of them.
//!
//! Requests, tokens and time in; decisions, messages and events out. Media is elsewhere: a track here is a name, a kind
//! and a state. What is said by whom is in `docs/rooms.md`.

pub mod connections;
mod fragment;
mod fuzz;
mod grants;
mod http;
pub mod limits;
pub mod meetings;
mod name;
pub mod negotiation;
mod refusal;
mod room;
mod rooms;
pub mod signal;
mod token;
mod webhook;

pub use fragment::{Fragment, FragmentError, TrickledCandidate};
pub use fuzz::fuzz;
pub use grants::{Grants, RoomScope};
pub use http::{Change, EntityTag, IceServer, Method, Resource, Role, SDP_FRAGMENT_TYPE, SDP_TYPE};
pub use name::{DisplayName, Identity, NameError, RoomName};
pub use refusal::Refusal;
pub use room::{Participant, ParticipantId, Source, Track, TrackId, TrackKind};
pub use rooms::{Event, Properties, Rooms, Settings, Why};
pub use token::{Key, KeyError, Keys, TokenError};
pub use webhook::{Signature, signed};
