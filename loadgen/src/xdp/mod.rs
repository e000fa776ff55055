//! `--backend xdp`: streams that the kernel sends and counts, without sockets.

mod interface;
mod report;
pub mod rtp;
pub mod sink;
pub mod turn;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use raceway_loadgen_core::report::{Interval, StreamReport, Totals};
use raceway_loadgen_core::{Profile, Steady, Track};
use raceway_loadgen_xdp::layout::{Expected, STREAMS_MAX, Times};
use raceway_loadgen_xdp::{Frames, Generator, Known, Order, PACKET_MAX, Running, Shape, Sink};
use raceway_units::Instant;

use crate::cli::Xdp;
use crate::crew::Watch;
use crate::session::{Session, all_cores};
use interface::Interface;

/// Between all being ready and the first packet: starting the kernel's loop takes some 20 ms.
const LEAD: Duration = Duration::from_millis(200);
/// How often somebody looks at the clock and at Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);
/// How long what is overdue at the end is waited for, and how often somebody looks whether it has left.
const PATIENCE: Duration = Duration::from_millis(100);
const GLANCE: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Counters of the devices in this network namespace.
const DEVICES: &str = "/proc/thread-self/net/dev";

/// For runs by sockets: that nothing is said of interfaces.
///
/// # Errors
/// It is.
pub fn refuse(options: &Xdp) -> Result<()> {
    ensure!(
        !options.is_given(),
        "--interface, --receive-interface and --next-hop are for --backend xdp: sockets find their way"
    );
    Ok(())
}

/// What the kernel's half can send of a profile: its one stream, if its packets are all alike.
fn steady(profile: &Profile, streams: u32) -> Result<(Track, Steady)> {
    ensure!(streams <= STREAMS_MAX, "{streams} streams: in XDP there are {STREAMS_MAX} at most");
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
    totals: Totals,
    length: Duration,
    streams: Vec<StreamReport>,
    /// Packets that fell due and were not sent.
    unsent: u64,
    /// Packets that the devices did not take.
    refused: u64,
}

/// Streams of one shape that leave by one interface.
struct Group {
    out: Interface,
    shape: Shape,
    frames: Vec<Frames>,
    /// What people call them.
    names: Vec<String>,
}

impl Group {
    fn check(&self, profile: &Profile) -> Result<()> {
        let (octets, Interface { name, mtu, .. }) = (self.shape.ip_packet(), &self.out);
        ensure!(
            octets <= *mtu as usize,
            "{profile}: packets of {octets} octets with their headers; {name} takes {mtu} (its MTU)"
        );
        Ok(())
    }
}

/// How times are judged.
fn times(session: &Session) -> Times {
    Times {
        ahead_ns: session.timeline.ahead().as_nanos() as u64,
        playout_ns: session.common.playout.as_nanos() as u64,
        gap_ns: session.common.gap.as_nanos() as u64,
    }
}

/// Streams at work.
struct Senders {
    running: Vec<Running>,
    /// When the first packet is due.
    begin: Instant,
    /// Counters of the devices before.
    before: BTreeMap<String, (u64, u64)>,
}

impl Senders {
    /// Starts all groups. Each has cores of its own: one, unless more are named than there are groups.
    fn start(session: &Session, groups: &[Group], steady: &Steady) -> Result<Self> {
        let streams: usize = groups.iter().map(|group| group.frames.len()).sum();
        let cores = if session.common.cores.is_empty() { all_cores()? } else { session.cores(0.0)? };
        ensure!(
            cores.len() >= groups.len(),
            "in XDP each direction keeps a core busy, and there is {} for {}: name more --cores, or one --direction",
            cores.len(),
            groups.len()
        );
        let mine = |group: usize| cores.iter().skip(group).step_by(groups.len()).copied();
        let mut generators = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            let most = if session.common.cores.is_empty() { 1 } else { group.frames.len() };
            let cores: Vec<_> = mine(number).take(most).collect();
            let share = group.frames.len().div_ceil(cores.len());
            for (frames, core) in group.frames.chunks(share).zip(cores) {
                generators.push((Generator::new(group.out.ifindex, group.shape, frames)?, core));
            }
        }
        let before =
            groups.iter().filter_map(|group| Some((group.out.name.clone(), device(&group.out.name)?))).collect();
        let begin = monotonic(session).after(LEAD);
        let mut running = Vec::with_capacity(generators.len());
        for (place, (generator, core)) in generators.into_iter().enumerate() {
            // Every core's streams begin at a place of their own within the interval.
            let (ns, per) = steady.interval_ns;
            let later = ns * place as u64 / (per * streams as u64);
            let order = Order {
                begin_ns: begin.as_ns() + later,
                stop_ns: begin.after(session.common.duration).as_ns(),
                ahead_ns: session.timeline.ahead().as_nanos() as u64,
                interval: steady.interval_ns,
                ticks: steady.ticks,
                run: session.run,
                clock: session.timeline.clock().0,
            };
            running.push(generator.start(&order, core)?);
        }
        Ok(Self { running, begin, before })
    }

    /// Packets that the devices have sent, and that they dropped of those, since the beginning.
    fn devices(&self) -> (u64, u64) {
        let each = self.before.iter().filter_map(|(name, before)| {
            let after = device(name)?;
            Some((after.0 - before.0, after.1 - before.1))
        });
        each.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }
}

