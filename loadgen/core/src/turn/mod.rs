//! A TURN client over UDP (RFC 8489, RFC 8656) without I/O, for any server.
//!
//! [`Client`] allocates, binds channels or creates permissions, keeps all of it alive, and ends it. Drive it so: after each
//! `handle`, `bind`, `permit` or `close`, and when `poll_timeout` has come, send what `poll_transmit` gives and look
//! at what `poll_event` says.

mod client;
mod credentials;
mod exchange;
mod frame;
mod message;

pub use client::{Client, Event, Family, Incoming, Origin, Settings, Timing};
pub use credentials::{Credentials, CredentialsError};
pub use frame::{CHANNEL_HEADER, INDICATION_HEADER_MAX, SendTemplate, channel_header};
pub use message::{Method, fuzz};
