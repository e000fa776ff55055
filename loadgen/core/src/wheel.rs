//! The timing wheel: which stream is due next, among tens of thousands.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use raceway_units::Instant;

use crate::limits::STREAMS_MAX;

/// Nanoseconds of a tick, as a power of two: 8.2 us.
const TICK_BITS: u32 = 13;
/// Ticks of a turn of the near wheel, as a power of two: 268 ms, so that a stream of four packets a second or more is
/// never moved between wheels.
const NEAR_BITS: u32 = 15;
/// Turns of the near wheel that the far wheel holds apart, as a power of two: 69 s.
const FAR_BITS: u32 = 8;
const NEAR: u32 = 1 << NEAR_BITS;
const FAR: u32 = 1 << FAR_BITS;
/// The list behind the near and the far ones: whatever is later.
const LATER: u32 = NEAR + FAR;
const LISTS: usize = LATER as usize + 1;

const NONE: u32 = u32::MAX;
/// In `previous` of the first of a list, with the list's number in the other bits.
const FIRST: u32 = 1 << 31;
/// In `previous`: in no list.
const IDLE: u32 = u32::MAX;
/// In `previous`: among those of the present tick.
const READY: u32 = u32::MAX - 1;

/// Points in time of numbered streams, one for each stream at most.
///
/// [`Wheel::schedule`] and [`Wheel::poll`] cost about the same however many streams there are, and allocate nothing. Times
/// come out in order, to the nanosecond: a stream that is due a little later in the same tick waits. 130 KiB, and 32
/// octets a stream.
#[derive(Debug)]
pub struct Wheel {
    /// Tick that `ready` is of. Near lists hold later ticks.
    tick: u64,
    /// Those of the present tick and earlier ones. A heap, so that a generator that has fallen behind, and schedules
    /// everything in the past, does not fall behind further.
    ready: BinaryHeap<Reverse<(u64, u32)>>,
    /// How many of those were cancelled, and are passed over when they come first: to look for them would take the longer
    /// the more others there are.
    stale: usize,
    streams: Vec<Stream>,
    first: Vec<u32>,
    near: Bits<{ NEAR as usize / 64 }>,
    far: Bits<{ FAR as usize / 64 }>,
    scheduled: u32,
}

#[derive(Clone, Debug)]
struct Stream {
    at: u64,
    next: u32,
    previous: u32,
}

/// Whether an entry of those that are ready is that of a stream as it is scheduled now.
const fn is_ready(stream: &Stream, at: u64) -> bool {
    stream.previous == READY && stream.at == at
}

impl Wheel {
    /// A wheel for streams `0..streams`, none of them scheduled. `now` is no later than what will be scheduled, for
    /// speed alone.
    ///
    /// # Panics
    /// If there are more than [`STREAMS_MAX`].
    #[must_use]
    pub fn new(streams: u32, now: Instant) -> Self {
        assert!(streams <= STREAMS_MAX, "a wheel holds {STREAMS_MAX} streams");
        let idle = Stream { at: 0, next: NONE, previous: IDLE };
        Self {
            tick: now.as_ns() >> TICK_BITS,
            ready: BinaryHeap::with_capacity(2 * streams as usize + 1),
            stale: 0,
            streams: vec![idle; streams as usize],
            first: vec![NONE; LISTS],
            near: Bits::default(),
            far: Bits::default(),
            scheduled: 0,
        }
    }

    /// Streams that are scheduled.
    #[must_use]
    pub const fn scheduled(&self) -> u32 {
        self.scheduled
    }

    /// Has `stream` come out at `at`, and not at the time it was scheduled for before.
    ///
    /// # Panics
    /// If the wheel has no such stream.
    pub fn schedule(&mut self, stream: u32, at: Instant) {
        self.cancel(stream);
        self.streams[stream as usize].at = at.as_ns();
        self.scheduled += 1;
        self.place(stream);
    }

