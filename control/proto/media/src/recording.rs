//! Recordings of calls: who may have one begun, what it is called, and what became of it.

use std::sync::Arc;

use raceway_api::limits::NOTE_MAX;
use raceway_api::{RecordingProblem, RecordingReport, RecordingState, SessionId};
use raceway_ports::Random;
use raceway_units::{Instant, UnixTime};

use crate::call::Call;
use crate::calls::{Calls, Held};
use crate::command::{Consent, Recording, Reply, RequestId};
use crate::event::Event;
use crate::limits;
use crate::options::Options;
use crate::refusal::Refusal;

/// The recordings of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recordings {
    /// The one that is made now.
    pub current: Option<Current>,
    /// Names of all, that one last.
    pub stems: Vec<Arc<str>>,
    /// Files of the one that ended last are to go.
    pub discard: bool,
}

/// A recording that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    /// What its files are called.
    pub stem: Arc<str>,
    /// What is written into it.
    pub note: Arc<str>,
    pub paused: bool,
}

/// A command that has a recording begun, and whose answer waits until there is a file.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub request: RequestId,
    pub reply: Reply,
    pub since: Instant,
}

impl Call {
    /// The recording that is made of it.
    pub fn recorded(&self) -> Option<&Current> {
        self.recordings.as_ref()?.current.as_ref()
    }

    fn recorded_as(&self) -> Option<Arc<str>> {
        self.recorded().map(|current| Arc::clone(&current.stem))
    }

    /// Takes back a recording that came to nothing.
    fn forget_recording(&mut self) {
        if let Some(recordings) = &mut self.recordings
            && recordings.current.take().is_some()
        {
            recordings.stems.pop();
        }
    }
}

/// What a command about recording makes of a call.
pub(crate) fn record(
    call: &mut Call,
    random: &mut Random,
    wall: UnixTime,
    what: Recording,
    consent: &Consent,
) -> Result<(), Refusal> {
    let current = call.recordings.as_mut().and_then(|recordings| recordings.current.as_mut());
    match (what, current) {
        (Recording::Start, Some(current)) => current.paused = false,
        (Recording::Start, None) if !consent.given => return Err(Refusal::NoConsent),
        (Recording::Start, None) => begin(call, random, wall, consent)?,
        (Recording::Pause, Some(current)) => current.paused = true,
        (Recording::Pause, None) => return Err(Refusal::NotRecorded(call.call_id.to_string())),
        (Recording::Stop { discard }, Some(_)) => {
            if let Some(recordings) = &mut call.recordings {
                (recordings.current, recordings.discard) = (None, discard);
                if discard {
                    recordings.stems.pop();
                }
            }
        }
        (Recording::Stop { .. }, None) => {}
    }
    Ok(())
}

/// What an offer or answer says of it.
pub(crate) fn option(call: &mut Call, random: &mut Random, wall: UnixTime, options: &Options) -> Result<(), Refusal> {
    match options.record {
        None => Ok(()),
        Some(true) => record(call, random, wall, Recording::Start, &options.consent),
        Some(false) => record(call, random, wall, Recording::Stop { discard: false }, &options.consent),
    }
}

fn begin(call: &mut Call, random: &mut Random, wall: UnixTime, consent: &Consent) -> Result<(), Refusal> {
    // Nothing of the name is what somebody sent: a call's name would name people, and lead where it likes.
    let stem: Arc<str> = format!("{}-{:016x}", compact(wall), random.u64()).into();
    let current = Current { stem: Arc::clone(&stem), note: note(call, wall, consent).into(), paused: false };
    let recordings = call.recordings.get_or_insert_default();
    if recordings.stems.len() >= limits::RECORDINGS_MAX {
        let (call_id, max) = (call.call_id.to_string(), limits::RECORDINGS_MAX);
        return Err(Refusal::TooMany { call_id, what: "recordings", max });
    }
    recordings.stems.push(stem);
    (recordings.current, recordings.discard) = (Some(current), false);
    Ok(())
}

/// What whoever reads a recording should know. A line for each thing; control characters are written as escapes.
fn note(call: &Call, wall: UnixTime, consent: &Consent) -> String {
    let shown = |text: &str| text.escape_debug().to_string();
    let mut note = format!(
        "call-id: {}\nbegun: {}\nmetadata: {}\n",
        shown(&call.call_id),
        compact(wall),
        shown(&consent.metadata)
    );
    for (party, index, stream) in call.streams() {
        let (tag, kind, local) = (shown(party.tag()), stream.kind.name(), stream.local.internal);
        note.push_str(&format!("party {tag} m-line {} {kind}: to {local}\n", index + 1));
    }
    note.truncate(note.floor_char_boundary(NOTE_MAX));
    note
}

/// As of ISO 8601, in its basic format, which sorts: `20261127T204512Z`.
fn compact(wall: UnixTime) -> String {
    let (days, seconds) = (wall.0 / 86_400, wall.0 % 86_400);
    // Years begin with March, so that the odd day is their last: 400 of them have 146,097 days, and the first of these
    // eras began 719,468 days before 1970.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{of_month:02}T{hour:02}{minute:02}{second:02}Z")
}

