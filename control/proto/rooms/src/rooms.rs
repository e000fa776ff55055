//! The rooms of a node: made, joined, left, ended; what is published in them, and what others are told of it.

use core::time::Duration;
use std::collections::VecDeque;

use hashbrown::HashMap;
use raceway_units::Instant;
use serde::Serialize;

use crate::grants::Grants;
use crate::limits;
use crate::name::{DisplayName, Identity, RoomName};
use crate::refusal::Refusal;
use crate::room::{Participant, ParticipantId, Room, Source, Track, TrackId, TrackKind};

/// Limits of a node, and what becomes of rooms by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rooms at a time.
    pub rooms_max: usize,
    /// Participants at a time, in all rooms.
    pub participants_max: usize,
    /// Participants in a room that does not say otherwise.
    pub participants_per_room: usize,
    /// Participants at a time with one identity: with one token.
    pub participants_per_identity: usize,
    /// Tracks of a participant.
    pub tracks_per_participant: usize,
    /// Whoever comes first makes the room.
    pub is_made_by_first: bool,
    /// How long a room stays without anybody in it.
    pub empty_for: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rooms_max: 1000,
            participants_max: 10_000,
            participants_per_room: 2500,
            participants_per_identity: 2500,
            tracks_per_participant: 8,
            is_made_by_first: true,
            empty_for: Duration::from_secs(60),
        }
    }
}

/// Why somebody is not in a room any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// They went.
    Left,
    /// Nothing was heard of them any more.
    TimedOut,
    /// A moderator put them out.
    Removed,
    /// The room has ended.
    RoomEnded,
    /// They are here again, by another connection.
    Replaced,
}

/// What happened: for the others in the room, for webhooks, for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// There is a room.
    RoomStarted {
        /// Which.
        room: RoomName,
    },
    /// There is none any more.
    RoomEnded {
        /// Which.
        room: RoomName,
    },
    /// Somebody came.
    ParticipantJoined {
        /// Where.
        room: RoomName,
        /// Who, without tracks yet.
        participant: Participant,
    },
    /// Somebody is gone, and what they sent.
    ParticipantLeft {
        /// From where.
        room: RoomName,
        /// Who.
        participant: ParticipantId,
        /// Why.
        why: Why,
    },
    /// A track more.
    TrackPublished {
        /// Where.
        room: RoomName,
        /// Whose.
        participant: ParticipantId,
        /// What.
        track: Track,
    },
    /// A track less.
    TrackUnpublished {
        /// Where.
        room: RoomName,
        /// Whose.
        participant: ParticipantId,
        /// Which.
        track: TrackId,
    },
    /// A track is silent now, or is not any more.
    TrackMuted {
        /// Where.
        room: RoomName,
        /// Whose.
        participant: ParticipantId,
        /// As it is now.
        track: Track,
    },
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The rooms of a node.
#[derive(Debug)]
pub struct Rooms {
    settings: Settings,
    rooms: Map<RoomName, Room>,
    /// In which room each is, and by whose token.
    whereabouts: Map<ParticipantId, (RoomName, Identity)>,
    /// How many are here with each token.
    alike: Map<Identity, usize>,
    events: VecDeque<Event>,
    participants: u32,
    tracks: u32,
}

/// What is asked of a room that is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// For whoever made it.
    pub metadata: String,
    /// Instead of the node's.
    pub participants_max: Option<usize>,
}

