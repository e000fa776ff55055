//! Which sessions are recorded, and how that goes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use raceway_api::{
    OperationError, Recording, RecordingFigures, RecordingProblem, RecordingReport, RecordingState, SessionId,
};
use raceway_engine::Tap;

use super::state::State;
use crate::limits::RECORDINGS_MAX;
use crate::recorder::{Figures, News, Order, Recorder};
use crate::shared::Command;

/// States that control is still to be told; it finds them in a report as well.
const UNTOLD_MAX: usize = 4 * RECORDINGS_MAX;

/// Every recording.
#[derive(Default)]
pub struct Recordings {
    recorder: Option<Recorder>,
    known: HashMap<SessionId, Known>,
    /// Those that a worker may still have packets of, and whether their files are to be removed.
    ending: HashMap<u32, bool>,
    /// Recordings whose files are not closed yet.
    open: usize,
    last: u32,
    untold: VecDeque<(SessionId, RecordingState)>,
    /// What workers had no room for in those that are over.
    past_lost: u64,
}

/// The recording of a session.
struct Known {
    recording: Recording<'static>,
    /// None: nobody writes it.
    number: Option<u32>,
    state: RecordingState,
    figures: Arc<Figures>,
}

impl Recordings {
    /// None yet, written by `recorder`, if there is one.
    #[must_use]
    pub fn new(recorder: Option<Recorder>) -> Self {
        Self { recorder, ..Self::default() }
    }

    /// Begins one.
    fn begin(&mut self, session: SessionId, recording: Recording<'static>) {
        let figures = Arc::<Figures>::default();
        let begun = self.try_begin(session, &recording, &figures);
        let state = match begun {
            Ok(_) => RecordingState::Beginning,
            Err(problem) => RecordingState::Failed(problem),
        };
        if begun.is_err() {
            self.say(session, state);
        }
        self.known.insert(session, Known { recording, number: begun.ok(), state, figures });
    }

    fn try_begin(
        &mut self,
        session: SessionId,
        recording: &Recording<'_>,
        figures: &Arc<Figures>,
    ) -> Result<u32, RecordingProblem> {
        let recorder = self.recorder.as_ref().ok_or(RecordingProblem::Unconfigured)?;
        if self.open >= RECORDINGS_MAX {
            return Err(RecordingProblem::TooMany);
        }
        let number = self.last + 1;
        let told = recorder.tell(Order::Begin {
            recording: number,
            session,
            stem: recording.stem.to_string(),
            note: recording.note.to_string(),
            figures: Arc::clone(figures),
        });
        if !told {
            return Err(RecordingProblem::Other(0));
        }
        (self.last, self.open) = (number, self.open + 1);
        Ok(number)
    }

    /// Ends one; gives its number if workers may have packets of it.
    fn end(&mut self, session: SessionId, discard: bool) -> Option<u32> {
        let known = self.known.remove(&session)?;
        self.past_lost += known.figures.lost.load(Relaxed);
        let number = known.number?;
        self.ending.insert(number, discard);
        Some(number)
    }

    /// No worker has packets of a recording any more.
    pub fn untapped(&mut self, number: u32) {
        let Some(discard) = self.ending.remove(&number) else { return };
        if let Some(recorder) = &self.recorder {
            recorder.tell(Order::End { recording: number, discard });
        }
    }

    /// What legs of a session hand their packets to.
    #[must_use]
    pub fn tap(&self, session: SessionId) -> Option<Tap> {
        let known = self.known.get(&session).filter(|known| !known.recording.paused)?;
        Some(Tap { recording: known.number?, lost: Arc::clone(&known.figures.lost) })
    }

    /// Listens to the recorder.
    pub fn hear(&mut self) {
        while let Some(news) = self.recorder.as_ref().and_then(|recorder| recorder.news.pop()) {
            match news {
                News::Ended(_) => self.open -= 1,
                News::State(session, number, state) => {
                    if let Some(known) = self.known.get_mut(&session).filter(|known| known.number == Some(number)) {
                        known.state = state;
                        self.say(session, state);
                    }
                }
            }
        }
    }

