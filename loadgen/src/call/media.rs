//! Sockets and streams of calls with media.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::{Result, ensure};
use raceway_loadgen_core::call::{Party, Told};
use raceway_loadgen_core::{Identity, Track};
use raceway_srtp::limits::OVERHEAD_MAX;
use raceway_sys::io::PAYLOAD_MAX;

use super::Run;
use crate::plan::{Keys, Plan, Port, Route, Stream};
use crate::session::{Finding, Session};
use crate::sockets;
use crate::source::Source;

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
    /// Opens the sockets of all parties.
    pub(super) fn open(run: &Run) -> Result<Self> {
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
        sockets::allow(2 * u64::from(run.options.calls))?;
        let [caller, callee] = run.addresses();
        let line = |_| {
            let sockets = [sockets::open(caller)?, sockets::open(callee)?];
            let at = |socket: &OwnedFd| sockets::local(socket);
            let parties = run.parties([at(&sockets[0])?, at(&sockets[1])?])?;
            Ok(Line { sockets, parties, told: None })
        };
        Ok(Self { lines: (0..run.options.calls).map(line).collect::<Result<_>>()?, sources })
    }

    /// The parties of each call.
    pub(super) fn parties(&self) -> Vec<[Party; 2]> {
        self.lines.iter().map(|line| line.parties.clone()).collect()
    }

    /// A call was answered.
    pub(super) fn connect(&mut self, call: u32, told: [Told; 2]) {
        self.lines[call as usize].told = Some(told);
    }

    /// Media of all calls that were answered.
    pub(super) fn run(self, run: &Run) -> Result<Finding> {
        let Run { session, options, .. } = run;
        let each: f64 = self.sources.iter().map(Source::packets_per_second).sum();
        // Each packet is sent and received, both ways.
        let cores = session.cores(4.0 * each * f64::from(options.calls))?;
        let mut plans: Vec<Plan> = cores.iter().map(|_| Plan::default()).collect();
        let mut mux = true;
        let mut streams =
            Streams { session, profile: options.shape.profile.to_string(), sources: self.sources, next: 0 };
        for (number, line) in (0..).zip(self.lines) {
            let Some(told) = line.told else { continue };
            mux &= told.iter().all(|told| told.mux);
            let workers = plans.len();
            let plan = &mut plans[number as usize % workers];
            let [caller, callee] = add_ports(plan, line.sockets, &line.parties, &told, options.impair.is_some());
            let [to_callee, to_caller] = [(caller, told[0].to), (callee, told[1].to)].map(way);
            streams.add(plan, number, "to callee", to_callee, to_caller, callee);
            streams.add(plan, number, "to caller", to_caller, to_callee, caller);
        }
        let mut terms = session.terms(session.expectation(), options.shape.ramp);
        terms.impair = options.impair;
        // Reports go with the media or not at all.
        terms.rtcp &= mux;
        session.run(plans, &cores, &terms)
    }
}

fn way((port, to): (u32, SocketAddr)) -> Route {
    Route::Plain { port, to }
}

/// Puts the sockets of a call into a plan: their numbers.
fn add_ports(
    plan: &mut Plan,
    sockets: [OwnedFd; 2],
    parties: &[Party; 2],
    told: &[Told; 2],
    impaired: bool,
) -> [u32; 2] {
    let first = plan.ports.len() as u32;
    for (number, fd) in sockets.into_iter().enumerate() {
        let keys = parties[number].key.clone().zip(told[number].key.clone());
        let keys = keys.map(|(ours, theirs)| Keys { ours, theirs });
        plan.ports.push(Port { impaired, keys, ..Port::new(fd) });
    }
    [first, first + 1]
}

/// Numbers streams.
struct Streams<'a> {
    session: &'a Session,
    profile: String,
    sources: Vec<Source>,
    next: u32,
}

impl Streams<'_> {
    fn add(&mut self, plan: &mut Plan, call: u32, way: &str, route: Route, back: Route, arrives_at: u32) {
        for source in &self.sources {
            let stream = self.next;
            self.next += 1;
            let (run, clock, ssrc) = (self.session.run, self.session.timeline.clock(), self.session.ssrc(stream));
            plan.streams.push(Stream {
                source: source.clone(),
                call: stream,
                name: format!("{} call {call} {way}", self.profile),
                identity: Identity { run, stream, ssrc, clock },
                route,
                back: Some(back),
                arrives_at: Some(arrives_at),
            });
        }
    }
}
