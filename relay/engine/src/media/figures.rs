//! What a leg measured, for the thread that reports it.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::sync::OnceLock;

use raceway_abi::{DropReason, Rtp};
use raceway_api::limits::{ROLLOVERS_MAX, STREAMS_MAX};
use raceway_api::{Dtmf, Rollover};
use raceway_datapath::measure::{self, RtpHeader};
use raceway_units::{Endpoint, Instant};

use super::rtp;

/// Figures of a leg: written by its worker alone, read by anyone. They outlive changes of the leg.
#[derive(Debug, Default)]
pub struct LegFigures {
    /// What came from the party and was accepted.
    pub received: TrafficFigures,
    /// What was sent to it.
    pub sent: TrafficFigures,
    /// Drops by reason, of what came from the party.
    dropped: [AtomicU64; DropReason::ALL.len()],
    /// Kernel monotonic nanoseconds of the last RTP and RTCP that were accepted.
    pub last_rtp_ns: AtomicU64,
    /// See `last_rtp_ns`.
    pub last_rtcp_ns: AtomicU64,
    /// Last round trip in microseconds, plus one; zero for none.
    round_trip_us: AtomicU32,
    /// Changes of the RTP source.
    pub ssrc_changes: AtomicU32,
    /// Not zero once the party has heard a source by another name than its own.
    pub translates: AtomicU32,
    /// Goodbyes that arrived.
    pub goodbyes: AtomicU32,
    /// Extended reports that arrived.
    pub extended_reports: AtomicU32,
    rtp_remote: SharedEndpoint,
    rtcp_remote: SharedEndpoint,
    settled: [AtomicU32; 2],
    streams: [StreamFigures; STREAMS_MAX],
    /// Made with the first leg that has keys.
    rollovers: OnceLock<Box<[RolloverFigures; ROLLOVERS_MAX]>>,
}

/// Packets and octets.
#[derive(Debug, Default)]
pub struct TrafficFigures {
    /// RTP packets, and octets in them.
    pub rtp: [AtomicU64; 2],
    /// RTCP datagrams, and octets in them.
    pub rtcp: [AtomicU64; 2],
}

/// One RTP source.
#[derive(Debug, Default)]
pub struct StreamFigures {
    /// As of a flow.
    pub rtp: Rtp,
    /// Packets that came twice.
    pub duplicated: AtomicU32,
    /// The largest that `rtp.jitter_q4` was.
    pub jitter_max_q4: AtomicU32,
}

/// An address that is read while it may be written (sequence lock).
#[derive(Debug, Default)]
struct SharedEndpoint {
    version: AtomicU32,
    port: AtomicU32,
    address: [AtomicU64; 2],
}

/// [`Rollover`] that is read while it may be written: each word by itself, which is right enough for a counter that goes up.
#[derive(Debug, Default)]
struct RolloverFigures {
    /// SSRC in the low half, above it whether it is used and whether it was sent.
    stream: AtomicU64,
    roc: AtomicU32,
    /// With [`KNOWN`], unless there was no RTP.
    sequence: AtomicU32,
    srtcp_index: AtomicU32,
}

const USED: u64 = 1 << 32;
const SENT: u64 = 1 << 33;
const KNOWN: u32 = 1 << 16;

/// Something that happened on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegNews {
    /// Its session.
    pub session: u64,
    /// Its name.
    pub leg: u32,
    /// When.
    pub at: Instant,
    /// What.
    pub what: News,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The first RTP packet was accepted: source and payload type.
    FirstPacket(u32, u8),
    /// Packets go elsewhere: whether RTCP alone does, where to, whether for good.
    Learned(bool, Endpoint, bool),
    /// A key was pressed.
    Dtmf(Dtmf),
    /// A quarter of a cycle of sequence numbers has gone by, or a stream is new.
    Rollover(Rollover),
    /// A key is used up; whether it is the one that we send with.
    KeyExhausted(bool),
    /// The party hears a source by another name than its own, from now on.
    Translated,
}

/// Adds; only for the one thread that writes, so that no atomic read-modify-write is needed.
#[inline]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

