//! Raceway data plane: the parts that the binary and its integration tests share.

pub mod clock;
pub mod crew;
pub mod doctor;
pub mod fast_path;
pub mod limits;
pub mod link;
pub mod log;
mod random;
pub mod recorder;
pub mod shared;
pub mod start;
pub mod worker;
pub mod xdp;
