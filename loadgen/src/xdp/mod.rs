//! `rtp --backend xdp`: streams that the kernel sends and counts, without sockets.

mod interface;
mod report;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use raceway_loadgen_core::report::{Interval, Report};
use raceway_loadgen_core::{Steady, Track};
use raceway_loadgen_report::words::of;
use raceway_loadgen_xdp::layout::{Expected, STREAMS_MAX};
use raceway_loadgen_xdp::{Endpoints, Frames, Generator, Order, PACKET_MAX, Running, Shape, Sink};
use raceway_units::{Instant, Random};

use crate::cli::Rtp;
use crate::crew::Watch;
use crate::session::{Interrupt, Session};
use crate::target::local_towards;
use interface::Interface;

/// First source port, and how many follow: none that services have.
const PORTS: (u16, u32) = (10_000, 50_000);
/// Between all being ready and the first packet: starting the kernel's loop takes some 20 ms.
const LEAD: Duration = Duration::from_millis(200);
/// How often somebody looks at the clock and at Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
/// Counters of the devices in this network namespace.
const DEVICES: &str = "/proc/thread-self/net/dev";

/// Runs `rtp` in the kernel.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Rtp, interrupt: &Interrupt) -> Result<Report> {
    let (track, steady) = steady(&options)?;
    let name =
        options.interface.as_deref().context("--backend xdp sends from an interface: name it with --interface")?;
    let out = Interface::find(name)?;
    let back = options.receive_interface.as_deref().map_or_else(|| Ok(out.clone()), Interface::find)?;
    let targets = options.target.resolve(options.common.i_own_this_target)?;
    let session = Session::new(options.common.clone(), interrupt)?;
    let from = local_towards(targets[0])?;
    let to_mac = options.next_hop.map_or_else(|| out.next_hop(targets[0]), |mac| Ok(mac.0))?;
    let shape = Shape { payload: steady.payload, payload_type: track.payload_type, v6: from.is_ipv6() };
    ensure!(
        shape.ip_packet() <= out.mtu as usize,
        "{}: packets of {} octets with their headers; {name} takes {} (its MTU)",
        options.shape.profile,
        shape.ip_packet(),
        out.mtu
    );

    let frames: Vec<Frames> = (0..options.streams)
        .map(|number| {
            let mut random = Random::of(session.random(3), u64::from(number));
            let port = PORTS.0 + ((number / options.streams_per_socket) % PORTS.1) as u16;
            let to = targets[number as usize % targets.len()];
            let endpoints = Endpoints { from: SocketAddr::new(from, port), to, from_mac: out.mac, to_mac };
            let (timestamp, sequence) = (random.next() as u32, random.next() as u16);
            Frames { number, ssrc: session.ssrc(number), sequence, timestamp, endpoints }
        })
        .collect();
    let finding = attend(&options, &session, steady, shape, &frames, &out, &back)?;
    let place = if back == out { name.to_owned() } else { format!("{name} and {}", back.name) };
    let what = format!(
        "{} of {} to {} in XDP on {place}",
        of(options.streams.into(), "stream"),
        options.shape.profile,
        options.target
    );
    Ok(report::report(&session, &finding, &options.shape.profile.to_string(), what))
}

/// What the kernel's half is to send, if it can.
fn steady(options: &Rtp) -> Result<(Track, Steady)> {
    let profile = &options.shape.profile;
    ensure!(
        options.receive.is_none(),
        "--receive: in XDP streams are known wherever they arrive; name the interface with --receive-interface"
    );
    ensure!(options.shape.ramp.is_none(), "--ramp: in XDP all streams begin within one packet interval");
    ensure!(options.streams <= STREAMS_MAX, "--streams {}: in XDP there are {STREAMS_MAX} at most", options.streams);
    let mut tracks = profile.tracks();
    let track = tracks.pop().filter(|_| tracks.is_empty());
    let found = track.and_then(|track| track.steady().map(|steady| (track, steady)));
    let Some((track, steady)) = found else {
        bail!(
            "{profile} cannot be generated in XDP, which sends packets of one size at even distances and without header \
             extensions: pcmu, pcma, g722, constant"
        );
    };
    ensure!(
        track.packet_max() <= PACKET_MAX,
        "{profile}: packets of {} octets; XDP sends {PACKET_MAX} at most",
        track.packet_max()
    );
    Ok((track, steady))
}

/// What a run came to.
struct Finding {
    totals: raceway_loadgen_core::report::Totals,
    length: Duration,
    /// By stream.
    streams: Vec<Stream>,
    /// Packets that fell due and were not sent.
    unsent: u64,
    /// Packets that the device did not take.
    refused: u64,
}

/// What became of a stream.
struct Stream {
    sent: u64,
    /// First sequence number.
    first: u16,
    heard: raceway_loadgen_xdp::Heard,
    octets: u64,
}

