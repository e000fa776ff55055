//! Who is in a room, and what they send.

use raceway_units::Instant;
use serde::{Deserialize, Serialize};

use crate::name::{DisplayName, Identity, RoomName};

/// A participant; never used for another one while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParticipantId(pub u32);

/// A track; never used for another one while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackId(pub u32);

/// By which way somebody is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The meeting protocol.
    Meeting,
    /// A publisher by HTTP.
    Whip,
    /// A player by HTTP.
    Whep,
}

/// What a track is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    /// A voice.
    Microphone,
    /// A face.
    Camera,
    /// What somebody shows.
    Screen,
    /// The sound of what somebody shows.
    ScreenAudio,
}

impl TrackKind {
    /// Audio, not video.
    #[must_use]
    pub const fn is_audio(self) -> bool {
        matches!(self, Self::Microphone | Self::ScreenAudio)
    }
}

/// Media that a participant sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Track {
    /// Its number.
    pub id: TrackId,
    /// What it is of.
    pub kind: TrackKind,
    /// Its media section in the publisher's description.
    #[serde(skip)]
    pub mid: String,
    /// Its publisher has switched it off.
    pub is_muted: bool,
    /// A moderator has, and only a moderator switches it on again.
    pub is_muted_by_moderator: bool,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Participant {
    /// Its number.
    pub id: ParticipantId,
    /// Who.
    pub identity: Identity,
    /// What others read.
    pub name: Option<DisplayName>,
    /// How they came.
    pub source: Source,
    /// May send.
    #[serde(skip)]
    pub publish: bool,
    /// May receive.
    #[serde(skip)]
    pub subscribe: bool,
    /// May moderate.
    #[serde(skip)]
    pub admin: bool,
    /// What they send.
    pub tracks: Vec<Track>,
}

/// A room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    /// Made by a request: it stays when the last one has left, until it is ended or was empty for long.
    pub(crate) metadata: String,
    pub(crate) participants_max: usize,
    pub(crate) participants: Vec<Participant>,
    /// Since when nobody is in it.
    pub(crate) empty_since: Option<Instant>,
}

impl Room {
    pub(crate) fn participant_mut(&mut self, id: ParticipantId) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|participant| participant.id == id)
    }
}
