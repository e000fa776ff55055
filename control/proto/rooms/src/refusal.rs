//! Why a request is refused, with what a client of HTTP or of the meeting protocol is told.

use crate::fragment::FragmentError;
use crate::name::{NameError, RoomName};
use crate::token::TokenError;

/// A request that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `Authorization: Bearer`.
    #[error("a token is needed: Authorization: Bearer TOKEN")]
    NoToken,
    /// A token that grants nothing.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// A token for something else.
    #[error("the token does not let you {what} in the room {room}")]
    NoGrant {
        /// What was asked for.
        what: &'static str,
        /// Where.
        room: RoomName,
    },
    /// A name that is none.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A room that has not been made, where rooms are not made by who comes first.
    #[error("there is no room {0}")]
    NoRoom(RoomName),
    /// No such participant, track or resource (any more).
    #[error("there is no {0} of that name any more")]
    Gone(&'static str),
    /// A limit.
    #[error("{what}: at most {most}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        most: usize,
    },
    /// The same publisher is there already.
    #[error("{0} already publishes here: end that first (DELETE), or take a token with another identity")]
    Publishes(String),
    /// A room that exists with other properties.
    #[error("the room {0} exists already, with other properties")]
    Exists(RoomName),
    /// A method that a resource does not have.
    #[error("this address takes {0}")]
    Method(&'static str),
    /// A body of another type.
    #[error("the body must be {0}")]
    Type(&'static str),
    /// A body that is too long.
    #[error("the body has more than {0} octets")]
    Long(usize),
    /// A change without saying of which session.
    #[error("If-Match is needed: the ETag that came last, or * to restart ICE")]
    NoEntityTag,
    /// A change of a session that is another by now.
    #[error("the session has another ETag by now: {0}")]
    EntityTag(String),
    /// A session description that cannot be answered.
    #[error("{0}")]
    Description(String),
    /// A fragment that cannot be read.
    #[error("{0}")]
    Fragment(#[from] FragmentError),
    /// A message that is none.
    #[error("{0}")]
    Message(String),
    /// Not now: the relay is away, or the node is being emptied.
    #[error("{0}")]
    Later(&'static str),
}

impl Refusal {
    /// The HTTP status (RFC 9110 section 15, RFC 9725 section 4).
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NoToken | Self::Token(_) => 401,
            Self::NoGrant { .. } => 403,
            Self::NoRoom(_) | Self::Gone(_) => 404,
            Self::Method(_) => 405,
            Self::Publishes(_) | Self::Exists(_) => 409,
            Self::EntityTag(_) => 412,
            Self::Long(_) => 413,
            Self::Type(_) => 415,
            Self::Description(_) => 422,
            Self::NoEntityTag => 428,
            Self::Full { .. } | Self::Later(_) => 503,
            Self::Name(_) | Self::Fragment(_) | Self::Message(_) => 400,
        }
    }

    /// A word that programs compare, the same by HTTP and WebSocket.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "token_missing",
            Self::Token(TokenError::Expired(_)) => "token_expired",
            Self::Token(_) => "token_invalid",
            Self::NoGrant { .. } => "not_granted",
            Self::Name(_) => "name_invalid",
            Self::NoRoom(_) => "room_unknown",
            Self::Gone(_) => "gone",
            Self::Full { .. } => "full",
            Self::Publishes(_) => "already_publishing",
            Self::Exists(_) => "room_exists",
            Self::Method(_) => "method",
            Self::Type(_) => "content_type",
            Self::Long(_) => "too_long",
            Self::NoEntityTag => "entity_tag_missing",
            Self::EntityTag(_) => "entity_tag",
            Self::Description(_) => "description",
            Self::Fragment(_) => "fragment",
            Self::Message(_) => "message",
            Self::Later(_) => "later",
        }
    }
}
