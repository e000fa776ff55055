//! The whole run: every subject, one after the other, on a network built for each.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Direction;
use crate::cpu::{between, read, resident};
use crate::frames::{Path, RTP};
use crate::kernel::{Attached, Generator};
use crate::packets::PacketSender;
use crate::paths;
use crate::record::{Outcome, Recorder};
use crate::subject::{CLIENT_PORT, PORT, Running, Subject, USER};
use crate::topology::{Arms, Link, Moderation, RELAY, Topology, client_sockets};
use crate::trial::{Sender, Stand};
use crate::turn::allocate;

/// Packets a second at which all subjects are measured, beside their own limits.
pub const COMMON_RATE: u64 = 60_000;
/// Trials of one search.
const PROBES: u32 = 12;

/// Options of a run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Subjects to measure; all when absent.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Subject>,
    /// Where the results go.
    #[arg(long, default_value = "bench/results")]
    pub results: PathBuf,
    /// Milliseconds of one trial.
    #[arg(long, default_value_t = 600)]
    pub ms: u64,
    /// How often everything is repeated; tables show the median.
    #[arg(long, default_value_t = 3)]
    pub repeat: u32,
    /// Flows.
    #[arg(long, default_value_t = 200)]
    pub flows: u16,
    /// Allocations made and held; 0 leaves that scenario out.
    #[arg(long, default_value_t = 5000)]
    pub allocations: u16,
    /// Leave the cost of links out.
    #[arg(long)]
    pub no_links: bool,
    /// Leave forwarding out.
    #[arg(long)]
    pub no_forwarding: bool,
    /// Whether packets towards clients are measured too.
    #[arg(long, value_delimiter = ',', default_value = "to-peer,to-client")]
    pub directions: Vec<Direction>,
    /// Links. Over two, only what redirects in XDP is measured.
    #[arg(long, value_delimiter = ',', default_value = "one,two")]
    pub arms: Vec<Arms>,
    #[command(flatten)]
    pub place: Place,
}

/// Which cores, and how often the links are polled.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Place {
    /// The relay's core.
    #[arg(long, default_value_t = 1)]
    pub core: usize,
    /// Generator's and sink's core.
    #[arg(long, default_value_t = 0)]
    pub far_core: usize,
    /// Microseconds between polls of the far ends; 0: woken by the sender.
    #[arg(long, default_value_t = 50)]
    pub far_us: u64,
    /// The same for the relay's ends.
    #[arg(long, default_value_t = 0)]
    pub relay_us: u64,
}

impl Place {
    /// Builds the network.
    pub fn build(self, arms: Arms) -> Result<Topology> {
        if self.core == self.far_core {
            bail!("the relay needs a core of its own");
        }
        let us = |us: u64| (us > 0).then(|| Duration::from_micros(us));
        let moderation = Moderation { far: us(self.far_us), relay: us(self.relay_us) };
        Topology::build(arms, moderation, self.core, self.far_core)
    }
}

/// A subject that runs, with everything around it.
pub struct Bench {
    napi: Vec<i32>,
    running: Running,
    sinks: Vec<Attached>,
    /// The network.
    pub topology: Topology,
}

impl Bench {
    /// Builds the network and starts the subject in it.
    pub fn start(subject: Subject, arms: Arms, place: Place, flows: u16) -> Result<Self> {
        let topology = place.build(arms)?;
        let sink = |link: &Link| Attached::new("sink", &link.namespace, &link.device);
        let sinks = topology.links.iter().map(sink).collect::<Result<_>>()?;
        let running = Running::start(subject, &topology, flows)?;
        let napi = topology.bind_napi()?;
        Ok(Self { napi, running, sinks, topology })
    }

    /// For trials.
    pub fn stand(&self) -> Stand<'_> {
        Stand {
            topology: &self.topology,
            sinks: self.sinks.iter().chain(self.running.attached()).collect(),
            pids: self.running.pids(),
            napi: self.napi.clone(),
        }
    }
}

/// Runs everything asked for and writes it down; answers with the file.
pub fn run(options: &Options) -> Result<PathBuf> {
    let mut recorder = Recorder::open(&options.results)?;
    let all = Subject::ALL.to_vec();
    let subjects = if options.only.is_empty() { &all } else { &options.only };
    for round in 1..=options.repeat {
        if !options.no_links {
            eprintln!("links (round {round} of {})", options.repeat);
            links(options, &mut recorder).context("links")?;
        }
        for subject in subjects {
            eprintln!("{} (round {round} of {})", subject.name(), options.repeat);
            let arms = options.arms.iter().filter(|arms| **arms == Arms::One || *subject == Subject::RacewayXdp);
            for arms in arms.filter(|_| !options.no_forwarding) {
                forwarding(*subject, *arms, options, &mut recorder).with_context(|| subject.name())?;
            }
            if subject.speaks_turn() && options.allocations > 0 {
                allocation(*subject, options, &mut recorder).with_context(|| subject.name())?;
            }
        }
    }
    Ok(recorder.path)
}

