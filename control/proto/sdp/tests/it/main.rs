//! Bodies of real products, read and rewritten.

mod corpus;
mod describe;
mod hostile;
mod rewrite;
