//! A run of the generator for people: a line while it runs, a table at its end, a page with plots.
//!
//! Everything here takes a [`Report`](raceway_loadgen_core::report::Report) and returns text. What a report quotes of
//! others (reason phrases, names) can neither reach the terminal's control nor become markup.

mod page;
#[cfg(test)]
mod sample;
mod table;
mod verdict;
pub mod words;

pub use page::{PageError, WORST_ROWS, page};
pub use table::{live, table};
pub use verdict::Verdict;
