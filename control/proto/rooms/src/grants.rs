//! What a token lets its bearer do.

use raceway_units::UnixTime;

use crate::name::{DisplayName, Identity, RoomName};

/// In which room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomScope {
    /// In every room: the claim is `"*"`.
    Any,
    /// In this one.
    One(RoomName),
}

/// What somebody may do, who they are, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Who; with a static token what the configuration calls it.
    pub identity: Identity,
    /// A static token: each use of it is somebody else.
    pub is_shared: bool,
    /// What others read.
    pub name: Option<DisplayName>,
    /// Where.
    pub room: RoomScope,
    /// Send media.
    pub publish: bool,
    /// Receive media.
    pub subscribe: bool,
    /// Make, list and end rooms, put people out, mute their tracks; only in `room`.
    pub admin: bool,
    /// The first second in which nothing is granted any more; none for a static token.
    pub expires: Option<UnixTime>,
}

impl Grants {
    /// Whether anything is granted in `room`.
    #[must_use]
    pub fn covers(&self, room: &RoomName) -> bool {
        match &self.room {
            RoomScope::Any => true,
            RoomScope::One(name) => name == room,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}
