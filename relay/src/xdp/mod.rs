//! The XDP program: its load, its pinned maps, and the interfaces that it is attached to.
//!
//! Maps and links are pinned, so they outlive this process: [`Xdp::open`] adopts what it finds. Packets are
//! relayed from the moment that a flow is in the maps until its own expiry, whoever is alive.

mod attach;
mod egress;
mod error;
mod far_end;
mod pins;
mod probe;
mod slots;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use aya::programs::Xdp as Program;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use raceway_abi::limits::FLOWS_MAX;
use raceway_abi::{ABI_VERSION, COUNTERS, Counter, Direction, Flow, Policer, Settings, map_name};
use raceway_api::XdpMode;
use raceway_sys::shared::{AllAtomic, SharedArray};

pub use error::XdpError;
pub use pins::detach;
pub use slots::Slots;

/// The object as `cargo xtask build-ebpf` made it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../ebpf/prebuilt/raceway.bpf.o");
/// Name of the program in the object.
const PROGRAM: &str = "raceway_xdp";
/// Name of the program that [`probe`] runs.
const PROBE: &str = "raceway_probe";

/// What is wanted of the data path in an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpModeWish {
    /// Native, else generic, else off.
    #[default]
    Auto,
    /// Native, else off.
    Native,
    /// Generic, else off.
    Generic,
    /// Off: what an earlier relay left attached is detached.
    Off,
}

/// What [`Xdp::open`] is told.
#[derive(Clone, Debug)]
pub struct XdpOptions {
    /// Directory of the pins; below a BPF file system, or where one may be mounted.
    pub pin_dir: PathBuf,
    /// Interfaces to attach to; empty means all that are up and not loopback.
    pub interfaces: Vec<String>,
    /// What to attach as.
    pub mode: XdpModeWish,
    /// Flows that the tables hold; 1 to [`FLOWS_MAX`].
    pub flows_max: u32,
}

/// What an interface got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpInterface {
    /// Kernel name.
    pub name: String,
    /// Kernel index.
    pub ifindex: u32,
    /// Data path.
    pub mode: XdpMode,
    /// Why this and not a better one; for people.
    pub reason: String,
    /// It is a veth whose far end, when last seen, lost what XDP sends.
    pub deaf: bool,
}

/// The attached program and its maps. Dropping it leaves everything attached; [`detach`] removes it.
pub struct Xdp {
    flows: Arc<SharedArray<Flow>>,
    policers: Arc<SharedArray<Policer>>,
    settings: Arc<SharedArray<Settings>>,
    slots: Slots,
    egress: HashMap<MapData, u32, [u8; 8]>,
    counters: PerCpuArray<MapData, [u64; COUNTERS as usize]>,
    interfaces: Vec<XdpInterface>,
    options: XdpOptions,
    /// Datagrams that had been relayed at the last look.
    relayed: u64,
    object: Ebpf,
}

impl Xdp {
    /// Loads the program, adopts or makes the maps, and attaches to the interfaces.
    ///
    /// Succeeds also when no interface could be attached to: [`interfaces`](Self::interfaces) says why.
    ///
    /// # Errors
    ///
    /// Nothing was attached; what was pinned by another version is untouched.
    pub fn open(options: &XdpOptions) -> Result<Self, XdpError> {
        if options.mode == XdpModeWish::Off {
            detach(&options.pin_dir)?;
            return Err(XdpError::TurnedOff);
        }
        if !(1..=FLOWS_MAX).contains(&options.flows_max) {
            return Err(XdpError::FlowsMax(options.flows_max));
        }
        pins::refuse_other_versions(&options.pin_dir)?;
        pins::prepare(&options.pin_dir)?;
        let directory = pins::version_directory(&options.pin_dir);
        let adopts = pins::are_whole(&directory, options.flows_max)?;
        if !adopts {
            pins::clear(&directory)?;
        }
        let mut object = load(&directory, adopts, options.flows_max)?;
        if !adopts {
            let settings: SharedArray<Settings> = share(&object, map_name::SETTINGS, 1)?;
            settings[0].abi_version.store(ABI_VERSION, Relaxed);
            pins::pin(&directory, &object)?;
        }
        let interfaces = attach::all(&mut object, &directory, options)?;
        let mut xdp = Self::from_object(object, options.clone(), interfaces)?;
        xdp.refresh_egress()?;
        Ok(xdp)
    }

    fn from_object(mut object: Ebpf, options: XdpOptions, interfaces: Vec<XdpInterface>) -> Result<Self, XdpError> {
        let flows = options.flows_max as usize;
        Ok(Self {
            flows: Arc::new(share(&object, map_name::FLOWS, flows)?),
            policers: Arc::new(share(&object, map_name::POLICERS, flows)?),
            settings: Arc::new(share(&object, map_name::SETTINGS, 1)?),
            slots: Slots::new(take(&mut object, map_name::SLOTS)?)?,
            egress: HashMap::try_from(take(&mut object, map_name::EGRESS)?)?,
            counters: PerCpuArray::try_from(take(&mut object, map_name::COUNTERS)?)?,
            interfaces,
            options,
            relayed: 0,
            object,
        })
    }

