//! Sockets and streams of calls with media.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::{Result, ensure};
use core_affinity::CoreId;
use raceway_loadgen_core::call::{Party, Told};
use raceway_loadgen_core::{Identity, Track};
use raceway_srtp::limits::OVERHEAD_MAX;
use raceway_sys::io::PAYLOAD_MAX;

use super::Run;
use super::churn::{Place, Turns};
use crate::plan::{Keys, Plan, Port, Route, Stream};
use crate::session::{Finding, Session};
use crate::sockets;
use crate::source::Source;
use crate::worker::Terms;

/// A call that may have media.
struct Line {
    /// The sockets of caller and callee.
    sockets: [OwnedFd; 2],
    parties: [Party; 2],
    /// What each was told, once the call was answered.
    told: Option<[Told; 2]>,
}

/// All of them.
pub(super) struct Desk {
    lines: Vec<Line>,
    sources: Vec<Source>,
}

impl Desk {
    /// Opens the sockets of the parties of so many calls.
    pub(super) fn open(run: &Run, calls: u32) -> Result<Self> {
        let profile = &run.options.shape.profile;
        let tracks = profile.tracks();
        let longest = tracks.iter().map(Track::packet_max).max().unwrap_or(0) + OVERHEAD_MAX;
        ensure!(
            longest <= PAYLOAD_MAX,
            "{profile}: packets of {longest} octets; this generator sends {PAYLOAD_MAX} at most"
        );
        let sources: Vec<Source> = tracks.into_iter().map(Source::Profile).collect();
        let named = profile.to_string();
        Session::check(sources.iter().map(|source| (named.as_str(), source)))?;
        sockets::allow(2 * u64::from(calls))?;
        let [caller, callee] = run.addresses();
        let line = |_| {
            let sockets = [sockets::open(caller)?, sockets::open(callee)?];
            let at = |socket: &OwnedFd| sockets::local(socket);
            let parties = run.parties([at(&sockets[0])?, at(&sockets[1])?])?;
            Ok(Line { sockets, parties, told: None })
        };
        Ok(Self { lines: (0..calls).map(line).collect::<Result<_>>()?, sources })
    }

    /// The parties of each call.
    pub(super) fn parties(&self) -> Vec<[Party; 2]> {
        self.lines.iter().map(|line| line.parties.clone()).collect()
    }

    /// A call was answered.
    pub(super) fn connect(&mut self, call: u32, told: [Told; 2]) {
        self.lines[call as usize].told = Some(told);
    }

    /// Cores for so many calls at a time, and an empty plan for each.
    fn plans(&self, run: &Run, calls: u32) -> Result<(Vec<CoreId>, Vec<Plan>)> {
        let each: f64 = self.sources.iter().map(Source::packets_per_second).sum();
        // Each packet is sent and received, both ways.
        let cores = run.session.cores(4.0 * each * f64::from(calls))?;
        let plans = cores.iter().map(|_| Plan::default()).collect();
        Ok((cores, plans))
    }

    /// Media of all calls that were answered.
    pub(super) fn run(self, run: &Run) -> Result<Finding> {
        let Run { session, options, .. } = run;
        let (cores, mut plans) = self.plans(run, run.calls)?;
        let mut mux = true;
        let mut streams = Streams::new(run, self.sources);
        for (number, line) in (0..).zip(self.lines) {
            let Some(told) = line.told else { continue };
            mux &= told.iter().all(|told| told.mux);
            let workers = plans.len();
            let plan = &mut plans[number as usize % workers];
            let keys = [0, 1].map(|side: usize| Keys::of(&line.parties[side], &told[side]));
            let port = add_ports(plan, line.sockets, keys, options.impair.is_some());
            streams.add(plan, number, port, [told[0].to, told[1].to], false);
        }
        let mut terms = session.terms(session.expectation(), options.shape.ramp);
        terms.impair = options.impair;
        // Reports go with the media or not at all.
        terms.rtcp &= mux;
        session.run(plans, &cores, &terms)
    }

    /// What workers are to do when calls use the same sockets one after the other.
    pub(super) fn in_turns(self, run: &Run, turns: &Turns) -> Result<InTurns> {
        let Run { session, options, .. } = run;
        let (cores, mut plans) = self.plans(run, turns.slots)?;
        let per_turn = 2 * self.sources.len() as u32;
        let mut streams = Streams::new(run, self.sources);
        let mut places = Vec::with_capacity(self.lines.len());
        for (slot, line) in (0..).zip(self.lines) {
            let worker = slot as usize % plans.len();
            let plan = &mut plans[worker];
            let stream = plan.streams.len() as u32;
            let port = add_ports(plan, line.sockets, [None, None], options.impair.is_some());
            for turn in 0..turns.each {
                // Where it goes is known once there is an order for it.
                streams.add(
                    plan,
                    turn * turns.slots + slot,
                    port,
                    line.parties.each_ref().map(|party| party.media),
                    true,
                );
            }
            places.push(Place { worker, port, stream, streams: per_turn });
        }
        let mut terms = session.terms(session.expectation(), None);
        terms.impair = options.impair;
        // A participant for each call of a socket would be more than a socket has room for.
        terms.rtcp = false;
        Ok(InTurns { plans, cores, terms, places })
    }
}

/// What workers are to do when calls come and go.
pub(super) struct InTurns {
    /// For each worker.
    pub(super) plans: Vec<Plan>,
    /// Of each worker.
    pub(super) cores: Vec<CoreId>,
    /// Of all.
    pub(super) terms: Terms,
    /// Where calls are, by their number.
    pub(super) places: Vec<Place>,
}

/// Puts the sockets of a call into a plan: the number of the first, the caller's.
fn add_ports(plan: &mut Plan, sockets: [OwnedFd; 2], keys: [Option<Keys>; 2], impaired: bool) -> u32 {
    let first = plan.ports.len() as u32;
    for (fd, keys) in sockets.into_iter().zip(keys) {
        plan.ports.push(Port { impaired, keys, ..Port::new(fd) });
    }
    first
}

/// Numbers streams.
struct Streams<'a> {
    session: &'a Session,
    profile: String,
    sources: Vec<Source>,
    next: u32,
}

impl<'a> Streams<'a> {
    fn new(run: &'a Run, sources: Vec<Source>) -> Self {
        Self { session: &run.session, profile: run.options.shape.profile.to_string(), sources, next: 0 }
    }

    /// Streams of a call, both ways: from the caller's socket, which has this number, and from the callee's, which is next.
    fn add(&mut self, plan: &mut Plan, call: u32, port: u32, to: [SocketAddr; 2], waits: bool) {
        let routes = [Route::Plain { port, to: to[0] }, Route::Plain { port: port + 1, to: to[1] }];
        for (side, way) in ["to callee", "to caller"].into_iter().enumerate() {
            for source in &self.sources {
                let stream = self.next;
                self.next += 1;
                let (run, clock, ssrc) = (self.session.run, self.session.timeline.clock(), self.session.ssrc(stream));
                plan.streams.push(Stream {
                    source: source.clone(),
                    // Those of one party begin together, as the layers of a camera do.
                    call: 2 * call + side as u32,
                    name: format!("{} call {call} {way}", self.profile),
                    identity: Identity { run, stream, ssrc, clock },
                    route: routes[side],
                    back: Some(routes[1 - side]),
                    arrives_at: Some(port + 1 - side as u32),
                    waits,
                });
            }
        }
    }
}
