//! `call`: calls through a relay that takes rtpengine's ng commands, with media both ways between parties that are both here;
//! or commands alone.

mod churn;
mod media;
mod signalling;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use raceway_loadgen_core::call::{
    Course, Event, Figures, Formats, Pace, Party, Settings, Switchboard, Timing, Told, Transport,
};
use raceway_loadgen_core::limits::CALLS_MAX;
use raceway_loadgen_core::report::{CallSummary, Effort, Report, Validity};
use raceway_loadgen_report::words::of;
use raceway_srtp::{MasterKey, Suite};
use raceway_units::Instant;

use crate::cli::Call;
use crate::crew::BackEnd;
use crate::result;
use crate::session::{Finding, Interrupt, Session};
use crate::target::{Reach, local_towards};
use signalling::Signalling;

/// How long deletions may take in the end.
const CLOSING: Duration = Duration::from_secs(10);
/// Ports that parties without media say they have, on each side: none of them is opened.
const SAID_PORTS: u32 = 20_000;
const FIRST_SAID_PORT: u32 = 10_000;

/// Runs `call`.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Call, interrupt: &Interrupt) -> Result<Report> {
    let calls = options.calls.unwrap_or(1);
    ensure!(calls > 0, "--calls 0: there is nobody to call");
    ensure!(calls <= CALLS_MAX, "--calls {calls}: {CALLS_MAX} at most");
    ensure!(
        options.calls.is_none() || !options.churn || options.set_up_only,
        "--calls with --churn: how many there are at a time follows from --rate and --hold"
    );
    ensure!(
        options.common.backend != BackEnd::Xdp,
        "--backend xdp is for `rtp`, `sink` and media of `turn`: calls go through sockets"
    );
    ensure!(
        options.hold.is_none() || options.churn,
        "--hold is for --churn: other calls stay until the end of the run"
    );
    let relay = options.ng.resolve_one(options.common.i_own_this_target)?;
    let from = local_towards(relay)?;
    let socket = signalling::connect(relay, from)?;
    let session = Session::new(options.common.clone(), interrupt)?;
    let run = Run { relay, from, session, calls, options };
    if run.options.set_up_only { run.commands(socket, interrupt) } else { run.media(socket, interrupt) }
}

/// A run of calls.
struct Run {
    relay: SocketAddr,
    from: IpAddr,
    session: Session,
    calls: u32,
    options: Call,
}

impl Run {
    fn settings(&self) -> Settings {
        let window = if self.options.churn {
            self.options.window.min(NonZeroU32::new(self.calls).unwrap_or(NonZeroU32::MIN))
        } else {
            self.options.window
        };
        Settings {
            run: self.session.run,
            formats: Formats::of(&self.options.shape.profile),
            pace: self.options.rate.map_or(Pace::Window(window), Pace::PerSecond),
            course: if self.options.churn {
                Course::Again(self.options.hold.unwrap_or_default())
            } else {
                Course::Stay
            },
            timing: Timing::default(),
            begin: self.session.timeline.now(),
        }
    }

    /// Where the parties are.
    fn addresses(&self) -> [IpAddr; 2] {
        let Call { caller_address, callee_address, .. } = &self.options;
        [caller_address.unwrap_or(self.from), callee_address.or(*caller_address).unwrap_or(self.from)]
    }

    /// The parties of a call with these addresses.
    fn parties(&self, media: [SocketAddr; 2]) -> Result<[Party; 2]> {
        let Call { offer_transport, answer_transport, suite, .. } = &self.options;
        let party = |media, transport| {
            let key = (transport == Transport::Savp).then(|| key(*suite)).transpose()?;
            Ok::<_, anyhow::Error>(Party { media, key })
        };
        Ok([party(media[0], *offer_transport)?, party(media[1], *answer_transport)?])
    }

    /// In words.
    fn what(&self, calls: &str) -> String {
        let Call { offer_transport, answer_transport, shape, set_up_only, .. } = &self.options;
        let media = if *set_up_only { String::new() } else { format!(", {}", shape.profile) };
        format!("{calls} through {}, {offer_transport} to {answer_transport}{media}", self.relay)
    }