/// Sends all groups and counts what arrives by `back`.
fn attend(session: &Session, steady: &Steady, groups: &[Group], back: &[&Interface]) -> Result<Finding> {
    let frames = || groups.iter().flat_map(|group| &group.frames);
    let first: Vec<u16> = frames().map(|frames| frames.sequence).collect();
    let expected = Expected {
        times: times(session),
        run: session.run,
        clock: session.timeline.clock().0,
        ssrc: session.ssrc(0),
        streams: first.len() as u32,
    };
    let mut sink = Sink::expecting(&expected, &first)?;
    back.iter().try_for_each(|interface| sink.attach(&interface.name))?;
    let mut senders = Senders::start(session, groups, steady)?;
    let octets = 12 + steady.payload as u64;
    let begin = senders.begin;
    let (ended, totals) = session.watched(|watch| {
        watch.begins(begin.after(session.timeline.ahead()));
        observe(session, begin, octets, &mut senders.running, &mut sink, watch)
    })?;
    let length = ended.since(begin).min(session.common.duration);
    let mut sent_by_each = Vec::with_capacity(first.len());
    for generator in &senders.running {
        let (_, each, more) = generator.sent()?;
        sent_by_each.extend((0..u64::from(generator.streams())).map(|place| each + u64::from(place < more)));
    }
    let streams = streams(&sink, groups, &sent_by_each, octets)?;
    let sent = totals.all.sent.packets;
    let (packets, dropped) = senders.devices();
    // A few packets of others are counted too.
    let refused = if senders.before.is_empty() { 0 } else { dropped.max(sent.saturating_sub(packets)).min(sent) };
    let until = begin.after(length).as_ns();
    let unsent = senders.running.iter().map(|generator| generator.unsent(until)).sum::<Result<u64, _>>()?;
    if totals.all.received.packets == 0 && refused > sent / 2 {
        bail!(
            "{refused} of {sent} frames were lost where they leave, and nothing came back. If that is a veth, its far end \
             takes them only while it has an XDP program or GRO of its own: `ethtool -K DEVICE gro on` there"
        );
    }
    Ok(Finding { totals, length, streams, unsent, refused })
}

/// What became of each stream.
fn streams(sink: &Sink<Known>, groups: &[Group], sent: &[u64], octets: u64) -> Result<Vec<StreamReport>> {
    let all = groups.iter().flat_map(|group| group.frames.iter().zip(&group.names));
    let rows = all.zip(sent).map(|((frames, name), sent)| {
        let heard = sink.stream(frames.number)?;
        let octets = heard.packets * octets;
        Ok(report::row(name.clone(), Some(frames.number), Some(*sent), &heard, frames.sequence.into(), octets))
    });
    rows.collect()
}

/// Tells how it goes each second, until it is over or somebody ends it; then waits for late packets. When sending ended.
fn observe<T>(
    session: &Session,
    begin: Instant,
    octets: u64,
    running: &mut [Running],
    sink: &mut Sink<T>,
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
            catch_up(session, running, now.min(end))?;
            running.iter_mut().try_for_each(Running::end)?;
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

/// Waits until what was due has been sent: something else may have had the core. Not for long: what a generator cannot send it
/// will not.
fn catch_up(session: &Session, running: &[Running], due: Instant) -> Result<()> {
    let until = monotonic(session).after(PATIENCE);
    for generator in running {
        while !generator.failed() && generator.unsent(due.as_ns())? != 0 {
            if monotonic(session) > until {
                return Ok(());
            }
            std::thread::sleep(GLANCE);
        }
    }
    Ok(())
}

/// Now, by the clock of the kernel's half.
fn monotonic(session: &Session) -> Instant {
    let now = session.timeline.now().as_ns();
    Instant::from_ns(now - session.timeline.ahead().as_nanos() as u64)
}

/// The interface that was named.
fn named(name: Option<&str>, does: &str) -> Result<Interface> {
    Interface::find(name.with_context(|| format!("--backend xdp {does} an interface: name it with --interface"))?)
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
