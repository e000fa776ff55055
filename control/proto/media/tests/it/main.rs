//! Calls against a relay that holds them to the rules of its API.

mod branches;
mod bundle;
mod calls;
mod dtls;
mod failure;
mod flows;
mod ice;
mod model;
mod recording;
mod relay;
mod restore;
mod rewrite;
mod rtcp;
mod security;
mod statistics;
mod subscriptions;
mod timeouts;
mod trickle;
mod world;