impl Rooms {
    /// No rooms yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            rooms: Map::default(),
            whereabouts: Map::default(),
            alike: Map::default(),
            events: VecDeque::new(),
            participants: 0,
            tracks: 0,
        }
    }

    /// Other limits from now on; who is here stays.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Makes a room. The same again changes nothing.
    ///
    /// # Errors
    /// When that is not granted, the room is another one, or there are too many.
    pub fn create(
        &mut self,
        now: Instant,
        grants: &Grants,
        name: &RoomName,
        wanted: &Properties,
    ) -> Result<(), Refusal> {
        moderates(grants, name)?;
        if wanted.metadata.len() > limits::METADATA_MAX {
            return Err(Refusal::Full { what: "octets of metadata", most: limits::METADATA_MAX });
        }
        let most = wanted.participants_max.unwrap_or(self.settings.participants_per_room);
        match self.rooms.get(name) {
            Some(room) if room.participants_max == most && room.metadata == wanted.metadata => Ok(()),
            Some(_) => Err(Refusal::Exists(name.clone())),
            None => self.make(now, name, &wanted.metadata, most),
        }
    }

    fn make(&mut self, now: Instant, name: &RoomName, metadata: &str, participants_max: usize) -> Result<(), Refusal> {
        if self.rooms.len() >= self.settings.rooms_max {
            return Err(Refusal::Full { what: "rooms on this node", most: self.settings.rooms_max });
        }
        let room = Room {
            name: name.clone(),
            metadata: metadata.to_owned(),
            participants_max,
            participants: Vec::new(),
            empty_since: Some(now),
        };
        self.rooms.insert(name.clone(), room);
        self.events.push_back(Event::RoomStarted { room: name.clone() });
        Ok(())
    }

    /// Ends a room: all in it have left.
    ///
    /// # Errors
    /// When that is not granted, or there is none.
    pub fn end(&mut self, grants: &Grants, name: &RoomName) -> Result<(), Refusal> {
        moderates(grants, name)?;
        if !self.rooms.contains_key(name) {
            return Err(Refusal::NoRoom(name.clone()));
        }
        self.close(name);
        Ok(())
    }

    fn close(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.remove(name) else { return };
        for participant in room.participants {
            self.forget(participant.id);
            let left = Event::ParticipantLeft { room: name.clone(), participant: participant.id, why: Why::RoomEnded };
            self.events.push_back(left);
        }
        self.events.push_back(Event::RoomEnded { room: name.clone() });
    }

    /// Lets somebody in.
    ///
    /// # Errors
    /// When that is not granted, there is no such room, or a limit is reached.
    pub fn join(
        &mut self,
        now: Instant,
        grants: &Grants,
        name: &RoomName,
        shown: Option<DisplayName>,
        source: Source,
    ) -> Result<ParticipantId, Refusal> {
        self.may_join(grants, name, source)?;
        if !self.rooms.contains_key(name) {
            if !self.settings.is_made_by_first {
                return Err(Refusal::NoRoom(name.clone()));
            }
            self.make(now, name, "", self.settings.participants_per_room)?;
        }
        self.participants += 1;
        let participant = Participant {
            id: ParticipantId(self.participants),
            identity: grants.identity.clone(),
            name: grants.name.clone().or(shown),
            source,
            publish: grants.publish && source != Source::Whep,
            subscribe: grants.subscribe && source != Source::Whip,
            admin: grants.admin,
            tracks: Vec::new(),
        };
        let room = self.rooms.get_mut(name).expect("it was found or made above");
        room.empty_since = None;
        room.participants.push(participant.clone());
        self.whereabouts.insert(participant.id, (name.clone(), participant.identity.clone()));
        *self.alike.entry(participant.identity.clone()).or_default() += 1;
        let id = participant.id;
        self.events.push_back(Event::ParticipantJoined { room: name.clone(), participant });
        Ok(id)
    }

    fn may_join(&self, grants: &Grants, name: &RoomName, source: Source) -> Result<(), Refusal> {
        let no = |what| Err(Refusal::NoGrant { what, room: name.clone() });
        match source {
            _ if !grants.covers(name) => return no("take part"),
            Source::Whip if !grants.publish => return no("publish"),
            Source::Whep if !grants.subscribe => return no("play"),
            Source::Meeting if !(grants.publish || grants.subscribe) => return no("take part"),
            _ => {}
        }
        let settings = &self.settings;
        if self.whereabouts.len() >= settings.participants_max {
            return Err(Refusal::Full { what: "participants on this node", most: settings.participants_max });
        }
        let alike = self.alike.get(&grants.identity).copied().unwrap_or(0);
        if alike >= settings.participants_per_identity {
            return Err(Refusal::Full {
                what: "participants with this token",
                most: settings.participants_per_identity,
            });
        }
        let Some(room) = self.rooms.get(name) else { return Ok(()) };
        if room.participants.len() >= room.participants_max {
            return Err(Refusal::Full { what: "participants in this room", most: room.participants_max });
        }
        let publishes = |other: &Participant| other.source == Source::Whip && other.identity == grants.identity;
        if source == Source::Whip && !grants.is_shared && room.participants.iter().any(publishes) {
            return Err(Refusal::Publishes(grants.identity.to_string()));
        }
        Ok(())
    }

    /// Somebody is gone.
    pub fn leave(&mut self, now: Instant, id: ParticipantId, why: Why) {
        let Some(name) = self.forget(id) else { return };
        let Some(room) = self.rooms.get_mut(&name) else { return };
        room.participants.retain(|participant| participant.id != id);
        if room.participants.is_empty() {
            room.empty_since = Some(now);
        }
        self.events.push_back(Event::ParticipantLeft { room: name, participant: id, why });
    }

    fn forget(&mut self, id: ParticipantId) -> Option<RoomName> {
        let (name, identity) = self.whereabouts.remove(&id)?;
        if let Some(alike) = self.alike.get_mut(&identity) {
            *alike -= 1;
            if *alike == 0 {
                self.alike.remove(&identity);
            }
        }
        Some(name)
    }

    /// Puts somebody out.
    ///
    /// # Errors
    /// When that is not granted, or nobody of that number is in the room.
    pub fn remove(&mut self, now: Instant, grants: &Grants, name: &RoomName, id: ParticipantId) -> Result<(), Refusal> {
        moderates(grants, name)?;
        if self.whereabouts.get(&id).map(|(place, _)| place) != Some(name) {
            return Err(Refusal::Gone("participant"));
        }
        self.leave(now, id, Why::Removed);
        Ok(())
    }

    /// Somebody sends these as well: a kind and a media section each.
    ///
    /// # Errors
    /// When that is not granted, or more than are taken; then none of them is there.
    pub fn publish(&mut self, id: ParticipantId, tracks: &[(TrackKind, String)]) -> Result<Vec<TrackId>, Refusal> {
        let most = self.settings.tracks_per_participant;
        let (name, participant) = self.find(id)?;
        if !participant.publish {
            return Err(Refusal::NoGrant { what: "publish", room: name });
        }
        if participant.tracks.len() + tracks.len() > most {
            return Err(Refusal::Full { what: "tracks of a participant", most });
        }
        let mut numbers = Vec::with_capacity(tracks.len());
        for (kind, mid) in tracks {
            self.tracks += 1;
            let id_of_track = TrackId(self.tracks);
            let (kind, mid) = (*kind, mid.clone());
            let track = Track { id: id_of_track, kind, mid, is_muted: false, is_muted_by_moderator: false };
            self.find(id)?.1.tracks.push(track.clone());
            self.events.push_back(Event::TrackPublished { room: name.clone(), participant: id, track });
            numbers.push(id_of_track);
        }
        Ok(numbers)
    }

    /// Somebody does not send this any more.
    ///
    /// # Errors
    /// When they do not anyway.
    pub fn unpublish(&mut self, id: ParticipantId, track: TrackId) -> Result<(), Refusal> {
        let (room, participant) = self.find(id)?;
        let before = participant.tracks.len();
        participant.tracks.retain(|other| other.id != track);
        if participant.tracks.len() == before {
            return Err(Refusal::Gone("track"));
        }
        self.events.push_back(Event::TrackUnpublished { room, participant: id, track });
        Ok(())
    }

    /// Its publisher switches a track off or on.
    ///
    /// # Errors
    /// When it is not theirs, or a moderator has switched it off.
    pub fn mute(&mut self, id: ParticipantId, track: TrackId, muted: bool) -> Result<(), Refusal> {
        let (room, participant) = self.find(id)?;
        let found = participant.tracks.iter_mut().find(|other| other.id == track).ok_or(Refusal::Gone("track"))?;
        if found.is_muted_by_moderator && !muted {
            return Err(Refusal::NoGrant { what: "unmute what a moderator has muted", room });
        }
        if found.is_muted != muted {
            found.is_muted = muted;
            let track = found.clone();
            self.events.push_back(Event::TrackMuted { room, participant: id, track });
        }
        Ok(())
    }

    /// A moderator switches somebody's track off, or lets them have it on again.
    ///
    /// # Errors
    /// When that is not granted, or there is no such track in the room.
    pub fn moderate(&mut self, grants: &Grants, name: &RoomName, track: TrackId, muted: bool) -> Result<(), Refusal> {
        moderates(grants, name)?;
        let room = self.rooms.get_mut(name).ok_or_else(|| Refusal::NoRoom(name.clone()))?;
        let everybody = room.participants.iter_mut();
        let mut tracks = everybody.flat_map(|participant| participant.tracks.iter_mut().map(|t| (participant.id, t)));
        let (participant, found) = tracks.find(|(_, other)| other.id == track).ok_or(Refusal::Gone("track"))?;
        if found.is_muted_by_moderator != muted {
            found.is_muted_by_moderator = muted;
            found.is_muted |= muted;
            let track = found.clone();
            self.events.push_back(Event::TrackMuted { room: name.clone(), participant, track });
        }
        Ok(())
    }

    fn find(&mut self, id: ParticipantId) -> Result<(RoomName, &mut Participant), Refusal> {
        let (name, _) = self.whereabouts.get(&id).ok_or(Refusal::Gone("participant"))?;
        let room = self.rooms.get_mut(name).ok_or(Refusal::Gone("participant"))?;
        let participant = room.participant_mut(id).ok_or(Refusal::Gone("participant"))?;
        Ok((name.clone(), participant))
    }

    /// Everybody in a room; nobody if there is no such room.
    #[must_use]
    pub fn participants(&self, name: &RoomName) -> &[Participant] {
        self.rooms.get(name).map_or(&[], |room| &room.participants)
    }

    /// All rooms, with how many are in each.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomName, &str, usize)> {
        self.rooms.values().map(|room| (&room.name, room.metadata.as_str(), room.participants.len()))
    }

    /// When a room has been empty for long enough, at the earliest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rooms.values().filter_map(|room| room.empty_since).min().map(|since| since.after(self.settings.empty_for))
    }

    /// Ends rooms that were empty for long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        let empty_for = self.settings.empty_for;
        let is_over = |room: &&Room| room.empty_since.is_some_and(|since| now >= since.after(empty_for));
        let over: Vec<_> = self.rooms.values().filter(is_over).map(|room| room.name.clone()).collect();
        over.iter().for_each(|name| self.close(name));
    }
}

fn moderates(grants: &Grants, name: &RoomName) -> Result<(), Refusal> {
    let may = grants.admin && grants.covers(name);
    if may { Ok(()) } else { Err(Refusal::NoGrant { what: "moderate", room: name.clone() }) }
}
