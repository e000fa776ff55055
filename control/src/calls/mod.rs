//! Commands of SIP proxies, carried out by the media core.

mod report;
mod settings;
mod tally;
mod translate;

use std::collections::HashMap;
use std::time::Duration;

use raceway_api::{RecordingState, ToRelay};
use raceway_dtls::{Certificate, Identity};
use raceway_media::{
    CallView, Calls, Event, RandomSource, Refusal, Reply, RequestId, Settings, SettingsError, recording_problem,
};
use raceway_ng::{Body, Command, Response, Statistics};
use raceway_units::{Instant, UnixTime};
use tokio::sync::oneshot::Sender;

use crate::admin::call::Call;
use crate::cdr::{Book, Record};
use crate::notify::Teller;

pub use report::suite as suite_name;
pub use settings::settings;
pub use tally::{Measured, Tally};

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub response: Response,
    /// What was not done of what was asked.
    pub warnings: Vec<String>,
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self { response, warnings: Vec::new() }
    }
}

/// A command whose outcome is not there yet.
#[derive(Debug)]
struct Waiting {
    reply: Sender<Outcome>,
    warnings: Vec<String>,
    /// Of a delete: that there is no such call is an error.
    fatal: bool,
    /// Of a delete: nothing of the call is told.
    fast: bool,
}

/// The kernel's clock and the wall's, read together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Monotonic.
    pub(crate) now: Instant,
    /// Since 1970.
    pub(crate) wall: UnixTime,
}

/// Calls, and the proxies that wait for what becomes of them.
#[derive(Debug)]
pub(crate) struct Desk {
    /// None while the configuration leaves no ports for media.
    calls: Option<Calls>,
    waiting: HashMap<RequestId, Waiting>,
    next: u64,
    tally: Tally,
    started: Instant,
    redact: bool,
    settings: Option<Settings>,
    workers: u16,
    book: Book,
    teller: Teller,
    certificate: Certified,
}

const NO_PORTS: &str = "turn.port_range leaves no ports for media: write [media] port_range";
/// How long new calls are told one certificate.
const CERTIFICATE_SERVES: Duration = Duration::from_secs(30 * 24 * 3600);
/// Before another one is tried to be made after that failed.
const CERTIFICATE_RETRY: Duration = Duration::from_secs(60);
const NO_RELAY: &str = "raceway-relay is not there";

impl Desk {
    /// No calls yet.
    ///
    /// # Errors
    /// Settings that the core does not take.
    pub(crate) fn new(
        settings: Option<Settings>,
        book: Book,
        teller: Teller,
        redact: bool,
        now: Instant,
    ) -> Result<Self, SettingsError> {
        let calls = settings.clone().map(|settings| Calls::new(settings, random())).transpose()?;
        let (waiting, tally, certificate) = (HashMap::new(), Tally::default(), Certified::default());
        Ok(Self {
            calls,
            waiting,
            next: 0,
            tally,
            started: now,
            redact,
            settings,
            workers: 1,
            book,
            teller,
            certificate,
        })
    }

    /// Takes over new settings; calls stay as they are.
    ///
    /// # Errors
    /// Settings that the core does not take; then nothing changes.
    pub(crate) fn reconfigure(&mut self, settings: Option<Settings>) -> Result<(), SettingsError> {
        // Without ports for media, calls that are there go on with those that they have.
        let Some(settings) = settings.map(|settings| Settings { workers: self.workers, ..settings }) else {
            return Ok(());
        };
        match &mut self.calls {
            Some(calls) => calls.reconfigure(settings.clone())?,
            calls @ None => *calls = Some(Calls::new(settings.clone(), random())?),
        }
        self.settings = Some(settings);
        Ok(())
    }

    /// Calls are spread over so many workers from now on.
    pub(crate) fn set_workers(&mut self, workers: u16) {
        self.workers = workers.max(1);
        let settings = self.settings.clone();
        self.reconfigure(settings).expect("the settings were taken before, and workers are none of their rules");
    }