    /// Has `stream` not come out at all; whether it was scheduled.
    ///
    /// # Panics
    /// If the wheel has no such stream.
    pub fn cancel(&mut self, stream: u32) -> bool {
        let was = std::mem::replace(&mut self.streams[stream as usize].previous, IDLE);
        match was {
            IDLE => return false,
            READY => {
                self.stale += 1;
                self.pass_over();
            }
            _ => self.unlink(stream, was),
        }
        self.scheduled -= 1;
        true
    }

    /// Lets those that are ready begin with one that was not cancelled. When as many were as there may be streams, all of
    /// them go.
    fn pass_over(&mut self) {
        let streams = &self.streams;
        let is_stale = |Reverse((at, stream)): &Reverse<(u64, u32)>| !is_ready(&streams[*stream as usize], *at);
        if self.stale > streams.len() {
            self.ready.retain(|entry| !is_stale(entry));
            self.stale = 0;
        }
        while self.ready.peek().is_some_and(is_stale) {
            self.ready.pop();
            self.stale = self.stale.saturating_sub(1);
        }
    }

    /// The stream that is due first, and since when, if it is due by `now`; it is scheduled no more. To be called until
    /// there is none.
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Option<(u32, Instant)> {
        while self.ready.is_empty() {
            if !self.advance(now.as_ns() >> TICK_BITS) {
                return None;
            }
        }
        let Reverse((at, stream)) = *self.ready.peek().filter(|Reverse((at, _))| *at <= now.as_ns())?;
        self.ready.pop();
        self.streams[stream as usize].previous = IDLE;
        self.scheduled -= 1;
        if self.stale != 0 {
            self.pass_over();
        }
        Some((stream, Instant::from_ns(at)))
    }

