//! The network of a run: a relay between clients and peers, each in a namespace of its own.
//!
//! ```text
//!   far core                       relay core
//!   [clients 10.77.1.16..] c ======== r [relay 10.77.1.1]
//!   [peers  10.77.1.128..]/                                  one arm: peers behind the same link
//!   [peers  10.77.2.128..] p ======== q [relay 10.77.2.1]    two arms: peers behind a link of their own
//! ```
//!
//! Each end of each link has its own NAPI thread, bound to the core of its side: so what the relay's side costs,
//! receiving included, runs on the relay's core and nothing else does.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::netns::{pin, run, run_with, within};

/// Where the relay listens and what it relays from.
pub const RELAY: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
/// The first address of clients.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 16);
const PEER_ONE_ARM: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 128);
const PEER_TWO_ARMS: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 128);
/// Addresses of clients, and of peers, since one has too few ports for 100,000 flows.
pub const ADDRESSES: u8 = 10;

/// Links between the relay and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arms {
    /// Clients and peers behind one link: the relay sends back to where it received.
    One,
    /// Clients and peers behind a link each.
    Two,
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From clients, towards peers.
    ToPeer,
    /// From peers, towards clients.
    ToClient,
}

/// One link, seen from the far side.
#[derive(Clone, Debug)]
pub struct Link {
    /// Namespace of the far end.
    pub namespace: String,
    /// Device of the far end.
    pub device: String,
    /// Its kernel index inside its namespace.
    pub ifindex: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Device of the relay's end.
    pub relay_device: String,
    /// Index of the relay's end inside the relay's namespace.
    pub relay_ifindex: u32,
    /// MAC address of the relay's end.
    pub relay_mac: [u8; 6],
}

/// Namespaces and links; removed on drop.
#[derive(Debug)]
pub struct Topology {
    /// Namespace of the relay.
    pub relay: String,
    /// Towards clients, and towards peers if they have their own link.
    pub links: Vec<Link>,
    /// The first address of peers.
    pub peer: Ipv4Addr,
    /// Core of the relay and of its side's NAPI threads.
    pub relay_core: usize,
    /// Core of generator, sink and their side's NAPI threads.
    pub far_core: usize,
    moderation: Moderation,
    namespaces: Vec<String>,
}

/// How often a poll may find nothing before the device's interrupt (on veth: the sender's wake-up) is asked for.
const POLLS_WITHOUT_WORK: &str = "1000";

/// Time between polls of a link's ends, instead of a wake-up by the sender.
///
/// Without it a transmit over veth pays for waking the other end's thread on another core, for each packet or bulk:
/// several times what the transmit itself costs. A network card takes a packet from its ring without that.
#[derive(Clone, Copy, Debug)]
pub struct Moderation {
    /// Of the far ends.
    pub far: Option<Duration>,
    /// Of the relay's ends.
    pub relay: Option<Duration>,
}

impl Topology {
    /// Builds it. Fails without the rights to make namespaces.
    pub fn build(arms: Arms, moderation: Moderation, relay_core: usize, far_core: usize) -> Result<Self> {
        let tag = std::process::id();
        let names = [format!("rwb{tag}r"), format!("rwb{tag}c"), format!("rwb{tag}p")];
        let mut topology = Self {
            relay: names[0].clone(),
            links: Vec::new(),
            peer: if arms == Arms::One { PEER_ONE_ARM } else { PEER_TWO_ARMS },
            relay_core,
            far_core,
            moderation,
            namespaces: Vec::new(),
        };
        for name in &names[..if arms == Arms::One { 2 } else { 3 }] {
            run(&format!("ip netns add {name}"))?;
            topology.namespaces.push(name.clone());
            run(&format!("ip -n {name} link set lo up"))?;
        }
        topology.link(&names[1], &format!("c{tag}"), &format!("r{tag}"), RELAY, CLIENT)?;
        if arms == Arms::One {
            let link = &topology.links[0];
            inhabit(&topology.relay, PEER_ONE_ARM, link)?;
        } else {
            let relay = Ipv4Addr::new(10, 77, 2, 1);
            topology.link(&names[2], &format!("p{tag}"), &format!("q{tag}"), relay, PEER_TWO_ARMS)?;
            run(&format!("ip -n {} route add default via {relay}", names[2]))?;
        }
        run(&format!("ip netns exec {} sysctl -qw net.ipv4.ip_forward=1", topology.relay))?;
        Ok(topology)
    }

    /// Lays a link; `first` and the addresses that follow are at its far end.
    fn link(&mut self, far: &str, device: &str, relay_device: &str, relay: Ipv4Addr, first: Ipv4Addr) -> Result<()> {
        let near = self.relay.clone();
        run(&format!("ip -n {far} link add {device} type veth peer name {relay_device} netns {near}"))?;
        run(&format!("ip -n {near} addr add {relay}/24 dev {relay_device}"))?;
        for (namespace, device) in [(far, device), (&near, relay_device)] {
            run(&format!("ip -n {namespace} link set {device} up"))?;
            run(&format!("ip netns exec {namespace} ethtool -K {device} gro on"))?;
        }
        let (ifindex, mac) = identify(far, device)?;
        let (relay_ifindex, relay_mac) = identify(&near, relay_device)?;
        let link = Link {
            namespace: far.to_owned(),
            device: device.to_owned(),
            ifindex,
            mac,
            relay_device: relay_device.to_owned(),
            relay_ifindex,
            relay_mac,
        };
        inhabit(&near, first, &link)?;
        run(&format!("ip -n {far} neigh replace {relay} lladdr {} dev {device} nud permanent", text(relay_mac)))?;
        self.links.push(link);
        Ok(())
    }

