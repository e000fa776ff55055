//! What the thread can be asked.

use raceway_api::SessionId;
use raceway_config::LogLevel;
use raceway_media::CallView;
use tokio::sync::oneshot::Sender;

use super::overview::Overview;
use crate::admin::view::{Flow, Session};
use crate::calls::Outcome;
use crate::plan::{Plan, PlanError};

/// The thread has ended, which it does only when the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("raceway-control is ending")]
pub struct Gone;

/// A command, with a place for its answer.
#[derive(Debug)]
pub enum Command {
    /// The state of everything.
    Overview {
        /// Ask the relay for new figures first; without it, or while the relay is away, the last ones are given.
        fresh: bool,
        /// The answer.
        reply: Sender<Overview>,
    },
    /// Sessions, in the order of their names.
    Sessions {
        /// Most that are wanted.
        limit: usize,
        /// The answer.
        reply: Sender<SessionPage>,
    },
    /// One session.
    Session {
        /// Its name.
        id: SessionId,
        /// The answer; none if there is no such session.
        reply: Sender<Option<Session>>,
    },
    /// Flows as the relay holds them.
    Flows {
        /// Of this session, else of all.
        session: Option<SessionId>,
        /// Most that are wanted.
        limit: usize,
        /// The answer; none while the relay is away.
        reply: Sender<Option<Flows>>,
    },
    /// A new configuration.
    Apply {
        /// What it means.
        plan: Box<Plan>,
        /// Whether server and calls took it; if not, nothing has changed.
        reply: Sender<Result<(), PlanError>>,
    },
    /// End a session.
    End {
        /// Its name.
        id: SessionId,
        /// Whether there was one.
        reply: Sender<bool>,
    },
    /// Refuse new allocations, or accept them again.
    Drain {
        /// Refuse.
        on: bool,
        /// Sessions that are left.
        reply: Sender<usize>,
    },
    /// Calls, the oldest first.
    Calls {
        /// Most that are wanted.
        limit: usize,
        /// The answer, and how many there are.
        reply: Sender<(Vec<CallView>, usize)>,
    },
    /// One call.
    Call {
        /// Its name.
        call_id: String,
        /// The answer; none if there is no such call.
        reply: Sender<Option<CallView>>,
    },
    /// End a call.
    Terminate {
        /// Its name.
        call_id: String,
        /// Whether there was one.
        reply: Sender<bool>,
    },
    /// A command of a SIP proxy.
    Ng {
        /// What it asks for.
        command: Box<raceway_ng::Command>,
        /// What became of it.
        reply: Sender<Outcome>,
    },
    /// The relay's log level.
    LogLevel(LogLevel),
}

/// Some sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionPage {
    /// At most as many as were asked for.
    pub sessions: Vec<Session>,
    /// How many there are.
    pub total: usize,
}

/// Some flows.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    /// At most as many as were asked for.
    pub flows: Vec<Flow>,
    /// How many there are.
    pub total: usize,
}
