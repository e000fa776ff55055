//! The TURN clients of a worker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use raceway_loadgen_core::turn::{self, Event, Incoming, Method, SendTemplate};
use raceway_units::{Endpoint, Instant};

use crate::plan::{Client as Planned, Framing, Route};

/// Longest time of a request that is told apart.
const TOOK_MAX: Duration = Duration::from_secs(60);

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Method.
    pub method: Method,
    /// ERROR-CODE; none if there was no answer at all.
    pub code: Option<u16>,
}

/// What TURN clients met.
#[derive(Clone, Debug)]
pub struct TurnFigures {
    /// Clients that tried to allocate; one that comes and goes counts each time.
    pub clients: u64,
    /// Clients that allocated.
    pub allocated: u64,
    /// Clients that can carry media.
    pub ready: u64,
    /// Time of an allocation, microseconds: from the first request to the success, with the challenge between.
    pub allocate_us: Histogram<u64>,
    /// Time of a channel or permission, microseconds.
    pub bind_us: Histogram<u64>,
    /// Refreshes that succeeded.
    pub refreshed: u64,
    /// Allocations ended in good order.
    pub closed: u64,
    /// What failed how often, with the server's words for the first.
    pub refusals: BTreeMap<Refusal, (u64, String)>,
    /// Datagrams from servers that answer nothing.
    pub unexpected: u64,
}

impl Default for TurnFigures {
    fn default() -> Self {
        let histogram = || {
            let max = TOOK_MAX.as_micros() as u64;
            Histogram::new_with_bounds(1, max, 3).expect("the bounds are constant and apart")
        };
        Self {
            clients: 0,
            allocated: 0,
            ready: 0,
            allocate_us: histogram(),
            bind_us: histogram(),
            refreshed: 0,
            closed: 0,
            refusals: BTreeMap::new(),
            unexpected: 0,
        }
    }
}

impl TurnFigures {
    /// Adds those of another worker.
    pub fn merge(&mut self, other: &Self) {
        self.clients += other.clients;
        self.allocated += other.allocated;
        self.ready += other.ready;
        self.allocate_us.add(&other.allocate_us).expect("the same bounds");
        self.bind_us.add(&other.bind_us).expect("the same bounds");
        self.refreshed += other.refreshed;
        self.closed += other.closed;
        self.unexpected += other.unexpected;
        for (refusal, (count, words)) in &other.refusals {
            self.refusals.entry(refusal.clone()).or_insert_with(|| (0, words.clone())).0 += count;
        }
    }
}

/// Clients that are ready, or have failed.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// What they met.
    pub figures: TurnFigures,
    /// Those that can carry media.
    pub carried: Vec<Carried>,
}

impl Settled {
    /// Adds those of another worker.
    pub fn merge(&mut self, other: Self) {
        self.figures.merge(&other.figures);
        self.carried.extend(other.carried);
    }
}

/// How media of a client travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its peer.
    pub peer: SocketAddr,
    /// Its relayed address.
    pub relayed: SocketAddr,
    /// Its channel to the peer; zero if it has none.
    pub channel: u16,
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// On its way.
    Pending,
    /// It carries media, or has allocated all that it was to.
    Ready,
    /// It never will.
    Failed,
}

struct Client {
    plan: Planned,
    machine: turn::Client,
    /// When it began, or is to begin: its next turn, if it comes and goes.
    begins_at: Instant,
    /// When the present allocation ends, of a client that comes and goes.
    closes_at: Option<Instant>,
    /// It has not had its first turn.
    fresh: bool,
    state: State,
    relayed: Option<SocketAddr>,
    channel: u16,
    template: Option<SendTemplate>,
}

/// All of them.
pub struct Clients {
    list: Vec<Client>,
    pending: usize,
    figures: TurnFigures,
    stopped: bool,
}