impl TrafficFigures {
    #[inline]
    pub(super) fn count(&self, rtcp: bool, octets: usize) {
        let [packets, sum] = if rtcp { &self.rtcp } else { &self.rtp };
        add(packets, 1);
        add(sum, octets as u64);
    }
}

impl LegFigures {
    /// Drops, of those reasons that there were.
    pub fn dropped(&self) -> impl Iterator<Item = (DropReason, u64)> {
        let counts = DropReason::ALL.iter().zip(&self.dropped);
        counts.map(|(reason, count)| (*reason, count.load(Relaxed))).filter(|(_, count)| *count != 0)
    }

    /// Counts those of the packets of a compound one that are counted by themselves.
    pub(super) fn count_reports(&self, compound: &[u8]) {
        for packet in rtp::rtcp(compound) {
            let counter = match packet.kind {
                rtp::packet_type::BYE => &self.goodbyes,
                rtp::packet_type::EXTENDED_REPORT => &self.extended_reports,
                _ => continue,
            };
            counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    #[inline]
    pub(super) fn drop_one(&self, reason: DropReason) {
        add(&self.dropped[reason as usize], 1);
    }

    /// Where RTP goes and where RTCP goes, each with whether that is settled.
    #[must_use]
    pub fn remotes(&self) -> [(Option<Endpoint>, bool); 2] {
        let [rtp, rtcp] = &self.settled;
        [(self.rtp_remote.load(), rtp.load(Relaxed) != 0), (self.rtcp_remote.load(), rtcp.load(Relaxed) != 0)]
    }

    pub(super) fn set_remotes(&self, rtp: (Option<Endpoint>, bool), rtcp: (Option<Endpoint>, bool)) {
        self.rtp_remote.store(rtp.0);
        self.rtcp_remote.store(rtcp.0);
        self.settled[0].store(rtp.1.into(), Relaxed);
        self.settled[1].store(rtcp.1.into(), Relaxed);
    }

    /// The last round trip in microseconds.
    #[must_use]
    pub fn round_trip_us(&self) -> Option<u32> {
        self.round_trip_us.load(Relaxed).checked_sub(1)
    }

    pub(super) fn set_round_trip_us(&self, us: u32) {
        self.round_trip_us.store(us.saturating_add(1), Relaxed);
    }

    /// RTP sources, the last one first.
    #[must_use]
    pub fn streams(&self) -> Vec<&StreamFigures> {
        let mut streams: Vec<_> = self.streams.iter().filter(|s| s.rtp.received.load(Relaxed) != 0).collect();
        streams.sort_by_key(|stream| core::cmp::Reverse(stream.rtp.last_ns.load(Relaxed)));
        streams
    }

    /// Measures a packet; the clock rate of its payload type, if that was agreed on, spares inferring it. The source that
    /// has been silent longest makes room for a new one. Whether the source is new.
    #[inline]
    pub(super) fn measure(&self, now: Instant, header: RtpHeader, clock_hz: Option<u32>) -> bool {
        let of = |stream: &&StreamFigures| {
            stream.rtp.received.load(Relaxed) != 0 && stream.rtp.ssrc.load(Relaxed) == header.ssrc
        };
        let known = self.streams.iter().find(of);
        let stream = known.unwrap_or_else(|| self.oldest());
        let rtp = &stream.rtp;
        if known.is_none() {
            stream.forget();
        } else if rtp.highest_sequence.load(Relaxed) as u16 == header.sequence {
            stream.duplicated.store(stream.duplicated.load(Relaxed).wrapping_add(1), Relaxed);
        }
        measure::rtp(rtp, header, now.as_ns());
        if let Some(clock_hz) = clock_hz
            && rtp.clock_hz.load(Relaxed) == 0
        {
            rtp.clock_hz.store(clock_hz, Relaxed);
        }
        let jitter = rtp.jitter_q4.load(Relaxed);
        if jitter > stream.jitter_max_q4.load(Relaxed) {
            stream.jitter_max_q4.store(jitter, Relaxed);
        }
        known.is_none()
    }

    /// Never absent: there are streams.
    fn oldest(&self) -> &StreamFigures {
        self.streams.iter().min_by_key(|stream| stream.rtp.last_ns.load(Relaxed)).unwrap_or(&self.streams[0])
    }

    /// Whether RTP of this source was heard.
    pub(super) fn has_heard(&self, ssrc: u32) -> bool {
        self.streams.iter().any(|s| s.rtp.received.load(Relaxed) != 0 && s.rtp.ssrc.load(Relaxed) == ssrc)
    }

    /// Makes room for the state of SRTP: for the thread that has memory to give.
    pub(super) fn keep_rollovers(&self) {
        self.rollovers.get_or_init(Box::default);
    }

    fn kept_rollovers(&self) -> &[RolloverFigures] {
        self.rollovers.get().map_or(&[], |rollovers| &rollovers[..])
    }

    /// State of SRTP.
    pub fn rollovers(&self) -> impl Iterator<Item = Rollover> {
        self.kept_rollovers().iter().filter_map(RolloverFigures::load)
    }

    /// What is known of a stream's rollover counter.
    #[inline]
    pub(super) fn rollover(&self, ssrc: u32, sent: bool) -> Option<Rollover> {
        let stream = u64::from(ssrc) | USED | if sent { SENT } else { 0 };
        self.kept_rollovers().iter().find(|known| known.stream.load(Relaxed) == stream)?.load()
    }

    /// Notes what is known of a stream; false once there are too many of them.
    pub(super) fn set_rollover(&self, rollover: Rollover) -> bool {
        let stream = u64::from(rollover.ssrc) | USED | if rollover.sent { SENT } else { 0 };
        let known = self.kept_rollovers().iter().find(|known| known.stream.load(Relaxed) == stream);
        let free = || self.kept_rollovers().iter().find(|known| known.stream.load(Relaxed) == 0);
        let Some(place) = known.or_else(free) else { return false };
        place.roc.store(rollover.roc, Relaxed);
        place.sequence.store(rollover.sequence.map_or(0, |sequence| KNOWN | u32::from(sequence)), Relaxed);
        place.srtcp_index.store(rollover.srtcp_index, Relaxed);
        place.stream.store(stream, Release);
        true
    }

    /// Forgets the streams of one direction: its key is another.
    pub(super) fn forget_rollovers(&self, sent: bool) {
        let of = |known: &&RolloverFigures| (known.stream.load(Relaxed) & SENT != 0) == sent;
        self.kept_rollovers().iter().filter(of).for_each(|known| known.stream.store(0, Relaxed));
    }
}

impl StreamFigures {
    fn forget(&self) {
        self.rtp.received.store(0, Relaxed);
        self.rtp.last_ns.store(0, Relaxed);
        self.rtp.lost.store(0, Relaxed);
        self.rtp.reordered.store(0, Relaxed);
        self.duplicated.store(0, Relaxed);
        self.jitter_max_q4.store(0, Relaxed);
    }
}

impl RolloverFigures {
    fn load(&self) -> Option<Rollover> {
        let stream = self.stream.load(Acquire);
        let sequence = self.sequence.load(Relaxed);
        (stream & USED != 0).then(|| Rollover {
            ssrc: stream as u32,
            sent: stream & SENT != 0,
            roc: self.roc.load(Relaxed),
            sequence: (sequence & KNOWN != 0).then_some(sequence as u16),
            srtcp_index: self.srtcp_index.load(Relaxed),
        })
    }
}

impl SharedEndpoint {
    fn store(&self, endpoint: Option<Endpoint>) {
        let Endpoint { address, port } = endpoint.unwrap_or_default();
        let words = u128::from_be_bytes(address);
        self.version.fetch_add(1, AcqRel);
        self.address[0].store((words >> 64) as u64, Relaxed);
        self.address[1].store(words as u64, Relaxed);
        self.port.store(port.into(), Relaxed);
        self.version.fetch_add(1, Release);
    }

    fn load(&self) -> Option<Endpoint> {
        loop {
            let before = self.version.load(Acquire);
            let words = [self.address[0].load(Relaxed), self.address[1].load(Relaxed)];
            let port = self.port.load(Relaxed) as u16;
            fence(Acquire);
            if before.is_multiple_of(2) && self.version.load(Relaxed) == before {
                let address = (u128::from(words[0]) << 64 | u128::from(words[1])).to_be_bytes();
                return (port != 0).then_some(Endpoint { address, port });
            }
            core::hint::spin_loop();
        }
    }
}
