//! Where a packet belongs in its stream: what is missing, late or there twice (RFC 3550 appendices A.1 and A.3).

use crate::limits::{DROPOUT_MAX, REORDER_WINDOW};
use crate::stamp::NUMBER_BITS;

const WORDS: usize = REORDER_WINDOW as usize / 64;
/// What is added to numbers, so that ones before the first have room below.
const CYCLE: u64 = 1 << NUMBER_BITS;

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Newer than all before it; so many numbers in between are missing.
    Newest {
        /// Numbers that were skipped.
        missing: u32,
    },
    /// Older than the newest, and not seen before (RFC 4737 section 3.3); it had been taken as missing.
    Reordered {
        /// How many numbers behind the newest.
        behind: u32,
    },
    /// Older than the first that arrived; so many numbers in between are missing.
    Earlier {
        /// Numbers between it and the first.
        missing: u32,
        /// How many numbers behind the newest.
        behind: u32,
    },
    /// Seen before.
    Duplicate,
    /// Too far from the others to say.
    Stray,
}

/// The number of a packet, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// As RTP has it: 16 bits.
    Rtp(u16),
    /// The same, of a packet without a stamp in a stream that has them: numbers do not begin anew with it.
    Unstamped(u16),
    /// As a stamp has it: [`NUMBER_BITS`].
    Stamp(u32),
}

impl Number {
    /// How many numbers there are.
    const fn cycle(self) -> u32 {
        match self {
            Self::Rtp(_) | Self::Unstamped(_) => 1 << 16,
            Self::Stamp(_) => 1 << NUMBER_BITS,
        }
    }

    /// How far it is ahead of `from`, going round.
    const fn ahead_of(self, from: u64) -> u32 {
        match self {
            Self::Rtp(number) | Self::Unstamped(number) => number.wrapping_sub(from as u16) as u32,
            Self::Stamp(number) => number.wrapping_sub(from as u32) & (self.cycle() - 1),
        }
    }

    /// From this distance ahead of the newest it is behind it instead. A stamp is checked, so what it skips was lost,
    /// however much.
    const fn dropout(self) -> u32 {
        match self {
            Self::Rtp(_) | Self::Unstamped(_) => DROPOUT_MAX as u32,
            Self::Stamp(_) => 1 << (NUMBER_BITS - 1),
        }
    }
}

/// Sequence numbers of one stream, extended to 64 bits.
#[derive(Clone, Debug)]
pub struct Sequence {
    newest: u64,
    first: u64,
    /// Numbers that should have arrived. Not `newest - first`: restarts leave a hole.
    expected: u64,
    distinct: u64,
    /// The number that confirms a restart, if it comes next (RFC 3550 appendix A.1, `bad_seq`).
    restart: Option<u16>,
    seen: Window,
}

impl Sequence {
    /// A stream whose first packet to arrive has this number.
    #[must_use]
    pub const fn new(first: u16) -> Self {
        let first = CYCLE | first as u64;
        Self { newest: first, first, expected: 1, distinct: 1, restart: None, seen: Window::new() }
    }

    /// Places a packet.
    #[inline]
    pub fn place(&mut self, number: Number) -> Place {
        let ahead = number.ahead_of(self.newest);
        if ahead != 0 && ahead < number.dropout() { self.advance(ahead) } else { self.back(number, ahead) }
    }

    /// Numbers that should have arrived so far.
    #[must_use]
    pub const fn expected(&self) -> u64 {
        self.expected
    }

    /// Numbers that arrived.
    #[must_use]
    pub const fn distinct(&self) -> u64 {
        self.distinct
    }

    /// The newest number, with its cycles.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest - CYCLE
    }

    /// Lost packets and runs of them, as far as it can be said now.
    #[must_use]
    pub fn losses(&self) -> Losses {
        self.seen.settled(self.newest)
    }

    fn advance(&mut self, step: u32) -> Place {
        self.seen.advance(self.newest, step.into());
        self.newest += u64::from(step);
        self.expected += u64::from(step);
        self.distinct += 1;
        self.restart = None;
        Place::Newest { missing: step - 1 }
    }

    fn back(&mut self, number: Number, ahead: u32) -> Place {
        let behind = if ahead == 0 { 0 } else { number.cycle() - ahead };
        if u64::from(behind) >= REORDER_WINDOW {
            return self.far(number);
        }
        let number = self.newest - u64::from(behind);
        if number < self.first {
            return self.earlier(number, behind);
        }
        if !self.seen.mark(number) {
            return Place::Duplicate;
        }
        self.distinct += 1;
        Place::Reordered { behind }
    }

    fn earlier(&mut self, number: u64, behind: u32) -> Place {
        let missing = self.first - number - 1;
        (number + 1..self.first).for_each(|number| self.seen.unmark(number));
        self.expected += missing + 1;
        self.distinct += 1;
        self.first = number;
        Place::Earlier { missing: missing as u32, behind }
    }

    /// A number far from the others: a restart once the next one follows it, if no stamp says otherwise.
    fn far(&mut self, number: Number) -> Place {
        let Number::Rtp(sequence) = number else { return Place::Stray };
        if self.restart != Some(sequence) {
            self.restart = Some(sequence.wrapping_add(1));
            return Place::Stray;
        }
        self.restart = None;
        self.seen.restart(self.newest);
        self.newest = ((self.newest & !0xffff) + (1 << 16)) | u64::from(sequence);
        self.first = self.newest;
        self.expected += 1;
        self.distinct += 1;
        Place::Newest { missing: 0 }
    }
}