    /// Commands alone: calls that stay without media, or come and go.
    fn commands(self, socket: UdpSocket, interrupt: &Interrupt) -> Result<Report> {
        let addresses = self.addresses();
        let parties = (0..self.calls).map(|call| {
            let port = |side| (FIRST_SAID_PORT + side * SAID_PORTS + 2 * call % SAID_PORTS) as u16;
            self.parties([SocketAddr::new(addresses[0], port(0)), SocketAddr::new(addresses[1], port(1))])
        });
        let parties: Vec<_> = parties.collect::<Result<_>>()?;
        let board = Switchboard::new(self.settings(), parties.into_iter());
        let mut signalling = Signalling::new(&self.session, interrupt, socket, self.relay, board);
        let begin = self.session.timeline.now();
        let duration = self.options.common.duration;
        if self.options.churn {
            signalling.work("calls come and go", Some(begin.after(duration)), true, |_| false, ignore)?;
        } else {
            signalling.work("setting up", None, true, Switchboard::are_settled, ignore)?;
            let idle_from = self.session.timeline.now();
            if !interrupt.is_set() && signalling.figures().answered > 0 {
                signalling.work("calls without media", Some(idle_from.after(duration)), true, |_| false, ignore)?;
            }
        }
        let length = self.session.timeline.now().since(begin);
        self.close(&mut signalling)?;
        some(signalling.figures(), interrupt)?;
        let finding =
            Finding { outcomes: Vec::new(), totals: Default::default(), length, interrupted: interrupt.is_set() };
        let what = match (self.options.churn, self.calls) {
            (true, calls) => format!("calls without media, set up and deleted, {calls} at a time,"),
            (false, calls) => format!("{} without media", of(calls.into(), "call")),
        };
        let mut report = result::report(&self.session, &finding, self.what(&what));
        let (lateness, busy) = signalling.effort();
        report.validity = Validity::judge(&Effort {
            lateness,
            due: lateness.count,
            taken: lateness.count,
            refused: 0,
            busy,
            allowed: self.options.common.lateness,
        });
        Ok(self.finish(report, &signalling))
    }

    /// Calls with media.
    fn media(self, socket: UdpSocket, interrupt: &Interrupt) -> Result<Report> {
        if self.options.churn {
            let (signalling, finding, what) = churn::run(&self, socket, interrupt)?;
            let report = result::report(&self.session, &finding, self.what(&what));
            return Ok(self.finish(report, &signalling));
        }
        let mut desk = media::Desk::open(&self, self.calls)?;
        let board = Switchboard::new(self.settings(), desk.parties().into_iter());
        let mut signalling = Signalling::new(&self.session, interrupt, socket, self.relay, board);
        let up = |event, _| {
            if let Event::Up { call, told, .. } = event {
                reachable(&self, &told)?;
                desk.connect(call, *told);
            }
            Ok(())
        };
        let set_up = signalling.work("setting up", None, true, Switchboard::are_settled, up);
        let finding = set_up.and_then(|()| {
            some(signalling.figures(), interrupt)?;
            desk.run(&self)
        });
        let closed = self.close(&mut signalling);
        let finding = finding?;
        closed?;
        let calls = of(self.calls.into(), "call");
        let report = result::report(&self.session, &finding, self.what(&calls));
        Ok(self.finish(report, &signalling))
    }

    /// Deletes what is up, within a time.
    fn close(&self, signalling: &mut Signalling) -> Result<()> {
        signalling.board().stop();
        let until = self.session.timeline.now().after(CLOSING);
        signalling.work("deleting", Some(until), false, Switchboard::are_over, ignore)
    }

    fn finish(&self, mut report: Report, signalling: &Signalling) -> Report {
        report.call = Some(CallSummary::of(signalling.figures()));
        if let Some(expectations) = &self.options.common.expect {
            report.expectations = expectations.evaluate(&report);
        }
        report
    }
}

/// What a relay names is held to the same ranges as what the operator names.
fn reachable(run: &Run, told: &[Told; 2]) -> Result<()> {
    let reach = Reach::of(run.options.common.i_own_this_target);
    match told.iter().find(|told| !reach.allows(told.to.ip())) {
        None => Ok(()),
        Some(told) => bail!(
            "the relay has media at {}, outside loopback and private ranges: if it is yours to load, say \
             --i-own-this-target",
            told.to
        ),
    }
}

fn ignore(_: Event, _: Instant) -> Result<()> {
    Ok(())
}

/// At least one call was made; else why none was.
fn some(figures: &Figures, interrupt: &Interrupt) -> Result<()> {
    if figures.answered > 0 || interrupt.is_set() {
        return Ok(());
    }
    let worst = figures.failures.iter().max_by_key(|(_, count)| **count);
    let (why, _) = worst.context("no call was made")?;
    bail!("no call was made: the relay refuses ({why})")
}

/// A key that nobody has used.
fn key(suite: Suite) -> Result<MasterKey> {
    let mut octets = [0; 46];
    getrandom::fill(&mut octets).context("the system gives no random numbers")?;
    let (key, rest) = octets.split_at(suite.key_octets());
    Ok(MasterKey::new(suite, key, &rest[..suite.salt_octets()])?)
}
