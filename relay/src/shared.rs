//! What the link thread and the workers share.

use std::ops::Deref;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crossbeam::queue::ArrayQueue;
use raceway_abi::{Flow, Policer};
use raceway_engine::{Arrival, Counters, Leg, LegNews, OwnAddresses, Quiescence, RequestBudget, Table};
use raceway_recording::PACKET_MAX;
use raceway_sys::io::Waker;
use raceway_sys::shared::SharedArray;
use raceway_units::{Endpoint, Instant};

use crate::limits::{COMMANDS_MAX, LISTENER_PLACES, NEWS_MAX, PUNT_MAX, PUNTS_MAX};

/// Flow records: a mapped BPF array, or ordinary memory.
#[derive(Clone)]
pub struct Records(pub Arc<SharedArray<Flow>>);

impl Deref for Records {
    type Target = [Flow];

    #[inline]
    fn deref(&self) -> &[Flow] {
        &self.0
    }
}

/// Rate limits beside them.
pub type Policers = SharedArray<Policer>;

/// Everything that more than one thread sees.
pub struct Shared {
    /// Flows.
    pub table: Arc<Table<Records>>,
    /// Rate limits.
    pub policers: Arc<Policers>,
    /// Our addresses.
    pub own: Arc<OwnAddresses>,
    /// What clients may hand to control.
    pub requests: Arc<RequestBudget>,
    /// Sockets by number.
    pub sockets: Sockets,
    /// When workers let go of what they looked up.
    pub quiescence: Quiescence,
    /// One per worker.
    pub workers: Box<[Port]>,
    /// Wakes the link thread.
    pub link: LinkBell,
    /// What the link thread counts.
    pub link_counters: Counters,
    /// The relay is about to end.
    pub stopping: AtomicBool,
    /// Because a worker cannot go on.
    pub failed: AtomicBool,
}

impl Shared {
    /// Legs of a worker, at most: each has a socket of its own, or shares one with others of a bundle.
    #[must_use]
    pub fn legs_max(&self) -> usize {
        (self.sockets.places() - LISTENER_PLACES) as usize
    }
}

/// A place for a socket: listeners come first, relayed transport addresses after.
///
/// This is what flows name as their egress: for a listener, each worker has its own socket in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(pub u32);

impl Place {
    /// Of a listener.
    #[must_use]
    pub const fn listener(number: u32) -> Self {
        Self(number)
    }

    /// Of a relayed transport address or a media address.
    #[must_use]
    pub const fn relayed(number: u32) -> Self {
        Self(LISTENER_PLACES + number)
    }

    /// Number of a relayed transport address or media address; `None` for a listener.
    #[must_use]
    pub const fn relayed_number(self) -> Option<u32> {
        self.0.checked_sub(LISTENER_PLACES)
    }
}

/// File descriptors by place; -1 is none.
pub struct Sockets {
    listeners: Box<[AtomicI32]>,
    relayed: Box<[AtomicI32]>,
    workers: usize,
}

impl Sockets {
    /// For so many workers and relayed transport addresses.
    #[must_use]
    pub fn new(workers: usize, relayed: u32) -> Self {
        let none = |count: usize| (0..count).map(|_| AtomicI32::new(-1)).collect();
        Self { listeners: none(workers * LISTENER_PLACES as usize), relayed: none(relayed as usize), workers }
    }

    /// The socket that `worker` sends with from a place; -1 if it was closed.
    #[inline]
    #[must_use]
    pub fn fd(&self, place: Place, worker: usize) -> RawFd {
        self.entry(place, worker).map_or(-1, |fd| fd.load(Ordering::Relaxed))
    }

    /// Sets the socket of a place (for a relayed transport address: of all workers).
    pub fn set(&self, place: Place, worker: usize, fd: RawFd) {
        if let Some(entry) = self.entry(place, worker) {
            entry.store(fd, Ordering::Release);
        }
    }

    fn entry(&self, place: Place, worker: usize) -> Option<&AtomicI32> {
        match place.relayed_number() {
            Some(number) => self.relayed.get(number as usize),
            None => self.listeners.get(place.0 as usize * self.workers + worker),
        }
    }

    /// Places in all.
    #[must_use]
    pub fn places(&self) -> u32 {
        LISTENER_PLACES + self.relayed.len() as u32
    }
}

/// What the link thread tells a worker.
pub enum Command {
    /// Receive from the socket of a place.
    Receive {
        /// The place.
        place: Place,
        /// Its address.
        local: Endpoint,
        /// What it is.
        arrival: Arrival,
        /// What limits what comes to its legs, or [`NO_POLICER`](raceway_abi::NO_POLICER).
        policer: u32,
    },
    /// Receive no more; the worker answers through [`Port::stopped`].
    Stop(Place),
    /// Take over a leg; the one that has the number comes back through [`Port::returned`].
    PutLeg {
        /// Its number.
        number: u32,
        /// The leg.
        leg: Box<Leg>,
    },
    /// Give a leg back through [`Port::returned`].
    RemoveLeg(u32),
    /// Say through [`Port::returned`] that this was reached: no leg is recorded in this recording any more.
    Untap(u32),
    /// Lead a route of a leg to another leg.
    SetRoute {
        /// Number of the leg.
        leg: u32,
        /// Which of its routes.
        route: u8,
        /// Number of the other leg.
        to: u32,
    },
}

