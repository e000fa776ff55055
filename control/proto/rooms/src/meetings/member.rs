//! Members of meetings: what they say, and what they are told.

use raceway_ice::Credentials;
use raceway_units::Instant;

use super::{ConnectionId, Media, Meetings, Output, Owner, Playing};
use crate::grants::Grants;
use crate::name::{DisplayName, Identity, RoomName};
use crate::negotiation::{Extension, Offered, Places, Received};
use crate::refusal::Refusal;
use crate::room::{ParticipantId, Source, TrackId};
use crate::rooms::Why;
use crate::signal::{self, FromClient, FromServer, Helper, Placed};

/// A member of a meeting.
#[derive(Debug)]
pub(super) struct Member {
    room: RoomName,
    identity: Identity,
    grants: Grants,
    resume: String,
    /// Since when its signalling is broken.
    pub gone_since: Option<Instant>,
    publisher: Option<Publisher>,
    subscriber: Subscriber,
}

/// The connection by which it sends.
#[derive(Debug)]
struct Publisher {
    connection: ConnectionId,
    credentials: Credentials,
    peer: String,
    version: u64,
}

/// The connection by which it receives.
#[derive(Debug, Default)]
struct Subscriber {
    connection: Option<(ConnectionId, Credentials)>,
    version: u64,
    places: Places,
    /// As it was offered, while the answer is awaited.
    offered: Option<Places>,
    /// Other than what was offered last.
    is_stale: bool,
    /// Sent already.
    sent: Vec<TrackId>,
}

impl Member {
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        let publisher = self.publisher.as_ref().map(|publisher| publisher.connection);
        publisher.into_iter().chain(self.subscriber.connection.as_ref().map(|(connection, _)| *connection))
    }

    /// A track goes to it no more; by which connection it did.
    pub fn displace(&mut self, track: TrackId) -> Option<ConnectionId> {
        let subscriber = &mut self.subscriber;
        subscriber.is_stale |= subscriber.places.remove(track);
        let before = subscriber.sent.len();
        subscriber.sent.retain(|sent| *sent != track);
        let (connection, _) = subscriber.connection.as_ref()?;
        (subscriber.sent.len() < before).then_some(*connection)
    }
}

impl Meetings {
    /// Somebody joins by the meeting protocol, or comes back with what `joined` gave: then their connections go on.
    ///
    /// # Errors
    /// Why not.
    pub fn join(
        &mut self,
        now: Instant,
        grants: &Grants,
        room: &RoomName,
        name: Option<DisplayName>,
        resume: Option<&str>,
    ) -> Result<ParticipantId, Refusal> {
        let is_it = |member: &Member| {
            member.room == *room && member.identity == grants.identity && Some(member.resume.as_str()) == resume
        };
        let known = self.members.iter().find(|(_, member)| is_it(member)).map(|(id, _)| *id);
        if let Some(id) = known {
            self.resume(id);
            return Ok(id);
        }
        let id = self.rooms.join(now, grants, room, name, Source::Meeting)?;
        let resume = format!("{:016x}{:016x}", self.connections.draw(), self.connections.draw());
        let (room_name, identity, grants) = (room.clone(), grants.identity.clone(), grants.clone());
        let subscriber = Subscriber::default();
        let member =
            Member { room: room_name, identity, grants, resume, gone_since: None, publisher: None, subscriber };
        self.members.insert(id, member);
        self.welcome(id);
        let others = self.tracks.iter().filter(|(_, published)| published.room == *room);
        let tracks: Vec<_> = others.map(|(track, _)| *track).collect();
        let subscribes = self.rooms.participants(room).iter().any(|other| other.id == id && other.subscribe);
        if subscribes {
            tracks.into_iter().for_each(|track| self.place(id, track));
        }
        self.settle(now);
        Ok(id)
    }

    fn resume(&mut self, id: ParticipantId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.gone_since = None;
        // Whatever was on its way is lost.
        if member.subscriber.offered.take().is_some() {
            member.subscriber.is_stale = true;
        }
        self.welcome(id);
        self.offer(id);
    }

