//! `rtp --backend xdp`.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use raceway_loadgen_core::report::{Reference, Report};
use raceway_loadgen_report::words::of;
use raceway_loadgen_xdp::{Endpoints, Frames, Shape};
use raceway_units::Random;

use super::interface::Interface;
use super::{Group, attend, named, report, steady};
use crate::cli::Rtp;
use crate::session::{Interrupt, Session};
use crate::target::local_towards;

/// First source port, and how many follow: none that services have.
const PORTS: (u16, u32) = (10_000, 50_000);

/// Runs `rtp` in the kernel.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Rtp, interrupt: &Interrupt) -> Result<Report> {
    let profile = &options.shape.profile;
    ensure!(
        options.receive.is_none(),
        "--receive: in XDP streams are known wherever they arrive; name the interface with --receive-interface"
    );
    ensure!(options.shape.ramp.is_none(), "--ramp: in XDP all streams begin within one packet interval");
    let (track, steady) = steady(profile, options.streams)?;
    let out = named(options.xdp.interface.as_deref(), "sends from")?;
    let back = options.xdp.receive_interface.as_deref().map_or_else(|| Ok(out.clone()), Interface::find)?;
    let targets = options.target.resolve(options.common.i_own_this_target)?;
    let session = Session::new(options.common.clone(), interrupt)?;
    let from = local_towards(targets[0])?;
    let to_mac = options.xdp.next_hop.map_or_else(|| out.next_hop(targets[0]), |mac| Ok(mac.0))?;
    let v6 = from.is_ipv6();
    let shape = Shape { payload: steady.payload, payload_type: track.payload_type, v6, channel_data: false };
    let frames = |number: u32| {
        let mut random = Random::of(session.random(3), u64::from(number));
        let port = PORTS.0 + ((number / options.streams_per_socket) % PORTS.1) as u16;
        let to = targets[number as usize % targets.len()];
        let endpoints = Endpoints { from: SocketAddr::new(from, port), to, from_mac: out.mac, to_mac };
        let (timestamp, sequence) = (random.next() as u32, random.next() as u16);
        Frames { number, ssrc: session.ssrc(number), sequence, timestamp, endpoints, channel: 0 }
    };
    let names = (0..options.streams).map(|number| format!("{profile} {number}")).collect();
    let group = Group { out: out.clone(), shape, frames: (0..options.streams).map(frames).collect(), names };
    group.check(profile)?;
    let finding = attend(&session, &steady, &[group], &[&back])?;
    let place = if back == out { out.name } else { format!("{} and {}", out.name, back.name) };
    let streams = of(options.streams.into(), "stream");
    let what = format!("{streams} of {profile} to {} in XDP on {place}", options.target);
    Ok(report::report(&session, finding, true, Reference::Absolute, what))
}
