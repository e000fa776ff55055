//! Messages of the meeting protocol: JSON objects over one WebSocket, told apart by `type`. The text is `docs/rooms.md`.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::name::{DisplayName, RoomName};
use crate::refusal::Refusal;
use crate::room::{Participant, ParticipantId, Track, TrackId, TrackKind};
use crate::rooms::Why;

/// A track that a client begins to send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Offered {
    /// The `a=mid` of its media section.
    pub mid: String,
    /// What it is of.
    pub kind: TrackKind,
}

/// Which of a client's two connections something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// The one by which it sends: it offers.
    Publish,
    /// The one by which it receives: it answers.
    Subscribe,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromClient {
    /// First of all.
    Join {
        /// Where.
        room: RoomName,
        /// Who, and what is granted.
        token: String,
        /// What others read, if the token does not say.
        #[serde(default)]
        name: Option<DisplayName>,
        /// What the last `joined` gave: takes over from the connection that broke.
        #[serde(default)]
        resume: Option<String>,
    },
    /// An offer of what it sends, all tracks in it.
    Publish {
        /// The offer.
        sdp: String,
        /// Tracks that are new in it.
        #[serde(default)]
        tracks: Vec<Offered>,
    },
    /// It sends this no more.
    Unpublish {
        /// What.
        track: TrackId,
    },
    /// The answer to an `offer`.
    Answer {
        /// The answer.
        sdp: String,
    },
    /// A candidate; none when there will be no more.
    Candidate {
        /// Of which connection.
        of: Connection,
        /// As a browser has it; nothing: that was all.
        #[serde(default)]
        candidate: Option<String>,
        /// Of which media section.
        #[serde(default)]
        mid: Option<String>,
    },
    /// Its own track is silent, or is not any more.
    Mute {
        /// Which.
        track: TrackId,
        /// Whether it is.
        muted: bool,
    },
    /// How large it shows somebody's track; 0 by 0 is not at all.
    Want {
        /// Which.
        track: TrackId,
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
        /// More is served first; 0 when it does not say.
        #[serde(default)]
        priority: u8,
    },
    /// A moderator's: somebody's track is silenced, or may be heard again.
    Moderate {
        /// Which.
        track: TrackId,
        /// Whether it is silent.
        muted: bool,
    },
    /// A moderator's: somebody is put out.
    Remove {
        /// Who.
        participant: ParticipantId,
    },
    /// It goes.
    Leave,
    /// Is anybody there?
    Ping,
}

impl FromClient {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is longer than any, no JSON, or none of these: the text says where.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        if text.len() > limits::MESSAGE_MAX {
            return Err(Refusal::Long(limits::MESSAGE_MAX));
        }
        serde_json::from_str(text).map_err(|error| Refusal::Message(error.to_string()))
    }
}

/// A track that is offered to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// Its media section in the offer.
    pub mid: String,
    /// Which.
    pub track: TrackId,
    /// Whose.
    pub participant: ParticipantId,
}

/// A server that helps to connect, as `RTCPeerConnection` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Helper {
    /// One.
    pub urls: String,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromServer<'a> {
    /// It is in.
    Joined {
        /// Its own number.
        participant: ParticipantId,
        /// Where.
        room: &'a RoomName,
        /// Who else is.
        participants: &'a [Participant],
        /// For both connections.
        ice_servers: &'a [Helper],
        /// What takes over from this connection when it breaks.
        resume: &'a str,
        /// What it may do.
        may_publish: bool,
        /// What it may do.
        may_moderate: bool,
    },
    /// Somebody came.
    ParticipantJoined {
        /// Who.
        participant: &'a Participant,
    },
    /// Somebody is gone.
    ParticipantLeft {
        /// Who.
        participant: ParticipantId,
        /// Why.
        why: Why,
    },
    /// Somebody sends something more.
    TrackPublished {
        /// Whose.
        participant: ParticipantId,
        /// What.
        track: &'a Track,
    },
    /// Somebody sends something no more.
    TrackUnpublished {
        /// Whose.
        participant: ParticipantId,
        /// What.
        track: TrackId,
    },
    /// A track as it is now.
    TrackMuted {
        /// Whose.
        participant: ParticipantId,
        /// What.
        track: &'a Track,
    },
    /// The answer to `publish`.
    Published {
        /// The answer.
        sdp: &'a str,
        /// The numbers of the tracks that were new, in their order.
        tracks: &'a [TrackId],
    },
    /// What it is to receive, all of it.
    Offer {
        /// Which connection it is of: another number than before is another connection.
        connection: u32,
        /// The offer.
        sdp: &'a str,
        /// What is in it.
        tracks: &'a [Placed],
    },
    /// Who speaks, the loudest first.
    Speakers {
        /// Who.
        participants: &'a [ParticipantId],
    },
    /// What it gets of a track now.
    Layer {
        /// Which.
        track: TrackId,
        /// Nothing, for want of bandwidth or because nobody shows it.
        paused: bool,
        /// The spatial layer, the smallest is 0.
        spatial: u8,
        /// The temporal layer, the slowest is 0.
        temporal: u8,
    },
    /// Something was refused; the connection goes on.
    Error {
        /// A word that programs compare.
        code: &'static str,
        /// A sentence that people read.
        reason: &'a str,
    },
    /// The connection ends.
    Bye {
        /// Why.
        why: Why,
    },
    /// Somebody is.
    Pong,
}

impl FromServer<'_> {
    /// The message as text.
    #[must_use]
    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("no map in it has keys that are no strings")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_type() {
        let want = FromClient::read(r#"{"type":"want","track":7,"width":320,"height":180}"#).expect("one");
        assert_eq!(want, FromClient::Want { track: TrackId(7), width: 320, height: 180, priority: 0 });
        assert_eq!(FromClient::read(r#"{"type":"leave"}"#), Ok(FromClient::Leave));
        let error = FromServer::Error { code: "full", reason: "no place" }.write();
        assert_eq!(error, r#"{"type":"error","code":"full","reason":"no place"}"#);
    }

    #[test]
    fn what_is_no_message_is_refused_with_what_is_wrong() {
        let refused = |text: &str| FromClient::read(text).expect_err(text).to_string();
        assert!(refused(r#"{"type":"dance"}"#).contains("unknown variant `dance`"));
        assert!(refused(r#"{"type":"mute","track":1}"#).contains("missing field `muted`"));
        assert!(refused(r#"{"type":"mute","track":1,"track":2,"muted":true}"#).contains("duplicate field"));
        assert!(refused(r#"{"type":"join","room":"a/b","token":"t"}"#).contains("room name"));
        assert!(
            refused(&format!(r#"{{"type":"leave","x":{}"#, "[".repeat(100_000))).contains("recursion"),
            "nothing recurses without end"
        );
        assert_eq!(FromClient::read(&" ".repeat(limits::MESSAGE_MAX + 1)), Err(Refusal::Long(limits::MESSAGE_MAX)));
    }
}
