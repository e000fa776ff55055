//! Limits of forwarding, and what they cost.

use core::time::Duration;

/// RTP streams that a subscription may choose among: encodings of a track, or speakers.
pub const SOURCES_MAX: usize = 16;
/// Encodings of a track: simulcast of browsers has three. 7 KiB each, nearly all of it the dependency structure.
pub const ENCODINGS_MAX: usize = 4;
/// Decode targets that are chosen among; of a structure with more, the first ones.
pub const TARGETS_MAX: usize = 16;
/// Frames back that a reference is followed.
pub const WINDOW: u16 = 128;

/// Runs of consecutive packets that a subscription to video remembers, 64 octets each: at 30 frames a second of which half
/// are dropped, two seconds.
pub const RUNS_VIDEO: usize = 32;
/// The same for audio, of which nothing is dropped but padding.
pub const RUNS_AUDIO: usize = 4;
/// Missing packets for which numbers are left. More are a stream that began anew.
pub const GAP_MAX: u64 = 512;

/// Packets of a stream that are known to have come, so that the second of a kind is told from a late one.
pub const RECEIVED: u64 = 1024;
/// Missing packets that are asked for at once. More of them are not repaired: a key frame is asked for.
pub const MISSING_MAX: usize = 256;
/// Requests for one missing packet.
pub const NACKS_MAX: u8 = 10;
/// How long a packet that jumped the queue is waited for before it is asked for.
pub const REORDERING: Duration = Duration::from_millis(10);
/// Least time between two requests for one packet, where the round trip is shorter.
pub const NACK_AGAIN: Duration = Duration::from_millis(20);
/// After that long a missing packet is of no use: receivers play without it.
pub const REPAIR_MAX: Duration = Duration::from_millis(1_000);

/// Least time between two requests for a key frame of one stream: no more of them are made in a second than that allows.
pub const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(250);
/// How long a subscription waits for a point to switch at, until it stays with what it has.
pub const SWITCH_MAX: Duration = Duration::from_secs(5);
/// How long it waits for a point within a stream before it asks for a key frame.
pub const LAYER_PATIENCE: Duration = Duration::from_millis(1_000);

/// Octets of repair that one forwarded octet allows, as a divisor, and beyond that at once.
pub const REPAIR_SHARE: u64 = 4;
/// Octets of repair beyond [`REPAIR_SHARE`].
pub const REPAIR_BURST: u64 = 64 * 1024;
/// Repairs that are remembered, so that one is not made twice in a round trip.
pub const REPAIRS: usize = 32;

/// Participants whose levels are followed. 32 octets each.
pub const SPEAKERS_MAX: usize = 1_024;

/// Octets before the payload of a packet that is forwarded, at most.
pub const HEAD_MAX: usize = 12 + 4 + 4 + 512;
