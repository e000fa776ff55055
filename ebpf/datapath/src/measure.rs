//! What a flow measures of the RTP in it (RFC 3550 appendix A.3 and A.8). The header is readable under SRTP.
//!
//! One source is followed at a time: where several share a flow (BUNDLE), the first one seen, until it has been
//! silent for [`SOURCE_SILENT_NS`]. All other ones only count as packets of the flow.

use core::sync::atomic::Ordering::Relaxed;

use raceway_abi::Rtp;

/// Octets of the fixed RTP header.
pub const RTP_OCTETS: usize = 12;
/// Another source is followed once the one before has sent nothing for this long.
pub const SOURCE_SILENT_NS: u64 = 1_000_000_000;
/// A sequence number this far ahead is a restart, not a loss (`MAX_DROPOUT` of RFC 3550 appendix A.1).
const MAX_DROPOUT: u16 = 3000;
/// A sequence number this far behind is a restart, not a late packet (`MAX_MISORDER` of RFC 3550 appendix A.1).
const MAX_MISORDER: u16 = 100;
/// Shortest time over which a clock rate is inferred.
const INFER_OVER_NS: u64 = 1_000_000_000;
/// Clock rates that are inferred: those of RFC 3551 and of Opus (RFC 7587).
const CLOCK_RATES_HZ: [u32; 7] = [8000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];
/// A measured rate within this share of one of them is that one; keeps 44.1 kHz and 48 kHz apart.
const CLOCK_TOLERANCE: u64 = 24;
/// Longest time that is converted to timestamp units, 8.6 s.
const SPAN_MAX_NS: u64 = 1 << 33;

/// Fixed header of an RTP packet (RFC 3550 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

impl RtpHeader {
    /// From the first 12 octets of application data, read in little-endian order. Nothing when they are not
    /// RTP: another version, or RTCP by RFC 5761 section 4.
    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 3]) -> Option<Self> {
        let [first, timestamp, ssrc] = words;
        let payload_type = (first >> 8) as u8 & 0x7f;
        let is_rtcp = payload_type >= 64 && payload_type <= 95;
        if first & 0xc0 != 0x80 || is_rtcp {
            return None;
        }
        Some(Self {
            payload_type,
            sequence: ((first >> 16) as u16).swap_bytes(),
            timestamp: timestamp.swap_bytes(),
            ssrc: ssrc.swap_bytes(),
        })
    }

    /// From application data.
    #[inline]
    #[must_use]
    pub fn of(data: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h, i, j, k, l] = data.first_chunk::<RTP_OCTETS>()?;
        let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l]];
        Self::from_words(words.map(u32::from_le_bytes))
    }
}

/// Notes an RTP packet that arrived at `now_ns`.
#[inline(always)]
pub fn rtp(rtp: &Rtp, header: RtpHeader, now_ns: u64) {
    let last_ns = rtp.last_ns.load(Relaxed);
    let silent_ns = now_ns.wrapping_sub(last_ns);
    let follows = rtp.received.load(Relaxed) != 0 && rtp.ssrc.load(Relaxed) == header.ssrc;
    if !follows {
        if last_ns == 0 || silent_ns >= SOURCE_SILENT_NS {
            start(rtp, header, now_ns);
        }
        return;
    }
    rtp.received.store(rtp.received.load(Relaxed).wrapping_add(1), Relaxed);
    rtp.payload_type.store(header.payload_type.into(), Relaxed);
    sequence(rtp, header.sequence);
    let clock_hz = rtp.clock_hz.load(Relaxed);
    if clock_hz == 0 {
        infer_clock(rtp, header.timestamp, now_ns);
    } else {
        jitter(rtp, header.timestamp, silent_ns, clock_hz);
    }
    rtp.timestamp.store(header.timestamp, Relaxed);
    rtp.last_ns.store(now_ns, Relaxed);
}

/// Follows a source from here on. What was lost and late of sources before it stays in the sums.
#[inline(always)]
fn start(rtp: &Rtp, header: RtpHeader, now_ns: u64) {
    rtp.ssrc.store(header.ssrc, Relaxed);
    rtp.highest_sequence.store(header.sequence.into(), Relaxed);
    rtp.received.store(1, Relaxed);
    rtp.jitter_q4.store(0, Relaxed);
    rtp.timestamp.store(header.timestamp, Relaxed);
    rtp.first_timestamp.store(header.timestamp, Relaxed);
    rtp.first_ns.store(now_ns, Relaxed);
    rtp.last_ns.store(now_ns, Relaxed);
    rtp.clock_hz.store(static_clock_hz(header.payload_type), Relaxed);
    rtp.payload_type.store(header.payload_type.into(), Relaxed);
}

/// Loss and order.
#[inline(always)]
fn sequence(rtp: &Rtp, sequence: u16) {
    let highest = rtp.highest_sequence.load(Relaxed);
    let ahead = sequence.wrapping_sub(highest as u16);
    let behind = ahead.wrapping_neg();
    if ahead == 0 {
        // A duplicate.
    } else if ahead < MAX_DROPOUT {
        rtp.highest_sequence.store(highest.wrapping_add(ahead.into()), Relaxed);
        if ahead > 1 {
            rtp.lost.store(rtp.lost.load(Relaxed).wrapping_add(u32::from(ahead) - 1), Relaxed);
        }
    } else if behind <= MAX_MISORDER {
        rtp.reordered.store(rtp.reordered.load(Relaxed).wrapping_add(1), Relaxed);
        let lost = rtp.lost.load(Relaxed);
        if lost != 0 {
            rtp.lost.store(lost - 1, Relaxed);
        }
    } else {
        // The source restarted its count; its cycles so far stay.
        rtp.highest_sequence.store(highest & 0xffff_0000 | u32::from(sequence), Relaxed);
    }
}

