//! TURN allocations on any server, made one request at a time for each client and many clients at a time.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::stun::{ALLOCATE, CHANNEL_BIND, Challenge, Request, User, outcome, relayed};

/// Clients in the middle of a request.
const WINDOW: usize = 256;
/// Retransmission and how often (RFC 8489 section 6.2.1, without its doubling: the links here lose nothing).
const RETRANSMIT: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 8;
/// Challenges a client answers: the first, and a nonce that went stale.
const CHALLENGES: u32 = 3;

/// What each client ends up with.
#[derive(Clone, Copy, Debug)]
pub struct Allocation {
    /// The relayed transport address.
    pub relayed: SocketAddrV4,
}

/// One client on its way to an allocation (and a channel, if it has a peer).
struct Client<'a> {
    socket: &'a UdpSocket,
    channel: Option<(u16, SocketAddrV4)>,
    challenge: Option<Challenge>,
    relayed: Option<SocketAddrV4>,
    request: Vec<u8>,
    sent_at: Instant,
    attempts: u32,
    challenges: u32,
    number: u64,
}

impl Client<'_> {
    fn ask(&mut self) -> Result<()> {
        self.number += 1;
        self.request = match (self.relayed, self.channel) {
            (Some(_), Some((number, peer))) => Request::new(CHANNEL_BIND, self.number).channel(number, peer),
            _ => Request::new(ALLOCATE, self.number).udp(),
        }
        .finish(self.challenge.as_ref());
        self.attempts = 0;
        self.transmit()
    }

    fn transmit(&mut self) -> Result<()> {
        if self.attempts == ATTEMPTS {
            bail!("the server does not answer {}", self.socket.local_addr()?);
        }
        self.attempts += 1;
        self.sent_at = Instant::now();
        self.socket.send(&self.request)?;
        Ok(())
    }

    /// Takes what has come; true when nothing is left to do.
    fn poll(&mut self, user: User) -> Result<bool> {
        let mut buffer = [0; 1500];
        let Ok(length) = self.socket.recv(&mut buffer) else {
            if self.sent_at.elapsed() > RETRANSMIT {
                self.transmit()?;
            }
            return Ok(false);
        };
        let response = &buffer[..length];
        if response.get(8..20) != self.request.get(8..20) {
            return Ok(false);
        }
        match outcome(response) {
            Some(Ok(())) if self.relayed.is_none() => self.relayed = relayed(response),
            Some(Ok(())) => return Ok(true),
            Some(Err(401 | 438)) if self.challenges < CHALLENGES => {
                self.challenges += 1;
                self.challenge = Challenge::of(response, user);
            }
            other => bail!("unexpected response: {other:?}"),
        }
        if self.relayed.is_some() && self.channel.is_none() {
            return Ok(true);
        }
        self.ask()?;
        Ok(false)
    }
}

/// Allocates for every socket, and binds a channel where `channel` names one. Sockets must not block.
pub fn allocate(
    server: SocketAddrV4,
    user: User,
    sockets: &[UdpSocket],
    channel: impl Fn(usize) -> Option<(u16, SocketAddrV4)>,
) -> Result<Vec<Allocation>> {
    let mut done: Vec<Option<Allocation>> = vec![None; sockets.len()];
    let mut active: Vec<(usize, Client)> = Vec::with_capacity(WINDOW);
    let mut waiting = sockets.iter().enumerate();
    loop {
        while active.len() < WINDOW {
            let Some((index, socket)) = waiting.next() else { break };
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            let mut client = Client {
                socket,
                channel: channel(index),
                challenge: None,
                relayed: None,
                request: Vec::new(),
                sent_at: Instant::now(),
                attempts: 0,
                challenges: 0,
                number: (index as u64) << 8,
            };
            client.ask()?;
            active.push((index, client));
        }
        if active.is_empty() {
            return Ok(done.into_iter().flatten().collect());
        }
        let mut at = 0;
        while let Some((index, client)) = active.get_mut(at) {
            if client.poll(user)? {
                done[*index] = client.relayed.map(|relayed| Allocation { relayed });
                active.swap_remove(at);
            } else {
                at += 1;
            }
        }
        // On one core with others (the far side's NAPI threads are real time and need no help; the relay may).
        std::thread::yield_now();
    }
}