impl Clients {
    pub fn new(plans: Vec<Planned>, now: Instant) -> Self {
        let list: Vec<Client> = plans.into_iter().map(|plan| Client::new(plan, now)).collect();
        let pending = list.iter().filter(|client| client.plan.turns.is_none()).count();
        let figures = TurnFigures { clients: pending as u64, ..TurnFigures::default() };
        Self { pending, list, figures, stopped: false }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn begins_at(&self, client: u32) -> Instant {
        self.list[client as usize].begins_at
    }

    /// None that stays is on its way.
    pub fn are_settled(&self) -> bool {
        self.pending == 0
    }

    /// Clients that come and go begin at `begin`; whether there are such.
    pub fn begin(&mut self, begin: Instant) -> bool {
        for client in &mut self.list {
            client.begins_at = begin.after(client.plan.after);
        }
        self.come_and_go()
    }

    fn come_and_go(&self) -> bool {
        self.list.first().is_some_and(|client| client.plan.turns.is_some())
    }

    /// No client begins another turn.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// None holds an allocation.
    pub fn are_over(&self) -> bool {
        self.list.iter().all(|client| client.machine.is_over() || client.relayed.is_none())
    }

    pub fn figures(&self) -> &TurnFigures {
        &self.figures
    }

    pub fn settled(&self) -> Settled {
        let ready = self.list.iter().filter(|client| client.state == State::Ready);
        let carried = ready.filter_map(|client| {
            Some(Carried { peer: client.plan.peer?, relayed: client.relayed?, channel: client.channel })
        });
        Settled { figures: self.figures.clone(), carried: carried.collect() }
    }

    /// Whether packets on this route have a way.
    pub fn carry(&self, route: Route) -> bool {
        match route {
            Route::Plain { .. } => true,
            Route::ByClient { client } | Route::ToClient { client, .. } => {
                self.list[client as usize].state == State::Ready
            }
        }
    }

    /// The socket that packets on this route leave by.
    pub fn port(&self, route: Route) -> u32 {
        match route {
            Route::Plain { port, .. } | Route::ToClient { port, .. } => port,
            Route::ByClient { client } => self.list[client as usize].plan.port,
        }
    }

    /// Socket and server of a client.
    pub fn transport(&self, client: u32) -> (u32, Endpoint) {
        let plan = &self.list[client as usize].plan;
        (plan.port, plan.server.into())
    }

    pub fn relayed(&self, client: u32) -> Option<Endpoint> {
        self.list[client as usize].relayed.map(Endpoint::from)
    }

    pub fn channel(&self, client: u32) -> u16 {
        self.list[client as usize].channel
    }

    pub fn template(&self, client: u32) -> Option<&SendTemplate> {
        self.list[client as usize].template.as_ref()
    }

    pub fn handle(&mut self, client: u32, datagram: &[u8], now: Instant) -> Incoming {
        let incoming = self.list[client as usize].machine.handle(datagram, now);
        self.figures.unexpected += u64::from(incoming == Incoming::Unexpected);
        incoming
    }

    pub fn poll_transmit(&mut self, client: u32, now: Instant) -> Option<&[u8]> {
        let client = &mut self.list[client as usize];
        if client.fresh { None } else { client.machine.poll_transmit(now) }
    }

    /// When [`look_at_the_time`](Self::look_at_the_time) and [`poll_transmit`](Self::poll_transmit) have something to do.
    pub fn poll_timeout(&self, client: u32) -> Option<Instant> {
        let client = &self.list[client as usize];
        if client.machine.is_over() || client.fresh {
            return (client.plan.turns.is_some() && !self.stopped).then_some(client.begins_at);
        }
        client.machine.poll_timeout().into_iter().chain(client.closes_at).min()
    }

    /// Begins and ends the turns of a client that comes and goes.
    pub fn look_at_the_time(&mut self, client: u32, now: Instant) {
        let client = &mut self.list[client as usize];
        let Some(turns) = client.plan.turns else { return };
        if client.closes_at.take_if(|at| *at <= now).is_some() {
            client.machine.close(now);
        }
        if (client.machine.is_over() || client.fresh) && client.begins_at <= now && !self.stopped {
            self.figures.clients += 1;
            client.fresh = false;
            client.relayed = None;
            client.plan.seed = client.plan.seed.wrapping_add(1 << 40);
            let plan = &client.plan;
            client.machine = turn::Client::new(plan.credentials.clone(), plan.settings, plan.seed, client.begins_at);
            client.begins_at = client.begins_at.after(turns.every);
        }
    }

    /// Ends all allocations.
    pub fn close(&mut self, now: Instant) {
        for client in self.list.iter_mut().filter(|client| client.relayed.is_some()) {
            client.machine.close(now);
        }
    }

    /// Takes note of what happened to a client; true if it has something new to say.
    pub fn note_events(&mut self, at: u32, now: Instant) -> bool {
        let mut more = false;
        let client = &mut self.list[at as usize];
        while let Some(event) = client.machine.poll_event() {
            let before = client.state;
            more |= client.note(event, &mut self.figures, now);
            if before == State::Pending && client.state != State::Pending {
                self.pending = self.pending.saturating_sub(1);
                self.figures.ready += u64::from(client.state == State::Ready);
            }
        }
        more
    }
}

impl Client {
    fn new(plan: Planned, now: Instant) -> Self {
        let begins_at = now.after(plan.after);
        let machine = turn::Client::new(plan.credentials.clone(), plan.settings, plan.seed, begins_at);
        Self {
            machine,
            begins_at,
            closes_at: None,
            fresh: plan.turns.is_some(),
            state: State::Pending,
            relayed: None,
            channel: 0,
            template: None,
            plan,
        }
    }

