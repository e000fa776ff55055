//! What was asked of the relay and may still fail.

use std::collections::VecDeque;

use raceway_api::{FlowId, SessionId};

use crate::counters::Method;
use crate::limits;
use crate::respond::Exchange;
use raceway_ports::PortWish;

/// Why an `Apply` was sent: how to answer when it fails.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// A new allocation; which port it asked for (none by token: that one or no one), and how many were tried.
    Allocate {
        wish: Option<PortWish>,
        attempts: u8,
    },
    /// The answer to a retransmitted Allocate.
    Repeat,
    Refresh {
        lifetime_s: u32,
    },
    /// The flows that were new.
    CreatePermission {
        added: Vec<FlowId>,
    },
    /// The flows that were new.
    ChannelBind {
        added: Vec<FlowId>,
    },
    /// Nobody waits for an answer.
    Upkeep,
}

impl Purpose {
    /// The request behind it; that of the session for what nobody waits for.
    pub const fn method(&self) -> Method {
        match self {
            Self::Allocate { .. } | Self::Repeat | Self::Upkeep => Method::Allocate,
            Self::Refresh { .. } => Method::Refresh,
            Self::CreatePermission { .. } => Method::CreatePermission,
            Self::ChannelBind { .. } => Method::ChannelBind,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub session: SessionId,
    pub exchange: Option<Exchange>,
    pub purpose: Purpose,
    /// The relay had lost the session and was told all of it once.
    pub reinstalled: bool,
}

/// The last [`limits::PENDING_MAX`] of them, by transaction number.
#[derive(Debug, Default)]
pub(crate) struct PendingTable {
    entries: VecDeque<Option<Pending>>,
    /// Transaction of the first entry.
    first: u64,
}

impl PendingTable {
    /// Remembers one, and forgets the oldest; returns its transaction.
    pub fn push(&mut self, pending: Pending) -> u64 {
        if self.entries.len() == limits::PENDING_MAX {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(Some(pending));
        self.first + self.entries.len() as u64 - 1
    }

    /// Takes one out.
    pub fn take(&mut self, transaction: u64) -> Option<Pending> {
        let at = transaction.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(at).ok()?)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(session: u64) -> Pending {
        Pending { session: SessionId(session), exchange: None, purpose: Purpose::Upkeep, reinstalled: false }
    }

    #[test]
    fn a_transaction_is_found_once_while_it_is_among_the_last() {
        let mut table = PendingTable::default();
        let first = table.push(pending(0));
        for session in 1..=limits::PENDING_MAX as u64 {
            let transaction = table.push(pending(session));
            assert_eq!(transaction, first + session);
        }
        assert!(table.take(first).is_none(), "too old");
        assert_eq!(table.take(first + 1).unwrap().session, SessionId(1));
        assert!(table.take(first + 1).is_none(), "taken");
        assert!(table.take(first + limits::PENDING_MAX as u64 + 1).is_none(), "never made");
        assert_eq!(table.entries.len(), limits::PENDING_MAX);
    }
}
