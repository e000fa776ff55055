//! What the generator's memory is bounded by.

use core::ops::RangeInclusive;
use core::time::Duration;

use crate::stamp::STAMP;

/// Sequence numbers behind the newest in which a receiver tells late packets from duplicates: 128 octets a stream.
///
/// A packet further behind stays lost and is counted as a stray.
pub const REORDER_WINDOW: u64 = 1024;
/// Octets that a receiver of one stream may take: 50,000 streams fit into 68 MB.
pub const RECEIVER_OCTETS: usize = 1344;
/// An unstamped packet this far ahead is a restart, not a loss (`MAX_DROPOUT` of RFC 3550 appendix A.1).
pub const DROPOUT_MAX: u16 = 3000;
/// Longest delay that the histograms of a run tell apart; longer ones count as this.
pub const DELAY_MAX: Duration = Duration::from_secs(60);
/// Points of a time series. When there would be more, two become one. 80 octets each.
pub const SERIES_MAX: usize = 3600;
/// Streams with a row of their own in a report, the worst ones. About 400 octets each.
pub const ROWS_MAX: usize = 10_000;
/// Most streams of a wheel. Each takes 32 octets.
pub const STREAMS_MAX: u32 = 1 << 24;
/// Octets of the longest RTP packet: a frame of 9000 octets without the headers of IPv4 and UDP.
pub const PACKET_MAX: u32 = 8_972;
/// Octets of the shortest packet that still carries a stamp: `constant` has none that are shorter.
pub const PACKET_MIN: u32 = 12 + STAMP as u32;
/// Bits a second of Opus. Below, packets would be too short for a stamp.
pub const OPUS_BITRATES: RangeInclusive<u32> = 16_000..=510_000;
/// Bits a second of a video stream.
pub const VIDEO_BITRATE_MAX: u32 = 50_000_000;
/// Frames a second of a video stream.
pub const FPS: RangeInclusive<u32> = 5..=120;
/// Octets of the longest RTP packet of video: what encoders of browsers keep to.
pub const VIDEO_PACKET_MAX: usize = 1_200;
/// Octets of a sender. 50,000 streams take 14 MB.
pub const SENDER_OCTETS: usize = 272;
/// Most packets a second of one stream.
pub const PPS_MAX: u32 = 1_000_000;
/// Sources that a participant knows and reports on: as many as a report has room for. [`SOURCE_OCTETS`] each.
pub const SOURCES_MAX: usize = 31;
/// Octets that a participant keeps of a source.
pub const SOURCE_OCTETS: usize = 72;
/// Octets of the longest RTCP datagram: sender report with [`SOURCES_MAX`] blocks, name, goodbye.
pub const REPORT_MAX: usize = 28 + SOURCES_MAX * 24 + 28 + 8;
/// Octets of the longest capture that is replayed.
pub const CAPTURE_OCTETS_MAX: usize = 1 << 31;
/// Sets of addresses and SSRC of a capture that are looked at. About 200 octets each, and 32 for each packet.
pub const CANDIDATES_MAX: usize = 1 << 17;
/// Packets of the shortest stream of a capture that is taken as one.
pub const STREAM_PACKETS_MIN: usize = 10;
/// Shortest time after which a capture begins again.
pub const PERIOD_MIN: Duration = Duration::from_millis(1);
/// Calls of a run. About 600 octets each, and a socket for each party if media flows.
pub const CALLS_MAX: u32 = 200_000;
/// Reasons why commands fail that are told apart.
pub const REASONS_MAX: usize = 32;
