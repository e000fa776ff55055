//! Bodies of real products, read and rewritten.

mod corpus;
mod describe;
mod formats;
mod hostile;
mod rewrite;
