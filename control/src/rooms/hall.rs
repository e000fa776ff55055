//! The machine of rooms, and the sockets of those who are in them; lives in the link thread.

use std::collections::{HashMap, VecDeque};

use raceway_api::{Datagram, ToRelay};
use raceway_rooms::meetings::{Created, Media, Meetings, Output, SessionName};
use raceway_rooms::{
    DisplayName, EntityTag, Event, Grants, Participant, ParticipantId, Properties, Refusal, Role, RoomName, TrackId,
};
use raceway_units::Instant;
use tokio::sync::mpsc;
use tokio::sync::oneshot::Sender;

/// Messages that wait for a client to read them. A meeting of hundreds says as many at once when somebody joins; whoever reads
/// slower than that is hung up on.
pub const MESSAGES_MAX: usize = 1024;

/// What people ask of rooms, with a place for the answer.
#[derive(Debug)]
pub enum RoomCommand {
    /// An offer by HTTP.
    Create {
        /// What its bearer may do.
        grants: Grants,
        /// Where.
        room: RoomName,
        /// Which way media goes.
        role: Role,
        /// The offer.
        body: Vec<u8>,
        /// The answer.
        reply: Sender<Result<Created, Refusal>>,
    },
    /// A `PATCH` on a session.
    Change {
        /// What its bearer may do.
        grants: Grants,
        /// Which.
        session: SessionName,
        /// `If-Match`.
        if_match: Option<String>,
        /// The fragment.
        body: Vec<u8>,
        /// The answer.
        reply: Sender<Result<Option<(EntityTag, String)>, Refusal>>,
    },
    /// A `DELETE` on a session.
    Delete {
        /// What its bearer may do.
        grants: Grants,
        /// Which.
        session: SessionName,
        /// The answer.
        reply: Sender<Result<(), Refusal>>,
    },
    /// The first message of a member.
    Join {
        /// What the token lets them do.
        grants: Grants,
        /// Where.
        room: RoomName,
        /// What others read.
        name: Option<DisplayName>,
        /// What an earlier `joined` gave.
        resume: Option<String>,
        /// Takes what they are told.
        socket: mpsc::Sender<String>,
        /// Who they are.
        reply: Sender<Result<ParticipantId, Refusal>>,
    },
    /// A further message of a member.
    Say {
        /// Whose.
        from: ParticipantId,
        /// As it came.
        text: String,
    },
    /// A member's socket has ended.
    Gone {
        /// Whose.
        from: ParticipantId,
        /// Which: they may have another one by now.
        socket: mpsc::Sender<String>,
    },
    /// Makes a room.
    Make {
        /// What its bearer may do.
        grants: Grants,
        /// Which.
        room: RoomName,
        /// How it is to be.
        properties: Properties,
        /// The answer.
        reply: Sender<Result<(), Refusal>>,
    },
    /// Ends a room.
    End {
        /// What its bearer may do.
        grants: Grants,
        /// Which.
        room: RoomName,
        /// The answer.
        reply: Sender<Result<(), Refusal>>,
    },
    /// Puts somebody out.
    Remove {
        /// What its bearer may do.
        grants: Grants,
        /// Where.
        room: RoomName,
        /// Who.
        participant: ParticipantId,
        /// The answer.
        reply: Sender<Result<(), Refusal>>,
    },
    /// Mutes a track, or lets it be heard again.
    Mute {
        /// What its bearer may do.
        grants: Grants,
        /// Where.
        room: RoomName,
        /// Which.
        track: TrackId,
        /// Whether it is silent.
        muted: bool,
        /// The answer.
        reply: Sender<Result<(), Refusal>>,
    },
    /// The rooms that a moderator may see, by name.
    List {
        /// What its bearer may do; everything for the operator of the machine.
        grants: Option<Grants>,
        /// Only this one.
        room: Option<RoomName>,
        /// The answer.
        reply: Sender<Vec<RoomView>>,
    },
}

/// A room, for people and programs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RoomView {
    /// Its name.
    pub name: RoomName,
    /// What its maker noted.
    pub metadata: String,
    /// Who is in it.
    pub participants: Vec<Participant>,
}

/// The rooms of this node.
#[derive(Debug)]
pub struct Hall {
    meetings: Meetings,
    sockets: HashMap<ParticipantId, mpsc::Sender<String>>,
    outputs: VecDeque<ToRelay<'static>>,
    media: VecDeque<Media>,
    events: VecDeque<Event>,
}

