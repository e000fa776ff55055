//! Publishers and players by HTTP: WHIP (RFC 9725) and WHEP.

use core::fmt;
use core::fmt::Write;

use raceway_units::Instant;

use super::{Media, Meetings, Owner, Playing, Published};
use crate::connections::ConnectionId;
use crate::grants::Grants;
use crate::http::{Change, EntityTag, Role};
use crate::name::{Identity, RoomName};
use crate::negotiation::{Format, Offered, Received};
use crate::refusal::Refusal;
use crate::room::{ParticipantId, Source, TrackId, TrackKind};
use crate::rooms::Why;

/// Names a session in `Location`: nobody guesses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionName(Box<str>);

impl SessionName {
    /// As it stands in a path.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A session that was made: 201.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// For `Location`.
    pub session: SessionName,
    /// For `ETag`.
    pub tag: EntityTag,
    /// The answer.
    pub sdp: String,
    /// Who it is in the room.
    pub participant: ParticipantId,
}

/// A publisher or player.
#[derive(Debug)]
pub(super) struct Session {
    pub participant: ParticipantId,
    pub room: RoomName,
    pub identity: Identity,
    pub connection: ConnectionId,
    tag: EntityTag,
    /// The client's user fragment: another one is a restart.
    peer: String,
    mid: String,
    /// Of a player: what goes by each, if anything does.
    pub sections: Vec<(Option<TrackId>, Playing)>,
}

/// What was agreed on, before anybody is let in.
struct Agreed {
    sdp: String,
    received: Vec<Received>,
    sections: Vec<(Option<TrackId>, Playing)>,
}

impl Meetings {
    /// An offer on an endpoint.
    ///
    /// # Errors
    /// Why it is not answered; nothing has changed then.
    pub fn create(
        &mut self,
        now: Instant,
        grants: &Grants,
        room: &RoomName,
        role: Role,
        body: &[u8],
    ) -> Result<Created, Refusal> {
        let offered = Offered::read(body)?;
        let (connection, credentials) = self.open(now, offered.we_open)?;
        let ours = self.ours(connection, 1, &credentials);
        let agreed = ours.and_then(|ours| match role {
            Role::Publish => self.agree_to_publish(&offered, &ours),
            Role::Play => self.agree_to_play(&offered, &ours, room),
        });
        let let_in = agreed.and_then(|agreed| {
            self.connections.set_remote(now, connection, &offered)?;
            let source = if role == Role::Publish { Source::Whip } else { Source::Whep };
            Ok((self.rooms.join(now, grants, room, None, source)?, agreed))
        });
        match let_in {
            Ok((participant, agreed)) => Ok(self.begin(now, grants, room, connection, participant, &offered, agreed)),
            Err(refusal) => {
                self.close(connection);
                Err(refusal)
            }
        }
    }

    fn agree_to_publish(&self, offered: &Offered, ours: &crate::negotiation::Ours) -> Result<Agreed, Refusal> {
        let answer = offered.answer_publisher(ours, &self.settings.preferred)?;
        let most = self.settings.rooms.tracks_per_participant;
        if answer.accepted.len() > most {
            return Err(Refusal::Full { what: "tracks of a participant", most });
        }
        Ok(Agreed { sdp: answer.sdp, received: answer.accepted, sections: Vec::new() })
    }

    fn agree_to_play(
        &mut self,
        offered: &Offered,
        ours: &crate::negotiation::Ours,
        room: &RoomName,
    ) -> Result<Agreed, Refusal> {
        let inside = self.tracks.iter().filter(|(_, published)| published.room == *room);
        let (tracks, formats): (Vec<TrackId>, Vec<Format>) =
            inside.map(|(track, published)| (*track, published.section.format.clone())).unzip();
        let preferred = self.settings.preferred.clone();
        let answer = offered.answer_player(ours, &preferred, &formats, |track| match track {
            Some(at) => self.stream_of(tracks[at]),
            None => self.stream("room", "later"),
        })?;
        let sections = answer.accepted.into_iter().map(|sent| {
            let playing =
                Playing { mid: sent.mid, format: sent.format, extensions: sent.extensions, stream: sent.stream };
            (sent.track.map(|at| tracks[at]), playing)
        });
        Ok(Agreed { sdp: answer.sdp, received: Vec::new(), sections: sections.collect() })
    }

