//! Sixteen messages side by side.
//!
//! Each lane walks its message block by block, then its outer hash, then takes the next message: lengths may differ, and no
//! lane waits for another. When too few messages are left to fill the lanes, the rest is done one by one.

use std::fmt;

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64, u32x16};

use super::{BLOCK, HmacKey, Message, State, TAG, octets_of, outer_block, pad};

/// Lanes of a vector.
const LANES: usize = 16;

/// Messages from which on lanes with AVX-512 are faster than one after the other with SHA extensions. Measured with batches
/// of packets of 172 octets: even at 6.
const WORTHWHILE: usize = 7;

/// The same with AVX2: even at 12.
const WORTHWHILE_AVX2: usize = 14;

/// With AVX2 where there are no SHA extensions.
const WORTHWHILE_WITHOUT_SHA: usize = 8;

/// How tags of HMAC-SHA1 are computed; the processor decides.
#[derive(Clone, Copy)]
pub struct Lanes(Option<Side>);

/// Side by side with what instructions, from how many messages on.
#[derive(Clone, Copy)]
struct Side {
    level: Level,
    worthwhile: usize,
}

impl Lanes {
    /// One message after the other, on any processor.
    pub const NONE: Self = Self(None);

    /// What is fastest on this processor: lanes with AVX-512 or AVX2 for as many messages as that pays for.
    #[must_use]
    pub fn detect() -> Self {
        let level = Level::new();
        let worthwhile = match (is_avx512(level), is_avx2(level)) {
            (true, _) => WORTHWHILE,
            (false, true) if has_sha() => WORTHWHILE_AVX2,
            (false, true) => WORTHWHILE_WITHOUT_SHA,
            (false, false) => return Self::NONE,
        };
        Self(Some(Side { level, worthwhile }))
    }

