//! `turn`: media through a TURN server, between clients and peers that are both here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use raceway_loadgen_core::report::Report;
use raceway_loadgen_core::turn::{Credentials, Family, Settings};
use raceway_loadgen_core::{Identity, Track};
use raceway_units::UnixTime;

use crate::cli::{Direction, Turn};
use crate::plan::{Client, Framing, Plan, Port, Route, Stream};
use crate::result;
use crate::session::Session;
use crate::sockets;
use crate::target::local_towards;

/// How much longer than a run credentials from a shared secret are good.
const CREDENTIALS_MARGIN: Duration = Duration::from_secs(3600);

/// Runs `turn`.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Turn) -> Result<Report> {
    ensure!(options.clients > 0, "--clients 0: there is nobody to allocate");
    let server = options.server.resolve_one(options.common.i_own_this_target)?;
    let credentials = Arc::new(credentials(&options)?);
    let session = Session::new(options.common)?;
    let tracks = session.tracks(&options.shape.profile)?;
    let ways = if options.direction == Direction::Both { 2.0 } else { 1.0 };
    let pps: f64 = tracks.iter().map(Track::packets_per_second).sum::<f64>() * f64::from(options.clients) * ways;
    let cores = session.cores(2.0 * pps)?;
    sockets::allow(2 * u64::from(options.clients))?;

    let from = local_towards(server)?;
    let peer_address = match options.peer_address {
        Some(address) => address,
        None if options.ipv6_relay == from.is_ipv6() => from,
        None => {
            bail!("clients and relayed addresses are of different families: name a --peer-address of the relayed one")
        }
    };
    let settings = Settings { family: if options.ipv6_relay { Family::V6 } else { Family::V4 }, ..Settings::default() };
    let mut plans: Vec<Plan> = cores.iter().map(|_| Plan::default()).collect();
    let mut builder =
        Builder { session: &session, tracks: &tracks, profile: options.shape.profile.to_string(), stream: 0 };
    for number in 0..options.clients {
        let plan = &mut plans[number as usize % cores.len()];
        let client = plan.clients.len() as u32;
        let near = plan.open(from, Some(client))?;
        let far = plan.open(peer_address, None)?;
        let peer = sockets::local(&plan.ports[far as usize].fd)?;
        plan.clients.push(Client {
            port: near,
            server,
            peer: Some(peer),
            framing: if options.indications { Framing::Indication } else { Framing::Channel },
            credentials: Arc::clone(&credentials),
            settings,
            seed: u128::from(session.random(1_000 + u64::from(number))) << 64 | u128::from(getrandom::u64()?),
            after: Duration::from_secs(number.into()) / options.setup_rate,
        });
        if options.direction != Direction::ToClient {
            builder.add(plan, "to peer", number, Route::ByClient { client }, far);
        }
        if options.direction != Direction::ToPeer {
            builder.add(plan, "to client", number, Route::ToClient { port: far, client }, near);
        }
    }
    let terms = session.terms(session.expectation(), options.shape.ramp);
    let finding = session.run(plans, &cores, &terms)?;
    let (clients, profile) = (options.clients, &options.shape.profile);
    let how = if options.indications { "indications" } else { "channels" };
    let what = format!("{clients} TURN clients at {}, {profile} over {how}", options.server);
    Ok(result::report(&session, &finding, what))
}

fn credentials(options: &Turn) -> Result<Credentials> {
    match (&options.secret, &options.password) {
        (Some(secret), _) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
            let expires = now + options.common.duration + CREDENTIALS_MARGIN;
            Ok(Credentials::from_secret(secret, &options.user, UnixTime(expires.as_secs())))
        }
        (None, Some(password)) => Credentials::new(&options.user, password).context("--user and --password"),
        (None, None) => bail!("who is the client? Give --user with --password, or --secret"),
    }
}

/// Numbers streams.
struct Builder<'a> {
    session: &'a Session,
    tracks: &'a [Track],
    profile: String,
    stream: u32,
}

impl Builder<'_> {
    fn add(&mut self, plan: &mut Plan, way: &str, client: u32, route: Route, arrives_at: u32) {
        for track in self.tracks {
            let stream = self.stream;
            self.stream += 1;
            let (run, clock, ssrc) = (self.session.run, self.session.timeline.clock(), self.session.ssrc(stream));
            plan.streams.push(Stream {
                track: track.clone(),
                name: format!("{} client {client} {way}", self.profile),
                identity: Identity { run, stream, ssrc, clock },
                route,
                arrives_at: Some(arrives_at),
            });
        }
    }
}

impl Plan {
    fn open(&mut self, address: std::net::IpAddr, client: Option<u32>) -> Result<u32> {
        let fd = sockets::open_at(SocketAddr::new(address, 0))?;
        self.ports.push(Port { fd, client });
        Ok(self.ports.len() as u32 - 1)
    }
}