    /// Carries out a command; `ready` says whether the relay is there and knows all that there is.
    pub(crate) fn handle_command(&mut self, clocks: Clocks, ready: bool, command: Command, reply: Sender<Outcome>) {
        // Whoever asked may have given up: then nobody wants the answer.
        if let Some(response) = self.answer_at_once(clocks, ready, &command) {
            let _ = reply.send(response.into());
            return;
        }
        let verb = command.verb();
        let (fatal, fast) = match &command {
            Command::Delete(delete) => (delete.fatal, delete.fast),
            _ => (true, false),
        };
        let mut warnings = Vec::new();
        let (Some(calls), Some(command)) = (&mut self.calls, translate::command(command, &mut warnings)) else {
            let reason = format!("command \"{}\" is not supported yet", verb.as_str());
            let _ = reply.send(Response::Error(reason).into());
            return;
        };
        self.certificate.renew(calls, clocks);
        self.next += 1;
        let request = RequestId(self.next);
        self.waiting.insert(request, Waiting { reply, warnings, fatal, fast });
        let before = calls.len();
        calls.handle_command(clocks.now, clocks.wall, request, command);
        self.tally.begun += calls.len().saturating_sub(before) as u64;
        self.settle(clocks);
    }

    /// The answer to what changes nothing, and to what cannot be done now.
    fn answer_at_once(&self, clocks: Clocks, ready: bool, command: &Command) -> Option<Response> {
        let Some(calls) = &self.calls else { return Some(Response::Error(NO_PORTS.to_owned())) };
        Some(match command {
            Command::List { limit } => {
                let names = calls.call_ids().take(*limit).map(str::to_owned).collect();
                body(Body { calls: Some(names), ..Body::default() })
            }
            Command::Statistics => body(Body { statistics: Some(self.statistics(clocks.now)), ..Body::default() }),
            Command::Query(query) => {
                let tags = [query.from_tag.as_deref(), query.to_tag.as_deref()];
                let known = calls.query(&query.call_id, tags[0], tags[1]);
                match known.and_then(|_| calls.query(&query.call_id, None, None)) {
                    Ok(view) => body(Body { call: Some(report::of(&view, tags, clocks)), ..Body::default() }),
                    Err(refusal) => refused(&refusal),
                }
            }
            _ if !ready => Response::Error(NO_RELAY.to_owned()),
            Command::Ping => Response::Pong,
            _ => return None,
        })
    }

    /// Does something with the calls, answers whoever can be answered then, and notes what happened.
    pub(crate) fn drive(&mut self, clocks: Clocks, act: impl FnOnce(&mut Calls)) {
        if let Some(calls) = &mut self.calls {
            act(calls);
            self.settle(clocks);
        }
    }

    fn settle(&mut self, clocks: Clocks) {
        let Some(calls) = &mut self.calls else { return };
        // Before the outcomes: one may add a warning to an answer.
        while let Some(event) = calls.poll_event() {
            self.teller.tell(clocks.wall, &event);
            if let Event::Ended { call, why } = &event
                && self.book.is_open()
            {
                let call = Call::new(call, clocks.now);
                self.book.write(Record { ended: clocks.wall.0, why: why.name().to_owned(), call });
            }
            if let Event::Recording { state: RecordingState::Failed(problem), request: Some(request), .. } = &event
                && let Some(waiting) = self.waiting.get_mut(request)
            {
                waiting.warnings.push(Refusal::Recording(*problem).to_string());
            }
            note(event, &mut self.tally, clocks.now, self.redact);
        }
        while let Some((request, outcome)) = calls.poll_outcome() {
            let Some(waiting) = self.waiting.remove(&request) else { continue };
            self.tally.refused += u64::from(outcome.is_err());
            waiting.answer(outcome, clocks);
        }
        self.tally.open = calls.len();
    }

    /// What the relay is to be told.
    pub(crate) fn poll_output(&mut self) -> Option<ToRelay<'static>> {
        self.calls.as_mut()?.poll_output()
    }

    /// When [`Calls::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.calls.as_ref()?.poll_timeout()
    }

    /// Calls that there are and were.
    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Every call.
    pub(crate) fn calls(&self) -> impl Iterator<Item = CallView> {
        self.calls.iter().flat_map(Calls::calls)
    }

    /// One call.
    pub(crate) fn call(&self, call_id: &str) -> Option<CallView> {
        self.calls.as_ref()?.query(call_id, None, None).ok()
    }

    fn statistics(&self, now: Instant) -> Statistics {
        use raceway_media::Ended;
        let tally = &self.tally;
        Statistics {
            sessions: tally.open as u64,
            uptime_s: now.since(self.started).as_secs(),
            managed: tally.ended.iter().sum::<u64>() + tally.open as u64,
            rejected: tally.refused,
            timed_out: tally.ended(Ended::Timeout),
            timed_out_silent: tally.ended(Ended::SilentTimeout),
            timed_out_offers: tally.ended(Ended::OfferTimeout),
            terminated: tally.ended(Ended::Deleted),
            forced: tally.ended(Ended::Terminated),
            packets: tally.packets,
            zero_way: tally.silent_streams,
            one_way: tally.one_way,
            duration_total_ms: tally.duration_ms,
            ..Statistics::default()
        }
    }
}

