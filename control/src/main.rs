//! Raceway control plane and racewayctl.

fn main() {}
