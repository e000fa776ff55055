//! Congestion control of media, without I/O: what a receiver says of the packets that arrived, what a sender makes of it,
//! and who gets how much of it.
//!
//! The receiving side is a [`transport_wide::Recorder`] for each publisher: it is told of each packet and writes feedback.
//! The sending side is, for each subscriber, an [`Estimator`] (how much the path takes), a [`Pacer`] (when what is sent) and
//! [`allocate`] (which layer of which subscription fits). An estimator is driven like this:
//!
//! 1. [`Estimator::sent`] for each packet gives the number to write into its header extension, before it is encrypted;
//! 2. [`Estimator::handle_feedback`] for each message of the receiver, [`Estimator::handle_timeout`] at
//!    [`Estimator::poll_timeout`];
//! 3. then [`Estimator::poll_probe`], whose answer goes to [`Pacer::handle_probe`], and [`Estimator::estimate`], whose target
//!    goes to [`Pacer::handle_rate`] and [`allocate`].
//!
//! Nothing is allocated after `new`. Sections cited are those of draft-ietf-rmcat-gcc-02 ("GCC") and
//! draft-holmer-rmcat-transport-wide-cc-extensions-01 where nothing else is said; docs/rfc/congestion.md has the whole.

mod allocator;
pub mod ccfb;
mod estimator;
mod fuzz;
pub mod limits;
mod pacer;
mod rate;
pub mod remb;
mod rtcp;
pub mod transport_wide;

pub use allocator::{Allocation, Subscription, allocate};
pub use estimator::{Bounds, Estimate, Estimator, Probe, ProbeId, Usage};
pub use fuzz::fuzz;
pub use pacer::{Class, Pacer, Send};
pub use rate::BitRate;
pub use rtcp::FeedbackError;
