//! Commands as transactions with the relay: all of one, or nothing.

use std::sync::Arc;

use raceway_api::{LegId, Operation, OperationError, SessionId, ToRelay};
use raceway_units::{Instant, UnixTime};

use crate::call::Call;
use crate::calls::{Calls, Held};
use crate::command::{Command, Reply, RequestId};
use crate::event::{Ended, Event};
use crate::measured::{Live, Measurements};
use crate::plan::Plan;
use crate::refusal::{Refusal, RelayReason};
use crate::signal::{Context, check_name};
use crate::{answer, change, connect, limits, offer, publish, recording, subscribe, trickle, view};

/// What was asked of the relay and waits for its word.
#[derive(Debug)]
pub(crate) struct Pending {
    /// First and last transaction of it.
    pub transactions: (u64, u64),
    pub purpose: Purpose,
}

/// Why it was asked.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A command changed the call.
    Command(Box<Asked>),
    /// The call is over: whoever wants to know, and why.
    End(Option<RequestId>, Ended),
}

/// A command, what the call was before it, and what is answered if the relay agrees.
#[derive(Debug)]
pub(crate) struct Asked {
    pub request: RequestId,
    pub wall: UnixTime,
    pub command: Command,
    /// None: the command made the call.
    pub before: Option<Call>,
    /// What was settled then.
    pub lives: Vec<(LegId, Live)>,
    pub reply: Reply,
    pub attempts: u8,
}

impl Calls {
    /// Carries out a command for a call with which nothing else goes on.
    pub(crate) fn run(&mut self, wall: UnixTime, request: RequestId, command: Command) {
        let session = self.by_call_id.get(command.call_id()).copied();
        let refusal = match (&command, session) {
            (command, _) if self.away && !matches!(command, Command::Delete(_)) => Some(Refusal::RelayAway),
            (Command::Offer(_) | Command::Publish(_), None) => self.begin(wall, request, command, 0).err(),
            (_, None) => Some(Refusal::UnknownCall(command.call_id().to_owned())),
            (Command::Delete(delete), Some(session)) => self.delete(session, wall, request, &delete.clone()).err(),
            (_, Some(session)) => self.go_on(session, wall, request, command, 0).err(),
        };
        if let Some(refusal) = refusal {
            self.outcomes.push_back((request, Err(refusal)));
        }
    }

