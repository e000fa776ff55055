//! Reports (RFC 3550 section 6.4).

use super::{Packet, packet_type, word};

/// Octets of a reception report block.
pub(super) const BLOCK: usize = 24;

/// What a sender says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// When it was sent, in 1/2^32 s since 1900.
    pub ntp: u64,
    /// The same in units of the media's clock.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Octets of payload sent so far.
    pub octets: u32,
}

/// What a receiver says of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// What share of packets was lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost so far, 24 bits with a sign: duplicates make it negative.
    pub lost: i32,
    /// Highest sequence number, above it how often numbers began again.
    pub highest: u32,
    /// Jitter, in units of the media's clock.
    pub jitter: u32,
    /// Middle of the NTP time of the last sender report (LSR).
    pub last_report: u32,
    /// Time since that came (DLSR), in 1/65,536 s.
    pub since_last_report: u32,
}

impl Packet<'_> {
    /// Of a sender report: what the sender says of itself.
    #[must_use]
    pub fn sender_info(&self) -> Option<SenderInfo> {
        (self.kind == packet_type::SENDER_REPORT).then_some(())?;
        let at = |at| word(self.octets, at);
        let ntp = u64::from(at(8)?) << 32 | u64::from(at(12)?);
        Some(SenderInfo { ntp, rtp: at(16)?, packets: at(20)?, octets: at(24)? })
    }

    /// Reception reports of a sender or receiver report, as far as they are there.
    pub fn report_blocks(&self) -> impl Iterator<Item = ReportBlock> {
        let start = match self.kind {
            packet_type::SENDER_REPORT => 28,
            packet_type::RECEIVER_REPORT => 8,
            _ => self.octets.len(),
        };
        let blocks = self.octets.get(start..).unwrap_or_default().chunks_exact(BLOCK).take(self.count.into());
        blocks.filter_map(ReportBlock::read)
    }
}

impl ReportBlock {
    fn read(octets: &[u8]) -> Option<Self> {
        let at = |at| word(octets, at);
        let loss = at(4)?;
        Some(Self {
            ssrc: at(0)?,
            fraction_lost: (loss >> 24) as u8,
            // The sign goes along when shifted back.
            lost: (loss << 8) as i32 >> 8,
            highest: at(8)?,
            jitter: at(12)?,
            last_report: at(16)?,
            since_last_report: at(20)?,
        })
    }

    /// As on the wire; what does not fit 24 bits is the most that does.
    pub(super) fn octets(&self) -> [u8; BLOCK] {
        let lost = self.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let loss = u32::from(self.fraction_lost) << 24 | lost;
        let words = [self.ssrc, loss, self.highest, self.jitter, self.last_report, self.since_last_report]
            .map(u32::to_be_bytes);
        let mut octets = [0; BLOCK];
        octets.iter_mut().zip(words.as_flattened()).for_each(|(place, octet)| *place = *octet);
        octets
    }
}
