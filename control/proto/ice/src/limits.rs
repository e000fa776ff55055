//! What bounds an agent, and times of the RFCs.

use std::time::Duration;

/// Octets of a STUN message that is read: a check has about 100, and a datagram of ICE may be padded.
pub const MESSAGE_MAX: usize = 1500;
/// Components: RTP and RTCP.
pub const COMPONENTS_MAX: usize = 2;
/// Remote candidates of a component that signalling may name (96 octets each, in a full agent alone).
pub const CANDIDATES_MAX: usize = 32;
/// Remote candidates of a component beside those, which checks came from (RFC 8445 section 7.3.1.3). A full agent forgets
/// one that has not answered when another comes.
pub const PEER_REFLEXIVE_MAX: usize = 8;
/// Addresses of a component that are remembered as having known the password (40 octets each).
pub const VALIDATED_MAX: usize = 8;
/// Checks of a component that are remembered, so that a copy from elsewhere changes nothing (44 octets each).
pub const REMEMBERED_CHECKS: usize = 16;
/// Datagrams that wait for `poll_transmit`. One call makes one of each pair at most, one of consent, one that nominates.
pub const TRANSMITS_MAX: usize = COMPONENTS_MAX * (CANDIDATES_MAX + PEER_REFLEXIVE_MAX + 2);
/// Octets of a user fragment and of a password (RFC 8445 section 5.3).
pub const CREDENTIAL_MAX: usize = 256;
/// Unknown attributes that a response names (RFC 8489 section 14.13).
pub const UNKNOWN_ATTRIBUTES_MAX: usize = 8;
/// Responses a second that are larger than their request and go to who has proven nothing. They are 36 octets at most.
pub const UNAUTHENTICATED_PER_SECOND: u32 = 4;

/// Between two checks of one agent: Ta (RFC 8445 section 14.2).
pub const PACING: Duration = Duration::from_millis(50);
/// Until a check is sent again the first time: RTO (RFC 8445 section 14.3). Doubles each time.
pub const RETRANSMISSION: Duration = Duration::from_millis(500);
/// How often a check is sent: Rc (RFC 8489 section 6.2.1).
pub const SENDS_MAX: u8 = 7;
/// From the last sending to giving up, in RTO: Rm (RFC 8489 section 6.2.1).
pub const LAST_WAIT: u32 = 16;
/// A controlling agent waits so long for a pair of higher priority than the best that works.
pub const NOMINATION_PATIENCE: Duration = Duration::from_millis(200);
/// From a component's first nomination on: while it lasts, a pair of lower priority than the nominated one does not replace
/// it (RFC 5245 section 8.1.1.2: aggressive nomination nominates all pairs that work).
pub const NOMINATION_SETTLING: Duration = Duration::from_secs(2);
/// Between two consent checks, each time by a random fifth more or less (RFC 7675 section 5.1).
pub const CONSENT_INTERVAL: Duration = Duration::from_secs(5);
/// Without an answer for so long, consent is lost (RFC 7675 section 5.1).
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A lite agent takes a peer that still checks so long after its nomination as one that keeps consent fresh.
pub const CONSENT_SIGN: Duration = Duration::from_millis(1500);

const _: () = assert!(CONSENT_TIMEOUT.as_secs() >= 4 * CONSENT_INTERVAL.as_secs());
