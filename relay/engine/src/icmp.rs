//! ICMP errors from the network, reported to the client (RFC 8656 section 11.5).

use core::net::{IpAddr, Ipv6Addr};
use core::ops::Deref;

use raceway_abi::{CHANNEL_NONE, Flow, Policer};
use raceway_stun::{ICMP_MAX, Icmp, icmp_indication};
use raceway_units::{Endpoint, Instant};

use crate::forward::{Forwarder, towards_client};
use crate::verdict::key;

/// A Data indication about an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpReport {
    /// Socket to send from.
    pub egress: u32,
    /// The client.
    pub to: Endpoint,
    message: [u8; ICMP_MAX],
    used: usize,
}

impl IcmpReport {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message[..self.used]
    }
}

impl<R: Deref<Target = [Flow]>, P: Deref<Target = [Policer]>> Forwarder<R, P> {
    /// What to tell the client about an ICMP message that answers a datagram from the relayed address `local` to
    /// `peer`: nothing if there is no permission for that peer, if the message is of another kind than RFC 8656 names,
    /// or if the client's prefix has had its share of reports.
    pub fn handle_icmp(&mut self, now: Instant, local: Endpoint, peer: Endpoint, icmp: Icmp) -> Option<IcmpReport> {
        let reported = match peer.v4() {
            Some(_) => matches!(icmp.kind, 3 | 11),
            None => matches!(icmp.kind, 1..=3),
        };
        if !reported {
            return None;
        }
        let (slot, flow) = self.table.live(&key(peer, local, CHANNEL_NONE).any_port(), now)?;
        if !towards_client(flow) {
            return None;
        }
        let to = Endpoint { address: flow.destination(), port: flow.destination_port() };
        let egress = self.table.egress(slot, 0);
        if !self.icmp_budget.take(now, IpAddr::V6(Ipv6Addr::from(to.address)), 1) {
            return None;
        }
        let transaction = self.next_transaction();
        let (message, used) = icmp_indication(&transaction, &self.shown(now, peer), icmp);
        Some(IcmpReport { egress, to, message, used })
    }
}
