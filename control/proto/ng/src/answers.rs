//! Answers that were given, for requests that come again.
//!
//! A proxy that hears nothing sends the same octets again. It must get the same answer, and what it asked for must not be
//! done twice. rtpengine goes by the cookie alone; here the rest of the message must be equal too, since a proxy that was
//! restarted may use cookies again that its last life used for something else.

use core::hash::BuildHasher;
use core::net::IpAddr;
use std::collections::VecDeque;

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use raceway_units::Instant;

use crate::limits;

/// Who asked with which cookie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    cookie: Box<[u8]>,
}

/// What is known of a request.
#[derive(Debug)]
struct Known {
    begun: Instant,
    serial: u64,
    message: u64,
    answer: Option<Box<[u8]>>,
}

/// The request that an answer will be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    key: Key,
    serial: u64,
}

/// What a request is.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// New: carry it out, then [`finish`](Answers::finish).
    New(Ticket),
    /// The same as one that is being carried out: let it go, the answer will come.
    InProgress,
    /// The same as one that was answered: with this.
    Answered(&'a [u8]),
}

/// The memory: at most [`ANSWERS_MAX`](limits::ANSWERS_MAX) requests and
/// [`ANSWER_OCTETS_MAX`](limits::ANSWER_OCTETS_MAX) octets of answers, for [`ANSWER_KEPT`](limits::ANSWER_KEPT). The oldest
/// goes first.
#[derive(Debug)]
pub struct Answers {
    known: HashMap<Key, Known, RandomState>,
    /// Oldest first; what is known by another serial is left over.
    order: VecDeque<(Key, u64)>,
    octets: usize,
    serial: u64,
    hasher: RandomState,
}

impl Default for Answers {
    fn default() -> Self {
        let hasher = RandomState::default();
        Self { known: HashMap::with_hasher(hasher.clone()), order: VecDeque::new(), octets: 0, serial: 0, hasher }
    }
}

impl Answers {
    /// Says what a request is, and remembers it if it is new.
    pub fn begin(&mut self, now: Instant, source: IpAddr, cookie: &[u8], message: &[u8]) -> Seen<'_> {
        self.forget(now);
        let key = Key { source, cookie: cookie.into() };
        let message = self.hasher.hash_one(message);
        if self.known.get(&key).is_some_and(|known| known.message == message) {
            return match &self.known[&key].answer {
                Some(answer) => Seen::Answered(answer),
                None => Seen::InProgress,
            };
        }
        self.serial += 1;
        let serial = self.serial;
        let known = Known { begun: now, serial, message, answer: None };
        if let Some(old) = self.known.insert(key.clone(), known) {
            self.octets -= old.answer.map_or(0, |answer| answer.len());
        }
        self.order.push_back((key.clone(), serial));
        Seen::New(Ticket { key, serial })
    }

    /// Remembers an answer.
    pub fn finish(&mut self, ticket: &Ticket, answer: &[u8]) {
        let Some(known) = self.known.get_mut(&ticket.key).filter(|known| known.serial == ticket.serial) else { return };
        self.octets += answer.len();
        self.octets -= known.answer.replace(answer.into()).map_or(0, |old| old.len());
        while self.octets > limits::ANSWER_OCTETS_MAX {
            self.forget_oldest();
        }
    }

    /// Requests that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        while let Some((key, serial)) = self.order.front() {
            let known = self.known.get(key).filter(|known| known.serial == *serial);
            let stays = known.is_some_and(|known| now.since(known.begun) < limits::ANSWER_KEPT);
            if stays && self.order.len() < limits::ANSWERS_MAX {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((key, serial)) = self.order.pop_front() else { return };
        if self.known.get(&key).is_some_and(|known| known.serial == serial) {
            let known = self.known.remove(&key).expect("it was just there");
            self.octets -= known.answer.map_or(0, |answer| answer.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use core::time::Duration;

    use super::*;

    const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

    fn at(seconds: u64) -> Instant {
        Instant::from_ns(1).after(Duration::from_secs(seconds))
    }

    fn new(seen: Seen<'_>) -> Ticket {
        match seen {
            Seen::New(ticket) => ticket,
            Seen::InProgress | Seen::Answered(_) => panic!("{seen:?} is not new"),
        }
    }

    #[test]
    fn a_request_is_carried_out_once_and_answered_as_often_as_it_comes() {
        let mut answers = Answers::default();
        let ticket = new(answers.begin(at(0), PROXY, b"1", b"offer"));
        assert_eq!(answers.begin(at(1), PROXY, b"1", b"offer"), Seen::InProgress);
        answers.finish(&ticket, b"answer");
        for second in 1..30 {
            assert_eq!(answers.begin(at(second), PROXY, b"1", b"offer"), Seen::Answered(b"answer"));
        }
        new(answers.begin(at(30), PROXY, b"1", b"offer"));
    }

    #[test]
    fn another_proxy_or_another_message_is_another_request() {
        let mut answers = Answers::default();
        let first = new(answers.begin(at(0), PROXY, b"1", b"offer"));
        new(answers.begin(at(0), OTHER, b"1", b"offer"));
        new(answers.begin(at(0), PROXY, b"2", b"offer"));
        let second = new(answers.begin(at(0), PROXY, b"1", b"delete"));
        answers.finish(&first, b"too late");
        assert_eq!(answers.begin(at(0), PROXY, b"1", b"delete"), Seen::InProgress);
        answers.finish(&second, b"gone");
        assert_eq!(answers.begin(at(0), PROXY, b"1", b"delete"), Seen::Answered(b"gone"));
    }

    #[test]
    fn what_is_never_answered_is_forgotten_too() {
        let mut answers = Answers::default();
        let ticket = new(answers.begin(at(0), PROXY, b"1", b"offer"));
        new(answers.begin(at(40), PROXY, b"2", b"offer"));
        assert_eq!(answers.len(), 1);
        answers.finish(&ticket, b"much too late");
        assert_eq!(answers.octets, 0);
    }

    #[test]
    fn memory_is_bounded_in_number_and_octets() {
        let mut answers = Answers::default();
        for n in 0..limits::ANSWERS_MAX + 10 {
            answers.begin(at(0), PROXY, n.to_string().as_bytes(), b"offer");
        }
        assert_eq!(answers.len(), limits::ANSWERS_MAX);
        let large = vec![0; limits::MESSAGE_MAX];
        for n in 0..2 * limits::ANSWER_OCTETS_MAX / large.len() {
            let ticket = new(answers.begin(at(1), OTHER, n.to_string().as_bytes(), b"query"));
            answers.finish(&ticket, &large);
            assert!(answers.octets <= limits::ANSWER_OCTETS_MAX);
        }
        let kept: usize = answers.known.values().filter_map(|known| known.answer.as_ref()).map(|a| a.len()).sum();
        assert_eq!(kept, answers.octets);
        assert!(kept + large.len() > limits::ANSWER_OCTETS_MAX, "no more is forgotten than must be");
    }
}
