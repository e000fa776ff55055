//! Deleting, and switching things on and off.

use raceway_api::{Operation, SessionId};
use raceway_units::UnixTime;

use crate::call::{Call, Part, Party, PartyId};
use crate::calls::Calls;
use crate::command::{Change, Command, Delete, Reply, RequestId, Toggle};
use crate::event::Ended;
use crate::refusal::Refusal;
use crate::transaction::{Asked, Purpose};
use crate::view;

/// Switches something for the parties that are meant: all of them if none is named.
pub(crate) fn change(call: &mut Call, change: &Change) -> Result<(), Refusal> {
    let names = [
        ("from-tag", change.from_tag.clone()),
        ("address", change.address.map(|ip| ip.to_string())),
        ("label", change.label.clone()),
    ];
    let named = names.into_iter().find_map(|(what, value)| Some((what, value?))).filter(|_| !change.all);
    let is_meant = |party: &Party| {
        let tag = change.from_tag.as_deref().is_none_or(|tag| party.has_tag(tag));
        let label = change.label.as_deref().is_none_or(|label| party.label.as_deref() == Some(label));
        tag && label && change.address.is_none_or(|ip| party.is_at(ip))
    };
    let mut found = false;
    for party in call.parties.iter_mut().filter(|party| named.is_none() || is_meant(party)) {
        found = true;
        for stream in party.streams.iter_mut().flatten() {
            match change.what {
                Toggle::BlockMedia => stream.rules.block = change.on,
                Toggle::SilenceMedia => stream.rules.silence = change.on,
                Toggle::BlockDtmf => stream.rules.block_dtmf = change.on,
            }
        }
    }
    match named.filter(|_| !found) {
        Some((what, value)) => Err(Refusal::UnknownParty { what, value, call_id: call.call_id.to_string() }),
        None => Ok(()),
    }
}

impl Calls {
    /// Ends a call, at once or later, or a branch of it that did not win.
    pub(crate) fn delete(
        &mut self,
        session: SessionId,
        wall: UnixTime,
        request: RequestId,
        delete: &Delete,
    ) -> Result<(), Refusal> {
        let Some(held) = self.held.get_mut(&session) else { return Ok(()) };
        let tags = [delete.from_tag.as_deref(), delete.to_tag.as_deref()];
        let is_known = tags.into_iter().flatten().any(|tag| held.call.by_tag(tag).is_some());
        if let Some(tag) = delete.from_tag.as_deref().filter(|_| !is_known) {
            let call_id = delete.call_id.clone();
            return Err(Refusal::UnknownParty { what: "from-tag", value: tag.to_owned(), call_id });
        }
        if let Some(branch) = delete.via_branch.as_deref().and_then(|branch| losing(&held.call, branch)) {
            if self.away {
                return Err(Refusal::RelayAway);
            }
            self.delete_branch(session, wall, request, delete, branch);
            return Ok(());
        }
        if let Some(party) = beside(&held.call, tags) {
            if self.away {
                return Err(Refusal::RelayAway);
            }
            self.delete_branch(session, wall, request, delete, party);
            return Ok(());
        }
        if delete.discard && held.call.recorded().is_some() {
            if let Some(recordings) = &mut held.call.recordings {
                recordings.current = None;
                recordings.stems.pop();
            }
            self.tell(session, vec![Operation::StopRecording { discard: true }], false);
        }
        let Some(held) = self.held.get_mut(&session) else { return Ok(()) };
        let delay = delete.delay.unwrap_or(self.settings.delete_delay);
        if delay.is_zero() {
            self.end(session, Some(request), Ended::Deleted);
            return Ok(());
        }
        let mut call = held.call.clone();
        (call.signal, call.signal_wall) = (self.now, wall);
        call.ends_at = Some(self.now.after(delay));
        let reply = Reply::Deleted(Box::new(view::call(&call, &held.measured, |_| true)));
        let operations = self.replace(session, call);
        self.tell(session, operations, false);
        self.outcomes.push_back((request, Ok(reply)));
        self.reschedule(session);
        Ok(())
    }

    fn delete_branch(
        &mut self,
        session: SessionId,
        wall: UnixTime,
        request: RequestId,
        delete: &Delete,
        branch: PartyId,
    ) {
        let Some(held) = self.held.get(&session) else { return };
        let (before, lives) = (held.call.clone(), held.measured.lives());
        let reply = Reply::Deleted(Box::new(view::call(&before, &held.measured, |_| true)));
        let mut call = before.clone();
        call.remove_party(branch);
        let operations = self.replace(session, call);
        let command = Command::Delete(delete.clone());
        let asked = Asked { request, wall, command, before: Some(before), lives, reply, attempts: 0 };
        self.ask(session, operations, Purpose::Command(Box::new(asked)));
    }
}

/// The party that is meant, if it subscribes, or publishes beside others: the call goes on without it.
fn beside(call: &Call, tags: [Option<&str>; 2]) -> Option<PartyId> {
    let meant = tags.into_iter().flatten().find_map(|tag| call.by_tag(tag))?;
    let others = call.parties.iter().filter(|other| other.id != meant && other.part != Part::Subscribes).count();
    match call.party(meant)?.part {
        Part::Talks => None,
        Part::Publishes => (others > 0).then_some(meant),
        Part::Subscribes => Some(meant),
    }
}

/// The party of a branch, if the call goes on without it: somebody else was called as well, and it is not the one with
/// whom the caller talks.
fn losing(call: &Call, branch: &str) -> Option<PartyId> {
    let party = call.parties.iter().find(|party| party.branch.as_deref() == Some(branch))?;
    let is_heard = call.parties.iter().any(|other| other.peer == Some(party.id));
    let talks = |other: &&Party| other.part == Part::Talks && other.id != party.id && other.id != PartyId(0);
    let others = call.parties.iter().filter(talks).count();
    (others > 0 && !is_heard && party.id != PartyId(0)).then_some(party.id)
}
