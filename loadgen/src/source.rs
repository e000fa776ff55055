//! What a stream sends: packets of a profile, or those of a capture again.

use std::sync::Arc;
use std::time::Duration;

use raceway_loadgen_core::quality::Codec;
use raceway_loadgen_core::replay::{Recorded, Replay, ReplaySender};
use raceway_loadgen_core::rtcp::Sent;
use raceway_loadgen_core::{Identity, Sender, Track, Transport};
use raceway_units::Instant;

/// What a stream sends.
#[derive(Clone, Debug)]
pub enum Source {
    /// A stream of a profile.
    Profile(Track),
    /// A stream of a capture.
    Capture {
        /// The stream.
        recorded: Arc<Recorded>,
        /// After which time it begins again.
        period: Option<Duration>,
        /// Whether payloads become stamped ones.
        stamp: bool,
    },
}

impl Source {
    /// Timestamp units a second; zero if unknown.
    #[must_use]
    pub fn clock_rate(&self) -> u32 {
        match self {
            Self::Profile(track) => track.clock_rate,
            Self::Capture { recorded, .. } => recorded.clock_rate.unwrap_or(0),
        }
    }

    /// Payload type.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        match self {
            Self::Profile(track) => track.payload_type,
            Self::Capture { recorded, .. } => recorded.payload_type,
        }
    }

    /// Payload type of telephone events between.
    #[must_use]
    pub fn events(&self) -> Option<u8> {
        match self {
            Self::Profile(track) => track.event_payload_type(),
            Self::Capture { .. } => None,
        }
    }

    /// The codec as the E-model knows it.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        match self {
            Self::Profile(track) => Codec::of_encoding(track.encoding),
            Self::Capture { recorded, .. } => recorded.encoding.and_then(Codec::of_encoding),
        }
    }

    /// Packets a second, in the mean.
    #[must_use]
    pub fn packets_per_second(&self) -> f64 {
        match self {
            Self::Profile(track) => track.packets_per_second(),
            Self::Capture { recorded, .. } => recorded.packets_per_second(),
        }
    }

    /// Bits a second, in the mean.
    #[must_use]
    pub fn bits_per_second(&self) -> f64 {
        match self {
            Self::Profile(track) => track.bits_per_second(),
            Self::Capture { recorded, .. } => recorded.bits_per_second(),
        }
    }

    /// Octets of the longest packet.
    #[must_use]
    pub fn packet_max(&self) -> usize {
        match self {
            Self::Profile(track) => track.packet_max(),
            Self::Capture { recorded, .. } => recorded.packet_max(),
        }
    }

    /// Time within which streams begin at random: between packets of a profile. Streams of a capture keep their places.
    #[must_use]
    pub fn interval(&self) -> Duration {
        match self {
            Self::Profile(track) => track.interval(),
            Self::Capture { .. } => Duration::from_millis(20),
        }
    }

    /// The sender of a stream.
    #[must_use]
    pub fn sender(&self, identity: Identity, start: Instant, seed: u64) -> Sending {
        match self {
            Self::Profile(track) => Sending::Profile(Sender::new(track, identity, start, seed)),
            Self::Capture { recorded, period, stamp } => {
                let replay = Replay { identity, start, period: *period, stamp: *stamp, seed };
                Sending::Capture(ReplaySender::new(Arc::clone(recorded), replay))
            }
        }
    }
}

/// A stream that is being sent.
#[derive(Debug)]
pub enum Sending {
    /// Of a profile.
    Profile(Sender),
    /// Of a capture.
    Capture(ReplaySender),
}

impl Sending {
    /// Lets no packet be due at `stop` or later.
    pub const fn stop_at(&mut self, stop: Instant) {
        match self {
            Self::Profile(sender) => sender.stop_at(stop),
            Self::Capture(sender) => sender.stop_at(stop),
        }
    }

    /// When the next packet is due.
    #[inline]
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        match self {
            Self::Profile(sender) => sender.next_due(),
            Self::Capture(sender) => sender.next_due(),
        }
    }

    /// Writes the packet that is due. Packets of a capture keep the transport-wide numbers that they have.
    #[inline]
    pub fn write(&mut self, transport: &mut Transport, out: &mut [u8]) -> usize {
        match self {
            Self::Profile(sender) => sender.write_on(transport, out),
            Self::Capture(sender) => sender.write(out),
        }
    }

    /// What was sent so far.
    #[must_use]
    pub fn sent(&self, now: Instant) -> Sent {
        match self {
            Self::Profile(sender) => sender.sent(now),
            Self::Capture(sender) => sender.sent(now),
        }
    }

    /// The other side cannot decode what it has; a capture cannot help.
    pub const fn request_key_frame(&mut self) {
        match self {
            Self::Profile(sender) => sender.request_key_frame(),
            Self::Capture(_) => {}
        }
    }
}
