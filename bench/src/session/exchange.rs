//! Many dialogues of request and answer at once, each on a socket of its own.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Retransmission and how often (RFC 8489 section 6.2.1, without its doubling: the links here lose nothing).
const RETRANSMIT: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 8;

/// One side of a dialogue.
pub trait Dialogue {
    /// The request that waits for its answer.
    fn request(&self) -> &[u8];

    /// Takes what came.
    fn take(&mut self, answer: &[u8]) -> Result<Step>;
}

/// What an answer led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was not for the request that waits.
    Stray,
    /// There is another request.
    Next,
    /// Nothing is left to do.
    Done,
}

/// When dialogues begin.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As many at a time as this.
    AtOnce(usize),
    /// As many a second as this, whether those before are done or not.
    PerSecond(u32),
}

impl Default for Pace {
    fn default() -> Self {
        Self::AtOnce(256)
    }
}

/// A dialogue that is done.
pub struct Finished<D> {
    /// It.
    pub dialogue: D,
    /// Time from when it was to begin to its last answer.
    pub took: Duration,
}

struct Active<'a, D> {
    number: usize,
    socket: &'a UdpSocket,
    dialogue: D,
    intended: Instant,
    sent_at: Instant,
    attempts: u32,
}

impl<D: Dialogue> Active<'_, D> {
    fn ask(&mut self) -> Result<()> {
        self.attempts = 0;
        self.transmit()
    }

    fn transmit(&mut self) -> Result<()> {
        if self.attempts == ATTEMPTS {
            bail!("the server does not answer {}", self.socket.local_addr()?);
        }
        self.attempts += 1;
        self.sent_at = Instant::now();
        self.socket.send(self.dialogue.request())?;
        Ok(())
    }

    /// Takes what has come; true when nothing is left to do.
    fn poll(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        let Ok(length) = self.socket.recv(&mut buffer) else {
            if self.sent_at.elapsed() > RETRANSMIT {
                self.transmit()?;
            }
            return Ok(false);
        };
        match self.dialogue.take(&buffer[..length])? {
            Step::Stray => Ok(false),
            Step::Next => self.ask().map(|()| false),
            Step::Done => Ok(true),
        }
    }
}

/// Holds all dialogues with a server; answers in their order.
pub fn converse<D: Dialogue>(
    server: SocketAddrV4,
    dialogues: Vec<(&UdpSocket, D)>,
    pace: Pace,
) -> Result<Vec<Finished<D>>> {
    let begin = Instant::now();
    let mut finished: Vec<Option<Finished<D>>> = dialogues.iter().map(|_| None).collect();
    let mut active: Vec<Active<D>> = Vec::new();
    let mut waiting = dialogues.into_iter().enumerate().peekable();
    while waiting.peek().is_some() || !active.is_empty() {
        while let Some((number, _)) = waiting.peek() {
            let now = Instant::now();
            let intended = match pace {
                Pace::AtOnce(most) if active.len() < most => now,
                Pace::PerSecond(rate) if begin + nth(*number, rate) <= now => begin + nth(*number, rate),
                Pace::AtOnce(_) | Pace::PerSecond(_) => break,
            };
            let (number, (socket, dialogue)) = waiting.next().expect("just seen");
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            let mut begun = Active { number, socket, dialogue, intended, sent_at: now, attempts: 0 };
            begun.ask()?;
            active.push(begun);
        }
        let mut at = 0;
        while let Some(dialogue) = active.get_mut(at) {
            if dialogue.poll()? {
                let Active { number, dialogue, intended, .. } = active.swap_remove(at);
                finished[number] = Some(Finished { dialogue, took: intended.elapsed() });
            } else {
                at += 1;
            }
        }
        // On one core with others (the far side's NAPI threads are real time and need no help; the relay may).
        std::thread::yield_now();
    }
    Ok(finished.into_iter().flatten().collect())
}

/// When a dialogue is to begin, after the first.
fn nth(number: usize, per_second: u32) -> Duration {
    Duration::from_nanos(number as u64 * 1_000_000_000 / u64::from(per_second))
}