/// The certificate for DTLS that new calls are told.
#[derive(Debug, Default)]
struct Certified {
    /// When the next one is due; None: there was none yet.
    due: Option<Instant>,
}

impl Certified {
    /// Gives the calls a new certificate when there is none or it has served for a while. Nothing of it is kept on disk:
    /// keys of calls lie in the relay.
    fn renew(&mut self, calls: &mut Calls, clocks: Clocks) {
        if self.due.is_some_and(|due| clocks.now < due) {
            return;
        }
        let identity = Certificate::generate(clocks.wall).and_then(|certificate| Identity::new(&certificate));
        let made = identity.and_then(|identity| calls.set_identity(identity));
        if let Err(error) = &made {
            tracing::warn!(%error, "no certificate could be made: offers that need DTLS are refused");
        }
        let serves = if made.is_ok() { CERTIFICATE_SERVES } else { CERTIFICATE_RETRY };
        self.due = Some(clocks.now.after(serves));
    }
}

fn random() -> RandomSource {
    Box::new(|octets| getrandom::fill(octets).expect("the kernel has random numbers once it has booted"))
}

impl Waiting {
    fn answer(self, outcome: Result<Reply, Refusal>, clocks: Clocks) {
        let mut warnings = self.warnings;
        let response = match outcome {
            Ok(Reply::Sdp(sdp)) => body(Body { sdp: Some(sdp), ..Body::default() }),
            Ok(Reply::Subscribed { sdp, from_tags, to_tag }) => {
                body(Body { sdp: Some(sdp), from_tags, to_tag: Some(to_tag), ..Body::default() })
            }
            Ok(Reply::Deleted(_)) if self.fast => Response::ok(),
            Ok(Reply::Deleted(view)) => told(&view, clocks),
            Ok(Reply::Done) => Response::ok(),
            Err(refusal @ (Refusal::UnknownCall(_) | Refusal::UnknownParty { .. })) if !self.fatal => {
                warnings.push(refusal.to_string());
                Response::ok()
            }
            Err(refusal) => refused(&refusal),
        };
        let _ = self.reply.send(Outcome { response, warnings });
    }
}

fn body(body: Body) -> Response {
    Response::Ok(Box::new(body))
}

fn told(view: &CallView, clocks: Clocks) -> Response {
    body(Body { call: Some(report::call(view, clocks)), ..Body::default() })
}

/// What there is too much of is told in another way, so that a proxy goes elsewhere.
fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::CallsExhausted(_) | Refusal::PortsExhausted { .. } | Refusal::Draining => {
            Response::LoadLimit(refusal.to_string())
        }
        other => Response::Error(other.to_string()),
    }
}

/// Counts and logs what happened without a command.
fn note(event: Event, tally: &mut Tally, now: Instant, redact: bool) {
    let shown = |text: &str| if redact { "***".to_owned() } else { text.to_owned() };
    match event {
        Event::Ended { call, why } => {
            tally.note(&call, why, now);
            let seconds = now.since(call.created_at).as_secs();
            tracing::info!(call = shown(&call.call_id), why = why.name(), seconds, "a call has ended");
        }
        // Not which one: people press the numbers of cards. Who is to know them is told (`[ng] notify`, `dtmf_log_dest`).
        Event::Dtmf { call_id, tag, .. } => {
            tracing::debug!(call = shown(&call_id), party = shown(&tag), "a key was pressed");
        }
        Event::OneWay { call_id, tag } => {
            tracing::warn!(call = shown(&call_id), party = shown(&tag), "a party is not heard, while another one is");
        }
        Event::DtlsFailed { call_id, tag, reason } => {
            tracing::warn!(call = shown(&call_id), party = shown(&tag), reason, "no keys by DTLS: no media");
        }
        Event::Recording { call_id, stem, state, .. } => match state {
            RecordingState::Failed(problem) => {
                let problem = recording_problem(problem);
                tracing::error!(call = shown(&call_id), recording = stem, problem, "a call is not recorded");
            }
            RecordingState::Writing | RecordingState::Beginning => {
                tracing::info!(call = shown(&call_id), recording = stem, "a call is recorded again");
            }
        },
        Event::KeyExhausted { call_id, tag } => {
            tracing::warn!(call = shown(&call_id), party = shown(&tag), "an SRTP key is used up: its media stops");
        }
    }
}