    /// When to call [`Wheel::poll`] again: the earliest time scheduled if that is within the turn of the near wheel,
    /// a time before it otherwise. `None` if nothing is scheduled.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let Some(Reverse((at, _))) = self.ready.peek() {
            return Some(Instant::from_ns(*at));
        }
        if self.scheduled == 0 {
            return None;
        }
        let more = self.turn_with_more().unwrap_or(u64::MAX >> (TICK_BITS + NEAR_BITS)) << NEAR_BITS;
        let at = match self.near_tick(more) {
            Some(tick) => self.list(near_list(tick)).map(|stream| stream.at).min().expect("its bit is set"),
            None => more << TICK_BITS,
        };
        Some(Instant::from_ns(at))
    }

    /// Moves on to the next tick that has streams, no further than `until`, and makes its streams ready. False if there
    /// is none.
    fn advance(&mut self, until: u64) -> bool {
        while self.tick < until {
            let turn_end = ((self.tick >> NEAR_BITS) + 1) << NEAR_BITS;
            if let Some(tick) = self.near_tick(turn_end).filter(|tick| *tick <= until) {
                self.tick = tick;
                self.take_tick();
                return true;
            }
            if turn_end > until {
                self.tick = until;
                return false;
            }
            // Turns for which there is nothing are passed over.
            self.tick = if self.near.is_empty() {
                let last = until >> NEAR_BITS;
                self.turn_with_more().map_or(last, |turn| last.min(turn)) << NEAR_BITS
            } else {
                turn_end
            };
            self.turn();
            if !self.ready.is_empty() {
                return true;
            }
        }
        false
    }

    /// Makes the streams of the present tick ready.
    fn take_tick(&mut self) {
        let list = near_list(self.tick);
        let mut stream = self.empty(list);
        while stream != NONE {
            let node = &mut self.streams[stream as usize];
            self.ready.push(Reverse((node.at, stream)));
            node.previous = READY;
            stream = node.next;
        }
    }

    /// At the beginning of a turn of the near wheel: takes in what the far wheel holds for it.
    fn turn(&mut self) {
        let turn = self.tick >> NEAR_BITS;
        if turn.is_multiple_of(u64::from(FAR)) {
            self.replace(LATER);
        }
        self.replace(NEAR + (turn % u64::from(FAR)) as u32);
        self.take_tick();
    }

    /// Places all streams of `list` anew.
    fn replace(&mut self, list: u32) {
        let mut stream = self.empty(list);
        while stream != NONE {
            let next = self.streams[stream as usize].next;
            self.place(stream);
            stream = next;
        }
    }

    /// The next tick after the present one and below `end` whose near list is not empty.
    fn near_tick(&self, end: u64) -> Option<u64> {
        let from = self.tick + 1;
        let ahead = self.near.distance(near_list(from), u64::from(NEAR).min(end - from) as u32)?;
        Some(from + u64::from(ahead))
    }

    /// The next turn of the near wheel at whose beginning [`Wheel::turn`] may find something.
    fn turn_with_more(&self) -> Option<u64> {
        let from = (self.tick >> NEAR_BITS) + 1;
        let far = self.far.distance((from % u64::from(FAR)) as u32, FAR).map(|ahead| from + u64::from(ahead));
        let later = (self.first[LATER as usize] != NONE).then(|| from.next_multiple_of(u64::from(FAR)));
        far.into_iter().chain(later).min()
    }

    /// Puts `stream`, which is in no list, where its time belongs.
    fn place(&mut self, stream: u32) {
        let at = self.streams[stream as usize].at;
        let tick = at >> TICK_BITS;
        if tick <= self.tick {
            self.ready.push(Reverse((at, stream)));
            self.streams[stream as usize].previous = READY;
            return;
        }
        let turns = (tick >> NEAR_BITS) - (self.tick >> NEAR_BITS);
        if tick - self.tick < u64::from(NEAR) {
            self.near.set(near_list(tick));
            self.link(stream, near_list(tick));
        } else if turns < u64::from(FAR) {
            let far = ((tick >> NEAR_BITS) % u64::from(FAR)) as u32;
            self.far.set(far);
            self.link(stream, NEAR + far);
        } else {
            self.link(stream, LATER);
        }
    }

    fn link(&mut self, stream: u32, list: u32) {
        let next = std::mem::replace(&mut self.first[list as usize], stream);
        if next != NONE {
            self.streams[next as usize].previous = stream;
        }
        let node = &mut self.streams[stream as usize];
        node.next = next;
        node.previous = FIRST | list;
    }

    /// Takes `stream` out of the list that it is in by what stood in its `previous`.
    fn unlink(&mut self, stream: u32, previous: u32) {
        let next = self.streams[stream as usize].next;
        if next != NONE {
            self.streams[next as usize].previous = previous;
        }
        if previous & FIRST == 0 {
            self.streams[previous as usize].next = next;
        } else if next == NONE {
            self.empty(previous & !FIRST);
        } else {
            self.first[(previous & !FIRST) as usize] = next;
        }
    }

    /// Takes all of `list`; its first.
    fn empty(&mut self, list: u32) -> u32 {
        match list {
            ..NEAR => self.near.clear(list),
            NEAR..LATER => self.far.clear(list - NEAR),
            _ => {}
        }
        std::mem::replace(&mut self.first[list as usize], NONE)
    }

    fn list(&self, list: u32) -> impl Iterator<Item = &Stream> {
        let stream = |number: u32| self.streams.get(number as usize);
        std::iter::successors(stream(self.first[list as usize]), move |node| stream(node.next))
    }
}

const fn near_list(tick: u64) -> u32 {
    (tick % NEAR as u64) as u32
}

/// Which lists of a wheel are not empty.
#[derive(Debug)]
struct Bits<const WORDS: usize>(Box<[u64; WORDS]>);

impl<const WORDS: usize> Default for Bits<WORDS> {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl<const WORDS: usize> Bits<WORDS> {
    fn set(&mut self, bit: u32) {
        self.0[bit as usize / 64] |= 1 << (bit % 64);
    }

    fn clear(&mut self, bit: u32) {
        self.0[bit as usize / 64] &= !(1 << (bit % 64));
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// How far after `from`, going round, the next bit is set; `None` if that is `within` or more.
    fn distance(&self, from: u32, within: u32) -> Option<u32> {
        let mut ahead = 0;
        while ahead < within {
            let at = (from + ahead) % (WORDS as u32 * 64);
            let word = self.0[at as usize / 64] >> (at % 64);
            if word != 0 {
                return Some(ahead + word.trailing_zeros()).filter(|ahead| *ahead < within);
            }
            ahead += 64 - at % 64;
        }
        None
    }
}

#[cfg(test)]
mod tests;