impl Calls {
    /// A command is done, which made this call of what was `before`. Its answer waits for the relay's word if it began a
    /// recording; else it is given.
    pub(crate) fn answer(&mut self, session: SessionId, before: Option<&Call>, request: RequestId, reply: Reply) {
        let now = self.now;
        let outcomes = &mut self.outcomes;
        let Some(held) = self.held.get_mut(&session) else { return outcomes.push_back((request, Ok(reply))) };
        let stem = held.call.recorded_as();
        if stem == before.and_then(Call::recorded_as) {
            return outcomes.push_back((request, Ok(reply)));
        }
        held.measured.recording = None;
        // What the one before waited for is over.
        outcomes.extend(held.beginning.take().map(|beginning| (beginning.request, Ok(beginning.reply))));
        match stem {
            None => outcomes.push_back((request, Ok(reply))),
            Some(_) => held.beginning = Some(Box::new(Beginning { request, reply, since: now })),
        }
    }

    /// The relay says how the recording of a call goes.
    pub fn handle_recording(&mut self, now: Instant, session: SessionId, state: RecordingState) {
        self.now = self.now.max(now);
        let Some(held) = self.held.get_mut(&session) else { return };
        let Some(current) = held.call.recorded() else { return };
        let (call_id, stem) = (held.call.call_id.to_string(), current.stem.to_string());
        let report = held.measured.recording.get_or_insert_with(|| Box::new(nothing_of(current)));
        let before = std::mem::replace(&mut report.state, state);
        match (state, held.beginning.take()) {
            (RecordingState::Beginning, beginning) => held.beginning = beginning,
            (RecordingState::Writing, Some(beginning)) => {
                self.outcomes.push_back((beginning.request, Ok(beginning.reply)));
            }
            (RecordingState::Failed(problem), Some(beginning)) => self.never_began(session, *beginning, problem),
            (_, None) if before == state => {}
            (_, None) => self.events.push_back(Event::Recording { call_id, stem, state, request: None }),
        }
    }

    /// A recording could not be begun: the call goes on without it.
    fn never_began(&mut self, session: SessionId, beginning: Beginning, problem: RecordingProblem) {
        let Some(held) = self.held.get_mut(&session) else { return };
        let Some(current) = held.call.recorded() else { return };
        let (call_id, stem) = (held.call.call_id.to_string(), current.stem.to_string());
        held.measured.recording = None;
        let mut call = held.call.clone();
        call.forget_recording();
        let operations = self.replace(session, call);
        self.tell(session, operations, false);
        let Beginning { request, reply, .. } = beginning;
        let outcome = match reply {
            Reply::Done => Err(Refusal::Recording(problem)),
            // The offer is as good as it was; whoever made it is told.
            reply => Ok(reply),
        };
        let (state, warned) = (RecordingState::Failed(problem), outcome.is_ok().then_some(request));
        self.events.push_back(Event::Recording { call_id, stem, state, request: warned });
        self.outcomes.push_back((request, outcome));
    }

    /// What the relay reports of a recording; its word, if that was lost.
    pub(crate) fn report_recording(&mut self, session: SessionId, report: &RecordingReport<'_>) {
        let Some(held) = self.held.get_mut(&session) else { return };
        if held.call.recorded().is_none_or(|current| *current.stem != *report.recording.stem) {
            return;
        }
        let state = report.state;
        let told = held.measured.recording.as_ref().map(|report| report.state);
        let mut report = report.clone().into_owned();
        report.state = told.unwrap_or_default();
        held.measured.recording = Some(Box::new(report));
        if told != Some(state) {
            self.handle_recording(self.now, session, state);
        }
    }

    /// Whoever waits for a recorder that says nothing is answered.
    pub(crate) fn time_recording(&mut self, session: SessionId) {
        let late = |held: &Held| {
            held.beginning.as_ref().is_some_and(|it| self.now.since(it.since) >= limits::RECORDER_ANSWERS)
        };
        if self.held.get(&session).is_some_and(|held| late(held)) {
            self.handle_recording(self.now, session, RecordingState::Failed(RecordingProblem::Other(0)));
        }
    }

    /// The relay is gone, with what was begun.
    pub(crate) fn lost_recorder(&mut self, session: SessionId) {
        let Some(held) = self.held.get_mut(&session) else { return };
        let Some(beginning) = held.beginning.take() else { return };
        let outcome = match beginning.reply {
            Reply::Done => {
                held.call.forget_recording();
                Err(Refusal::RelayAway)
            }
            reply => Ok(reply),
        };
        self.outcomes.push_back((beginning.request, outcome));
    }
}

fn nothing_of(current: &Current) -> RecordingReport<'static> {
    let (stem, note) = (current.stem.to_string().into(), current.note.to_string().into());
    let recording = raceway_api::Recording { stem, note, paused: current.paused };
    RecordingReport { recording, state: RecordingState::Beginning, part: 0, packets: 0, octets: 0, lost: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_so_that_it_sorts() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_709_251_200, "20240301T000000Z"),
            (1_795_812_312, "20261127T204512Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(compact(UnixTime(seconds)), text);
        }
    }
}
