//! Sizes of everything that is held, and what they cost.

use std::time::Duration;

/// Calls, whatever the configuration says. An idle one of two parties with one stream holds about 2.5 KiB here.
pub const CALLS_MAX: usize = 1 << 18;

/// Octets of a call's name (Call-ID).
pub const CALL_ID_MAX: usize = 512;

/// Octets of a tag, a branch or a label.
pub const TAG_MAX: usize = 120;

/// Octets of an interface's name.
pub const INTERFACE_NAME_MAX: usize = 32;

/// Parties of a call: who called, and the branches of a fork.
pub const PARTIES_MAX: usize = 16;

/// m-lines of a party that get a leg. Further ones are refused with port 0.
pub const STREAMS_MAX: usize = 16;

/// Legs of a call: what the relay takes of one session.
pub const LEGS_MAX: usize = raceway_api::limits::LEGS_MAX;

/// Commands that wait for one call while the relay carries out another one for it.
pub const WAITING_MAX: usize = 16;

/// Fragments with candidates of a call whose party is not known yet.
pub const EARLY_MAX: usize = 8;

/// How long they are kept.
pub const EARLY: Duration = Duration::from_secs(3);

/// Ports tried for one command before it is refused.
pub const PORT_ATTEMPTS: u8 = 4;

/// Certificates for DTLS that calls may still know.
pub const IDENTITIES_MAX: usize = 8;

/// Named interfaces.
pub const INTERFACES_MAX: usize = 32;

/// Addresses of all interfaces, 8 KiB each.
pub const ADDRESSES_MAX: usize = raceway_api::limits::RELAY_ADDRESSES_MAX;

/// Messages of which a failure is still understood though nobody waits for them, 16 octets each. The relay answers in
/// milliseconds.
pub const UPKEEP_MAX: usize = 4096;

/// How long the relay keeps a call without being told again: so long it outlives control.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// How long exact flows of a call go on without being told again; longer where so many calls are held that they are looked at
/// more rarely. When both processes have died, XDP stops in this time. While control alone is away for longer, the workers
/// take packets over.
pub const FLOW_LIFETIME: Duration = Duration::from_secs(120);

/// Looks at a call's counters that go by in the life of its flows, at least.
pub const LOOKS_PER_FLOW: u32 = 8;

/// Time between two looks at a call's counters while there are few calls. It grows so that at most [`REPORTS_PER_SECOND`]
/// are asked for.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Reports asked for in a second, about 5 us of this core each.
pub const REPORTS_PER_SECOND: u64 = 2000;

/// How long a port is left alone that a call has given back: the relay closes its socket a tenth of a second later.
pub const PORT_REST: Duration = Duration::from_millis(500);

/// How long a port that somebody else has is left alone.
pub const FOREIGN_PORT: Duration = Duration::from_secs(60);

/// Ports that somebody else has, remembered at one time; a few octets each.
pub const FOREIGN_PORTS_MAX: usize = 4096;

/// Recordings of one call, one after the other.
pub const RECORDINGS_MAX: usize = 64;

/// How long a command that begins a recording waits for the relay's word. It makes two files.
pub const RECORDER_ANSWERS: Duration = Duration::from_secs(3);

/// Rollover counters that are kept of a leg for a relay that restarts.
pub const ROLLOVERS_MAX: usize = raceway_api::limits::ROLLOVERS_MAX;

/// Bits per second that may arrive at a media address, headers of IP and UDP included.
pub mod rates {
    /// Codecs of 64 kbit/s and less. G.711 in packets of 5 ms, encrypted, each sent twice (RFC 2198), takes 300 kbit/s.
    pub const NARROWBAND: u64 = 512_000;
    /// Opus: 510 kbit/s (RFC 6716 section 2.1.1), packets of 2.5 ms, each with the one before it.
    pub const OPUS: u64 = 2_000_000;
    /// Other sounds: 16 bits, two channels at 96 kHz, twice. Also while nothing is known.
    pub const OTHER: u64 = 8_000_000;
    /// Video of which no bandwidth was said: 4K, with retransmission.
    pub const VIDEO: u64 = 50_000_000;
    /// Video of which one was said, at least.
    pub const VIDEO_LEAST: u64 = 4_000_000;
    /// So many times the bandwidth that was said: it is an average, of the codec or of RTP, without retransmission.
    pub const ABOVE_SAID: u64 = 2;
    /// Bandwidth that is believed, at most: what SDP says is said by whoever calls, and 8K takes less.
    pub const SAID_MOST: u64 = 100_000_000;
    /// RTCP at a port of its own: feedback of video in every frame.
    pub const RTCP: u64 = 1_000_000;
}

const _: () = assert!(STREAMS_MAX * 4 <= LEGS_MAX);
const _: () = assert!(STREAMS_MAX <= raceway_api::limits::PUT_LEGS_MAX);

/// Candidates of a component at one IP address. A browser names one for each of its interfaces, and those of a server behind
/// NAT differ by port at most twice; each may cost whoever has the address seven checks.
pub const CANDIDATES_PER_ADDRESS: usize = 4;
