//! `turn --backend xdp`: clients allocate and refresh through sockets, media goes past them.
//!
//! A client's frames leave with the address of its socket, in ChannelData; a peer's with that of the socket that keeps its
//! port. What is stamped is counted on the interfaces and gets no further; answers of the server reach the sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use raceway_loadgen_core::report::{Interval, Reference, Report};
use raceway_loadgen_core::{Steady, Track};
use raceway_loadgen_report::words::of;
use raceway_loadgen_xdp::{Endpoints, Frames, Shape};
use raceway_units::{Instant, Random};

use super::interface::Interface;
use super::{Group, attend, named, report, steady};
use crate::cli::{Direction, Turn};
use crate::crew::{self, BackEnd, Watch};
use crate::result;
use crate::session::{Interrupt, Session, why_none};
use crate::turn::{Build, Pair};
use crate::worker::{Carried, Outcome, Settled};

/// How much longer than media clients stay, at most.
const MARGIN: Duration = Duration::from_secs(3600);

/// Runs media through a TURN server, in the kernel.
///
/// # Errors
/// It could not be run, and why.
pub(crate) fn run(build: Build, interrupt: &Interrupt) -> Result<Report> {
    let options = build.options().clone();
    let profile = &options.shape.profile;
    ensure!(!options.indications, "--indications: in XDP media goes by channels");
    ensure!(options.impair.is_none(), "--impair is for sockets, which media does not pass in XDP");
    ensure!(options.shape.ramp.is_none(), "--ramp: in XDP all streams begin within one packet interval");
    let ways = if options.direction == Direction::Both { 2 } else { 1 };
    let (track, steady) = steady(profile, options.clients.saturating_mul(ways))?;
    let near = named(options.xdp.interface.as_deref(), "sends from")?;
    let far = options.xdp.receive_interface.as_deref().map_or_else(|| Ok(near.clone()), Interface::find)?;
    let session = Session::new(options.common.clone(), interrupt)?;
    let cores = session.cores(0.0)?;
    let (plans, pairs) = build.clients(cores.len())?;
    let mut terms = session.terms(session.expectation(), None);
    // They stay until media is over.
    (terms.duration, terms.drain) = (options.common.duration + MARGIN, Duration::ZERO);
    let over = AtomicBool::new(false);
    let (tell, told) = channel();
    let media = Media { options: &options, session: &session, pairs: &pairs, near, far, track, steady };
    let (finding, outcomes) = thread::scope(|scope| {
        let (cores, terms) = (&cores, &terms);
        let mut clients = Clients { tell: Some(tell), over: &over, interrupt };
        // What tells goes with the thread: where that ends early, nobody waits.
        let crew = scope.spawn(move || crew::run(plans, cores, BackEnd::IoUring, terms, &mut clients));
        let finding = media.run(&told);
        over.store(true, Ordering::Relaxed);
        let outcomes =
            crew.join().map_err(|_| anyhow!("the clients' thread panicked; this is a defect of the generator"))?;
        // If there were no clients, that says why.
        let outcomes: Vec<Outcome> = outcomes?;
        Ok::<_, anyhow::Error>((finding?, outcomes))
    })?;
    let place = if media.near == media.far {
        media.near.name.clone()
    } else {
        format!("{} and {}", media.near.name, media.far.name)
    };
    let clients = of(options.clients.into(), "TURN client");
    let what = format!("{clients} at {}, {profile} over channels in XDP on {place}", options.server);
    let mut report = report::report(&session, finding, true, Reference::Absolute, what);
    report.turn = result::turn(&outcomes);
    Ok(report)
}

/// The clients' run is told here how it goes.
struct Clients<'a> {
    tell: Option<Sender<Vec<Carried>>>,
    over: &'a AtomicBool,
    interrupt: &'a Interrupt,
}

