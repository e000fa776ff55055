//! What a run was like: counted by workers, merged each second, said to people and machines.

mod call;
mod counts;
mod interval;
mod run;
mod series;
mod stream;
mod streams;
mod validity;

pub use call::CallSummary;
pub use counts::{Received, Sent};
pub use interval::{Interval, Spread, Totals};
pub use run::{CurvePoint, FORMAT, Machine, Outcome, Report, RtcpSummary, Run, Summary, TurnSummary};
pub use series::{Point, Series};
pub use stream::{Delay, Reference, StreamReport};
pub use streams::{Across, Streams};
pub use validity::{Effort, Limit, Validity};
