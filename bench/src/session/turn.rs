//! A TURN client on its way to an allocation and its channels.

use std::net::SocketAddrV4;

use anyhow::{Result, bail};

use super::exchange::{Dialogue, Step};
use super::stun::{ALLOCATE, CHANNEL_BIND, Challenge, Request, User, outcome, relayed};

/// Challenges a client answers: the first, and a nonce that went stale.
const CHALLENGES: u32 = 3;

/// A client.
pub struct Client {
    user: User<'static>,
    /// Still to be bound; the last one first.
    channels: Vec<(u16, SocketAddrV4)>,
    challenge: Option<Challenge>,
    relayed: Option<SocketAddrV4>,
    request: Vec<u8>,
    challenges: u32,
    number: u64,
}

impl Client {
    /// One that will allocate, and then bind channels. `number` tells its transactions from those of others.
    #[must_use]
    pub fn new(number: u32, user: User<'static>, channels: Vec<(u16, SocketAddrV4)>) -> Self {
        let mut client = Self {
            user,
            channels,
            challenge: None,
            relayed: None,
            request: Vec::new(),
            challenges: 0,
            number: u64::from(number) << 32,
        };
        client.write_request();
        client
    }

    /// The relayed transport address, once it has one.
    #[must_use]
    pub fn relayed(&self) -> Option<SocketAddrV4> {
        self.relayed
    }

    fn write_request(&mut self) {
        self.number += 1;
        let request = match (self.relayed, self.channels.last()) {
            (Some(_), Some((number, peer))) => Request::new(CHANNEL_BIND, self.number).channel(*number, *peer),
            _ => Request::new(ALLOCATE, self.number).udp(),
        };
        self.request = request.finish(self.challenge.as_ref());
    }
}

impl Dialogue for Client {
    fn request(&self) -> &[u8] {
        &self.request
    }

    fn take(&mut self, answer: &[u8]) -> Result<Step> {
        if answer.get(8..20) != self.request.get(8..20) {
            return Ok(Step::Stray);
        }
        match outcome(answer) {
            Some(Ok(())) if self.relayed.is_none() => self.relayed = relayed(answer),
            Some(Ok(())) => {
                self.channels.pop();
            }
            Some(Err(401 | 438)) if self.challenges < CHALLENGES => {
                self.challenges += 1;
                self.challenge = Challenge::of(answer, self.user);
            }
            other => bail!("unexpected response: {other:?}"),
        }
        if self.relayed.is_some() && self.channels.is_empty() {
            return Ok(Step::Done);
        }
        self.write_request();
        Ok(Step::Next)
    }
}
