//! Calls set up and deleted by the load generator, as many at a time as a window has room for: how many, how long one takes,
//! and what its commands cost.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use raceway_loadgen_core::report::{CallSummary, Report};

use super::Stage;
use super::bench::Bench;
use crate::record::Outcome;
use crate::stand::awake;
use crate::stand::cpu::{Cost, between, read};
use crate::stand::frames::Load;
use crate::stand::netns::pin;
use crate::stand::topology::RELAY;
use crate::subject::{NG_PORT, Subject, beside};

/// Calls that are there at a time, and commands on their way.
pub const WINDOW: u32 = 32;
/// How long calls are made.
const TIME: Duration = Duration::from_secs(3);
/// Before that, so that the server has what it makes once.
const WARM_UP: Duration = Duration::from_millis(500);
/// The load generator.
const PROGRAM: &str = "raceway-loadgen";

/// Makes calls and deletes them.
pub fn run(stage: &mut Stage, subject: Subject) -> Result<()> {
    let bench = Bench::start(&stage.setup(subject, Load::calls(0)))?;
    make(&bench, WARM_UP)?;
    let (calls, cost) = make(&bench, TIME)?;
    stage.write(Outcome::Offers {
        subject,
        answered: calls.answered,
        per_second: calls.set_up_per_s,
        took_ms: [calls.set_up.p50_ms, calls.set_up.p99_ms],
        cost,
    })
}

/// Makes calls for a time, and what that cost the relay.
fn make(bench: &Bench, time: Duration) -> Result<(CallSummary, Cost)> {
    let topology = &bench.topology;
    let (core, namespace) = (topology.far_core, &topology.links[0].namespace);
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(beside(PROGRAM)?);
    command.args(["call", "--ng", &format!("{RELAY}:{NG_PORT}"), "--set-up-only", "--churn", "--json", "--quiet"]);
    command.args(["--calls", &WINDOW.to_string(), "--duration", &format!("{}ms", time.as_millis())]);
    // SAFETY: between fork and exec this only makes a system call.
    unsafe { command.pre_exec(move || pin(0, core).map_err(std::io::Error::other)) };
    let pids = bench.running.processes.pids();
    let _awake = awake::hold();
    let before = read(topology.relay_core, core, &pids, bench.napi())?;
    let out =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).output().context("cannot start the load generator")?;
    let cost = between(&before, &read(topology.relay_core, core, &pids, bench.napi())?);
    if !out.status.success() {
        bail!("the load generator: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let report: Report = serde_json::from_slice(&out.stdout).context("the load generator wrote no report")?;
    let calls = report.call.context("its report has no calls")?;
    ensure!(calls.failures.is_empty(), "calls were refused: {:?}", calls.failures);
    ensure!(calls.answered > 0, "no call was made");
    Ok((calls, cost))
}
