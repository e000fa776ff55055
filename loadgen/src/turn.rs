//! `turn`: media through a TURN server, between clients and peers that are both here; or allocations alone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use core_affinity::CoreId;
use raceway_loadgen_core::report::Report;
use raceway_loadgen_core::turn::{Credentials, Family, Settings};
use raceway_loadgen_core::{Identity, Track};
use raceway_loadgen_report::words::of;
use raceway_units::UnixTime;

use crate::cli::{Direction, Mode, Turn};
use crate::crew::BackEnd;
use crate::plan::{Client, Framing, Plan, Port, Route, Stream, Turns};
use crate::result;
use crate::session::{Interrupt, Session};
use crate::sockets;
use crate::source::Source;
use crate::target::{Reach, local_towards};
use crate::xdp;

/// How much longer than a run credentials from a shared secret are good.
const CREDENTIALS_MARGIN: Duration = Duration::from_secs(3600);
/// How long a client of a churn stays unless told.
const CHURN_HOLD: Duration = Duration::from_secs(2);
/// What a request may take, beyond the time that its allocation is kept, before its client is missed in the next turn.
const TURN_MARGIN: Duration = Duration::from_secs(2);
/// Clients that come and go: ports that the machine has for them.
const COMING_AND_GOING_MAX: u32 = 20_000;
/// Packets a second that an allocation with its challenge comes to, both ways.
const PACKETS_PER_ALLOCATION: f64 = 6.0;

/// Runs `turn`.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Turn, interrupt: &Interrupt) -> Result<Report> {
    ensure!(options.clients > 0, "--clients 0: there is nobody to allocate");
    let server = options.server.resolve_one(options.common.i_own_this_target)?;
    let credentials = Arc::new(credentials(&options)?);
    let from = local_towards(server)?;
    let family = if options.ipv6_relay { Family::V6 } else { Family::V4 };
    let settings = Settings { family, answers_challenges: options.mode != Mode::Flood, ..Settings::default() };
    let build = Build { server, from, credentials, settings, options };
    if build.options.common.backend == BackEnd::Xdp {
        ensure!(build.options.mode == Mode::Media, "--mode {}: in XDP there is media alone", build.options.mode);
        return xdp::turn::run(build, interrupt);
    }
    xdp::refuse(&build.options.xdp)?;
    let (session, finding, what) =
        if build.options.mode == Mode::Media { build.media(interrupt)? } else { build.at_a_rate(interrupt)? };
    let mut report = result::report(&session, &finding, what);
    if let Some(turn) = report.turn.as_mut().filter(|turn| turn.clients > 0 && report.summary.sent.packets == 0) {
        turn.allocations_per_s = turn.allocated as f64 / finding.length.as_secs_f64().max(1e-9);
    }
    Ok(report)
}

fn credentials(options: &Turn) -> Result<Credentials> {
    match (&options.secret, &options.password) {
        _ if options.mode == Mode::BadCredentials => {
            let wrong = format!("{:016x}", getrandom::u64()?);
            Credentials::new(if options.user.is_empty() { "nobody" } else { &options.user }, &wrong).context("--user")
        }
        _ if options.mode == Mode::Flood => Ok(Credentials::new("nobody", "nothing")?),
        (Some(secret), _) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
            let expires = now + options.common.duration + CREDENTIALS_MARGIN;
            Ok(Credentials::from_secret(secret, &options.user, UnixTime(expires.as_secs())))
        }
        (None, Some(password)) => Credentials::new(&options.user, password).context("--user and --password"),
        (None, None) => bail!("who is the client? Give --user with --password, or --secret"),
    }
}

/// What plans are made from.
pub(crate) struct Build {
    server: SocketAddr,
    from: IpAddr,
    credentials: Arc<Credentials>,
    settings: Settings,
    options: Turn,
}

/// The sockets of a client and its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The client's.
    pub(crate) near: SocketAddr,
    /// The server.
    pub(crate) server: SocketAddr,
    /// The peer's.
    pub(crate) peer: SocketAddr,
}

type Done = (Session, crate::session::Finding, String);

