//! A subject that runs, with everything around it.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::session::{Call, Paths, prepare};
use crate::stand::awake;
use crate::stand::frames::Load;
use crate::stand::kernel::{Attached, Generator};
use crate::stand::packets::PacketSender;
use crate::stand::topology::{Arms, Direction, Link, Moderation, Topology};
use crate::stand::trial::{Sender, Stand};
use crate::subject::{Running, Subject};

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
    /// Let cores halt when they have nothing to do; in virtual machines that costs more than what is measured.
    #[arg(long)]
    pub let_halt: bool,
}

impl Place {
    /// Keeps both cores from halting while something is measured, unless that is left out.
    pub fn keep_awake(&self) -> Result<()> {
        if self.let_halt { Ok(()) } else { awake::start(&[self.core, self.far_core]) }
    }

    fn build(self, arms: Arms) -> Result<Topology> {
        if self.core == self.far_core {
            bail!("the relay needs a core of its own");
        }
        let us = |us: u64| (us > 0).then(|| Duration::from_micros(us));
        let moderation = Moderation { far: us(self.far_us), relay: us(self.relay_us) };
        Topology::build(arms, moderation, self.core, self.far_core)
    }
}

/// What is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What relays.
    pub subject: Subject,
    /// Arguments for its program beyond those that it always gets.
    pub extra: Vec<String>,
    /// Over which links.
    pub arms: Arms,
    /// On which cores.
    pub place: Place,
    /// What will be sent.
    pub load: Load,
    /// How calls are offered, where they are.
    pub call: Call,
}

/// A subject that runs, with everything around it.
pub struct Bench {
    load: Load,
    napi: Vec<i32>,
    paths: Paths,
    /// The subject.
    pub running: Running,
    sinks: Vec<Attached>,
    /// The network.
    pub topology: Topology,
}

impl Bench {
    /// Builds the network, starts the subject in it and sets up its flows.
    pub fn start(setup: &Setup) -> Result<Self> {
        let Setup { subject, extra, arms, place, load, call } = setup;
        let topology = place.build(*arms)?;
        let sink = |link: &Link| Attached::new("sink", &link.namespace, &link.device);
        let sinks = topology.links.iter().map(sink).collect::<Result<_>>()?;
        let running = Running::start(*subject, &topology, load.flows, extra)?;
        let napi = topology.bind_napi()?;
        let paths = prepare(*subject, &topology, load.flows, *call).context("its flows cannot be set up")?;
        Ok(Self { load: *load, napi, paths, running, sinks, topology })
    }

    /// NAPI threads of the relay's side.
    #[must_use]
    pub fn napi(&self) -> &[i32] {
        &self.napi
    }

    /// What sends its load in a direction, from XDP.
    pub fn generator(&self, direction: Direction) -> Result<Generator> {
        let (link, paths) = match direction {
            Direction::ToPeer => (&self.topology.links[0], &self.paths.to_peer),
            Direction::ToClient => (self.topology.peer_link(), &self.paths.to_client),
        };
        Generator::new(link, paths, self.load).context("the generator does not load")
    }

    /// What sends its load towards peers, from XDP or from a packet socket.
    pub fn sender(&self, socket_buffers: bool) -> Result<Box<dyn Sender>> {
        Ok(if socket_buffers {
            Box::new(PacketSender::new(&self.topology.links[0], &self.paths.to_peer, self.load))
        } else {
            Box::new(self.generator(Direction::ToPeer)?)
        })
    }

    /// For trials.
    pub fn stand(&mut self) -> Stand<'_> {
        Stand {
            topology: &self.topology,
            sinks: self.sinks.iter_mut().chain(self.running.attached.as_mut()).collect(),
            pids: self.running.processes.pids(),
            napi: &self.napi,
        }
    }
}
