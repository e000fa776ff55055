//! What a run was like: counted by workers, merged each second, said to people and machines.

mod counts;
mod interval;
mod series;
mod stream;

pub use counts::{Received, Sent};
pub use interval::{Interval, Spread, Totals};
pub use series::{Point, Series};
pub use stream::{Delay, Reference, StreamReport};