    /// The flow records, by slot.
    #[must_use]
    pub fn flows(&self) -> Arc<SharedArray<Flow>> {
        Arc::clone(&self.flows)
    }

    /// The rate limits, by [`Flow::policer`]; as many as flows.
    #[must_use]
    pub fn policers(&self) -> Arc<SharedArray<Policer>> {
        Arc::clone(&self.policers)
    }

    /// What the program is told; one record. `abi_version` is already set.
    #[must_use]
    pub fn settings(&self) -> Arc<SharedArray<Settings>> {
        Arc::clone(&self.settings)
    }

    /// The table of flows. After a restart it holds those that the relay before this one left.
    pub fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    /// The counters, summed over CPUs; indexed by [`Counter`](raceway_abi::Counter). Zero if the kernel does
    /// not let us read them.
    #[must_use]
    pub fn counters(&self) -> [u64; COUNTERS as usize] {
        let mut sum = [0; COUNTERS as usize];
        if let Ok(per_cpu) = self.counters.get(&0, 0) {
            for cpu in per_cpu.iter() {
                sum.iter_mut().zip(cpu).for_each(|(sum, value)| *sum += value);
            }
        }
        sum
    }

    /// What each interface got.
    #[must_use]
    pub fn interfaces(&self) -> &[XdpInterface] {
        &self.interfaces
    }

    /// Looks again at what changes without a word: far ends of veths, VLAN interfaces. Call it now and then (every second
    /// or two is plenty). True when an interface has another data path now: routes that flows remember may name it.
    ///
    /// # Errors
    ///
    /// The kernel refuses an entry, or to let go of an interface.
    pub fn refresh(&mut self) -> Result<bool, XdpError> {
        let changed = self.follow_far_ends()?;
        self.refresh_egress()?;
        Ok(changed)
    }

    /// Where the far end of a veth has ceased to take frames from XDP, the program goes from the driver to the general
    /// receive path; where it takes them now, back. True when any did.
    fn follow_far_ends(&mut self) -> Result<bool, XdpError> {
        let relayed = Direction::ALL.map(|way| self.counters()[Counter::packets(way).index() as usize]).iter().sum();
        let relaying = std::mem::replace(&mut self.relayed, relayed) != relayed;
        let directory = pins::version_directory(&self.options.pin_dir);
        let mut changed = false;
        for interface in &mut self.interfaces {
            if !probe::matters(interface, relaying) {
                continue;
            }
            let deaf = !probe::arrives(program(&mut self.object, PROBE)?, &interface.name, interface.ifindex);
            if deaf != interface.deaf {
                let program = program(&mut self.object, PROGRAM)?;
                attach::renew(program, &directory, self.options.mode, interface, deaf)?;
                let XdpInterface { name, mode, reason, .. } = &*interface;
                tracing::warn!(interface = %name, mode = mode.label(), %reason, "XDP: the far end changed");
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Tells the program anew which interfaces it may send to, and how. VLAN interfaces, and programs at the far end of
    /// a veth, come and go.
    ///
    /// # Errors
    ///
    /// The kernel refuses an entry.
    pub fn refresh_egress(&mut self) -> Result<(), XdpError> {
        egress::refresh(&mut self.egress, &self.interfaces)
    }

    /// The program itself, for tests that run it on packets of their own.
    ///
    /// # Errors
    ///
    /// Not in the object, which no object that loaded can cause.
    pub fn program(&mut self) -> Result<&mut Program, XdpError> {
        program(&mut self.object, PROGRAM)
    }

    /// The table of interfaces to send to.
    #[must_use]
    pub fn egress(&self) -> &HashMap<MapData, u32, [u8; 8]> {
        &self.egress
    }

    /// The table of interfaces to send to, for tests that have none.
    pub fn egress_mut(&mut self) -> &mut HashMap<MapData, u32, [u8; 8]> {
        &mut self.egress
    }
}

fn load(directory: &Path, adopts: bool, flows_max: u32) -> Result<Ebpf, XdpError> {
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::STATS);
    for name in [map_name::FLOWS, map_name::POLICERS, map_name::SLOTS] {
        loader.map_max_entries(name, flows_max);
    }
    if adopts {
        for map in pins::MAPS {
            loader.map_pin_path(map.name, directory.join(map.name));
        }
    }
    let mut object = loader.load(OBJECT)?;
    for name in [PROGRAM, PROBE] {
        program(&mut object, name)?.load()?;
    }
    Ok(object)
}

fn program<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Program, XdpError> {
    let program = object.program_mut(name).ok_or(XdpError::Object(name))?;
    Ok(program.try_into()?)
}

fn take(object: &mut Ebpf, name: &'static str) -> Result<Map, XdpError> {
    object.take_map(name).ok_or(XdpError::Object(name))
}

fn share<T: AllAtomic>(object: &Ebpf, name: &'static str, len: usize) -> Result<SharedArray<T>, XdpError> {
    match object.map(name) {
        Some(Map::Array(map)) => SharedArray::from_map(map.fd().as_fd(), len).map_err(XdpError::Share),
        _ => Err(XdpError::Object(name)),
    }
}
