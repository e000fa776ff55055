//! Raceway data plane: the parts that the binary and its integration tests share.

pub mod xdp;