impl Build {
    /// What was asked for.
    pub(crate) const fn options(&self) -> &Turn {
        &self.options
    }

    /// A client with a peer, both with their sockets: the client's, the peer's, and its place in the plan.
    fn pair(&self, plan: &mut Plan, number: u32, framing: Framing, peers_at: IpAddr) -> Result<(u32, u32, u32)> {
        let client = plan.clients.len() as u32;
        let near = plan.open(self.from, Some(client))?;
        let far = plan.open(peers_at, None)?;
        let peer = sockets::local(&plan.ports[far as usize].fd)?;
        plan.clients.push(Client {
            port: near,
            server: self.server,
            peer: Some(peer),
            framing,
            credentials: Arc::clone(&self.credentials),
            settings: self.settings,
            seed: seed()?,
            after: Duration::from_secs(number.into()) / self.options.setup_rate,
            turns: None,
            reach: self.reach(),
        });
        Ok((near, far, client))
    }

    /// Clients whose media goes past sockets, for so many workers; and the sockets of each, in the order of peers.
    pub(crate) fn clients(&self, workers: usize) -> Result<(Vec<Plan>, Vec<Pair>)> {
        let peers_at = self.peer_address()?;
        sockets::allow(2 * u64::from(self.options.clients))?;
        let mut plans: Vec<Plan> = (0..workers).map(|_| Plan::default()).collect();
        let mut pairs = Vec::with_capacity(self.options.clients as usize);
        for number in 0..self.options.clients {
            let plan = &mut plans[number as usize % workers];
            let (near, far, _) = self.pair(plan, number, Framing::Channel, peers_at)?;
            let local = |port: u32| sockets::local(&plan.ports[port as usize].fd);
            pairs.push(Pair { near: local(near)?, server: self.server, peer: local(far)? });
        }
        pairs.sort_unstable_by_key(|pair| pair.peer);
        Ok((plans, pairs))
    }

    /// Every client has a peer, and media flows between them.
    fn media(self, interrupt: &Interrupt) -> Result<Done> {
        let peers_at = self.peer_address()?;
        let Self { options, server, .. } = &self;
        let profile = &options.shape.profile;
        let tracks = profile.tracks();
        let sources: Vec<Source> = tracks.iter().cloned().map(Source::Profile).collect();
        let named = profile.to_string();
        Session::check(sources.iter().map(|source| (named.as_str(), source)))?;
        let ways = if options.direction == Direction::Both { 2.0 } else { 1.0 };
        let pps = tracks.iter().map(Track::packets_per_second).sum::<f64>() * f64::from(options.clients) * ways;
        sockets::allow(2 * u64::from(options.clients))?;
        let framing = if options.indications { Framing::Indication } else { Framing::Channel };
        let what = format!("{} at {server}, {profile} over {framing}", of(options.clients.into(), "TURN client"));
        let ramp = options.shape.ramp;
        let session = Session::new(self.options.common.clone(), interrupt)?;
        let cores = session.cores(2.0 * pps)?;
        let mut plans = plans(&cores);
        let mut streams = Streams { session: &session, sources: &sources, profile: named, next: 0 };
        for number in 0..self.options.clients {
            let plan = &mut plans[number as usize % cores.len()];
            let (near, far, client) = self.pair(plan, number, framing, peers_at)?;
            let (by_client, to_client) = (Route::ByClient { client }, Route::ToClient { port: far, client });
            if self.options.direction != Direction::ToClient {
                streams.add(plan, "to peer", number, by_client, to_client, far);
            }
            if self.options.direction != Direction::ToPeer {
                streams.add(plan, "to client", number, to_client, by_client, near);
            }
        }
        let mut terms = session.terms(session.expectation(), ramp);
        terms.impair = self.options.impair;
        let finding = session.run(plans, &cores, &terms)?;
        Ok((session, finding, what))
    }

