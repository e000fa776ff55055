//! What the relay tells of a leg.

use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Leg, LegId};

/// A leg as the relay has it, and what it measured. What exact flows took from it is in their own reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegReport<'a> {
    /// Its name.
    pub id: LegId,
    /// As it was put, keys included, with `rollovers` as they are now; only in a snapshot.
    pub leg: Option<Leg<'a>>,
    /// Where RTP to the party goes now: as signalled or as learned.
    pub rtp_remote: Option<SocketAddr>,
    /// The same for RTCP.
    pub rtcp_remote: Option<SocketAddr>,
    /// Where RTP goes does not change by itself any more.
    pub rtp_settled: bool,
    /// The same for RTCP.
    pub rtcp_settled: bool,
    /// What arrived from the party and was accepted.
    pub received: Traffic,
    /// What was sent to the party.
    pub sent: Traffic,
    /// What arrived and was dropped, by `raceway_abi::DropReason`, of those that are not zero.
    pub dropped: Vec<(u8, u64)>,
    /// When RTP last arrived and was accepted, kernel monotonic nanoseconds; zero for never.
    pub last_rtp_ns: u64,
    /// The same for RTCP.
    pub last_rtcp_ns: u64,
    /// Last round trip between us and the party by its receiver reports (RFC 3550 section 6.4.1), microseconds.
    pub round_trip_us: Option<u32>,
    /// Changes of the RTP source since the leg was made.
    pub ssrc_changes: u32,
    /// RTP sources that were heard, the last one first; at most [`STREAMS_MAX`](crate::limits::STREAMS_MAX).
    pub streams: Vec<StreamReport>,
    /// The party hears, or heard, a source of another leg by another SSRC than its own: the leg is to keep its packets.
    pub translates: bool,
    /// Goodbyes of its sources (RFC 3550 section 6.6) that arrived.
    pub goodbyes: u32,
    /// Extended reports (RFC 3611) that arrived.
    pub extended_reports: u32,
    /// State of its SRTP contexts, for [`Leg::rollovers`].
    pub rollovers: Vec<Rollover>,
}

impl LegReport<'_> {
    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> LegReport<'static> {
        let Self { id, leg, rtp_remote, rtcp_remote, rtp_settled, rtcp_settled, received, sent, .. } = self;
        let Self { dropped, last_rtp_ns, last_rtcp_ns, round_trip_us, ssrc_changes, streams, rollovers, .. } = self;
        let Self { translates, goodbyes, extended_reports, .. } = self;
        LegReport {
            id,
            leg: leg.map(Leg::into_owned),
            rtp_remote,
            rtcp_remote,
            rtp_settled,
            rtcp_settled,
            received,
            sent,
            dropped,
            last_rtp_ns,
            last_rtcp_ns,
            round_trip_us,
            ssrc_changes,
            streams,
            translates,
            goodbyes,
            extended_reports,
            rollovers,
        }
    }
}

/// Packets and octets: RTP payload and header, RTCP packets; no headers below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// RTP packets.
    pub rtp_packets: u64,
    /// Octets in them.
    pub rtp_octets: u64,
    /// RTCP datagrams.
    pub rtcp_packets: u64,
    /// Octets in them.
    pub rtcp_octets: u64,
}

/// One RTP source of a party, as it arrived here (RFC 3550 appendix A).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Its SSRC.
    pub ssrc: u32,
    /// Last RTP payload type.
    pub payload_type: u8,
    /// Its highest sequence number, that is the one after all others.
    pub sequence: u16,
    /// Packets received.
    pub received: u32,
    /// Packets lost; late ones are given back.
    pub lost: u32,
    /// Packets that came after a later one.
    pub reordered: u32,
    /// Packets that came twice.
    pub duplicated: u32,
    /// Interarrival jitter in microseconds; absent while the clock rate is unknown.
    pub jitter_us: Option<u32>,
    /// The largest that the jitter was.
    pub jitter_max_us: Option<u32>,
    /// Arrival of the first packet, kernel monotonic nanoseconds.
    pub first_ns: u64,
    /// Arrival of the last packet, kernel monotonic nanoseconds.
    pub last_ns: u64,
}

/// State of SRTP that its packets do not carry.
///
/// A leg that is put again with a key and without these would use a packet index twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollover {
    /// Source that it is of.
    pub ssrc: u32,
    /// Of what we send; else of what we receive.
    pub sent: bool,
    /// Rollover counter of RTP (RFC 3711 section 3.3.1).
    pub roc: u32,
    /// A sequence number that goes with it, if there was RTP: the highest, or one that is at most a third of a cycle older.
    /// Without it nobody knows which counter goes with the next packet.
    pub sequence: Option<u16>,
    /// The highest SRTCP index so far (RFC 3711 section 3.4). The relay goes on well above it.
    pub srtcp_index: u32,
}

/// Something that happened on a leg. May be lost when control is slow: a report has the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegEvent {
    /// The first RTP packet was accepted.
    FirstPacket {
        /// Its source.
        ssrc: u32,
        /// Its payload type.
        payload_type: u8,
    },
    /// Packets to the party go elsewhere now, or to there for good.
    Learned {
        /// Of RTCP, where that has sockets of its own; else of RTP and all that is multiplexed with it.
        rtcp: bool,
        /// Where they go.
        remote: SocketAddr,
        /// That does not change by itself any more.
        settled: bool,
    },
    /// A key was pressed, and is released.
    Dtmf(Dtmf),
    /// A rollover counter went up, or a sender is new: what to put into [`Leg::rollovers`] if the relay restarts.
    Rollover(Rollover),
    /// A key has protected as many packets as it may (RFC 3711 section 9.2): nothing passes until another comes.
    KeyExhausted {
        /// The key that we send with; else the one that we receive with.
        sent: bool,
    },
    /// The party hears a source of another leg by another SSRC than its own, from now on: the leg is to keep its packets.
    Translated,
}

/// A telephone event (RFC 4733 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dtmf {
    /// Event code: 0 to 9 are the digits, 10 `*`, 11 `#`, 12 to 15 A to D.
    pub event: u8,
    /// Power in dBm0 without the sign: 0 to 63.
    pub volume: u8,
    /// How long it lasted.
    pub duration_ms: u32,
    /// RTP payload type that it came by.
    pub payload_type: u8,
}
