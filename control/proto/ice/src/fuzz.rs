//! Fuzz entry.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use raceway_units::Instant;

use crate::agent::{Agent, Mode, Outcome, Role};
use crate::candidate::{Candidate, Component};
use crate::credentials::Credentials;
use crate::integrity::{IntegrityKind, mac};
use crate::limits;

/// Octets as datagrams, signed checks, responses, candidates and time, in any order, at a lite and at a full agent.
///
/// The input is steps: an octet that says what, an octet `n`, and `n` octets. `0`: a datagram. `1`: a check with the right
/// credentials; the octets are its attributes. `2`: the answer to the last datagram of the full agent; the octets are its
/// attributes, and it is signed. `3`: time passes. `4`: a remote candidate. `5`: a restart. Whatever comes, what is unproven
/// nominates nobody and validates nobody, and no table grows beyond its limit.
pub fn fuzz(data: &[u8]) {
    let mut run = Run::new();
    let mut rest = data;
    while let [what, length, after @ ..] = rest {
        let Some((value, next)) = after.split_at_checked(usize::from(*length)) else { break };
        rest = next;
        run.step(*what, value);
    }
}

struct Run {
    agents: [Agent; 2],
    now: Instant,
    asked: Option<(SocketAddr, [u8; 12])>,
}

fn base(component: Component) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000 + component.number()))
}

fn peer(port: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(198, 51, 100, 7), 5000 + u16::from(port)))
}

fn credentials(octet: u8) -> Credentials {
    Credentials::from_random(&[octet; 24])
}

impl Run {
    fn new() -> Self {
        let bases = Component::ALL.map(base);
        let agents = [Mode::Lite, Mode::Full(Role::Controlled)].map(|mode| {
            let mut agent = Agent::new(mode, credentials(1), &bases, [3; 32]);
            agent.set_remote(credentials(2));
            agent
        });
        Self { agents, now: Instant::from_ns(1_000_000_000), asked: None }
    }

    fn step(&mut self, what: u8, value: &[u8]) {
        let first = value.first().copied().unwrap_or(0);
        match what {
            0 => self.give_unproven(value),
            1 => {
                let check = signed(0x0001, [first; 12], value, &credentials(1));
                self.give(peer(first), &check);
            }
            2 => {
                if let Some((remote, transaction)) = self.asked {
                    let class = if first.is_multiple_of(4) { 0x0111 } else { 0x0101 };
                    self.give(remote, &signed(class, transaction, value, &credentials(2)));
                }
            }
            3 => {
                self.now = self.now.after(Duration::from_millis(value.iter().map(|octet| u64::from(*octet)).sum()));
                self.agents.iter_mut().for_each(|agent| agent.handle_timeout(self.now));
            }
            4 => {
                let candidate =
                    Candidate { component: Component::Rtp, address: peer(first), priority: 1 << (first % 32) };
                // No room is no failure here.
                let _ = self.agents.iter_mut().map(|agent| agent.add_remote_candidate(self.now, candidate)).count();
            }
            5 => self.agents.iter_mut().for_each(|agent| {
                agent.restart(credentials(1));
                agent.set_remote(credentials(2));
            }),
            _ => {}
        }
        self.drain();
    }

    /// What nobody has signed changes nothing, unless it is the answer to a check of ours.
    fn give_unproven(&mut self, datagram: &[u8]) {
        let facts =
            |agent: &Agent| Component::ALL.map(|component| (agent.selected(component), agent.is_validated(peer(0))));
        let before = self.agents.each_ref().map(facts);
        let outcomes = self.give(peer(0), datagram);
        assert!(outcomes.iter().all(|outcome| *outcome != Outcome::Accepted) || self.asked.is_some());
        assert_eq!(before, self.agents.each_ref().map(facts), "an unproven datagram changed something");
    }

    fn give(&mut self, remote: SocketAddr, datagram: &[u8]) -> [Outcome; 2] {
        let now = self.now;
        self.agents.each_mut().map(|agent| agent.handle_datagram(now, base(Component::Rtp), remote, datagram))
    }

    fn drain(&mut self) {
        for agent in &mut self.agents {
            while let Some(transmit) = agent.poll_transmit() {
                assert!(transmit.payload.len() <= limits::MESSAGE_MAX && transmit.payload.len().is_multiple_of(4));
                if transmit.payload.starts_with(&[0, 1]) {
                    self.asked = transmit.payload[8..20].try_into().ok().map(|id| (transmit.remote, id));
                }
            }
            while agent.poll_event().is_some() {}
            let most = Component::ALL.len() * (limits::CANDIDATES_MAX + limits::PEER_REFLEXIVE_MAX);
            assert!(agent.candidates() <= most, "candidates are bounded");
            assert!(agent.poll_timeout().is_none_or(|at| at.as_ns() < u64::MAX));
        }
    }
}

/// A Binding message with these attributes and the right USERNAME and integrity.
fn signed(kind: u16, transaction: [u8; 12], attributes: &[u8], key: &Credentials) -> Vec<u8> {
    let mut octets = vec![0; 4];
    octets[..2].copy_from_slice(&kind.to_be_bytes());
    octets.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    octets.extend_from_slice(&transaction);
    let username = credentials(1).ufrag().to_owned() + ":abcd";
    octets.extend_from_slice(&[0, 6, 0, username.len() as u8]);
    octets.extend_from_slice(username.as_bytes());
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets.extend_from_slice(attributes);
    octets.resize(octets.len().next_multiple_of(4), 0);
    let length = octets.len() - 20 + 24;
    octets[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    let mac = mac(key, IntegrityKind::Sha1, &octets, length);
    octets.extend_from_slice(&[0, 8, 0, 20]);
    octets.extend_from_slice(&mac[..20]);
    octets
}