    fn note(&mut self, event: Event, figures: &mut TurnFigures, now: Instant) -> bool {
        let micros = |took: Duration| took.as_micros() as u64;
        match event {
            Event::Allocated { relayed, took, .. } => {
                figures.allocated += 1;
                figures.allocate_us.saturating_record(micros(took));
                self.relayed = Some(relayed);
                if !self.plan.reach.allows(relayed.ip()) {
                    let words = format!(
                        "its relayed address {} is outside loopback and private ranges; if it is yours to load, say \
                         --i-own-this-target",
                        relayed.ip()
                    );
                    self.failed(figures, Refusal { method: Method::Allocate, code: Some(0) }, words);
                    return false;
                }
                self.closes_at = self.plan.turns.map(|turns| now.after(turns.hold));
                return self.meet_peer(now);
            }
            Event::Bound { took, .. } | Event::Permitted { took, .. } => {
                if self.state == State::Pending {
                    figures.bind_us.saturating_record(micros(took));
                    self.state = State::Ready;
                }
            }
            Event::Refreshed { .. } => figures.refreshed += 1,
            Event::Closed { .. } => figures.closed += 1,
            Event::Refused { method, code, reason } => {
                self.failed(figures, Refusal { method, code: Some(code) }, reason);
            }
            Event::Unanswered { method } => self.failed(figures, Refusal { method, code: None }, String::new()),
        }
        false
    }

    fn meet_peer(&mut self, now: Instant) -> bool {
        let Some(peer) = self.plan.peer else {
            self.state = State::Ready;
            return false;
        };
        match self.plan.framing {
            Framing::Channel => self.channel = self.machine.bind(peer, now).expect("the first channel of a client"),
            Framing::Indication => {
                self.machine.permit(peer, now);
                self.template = Some(SendTemplate::new(peer, self.plan.seed));
            }
        }
        true
    }

    fn failed(&mut self, figures: &mut TurnFigures, refusal: Refusal, words: String) {
        figures.refusals.entry(refusal).or_insert((0, words)).0 += 1;
        if self.state == State::Pending {
            self.state = State::Failed;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use raceway_loadgen_core::turn::{Credentials, Settings};

    use super::*;
    use crate::target::Reach;

    fn client(reach: Reach) -> Client {
        let plan = Planned {
            port: 0,
            server: ([127, 0, 0, 1], 3478).into(),
            peer: None,
            framing: Framing::Channel,
            credentials: Arc::new(Credentials::new("alice", "wonderland").unwrap()),
            settings: Settings::default(),
            seed: 1,
            after: Duration::ZERO,
            turns: None,
            reach,
        };
        Client::new(plan, Instant::default())
    }

    #[test]
    fn a_server_cannot_send_media_to_whom_the_operator_does_not_own() {
        for (reach, relayed, state) in [
            (Reach::Private, "10.0.0.1:50000", State::Ready),
            (Reach::Private, "8.8.8.8:53", State::Failed),
            (Reach::Anywhere, "8.8.8.8:53", State::Ready),
            (Reach::Anywhere, "224.0.0.1:53", State::Failed),
        ] {
            let (mut client, mut figures) = (client(reach), TurnFigures::default());
            let event = Event::Allocated {
                relayed: relayed.parse().unwrap(),
                mapped: None,
                lifetime_s: 600,
                took: Duration::ZERO,
            };
            client.note(event, &mut figures, Instant::default());
            assert_eq!(client.state, state, "{relayed}");
            let told = figures.refusals.values().any(|(_, words)| words.contains("--i-own-this-target"));
            assert_eq!(told, state == State::Failed);
        }
    }
}
