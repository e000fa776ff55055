//! Operations of the cores without I/O, to be counted one by one.

mod api;
mod config;
mod congestion;
mod datapath;
mod engine;
mod legs;
mod loadgen;
mod sfu;
mod srtp;
mod stun;
#[allow(dead_code, reason = "shared with the tests of the packet logic, which read frames too")]
#[path = "../../../../ebpf/datapath/tests/support/packet.rs"]
mod support;
mod turn;

use std::hint::black_box;
use std::io::Write;

use anyhow::Result;
use raceway_sys::allocations;

use crate::callgrind::Counted;

/// Runs of an operation that are counted.
const REPEATS: u32 = 100;
/// Runs before them: what a core takes once is not what an operation costs.
const WARM_UP: u32 = 20;

/// An operation, ready to run again and again.
type Operation = Box<dyn FnMut()>;

/// An operation of a core.
struct Scenario {
    name: &'static str,
    /// Makes it ready for that many runs.
    prepare: fn(u32) -> Operation,
}

const fn scenario(name: &'static str, prepare: fn(u32) -> Operation) -> Scenario {
    Scenario { name, prepare }
}

/// All of them; the first does nothing, so it is what counting itself costs.
fn scenarios() -> Vec<Scenario> {
    let mut all = vec![scenario("", |_| Box::new(|| ()))];
    for core in [
        api::all(),
        config::all(),
        congestion::all(),
        datapath::all(),
        engine::all(),
        legs::all(),
        loadgen::all(),
        sfu::all(),
        srtp::all(),
        stun::all(),
        turn::all(),
    ] {
        all.extend(core);
    }
    all
}

/// Runs every operation; callgrind counts what [`measured`] executes. Writes one line for each.
///
/// # Errors
/// Nobody reads the lines.
pub fn run(mut out: impl Write) -> Result<()> {
    for Scenario { name, prepare } in scenarios() {
        let mut operation = prepare(WARM_UP + REPEATS);
        (0..WARM_UP).for_each(|_| operation());
        let before = allocations::of_this_thread();
        measured(&mut *operation);
        let allocations = allocations::of_this_thread() - before;
        let counted = Counted { name: name.to_owned(), repeats: REPEATS, allocations };
        writeln!(out, "{}", serde_json::to_string(&counted)?)?;
    }
    Ok(())
}

/// What callgrind looks at: it knows this function by its name.
#[inline(never)]
fn measured(operation: &mut dyn FnMut()) {
    for _ in 0..REPEATS {
        black_box(&mut *operation)();
    }
}
