//! The workers' threads: one a core, each with a back end of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use anyhow::{Context, bail};
use raceway_config::Workers;
use raceway_sys::io::PacketIo;
use raceway_sys::mmsg::Mmsg;
use raceway_sys::uring::Uring;

use crate::limits::COPIES_MAX;
use crate::random::random;
use crate::shared::Shared;
use crate::worker::Worker;

/// What workers receive and send through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BackEnd {
    /// io_uring, or recvmmsg and sendmmsg where that is not to be had.
    #[default]
    Auto,
    /// io_uring, or the relay refuses to start.
    IoUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

/// Cores to run workers on.
///
/// # Errors
/// A core is named that this process may not run on.
pub fn cores(workers: &Workers) -> anyhow::Result<Vec<usize>> {
    let allowed: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    match workers {
        Workers::Auto if allowed.is_empty() => Ok(vec![0]),
        Workers::Auto => Ok(allowed),
        Workers::Cores(cores) => {
            let wanted: Vec<usize> = cores.iter().map(|core| usize::from(*core)).collect();
            if let Some(core) = wanted.iter().find(|core| !allowed.contains(core)) {
                bail!("[relay] workers names core {core}; this process may run on {allowed:?}");
            }
            Ok(wanted)
        }
    }
}

/// Starts a worker on each of `cores`, pinned.
///
/// # Errors
/// A thread or its back end cannot be had.
pub fn start(shared: &Arc<Shared>, cores: &[usize], back_end: BackEnd) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for (number, core) in cores.iter().copied().enumerate() {
        let member = Member { number, core, shared: Arc::clone(shared) };
        let (started, wait) = mpsc::channel();
        let body = move || member.work(back_end, &started);
        threads.push(std::thread::Builder::new().name(format!("worker-{number}")).spawn(body)?);
        wait.recv().context("a worker ended at once")?.context("a worker cannot start")?;
    }
    Ok(threads)
}

/// One of them.
struct Member {
    number: usize,
    core: usize,
    shared: Arc<Shared>,
}

impl Member {
    fn work(self, back_end: BackEnd, started: &Sender<io::Result<()>>) {
        if !core_affinity::set_for_current(core_affinity::CoreId { id: self.core }) {
            tracing::warn!(worker = self.number, core = self.core, "a worker could not be pinned to its core");
        }
        let places = self.shared.sockets.places();
        let waker = self.shared.workers[self.number].waker.clone();
        let uring = match back_end {
            BackEnd::Mmsg => None,
            BackEnd::Auto | BackEnd::IoUring => Some(Uring::new(places, COPIES_MAX, waker.clone())),
        };
        match (uring, back_end) {
            (Some(Ok(uring)), _) => self.go(uring, started),
            (Some(Err(error)), BackEnd::IoUring) => tell(started, Err(error)),
            (Some(Err(error)), _) => {
                tracing::warn!(%error, "no io_uring: recvmmsg and sendmmsg instead (see `raceway-relay doctor`)");
                self.go_without(waker, places, started);
            }
            (None, _) => self.go_without(waker, places, started),
        }
    }

    fn go_without(self, waker: raceway_sys::io::Waker, places: u32, started: &Sender<io::Result<()>>) {
        match Mmsg::new(places, COPIES_MAX, waker) {
            Ok(mmsg) => self.go(mmsg, started),
            Err(error) => tell(started, Err(error)),
        }
    }

    fn go(self, io: impl PacketIo, started: &Sender<io::Result<()>>) {
        let worker = Worker::new(self.number, Arc::clone(&self.shared), io, random());
        give_up_rights();
        tell(started, Ok(()));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run()));
        if !matches!(ended, Ok(Ok(()))) {
            // Half a relay would drop a share of all clients in silence; a restart keeps what is in XDP.
            let error = ended.map_or_else(|_| "it panicked".to_owned(), |ended| format!("{ended:?}"));
            tracing::error!(worker = self.number, %error, "a worker cannot go on");
            self.shared.failed.store(true, Ordering::Relaxed);
            self.shared.stopping.store(true, Ordering::Relaxed);
            self.shared.link.waker.wake();
        }
    }
}

fn tell(started: &Sender<io::Result<()>>, how: io::Result<()>) {
    // The starter has gone only if it has failed already.
    let _ = started.send(how);
}

/// Nothing that is opened later needs more than low ports and large socket buffers; maps, program and rings are open.
pub fn give_up_rights() {
    if let Err(error) = raceway_sys::privilege::drop_capabilities() {
        tracing::warn!(%error, "rights that are not needed any more could not be given up");
    }
}