/// A generator in XDP or on a packet socket.
pub fn sender(link: &Link, paths: &[Path], socket_buffers: bool) -> Result<Box<dyn Sender>> {
    Ok(if socket_buffers {
        Box::new(PacketSender::new(link, paths))
    } else {
        Box::new(Generator::new(link, paths).context("the generator does not load")?)
    })
}

/// What transmitting costs when the sender wakes the far end, and when the far end polls.
fn links(options: &Options, recorder: &mut Recorder) -> Result<()> {
    let time = Duration::from_millis(options.ms);
    let polled = options.place.far_us;
    for subject in [Subject::Forwarder, Subject::ReflectTx, Subject::ReflectRedirect, Subject::LookupDrop] {
        for (far_us, socket_buffers) in [(0, false), (polled, false), (polled, true)] {
            let bench = Bench::start(subject, Arms::One, Place { far_us, ..options.place }, options.flows)?;
            let paths = paths::prepare(subject, &bench.topology, options.flows)?;
            let mut sender = sender(&bench.topology.links[0], &paths.to_peer, socket_buffers)?;
            let stand = bench.stand();
            let common = Box::new(stand.trial(sender.as_mut(), COMMON_RATE, time)?);
            let flat_out = subject.in_kernel().then(|| stand.trial(sender.as_mut(), 0, time)).transpose()?;
            let flat_out = flat_out.map(Box::new);
            recorder.write(Outcome::Link { subject, far_us, socket_buffers, common, flat_out })?;
        }
    }
    Ok(())
}

fn forwarding(subject: Subject, arms: Arms, options: &Options, recorder: &mut Recorder) -> Result<()> {
    let bench = Bench::start(subject, arms, options.place, options.flows)?;
    let paths = paths::prepare(subject, &bench.topology, options.flows)?;
    let time = Duration::from_millis(options.ms);
    for direction in &options.directions {
        if *direction == Direction::ToClient && !subject.both_ways() {
            continue;
        }
        eprintln!("  {direction:?}, {arms:?}");
        let (link, sends) = match direction {
            Direction::ToPeer => (&bench.topology.links[0], &paths.to_peer),
            Direction::ToClient => (bench.topology.peer_link(), &paths.to_client),
        };
        let mut generator = Generator::new(link, sends)?;
        let stand = bench.stand();
        let common = stand.trial(&mut generator, COMMON_RATE, time)?;
        let found = stand.search(&mut generator, subject.first_rate(), time, PROBES)?;
        let flat_out = subject.in_kernel().then(|| stand.trial(&mut generator, 0, time)).transpose()?;
        recorder.write(Outcome::Forwarding {
            subject,
            direction: *direction,
            arms,
            flows: options.flows,
            rtp_octets: RTP,
            loss_free: found.best.map(Box::new),
            limited: found.limited,
            flat_out: flat_out.map(Box::new),
            common: Box::new(common),
        })?;
    }
    Ok(())
}

fn allocation(subject: Subject, options: &Options, recorder: &mut Recorder) -> Result<()> {
    let bench = Bench::start(subject, Arms::One, options.place, 0)?;
    let sockets = client_sockets(&bench.topology, CLIENT_PORT, options.allocations)?;
    let pids = bench.running.pids();
    let (core, far_core) = (bench.topology.relay_core, bench.topology.far_core);
    let server = std::net::SocketAddrV4::new(RELAY, PORT);
    // A few first, so that what the server makes once is made before it is measured.
    let (first, rest) = sockets.split_at(sockets.len() / 10);
    crate::netns::pin(0, far_core)?;
    allocate(server, USER, first, |_| None)?;
    let memory = resident(&pids)?;
    let before = read(core, &pids, &bench.napi)?;
    let began = Instant::now();
    let made = allocate(server, USER, rest, |_| None)?.len();
    let seconds = began.elapsed().as_secs_f64();
    let cost = between(&before, &read(core, &pids, &bench.napi)?);
    let grown = resident(&pids)?.saturating_sub(memory);
    if made != rest.len() {
        bail!("{made} of {} allocations were made", rest.len());
    }
    let outcome = Outcome::Allocation {
        subject,
        allocations: u32::try_from(made)?,
        seconds,
        threads_ns_each: cost.threads_ns as f64 / made as f64,
        by_thread_ns_each: cost
            .by_thread_ns
            .iter()
            .map(|(name, ns)| (name.clone(), *ns as f64 / made as f64))
            .collect(),
        resident_octets_each: grown as f64 / made as f64,
    };
    eprintln!("    {}", serde_json::to_string(&outcome)?);
    recorder.write(outcome)
}