    /// The link by which peers are reached.
    #[must_use]
    pub fn peer_link(&self) -> &Link {
        self.links.last().expect("build made at least one link")
    }

    /// Gives each end its NAPI thread, bound to its side's core. Call it once XDP programs are attached: attaching
    /// makes the threads anew. Answers with the thread ids of the relay's side.
    pub fn bind_napi(&self) -> Result<Vec<i32>> {
        let mut relay_threads = Vec::new();
        for link in &self.links {
            for (namespace, device, core) in
                [(&link.namespace, &link.device, self.far_core), (&self.relay, &link.relay_device, self.relay_core)]
            {
                // Zero first: threads of a NAPI that was made anew start only on a change.
                for value in ["0", "1"] {
                    set(namespace, device, "threaded", value)?;
                }
                let moderation = if core == self.far_core { self.moderation.far } else { self.moderation.relay };
                if let Some(time) = moderation {
                    set(namespace, device, "gro_flush_timeout", &time.as_nanos().to_string())?;
                    set(namespace, device, "napi_defer_hard_irqs", POLLS_WITHOUT_WORK)?;
                }
                let threads = napi_threads(device)?;
                if threads.is_empty() {
                    bail!("{device} has no NAPI thread");
                }
                for tid in threads {
                    pin(tid, core)?;
                    prefer(tid)?;
                    if core == self.relay_core {
                        relay_threads.push(tid);
                    }
                }
            }
        }
        Ok(relay_threads)
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        for name in &self.namespaces {
            if let Err(error) = run(&format!("ip netns del {name}")) {
                eprintln!("namespace {name} is left behind: {error}");
            }
        }
    }
}

/// Writes an attribute of a device.
fn set(namespace: &str, device: &str, attribute: &str, value: &str) -> Result<()> {
    let script = format!("echo {value} > /sys/class/net/{device}/{attribute}");
    let done = std::process::Command::new("ip")
        .args(["netns", "exec", namespace, "sh", "-c", &script])
        .status()
        .context("cannot run ip")?;
    if !done.success() {
        bail!("cannot set {attribute} of {device} to {value}");
    }
    Ok(())
}

/// Real time priority, as a soft interrupt has over processes: a ring of 256 frames must not wait for a time slice.
fn prefer(tid: i32) -> Result<()> {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads one sched_param, which lives until the call returns.
    if unsafe { libc::sched_setscheduler(tid, libc::SCHED_FIFO, &parameter) } != 0 {
        bail!("cannot prefer NAPI thread {tid}: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

fn napi_threads(device: &str) -> Result<Vec<i32>> {
    let prefix = format!("napi/{device}-");
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if comm.starts_with(&prefix) {
            threads.push(pid);
        }
    }
    Ok(threads)
}

/// Gives [`ADDRESSES`] addresses to a link's far end and makes them known to the relay's side.
fn inhabit(relay: &str, first: Ipv4Addr, link: &Link) -> Result<()> {
    let addresses = || (0..ADDRESSES).map(|n| nth(first, n));
    let (far, near, mac) = (&link.device, &link.relay_device, text(link.mac));
    let here: String = addresses().map(|address| format!("addr add {address}/24 dev {far}\n")).collect();
    run_with(&format!("ip -n {} -batch -", link.namespace), &here)?;
    let known = |address| format!("neigh replace {address} lladdr {mac} dev {near} nud permanent\n");
    run_with(&format!("ip -n {relay} -batch -"), &addresses().map(known).collect::<String>())
}

/// The address `n` after the first.
#[must_use]
pub fn nth(first: Ipv4Addr, n: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(first) + u32::from(n))
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

/// Kernel index and MAC address of a device.
fn identify(namespace: &str, device: &str) -> Result<(u32, [u8; 6])> {
    let out = std::process::Command::new("ip")
        .args(["-n", namespace, "-j", "link", "show", device])
        .output()
        .context("cannot run ip")?;
    let links: serde_json::Value = serde_json::from_slice(&out.stdout).context("ip link printed no JSON")?;
    let index = links[0]["ifindex"].as_u64().context("no ifindex")?;
    let text = links[0]["address"].as_str().context("no MAC address")?;
    let mut mac = [0; 6];
    for (octet, digits) in mac.iter_mut().zip(text.split(':')) {
        *octet = u8::from_str_radix(digits, 16)?;
    }
    Ok((u32::try_from(index)?, mac))
}

/// Sockets of `count` clients, bound to consecutive ports from `first_port`.
pub fn client_sockets(topology: &Topology, first_port: u16, count: u16) -> Result<Vec<UdpSocket>> {
    within(&topology.links[0].namespace, || {
        (0..count).map(|n| UdpSocket::bind((CLIENT, first_port + n)).context("cannot bind a client's socket")).collect()
    })
}
