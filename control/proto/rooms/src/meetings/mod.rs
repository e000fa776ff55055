//! Meetings: rooms, the connections of who is in them, and what goes from whom to whom.
//!
//! The one machine that a shell drives. Requests of HTTP are answered at once; what members say comes in as messages, and what
//! they are told comes out as such. What the data plane has to do comes out as [`Media`].

mod http;
mod member;
mod spread;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use hashbrown::HashMap;
use raceway_dtls::{Hash, Identity, Keys, LibraryError};
use raceway_ice::Credentials;
use raceway_sdp::Fingerprint;
use raceway_units::Instant;

use crate::connections::{ConnectionId, Connections, Happened, Random, Taken, Transmit};
use crate::grants::Grants;
use crate::http::IceServer;
use crate::name::RoomName;
use crate::negotiation::{Codec, Extension, Format, Ours, Outgoing, Received};
use crate::refusal::Refusal;
use crate::room::{ParticipantId, TrackId};
use crate::rooms::{self, Event, Rooms, Why};

use http::Session;
pub use http::{Created, SessionName};
use member::Member;

/// How meetings are held on this node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits.
    pub rooms: rooms::Settings,
    /// Where media is taken, as clients are told; the first is the default.
    pub addresses: Vec<SocketAddr>,
    /// Codecs that publishers are asked for, the best first; their own order where none of these is offered.
    pub preferred: Vec<Codec>,
    /// Servers that help clients to connect.
    pub helpers: Vec<IceServer>,
    /// How long a member whose signalling broke is waited for.
    pub resume_for: Duration,
}

/// What the data plane has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// A connection's media goes between these addresses; said again when that changes.
    At {
        /// Which.
        connection: ConnectionId,
        /// Ours.
        local: SocketAddr,
        /// The client's.
        remote: SocketAddr,
    },
    /// A connection has its keys.
    Keyed {
        /// Which.
        connection: ConnectionId,
        /// Of SRTP.
        keys: Keys,
    },
    /// A connection is gone, with all that went by it.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// A track comes in.
    Receive {
        /// By this connection.
        connection: ConnectionId,
        /// As which.
        track: TrackId,
        /// How.
        section: Box<Received>,
    },
    /// A track does not come in any more.
    Unreceive {
        /// Which.
        track: TrackId,
    },
    /// A track goes out.
    Send {
        /// By this connection.
        connection: ConnectionId,
        /// Which.
        track: TrackId,
        /// How.
        section: Box<Playing>,
    },
    /// A track does not go out any more.
    Unsend {
        /// By this connection.
        connection: ConnectionId,
        /// Which.
        track: TrackId,
    },
    /// How large a track is shown; 0 by 0 is not at all.
    Want {
        /// By who receives by this connection.
        connection: ConnectionId,
        /// Which.
        track: TrackId,
        /// Pixels: width, height.
        size: (u16, u16),
        /// More is served first.
        priority: u8,
    },
    /// A moderator lets nobody hear a track, or lets them again.
    Silence {
        /// Which.
        track: TrackId,
        /// Whether it is silent.
        silent: bool,
    },
}

/// A media section by which a track goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playing {
    /// Its identification.
    pub mid: String,
    /// With the payload types of who receives.
    pub format: Format,
    /// With the ids of who receives.
    pub extensions: Vec<(u8, Extension)>,
    /// What was announced.
    pub stream: Outgoing,
}

/// What comes out of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To a member.
    Message {
        /// To whom.
        to: ParticipantId,
        /// A message of the meeting protocol.
        text: String,
    },
    /// A member's signalling ends here.
    Hangup {
        /// Whose.
        to: ParticipantId,
    },
    /// A datagram to a client.
    Transmit(Transmit),
    /// For the data plane.
    Media(Media),
    /// For webhooks, metrics and the log.
    Event(Event),
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Whose a connection is.
#[derive(Clone, Debug)]
enum Owner {
    Session(SessionName),
    Publisher(ParticipantId),
    Subscriber(ParticipantId),
}

/// A track that comes in.
#[derive(Debug)]
struct Published {
    room: RoomName,
    participant: ParticipantId,
    connection: ConnectionId,
    section: Received,
}

/// The meetings of a node.
#[derive(Debug)]
pub struct Meetings {
    settings: Settings,
    rooms: Rooms,
    connections: Connections,
    identity: Option<(Identity, Fingerprint)>,
    owners: Map<ConnectionId, Owner>,
    sessions: Map<SessionName, Session>,
    members: Map<ParticipantId, Member>,
    /// In the order of their numbers: players get the oldest first.
    tracks: BTreeMap<TrackId, Published>,
    outputs: VecDeque<Output>,
}

impl Meetings {
    /// No rooms yet. `locals` are where media is taken, as the data plane sees it.
    #[must_use]
    pub fn new(settings: Settings, locals: Vec<SocketAddr>, random: Random) -> Self {
        Self {
            rooms: Rooms::new(settings.rooms.clone()),
            settings,
            connections: Connections::new(locals, random),
            identity: None,
            owners: Map::default(),
            sessions: Map::default(),
            members: Map::default(),
            tracks: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// A certificate for connections from now on; without one none is made.
    ///
    /// # Errors
    /// The library cannot hash it.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), LibraryError> {
        let fingerprint = identity.fingerprint(Hash::Sha256)?.to_string();
        self.identity = fingerprint.parse().ok().map(|fingerprint| (identity, fingerprint));
        Ok(())
    }

    /// Other limits from now on; who is here stays.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.rooms.reconfigure(settings.rooms.clone());
        self.settings = settings;
    }

