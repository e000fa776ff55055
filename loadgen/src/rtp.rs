//! `rtp`: streams to a target, and what comes back.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use raceway_loadgen_core::Identity;
use raceway_loadgen_core::report::Report;

use crate::cli::Rtp;
use crate::plan::{Plan, Port, Route, Stream};
use crate::result;
use crate::session::{Interrupt, Session};
use crate::sockets;
use crate::target::local_towards;

/// Runs `rtp`.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Rtp, interrupt: &Interrupt) -> Result<Report> {
    ensure!(options.streams > 0, "--streams 0: there is nothing to send");
    let mine = options.common.i_own_this_target;
    let targets = options.target.resolve(mine)?;
    let receive = options.receive.as_ref().map(|target| target.local()).transpose()?;
    let session = Session::new(options.common, interrupt)?;
    let tracks = Session::tracks(&options.shape.profile)?;
    let pps: f64 = tracks.iter().map(|track| track.packets_per_second()).sum::<f64>() * f64::from(options.streams);
    let mut cores = session.cores(2.0 * pps)?;
    // Streams meet their receiver in one worker: no more workers than places where they arrive.
    cores.truncate(receive.as_ref().map_or(usize::MAX, Vec::len));
    sockets::allow(
        u64::from(options.streams.div_ceil(options.streams_per_socket)) + receive.iter().flatten().count() as u64,
    )?;

    let from = local_towards(targets[0])?;
    let mut plans: Vec<Plan> = cores.iter().map(|_| Plan::default()).collect();
    let mut doors = Vec::new();
    for (at, address) in receive.iter().flatten().enumerate() {
        let plan = &mut plans[at % cores.len()];
        plan.ports.push(Port { fd: sockets::open_at(*address)?, client: None, impaired: false });
        doors.push(plan.ports.len() as u32 - 1);
    }
    let mut stream = 0;
    for call in 0..options.streams {
        let door = (!doors.is_empty()).then(|| call as usize % doors.len());
        let socket = call / options.streams_per_socket;
        let plan = &mut plans[door.unwrap_or(socket as usize) % cores.len()];
        if call % options.streams_per_socket == 0 || door.is_some_and(|_| options.streams_per_socket > 1) {
            plan.ports.push(Port { fd: sockets::open(from)?, client: None, impaired: false });
        }
        let port = plan.ports.len() as u32 - 1;
        let to: SocketAddr = targets[call as usize % targets.len()];
        for track in &tracks {
            let identity =
                Identity { run: session.run, stream, ssrc: session.ssrc(stream), clock: session.timeline.clock() };
            stream += 1;
            let name = format!("{} {call}", options.shape.profile);
            let arrives_at = Some(door.map_or(port, |door| doors[door]));
            plan.streams.push(Stream {
                track: track.clone(),
                name,
                identity,
                route: Route::Plain { port, to },
                back: None,
                arrives_at,
            });
        }
    }
    let terms = session.terms(session.expectation(), options.shape.ramp);
    let finding = session.run(plans, &cores, &terms)?;
    let what = format!("{} streams of {} to {}", options.streams, options.shape.profile, options.target);
    Ok(result::report(&session, &finding, what))
}