    /// An offer that makes a call.
    fn begin(&mut self, wall: UnixTime, request: RequestId, command: Command, attempts: u8) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        let max = self.settings.calls_max.min(limits::CALLS_MAX);
        if self.held.len() >= max {
            return Err(Refusal::CallsExhausted(max));
        }
        check_names(&command)?;
        let id = SessionId(self.next_session);
        let mut call = Call {
            id,
            call_id: Arc::from(command.call_id()),
            worker: (id.0 % u64::from(self.settings.workers.max(1))) as u16,
            created: self.now,
            created_wall: wall,
            signal: self.now,
            signal_wall: wall,
            expires_at: self.now.after(limits::LIFETIME),
            flows_end_at: self.now.after(self.flow_lifetime()),
            ends_at: None,
            answered: false,
            recordings: None,
            next_leg: 0,
            early: Vec::new(),
            parties: Vec::new(),
        };
        let reply = match self.change(wall, &mut call, &command) {
            Ok(reply) => reply,
            Err(refusal) => {
                self.release(&call, None);
                return Err(refusal);
            }
        };
        self.next_session += 1;
        let measured = Measurements::default();
        let operations = Plan::of(&call, &measured, &self.interfaces).whole();
        self.by_call_id.insert(call.call_id.clone(), id);
        let held = Held::new(call, measured, self.now);
        self.held.insert(id, Box::new(held));
        self.due.insert((self.now, id));
        let asked = Asked { request, wall, command, before: None, lives: Vec::new(), reply, attempts };
        self.ask(id, operations, Purpose::Command(Box::new(asked)));
        self.follow_agents(id);
        self.reschedule(id);
        Ok(())
    }

    /// A command for a call that is there.
    fn go_on(
        &mut self,
        session: SessionId,
        wall: UnixTime,
        request: RequestId,
        command: Command,
        attempts: u8,
    ) -> Result<(), Refusal> {
        check_names(&command)?;
        let Some(held) = self.held.get(&session) else { return Ok(()) };
        let before = held.call.clone();
        let mut call = before.clone();
        let reply = match self.change(wall, &mut call, &command) {
            Ok(reply) => reply,
            Err(refusal) => {
                self.release(&call, Some(&before));
                return Err(refusal);
            }
        };
        let lives = self.held.get(&session).map(|held| held.measured.lives()).unwrap_or_default();
        let asked = Asked { request, wall, command, before: Some(before), lives, reply, attempts };
        let operations = self.replace(session, call);
        self.ask(session, operations, Purpose::Command(Box::new(asked)));
        self.follow_agents(session);
        Ok(())
    }

    /// What a command makes of a call.
    fn change(&mut self, wall: UnixTime, call: &mut Call, command: &Command) -> Result<Reply, Refusal> {
        (call.signal, call.signal_wall) = (self.now, wall);
        self.interfaces.release_foreign(self.now);
        self.interfaces.wake(self.now);
        let Self { interfaces, random, settings, identities, .. } = self;
        let fingerprint = identities.fingerprint();
        let mut context = Context { interfaces, random, settings, fingerprint, wall };
        match command {
            Command::Offer(offer) => {
                call.ends_at = None;
                let sdp = offer::offer(&mut context, call, offer)?;
                trickle::catch_up(context.interfaces, call, &offer.from_tag);
                recording::option(call, random, wall, &offer.options)?;
                Ok(Reply::Sdp(sdp))
            }
            Command::Answer(answer) => {
                let sdp = answer::answer(&mut context, call, answer)?;
                trickle::catch_up(context.interfaces, call, &answer.to_tag);
                recording::option(call, random, wall, &answer.options)?;
                Ok(Reply::Sdp(sdp))
            }
            Command::Publish(offer) => {
                call.ends_at = None;
                publish::publish(&mut context, call, offer).map(Reply::Sdp)
            }
            Command::SubscribeRequest(request) => subscribe::request(&mut context, call, request),
            Command::SubscribeAnswer(answer) => subscribe::answer(&mut context, call, answer).map(|()| Reply::Done),
            Command::Unsubscribe(unsubscribe) => subscribe::end(call, &unsubscribe.to_tag).map(|()| Reply::Done),
            Command::Connect(connect) => connect::connect(call, connect).map(|()| Reply::Done),
            Command::Change(change) => change::change(call, change).map(|()| Reply::Done),
            Command::Trickle(fragment) => trickle::trickle(context.interfaces, call, fragment).map(|()| Reply::Done),
            Command::Record(record) => {
                recording::record(call, random, wall, record.what, &record.consent).map(|()| Reply::Done)
            }
            Command::Delete(_) => Ok(Reply::Done),
        }
    }

    /// Puts another state of a call in the place of the one that is there; gives what takes the relay there. A stream
    /// whose signalled address changed is not settled any more.
    pub(crate) fn replace(&mut self, session: SessionId, call: Call) -> Vec<Operation<'static>> {
        let Some(held) = self.held.get_mut(&session) else { return Vec::new() };
        let before = Plan::of(&held.call, &held.measured, &self.interfaces);
        for (_, _, stream) in call.streams() {
            let known = held.call.stream(stream.leg).map(|(_, _, known)| (known.rtp, known.rtcp, known.muxed));
            let is_ice = call.carrier(stream.transport).is_some_and(|(_, carrier)| carrier.ice.is_some());
            if !is_ice && known != Some((stream.rtp, stream.rtcp, stream.muxed)) {
                held.measured.unsettle(stream.leg);
            }
        }
        held.call = call;
        let mut operations = before.towards(&Plan::of(&held.call, &held.measured, &self.interfaces));
        before.count_in(&mut operations, &held.call, &held.measured);
        if before.is_replaced_by(&operations) && !self.away {
            // What a flow counted goes with it, also when another one takes its place.
            self.output.push_back(ToRelay::Report { session: Some(session) });
        }
        operations
    }

    /// Puts a call back as it was before a command, with what was settled; gives what takes the relay there.
    fn put_back(&mut self, session: SessionId, call: Call, lives: Vec<(LegId, Live)>) -> Vec<Operation<'static>> {
        let Some(held) = self.held.get_mut(&session) else { return Vec::new() };
        let before = Plan::of(&held.call, &held.measured, &self.interfaces);
        held.call = call;
        held.measured.put_back(lives);
        before.towards(&Plan::of(&held.call, &held.measured, &self.interfaces))
    }

    /// Gives back the ports of a call that another state of it does not have.
    pub(crate) fn release(&mut self, call: &Call, other: Option<&Call>) {
        for (interface, local) in call.pairs() {
            let stays = other.is_some_and(|other| other.pairs().any(|(_, pair)| pair == local));
            if !stays {
                self.interfaces.rest(interface, local, self.now);
            }
        }
    }

    /// Tells the relay, and waits for its word.
    pub(crate) fn ask(&mut self, session: SessionId, operations: Vec<Operation<'static>>, purpose: Purpose) {
        let first = self.next_transaction;
        self.tell(session, operations, true);
        let last = self.next_transaction - 1;
        self.transactions.extend((first..=last).map(|transaction| (transaction, session)));
        if let Some(held) = self.held.get_mut(&session) {
            held.pending = Some(Box::new(Pending { transactions: (first, last), purpose }));
        }
    }

    /// Tells the relay, in as many messages as it takes.
    pub(crate) fn tell(&mut self, session: SessionId, mut operations: Vec<Operation<'static>>, confirm: bool) {
        if self.away {
            return;
        }
        if operations.iter().any(|operation| matches!(operation, Operation::RemoveFlow(_))) {
            // What a flow counted goes with it.
            self.output.push_back(ToRelay::Report { session: Some(session) });
        }
        if confirm {
            operations.push(Operation::Confirm);
        }
        let mut rest = operations.into_iter().peekable();
        while rest.peek().is_some() {
            let mut legs = 0;
            let mut operations = Vec::new();
            while operations.len() < raceway_api::limits::OPERATIONS_MAX
                && let Some(next) = rest.peek()
            {
                legs += usize::from(matches!(next, Operation::PutLeg(_)));
                if legs > raceway_api::limits::PUT_LEGS_MAX {
                    break;
                }
                operations.extend(rest.next());
            }
            let transaction = self.next_transaction;
            self.next_transaction += 1;
            if !confirm {
                self.upkeep.push_back((transaction, session));
                if self.upkeep.len() > limits::UPKEEP_MAX {
                    self.upkeep.pop_front();
                }
            }
            self.output.push_back(ToRelay::Apply { transaction, session, operations, then_send: None });
        }
    }

    /// The relay has done it.
    pub fn handle_applied(&mut self, now: Instant, transaction: u64) {
        self.now = self.now.max(now);
        if let Some((session, purpose)) = self.settle(transaction, |(_, last)| last == transaction) {
            self.done(session, purpose);
        }
    }

    /// The relay could not.
    pub fn handle_failed(&mut self, now: Instant, transaction: u64, error: OperationError) {
        self.now = self.now.max(now);
        match self.settle(transaction, |_| true) {
            Some((session, Purpose::Command(asked))) => self.undo(session, *asked, error),
            // What was to be removed is not there.
            Some((session, end @ Purpose::End(..))) => self.done(session, end),
            None => {
                let at = self.upkeep.binary_search_by_key(&transaction, |(transaction, _)| *transaction);
                let session = at.ok().and_then(|at| self.upkeep.get(at)).map(|(_, session)| *session);
                if let Some(held) = session.and_then(|session| self.held.get_mut(&session)) {
                    held.untold = true;
                }
            }
        }
    }

    /// Takes what waits for a transaction out.
    fn settle(&mut self, transaction: u64, is_it: impl Fn((u64, u64)) -> bool) -> Option<(SessionId, Purpose)> {
        let session = *self.transactions.get(&transaction)?;
        let held = self.held.get_mut(&session)?;
        let pending = held.pending.take_if(|pending| is_it(pending.transactions))?;
        let (first, last) = pending.transactions;
        for transaction in first..=last {
            self.transactions.remove(&transaction);
        }
        Some((session, pending.purpose))
    }

    fn done(&mut self, session: SessionId, purpose: Purpose) {
        match purpose {
            Purpose::Command(asked) => {
                let Asked { request, before, reply, .. } = *asked;
                let after = self.held.get(&session).map(|held| held.call.clone());
                if let (Some(before), Some(after)) = (&before, after) {
                    self.release(before, Some(&after));
                }
                self.answer(session, before.as_ref(), request, reply);
                self.reschedule(session);
                self.next_waiting(session);
            }
            Purpose::End(request, why) => self.ended(session, request, why),
        }
    }

    /// The call is as it was before; a port that somebody else has is left alone, and another one is tried.
    fn undo(&mut self, session: SessionId, asked: Asked, error: OperationError) {
        let Asked { request, wall, command, before, lives, attempts, .. } = asked;
        let Some(after) = self.held.get(&session).map(|held| held.call.clone()) else { return };
        self.release(&after, before.as_ref());
        if error == OperationError::AddressInUse {
            for (interface, local) in after.pairs() {
                if before.as_ref().is_none_or(|before| before.pairs().all(|(_, pair)| pair != local)) {
                    self.interfaces.set_aside(interface, local, self.now);
                }
            }
        }
        let again = error == OperationError::AddressInUse && attempts + 1 < limits::PORT_ATTEMPTS;
        let waiting = match before {
            Some(before) => {
                let operations = self.put_back(session, before, lives);
                self.tell(session, operations, false);
                self.follow_agents(session);
                None
            }
            None => {
                self.tell(session, vec![Operation::RemoveSession], false);
                self.forget(session).map(|held| held.waiting)
            }
        };
        let retried = match (again, self.held.contains_key(&session)) {
            (false, _) if error == OperationError::AddressInUse => {
                Err(Refusal::Relay(RelayReason::PortsTaken(limits::PORT_ATTEMPTS)))
            }
            (false, _) => Err(Refusal::Relay(RelayReason::Error(error))),
            (true, true) => self.go_on(session, wall, request, command, attempts + 1),
            (true, false) => self.begin(wall, request, command, attempts + 1),
        };
        if let Err(refusal) = retried {
            self.outcomes.push_back((request, Err(refusal)));
            self.next_waiting(session);
        }
        for (request, wall, command) in waiting.into_iter().flatten() {
            self.handle_command(self.now, wall, request, command);
        }
    }

    /// Takes the next command that waits for a call.
    fn next_waiting(&mut self, session: SessionId) {
        while let Some(held) = self.held.get_mut(&session)
            && held.pending.is_none()
            && let Some((request, wall, command)) = held.waiting.pop_front()
        {
            self.run(wall, request, command);
        }
    }

    /// Ends a call: the relay is asked for its counters, then told to remove it.
    pub(crate) fn end(&mut self, session: SessionId, request: Option<RequestId>, why: Ended) {
        if self.away {
            self.removed.push(session);
            return self.ended(session, request, why);
        }
        self.output.push_back(ToRelay::Report { session: Some(session) });
        self.ask(session, vec![Operation::RemoveSession], Purpose::End(request, why));
        self.reschedule(session);
    }

    /// The relay has removed it.
    pub(crate) fn ended(&mut self, session: SessionId, request: Option<RequestId>, why: Ended) {
        let Some(mut held) = self.forget(session) else { return };
        self.outcomes.extend(held.beginning.take().map(|beginning| (beginning.request, Ok(beginning.reply))));
        let call = Box::new(view::call(&held.call, &held.measured, |_| true));
        if let Some(request) = request {
            self.outcomes.push_back((request, Ok(Reply::Deleted(call.clone()))));
        }
        self.release(&held.call, None);
        self.events.push_back(Event::Ended { call, why });
        for (request, wall, command) in held.waiting {
            self.handle_command(self.now, wall, request, command);
        }
    }

    /// Takes a call out, ports aside.
    pub(crate) fn forget(&mut self, session: SessionId) -> Option<Box<Held>> {
        let held = self.held.remove(&session)?;
        self.by_call_id.remove(&held.call.call_id);
        self.due.remove(&(held.due, session));
        self.forget_agents(&held.agents);
        if let Some(pending) = &held.pending {
            let (first, last) = pending.transactions;
            for transaction in first..=last {
                self.transactions.remove(&transaction);
            }
        }
        Some(held)
    }

    /// Says a whole call to the relay again.
    pub(crate) fn say_again(&mut self, session: SessionId) {
        let Some(held) = self.held.get(&session) else { return };
        let operations = Plan::again(&held.call, &held.measured, &self.interfaces).whole();
        self.tell(session, operations, false);
    }

    /// The relay is gone, or not there yet: what waits for it is refused, and calls are as they were before. When it is
    /// there, [`reinstall`](Self::reinstall) tells it all. Until then only deleting is possible.
    pub fn relay_lost(&mut self) {
        self.away = true;
        self.output.clear();
        let sessions: Vec<SessionId> = self.held.keys().copied().collect();
        for session in sessions {
            self.lost_recorder(session);
            let waiting = self.held.get_mut(&session).map(|held| std::mem::take(&mut held.waiting));
            for (request, _, _) in waiting.into_iter().flatten() {
                self.outcomes.push_back((request, Err(Refusal::RelayAway)));
            }
            let Some(pending) = self.held.get_mut(&session).and_then(|held| held.pending.take()) else { continue };
            match pending.purpose {
                Purpose::End(request, why) => self.end(session, request, why),
                Purpose::Command(asked) => {
                    self.outcomes.push_back((asked.request, Err(Refusal::RelayAway)));
                    let Some(after) = self.held.get(&session).map(|held| held.call.clone()) else { continue };
                    self.release(&after, asked.before.as_ref());
                    match asked.before {
                        Some(before) => {
                            self.put_back(session, before, asked.lives);
                            self.follow_agents(session);
                        }
                        None => {
                            self.removed.push(session);
                            drop(self.forget(session));
                        }
                    }
                }
            }
        }
        self.transactions.clear();
    }
}

