//! Counters: one array for what was relayed and what was dropped.

use crate::Direction;

/// Why a datagram went no further. The label of `raceway_drops_total{reason}` is [`DropReason::label`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The flow's expiry (kernel monotonic clock) has passed.
    Expired,
    /// Over the allocation's bits per second.
    Policed,
    /// A peer sent to a relayed transport address without a permission (RFC 8656 section 9).
    NoPermission,
    /// ChannelData on a number that is not bound (RFC 8656 section 12.6).
    UnboundChannel,
    /// A ChannelData length field beyond the datagram (RFC 8656 section 12.6).
    MalformedChannelData,
    /// The flow says so: muted, blocked, unsubscribed.
    FlowDrops,
    /// Over the budget of STUN requests of the source prefix.
    StunBudget,
    /// Not STUN, ChannelData or anything else expected on a TURN port (RFC 7983).
    UnknownProtocol,
    /// STUN whose framing is wrong (RFC 8489 section 5).
    MalformedStun,
    /// Send indication from a client without an allocation.
    NoAllocation,
    /// Longer than a buffer of the worker.
    Oversized,
    /// The kernel refused the transmit (route, buffer, permission).
    SendFailed,
    /// Control is slow or away and its queue is full.
    ControlCongested,
    /// A time to live of one or less on arrival (RFC 8656 section 14 by way of RFC 791).
    TtlExceeded,
    /// IP or UDP header inconsistent with the frame.
    MalformedPacket,
    /// The kernel's queue of a socket was full: the workers are overloaded.
    QueueFull,
    /// Media with nowhere to go: no leg, no route, or the address of the other party is not known yet.
    MediaUnrouted,
    /// Media from elsewhere than the settled address of a leg that is strict about it.
    MediaSource,
    /// Media, or a telephone event, that control blocks.
    MediaBlocked,
    /// Neither RTP nor RTCP, or wrong in itself (RFC 3550 sections 5.1 and 6.1).
    MalformedMedia,
    /// RTCP feedback alone for a party that does not speak AVPF (RFC 4585).
    RtcpFeedback,
    /// Media of a leg whose keys are still being agreed on.
    MediaKeyless,
    /// SRTP or SRTCP that is not authentic (RFC 3711 section 3.3).
    SrtpAuthentication,
    /// SRTP or SRTCP whose index is in the replay list, or too old for it (RFC 3711 section 3.3.2).
    SrtpReplayed,
    /// A key has protected as many packets as it may (RFC 3711 section 9.2).
    SrtpKeyExhausted,
    /// More sources under one key than the relay keeps contexts for.
    SrtpStreams,
    /// STUN or DTLS over what a leg may hand to control.
    LegBudget,
    /// A copy for one more receiver, and no buffer for it.
    NoBuffer,
}

impl DropReason {
    /// Every reason, in counter order.
    pub const ALL: [DropReason; 28] = [
        Self::Expired,
        Self::Policed,
        Self::NoPermission,
        Self::UnboundChannel,
        Self::MalformedChannelData,
        Self::FlowDrops,
        Self::StunBudget,
        Self::UnknownProtocol,
        Self::MalformedStun,
        Self::NoAllocation,
        Self::Oversized,
        Self::SendFailed,
        Self::ControlCongested,
        Self::TtlExceeded,
        Self::MalformedPacket,
        Self::QueueFull,
        Self::MediaUnrouted,
        Self::MediaSource,
        Self::MediaBlocked,
        Self::MalformedMedia,
        Self::RtcpFeedback,
        Self::MediaKeyless,
        Self::SrtpAuthentication,
        Self::SrtpReplayed,
        Self::SrtpKeyExhausted,
        Self::SrtpStreams,
        Self::LegBudget,
        Self::NoBuffer,
    ];

    /// Metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Policed => "policed",
            Self::NoPermission => "no_permission",
            Self::UnboundChannel => "unbound_channel",
            Self::MalformedChannelData => "malformed_channel_data",
            Self::FlowDrops => "flow_drops",
            Self::StunBudget => "stun_budget",
            Self::UnknownProtocol => "unknown_protocol",
            Self::MalformedStun => "malformed_stun",
            Self::NoAllocation => "no_allocation",
            Self::Oversized => "oversized",
            Self::SendFailed => "send_failed",
            Self::ControlCongested => "control_congested",
            Self::TtlExceeded => "ttl_exceeded",
            Self::MalformedPacket => "malformed_packet",
            Self::QueueFull => "queue_full",
            Self::MediaUnrouted => "media_unrouted",
            Self::MediaSource => "media_source",
            Self::MediaBlocked => "media_blocked",
            Self::MalformedMedia => "malformed_media",
            Self::RtcpFeedback => "rtcp_feedback",
            Self::MediaKeyless => "media_keyless",
            Self::SrtpAuthentication => "srtp_authentication",
            Self::SrtpReplayed => "srtp_replayed",
            Self::SrtpKeyExhausted => "srtp_key_exhausted",
            Self::SrtpStreams => "srtp_streams",
            Self::LegBudget => "leg_budget",
            Self::NoBuffer => "no_buffer",
        }
    }
}

/// Index into the counter array of a CPU or of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(u32);

/// Length of a counter array.
pub const COUNTERS: u32 = Counter::FIRST_DROP + DropReason::ALL.len() as u32;

impl Counter {
    const FIRST_DROP: u32 = 4;

    /// Datagrams relayed.
    #[must_use]
    pub const fn packets(direction: Direction) -> Self {
        Self(direction as u32)
    }

    /// Octets relayed: application data, without ChannelData or STUN framing.
    #[must_use]
    pub const fn octets(direction: Direction) -> Self {
        Self(2 + direction as u32)
    }

    /// Datagrams dropped.
    #[must_use]
    pub const fn drops(reason: DropReason) -> Self {
        Self(Self::FIRST_DROP + reason as u32)
    }

    /// Position in the array; below [`COUNTERS`].
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}