impl Hall {
    /// Around a machine.
    #[must_use]
    pub fn new(meetings: Meetings) -> Self {
        let (sockets, outputs) = (HashMap::new(), VecDeque::new());
        Self { meetings, sockets, outputs, media: VecDeque::new(), events: VecDeque::new() }
    }

    /// Carries out what somebody asks. Whoever asked may be gone by now; then nobody wants the answer.
    pub fn obey(&mut self, now: Instant, command: RoomCommand) {
        let meetings = &mut self.meetings;
        match command {
            RoomCommand::Create { grants, room, role, body, reply } => {
                let _ = reply.send(meetings.create(now, &grants, &room, role, &body));
            }
            RoomCommand::Change { grants, session, if_match, body, reply } => {
                let _ = reply.send(meetings.change(now, &grants, &session, if_match.as_deref(), &body));
            }
            RoomCommand::Delete { grants, session, reply } => {
                let _ = reply.send(meetings.delete(now, &grants, &session));
            }
            RoomCommand::Join { grants, room, name, resume, socket, reply } => {
                let joined = meetings.join(now, &grants, &room, name, resume.as_deref());
                if let Ok(id) = joined {
                    self.sockets.insert(id, socket);
                }
                let _ = reply.send(joined);
            }
            RoomCommand::Say { from, text } => meetings.handle_message(now, from, &text),
            RoomCommand::Gone { from, socket } => {
                if self.sockets.get(&from).is_some_and(|known| known.same_channel(&socket)) {
                    self.sockets.remove(&from);
                    meetings.disconnected(now, from);
                }
            }
            RoomCommand::Make { grants, room, properties, reply } => {
                let made = meetings.moderate(now, |rooms| rooms.create(now, &grants, &room, &properties));
                let _ = reply.send(made);
            }
            RoomCommand::End { grants, room, reply } => {
                let _ = reply.send(meetings.moderate(now, |rooms| rooms.end(&grants, &room)));
            }
            RoomCommand::Remove { grants, room, participant, reply } => {
                let _ = reply.send(meetings.moderate(now, |rooms| rooms.remove(now, &grants, &room, participant)));
            }
            RoomCommand::Mute { grants, room, track, muted, reply } => {
                let _ = reply.send(meetings.moderate(now, |rooms| rooms.moderate(&grants, &room, track, muted)));
            }
            RoomCommand::List { grants, room, reply } => {
                let _ = reply.send(self.list(grants.as_ref(), room.as_ref()));
            }
        }
        self.distribute(now);
    }

    fn list(&self, grants: Option<&Grants>, room: Option<&RoomName>) -> Vec<RoomView> {
        let rooms = self.meetings.rooms();
        let is_seen = |name: &RoomName| {
            grants.is_none_or(|grants| grants.admin && grants.covers(name)) && room.is_none_or(|room| room == name)
        };
        let mut views: Vec<_> = rooms
            .rooms()
            .filter(|(name, ..)| is_seen(name))
            .map(|(name, metadata, _)| RoomView {
                name: name.clone(),
                metadata: metadata.to_owned(),
                participants: rooms.participants(name).to_vec(),
            })
            .collect();
        views.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// A datagram that came to a media address of rooms and is no media.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        payload: &[u8],
    ) {
        self.meetings.handle_datagram(now, local, remote, payload);
        self.distribute(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.meetings.poll_timeout()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.meetings.handle_timeout(now);
        self.distribute(now);
    }

    /// Gives everybody what is theirs.
    fn distribute(&mut self, now: Instant) {
        while let Some(output) = self.meetings.poll_output() {
            match output {
                Output::Message { to, text } => self.tell(now, to, text),
                Output::Hangup { to } => drop(self.sockets.remove(&to)),
                Output::Transmit(sent) => {
                    let datagram = Datagram { from: sent.local, to: sent.remote, payload: sent.payload.into() };
                    self.outputs.push_back(ToRelay::Send(datagram));
                }
                Output::Media(media) => self.media.push_back(media),
                Output::Event(event) => self.events.push_back(event),
            }
        }
    }

    /// Whoever does not read is hung up on, and may come back: others do not wait for them.
    fn tell(&mut self, now: Instant, to: ParticipantId, text: String) {
        let Some(socket) = self.sockets.get(&to) else { return };
        if socket.try_send(text).is_err() {
            self.sockets.remove(&to);
            self.meetings.disconnected(now, to);
        }
    }

    /// The next datagram for a client.
    pub fn poll_output(&mut self) -> Option<ToRelay<'static>> {
        self.outputs.pop_front()
    }

    /// The next thing that the data plane has to do.
    pub fn poll_media(&mut self) -> Option<Media> {
        self.media.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
