//! Where everything is measured: a network of namespaces, a generator and sinks in the kernel, and what reads the cost.

pub mod awake;
pub mod cpu;
pub mod delay;
pub mod frames;
pub mod kernel;
pub mod netns;
pub mod packets;
pub mod quiet;
pub mod topology;
pub mod trial;
