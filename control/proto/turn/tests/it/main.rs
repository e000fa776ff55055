//! The server driven from outside: octets in, octets and relay messages out.

mod allocate;
mod auth;
mod binding;
mod channel;
mod corpus;
mod cost;
mod failure;
mod interop;
mod model;
mod permission;
mod quota;
mod refresh;
mod relay;
mod restore;
mod rfc5769;
mod rfc8489;
mod wire;
mod world;
