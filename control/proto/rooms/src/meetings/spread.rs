//! What happened in rooms, told to who is in them, and to the data plane.

use raceway_units::Instant;

use super::{Media, Meetings, Output, Owner, Playing};
use crate::name::RoomName;
use crate::room::{ParticipantId, TrackId};
use crate::rooms::{Event, Why};
use crate::signal::FromServer;

impl Meetings {
    /// Tells all that happened since the last time.
    pub(super) fn spread(&mut self, now: Instant) {
        while let Some(event) = self.rooms.poll_event() {
            match &event {
                Event::ParticipantJoined { room, participant } => {
                    self.tell(room, participant.id, &FromServer::ParticipantJoined { participant });
                }
                Event::ParticipantLeft { room, participant, why } => self.left(room, *participant, *why),
                Event::TrackPublished { room, participant, track } => {
                    self.tell(room, *participant, &FromServer::TrackPublished { participant: *participant, track });
                    self.attach(room, track.id);
                }
                Event::TrackUnpublished { room, participant, track } => {
                    let told = FromServer::TrackUnpublished { participant: *participant, track: *track };
                    self.tell(room, *participant, &told);
                    self.remove_track(*track);
                }
                Event::TrackMuted { room, participant, track } => {
                    // Its publisher as well: somebody else may have done it.
                    self.tell(room, ParticipantId(0), &FromServer::TrackMuted { participant: *participant, track });
                    let (track, silent) = (track.id, track.is_muted_by_moderator);
                    self.media(Media::Silence { track, silent });
                }
                Event::RoomStarted { .. } | Event::RoomEnded { .. } => {}
            }
            self.outputs.push_back(Output::Event(event));
        }
        self.offer_all(now);
    }

    /// Tells a room's members, but one.
    fn tell(&mut self, room: &RoomName, but: ParticipantId, message: &FromServer<'_>) {
        let text = message.write();
        for participant in self.rooms.participants(room) {
            if participant.id != but && self.members.contains_key(&participant.id) {
                self.outputs.push_back(Output::Message { to: participant.id, text: text.clone() });
            }
        }
    }

    fn left(&mut self, room: &RoomName, id: ParticipantId, why: Why) {
        self.tell(room, id, &FromServer::ParticipantLeft { participant: id, why });
        let tracks = self.tracks.iter().filter(|(_, published)| published.participant == id);
        let tracks: Vec<_> = tracks.map(|(track, _)| *track).collect();
        tracks.into_iter().for_each(|track| self.remove_track(track));
        if let Some(member) = self.members.remove(&id) {
            self.outputs.push_back(Output::Message { to: id, text: FromServer::Bye { why }.write() });
            self.outputs.push_back(Output::Hangup { to: id });
            member.connections().for_each(|connection| self.close(connection));
        }
        let session = self.sessions.iter().find(|(_, session)| session.participant == id).map(|(name, _)| name.clone());
        if let Some(session) = session.and_then(|name| self.sessions.remove(&name)) {
            self.close(session.connection);
        }
    }

    /// A track goes to everybody in its room who receives.
    fn attach(&mut self, room: &RoomName, track: TrackId) {
        let Some(publisher) = self.tracks.get(&track).map(|published| published.participant) else { return };
        let others = self.rooms.participants(room).iter().filter(|other| other.id != publisher && other.subscribe);
        let others: Vec<_> = others.map(|other| other.id).collect();
        for other in others {
            if self.members.contains_key(&other) {
                self.place(other, track);
            }
        }
        self.attach_to_players(room, track);
    }

    /// A player whose section waits for a track of this codec gets it.
    fn attach_to_players(&mut self, room: &RoomName, track: TrackId) {
        let Some(published) = self.tracks.get(&track) else { return };
        let format = &published.section.format;
        let mut sends = Vec::new();
        for session in self.sessions.values_mut().filter(|session| session.room == *room) {
            let waiting =
                session.sections.iter_mut().find(|(of, playing)| of.is_none() && playing.format.takes(format));
            if let Some((of, playing)) = waiting {
                *of = Some(track);
                let section = Box::new(playing.clone());
                sends.push(Media::Send { connection: session.connection, track, section });
            }
        }
        sends.into_iter().for_each(|send| self.media(send));
    }

    /// A track comes no more.
    pub(super) fn remove_track(&mut self, track: TrackId) {
        if self.tracks.remove(&track).is_none() {
            return;
        }
        let mut unsends = Vec::new();
        for member in self.members.values_mut() {
            unsends.extend(member.displace(track).map(|connection| Media::Unsend { connection, track }));
        }
        for session in self.sessions.values_mut() {
            for (of, _) in session.sections.iter_mut().filter(|(of, _)| *of == Some(track)) {
                *of = None;
                unsends.push(Media::Unsend { connection: session.connection, track });
            }
        }
        unsends.into_iter().for_each(|unsend| self.media(unsend));
        self.media(Media::Unreceive { track });
    }

    /// Begins to send a track by a media section that was agreed on.
    pub(super) fn send(&mut self, connection: super::ConnectionId, track: TrackId, playing: Playing) {
        self.media(Media::Send { connection, track, section: Box::new(playing) });
    }

    /// Whose a connection is from now on.
    pub(super) fn own(&mut self, connection: super::ConnectionId, owner: Owner) {
        self.owners.insert(connection, owner);
    }
}