    fn welcome(&mut self, id: ParticipantId) {
        let Some(member) = self.members.get(&id) else { return };
        let everybody = self.rooms.participants(&member.room);
        let Some(own) = everybody.iter().find(|participant| participant.id == id) else { return };
        let helpers: Vec<_> = self
            .settings
            .helpers
            .iter()
            .map(|server| {
                let (username, credential) = server.credentials.clone().unzip();
                Helper { urls: server.url.clone(), username, credential }
            })
            .collect();
        let text = FromServer::Joined {
            participant: id,
            room: &member.room,
            participants: everybody,
            ice_servers: &helpers,
            resume: &member.resume,
            may_publish: own.publish,
            may_moderate: own.admin,
        }
        .write();
        self.outputs.push_back(Output::Message { to: id, text });
    }

    /// A member's signalling broke: it is waited for.
    pub fn disconnected(&mut self, now: Instant, id: ParticipantId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.gone_since.get_or_insert(now);
        }
    }

    /// A member says something. What is refused is told, and the rest goes on.
    pub fn handle_message(&mut self, now: Instant, id: ParticipantId, text: &str) {
        let outcome = FromClient::read(text).and_then(|message| self.obey(now, id, message));
        if let Err(refusal) = outcome {
            let text = FromServer::Error { code: refusal.code(), reason: &refusal.to_string() }.write();
            self.outputs.push_back(Output::Message { to: id, text });
        }
        self.settle(now);
    }

    fn obey(&mut self, now: Instant, id: ParticipantId, message: FromClient) -> Result<(), Refusal> {
        let member = self.members.get(&id).ok_or(Refusal::Gone("participant"))?;
        let (room, grants) = (member.room.clone(), member.grants.clone());
        match message {
            FromClient::Join { .. } => Err(Refusal::Message("join is the first message, and only that".to_owned())),
            FromClient::Publish { sdp, tracks } => self.publish(now, id, sdp.as_bytes(), &tracks),
            FromClient::Unpublish { track } => self.rooms.unpublish(id, track),
            FromClient::Answer { sdp } => self.answer(now, id, sdp.as_bytes()),
            // We are lite: candidates tell us nothing.
            FromClient::Candidate { .. } => Ok(()),
            FromClient::Mute { track, muted } => self.rooms.mute(id, track, muted),
            FromClient::Want { track, width, height, priority } => self.want(id, track, (width, height), priority),
            FromClient::Moderate { track, muted } => self.rooms.moderate(&grants, &room, track, muted),
            FromClient::Remove { participant } => self.rooms.remove(now, &grants, &room, participant),
            FromClient::Leave => {
                self.rooms.leave(now, id, Why::Left);
                Ok(())
            }
            FromClient::Ping => {
                self.outputs.push_back(Output::Message { to: id, text: FromServer::Pong.write() });
                Ok(())
            }
        }
    }

    fn want(&mut self, id: ParticipantId, track: TrackId, size: (u16, u16), priority: u8) -> Result<(), Refusal> {
        let subscriber = self.members.get(&id).map(|member| &member.subscriber).ok_or(Refusal::Gone("participant"))?;
        let sent = subscriber.sent.contains(&track);
        let (connection, _) = subscriber.connection.as_ref().filter(|_| sent).ok_or(Refusal::Gone("track"))?;
        let connection = *connection;
        self.media(Media::Want { connection, track, size, priority });
        Ok(())
    }

    /// An offer of all that a member sends.
    fn publish(
        &mut self,
        now: Instant,
        id: ParticipantId,
        body: &[u8],
        kinds: &[signal::Offered],
    ) -> Result<(), Refusal> {
        let offered = Offered::read(body)?;
        let is_new = self.members.get(&id).is_some_and(|member| member.publisher.is_none());
        if is_new {
            let (connection, credentials) = self.open(now, offered.we_open)?;
            let peer = offered.credentials.fragment.clone();
            let publisher = Publisher { connection, credentials, peer, version: 0 };
            if let Err(refusal) = self.connections.set_remote(now, connection, &offered) {
                self.connections.close(connection);
                return Err(refusal);
            }
            self.own(connection, Owner::Publisher(id));
            if let Some(member) = self.members.get_mut(&id) {
                member.publisher = Some(publisher);
            }
        }
        let outcome = self.republish(id, &offered, kinds);
        if outcome.is_err() && is_new {
            let publisher = self.members.get_mut(&id).and_then(|member| member.publisher.take());
            publisher.into_iter().for_each(|publisher| self.close(publisher.connection));
        }
        outcome
    }

    /// Answers an offer on a connection that is there.
    fn republish(&mut self, id: ParticipantId, offered: &Offered, kinds: &[signal::Offered]) -> Result<(), Refusal> {
        let publisher = self.members.get(&id).and_then(|member| member.publisher.as_ref());
        let publisher = publisher.ok_or(Refusal::Gone("connection"))?;
        let (connection, version) = (publisher.connection, publisher.version + 1);
        let mut credentials = publisher.credentials.clone();
        let theirs = &offered.credentials;
        let restarts = publisher.peer != theirs.fragment;
        // Before anything is changed.
        Credentials::new(&theirs.fragment, &theirs.password)
            .map_err(|error| Refusal::Description(error.to_string()))?;
        let ours = self.ours(connection, version, &credentials)?;
        let answer = offered.answer_publisher(&ours, &self.settings.preferred)?;
        let fresh = self.publish_sections(id, connection, answer.accepted, kinds)?;
        let mut sdp = answer.sdp;
        if restarts {
            credentials = self.connections.restart(connection, &theirs.fragment, &theirs.password)?;
            let ours = self.ours(connection, version, &credentials)?;
            sdp = offered.answer_publisher(&ours, &self.settings.preferred)?.sdp;
        }
        if let Some(publisher) = self.members.get_mut(&id).and_then(|member| member.publisher.as_mut()) {
            (publisher.version, publisher.credentials) = (version, credentials);
            publisher.peer.clone_from(&theirs.fragment);
        }
        let text = FromServer::Published { sdp: &sdp, tracks: &fresh }.write();
        self.outputs.push_back(Output::Message { to: id, text });
        Ok(())
    }

    /// What is new in an offer is published, what is not in it any more is not; the numbers of what is new.
    fn publish_sections(
        &mut self,
        id: ParticipantId,
        connection: ConnectionId,
        mut sections: Vec<Received>,
        kinds: &[signal::Offered],
    ) -> Result<Vec<TrackId>, Refusal> {
        let room = self.members.get(&id).map(|member| member.room.clone()).ok_or(Refusal::Gone("participant"))?;
        let own = self.tracks.iter().filter(|(_, published)| published.connection == connection);
        let known: Vec<_> = own.map(|(track, published)| (*track, published.section.mid.clone())).collect();
        let gone = known.iter().filter(|(_, mid)| sections.iter().all(|section| section.mid != *mid));
        let gone: Vec<_> = gone.map(|(track, _)| *track).collect();
        sections.retain(|section| known.iter().all(|(_, mid)| section.mid != *mid));
        let fresh = self.receive(id, &room, connection, sections, kinds)?;
        for track in gone {
            self.rooms.unpublish(id, track)?;
        }
        Ok(fresh)
    }

    pub(super) fn lose_publisher(&mut self, now: Instant, id: ParticipantId, why: &str) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let Some(publisher) = member.publisher.take() else { return };
        let own = self.tracks.iter().filter(|(_, published)| published.connection == publisher.connection);
        let own: Vec<_> = own.map(|(track, _)| *track).collect();
        for track in own {
            // It is theirs: it was found among what came by their connection.
            let _ = self.rooms.unpublish(id, track);
        }
        self.spread(now);
        self.close(publisher.connection);
        self.say_lost(id, why);
    }

    pub(super) fn lose_subscriber(&mut self, now: Instant, id: ParticipantId, why: &str) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let subscriber = &mut member.subscriber;
        let Some((connection, _)) = subscriber.connection.take() else { return };
        (subscriber.offered, subscriber.is_stale) = (None, true);
        subscriber.sent.clear();
        self.close(connection);
        self.say_lost(id, why);
        self.offer_all(now);
    }

    fn say_lost(&mut self, id: ParticipantId, why: &str) {
        let text = FromServer::Error { code: "connection_lost", reason: why }.write();
        self.outputs.push_back(Output::Message { to: id, text });
    }

    /// A track gets a media section of a member's.
    pub(super) fn place(&mut self, id: ParticipantId, track: TrackId) {
        let stream = self.stream_of(track);
        let Some(published) = self.tracks.get(&track).filter(|published| published.participant != id) else { return };
        let Some(member) = self.members.get_mut(&id) else { return };
        // Whoever has all places taken goes without; the next that leaves makes room for the next that comes.
        if member.subscriber.places.add(track, &published.section.format, stream).is_ok() {
            member.subscriber.is_stale = true;
        }
    }

    /// Offers members what is other than they know, one after the other (RFC 3264 section 4: no offer while one is open).
    pub(super) fn offer_all(&mut self, now: Instant) {
        let is_due = |member: &Member| member.subscriber.is_stale && member.subscriber.offered.is_none();
        let due: Vec<_> = self.members.iter().filter(|(_, member)| is_due(member)).map(|(id, _)| *id).collect();
        for id in due {
            let needs = self.members.get(&id).is_some_and(|member| member.subscriber.connection.is_none());
            if needs {
                // Without a certificate or place it is tried again with the next change.
                let Ok((connection, credentials)) = self.open(now, false) else { continue };
                self.own(connection, Owner::Subscriber(id));
                if let Some(member) = self.members.get_mut(&id) {
                    member.subscriber.connection = Some((connection, credentials));
                }
            }
            self.offer(id);
        }
    }

    fn offer(&mut self, id: ParticipantId) {
        let Some(member) = self.members.get_mut(&id).filter(|member| member.subscriber.is_stale) else { return };
        let subscriber = &mut member.subscriber;
        let Some((connection, credentials)) = subscriber.connection.clone() else { return };
        subscriber.version += 1;
        let version = subscriber.version;
        let Ok(ours) = self.ours(connection, version, &credentials) else { return };
        let Some(subscriber) = self.members.get_mut(&id).map(|member| &mut member.subscriber) else { return };
        subscriber.is_stale = false;
        subscriber.offered = Some(subscriber.places.clone());
        let sdp = subscriber.places.offer(&ours);
        let placed: Vec<_> = subscriber
            .places
            .tracks()
            .filter_map(|(at, track)| {
                let participant = self.tracks.get(&track)?.participant;
                Some(Placed { mid: at.to_string(), track, participant })
            })
            .collect();
        let text = FromServer::Offer { connection: connection.0, sdp: &sdp, tracks: &placed }.write();
        self.outputs.push_back(Output::Message { to: id, text });
    }

    /// The answer to what was offered last.
    fn answer(&mut self, now: Instant, id: ParticipantId, body: &[u8]) -> Result<(), Refusal> {
        let subscriber = self.members.get(&id).map(|member| &member.subscriber).ok_or(Refusal::Gone("participant"))?;
        let unasked = || Refusal::Description("there is no offer that this could be the answer to".to_owned());
        let offered = subscriber.offered.as_ref().ok_or_else(unasked)?;
        let (connection, _) = subscriber.connection.clone().ok_or_else(unasked)?;
        let (described, taken) = offered.answer(body)?;
        self.connections.set_remote(now, connection, &described)?;
        let Some(subscriber) = self.members.get_mut(&id).map(|member| &mut member.subscriber) else { return Ok(()) };
        subscriber.offered = None;
        let mut sends = Vec::new();
        for (at, track) in subscriber.places.tracks() {
            let Some((_, format)) = taken.iter().find(|(known, _)| *known == track) else { continue };
            if !subscriber.sent.contains(&track) {
                let Some(place) = subscriber.places.get(at) else { continue };
                let extensions = Extension::offered(format.codec.is_audio()).to_vec();
                let stream = place.stream().clone();
                sends.push((track, Playing { mid: at.to_string(), format: format.clone(), extensions, stream }));
            }
        }
        subscriber.sent.extend(sends.iter().map(|(track, _)| *track));
        sends.into_iter().for_each(|(track, playing)| self.send(connection, track, playing));
        Ok(())
    }
}