    #[expect(clippy::too_many_arguments, reason = "one place where all that was found out comes together")]
    fn begin(
        &mut self,
        now: Instant,
        grants: &Grants,
        room: &RoomName,
        connection: ConnectionId,
        participant: ParticipantId,
        offered: &Offered,
        agreed: Agreed,
    ) -> Created {
        let name = SessionName(format!("{:016x}{:016x}", self.connections.draw(), self.connections.draw()).into());
        let tag = EntityTag::from_random(self.connections.draw());
        self.own(connection, Owner::Session(name.clone()));
        for (track, playing) in &agreed.sections {
            track.iter().for_each(|track| self.send(connection, *track, playing.clone()));
        }
        let mids =
            agreed.received.iter().map(|section| &section.mid).chain(agreed.sections.iter().map(|(_, p)| &p.mid));
        let session = Session {
            participant,
            room: room.clone(),
            identity: grants.identity.clone(),
            connection,
            tag,
            peer: offered.credentials.fragment.clone(),
            mid: mids.clone().next().cloned().unwrap_or_default(),
            sections: agreed.sections,
        };
        self.sessions.insert(name.clone(), session);
        // Within the limit, which was looked at, and granted, since it was let in.
        let _ = self.receive(participant, room, connection, agreed.received, &[]);
        self.settle(now);
        Created { session: name, tag, sdp: agreed.sdp, participant }
    }

    /// Publishes tracks by media sections; `kinds` says of some what they are of.
    pub(super) fn receive(
        &mut self,
        participant: ParticipantId,
        room: &RoomName,
        connection: ConnectionId,
        sections: Vec<Received>,
        kinds: &[crate::signal::Offered],
    ) -> Result<Vec<TrackId>, Refusal> {
        let kind = |section: &Received| {
            let said = kinds.iter().find(|offered| offered.mid == section.mid).map(|offered| offered.kind);
            let usual = if section.is_audio { TrackKind::Microphone } else { TrackKind::Camera };
            said.filter(|kind| kind.is_audio() == section.is_audio).unwrap_or(usual)
        };
        let wanted: Vec<_> = sections.iter().map(|section| (kind(section), section.mid.clone())).collect();
        let numbers = self.rooms.publish(participant, &wanted)?;
        for (track, section) in numbers.iter().zip(sections) {
            self.media(Media::Receive { connection, track: *track, section: Box::new(section.clone()) });
            let published = Published { room: room.clone(), participant, connection, section };
            self.tracks.insert(*track, published);
        }
        Ok(numbers)
    }

    /// A `PATCH` on a session: nothing to answer (204), or another tag and a fragment (200).
    ///
    /// # Errors
    /// Why it changes nothing.
    pub fn change(
        &mut self,
        now: Instant,
        grants: &Grants,
        name: &SessionName,
        if_match: Option<&str>,
        body: &[u8],
    ) -> Result<Option<(EntityTag, String)>, Refusal> {
        let session = self.sessions.get(name).ok_or(Refusal::Gone("session"))?;
        Self::may_change(grants, session)?;
        let (connection, mid) = (session.connection, session.mid.clone());
        let fragment = match Change::read(if_match, session.tag, &session.peer, body)? {
            // We are lite: we send no checks, so candidates tell us nothing (RFC 8445 section 6.1.1).
            Change::Trickle(_) => return Ok(None),
            Change::Restart(fragment) => fragment,
        };
        let (user, password) = fragment.credentials.ok_or(Refusal::NoEntityTag)?;
        let ours = self.connections.restart(connection, &user, &password)?;
        let tag = EntityTag::from_random(self.connections.draw());
        if let Some(session) = self.sessions.get_mut(name) {
            (session.tag, session.peer) = (tag, user);
        }
        self.settle(now);
        let mut text = format!("a=ice-lite\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ours.ufrag(), ours.password());
        write!(text, "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n").expect("a string takes all");
        for (index, address) in self.settings.addresses.iter().enumerate() {
            let candidate = crate::negotiation::host_candidate(index, *address);
            write!(text, "a=candidate:{candidate}\r\n").expect("a string takes all");
        }
        text.push_str("a=end-of-candidates\r\n");
        Ok(Some((tag, text)))
    }

    /// A `DELETE` on a session.
    ///
    /// # Errors
    /// Why it goes on.
    pub fn delete(&mut self, now: Instant, grants: &Grants, name: &SessionName) -> Result<(), Refusal> {
        let session = self.sessions.get(name).ok_or(Refusal::Gone("session"))?;
        Self::may_change(grants, session)?;
        let participant = session.participant;
        self.rooms.leave(now, participant, Why::Left);
        self.settle(now);
        Ok(())
    }
}