/// Starts everything, watches it, and ends it.
fn attend(
    options: &Rtp,
    session: &Session,
    steady: Steady,
    shape: Shape,
    frames: &[Frames],
    out: &Interface,
    back: &Interface,
) -> Result<Finding> {
    let common = &session.common;
    let ahead_ns = session.timeline.ahead().as_nanos() as u64;
    let expected = Expected {
        ahead_ns,
        playout_ns: common.playout.as_nanos() as u64,
        gap_ns: common.gap.as_nanos() as u64,
        run: session.run,
        clock: session.timeline.clock().0,
        ssrc: session.ssrc(0),
        streams: options.streams,
    };
    let first: Vec<u16> = frames.iter().map(|frames| frames.sequence).collect();
    let mut sink = Sink::new(&back.name, &expected, &first)?;
    // One core, unless several are named: each has its own streams, and every core's begin at a place of their own.
    let mut cores = session.cores(0.0)?;
    cores.truncate(frames.len());
    let share = frames.len().div_ceil(cores.len());
    let generators: Vec<Generator> =
        frames.chunks(share).map(|frames| Generator::new(out.ifindex, shape, frames)).collect::<Result<_, _>>()?;
    let before = device(&out.name);
    let begin = monotonic(session).after(LEAD);
    let mut running = Vec::new();
    for (place, (generator, core)) in generators.into_iter().zip(&cores).enumerate() {
        let (ns, per) = steady.interval_ns;
        let later = ns * place as u64 / (per * frames.len() as u64);
        let order = Order {
            begin_ns: begin.as_ns() + later,
            stop_ns: begin.after(common.duration).as_ns(),
            ahead_ns,
            interval: steady.interval_ns,
            ticks: steady.ticks,
            run: session.run,
            clock: expected.clock,
        };
        running.push(generator.start(&order, *core)?);
    }
    let octets = 12 + steady.payload as u64;
    let (ended, totals) = session.watched(|watch| {
        watch.begins(begin.after(session.timeline.ahead()));
        observe(session, begin, octets, &mut running, &mut sink, watch)
    })?;
    let length = ended.since(begin).min(common.duration);
    let mut streams = Vec::with_capacity(frames.len());
    for generator in &running {
        let (_, each, more) = generator.sent()?;
        for place in 0..generator.streams() {
            let heard = sink.stream(streams.len() as u32)?;
            let sent = each + u64::from(u64::from(place) < more);
            streams.push(Stream { sent, first: first[streams.len()], heard, octets });
        }
    }
    let sent = totals.all.sent.packets;
    let left = device(&out.name).zip(before).map(|(after, before)| (after.0 - before.0, after.1 - before.1));
    let refused = left.map_or(0, |(packets, dropped)| dropped.max(sent.saturating_sub(packets)).min(sent));
    let unsent =
        running.iter().map(|generator| generator.unsent(begin.after(length).as_ns())).sum::<Result<u64, _>>()?;
    // A few packets of others are counted too.
    if totals.all.received.packets == 0 && refused > sent / 2 {
        bail!(
            "{} lost {refused} of {sent} frames, and nothing came back. If it is a veth, its far end takes them only while it has an XDP program or \
             GRO of its own: `ethtool -K DEVICE gro on` there",
            out.name
        );
    }
    Ok(Finding { totals, length, streams, unsent, refused })
}

/// Tells how it goes each second, until it is over or somebody ends it; then waits for late packets. When sending ended.
fn observe(
    session: &Session,
    begin: Instant,
    octets: u64,
    running: &mut [Running],
    sink: &mut Sink,
    watch: &mut dyn Watch,
) -> Result<Instant> {
    let end = begin.after(session.common.duration);
    let (mut since, mut sent, mut ended) = (begin, 0, None);
    loop {
        std::thread::sleep(LOOK);
        let now = monotonic(session);
        if ended.is_none() && (now >= end || watch.interrupted() || running.iter().any(Running::failed)) {
            // What falls due while the kernel ends its loop, some 20 ms, is not missing.
            ended = Some(now);
            for generator in running.iter_mut() {
                generator.end()?;
            }
        }
        let over = ended.is_some_and(|ended| now.since(ended) >= session.common.drain);
        let length = now.since(since);
        // The second in which sending ends goes on to its end.
        if length < SECOND && !over {
            continue;
        }
        let mut interval = Interval::default();
        let mut all = 0;
        for generator in running.iter_mut() {
            all += generator.sent()?.0;
            for (ns, packets) in generator.lateness()? {
                interval.were_late(ns, packets);
            }
        }
        interval.sent.packets = all - sent;
        interval.sent.octets = interval.sent.packets * octets;
        sent = all;
        report::add(&mut interval, &sink.tally()?);
        watch.interval(&interval, length);
        since = now;
        if let Some(ended) = ended.filter(|_| over) {
            return Ok(ended);
        }
    }
}

/// Now, by the clock of the kernel's half.
fn monotonic(session: &Session) -> Instant {
    let now = session.timeline.now().as_ns();
    Instant::from_ns(now - session.timeline.ahead().as_nanos() as u64)
}

/// Packets that a device has sent, and that it dropped of those.
fn device(interface: &str) -> Option<(u64, u64)> {
    device_of(&fs::read_to_string(DEVICES).ok()?, interface)
}

fn device_of(table: &str, interface: &str) -> Option<(u64, u64)> {
    let figures = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    let mut figures = figures.split_whitespace().map(|figure| figure.parse().unwrap_or(0));
    let sent = figures.nth(9)?;
    Some((sent, figures.nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_device_are_found() {
        let table = "Inter-|   Receive  \n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                     veth0:101 102 3 4 5 6 7 8 109 110 11 112 13 14 15 16\n";
        assert_eq!(device_of(table, "veth0"), Some((110, 112)));
        assert_eq!(device_of(table, "veth"), None);
    }
}
