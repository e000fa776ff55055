//! What is read at most, and what that costs.

/// Templates of a dependency structure (RTP Payload Format For AV1 appendix A.8.2: identifiers have six bits).
pub const TEMPLATES_MAX: usize = 64;
/// Decode targets of a dependency structure (their count has five bits).
pub const TARGETS_MAX: usize = 32;
/// Chains of a dependency structure: no more than decode targets.
pub const CHAINS_MAX: usize = TARGETS_MAX;
/// Frames that a frame refers to. The format has no bound; AV1 refers to seven (AV1 section 5.9.2).
pub const REFERENCES_MAX: usize = 8;
/// Spatial layers, of all codecs (VP9 counts to eight, all others to four).
pub const SPATIAL_MAX: u8 = 8;
/// Temporal layers, of all codecs.
pub const TEMPORAL_MAX: u8 = 8;
/// Octets of a header extension element: its length has eight bits in the two-octet form (RFC 8285 section 4.3).
pub const ELEMENT_MAX: usize = 255;
/// Octets of a packet: of a UDP datagram.
pub const PACKET_MAX: usize = 65_507;
/// Blocks of a RED payload (RFC 2198). Encoders send one to three.
pub const RED_BLOCKS_MAX: usize = 16;
