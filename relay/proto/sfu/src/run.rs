//! Which numbers packets got: runs of consecutive ones.
//!
//! Packets that were dropped by choice lie between runs; those that are missing lie in them, since a number was left for each.

use crate::frame::Source;
use crate::selection::Limit;

/// What is taken from the numbers of a stream to make those of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// Of RTP timestamps.
    pub(crate) timestamp: u32,
    /// Of picture numbers.
    pub(crate) picture: u16,
    /// Of frame numbers of the dependency descriptor.
    pub(crate) number: u16,
    /// Of numbers of pictures of layer 0 (TL0PICIDX).
    pub(crate) base: u8,
    /// Of numbers of key frames (KEYIDX).
    pub(crate) key_index: u8,
    /// Of identifiers of templates.
    pub(crate) template: u8,
}

/// Consecutive packets of a stream that got consecutive numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) first_in: u64,
    pub(crate) first_out: u64,
    pub(crate) length: u32,
    pub(crate) source: Source,
    /// Which frames pass.
    pub(crate) limit: Limit,
    pub(crate) offsets: Offsets,
    /// Decode targets that the receiver can decode, if not all.
    pub(crate) decodable: Option<u32>,
    /// How many decode targets there are.
    pub(crate) targets: u8,
}

impl Run {
    /// The number that a packet of the stream has.
    pub(crate) fn number(&self, source: Source, sequence: u64) -> Option<u64> {
        let along = sequence.checked_sub(self.first_in)?;
        (self.source == source && along < u64::from(self.length)).then_some(self.first_out + along)
    }

    /// The packet of the stream that has a number.
    fn sequence(&self, number: u64) -> Option<u64> {
        let along = number.checked_sub(self.first_out)?;
        (along < u64::from(self.length)).then_some(self.first_in + along)
    }

    /// Whether a packet with the same numbers taken from it would go on with the run.
    fn goes_on(&self, other: &Self) -> bool {
        let mine = (self.source, self.limit, self.offsets, self.decodable, self.targets);
        self.first_in + u64::from(self.length) == other.first_in
            && mine == (other.source, other.limit, other.offsets, other.decodable, other.targets)
    }
}

/// The last runs of a subscription, and the number after them.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    runs: Box<[Run]>,
    /// How many there have been.
    count: usize,
    next: u64,
}

impl Runs {
    /// None yet; the first packet will have number `next`.
    pub(crate) fn new(capacity: usize, next: u64) -> Self {
        Self { runs: vec![Run::default(); capacity].into(), count: 0, next }
    }

    /// The number after the last one.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Gives numbers to the packets of `run`, whose own is not looked at. The first of them.
    #[inline]
    pub(crate) fn push(&mut self, run: &Run) -> u64 {
        let number = self.next;
        self.next += u64::from(run.length);
        if let Some(last) = self.count.checked_sub(1) {
            let last = &mut self.runs[last % self.runs.len()];
            if last.goes_on(run) {
                last.length += run.length;
                return number;
            }
        }
        let at = self.count % self.runs.len();
        self.runs[at] = Run { first_out: number, ..*run };
        self.count += 1;
        number
    }

    /// The last runs, the newest first.
    fn newest_first(&self) -> impl Iterator<Item = &Run> {
        let kept = self.count.min(self.runs.len());
        (1..=kept).map(|back| &self.runs[(self.count - back) % self.runs.len()])
    }

    /// The run that a packet belongs to, and its number.
    pub(crate) fn find(&self, source: Source, sequence: u64) -> Option<(&Run, u64)> {
        self.newest_first().find_map(|run| Some((run, run.number(source, sequence)?)))
    }

    /// The packet that a number was given to.
    pub(crate) fn packet(&self, number: u64) -> Option<(Source, u64)> {
        self.newest_first().find_map(|run| Some((run.source, run.sequence(number)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: u8, first_in: u64, length: u32) -> Run {
        Run { source: Source(source), first_in, length, ..Run::default() }
    }

    #[test]
    fn numbers_go_on_over_packets_that_were_dropped() {
        let mut runs = Runs::new(4, 100);
        assert_eq!([runs.push(&run(0, 10, 2)), runs.push(&run(0, 12, 1)), runs.push(&run(0, 15, 1))], [100, 102, 103]);
        let number = |sequence| runs.find(Source(0), sequence).map(|(_, number)| number);
        let numbers: Vec<_> = (9..17).map(number).collect();
        assert_eq!(numbers, [None, Some(100), Some(101), Some(102), None, None, Some(103), None]);
        assert_eq!(runs.packet(103), Some((Source(0), 15)));
        assert_eq!((runs.packet(99), runs.packet(104), runs.next()), (None, None, 104));
    }

    #[test]
    fn a_number_of_another_stream_is_another_packet() {
        let mut runs = Runs::new(4, 0);
        runs.push(&run(0, 10, 1));
        runs.push(&run(1, 10, 1));
        assert_eq!(runs.find(Source(1), 10).map(|(_, number)| number), Some(1));
        assert_eq!(runs.packet(0), Some((Source(0), 10)));
    }

    #[test]
    fn the_oldest_runs_are_forgotten() {
        let mut runs = Runs::new(2, 0);
        [0, 10, 20].into_iter().for_each(|first| {
            runs.push(&run(0, first, 1));
        });
        assert!(runs.find(Source(0), 0).is_none() && runs.find(Source(0), 10).is_some());
        assert_eq!((runs.packet(0), runs.packet(1)), (None, Some((Source(0), 10))));
    }
}
