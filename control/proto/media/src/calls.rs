//! The calls: what comes in, what goes out.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use raceway_api::{Operation, SessionId, ToRelay};
use raceway_ports::{Random, RandomSource};
use raceway_units::{Instant, UnixTime};

use crate::call::{Call, PartyId};
use crate::command::{Command, Reply, RequestId};
use crate::dtls::Identities;
use crate::event::Event;
use crate::ice::Agents;
use crate::interfaces::Interfaces;
use crate::limits;
use crate::measured::Measurements;
use crate::recording::Beginning;
use crate::refusal::Refusal;
use crate::restore::Restoring;
use crate::settings::{Settings, SettingsError};
use crate::transaction::Pending;
use crate::view::{self, CallView};

/// Sessions and transactions of calls have this bit, those of TURN do not.
pub(crate) const MEDIA: u64 = 1 << 63;

/// Whether a session is a call.
#[must_use]
pub const fn is_media(session: SessionId) -> bool {
    session.0 & MEDIA != 0
}

/// Whether a transaction is one of calls.
#[must_use]
pub const fn is_media_transaction(transaction: u64) -> bool {
    transaction & MEDIA != 0
}

/// Calls as a media proxy knows them, without I/O.
///
/// After each call that takes `&mut self`, take [`poll_output`](Self::poll_output), [`poll_outcome`](Self::poll_outcome)
/// and [`poll_event`](Self::poll_event) until they are empty; call [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout).
///
/// A command changes a call as a whole: it is refused at once, or the relay is told, and the outcome comes when that
/// has done everything. If the relay cannot, the call is as it was before. Commands for one call are taken in turn.
pub struct Calls {
    pub(crate) settings: Settings,
    pub(crate) interfaces: Interfaces,
    pub(crate) random: Random,
    pub(crate) identities: Identities,
    pub(crate) held: HashMap<SessionId, Box<Held>, RandomState>,
    pub(crate) by_call_id: HashMap<Arc<str>, SessionId, RandomState>,
    /// Addresses of calls whose STUN is taken.
    pub(crate) by_local: HashMap<SocketAddr, SessionId, RandomState>,
    pub(crate) due: BTreeSet<(Instant, SessionId)>,
    pub(crate) transactions: HashMap<u64, SessionId, RandomState>,
    /// The last that nobody waits for, in order.
    pub(crate) upkeep: VecDeque<(u64, SessionId)>,
    pub(crate) restoring: Restoring,
    pub(crate) next_session: u64,
    pub(crate) next_transaction: u64,
    pub(crate) now: Instant,
    pub(crate) draining: bool,
    /// There is no relay to tell anything.
    pub(crate) away: bool,
    /// Calls that ended meanwhile, or may have been made.
    pub(crate) removed: Vec<SessionId>,
    pub(crate) output: VecDeque<ToRelay<'static>>,
    pub(crate) outcomes: VecDeque<(RequestId, Result<Reply, Refusal>)>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) reinstall: Vec<SessionId>,
}

/// A call with what goes on around it.
#[derive(Debug)]
pub(crate) struct Held {
    pub call: Call,
    pub measured: Measurements,
    pub agents: Agents,
    pub pending: Option<Box<Pending>>,
    pub waiting: VecDeque<(RequestId, UnixTime, Command)>,
    /// What waits for a recording to begin.
    pub beginning: Option<Box<Beginning>>,
    /// Its entry among what is due.
    pub due: Instant,
    /// When its counters are asked for.
    pub report_at: Instant,
    /// The relay could not do something for it: it is told all of it again.
    pub untold: bool,
    /// Parties that are not heard and of whom that was told.
    pub unheard: Vec<PartyId>,
}

impl Held {
    pub fn new(call: Call, measured: Measurements, now: Instant) -> Self {
        Self {
            call,
            measured,
            agents: Agents::default(),
            pending: None,
            waiting: VecDeque::new(),
            beginning: None,
            due: now,
            report_at: now.after(limits::REPORT_INTERVAL),
            untold: false,
            unheard: Vec::new(),
        }
    }
}

