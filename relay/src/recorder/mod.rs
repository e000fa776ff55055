//! Recordings on the disk.
//!
//! A thread of its own writes them, since a disk may be slow: workers leave copies of packets in queues of fixed length
//! ([`Copies`](crate::shared::Copies)) and count what finds no room, the link thread says what begins and what ends.

mod files;
mod thread;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::Context;
use crossbeam::queue::SegQueue;
use raceway_api::{RecordingState, SessionId};
use raceway_config::Recording as Config;
use raceway_recording::{Beginning, Part, PublicKey};

use crate::clock;
use crate::shared::Shared;

/// Where recordings go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory.
    pub directory: PathBuf,
    /// Who can read them.
    pub public_key: PublicKey,
    /// Octets of one recording.
    pub max_octets: u64,
    /// Octets of the disk that are left free.
    pub keep_free: u64,
}

impl Settings {
    /// What the configuration says; none if it wants no recordings.
    ///
    /// # Errors
    /// A public key that nothing can be encrypted for.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let (Some(directory), Some(public_key)) = (&config.directory, config.public_key) else { return Ok(None) };
        let beginning = Beginning { note: "", program: "", now: clock::now(), wall_ns: 0 };
        Part::begin(&public_key, &thread::secrets(), &beginning).context("[recording] public_key")?;
        let octets = |megabytes: u32| u64::from(megabytes) * 1_000_000;
        let (max_octets, keep_free) = (octets(config.max_mb), octets(config.keep_free_mb));
        Ok(Some(Self { directory: directory.clone(), public_key, max_octets, keep_free }))
    }
}

/// What there is of a recording.
#[derive(Debug, Default)]
pub struct Figures {
    /// Packets that found no room in a worker's queue.
    pub lost: Arc<AtomicU64>,
    /// Packets that the recorder had no file for.
    pub missed: AtomicU64,
    /// Packets taken.
    pub packets: AtomicU64,
    /// Octets in files.
    pub octets: AtomicU64,
    /// Number of the last part; 0 before the first.
    pub part: AtomicU32,
}

/// What there is of all of them, since the start.
#[derive(Debug, Default)]
pub struct Totals {
    /// Packets taken.
    pub packets: AtomicU64,
    /// Octets written.
    pub octets: AtomicU64,
    /// Packets without a file.
    pub lost_disk: AtomicU64,
    /// Packets beyond a limit.
    pub lost_limit: AtomicU64,
    /// Parts that went wrong.
    pub failures: AtomicU64,
}

/// What the link thread wants.
pub enum Order {
    /// A recording begins; its packets come after this.
    Begin {
        /// Its number, which no other has.
        recording: u32,
        /// Its session.
        session: SessionId,
        /// How its files are called.
        stem: String,
        /// What is written into each.
        note: String,
        /// What there is of it.
        figures: Arc<Figures>,
    },
    /// It is over, and all its packets are in the queues.
    End {
        /// Its number.
        recording: u32,
        /// Its files are removed.
        discard: bool,
    },
}

/// What the recorder tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// How a recording goes now.
    State(SessionId, u32, RecordingState),
    /// Its files are closed.
    Ended(u32),
}

/// The recorder, as the link thread has it. Dropped, it ends all recordings and waits for that.
pub struct Recorder {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    /// What it tells.
    pub news: Arc<SegQueue<News>>,
    /// What it counts.
    pub totals: Arc<Totals>,
}

impl Recorder {
    /// Starts it.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn start(shared: Arc<Shared>, settings: Settings) -> io::Result<Self> {
        let (orders, from) = channel();
        let (news, totals) = (Arc::new(SegQueue::new()), Arc::new(Totals::default()));
        let writer = thread::Writer::new(shared, settings, Arc::clone(&news), Arc::clone(&totals));
        let body = move || {
            crate::crew::give_up_rights();
            writer.run(&from);
        };
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(body)?;
        Ok(Self { orders: Some(orders), thread: Some(thread), news, totals })
    }

    /// Tells it something. False if it is not there any more, which is a fault of ours.
    pub fn tell(&self, order: Order) -> bool {
        self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.orders = None;
        // How it ended has been told.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