    /// Lanes of every kind that this processor has, from two messages on, whether or not that is faster.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn all() -> Vec<Self> {
        let level = Level::new();
        #[cfg(target_arch = "x86_64")]
        let narrower = level.as_avx2().map(Level::Avx2);
        #[cfg(not(target_arch = "x86_64"))]
        let narrower = None;
        let levels = [Some(level), narrower, Some(Level::baseline())];
        levels.into_iter().flatten().map(|level| Self(Some(Side { level, worthwhile: 2 }))).collect()
    }

    /// Tags of messages, in their order.
    pub(crate) fn tags(self, messages: &[Message<'_>], tags: &mut [[u8; TAG]]) {
        match self.0 {
            Some(side) if messages.len() >= side.worthwhile => side.tags(messages, tags),
            _ => messages.iter().zip(tags).for_each(|(message, tag)| *tag = message.key.tag(message.octets)),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn is_avx512(level: Level) -> bool {
    level.as_avx512().is_some()
}

#[cfg(target_arch = "x86_64")]
fn is_avx2(level: Level) -> bool {
    level.as_avx2().is_some()
}

#[cfg(target_arch = "x86_64")]
fn has_sha() -> bool {
    std::arch::is_x86_feature_detected!("sha")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_avx512(_: Level) -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn is_avx2(_: Level) -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_sha() -> bool {
    true
}

impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(side) if is_avx512(side.level) => f.write_str("16 lanes of AVX-512"),
            Some(side) if is_avx2(side.level) => f.write_str("16 lanes of AVX2"),
            Some(_) => f.write_str("16 lanes"),
            None => f.write_str("one by one"),
        }
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lanes({self})")
    }
}

/// One word of sixteen hashes.
type Words = [u32; LANES];

impl Side {
    fn tags(self, messages: &[Message<'_>], tags: &mut [[u8; TAG]]) {
        let mut waiting = messages.iter().enumerate();
        let mut states: [Words; 5] = [[0; LANES]; 5];
        let mut lanes: [Lane<'_>; LANES] = std::array::from_fn(|_| Lane::IDLE);
        for (column, lane) in lanes.iter_mut().enumerate() {
            lane.take(waiting.next(), &mut states, column);
        }
        let mut busy = messages.len().min(LANES);
        while busy >= self.worthwhile {
            let blocks = std::array::from_fn(|column| lanes[column].block());
            dispatch!(self.level, simd => compress(simd, &mut states, &blocks));
            for (column, lane) in lanes.iter_mut().enumerate() {
                if let Some(number) = lane.advance(&mut states, column) {
                    tags[number] = octets_of(&read(&states, column));
                    let next = waiting.next();
                    busy -= usize::from(next.is_none());
                    lane.take(next, &mut states, column);
                }
            }
        }
        for (column, lane) in lanes.iter().enumerate() {
            if let Some((number, tag)) = lane.finish(&read(&states, column)) {
                tags[number] = tag;
            }
        }
    }
}

fn read(states: &[Words; 5], column: usize) -> State {
    std::array::from_fn(|word| states[word][column])
}

fn write(states: &mut [Words; 5], column: usize, state: &State) {
    states.iter_mut().zip(state).for_each(|(words, word)| words[column] = *word);
}

/// What one lane is at.
struct Lane<'a> {
    /// The message and its number; none: the lane is idle, and what it hashes nobody looks at.
    message: Option<(usize, Message<'a>)>,
    /// Whole blocks of the message that are still to come.
    blocks: &'a [[u8; BLOCK]],
    /// What comes after them: padding, then the outer hash.
    last: [[u8; BLOCK]; 2],
    /// Which of [`Self::last`] comes next, and how many there are.
    next: usize,
    count: usize,
    /// Whether [`Self::last`] is of the outer hash.
    outer: bool,
}

impl<'a> Lane<'a> {
    const IDLE: Self = Self { message: None, blocks: &[], last: [[0; BLOCK]; 2], next: 0, count: 1, outer: false };

    /// Begins with a message, or with nothing.
    fn take(&mut self, message: Option<(usize, &Message<'a>)>, states: &mut [Words; 5], column: usize) {
        self.message = message.map(|(number, message)| (number, *message));
        let Some((_, message)) = message else { return };
        let (blocks, rest) = message.octets.as_chunks();
        self.blocks = blocks;
        self.count = pad(&mut self.last, rest, message.octets.len());
        (self.next, self.outer) = (0, false);
        write(states, column, &message.key.inner);
    }

    /// The block that is hashed next.
    fn block(&self) -> &[u8; BLOCK] {
        self.blocks.first().unwrap_or(&self.last[self.next])
    }

    /// That block was hashed. Says which message is done.
    fn advance(&mut self, states: &mut [Words; 5], column: usize) -> Option<usize> {
        let (number, message) = self.message?;
        if let Some((_, rest)) = self.blocks.split_first() {
            self.blocks = rest;
            return None;
        }
        self.next += 1;
        if self.next < self.count {
            return None;
        }
        if self.outer {
            return Some(number);
        }
        self.last[0] = outer_block(&read(states, column));
        (self.next, self.count, self.outer) = (0, 1, true);
        write(states, column, &message.key.outer);
        None
    }

    /// What is left, without the other lanes.
    fn finish(&self, state: &State) -> Option<(usize, [u8; TAG])> {
        let (number, message) = self.message?;
        let mut state = *state;
        let key: &HmacKey = message.key;
        super::compress(&mut state, self.blocks);
        super::compress(&mut state, &self.last[self.next..self.count]);
        Some((number, if self.outer { octets_of(&state) } else { key.outer(&state) }))
    }
}

/// One block into each of sixteen hashes.
#[inline(always)]
fn compress<S: Simd>(simd: S, states: &mut [Words; 5], blocks: &[&[u8; BLOCK]; LANES]) {
    let mut words = transposed(simd, blocks);
    let before: [u32x16<S>; 5] = std::array::from_fn(|word| states[word].simd_into(simd));
    let mut hash = before;
    for word in words {
        hash = round(hash, word, choose(&hash), 0x5a82_7999);
    }
    for step in 16..20 {
        let word = schedule(&mut words, step);
        hash = round(hash, word, choose(&hash), 0x5a82_7999);
    }
    for step in 20..40 {
        let word = schedule(&mut words, step);
        hash = round(hash, word, parity(&hash), 0x6ed9_eba1);
    }
    for step in 40..60 {
        let word = schedule(&mut words, step);
        hash = round(hash, word, majority(&hash), 0x8f1b_bcdc);
    }
    for step in 60..80 {
        let word = schedule(&mut words, step);
        hash = round(hash, word, parity(&hash), 0xca62_c1d6);
    }
    for (state, (before, after)) in states.iter_mut().zip(before.into_iter().zip(hash)) {
        *state = (before + after).into();
    }
}

#[inline(always)]
fn rotate<S: Simd, const LEFT: u32>(word: u32x16<S>) -> u32x16<S> {
    word << LEFT | word >> (32 - LEFT)
}

#[inline(always)]
fn round<S: Simd>(hash: [u32x16<S>; 5], word: u32x16<S>, function: u32x16<S>, constant: u32) -> [u32x16<S>; 5] {
    let [a, b, c, d, e] = hash;
    [rotate::<S, 5>(a) + function + (e + word + constant), a, rotate::<S, 30>(b), c, d]
}

#[inline(always)]
fn choose<S: Simd>(&[_, b, c, d, _]: &[u32x16<S>; 5]) -> u32x16<S> {
    d ^ (b & (c ^ d))
}

#[inline(always)]
fn parity<S: Simd>(&[_, b, c, d, _]: &[u32x16<S>; 5]) -> u32x16<S> {
    b ^ c ^ d
}

#[inline(always)]
fn majority<S: Simd>(&[_, b, c, d, _]: &[u32x16<S>; 5]) -> u32x16<S> {
    (b & c) | (d & (b | c))
}

/// The next word of the message schedule, in place of the one sixteen before.
#[inline(always)]
fn schedule<S: Simd>(words: &mut [u32x16<S>; 16], step: usize) -> u32x16<S> {
    let at = |back: usize| words[(step - back) & 15];
    let word = rotate::<S, 1>(at(3) ^ at(8) ^ at(14) ^ at(16));
    words[step & 15] = word;
    word
}

/// Word n of each block, sixteen times over, in the order of the processor.
#[inline(always)]
fn transposed<S: Simd>(simd: S, blocks: &[&[u8; BLOCK]; LANES]) -> [u32x16<S>; 16] {
    let swap: u8x64<S> = SWAP.simd_into(simd);
    let mut rows: [u32x16<S>; 16] = std::array::from_fn(|lane| {
        let octets: u8x64<S> = (*blocks[lane]).simd_into(simd);
        octets.swizzle_dyn_within_blocks(swap).bitcast()
    });
    // Four perfect shuffles of sixteen rows are a transposition.
    for _ in 0..4 {
        let before = rows;
        for pair in 0..8 {
            (rows[2 * pair], rows[2 * pair + 1]) = before[pair].interleave(before[pair + 8]);
        }
    }
    rows
}

/// Within each 16 octets, those of every word turned round.
const SWAP: [u8; BLOCK] = {
    let mut swap = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        swap[at] = (at as u8 & 12) | (3 - (at as u8 & 3));
        at += 1;
    }
    swap
};
