//! Recordings: what the relay writes of a session's media, and what became of it.

use alloc::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::limits;

/// What is to be recorded of a session: all RTP and RTCP that its legs take in, as far as it is not encrypted by others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording<'a> {
    /// Names of its files begin with it: 1 to [`STEM_MAX`](limits::STEM_MAX) of `0-9A-Za-z-`. Another one than before is
    /// another recording.
    pub stem: Cow<'a, str>,
    /// Written into it, for whoever may read it; at most [`NOTE_MAX`](limits::NOTE_MAX) octets.
    pub note: Cow<'a, str>,
    /// Nothing is added to it now.
    pub paused: bool,
}

impl Recording<'_> {
    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Recording<'static> {
        let Self { stem, note, paused } = self;
        Recording { stem: Cow::Owned(stem.into_owned()), note: Cow::Owned(note.into_owned()), paused }
    }

    /// Whether a file can be named so.
    #[must_use]
    pub fn is_proper(&self) -> bool {
        let proper = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        !self.stem.is_empty() && self.stem.bytes().all(proper) && self.within_limits()
    }

    /// Whether its parts keep their [`limits`].
    pub(crate) fn within_limits(&self) -> bool {
        self.stem.len() <= limits::STEM_MAX && self.note.len() <= limits::NOTE_MAX
    }
}

/// A recording and what there is of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingReport<'a> {
    /// As it was asked for.
    #[serde(borrow)]
    pub recording: Recording<'a>,
    /// How it goes.
    pub state: RecordingState,
    /// Number of the part that is written, or was written last; 0 before the first.
    pub part: u32,
    /// Packets taken, in all parts.
    pub packets: u64,
    /// Octets in files, in all parts.
    pub octets: u64,
    /// Packets that should be in it and are not.
    pub lost: u64,
}

impl RecordingReport<'_> {
    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> RecordingReport<'static> {
        let Self { recording, state, part, packets, octets, lost } = self;
        RecordingReport { recording: recording.into_owned(), state, part, packets, octets, lost }
    }
}

/// How a recording goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingState {
    /// Its first file is being made.
    #[default]
    Beginning,
    /// It is written.
    Writing,
    /// It is not. All but [`Unconfigured`](RecordingProblem::Unconfigured), [`TooMany`](RecordingProblem::TooMany) and
    /// [`Limit`](RecordingProblem::Limit) is tried again, with a new part.
    Failed(RecordingProblem),
}

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingProblem {
    /// The relay's configuration names no directory.
    Unconfigured,
    /// There are as many recordings as the relay makes at a time.
    TooMany,
    /// It has as many octets, or parts, as it may.
    Limit,
    /// The disk has no more room than is to be left free, or none at all.
    Full,
    /// The directory is not there.
    Gone,
    /// The relay may not write there.
    Denied,
    /// Anything else, as errno(3) numbers it.
    Other(i32),
}

/// What all recordings came to, since the relay started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingFigures {
    /// Recordings that are written now.
    pub open: u64,
    /// Packets taken.
    pub packets: u64,
    /// Octets written.
    pub octets: u64,
    /// Packets that the recorder was too slow for.
    pub lost_congested: u64,
    /// Packets for which there was no file: the disk was full or gone.
    pub lost_disk: u64,
    /// Packets beyond the limit of a recording.
    pub lost_limit: u64,
    /// Parts that could not be begun or went wrong.
    pub failures: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_leads_nowhere_else() {
        let proper = |stem: &str| Recording { stem: stem.into(), note: "".into(), paused: false }.is_proper();
        assert!(proper("20261127T204512Z-3f9a1c0d2b7e4a55"));
        for stem in ["", "..", "../x", "a/b", "a.key", "a b", "a\0", "é", "a_b", &"a".repeat(65)] {
            assert!(!proper(stem), "{stem:?}");
        }
    }

    #[test]
    fn a_note_has_a_limit() {
        let proper = |note: &str| Recording { stem: "a".into(), note: note.into(), paused: false }.is_proper();
        assert!(proper(&"x".repeat(limits::NOTE_MAX)) && !proper(&"x".repeat(limits::NOTE_MAX + 1)));
    }
}
