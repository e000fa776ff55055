//! `rtp`: streams to a target, and what comes back.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use anyhow::{Result, ensure};
use raceway_loadgen_core::Identity;
use raceway_loadgen_core::report::Report;
use raceway_loadgen_report::words::of;

use crate::cli::{Common, Rtp};
use crate::crew::BackEnd;
use crate::plan::{Plan, Port, Route, Stream};
use crate::result;
use crate::session::{Interrupt, Session};
use crate::sockets;
use crate::source::Source;
use crate::target::{Target, local_towards};
use crate::xdp;

/// Runs `rtp`.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Rtp, interrupt: &Interrupt) -> Result<Report> {
    ensure!(options.streams > 0, "--streams 0: there is nothing to send");
    if options.common.backend == BackEnd::Xdp {
        return xdp::rtp::run(options, interrupt);
    }
    xdp::refuse(&options.xdp)?;
    let profile = &options.shape.profile;
    let sources = profile.tracks().into_iter().map(|track| (profile.to_string(), Source::Profile(track)));
    let calls = Calls {
        sources: sources.collect(),
        calls: options.streams,
        calls_per_socket: options.streams_per_socket,
        ramp: options.shape.ramp,
        what: format!("{} of {profile} to {}", of(options.streams.into(), "stream"), options.target),
        target: options.target,
        receive: options.receive,
    };
    calls.run(options.common, interrupt)
}

/// The same streams, many times, to a target.
#[derive(Debug)]
pub struct Calls {
    /// What one call sends, with names for people.
    pub sources: Vec<(String, Source)>,
    /// Calls.
    pub calls: u32,
    /// Calls that share a socket.
    pub calls_per_socket: u32,
    /// Calls begun each second.
    pub ramp: Option<NonZeroU32>,
    /// The run for people.
    pub what: String,
    /// Where to send.
    pub target: Target,
    /// Where it arrives in the end, if not at the sockets that sent it.
    pub receive: Option<Target>,
}

impl Calls {
    /// Sends and measures.
    ///
    /// # Errors
    /// It could not be run, and why.
    pub fn run(self, common: Common, interrupt: &Interrupt) -> Result<Report> {
        let targets = self.target.resolve(common.i_own_this_target)?;
        let receive = self.receive.as_ref().map(Target::local).transpose()?;
        Session::check(self.sources.iter().map(|(name, source)| (name.as_str(), source)))?;
        let session = Session::new(common, interrupt)?;
        let pps: f64 = self.sources.iter().map(|(_, source)| source.packets_per_second()).sum();
        let mut cores = session.cores(2.0 * pps * f64::from(self.calls))?;
        // Streams meet their receiver in one worker: no more workers than places where they arrive.
        cores.truncate(receive.as_ref().map_or(usize::MAX, Vec::len));
        let doors = receive.iter().flatten().count() as u64;
        sockets::allow(u64::from(self.calls.div_ceil(self.calls_per_socket)) + cores.len() as u64 + doors)?;
        let plans = self.plans(&session, cores.len(), &targets, receive.as_deref().unwrap_or(&[]))?;
        let terms = session.terms(session.expectation(), self.ramp);
        let finding = session.run(plans, &cores, &terms)?;
        Ok(result::report(&session, &finding, self.what))
    }

    fn plans(
        &self,
        session: &Session,
        workers: usize,
        targets: &[SocketAddr],
        receive: &[SocketAddr],
    ) -> Result<Vec<Plan>> {
        let from = local_towards(targets[0])?;
        let mut plans: Vec<Plan> = (0..workers).map(|_| Plan::default()).collect();
        let mut doors = Vec::new();
        for (at, address) in receive.iter().enumerate() {
            let plan = &mut plans[at % workers];
            plan.ports.push(Port::new(sockets::open_at(*address)?));
            doors.push(plan.ports.len() as u32 - 1);
        }
        // No worker is without a socket.
        let calls_per_socket = self.calls_per_socket.min(self.calls.div_ceil(workers as u32));
        let mut next = 0;
        for call in 0..self.calls {
            let door = (!doors.is_empty()).then(|| call as usize % doors.len());
            let socket = call / calls_per_socket;
            let plan = &mut plans[door.unwrap_or(socket as usize) % workers];
            if call % calls_per_socket == 0 || door.is_some_and(|_| calls_per_socket > 1) {
                plan.ports.push(Port::new(sockets::open(from)?));
            }
            let port = plan.ports.len() as u32 - 1;
            let to = targets[call as usize % targets.len()];
            for (name, source) in &self.sources {
                let (run, clock) = (session.run, session.timeline.clock());
                plan.streams.push(Stream {
                    source: source.clone(),
                    name: format!("{name} {call}"),
                    identity: Identity { run, stream: next, ssrc: session.ssrc(next), clock },
                    call,
                    route: Route::Plain { port, to },
                    back: None,
                    arrives_at: Some(door.map_or(port, |door| doors[door])),
                    waits: false,
                });
                next += 1;
            }
        }
        Ok(plans)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Task};

    #[test]
    fn each_core_has_a_socket_however_many_streams_share_one() {
        let Task::Rtp(options) = Cli::parse_from(["raceway-loadgen", "rtp", "--target", "127.0.0.1:9"]).task else {
            panic!("another task");
        };
        let session = Session::new(options.common, &Interrupt::install().unwrap()).unwrap();
        let track = options.shape.profile.tracks().remove(0);
        let calls = Calls {
            sources: vec![("pcmu".to_owned(), Source::Profile(track))],
            calls: 10,
            calls_per_socket: 100,
            ramp: None,
            what: String::new(),
            target: options.target,
            receive: None,
        };
        let plans = calls.plans(&session, 2, &[([127, 0, 0, 1], 9).into()], &[]).unwrap();
        let each: Vec<_> = plans.iter().map(|plan| (plan.ports.len(), plan.streams.len())).collect();
        assert_eq!(each, [(1, 5), (1, 5)]);
    }
}
