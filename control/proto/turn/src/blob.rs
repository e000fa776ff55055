//! What the relay keeps for us beside the flows: an allocation in a session blob.

use std::net::SocketAddr;

use raceway_api::SessionReport;
use raceway_units::Instant;
use serde::{Deserialize, Serialize};
use stun_types::message::TransactionId;

use crate::allocation::{Allocation, Granted, Leg, Reservation, Tuple};
use crate::counters::Refusal;
use raceway_ports::Relayed;

/// Version of the encoding; another one is not understood, and its sessions are removed.
const VERSION: u8 = 1;

/// No key and no password: the key is derived again from the configuration.
#[derive(Serialize, Deserialize)]
struct Blob<'a> {
    version: u8,
    listener: SocketAddr,
    client: SocketAddr,
    user: &'a str,
    v4: Option<LegBlob>,
    v6: Option<LegBlob>,
    transaction: u128,
    lifetime_s: u32,
    reservation: Option<ReservationBlob>,
    without_v4: Option<u16>,
    without_v6: Option<u16>,
}

#[derive(Serialize, Deserialize)]
struct LegBlob {
    internal: SocketAddr,
    external: SocketAddr,
    expires_at_ns: u64,
}

#[derive(Serialize, Deserialize)]
struct ReservationBlob {
    token: u64,
    leg: LegBlob,
}

impl LegBlob {
    const fn new(relayed: Relayed, expires_at: Instant) -> Self {
        Self { internal: relayed.internal, external: relayed.external, expires_at_ns: expires_at.as_ns() }
    }

    const fn relayed(&self) -> Relayed {
        Relayed { internal: self.internal, external: self.external }
    }

    const fn leg(&self) -> Leg {
        Leg { relayed: self.relayed(), expires_at: Instant::from_ns(self.expires_at_ns) }
    }
}

/// At most 1 KiB, as names are at most [`crate::limits::USERNAME_MAX`] octets.
pub(crate) fn encode(allocation: &Allocation) -> Vec<u8> {
    let leg = |leg: &Option<Leg>| leg.map(|leg| LegBlob::new(leg.relayed, leg.expires_at));
    let granted = &allocation.granted;
    let blob = Blob {
        version: VERSION,
        listener: allocation.tuple.listener,
        client: allocation.tuple.client,
        user: &allocation.user,
        v4: leg(&allocation.v4),
        v6: leg(&allocation.v6),
        transaction: granted.transaction.into(),
        lifetime_s: granted.lifetime_s,
        reservation: granted
            .reservation
            .map(|held| ReservationBlob { token: held.token, leg: LegBlob::new(held.relayed, held.expires_at) }),
        without_v4: granted.without_v4.map(Refusal::code),
        without_v6: granted.without_v6.map(Refusal::code),
    };
    postcard::to_extend(&blob, Vec::with_capacity(128)).expect("writing into memory cannot fail")
}

/// The allocation of a snapshot's session, without permissions and channels.
pub(crate) fn decode(report: &SessionReport<'_>) -> Option<Allocation> {
    let blob: Blob<'_> = postcard::from_bytes(&report.blob).ok()?;
    if blob.version != VERSION || (blob.v4.is_none() && blob.v6.is_none()) {
        return None;
    }
    let families = blob.v4.iter().all(|leg| leg.internal.is_ipv4()) && blob.v6.iter().all(|leg| leg.internal.is_ipv6());
    if !families || blob.user.len() > crate::limits::USERNAME_MAX {
        return None;
    }
    let refusal = |code: u16| Refusal::ALL.into_iter().find(|refusal| refusal.code() == code);
    Some(Allocation {
        id: report.id,
        worker: report.worker,
        tuple: Tuple { listener: blob.listener, client: blob.client },
        user: blob.user.into(),
        key: None,
        granted: Granted {
            transaction: TransactionId::from(blob.transaction),
            lifetime_s: blob.lifetime_s,
            reservation: blob.reservation.as_ref().map(|held| Reservation {
                token: held.token,
                relayed: held.leg.relayed(),
                expires_at: held.leg.leg().expires_at,
            }),
            without_v4: blob.without_v4.and_then(refusal),
            without_v6: blob.without_v6.and_then(refusal),
        },
        v4: blob.v4.as_ref().map(LegBlob::leg),
        v6: blob.v6.as_ref().map(LegBlob::leg),
        closed: closed(&blob, report),
        permissions: Vec::new(),
        channels: Vec::new(),
        next_permission: 0,
    })
}

/// The relayed address that the relay holds open although its family was deleted.
fn closed(blob: &Blob<'_>, report: &SessionReport<'_>) -> Option<Relayed> {
    let is_live = |address: &SocketAddr| blob.v4.iter().chain(&blob.v6).any(|leg| leg.internal == *address);
    let closed = report.relayed.iter().find(|(internal, _)| !is_live(internal));
    closed.map(|&(internal, external)| Relayed { internal, external })
}
