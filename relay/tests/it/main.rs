//! The relay as a process, driven as control would, on loopback and without BPF.

mod harness;
mod legs;
mod lifetime;
mod link;
mod media;
mod recording;