impl Calls {
    /// None yet.
    ///
    /// # Errors
    /// The first rule that the settings break.
    pub fn new(settings: Settings, random: RandomSource) -> Result<Self, SettingsError> {
        settings.check()?;
        let mut interfaces = Interfaces::default();
        interfaces.configure(&settings);
        Ok(Self {
            settings,
            interfaces,
            random: Random::new(random),
            identities: Identities::default(),
            held: HashMap::default(),
            by_call_id: HashMap::default(),
            by_local: HashMap::default(),
            due: BTreeSet::new(),
            transactions: HashMap::default(),
            upkeep: VecDeque::new(),
            restoring: Restoring::default(),
            next_session: MEDIA | 1,
            next_transaction: MEDIA,
            now: Instant::default(),
            draining: false,
            away: false,
            removed: Vec::new(),
            output: VecDeque::new(),
            outcomes: VecDeque::new(),
            events: VecDeque::new(),
            reinstall: Vec::new(),
        })
    }

    /// Takes over new settings; calls stay as they are, on the interfaces that they have.
    ///
    /// # Errors
    /// The first rule that the settings break; then nothing changes.
    pub fn reconfigure(&mut self, settings: Settings) -> Result<(), SettingsError> {
        settings.check()?;
        self.interfaces.configure(&settings);
        self.settings = settings;
        Ok(())
    }

    /// While draining, new calls are refused; those that are there go on.
    pub const fn drain(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// A command. Its outcome comes from [`poll_outcome`](Self::poll_outcome), now or when the relay has answered.
    pub fn handle_command(&mut self, now: Instant, wall: UnixTime, request: RequestId, command: Command) {
        self.handle_timeout(now);
        let session = self.by_call_id.get(command.call_id()).copied();
        if let Some(held) = session.and_then(|session| self.held.get_mut(&session))
            && held.pending.is_some()
        {
            if held.waiting.len() >= limits::WAITING_MAX {
                let refusal = Refusal::Busy(command.call_id().to_owned());
                return self.outcomes.push_back((request, Err(refusal)));
            }
            return held.waiting.push_back((request, wall, command));
        }
        self.run(wall, request, command);
    }

    /// What a command came to.
    pub fn poll_outcome(&mut self) -> Option<(RequestId, Result<Reply, Refusal>)> {
        self.outcomes.pop_front()
    }

    /// What the relay is to be told: `Apply`, and `Report` of one session.
    pub fn poll_output(&mut self) -> Option<ToRelay<'static>> {
        while self.output.is_empty() {
            let session = self.reinstall.pop()?;
            self.say_again(session);
        }
        self.output.pop_front()
    }

    /// What happened to calls.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The relay is there, or there again: says all calls to it, as [`poll_output`](Self::poll_output) is called, and which
    /// ended meanwhile.
    pub fn reinstall(&mut self) {
        self.away = false;
        for session in std::mem::take(&mut self.removed) {
            self.tell(session, vec![Operation::RemoveSession], false);
        }
        self.reinstall = self.held.keys().copied().collect();
    }

    /// Calls held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Names of all calls, in no order.
    pub fn call_ids(&self) -> impl Iterator<Item = &str> {
        self.held.values().map(|held| &*held.call.call_id)
    }

    /// All calls, in no order.
    pub fn calls(&self) -> impl Iterator<Item = CallView> {
        self.held.values().map(|held| view::call(&held.call, &held.measured, |_| true))
    }

    /// One call, or some parties of it: the one with `from_tag`, also the one with `to_tag`.
    ///
    /// # Errors
    /// [`Refusal::UnknownCall`], [`Refusal::UnknownParty`].
    pub fn query(&self, call_id: &str, from_tag: Option<&str>, to_tag: Option<&str>) -> Result<CallView, Refusal> {
        let unknown = || Refusal::UnknownCall(call_id.to_owned());
        let session = self.by_call_id.get(call_id).ok_or_else(unknown)?;
        let held = self.held.get(session).ok_or_else(unknown)?;
        for (what, tag) in [("from-tag", from_tag), ("to-tag", to_tag)] {
            if let Some(tag) = tag.filter(|tag| held.call.by_tag(tag).is_none()) {
                return Err(Refusal::UnknownParty { what, value: tag.to_owned(), call_id: call_id.to_owned() });
            }
        }
        let wanted: Vec<&str> = [from_tag, to_tag].into_iter().flatten().collect();
        Ok(view::call(&held.call, &held.measured, |party| {
            wanted.is_empty() || wanted.iter().any(|tag| party.has_tag(tag))
        }))
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").field("calls", &self.len()).finish_non_exhaustive()
    }
}
