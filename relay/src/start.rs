//! From a configuration to a running relay.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use nix::ifaddrs::getifaddrs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;
use raceway_abi::{Flow, FlowKey, Policer};
use raceway_api::XdpMode;
use raceway_config::{Config, Interfaces, Paths, Surroundings, Xdp as XdpChoice};
use raceway_engine::{Quiescence, RequestBudget, Table};
use raceway_sys::shared::SharedArray;

use crate::crew::{self, BackEnd};
use crate::fast_path::FastPath;
use crate::limits::{LISTENER_PLACES, RECORDED_MAX, relayed_max};
use crate::link::{Door, Link, Recordings, State, stop_workers};
use crate::log::LevelSwitch;
use crate::random::random;
use crate::recorder::{Recorder, Settings};
use crate::shared::{LinkBell, Port, Records, Shared, Sockets};
use crate::xdp::{Xdp, XdpError, XdpModeWish, XdpOptions};

/// Runs the relay until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, with what to do about it.
pub fn run(config: &Config, back_end: BackEnd, level: LevelSwitch) -> anyhow::Result<()> {
    let door_path = paths(config).relay_socket();
    let door = Door::open(&door_path).with_context(|| format!("cannot listen at {}", door_path.display()))?;
    let open_files = raise_open_files();
    let (fast_path, flows, policers, orphans) = tables(config)?;
    let cores = crew::cores(&config.relay.workers)?;
    let taken: Vec<u32> = orphans.iter().map(|(_, slot)| *slot).collect();
    let (table, writer) = Table::new(Records(flows), random(), &taken);
    let recording = Settings::new(&config.recording)?;
    let copies = if recording.is_some() { RECORDED_MAX } else { 0 };
    let relayed = relayed_max(config.relay.flows_max, open_files);
    let ports = cores.iter().map(|_| Port::new(LISTENER_PLACES + relayed, copies)).collect::<std::io::Result<_>>()?;
    let shared = Arc::new(Shared {
        table,
        policers,
        own: Arc::default(),
        requests: Arc::new(RequestBudget::new(random())),
        sockets: Sockets::new(cores.len(), relayed),
        quiescence: Quiescence::new(cores.len()),
        workers: ports,
        link: LinkBell::new()?,
        link_counters: raceway_engine::Counters::default(),
        stopping: false.into(),
        failed: false.into(),
    });
    let stop = stop_signal()?;
    let workers = crew::start(&shared, &cores, back_end)?;
    let outlived = matches!(fast_path, FastPath::On { .. });
    let recorder = recording.map(|settings| Recorder::start(Arc::clone(&shared), settings)).transpose()?;
    let state = State::new(Arc::clone(&shared), writer, fast_path, orphans, Recordings::new(recorder));
    crew::give_up_rights();
    tracing::info!(workers = cores.len(), socket = %door_path.display(), "the relay is ready");
    let ended = Link::new(Arc::clone(&shared), state, door, random(), level).run(std::os::fd::AsFd::as_fd(&stop));
    stop_workers(&shared);
    for worker in workers {
        // How it ended has been told.
        let _ = worker.join();
    }
    if shared.failed.load(std::sync::atomic::Ordering::Relaxed) {
        bail!("a worker could not go on; start the relay again");
    }
    if outlived {
        tracing::info!("the relay stopped; flows in XDP go on until they expire or another relay takes over");
    } else {
        tracing::info!("the relay stopped");
    }
    Ok(ended?)
}

/// Where files are.
#[must_use]
pub fn paths(config: &Config) -> Paths {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let surroundings = Surroundings {
        uid: geteuid().as_raw(),
        home: variable("HOME"),
        state_home: variable("XDG_STATE_HOME"),
        runtime_dir: variable("XDG_RUNTIME_DIR"),
    };
    Paths::new(&config.node, &surroundings)
}

type Tables = (FastPath, Arc<SharedArray<Flow>>, Arc<SharedArray<Policer>>, Vec<(FlowKey, u32)>);

