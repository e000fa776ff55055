//! Calls against a relay that holds them to the rules of its API.

mod calls;
mod relay;
mod world;
