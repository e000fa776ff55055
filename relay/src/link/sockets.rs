//! Listeners and relayed transport addresses: who opens, who closes, who knows.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use raceway_abi::NO_POLICER;
use raceway_api::OperationError;
use raceway_engine::{Arrival, Quarantine};
use raceway_sys::socket::{self, Purpose};
use raceway_units::Instant;

use crate::limits::LISTENER_PLACES;
use crate::shared::{Command, Place, Shared};

/// The sockets, owned by the link thread.
pub struct SocketBook {
    shared: Arc<Shared>,
    /// By place; an address keeps its place for good.
    listeners: Vec<(SocketAddr, Vec<OwnedFd>)>,
    listener_places: HashMap<SocketAddr, u32>,
    relayed: Vec<Option<OwnedFd>>,
    free: Vec<u32>,
    /// Listener sockets that workers still have to let go of, by place.
    closing_listeners: HashMap<u32, (usize, Vec<OwnedFd>)>,
    resting: Quarantine<Place>,
    /// What each worker is still to be told.
    commands: Vec<VecDeque<Command>>,
    worker_of: Vec<u16>,
    /// Datagrams that the kernel dropped at sockets that are closed now.
    past_queue_drops: u64,
}

impl SocketBook {
    /// No sockets yet; at most `relayed_max` relayed transport addresses.
    #[must_use]
    pub fn new(shared: Arc<Shared>, relayed_max: u32) -> Self {
        let workers = shared.workers.len();
        Self {
            shared,
            listeners: Vec::new(),
            listener_places: HashMap::new(),
            relayed: (0..relayed_max).map(|_| None).collect(),
            free: (0..relayed_max).rev().collect(),
            closing_listeners: HashMap::new(),
            resting: Quarantine::default(),
            commands: (0..workers).map(|_| VecDeque::new()).collect(),
            worker_of: vec![0; relayed_max as usize],
            past_queue_drops: 0,
        }
    }

    /// The place of a listener that is open.
    #[must_use]
    pub fn listener(&self, address: SocketAddr) -> Option<Place> {
        let place = *self.listener_places.get(&address)?;
        (!self.listeners[place as usize].1.is_empty()).then_some(Place::listener(place))
    }

    /// Opens what is new in `wanted` and closes what is not in it. Returns what could not be opened, and why.
    pub fn listen(&mut self, wanted: &[SocketAddr]) -> Vec<(SocketAddr, io::Error)> {
        let open: Vec<SocketAddr> = self.listeners.iter().filter(|l| !l.1.is_empty()).map(|l| l.0).collect();
        for address in open.iter().filter(|address| !wanted.contains(address)) {
            self.close_listener(*address);
        }
        let missing = wanted.iter().filter(|address| !open.contains(address));
        missing.filter_map(|address| self.open_listener(*address).err().map(|error| (*address, error))).collect()
    }

    fn open_listener(&mut self, address: SocketAddr) -> io::Result<()> {
        let workers = self.shared.workers.len();
        let sockets: Vec<OwnedFd> =
            (0..workers).map(|_| socket::open(address, Purpose::Listener)).collect::<io::Result<_>>()?;
        let place = match self.listener_places.get(&address) {
            Some(place) if self.closing_listeners.contains_key(place) => {
                return Err(io::Error::other("it is still being closed; try again in a moment"));
            }
            Some(place) => *place,
            None if self.listeners.len() as u32 >= LISTENER_PLACES => {
                return Err(io::Error::other("too many different listeners since the relay started; restart it"));
            }
            None => {
                let place = self.listeners.len() as u32;
                self.listeners.push((address, Vec::new()));
                self.listener_places.insert(address, place);
                place
            }
        };
        for (worker, socket) in sockets.iter().enumerate() {
            self.shared.sockets.set(Place::listener(place), worker, socket.as_raw_fd());
            self.receive(worker, Place::listener(place), address, Arrival::Listener, NO_POLICER);
        }
        self.listeners[place as usize].1 = sockets;
        Ok(())
    }

    fn close_listener(&mut self, address: SocketAddr) {
        let Some(place) = self.listener_places.get(&address).copied() else { return };
        let sockets = std::mem::take(&mut self.listeners[place as usize].1);
        self.closing_listeners.insert(place, (sockets.len(), sockets));
        for worker in 0..self.shared.workers.len() {
            self.command(worker, Command::Stop(Place::listener(place)));
        }
    }