/// Names of signalling have limits.
fn check_names(command: &Command) -> Result<(), Refusal> {
    check_name("call-id", command.call_id(), limits::CALL_ID_MAX)?;
    let (from, to, branch, label) = match command {
        Command::Offer(offer) | Command::Publish(offer) => {
            let (to, branch) = (offer.to_tag.as_deref(), offer.via_branch.as_deref());
            (Some(&*offer.from_tag), to.filter(|tag| !tag.is_empty()), branch, offer.options.label.as_deref())
        }
        Command::Answer(answer) => (
            Some(&*answer.from_tag),
            Some(&*answer.to_tag),
            answer.via_branch.as_deref(),
            answer.options.label.as_deref(),
        ),
        Command::Trickle(fragment) => (Some(&*fragment.tag), None, None, None),
        Command::SubscribeRequest(request) => (None, request.to_tag.as_deref(), None, request.options.label.as_deref()),
        Command::SubscribeAnswer(_)
        | Command::Unsubscribe(_)
        | Command::Connect(_)
        | Command::Delete(_)
        | Command::Change(_)
        | Command::Record(_) => (None, None, None, None),
    };
    for (what, name) in [("from-tag", from), ("to-tag", to), ("via-branch", branch), ("label", label)] {
        if let Some(name) = name {
            check_name(what, name, limits::TAG_MAX)?;
        }
    }
    Ok(())
}