    /// Whether the recorder has told something that was not heard.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| !recorder.news.is_empty())
    }

    fn say(&mut self, session: SessionId, state: RecordingState) {
        if self.untold.len() < UNTOLD_MAX {
            self.untold.push_back((session, state));
        }
    }

    /// What control is to be told.
    pub fn poll_untold(&mut self) -> Option<(SessionId, RecordingState)> {
        self.untold.pop_front()
    }

    /// The recording of a session.
    #[must_use]
    pub fn report(&self, session: SessionId) -> Option<RecordingReport<'static>> {
        let Known { recording, state, figures, .. } = self.known.get(&session)?;
        Some(RecordingReport {
            recording: recording.clone(),
            state: *state,
            part: figures.part.load(Relaxed),
            packets: figures.packets.load(Relaxed),
            octets: figures.octets.load(Relaxed),
            lost: figures.lost.load(Relaxed) + figures.missed.load(Relaxed),
        })
    }

    /// All of them together.
    #[must_use]
    pub fn figures(&self) -> RecordingFigures {
        let lost = self.known.values().map(|known| known.figures.lost.load(Relaxed)).sum::<u64>();
        let writing = self.known.values().filter(|known| known.state == RecordingState::Writing);
        let open = writing.count() as u64;
        let Some(totals) = self.recorder.as_ref().map(|recorder| &recorder.totals) else {
            return RecordingFigures::default();
        };
        RecordingFigures {
            open,
            packets: totals.packets.load(Relaxed),
            octets: totals.octets.load(Relaxed),
            lost_congested: self.past_lost + lost,
            lost_disk: totals.lost_disk.load(Relaxed),
            lost_limit: totals.lost_limit.load(Relaxed),
            failures: totals.failures.load(Relaxed),
        }
    }
}

impl State {
    /// Makes a session be recorded as described.
    ///
    /// # Errors
    /// [`OperationError::Invalid`], [`OperationError::UnknownSession`].
    pub(super) fn record(&mut self, id: SessionId, recording: &Recording<'_>) -> Result<(), OperationError> {
        if !self.sessions.contains_key(&id) {
            return Err(OperationError::UnknownSession);
        }
        if !recording.is_proper() {
            return Err(OperationError::Invalid);
        }
        let known = self.recordings.known.get_mut(&id);
        match known.filter(|known| known.recording.stem == recording.stem) {
            Some(known) if known.recording.paused == recording.paused => return Ok(()),
            Some(known) => known.recording.paused = recording.paused,
            None => {
                self.stop_recording(id, false)?;
                self.recordings.begin(id, recording.clone().into_owned());
            }
        }
        self.put_legs_again(id)
    }

    /// Makes a session not be recorded any more.
    ///
    /// # Errors
    /// None that a session which is there can have.
    pub(super) fn stop_recording(&mut self, id: SessionId, discard: bool) -> Result<(), OperationError> {
        if !self.recordings.known.contains_key(&id) {
            return Ok(());
        }
        let number = self.recordings.end(id, discard);
        self.put_legs_again(id)?;
        self.untap(id, number);
        Ok(())
    }

    /// Ends the recording of a session whose legs are gone.
    pub(super) fn end_recording(&mut self, id: SessionId, worker: u16) {
        if let Some(number) = self.recordings.end(id, false) {
            self.sockets.command(worker.into(), Command::Untap(number));
        }
    }

    /// Has the session's worker say when it has no packets of a recording any more.
    fn untap(&mut self, id: SessionId, number: Option<u32>) {
        let worker = self.sessions.get(&id).map(|session| session.worker);
        if let Some((number, worker)) = number.zip(worker) {
            self.sockets.command(worker.into(), Command::Untap(number));
        }
    }
}