    /// Opens a relayed transport address or a media address, received from by `worker`; `policer` is that of the legs there.
    ///
    /// # Errors
    /// As the kernel says it; [`OperationError::OpenFiles`] also when as many are open as the relay has places for.
    pub fn open(
        &mut self,
        address: SocketAddr,
        worker: u16,
        arrival: Arrival,
        policer: u32,
    ) -> Result<Place, OperationError> {
        let number = *self.free.last().ok_or(OperationError::OpenFiles)?;
        let socket = socket::open(address, Purpose::Relayed).map_err(|error| operation_error(&error))?;
        self.free.pop();
        let place = Place::relayed(number);
        self.shared.sockets.set(place, 0, socket.as_raw_fd());
        self.relayed[number as usize] = Some(socket);
        self.worker_of[number as usize] = worker;
        self.receive(usize::from(worker), place, address, arrival, policer);
        Ok(place)
    }

    /// Begins to close what [`open`](Self::open) opened and no flow or leg names any more.
    pub fn close_opened(&mut self, place: Place) {
        if let Some(number) = place.relayed_number() {
            self.command(usize::from(self.worker_of[number as usize]), Command::Stop(place));
        }
    }

    /// Goes on with what waits for workers. True when some of it still waits.
    pub fn advance(&mut self, now: Instant) -> bool {
        self.settle();
        for worker in 0..self.shared.workers.len() {
            while let Some(place) = self.shared.workers[worker].stopped.pop() {
                self.stopped(place, now);
            }
        }
        while let Some(place) = self.resting.pop(&self.shared.quiescence, now) {
            self.close(place);
        }
        !self.resting.is_empty() || self.commands.iter().any(|queue| !queue.is_empty())
    }

    fn stopped(&mut self, place: Place, now: Instant) {
        if place.relayed_number().is_none()
            && let Some((left, _)) = self.closing_listeners.get_mut(&place.0)
        {
            *left -= 1;
            if *left > 0 {
                return;
            }
        }
        self.resting.push(&self.shared.quiescence, now, place);
    }

    fn close(&mut self, place: Place) {
        match place.relayed_number() {
            Some(number) => {
                self.shared.sockets.set(place, 0, -1);
                self.past_queue_drops += self.relayed[number as usize].take().iter().map(queue_drops).sum::<u64>();
                self.free.push(number);
            }
            None => {
                for worker in 0..self.shared.workers.len() {
                    self.shared.sockets.set(place, worker, -1);
                }
                let (_, sockets) = self.closing_listeners.remove(&place.0).unwrap_or_default();
                self.past_queue_drops += sockets.iter().map(queue_drops).sum::<u64>();
            }
        }
    }

    /// Datagrams that the kernel dropped because a socket's queue was full, since the relay started.
    #[must_use]
    pub fn queue_drops(&self) -> u64 {
        let listeners = self.listeners.iter().flat_map(|(_, sockets)| sockets);
        let closing = self.closing_listeners.values().flat_map(|(_, sockets)| sockets);
        let all = listeners.chain(closing).chain(self.relayed.iter().flatten());
        self.past_queue_drops + all.map(queue_drops).sum::<u64>()
    }

    /// Sends a datagram from a place, whose address is `from`.
    pub fn send(&self, place: Place, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        from.is_ipv4() == to.is_ipv4() && socket::send_to(self.shared.sockets.fd(place, 0), to.into(), payload).is_ok()
    }

    fn receive(&mut self, worker: usize, place: Place, local: SocketAddr, arrival: Arrival, policer: u32) {
        self.command(worker, Command::Receive { place, local: local.into(), arrival, policer });
    }

    /// Tells a worker something, after all that it was told before, once it is [settled](Self::settle).
    pub fn command(&mut self, worker: usize, command: Command) {
        self.commands[worker].push_back(command);
    }

    /// Tells the workers what they are still to be told, as much as their queues take: each is woken once for all of it.
    pub fn settle(&mut self) {
        for (port, commands) in self.shared.workers.iter().zip(&mut self.commands) {
            if commands.is_empty() {
                continue;
            }
            while let Some(command) = commands.pop_front() {
                if let Err(command) = port.commands.push(command) {
                    commands.push_front(command);
                    break;
                }
            }
            port.waker.wake();
        }
    }
}

impl SocketBook {
    /// Wakes the workers that have not yet read all that they were told.
    pub fn ring(&self) {
        for port in self.shared.workers.iter().filter(|port| !port.commands.is_empty()) {
            port.waker.wake();
        }
    }
}

fn queue_drops(socket: &OwnedFd) -> u64 {
    u64::from(socket::queue_drops(socket.as_raw_fd()))
}

/// What the kernel's refusal means to control.
fn operation_error(error: &io::Error) -> OperationError {
    match error.kind() {
        io::ErrorKind::AddrInUse => OperationError::AddressInUse,
        io::ErrorKind::AddrNotAvailable => OperationError::AddressNotAvailable,
        _ if matches!(error.raw_os_error(), Some(nix::libc::EMFILE | nix::libc::ENFILE)) => OperationError::OpenFiles,
        _ => OperationError::SocketRefused,
    }
}
