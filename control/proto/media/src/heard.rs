//! What the relay and the clock say of calls.

use std::time::Duration;

use raceway_api::{LegEvent, LegId, SessionId, SessionReport, ToRelay};
use raceway_quality::Codec;
use raceway_units::Instant;

use crate::call::{Call, Party};
use crate::calls::{Calls, Held};
use crate::event::{Ended, Event};
use crate::limits;
use crate::plan::Plan;

/// Silence of one party, while another one is heard, after which it is told.
const ONE_WAY: Duration = Duration::from_secs(10);
/// Time until what was due while a command was under way is looked at again.
const BUSY: Duration = Duration::from_millis(10);
/// How lately the other one was heard.
const HEARD: Duration = Duration::from_secs(3);

impl Calls {
    /// Something happened on a leg.
    pub fn handle_leg_event(&mut self, now: Instant, session: SessionId, leg: LegId, event: &LegEvent) {
        self.now = self.now.max(now);
        let Some(held) = self.held.get_mut(&session) else { return };
        let Some((party, _, _)) = held.call.stream(leg) else { return };
        let (call_id, tag) = (held.call.call_id.to_string(), party.tag().to_owned());
        match *event {
            LegEvent::Dtmf(dtmf) => {
                let source = held.measured.live(leg).and_then(|live| live.rtp);
                let label = party.label.as_deref().map(str::to_owned);
                let tags = held.call.parties.iter().map(|party| party.tag().to_owned());
                let tags = tags.filter(|tag| !tag.is_empty()).collect();
                self.events.push_back(Event::Dtmf { call_id, tag, label, tags, source, dtmf });
            }
            LegEvent::KeyExhausted { .. } => self.events.push_back(Event::KeyExhausted { call_id, tag }),
            LegEvent::FirstPacket { .. } | LegEvent::Rollover(_) => held.measured.event(leg, event),
            // A report says it again.
            LegEvent::Learned { .. } | LegEvent::Translated if held.pending.is_some() => {}
            LegEvent::Learned { .. } | LegEvent::Translated => {
                let before = Plan::of(&held.call, &held.measured, &self.interfaces);
                held.measured.event(leg, event);
                let operations = before.towards(&Plan::of(&held.call, &held.measured, &self.interfaces));
                self.tell(session, operations, false);
            }
        }
    }

    /// What the relay measured of a call.
    pub fn handle_report(&mut self, now: Instant, report: &SessionReport<'_>) {
        self.now = self.now.max(now);
        if let Some(recording) = &report.recording {
            self.report_recording(report.id, recording);
        }
        let Some(held) = self.held.get_mut(&report.id) else { return };
        let before = Plan::of(&held.call, &held.measured, &self.interfaces);
        let Held { call, measured, pending, .. } = &mut **held;
        // What the relay said before it carried out a command may be of addresses that are past.
        let is_known = |leg| {
            pending.is_some() || call.stream(leg).is_some_and(|(party, _, stream)| party.carrier(stream).ice.is_some())
        };
        let changed = measured.report(report, |leg, payload_type| codec(call, leg, payload_type), is_known);
        let translates = pending.is_none() && measured.translating(report);
        one_way(held, self.now).for_each(|event| self.events.push_back(event));
        if changed || translates {
            let operations = before.towards(&Plan::of(&held.call, &held.measured, &self.interfaces));
            self.tell(report.id, operations, false);
        }
    }

    /// The relay let a call expire.
    pub fn handle_expired(&mut self, now: Instant, session: SessionId) {
        self.now = self.now.max(now);
        self.ended(session, None, Ended::Expired);
    }

    /// Ends a call by hand. False if there is none of that name.
    pub fn terminate(&mut self, now: Instant, call_id: &str) -> bool {
        self.now = self.now.max(now);
        let Some(&session) = self.by_call_id.get(call_id) else { return false };
        if self.held.get(&session).is_some_and(|held| held.pending.is_none()) {
            self.end(session, None, Ended::Terminated);
        } else if let Some(held) = self.held.get_mut(&session) {
            held.call.ends_at = Some(self.now);
        }
        true
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Looks at calls whose time has come: asks for their counters, and ends those that are silent.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(&(at, session)) = self.due.first()
            && at <= self.now
        {
            self.due.pop_first();
            self.look(session);
            self.reschedule(session);
        }
    }

