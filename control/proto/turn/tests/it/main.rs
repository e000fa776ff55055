//! The server driven from outside: octets in, octets and relay messages out.

mod allocate;
mod auth;
mod binding;
mod channel;
mod permission;
mod refresh;
mod relay;
mod wire;
mod world;