    /// Clients come and go, at a rate.
    fn at_a_rate(self, interrupt: &Interrupt) -> Result<Done> {
        let Self { options, server, .. } = &self;
        let (server, rate, mode) = (*server, options.rate, options.mode);
        let hold = match (mode, options.hold) {
            (Mode::Churn, None) => CHURN_HOLD,
            (Mode::Churn | Mode::Allocations, Some(hold)) => hold,
            _ => Duration::ZERO,
        };
        // A client's turn should be over before its next one is due.
        let wanted = (hold + TURN_MARGIN).as_secs_f64() * f64::from(rate);
        ensure!(
            wanted <= 4.0 * f64::from(COMING_AND_GOING_MAX),
            "{rate} allocations a second that are kept for {hold:?} are {wanted:.0} at a time: this machine has ports for \
             {COMING_AND_GOING_MAX}; ask for a lower --rate or a shorter --hold"
        );
        let clients = (wanted as u32).clamp(1, COMING_AND_GOING_MAX);
        let peer = (mode == Mode::Churn).then(|| self.peer_address()).transpose()?;
        sockets::allow(u64::from(clients) * if peer.is_some() { 2 } else { 1 })?;
        let what = format!("{mode} at {server}, {rate} a second");
        let session = Session::new(self.options.common.clone(), interrupt)?;
        let cores = session.cores(PACKETS_PER_ALLOCATION * f64::from(rate))?;
        let mut plans = plans(&cores);
        for number in 0..clients {
            let plan = &mut plans[number as usize % cores.len()];
            let client = plan.clients.len() as u32;
            let port = plan.open(self.from, Some(client))?;
            let peer = match peer {
                Some(address) => {
                    let far = plan.open(address, None)?;
                    Some(sockets::local(&plan.ports[far as usize].fd)?)
                }
                None => None,
            };
            plan.clients.push(Client {
                port,
                server,
                peer,
                framing: Framing::Channel,
                credentials: Arc::clone(&self.credentials),
                settings: self.settings,
                seed: seed()?,
                after: Duration::from_secs(number.into()) / rate,
                turns: Some(Turns { every: Duration::from_secs(clients.into()) / rate, hold }),
                reach: self.reach(),
            });
        }
        let mut terms = session.terms(session.expectation(), None);
        terms.impair = self.options.impair;
        let finding = session.run(plans, &cores, &terms)?;
        Ok((session, finding, what))
    }

    /// Where relayed addresses may be.
    const fn reach(&self) -> Reach {
        Reach::of(self.options.common.i_own_this_target)
    }

    /// Where peers are.
    fn peer_address(&self) -> Result<IpAddr> {
        match self.options.peer_address {
            Some(address) => Ok(address),
            None if self.options.ipv6_relay == self.from.is_ipv6() => Ok(self.from),
            None => bail!(
                "clients and relayed addresses are of different families: name a --peer-address of the relayed one"
            ),
        }
    }
}

fn plans(cores: &[CoreId]) -> Vec<Plan> {
    cores.iter().map(|_| Plan::default()).collect()
}

/// Transaction ids must not be guessed by who could forge answers.
fn seed() -> Result<u128> {
    Ok(u128::from(getrandom::u64()?) << 64 | u128::from(getrandom::u64()?))
}

/// Numbers streams.
struct Streams<'a> {
    session: &'a Session,
    sources: &'a [Source],
    profile: String,
    next: u32,
}

impl Streams<'_> {
    fn add(&mut self, plan: &mut Plan, way: &str, client: u32, route: Route, back: Route, arrives_at: u32) {
        for source in self.sources {
            let stream = self.next;
            self.next += 1;
            let (run, clock, ssrc) = (self.session.run, self.session.timeline.clock(), self.session.ssrc(stream));
            plan.streams.push(Stream {
                source: source.clone(),
                call: stream,
                name: format!("{} client {client} {way}", self.profile),
                identity: Identity { run, stream, ssrc, clock },
                route,
                back: Some(back),
                arrives_at: Some(arrives_at),
                waits: false,
            });
        }
    }
}

impl Plan {
    fn open(&mut self, address: IpAddr, client: Option<u32>) -> Result<u32> {
        let fd = sockets::open(address)?;
        self.ports.push(Port { client, impaired: client.is_some(), ..Port::new(fd) });
        Ok(self.ports.len() as u32 - 1)
    }
}
