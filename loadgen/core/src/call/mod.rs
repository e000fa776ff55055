//! Calls through a relay that takes rtpengine's ng commands, without I/O: offered, answered, deleted.
//!
//! A [`Switchboard`] has all calls of a run. Drive it so: hand each datagram that comes to `handle`; when `poll_timeout` has
//! come, and after each `handle`, `close` or `stop`, send what `poll_transmit` gives and look at what `poll_event` says.
//! Both parties of a call are ours: what the relay tells each of them ([`Told`]) is where its media goes.

mod description;
mod figures;
mod fuzz;
mod message;
mod switchboard;

pub use description::{Formats, Party, Told, Transport, TransportError};
pub use figures::{Figures, Stage};
pub use fuzz::fuzz;
pub use message::{Reply, ping, reply};
pub use switchboard::{Course, Event, Pace, Settings, Switchboard, Timing};