/// What a worker gives back, since it frees nothing.
pub enum Returned {
    /// A leg that another one took the place of.
    Replaced(Box<Leg>),
    /// The leg with this number, which is free now.
    Removed(u32, Option<Box<Leg>>),
    /// All packets of this recording are in [`Port::copies`].
    Untapped(u32),
}

/// A packet on its way into a recording.
pub struct Copied {
    /// Number of the recording.
    pub recording: u32,
    /// When it came.
    pub at: Instant,
    /// The party.
    pub from: Endpoint,
    /// Our address.
    pub to: Endpoint,
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// Octets that it has.
    pub octets: usize,
    kept: usize,
    memory: [u8; PACKET_MAX],
}

impl Copied {
    fn empty() -> Self {
        let nobody = Endpoint::default();
        Self {
            recording: 0,
            at: Instant::default(),
            from: nobody,
            to: nobody,
            traffic_class: 0,
            octets: 0,
            kept: 0,
            memory: [0; PACKET_MAX],
        }
    }

    /// The packet, or the beginning of it.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.memory[..self.kept]
    }

    /// Replaces it.
    pub fn fill(&mut self, payload: &[u8]) {
        self.octets = payload.len();
        self.kept = payload.len().min(PACKET_MAX);
        self.memory[..self.kept].copy_from_slice(&payload[..self.kept]);
    }
}

/// Packets of a worker for the recorder.
pub struct Copies {
    /// To be filled.
    pub free: ArrayQueue<Box<Copied>>,
    /// To be written.
    pub full: ArrayQueue<Box<Copied>>,
}

impl Copies {
    /// So many; none where nothing is recorded.
    fn new(copies: usize) -> Self {
        let free = ArrayQueue::new(copies.max(1));
        for _ in 0..copies {
            // As many as it holds.
            let _ = free.push(Box::new(Copied::empty()));
        }
        Self { free, full: ArrayQueue::new(copies.max(1)) }
    }
}

/// A datagram on its way to control.
pub struct Punt {
    /// Listener.
    pub local: Endpoint,
    /// Client.
    pub remote: Endpoint,
    /// When it came, kernel monotonic nanoseconds.
    pub received_at_ns: u64,
    length: usize,
    octets: [u8; PUNT_MAX],
}

impl Punt {
    fn empty() -> Self {
        let nobody = Endpoint::default();
        Self { local: nobody, remote: nobody, received_at_ns: 0, length: 0, octets: [0; PUNT_MAX] }
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    /// Replaces its payload; false if that is too long.
    pub fn fill(&mut self, payload: &[u8]) -> bool {
        let Some(room) = self.octets.get_mut(..payload.len()) else { return false };
        room.copy_from_slice(payload);
        self.length = payload.len();
        true
    }
}

/// The queues of one worker.
pub struct Port {
    /// From the link thread.
    pub commands: ArrayQueue<Command>,
    /// Empty punts, to be filled.
    pub free: ArrayQueue<Box<Punt>>,
    /// Punts for control.
    pub punts: ArrayQueue<Box<Punt>>,
    /// Places that the worker receives from no more.
    pub stopped: ArrayQueue<Place>,
    /// What happened on legs.
    pub news: ArrayQueue<LegNews>,
    /// Legs that the worker has no use for any more.
    pub returned: ArrayQueue<Returned>,
    /// Packets that are recorded.
    pub copies: Copies,
    /// Wakes the worker.
    pub waker: Waker,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// Its thread, once it runs.
    pub thread: AtomicU32,
}

impl Port {
    /// Queues for a worker with so many places for sockets, and so many packets that may wait for the recorder.
    ///
    /// # Errors
    /// What eventfd(2) says.
    pub fn new(places: u32, copies: usize) -> std::io::Result<Self> {
        let free = ArrayQueue::new(PUNTS_MAX);
        for _ in 0..PUNTS_MAX {
            // As many as it holds.
            let _ = free.push(Box::new(Punt::empty()));
        }
        Ok(Self {
            commands: ArrayQueue::new(COMMANDS_MAX),
            free,
            punts: ArrayQueue::new(PUNTS_MAX),
            stopped: ArrayQueue::new(places as usize),
            news: ArrayQueue::new(NEWS_MAX),
            returned: ArrayQueue::new(COMMANDS_MAX),
            copies: Copies::new(copies),
            waker: Waker::new()?,
            counters: Arc::default(),
            thread: AtomicU32::new(0),
        })
    }
}

/// Wakes the link thread, with a system call only when it sleeps.
pub struct LinkBell {
    /// What it polls.
    pub waker: Waker,
    asleep: AtomicBool,
}

impl LinkBell {
    /// A bell.
    ///
    /// # Errors
    /// What eventfd(2) says.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { waker: Waker::new()?, asleep: AtomicBool::new(false) })
    }

    /// There is something in a queue.
    pub fn ring(&self) {
        // Sequentially consistent: either this sees that the thread goes to sleep, or the thread sees the queue.
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// The link thread is about to look at its queues a last time and sleep.
    pub fn about_to_sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The link thread is awake.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}