/// Interarrival jitter, as the integer code of RFC 3550 appendix A.8 has it.
#[inline(always)]
fn jitter(rtp: &Rtp, timestamp: u32, since_last_ns: u64, clock_hz: u32) {
    if since_last_ns >= SPAN_MAX_NS {
        return;
    }
    let arrival = units(since_last_ns, clock_hz);
    let sent = timestamp.wrapping_sub(rtp.timestamp.load(Relaxed));
    let difference = (arrival as u32).wrapping_sub(sent);
    let negative = difference >> 31 != 0;
    let difference = if negative { difference.wrapping_neg() } else { difference };
    // Two seconds are a new origin of the timestamps, not jitter.
    if difference > clock_hz << 1 {
        return;
    }
    let jitter = rtp.jitter_q4.load(Relaxed);
    rtp.jitter_q4.store(jitter.wrapping_add(difference).wrapping_sub((jitter + 8) >> 4), Relaxed);
}

/// Timestamp units in a time below [`SPAN_MAX_NS`]. Two multiplications: the first makes seconds times 2^28.
#[inline(always)]
const fn units(ns: u64, clock_hz: u32) -> u64 {
    const Q60_PER_NS: u64 = (1 << 60) / 1_000_000_000 + 1;
    (((ns * Q60_PER_NS) >> 32) * clock_hz as u64) >> 28
}

/// Compares what the timestamp did with what the clock did, once a second until both fit a rate in use.
#[inline(always)]
fn infer_clock(rtp: &Rtp, timestamp: u32, now_ns: u64) {
    let elapsed_ns = now_ns.wrapping_sub(rtp.first_ns.load(Relaxed));
    if elapsed_ns < INFER_OVER_NS {
        return;
    }
    let sent = timestamp.wrapping_sub(rtp.first_timestamp.load(Relaxed));
    let clock_hz = if elapsed_ns < SPAN_MAX_NS { nearest_clock_hz(elapsed_ns, sent) } else { 0 };
    if clock_hz == 0 {
        rtp.first_ns.store(now_ns, Relaxed);
        rtp.first_timestamp.store(timestamp, Relaxed);
    }
    rtp.clock_hz.store(clock_hz, Relaxed);
}

/// The rate that makes `elapsed_ns` into `sent` units, nearly; zero when none does.
#[inline(always)]
fn nearest_clock_hz(elapsed_ns: u64, sent: u32) -> u32 {
    let mut found = 0;
    for clock_hz in CLOCK_RATES_HZ {
        let expected = units(elapsed_ns, clock_hz);
        let off = u64::from(sent).abs_diff(expected);
        if off * CLOCK_TOLERANCE < expected {
            found = clock_hz;
        }
    }
    found
}

/// Clock rate of a static payload type (RFC 3551 section 6); zero for dynamic ones.
#[inline(always)]
const fn static_clock_hz(payload_type: u8) -> u32 {
    /// Payload types of a rate, as bits.
    const HZ_8000: u64 = bits(&[0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18]);
    const HZ_90000: u64 = bits(&[14, 25, 26, 28, 31, 32, 33, 34]);
    const HZ_44100: u64 = bits(&[10, 11]);
    if payload_type >= 64 {
        return 0;
    }
    let bit = 1 << payload_type;
    if HZ_8000 & bit != 0 {
        8000
    } else if HZ_90000 & bit != 0 {
        90_000
    } else if HZ_44100 & bit != 0 {
        44_100
    } else if payload_type == 6 {
        16_000
    } else if payload_type == 16 {
        11_025
    } else if payload_type == 17 {
        22_050
    } else {
        0
    }
}

const fn bits(positions: &[u8]) -> u64 {
    let mut bits = 0;
    let mut at = 0;
    while at < positions.len() {
        bits |= 1 << positions[at];
        at += 1;
    }
    bits
}

/// Notes a relayed datagram with this application data in its flow, in user space.
#[cfg(not(target_arch = "bpf"))]
pub fn relayed(measured: &raceway_abi::Measured, data: &[u8], now_ns: u64) {
    measured.packets.fetch_add(1, Relaxed);
    measured.octets.fetch_add(data.len() as u64, Relaxed);
    measured.last_ns.store(now_ns, Relaxed);
    if let Some(header) = RtpHeader::of(data) {
        rtp(&measured.rtp, header, now_ns);
    }
}

/// Notes an RTP packet in its flow whose rules drop it, in user space.
#[cfg(not(target_arch = "bpf"))]
pub fn blocked(measured: &raceway_abi::Measured, data: &[u8], now_ns: u64) {
    measured.blocked.fetch_add(1, Relaxed);
    measured.last_ns.store(now_ns, Relaxed);
    if let Some(header) = RtpHeader::of(data) {
        rtp(&measured.rtp, header, now_ns);
    }
}

#[cfg(test)]
mod tests;
