//! By which numbers packets are placed: the sender's own where they are stamped, since a forwarder may write RTP's anew.

use super::sequence::{Number, Place, Sequence};
use crate::stamp::NUMBER_BITS;

/// Numbers of one stream: those of stamps, and RTP's turned into them.
#[derive(Clone, Debug)]
pub struct Numbers {
    sequence: Sequence,
    /// What leads from a stamp's number to that of the sequence, which began with RTP's; known from the first stamp on.
    base: Option<u32>,
    /// How far numbers are ahead of RTP's: what a forwarder has taken out, and closed the gap.
    ahead: i64,
}

impl Numbers {
    /// A stream whose first packet to arrive has this RTP sequence number, and this stamp's.
    #[must_use]
    pub fn new(rtp: u16, stamp: Option<u32>) -> Self {
        let mut numbers = Self { sequence: Sequence::new(rtp), base: None, ahead: 0 };
        numbers.base = stamp.map(|stamp| numbers.base(rtp, stamp));
        numbers
    }

    /// Places a packet.
    #[inline]
    pub fn place(&mut self, rtp: u16, stamp: Option<u32>) -> Place {
        let rtp_ahead = rtp.wrapping_add(self.ahead as u16);
        match (stamp, self.base) {
            (Some(stamp), Some(base)) => {
                let number = stamp.wrapping_add(base);
                let place = self.sequence.place(Number::Stamp(number));
                if matches!(place, Place::Newest { .. }) {
                    self.ahead += i64::from((number as u16).wrapping_sub(rtp).wrapping_sub(self.ahead as u16) as i16);
                }
                place
            }
            (None, Some(_)) => self.sequence.place(Number::Unstamped(rtp_ahead)),
            (None, None) => self.sequence.place(Number::Rtp(rtp_ahead)),
            (Some(stamp), None) => {
                let place = self.sequence.place(Number::Rtp(rtp_ahead));
                self.base = (place != Place::Stray).then(|| self.base(rtp_ahead, stamp));
                place
            }
        }
    }

    /// From now on stamps are of another stream, whose numbers have nothing to do with those before: what RTP says joins
    /// the two.
    pub const fn switch(&mut self) {
        self.base = None;
    }

    /// Numbers of the sequence from those of stamps, if this RTP sequence number and stamp belong together.
    fn base(&self, rtp: u16, stamp: u32) -> u32 {
        let newest = self.sequence.newest() as u32;
        let number = newest.wrapping_add_signed((rtp.wrapping_sub(newest as u16) as i16).into());
        number.wrapping_sub(stamp) & ((1 << NUMBER_BITS) - 1)
    }

    /// Places so far.
    #[must_use]
    pub const fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// RTP sequence numbers that should have arrived, as a report block counts them (RFC 3550 appendix A.3).
    #[must_use]
    pub const fn expected_by_rtp(&self) -> u64 {
        self.sequence.expected().saturating_add_signed(-self.ahead)
    }

    /// The newest RTP sequence number with its cycles (RFC 3550 section 6.4.1).
    #[must_use]
    pub const fn extended_highest(&self) -> u32 {
        self.sequence.newest().wrapping_add_signed(-self.ahead) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(missing: u32) -> Place {
        Place::Newest { missing }
    }

    #[test]
    fn numbers_that_a_forwarder_wrote_anew_do_not_matter() {
        // It began elsewhere, and has taken 103 to 105 out.
        let mut numbers = Numbers::new(7, Some(100));
        assert_eq!(numbers.place(8, Some(101)), newest(0));
        assert_eq!(numbers.place(10, Some(106)), newest(4));
        assert_eq!(numbers.place(9, Some(102)), Place::Reordered { behind: 4 });
        assert_eq!(numbers.place(11, Some(106)), Place::Duplicate);
        assert_eq!(numbers.place(12, Some(107)), newest(0));
    }

    #[test]
    fn a_report_block_counts_by_what_rtp_says() {
        let mut numbers = Numbers::new(65_534, Some(100));
        numbers.place(65_535, Some(101));
        // 102 to 105 were taken out, 107 was lost on the way.
        numbers.place(0, Some(106));
        numbers.place(2, Some(108));
        assert_eq!((numbers.sequence().expected(), numbers.expected_by_rtp()), (9, 5));
        assert_eq!(numbers.extended_highest(), 0x1_0002);
    }

    #[test]
    fn packets_without_a_stamp_follow_those_with_one() {
        let mut numbers = Numbers::new(7, None);
        assert_eq!(numbers.place(8, Some(1_000)), newest(0));
        assert_eq!(numbers.place(9, None), newest(0));
        // 1002 to 1004 were taken out.
        assert_eq!(numbers.place(10, Some(1_005)), newest(3));
        assert_eq!(numbers.place(11, None), newest(0));
        assert_eq!(numbers.place(12, Some(1_007)), newest(0));
        assert_eq!(numbers.place(9, None), Place::Reordered { behind: 3 });
    }

    #[test]
    fn packets_without_a_stamp_do_not_lead_a_stamped_stream_astray() {
        let mut numbers = Numbers::new(7, Some(7));
        for rtp in 30_000..30_010 {
            assert_eq!(numbers.place(rtp, None), Place::Stray);
        }
        assert_eq!(numbers.place(8, Some(8)), newest(0));
    }

    #[test]
    fn a_stream_in_the_place_of_another_goes_on_where_rtp_does() {
        let mut numbers = Numbers::new(7, Some(100));
        // 102 and 103 were taken out.
        assert_eq!(numbers.place(8, Some(104)), newest(3));
        numbers.switch();
        // 9 was lost.
        assert_eq!(numbers.place(10, Some(9_000)), newest(1));
        assert_eq!(numbers.place(11, Some(9_002)), newest(1));
        assert_eq!(numbers.place(12, Some(9_003)), newest(0));
    }

    #[test]
    fn a_first_stamp_that_is_a_stray_says_nothing() {
        let mut numbers = Numbers::new(7, None);
        assert_eq!(numbers.place(30_000, Some(5)), Place::Stray);
        assert_eq!(numbers.place(9, Some(52)), newest(1));
        assert_eq!(numbers.place(10, Some(54)), newest(1));
    }
}
