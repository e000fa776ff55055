//! What is lost when something is reloaded or killed in the middle of calls.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::Stage;
use super::bench::Bench;
use super::rate::FLOWS;
use crate::record::Outcome;
use crate::stand::awake;
use crate::stand::cpu::Cost;
use crate::stand::frames::Load;
use crate::stand::topology::Direction;
use crate::subject::{Subject, coturn, raceway, rtpengine};

/// Packets a second: as many as the calls have, at one each 20 ms.
pub const RATE: u64 = FLOWS as u64 * 50;
/// How long they are sent.
const TIME: Duration = Duration::from_millis(2500);
/// When it happens.
const AT: Duration = Duration::from_millis(500);
/// From a death to a new start, as docs/systemd has it.
const PAUSE: Duration = Duration::from_millis(100);
/// How long is looked afterwards whether calls go on.
const AFTER: Duration = Duration::from_millis(300);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Nothing, for comparison.
    Nothing,
    /// The configuration is applied again.
    Reload,
    /// `kill -9` of control, and its restart.
    ControlKilled,
    /// `kill -9` of the relay, and its restart.
    RelayKilled,
}

impl Event {
    /// As in tables.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nothing => "nothing happens",
            Self::Reload => "reload",
            Self::ControlKilled => "kill -9 and restart of control",
            Self::RelayKilled => "kill -9 and restart of the relay",
        }
    }

    /// What can happen to a subject.
    pub const fn of(subject: Subject) -> &'static [Self] {
        match subject {
            Subject::RacewayXdp | Subject::RacewayWorkers => {
                &[Self::Nothing, Self::Reload, Self::ControlKilled, Self::RelayKilled]
            }
            _ => &[Self::Nothing, Self::RelayKilled],
        }
    }
}

/// Each event in the middle of fresh calls.
pub fn run(stage: &mut Stage, subject: Subject) -> Result<()> {
    for event in Event::of(subject) {
        let mut bench = Bench::start(&stage.setup(subject, Load { burst: 1, ..Load::calls(FLOWS) }))?;
        let mut generator = bench.generator(Direction::ToPeer)?;
        // Routes and caches are there, and sinks have forgotten, when it begins.
        bench.stand().trial(&mut generator, RATE, AFTER)?;
        bench.stand().forget()?;
        let core = bench.topology.far_core;
        let _awake = awake::hold();
        let sent = thread::scope(|scope| {
            let sending = scope.spawn(|| generator.send(RATE, TIME, core));
            thread::sleep(AT);
            // Here and not on a thread of its own: processes end with the thread that started them.
            bring_about(*event, subject, &mut bench)?;
            sending.join().map_err(|_| anyhow!("the generator panicked"))?
        })?;
        thread::sleep(PAUSE);
        let during = Box::new(bench.stand().account(RATE, &sent, Cost::default())?);
        let after = Box::new(bench.stand().trial(&mut generator, RATE, AFTER)?);
        stage.write(Outcome::Interruption { subject, event: *event, during, after })?;
    }
    Ok(())
}

fn bring_about(event: Event, subject: Subject, bench: &mut Bench) -> Result<()> {
    let program = match (event, subject) {
        (Event::Nothing, _) => return Ok(()),
        (Event::Reload, _) => return raceway::reload(&bench.topology),
        (Event::ControlKilled, _) => raceway::CONTROL_PROGRAM,
        (Event::RelayKilled, Subject::Coturn) => coturn::PROGRAM,
        (Event::RelayKilled, Subject::Rtpengine) => rtpengine::PROGRAM,
        (Event::RelayKilled, _) => raceway::RELAY_PROGRAM,
    };
    let processes = &mut bench.running.processes;
    processes.kill(program)?;
    thread::sleep(PAUSE);
    processes.start_again(program).with_context(|| format!("{program} after its death"))
}