/// The tables of XDP, or ordinary memory in their place.
fn tables(config: &Config) -> anyhow::Result<Tables> {
    let interfaces = interfaces(config);
    let options = XdpOptions {
        pin_dir: config.relay.pin_dir.clone(),
        interfaces: interfaces.clone(),
        mode: match config.relay.xdp {
            XdpChoice::Auto => XdpModeWish::Auto,
            XdpChoice::Native => XdpModeWish::Native,
            XdpChoice::Generic => XdpModeWish::Generic,
            XdpChoice::Off => XdpModeWish::Off,
        },
        flows_max: config.relay.flows_max,
    };
    let reason = match open_xdp(config, &options)? {
        Ok(mut xdp) => {
            let (flows, policers, orphans) = (xdp.flows(), xdp.policers(), xdp.slots().entries());
            report(&xdp);
            if !orphans.is_empty() {
                tracing::info!(flows = orphans.len(), "flows of the relay before this one go on in XDP");
            }
            return Ok((FastPath::new(xdp, random()), flows, policers, orphans));
        }
        Err(reason) => reason,
    };
    if config.relay.xdp == XdpChoice::Off {
        tracing::info!(%reason, "workers relay everything");
    } else {
        tracing::warn!(%reason, "no XDP: workers relay everything");
    }
    let off = interfaces.into_iter().map(|name| (name, reason.clone())).collect();
    let flows_max = config.relay.flows_max as usize;
    let flows = SharedArray::anonymous(flows_max).context("no memory for flows_max flows")?;
    let policers = SharedArray::anonymous(flows_max).context("no memory for flows_max rate limits")?;
    Ok((FastPath::Off(off), Arc::new(flows), Arc::new(policers), Vec::new()))
}

/// XDP, or the reason to do without it.
fn open_xdp(config: &Config, options: &XdpOptions) -> anyhow::Result<Result<Xdp, String>> {
    if options.interfaces.is_empty() && options.mode != XdpModeWish::Off {
        // An empty list would mean every interface.
        return Ok(Err("no interface but loopback carries an address that is served".to_owned()));
    }
    let opened = Xdp::open(options);
    match (opened, config.relay.xdp) {
        (Ok(xdp), XdpChoice::Native | XdpChoice::Generic) => {
            if let Some(failed) = xdp.interfaces().iter().find(|interface| interface.mode == XdpMode::Off) {
                bail!(
                    "XDP on {} as configured: {}; set [relay] xdp = \"auto\" to do without",
                    failed.name,
                    failed.reason
                );
            }
            Ok(Ok(xdp))
        }
        (Ok(xdp), XdpChoice::Auto | XdpChoice::Off) => Ok(Ok(xdp)),
        (Err(error @ (XdpError::OtherVersion { .. } | XdpError::OtherSize { .. } | XdpError::FlowsMax(_))), _) => {
            Err(error.into())
        }
        (Err(error), XdpChoice::Auto | XdpChoice::Off) => Ok(Err(error.to_string())),
        (Err(error), XdpChoice::Native | XdpChoice::Generic) => {
            Err(error).context("XDP is configured ([relay] xdp = \"auto\" does without)")
        }
    }
}

fn report(xdp: &Xdp) {
    for interface in xdp.interfaces() {
        let (name, mode, reason) = (&interface.name, interface.mode.label(), &interface.reason);
        tracing::info!(interface = %name, %mode, %reason, "XDP");
    }
}

/// Interfaces for XDP: those named, or those that carry an address that is served; loopback never by itself.
#[must_use]
pub fn interfaces(config: &Config) -> Vec<String> {
    if let Interfaces::Named(names) = &config.relay.interfaces {
        return names.clone();
    }
    let served: Vec<IpAddr> = config
        .turn
        .listen
        .iter()
        .map(|listen| listen.ip())
        .chain(config.turn.relay_addresses.iter().flatten().copied())
        .chain(config.media.interfaces.iter().flatten().map(|interface| interface.address))
        .collect();
    let any_v4 = served.iter().any(|ip| ip.is_ipv4() && ip.is_unspecified());
    let any_v6 = served.iter().any(|ip| ip.is_ipv6() && ip.is_unspecified());
    let Ok(addresses) = getifaddrs() else { return Vec::new() };
    let mut names = BTreeSet::new();
    for entry in addresses {
        let Some(address) = entry.address else { continue };
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        let Some(ip) = v4.or(v6) else { continue };
        let wanted = served.contains(&ip) || if ip.is_ipv4() { any_v4 } else { any_v6 };
        if wanted && !ip.is_loopback() {
            names.insert(entry.interface_name);
        }
    }
    names.into_iter().collect()
}

/// As many open files as the system lets us have: each relayed transport address is one. Returns how many.
fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    if soft >= hard {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "the limit of open files could not be raised");
            soft
        }
    }
}

/// Becomes readable on SIGTERM and SIGINT.
fn stop_signal() -> anyhow::Result<std::os::unix::net::UnixStream> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}
