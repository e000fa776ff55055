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
}

impl DropReason {
    /// Every reason, in counter order.
    pub const ALL: [DropReason; 16] = [
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
