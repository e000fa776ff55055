//! Estimator, pacer, recorder and allocator together, on virtual time.

mod flow;
mod forwarding;
mod hostile;
mod rfc8867;
mod tcp;
mod world;