/// What was lost, and in how many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lost packets.
    pub packets: u64,
    /// Runs of lost packets without one between them that arrived.
    pub runs: u64,
}

/// Which of the last [`REORDER_WINDOW`] numbers arrived, and the losses among older ones.
#[derive(Clone, Debug)]
struct Window {
    bits: [u64; WORDS],
    losses: Losses,
    /// The last number that left the window was lost.
    in_run: bool,
}

impl Window {
    /// All marked: what was before the first packet is not missed.
    const fn new() -> Self {
        Self { bits: [u64::MAX; WORDS], losses: Losses { packets: 0, runs: 0 }, in_run: false }
    }

    /// Moves on from `newest` by `step`, and marks where that leads.
    fn advance(&mut self, newest: u64, step: u64) {
        if step == 1 {
            self.leave(newest + 1);
        } else {
            for number in newest + 1..=newest + step.min(REORDER_WINDOW) {
                self.leave(number);
                self.unmark(number);
            }
            self.skip(step.saturating_sub(REORDER_WINDOW));
        }
        self.set(newest + step);
    }

    /// The number that has the bit of `number` leaves the window.
    fn leave(&mut self, number: u64) {
        let lost = !self.has(number);
        self.losses.packets += u64::from(lost);
        self.losses.runs += u64::from(lost && !self.in_run);
        self.in_run = lost;
    }

    /// So many lost numbers enter and leave at once, in a gap longer than the window.
    fn skip(&mut self, lost: u64) {
        if lost != 0 {
            self.losses.packets += lost;
            self.losses.runs += u64::from(!self.in_run);
            self.in_run = true;
        }
    }

    /// Everything leaves: the numbers start anew.
    fn restart(&mut self, newest: u64) {
        self.losses = self.settled(newest);
        self.in_run = false;
        self.bits = [u64::MAX; WORDS];
    }

    /// The losses, had all left.
    fn settled(&self, newest: u64) -> Losses {
        let mut rest = self.clone();
        (newest + 1..=newest + REORDER_WINDOW).for_each(|number| rest.leave(number));
        rest.losses
    }

    /// Marks a number; false if it was.
    fn mark(&mut self, number: u64) -> bool {
        let fresh = !self.has(number);
        self.set(number);
        fresh
    }

    const fn has(&self, number: u64) -> bool {
        self.bits[Self::word(number)] & 1 << (number % 64) != 0
    }

    const fn set(&mut self, number: u64) {
        self.bits[Self::word(number)] |= 1 << (number % 64);
    }

    const fn unmark(&mut self, number: u64) {
        self.bits[Self::word(number)] &= !(1 << (number % 64));
    }

    const fn word(number: u64) -> usize {
        (number % REORDER_WINDOW / 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Number::{Rtp, Stamp};
    use super::*;

    fn newest(missing: u32) -> Place {
        Place::Newest { missing }
    }

    #[test]
    fn skipped_numbers_are_missing_until_they_arrive() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.place(Rtp(14)), newest(3));
        assert_eq!(sequence.place(Rtp(12)), Place::Reordered { behind: 2 });
        assert_eq!((sequence.expected(), sequence.distinct()), (5, 3));
        assert_eq!(sequence.losses(), Losses { packets: 2, runs: 2 });
    }

