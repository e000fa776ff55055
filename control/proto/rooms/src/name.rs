//! Names that clients choose: of rooms, of participants, and what people read.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No octets.
    #[error("the {what} is empty")]
    Empty {
        /// Of what.
        what: &'static str,
    },
    /// More octets than are taken.
    #[error("the {what} has {octets} octets, at most {most} are taken")]
    Long {
        /// Of what.
        what: &'static str,
        /// That it has.
        octets: usize,
        /// That it may have.
        most: usize,
    },
    /// A character that is not taken.
    #[error("the {what} has the character {character:?}; {allowed} are taken")]
    Character {
        /// Of what.
        what: &'static str,
        /// The first one.
        character: char,
        /// Which are.
        allowed: &'static str,
    },
}

fn check(
    text: &str,
    what: &'static str,
    most: usize,
    allowed: &'static str,
    takes: impl Fn(char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > most {
        return Err(NameError::Long { what, octets: text.len(), most });
    }
    match text.chars().find(|character| !takes(*character)) {
        Some(character) => Err(NameError::Character { what, character, allowed }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$about:meta])* $type:ident, $what:literal, $most:expr, $allowed:literal, $takes:expr) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Box<str>);

        impl $type {
            /// Takes `text` if it is one.
            ///
            /// # Errors
            /// The first rule that it breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, $what, $most, $allowed, $takes)?;
                Ok(Self(text.into()))
            }

            /// As it was written.
            #[must_use]
            pub const fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

const fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~')
}

name!(
    /// The name of a room: characters that stand in a path as they are (RFC 3986 section 2.3), so that one room has one
    /// address.
    RoomName,
    "room name",
    limits::ROOM_NAME_MAX,
    "letters, digits and - . _ ~",
    is_unreserved
);

name!(
    /// Who somebody is, as whoever signed the token knows them; one in a room at a time.
    Identity,
    "identity",
    limits::IDENTITY_MAX,
    "letters, digits and - . _ ~ @ : + =",
    |character| is_unreserved(character) || matches!(character, '@' | ':' | '+' | '=')
);

name!(
    /// What people read: any script, no control characters and none that turns the writing around.
    DisplayName,
    "name",
    limits::DISPLAY_NAME_MAX,
    "characters that can be seen",
    |character| !character.is_control()
        && !matches!(character, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_way_to_stand_in_a_path() {
        assert_eq!(RoomName::new("team-7_a.b~c").expect("one").as_str(), "team-7_a.b~c");
        for bad in ["a/b", "a b", "ä", "a%2f", "a?b", "a#", "\0"] {
            assert!(matches!(RoomName::new(bad), Err(NameError::Character { .. })), "{bad:?}");
        }
        assert_eq!(RoomName::new(""), Err(NameError::Empty { what: "room name" }));
        assert!(RoomName::new(&"a".repeat(limits::ROOM_NAME_MAX)).is_ok());
        assert!(matches!(RoomName::new(&"a".repeat(limits::ROOM_NAME_MAX + 1)), Err(NameError::Long { .. })));
    }

    #[test]
    fn what_people_read_cannot_hide_or_turn_around() {
        assert!(DisplayName::new("Zoë 李 🙂").is_ok());
        for bad in ["a\nb", "a\u{202e}b", "\u{feff}a", "\u{200f}"] {
            assert!(DisplayName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_in_json_goes_through_the_same_rules() {
        assert!(serde_json::from_str::<RoomName>("\"a\"").is_ok());
        assert!(serde_json::from_str::<RoomName>("\"a/b\"").is_err());
    }
}
