//! Calls with media that come and go, at a rate.

use std::net::UdpSocket;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use crossbeam::channel::{Sender, unbounded};
use raceway_loadgen_core::call::{Course, Event, Party, Settings, Switchboard, Told};
use raceway_loadgen_core::limits::CALLS_MAX;
use raceway_loadgen_report::words::of;
use raceway_units::Instant;

use super::media::{Desk, InTurns};
use super::signalling::Signalling;
use super::{Run, reachable, some};
use crate::plan::{Keys, Plan};
use crate::session::{Finding, Interrupt};
use crate::worker::Order;

/// How long a call stays unless told.
const HOLD: Duration = Duration::from_secs(2);
/// What setting up and deleting may take before the sockets of a call are missed by a later one.
const MARGIN: Duration = Duration::from_secs(2);
/// From an answer to the first packets: workers have looked for orders by then.
const LEAD: Duration = Duration::from_millis(30);
/// Streams of a run, all calls together: what is received of each takes 1.3 kB.
const STREAMS_MAX: u64 = 400_000;

/// How calls share sockets.
pub(super) struct Turns {
    rate: NonZeroU32,
    hold: Duration,
    /// Pairs of sockets.
    pub(super) slots: u32,
    /// Calls of each pair, one after the other.
    pub(super) each: u32,
}

/// A call of a worker: where its sockets and streams are in the worker's plan.
pub(super) struct Place {
    pub(super) worker: usize,
    /// The caller's socket; the callee's is the next one.
    pub(super) port: u32,
    /// The first stream of its first turn.
    pub(super) stream: u32,
    /// Streams of a turn.
    pub(super) streams: u32,
}

impl Turns {
    fn of(run: &Run) -> Result<Self> {
        let options = &run.options;
        let rate = options
            .rate
            .ok_or_else(|| anyhow!("--churn with media: say with --rate how many calls begin each second"))?;
        let hold = options.hold.unwrap_or(HOLD);
        let common = &options.common;
        let wanted = (hold + common.drain + MARGIN).as_secs_f64() * f64::from(rate.get());
        let calls = (common.duration.as_secs_f64() * f64::from(rate.get())).ceil() as u64;
        let slots = (wanted.ceil() as u64).min(calls.max(1));
        ensure!(
            slots <= u64::from(CALLS_MAX),
            "{rate} calls a second of {hold:?} are {slots} at a time: {CALLS_MAX} at most"
        );
        let each = calls.div_ceil(slots);
        let streams = slots * each * 2 * options.shape.profile.tracks().len() as u64;
        ensure!(
            streams <= STREAMS_MAX,
            "{calls} calls have {streams} streams: {STREAMS_MAX} at most; ask for a lower --rate or a shorter --duration"
        );
        Ok(Self { rate, hold, slots: slots as u32, each: each as u32 })
    }
}

/// Runs calls that come and go; what was counted of them, what became of their media, and all of it in words.
pub(super) fn run(run: &Run, socket: UdpSocket, interrupt: &Interrupt) -> Result<(Signalling, Finding, String)> {
    let turns = Turns::of(run)?;
    let desk = Desk::open(run, turns.slots)?;
    let parties = desk.parties();
    // Late packets are waited for before the relay forgets the call.
    let course = Course::Again(turns.hold + run.options.common.drain);
    let InTurns { plans, cores, terms, places } = desk.in_turns(run, &turns)?;
    let (plans, orders): (Vec<Plan>, Vec<Sender<Order>>) = plans.into_iter().map(with_orders).unzip();
    let board = Switchboard::new(Settings { course, ..run.settings() }, parties.clone().into_iter());
    let mut signalling = Signalling::new(&run.session, interrupt, socket, run.relay, board).silent();
    let until = run.session.timeline.now().after(run.options.common.duration);
    let over = AtomicBool::new(false);
    let up = |event: Event, now: Instant| {
        let Event::Up { call, turn, told } = event else { return Ok(()) };
        reachable(run, &told)?;
        if turn < turns.each {
            let place = &places[call as usize];
            let begin = now.after(LEAD);
            let order = place.order(turn, &parties[call as usize], &told, begin, begin.after(turns.hold));
            // A worker that is gone has ended the run.
            let _ = orders[place.worker].send(order);
        }
        Ok(())
    };
    let (made, finding) = thread::scope(|scope| {
        let making = scope.spawn(|| {
            let made = signalling.work("calls", Some(until), true, |_| over.load(Ordering::Relaxed), up);
            // Without calls there is nothing to wait for.
            if made.is_err() {
                interrupt.set();
            }
            made
        });
        let finding = run.session.run(plans, &cores, &terms);
        over.store(true, Ordering::Relaxed);
        (making.join(), finding)
    });
    let made = made.map_err(|_| anyhow!("signalling panicked; this is a defect of the generator"));
    let result = made.and_then(|made| made).and(finding).and_then(|finding| {
        some(signalling.figures(), interrupt)?;
        Ok(finding)
    });
    let closed = run.close(&mut signalling);
    let finding = result?;
    closed?;
    let what = format!("{} a second for {:?} each", of(turns.rate.get().into(), "call"), turns.hold);
    Ok((signalling, finding, what))
}

fn with_orders(plan: Plan) -> (Plan, Sender<Order>) {
    let (sender, receiver) = unbounded();
    (Plan { orders: Some(receiver), ..plan }, sender)
}

impl Place {
    /// What the worker is told when a call is up.
    fn order(&self, turn: u32, parties: &[Party; 2], told: &[Told; 2], begin: Instant, end: Instant) -> Order {
        let keys = |side: usize| Keys::of(&parties[side], &told[side]);
        let first = self.stream + turn * self.streams;
        Order {
            streams: first..first + self.streams,
            port: self.port,
            to: [told[0].to, told[1].to],
            keys: [keys(0), keys(1)],
            begin,
            end,
        }
    }
}
