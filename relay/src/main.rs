//! Raceway data plane.

fn main() {}