    /// The rooms, for those who list them.
    #[must_use]
    pub const fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Changes rooms as their API asks; others are told.
    ///
    /// # Errors
    /// As the change says.
    pub fn moderate<T>(
        &mut self,
        now: Instant,
        change: impl FnOnce(&mut Rooms) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let outcome = change(&mut self.rooms);
        self.spread(now);
        outcome
    }

    /// A datagram that came to an address of ours and is no media.
    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, payload: &[u8]) -> Taken {
        let taken = self.connections.handle_datagram(now, local, remote, payload);
        self.settle(now);
        taken
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let members = self.members.values().filter_map(|member| member.gone_since);
        let members = members.map(|since| since.after(self.settings.resume_for)).min();
        [self.rooms.poll_timeout(), self.connections.poll_timeout(), members].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.rooms.handle_timeout(now);
        self.connections.handle_timeout(now);
        let resume_for = self.settings.resume_for;
        let is_over = |member: &Member| member.gone_since.is_some_and(|since| now >= since.after(resume_for));
        let over: Vec<_> = self.members.iter().filter(|(_, member)| is_over(member)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.rooms.leave(now, id, Why::TimedOut));
        self.settle(now);
    }

    /// The next thing that comes out.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(transmit) = self.connections.poll_transmit() {
            return Some(Output::Transmit(transmit));
        }
        self.outputs.pop_front()
    }

    /// Takes what connections have to say, and tells all that changed.
    fn settle(&mut self, now: Instant) {
        while let Some((connection, happened)) = self.connections.poll_event(now) {
            match happened {
                Happened::At { local, remote } => self.media(Media::At { connection, local, remote }),
                Happened::Keys(keys) => self.media(Media::Keyed { connection, keys }),
                Happened::Lost => self.lose(now, connection, "nothing was heard any more"),
                Happened::Failed(why) => self.lose(now, connection, &why),
            }
        }
        self.spread(now);
    }

    /// A connection is of no use any more.
    fn lose(&mut self, now: Instant, connection: ConnectionId, why: &str) {
        match self.owners.get(&connection).cloned() {
            Some(Owner::Session(name)) => {
                let participant = self.sessions.get(&name).map(|session| session.participant);
                participant.into_iter().for_each(|id| self.rooms.leave(now, id, Why::TimedOut));
            }
            Some(Owner::Publisher(id)) => self.lose_publisher(now, id, why),
            Some(Owner::Subscriber(id)) => self.lose_subscriber(now, id, why),
            None => self.close(connection),
        }
    }

    fn media(&mut self, media: Media) {
        self.outputs.push_back(Output::Media(media));
    }

    /// Opens a connection for `owner`.
    fn open(&mut self, now: Instant, we_open: bool) -> Result<(ConnectionId, Credentials), Refusal> {
        let (identity, _) = self.identity.as_ref().ok_or(Refusal::Later("there is no certificate for DTLS yet"))?;
        self.connections.open(now, identity, we_open)
    }

    fn close(&mut self, connection: ConnectionId) {
        self.connections.close(connection);
        if self.owners.remove(&connection).is_some() {
            self.media(Media::Closed { connection });
        }
    }

    /// What is ours in a description.
    fn ours(&self, connection: ConnectionId, version: u64, credentials: &Credentials) -> Result<Ours, Refusal> {
        let (_, fingerprint) = self.identity.as_ref().ok_or(Refusal::Later("there is no certificate for DTLS yet"))?;
        Ok(Ours {
            session: u64::from(connection.0),
            version,
            fragment: credentials.ufrag().to_owned(),
            password: credentials.password().to_owned(),
            fingerprint: fingerprint.clone(),
            addresses: self.settings.addresses.clone(),
        })
    }

    /// A stream of somebody, as it is announced to somebody else.
    fn stream(&mut self, from: &str, what: &str) -> Outgoing {
        let ssrc = (self.connections.draw() as u32) | 1;
        let msid = format!("{from} {what}");
        // The next number, so that the two differ; SSRCs are each connection's own.
        Outgoing { ssrc, rtx_ssrc: Some(ssrc.wrapping_add(1)), cname: from.to_owned(), msid }
    }

    fn stream_of(&mut self, track: TrackId) -> Outgoing {
        let participant = self.tracks.get(&track).map_or(0, |published| published.participant.0);
        self.stream(&format!("p{participant}"), &format!("t{}", track.0))
    }

    /// Whether these grants are of who is taking part as `participant`, or of a moderator there.
    fn may_change(grants: &Grants, session: &Session) -> Result<(), Refusal> {
        let own = grants.identity == session.identity;
        let may = grants.covers(&session.room) && (own || grants.admin);
        if may {
            Ok(())
        } else {
            Err(Refusal::NoGrant { what: "change somebody else's session", room: session.room.clone() })
        }
    }
}