    fn look(&mut self, session: SessionId) {
        self.time_agents(session);
        self.time_recording(session);
        let Some(held) = self.held.get(&session) else { return };
        let is_due = held.report_at <= self.now || held.call.ends_at.is_some_and(|at| at <= self.now);
        if held.pending.is_some() || !is_due {
            return;
        }
        if let Some(why) = over(held, &self.settings, self.now) {
            return self.end(session, None, why);
        }
        let (expires, flows_end) = (held.call.expires_at.since(self.now), held.call.flows_end_at.since(self.now));
        if expires < limits::LIFETIME / 2 || flows_end < self.flow_lifetime() / 2 {
            let mut call = held.call.clone();
            call.flows_end_at = self.now.after(self.flow_lifetime());
            if expires < limits::LIFETIME / 2 {
                call.expires_at = self.now.after(limits::LIFETIME);
            }
            let operations = self.replace(session, call);
            self.tell(session, operations, false);
        }
        let next = self.now.after(self.report_interval());
        let Some(held) = self.held.get_mut(&session) else { return };
        held.report_at = next;
        if std::mem::take(&mut held.untold) {
            self.say_again(session);
        }
        if !self.away {
            self.output.push_back(ToRelay::Report { session: Some(session) });
        }
    }

    /// When a call is looked at next.
    pub(crate) fn reschedule(&mut self, session: SessionId) {
        let Some(held) = self.held.get_mut(&session) else { return };
        self.due.remove(&(held.due, session));
        let ends_at = held.call.ends_at.filter(|at| *at > self.now);
        let next = [Some(held.report_at), ends_at, held.agents.due()].into_iter().flatten().min();
        // What is due and cannot be done now, since a command is under way, is tried again soon.
        let soon = self.now.after(if held.pending.is_some() { BUSY } else { Duration::from_nanos(1) });
        held.due = next.map_or(soon, |next| next.max(soon));
        self.due.insert((held.due, session));
    }

    /// Time between two looks at counters: the more calls there are, the longer.
    pub(crate) fn report_interval(&self) -> Duration {
        let interval = Duration::from_nanos(self.held.len() as u64 * 1_000_000_000 / limits::REPORTS_PER_SECOND);
        interval.max(limits::REPORT_INTERVAL)
    }

    /// How long exact flows go on without being told again.
    pub(crate) fn flow_lifetime(&self) -> Duration {
        limits::FLOW_LIFETIME.max(limits::LOOKS_PER_FLOW * self.report_interval())
    }
}

/// Whether a call is over, and why.
fn over(held: &Held, settings: &crate::Settings, now: Instant) -> Option<Ended> {
    let call = &held.call;
    if call.ends_at.is_some_and(|at| at <= now) {
        return Some(Ended::Deleted);
    }
    let last = held.measured.last_packet().max(Some(call.signal)).unwrap_or(call.signal);
    let (limit, why) = match (call.answered, call.is_silent()) {
        (false, _) => (settings.offer_timeout, Ended::OfferTimeout),
        (true, true) => (settings.silent_timeout, Ended::SilentTimeout),
        (true, false) => (settings.timeout, Ended::Timeout),
    };
    (now.since(last) >= limit).then_some(why)
}

/// What a party sends, for the E-model.
fn codec(call: &Call, leg: LegId, payload_type: u8) -> Option<Codec> {
    let (_, _, stream) = call.stream(leg)?;
    match stream.formats.iter().find(|format| format.payload_type == payload_type)?.codec {
        raceway_api::Codec::Pcmu | raceway_api::Codec::Pcma => Some(Codec::G711),
        raceway_api::Codec::G722 => Some(Codec::G722),
        raceway_api::Codec::Opus => Some(Codec::Opus),
        _ => None,
    }
}

/// Parties that should be heard and are not, while another one is; each is told once, and again after it was heard.
fn one_way(held: &mut Held, now: Instant) -> impl Iterator<Item = Event> + use<> {
    let Held { call, measured, unheard, .. } = held;
    let heard_at = |party: &Party| {
        let legs = party.streams.iter().flatten().filter_map(|stream| measured.leg(stream.leg));
        legs.filter_map(|leg| leg.quality()?.last_rtp).max()
    };
    let mut events = Vec::new();
    for party in call.parties.iter().filter(|_| call.answered) {
        let Some(peer) = party.peer.and_then(|peer| call.party(peer)) else { continue };
        let should_send = party.streams.iter().zip(&peer.streams).any(|(ours, theirs)| {
            ours.as_ref().is_some_and(|ours| ours.direction.sends())
                && theirs.as_ref().is_some_and(|theirs| theirs.direction.receives())
        });
        let last = heard_at(party).max(Some(call.signal)).unwrap_or(call.signal);
        let other_is_heard = heard_at(peer).is_some_and(|at| now.since(at) < HEARD);
        let is_unheard = should_send && other_is_heard && now.since(last) >= ONE_WAY;
        let was_told = unheard.contains(&party.id);
        if is_unheard && !was_told {
            unheard.push(party.id);
            events.push(Event::OneWay { call_id: call.call_id.to_string(), tag: party.tag().to_owned() });
        }
        if was_told && now.since(last) < ONE_WAY {
            unheard.retain(|told| *told != party.id);
        }
    }
    events.into_iter()
}
