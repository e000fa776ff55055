//! The shell of the generator: sockets, threads, clocks, the terminal. What streams are and what is made of them is in
//! `raceway-loadgen-core`.

pub mod call;
pub mod capacity;
pub mod cli;
pub mod clock;
pub mod crew;
pub mod limits;
pub mod plan;
pub mod replay;
pub mod result;
pub mod rtp;
pub mod session;
pub mod show;
pub mod sink;
pub mod sockets;
pub mod source;
pub mod target;
pub mod turn;
pub mod worker;
pub mod xdp;
