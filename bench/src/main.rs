//! Scenarios, floors and ceilings.

fn main() {}
