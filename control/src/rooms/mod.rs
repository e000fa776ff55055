//! Rooms: publishers and players by HTTP, meetings by WebSocket.
//!
//! What is decided is `raceway-rooms`'s; the machine lives in the link thread beside calls, and this module has what is around it:
//! [`Hall`], which owns it there, and the sockets that people reach it by.

mod hall;
mod http;
mod socket;

pub use hall::{Hall, RoomCommand, RoomView};
pub use http::{Front, router};
