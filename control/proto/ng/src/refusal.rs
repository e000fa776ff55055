//! Why a command is refused before anything is done: the text of `error-reason`.

use crate::malformed::Malformed;

/// A message that is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not bencode, not JSON, or beyond a limit.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// No `command`, or one that is not a string.
    #[error("the message has no command")]
    NoCommand,
    /// One of rtpengine's that is not carried out here.
    #[error("command \"{command}\" is not supported: {why}")]
    NotSupported {
        /// As it came.
        command: &'static str,
        /// What is missing.
        why: &'static str,
    },
    /// Nobody's.
    #[error("command {0} is not known")]
    Unknown(String),
    /// A key that the command needs.
    #[error("{command} needs the key \"{key}\"")]
    Missing {
        /// The command.
        command: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A value that does not fit.
    #[error("{key}: {what}")]
    Value {
        /// Of this key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}