    #[test]
    fn a_number_seen_before_is_a_duplicate_and_not_distinct() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.place(Rtp(10)), Place::Duplicate);
        assert_eq!(sequence.place(Rtp(12)), newest(1));
        assert_eq!(sequence.place(Rtp(11)), Place::Reordered { behind: 1 });
        assert_eq!(sequence.place(Rtp(11)), Place::Duplicate);
        assert_eq!((sequence.expected(), sequence.distinct()), (3, 3));
    }

    #[test]
    fn numbers_wrap_and_the_report_block_has_the_cycle() {
        let mut sequence = Sequence::new(65_534);
        for number in [65_535, 0, 1] {
            assert_eq!(sequence.place(Rtp(number)), newest(0));
        }
        assert_eq!(sequence.newest(), 0x1_0001);
        assert_eq!(sequence.place(Rtp(65_535)), Place::Duplicate);
    }

    #[test]
    fn packets_that_overtook_the_first_are_expected_too() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.place(Rtp(7)), Place::Earlier { missing: 2, behind: 3 });
        assert_eq!(sequence.place(Rtp(8)), Place::Reordered { behind: 2 });
        assert_eq!(sequence.place(Rtp(7)), Place::Duplicate);
        assert_eq!((sequence.expected(), sequence.distinct()), (4, 3));
        assert_eq!(sequence.losses(), Losses { packets: 1, runs: 1 });
    }

    #[test]
    fn an_unstamped_leap_is_a_restart_once_it_is_confirmed() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.place(Rtp(30_000)), Place::Stray);
        assert_eq!(sequence.place(Rtp(11)), newest(0));
        assert_eq!(sequence.place(Rtp(30_000)), Place::Stray);
        assert_eq!(sequence.place(Rtp(30_001)), newest(0));
        assert_eq!(sequence.place(Rtp(30_003)), newest(1));
        assert_eq!((sequence.expected(), sequence.distinct()), (5, 4));
        assert_eq!(sequence.losses(), Losses { packets: 1, runs: 1 });
    }

    #[test]
    fn a_restart_must_follow_its_leap_at_once_and_keeps_what_was_lost() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.place(Rtp(13)), newest(2));
        assert_eq!(sequence.place(Rtp(30_000)), Place::Stray);
        assert_eq!(sequence.place(Rtp(14)), newest(0));
        assert_eq!(sequence.place(Rtp(30_001)), Place::Stray);
        assert_eq!(sequence.place(Rtp(30_002)), newest(0));
        assert_eq!(sequence.losses(), Losses { packets: 2, runs: 1 });
    }

    #[test]
    fn an_unstamped_leap_of_3000_is_the_first_that_is_not_a_loss() {
        assert_eq!(Sequence::new(10).place(Rtp(10 + 2999)), newest(2998));
        assert_eq!(Sequence::new(10).place(Rtp(10 + 3000)), Place::Stray);
    }

    #[test]
    fn a_stamped_leap_is_a_loss_of_up_to_half_of_all_numbers() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.place(Stamp(60_010)), newest(59_999));
        assert_eq!(sequence.place(Stamp(60_010 + 70_000)), newest(69_999));
        assert_eq!(sequence.place(Stamp(10_000)), Place::Stray);
        assert_eq!(sequence.losses(), Losses { packets: 59_999 + 69_999, runs: 2 });
        let half = 1 << (NUMBER_BITS - 1);
        assert_eq!(Sequence::new(10).place(Stamp(10 + half)), Place::Stray);
        assert_eq!(Sequence::new(10).place(Stamp(10 + half - 1)), newest(half - 2));
    }

    #[test]
    fn numbers_of_stamps_wrap() {
        let mut sequence = Sequence::new(0);
        let last = (1 << NUMBER_BITS) - 1;
        let third = last / 3;
        for number in [third, 2 * third, last] {
            assert_eq!(sequence.place(Stamp(number)), newest(third - 1));
        }
        assert_eq!(sequence.place(Stamp(1)), newest(1));
        assert_eq!(sequence.place(Stamp(0)), Place::Reordered { behind: 1 });
        assert_eq!(sequence.place(Stamp(last)), Place::Duplicate);
    }

    #[test]
    fn what_is_behind_the_window_stays_lost() {
        let mut sequence = Sequence::new(0);
        sequence.place(Rtp(1024 + 2));
        assert_eq!(sequence.place(Rtp(2)), Place::Stray);
        assert_eq!(sequence.place(Rtp(3)), Place::Reordered { behind: 1023 });
    }

    proptest! {
        /// Any disorder within the window, judged by a set of all that arrived.
        #[test]
        fn losses_and_duplicates_are_those_of_a_model(
            first: u16,
            steps in prop::collection::vec((0..40u64, 0..6u64), 1..400),
        ) {
            let (mut sequence, mut seen) = (Sequence::new(first), BTreeSet::from([u64::from(first) + 1000]));
            let mut newest = u64::from(first) + 1000;
            for (back, ahead) in steps {
                let number = newest + ahead - back.min(newest - 1000);
                let place = sequence.place(Rtp((number - 1000) as u16));
                prop_assert_eq!(place == Place::Duplicate, !seen.insert(number), "{:?}", place);
                newest = newest.max(number);
            }
            let (low, high) = (*seen.first().unwrap(), *seen.last().unwrap());
            let lost: Vec<u64> = (low..high).filter(|number| !seen.contains(number)).collect();
            let runs = lost.iter().filter(|number| seen.contains(&(*number - 1))).count() as u64;
            prop_assert_eq!(sequence.losses(), Losses { packets: lost.len() as u64, runs });
            prop_assert_eq!(sequence.expected() - sequence.distinct(), lost.len() as u64);
        }

        #[test]
        fn no_order_of_numbers_loses_the_balance(numbers: Vec<(u32, bool)>) {
            let mut sequence = Sequence::new(7);
            let (mut missing, mut filled) = (0_u64, 0);
            for (number, stamped) in numbers {
                match sequence.place(if stamped { Stamp(number) } else { Rtp(number as u16) }) {
                    Place::Newest { missing: more } | Place::Earlier { missing: more, .. } => missing += u64::from(more),
                    Place::Reordered { .. } => filled += 1,
                    Place::Duplicate | Place::Stray => {}
                }
            }
            prop_assert_eq!(sequence.expected() - sequence.distinct(), missing - filled);
            prop_assert_eq!(sequence.losses().packets, missing - filled);
        }
    }
}
