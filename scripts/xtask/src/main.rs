//! Builds and checks the XDP object.

fn main() {}