impl Watch for Clients<'_> {
    fn ready(&mut self, settled: &Settled) -> Result<()> {
        ensure!(settled.figures.ready > 0 || self.interrupted(), "{}", why_none(&settled.figures));
        if let Some(tell) = self.tell.take() {
            // Who listens has failed, and says why.
            let _ = tell.send(settled.carried.clone());
        }
        Ok(())
    }

    fn begins(&mut self, _: Instant) {}

    fn interval(&mut self, _: &Interval, _: Duration) -> bool {
        true
    }

    fn unreachable(&mut self, target: SocketAddr) -> Result<()> {
        ensure!(self.tell.is_none(), "{target}: nobody listens there (the network says so: ICMP unreachable)");
        Ok(())
    }

    fn interrupted(&self) -> bool {
        // Clients stay until media has ended, which looks at the interrupt itself.
        self.over.load(Ordering::Relaxed) || self.tell.is_some() && self.interrupt.is_set()
    }
}

/// What is sent between clients and peers.
struct Media<'a> {
    options: &'a Turn,
    session: &'a Session,
    pairs: &'a [Pair],
    near: Interface,
    far: Interface,
    track: Track,
    steady: Steady,
}

impl Media<'_> {
    fn run(&self, told: &Receiver<Vec<Carried>>) -> Result<super::Finding> {
        let carried = told.recv().context("the clients are gone")?;
        if carried.is_empty() {
            bail!("interrupted before a client was ready");
        }
        let mut groups = Vec::new();
        if self.options.direction != Direction::ToClient {
            groups.push(self.to_peers(&carried, 0)?);
        }
        if self.options.direction != Direction::ToPeer {
            let first = groups.iter().map(|group| group.frames.len()).sum::<usize>();
            groups.push(self.to_clients(&carried, first as u32)?);
        }
        groups.iter().try_for_each(|group| group.check(&self.options.shape.profile))?;
        let both = [&self.near, &self.far];
        let back = if self.near == self.far { &both[..1] } else { &both };
        attend(self.session, &self.steady, &groups, back)
    }

    fn to_peers(&self, carried: &[Carried], first: u32) -> Result<Group> {
        let server = self.pairs[0].server;
        let to_mac = self.hop(&self.near, server)?;
        let streams = carried.iter().map(|carried| {
            let pair = self.pair(carried.peer);
            let endpoints = Endpoints { from: pair.near, to: pair.server, from_mac: self.near.mac, to_mac };
            (endpoints, carried.channel)
        });
        Ok(self.group(&self.near, true, first, "to peer", streams))
    }

    fn to_clients(&self, carried: &[Carried], first: u32) -> Result<Group> {
        let to_mac = self.hop(&self.far, carried[0].relayed)?;
        let streams = carried.iter().map(|carried| {
            let endpoints = Endpoints { from: carried.peer, to: carried.relayed, from_mac: self.far.mac, to_mac };
            (endpoints, 0)
        });
        Ok(self.group(&self.far, false, first, "to client", streams))
    }

    /// Ethernet address of the next hop towards a target.
    fn hop(&self, out: &Interface, target: SocketAddr) -> Result<[u8; 6]> {
        self.options.xdp.next_hop.map_or_else(|| out.next_hop(target), |mac| Ok(mac.0))
    }

    /// The sockets of the client with this peer.
    fn pair(&self, peer: SocketAddr) -> &Pair {
        let at = self.pairs.binary_search_by_key(&peer, |pair| pair.peer);
        &self.pairs[at.expect("each client has a pair of sockets, sorted by the peer's")]
    }

    fn group(
        &self,
        out: &Interface,
        channel_data: bool,
        first: u32,
        way: &str,
        streams: impl Iterator<Item = (Endpoints, u16)>,
    ) -> Group {
        let (session, profile) = (self.session, &self.options.shape.profile);
        let (mut frames, mut names) = (Vec::new(), Vec::new());
        let mut v6 = false;
        for (number, (endpoints, channel)) in (first..).zip(streams) {
            let mut random = Random::of(session.random(3), u64::from(number));
            let (timestamp, sequence) = (random.next() as u32, random.next() as u16);
            v6 = endpoints.from.is_ipv6();
            names.push(format!("{profile} client {} {way}", number - first));
            frames.push(Frames { number, ssrc: session.ssrc(number), sequence, timestamp, endpoints, channel });
        }
        let shape = Shape { payload: self.steady.payload, payload_type: self.track.payload_type, v6, channel_data };
        Group { out: out.clone(), shape, frames, names }
    }
}
