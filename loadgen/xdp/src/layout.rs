//! What both halves of the generator share: values of maps, and the buckets of delays. The program in the kernel includes
//! this file, so nothing here needs more than `core`.

/// Octets of the longest head of a frame: Ethernet, IPv6, UDP, ChannelData, RTP; a multiple of eight.
pub const HEAD: usize = 80;
/// Octets of Ethernet, IPv4, UDP and RTP headers.
pub const HEAD_V4: u32 = 54;
/// Octets of Ethernet, IPv6, UDP and RTP headers.
pub const HEAD_V6: u32 = 74;
/// Octets of [`HEAD_V4`] with a ChannelData header before RTP.
pub const CHANNEL_V4: u32 = HEAD_V4 + 4;
/// Octets of [`HEAD_V6`] with a ChannelData header before RTP.
pub const CHANNEL_V6: u32 = HEAD_V6 + 4;
/// Octets of a stamp, at the end of each payload.
pub const STAMP: usize = 32;
/// Octets after which the pattern repeats.
pub const PERIOD: usize = 1024;
/// Longest pattern of a packet, octets.
pub const BODY_MAX: usize = 2048;
/// Most streams of one generator: 96 octets each, and 120 in a sink.
pub const STREAMS_MAX: u32 = 1 << 20;
/// Sequence numbers behind the newest in which the sink tells late packets from duplicates.
pub const WINDOW: u32 = 64;
/// Delays are counted in buckets: each power of two is cut into this many.
pub const STEPS: u64 = 64;
/// Buckets: up to 2^37 ns, two minutes.
pub const BUCKETS: usize = 2048;
/// First word of a stamp.
pub const MAGIC: u32 = 0x5257_4c32;
/// Bits of a packet's number in a stamp.
pub const NUMBER_MASK: u32 = 0xff_ffff;

/// One stream of a generator.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Head of its frames; checksum, sequence number and timestamp are those of the packet before.
    pub head: [u8; HEAD],
    /// One's complement sum of what its UDP checksum covers and does not change, in memory order.
    pub sum: u32,
    /// First RTP timestamp.
    pub timestamp: u32,
    /// Number of the stream within the run.
    pub number: u32,
    /// Number of the first packet: its sequence number.
    pub first: u32,
}

/// The pattern of payloads.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// A stretch from any place of the period.
    pub octets: [u8; PERIOD + BODY_MAX],
    /// One's complement sum, in memory order, of the stretch from each place, of the length that packets have.
    pub sums: [u16; PERIOD],
}

/// Equal steps that do not drift: `whole`, and one more whenever the parts have come to a whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// What each step adds.
    pub whole: u64,
    /// What each adds to the parts, less than `denominator`.
    pub part: u64,
    /// Parts of one.
    pub denominator: u64,
    /// Parts so far.
    pub carried: u64,
}

impl Steps {
    /// Steps of `numerator / denominator`, which is not zero.
    #[must_use]
    pub const fn new(numerator: u64, denominator: u64) -> Self {
        Self { whole: numerator / denominator, part: numerator % denominator, denominator, carried: 0 }
    }

    /// How far the next step leads.
    #[inline(always)]
    pub const fn next(&mut self) -> u64 {
        self.carried += self.part;
        if self.carried < self.denominator {
            return self.whole;
        }
        self.carried -= self.denominator;
        self.whole + 1
    }
}

/// What a generator is told, and how far it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// From one packet to the next, ns.
    pub interval: Steps,
    /// From one packet of a stream to its next, units of the RTP clock.
    pub ticks: Steps,
    /// When the next packet is due, ns of the monotonic clock.
    pub due_ns: u64,
    /// No packet is due from then on.
    pub stop_ns: u64,
    /// What stamps add to times of the monotonic clock.
    pub ahead_ns: u64,
    /// Packets sent.
    pub sent: u64,
    /// Streams.
    pub streams: u32,
    /// Stream of the next packet.
    pub next: u32,
    /// Packets that each stream has sent before this round.
    pub round: u32,
    /// RTP timestamp of this round, from that of the first.
    pub timestamp: u32,
    /// Number of the run.
    pub run: u32,
    /// Name of the clock, in stamps.
    pub clock: u32,
    /// Octets of the head: [`HEAD_V4`], [`HEAD_V6`], [`CHANNEL_V4`] or [`CHANNEL_V6`].
    pub head: u32,
    /// Octets of the pattern, at most [`BODY_MAX`].
    pub body: u32,
}

/// How a sink judges times.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// As [`State::ahead_ns`].
    pub ahead_ns: u64,
    /// A packet delayed so much more than the fastest of its stream is too late.
    pub playout_ns: u64,
    /// A silence beyond what due times announce is a gap from this length.
    pub gap_ns: u64,
}

/// What a sink of a run's own streams is told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// How times are judged.
    pub times: Times,
    /// Number of the run.
    pub run: u32,
    /// Name of the clock.
    pub clock: u32,
    /// SSRC of stream 0; the others follow.
    pub ssrc: u32,
    /// Streams.
    pub streams: u32,
}

/// What a sink counted, on one processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets, each counted once.
    pub packets: u64,
    /// Octets of RTP in them.
    pub octets: u64,
    /// Packets that are missing between those that came, less those that came after all.
    pub missing: i64,
    /// Copies.
    pub duplicated: u64,
    /// Packets that came after a younger one.
    pub reordered: u64,
    /// Packets with a damaged stamp, or none.
    pub corrupted: u64,
    /// Packets too late to be played.
    pub late: u64,
    /// Packets too far behind the newest to be placed.
    pub stray: u64,
    /// Packets of another run.
    pub foreign: u64,
    /// Packets that came before they were due.
    pub before_due: u64,
    /// Silences.
    pub gaps: u64,
}

/// What a sink saw of one stream.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Packets, each counted once.
    pub packets: u64,
    /// The numbers up to the newest that have come: bit n is the newest less n.
    pub window: u64,
    /// Newest number, with its cycles above.
    pub newest: u64,
    /// When the last packet came, ns of the monotonic clock.
    pub heard_ns: u64,
    /// When it was due.
    pub due_ns: u64,
    /// Smallest delay, ns.
    pub delay_min_ns: u64,
    /// Jitter (RFC 3550 appendix A.8), ns times 16.
    pub jitter_q4: u64,
    /// Sum of the jitter at each packet, ns times 16.
    pub jitter_sum_q4: u64,
    /// Largest jitter, ns times 16.
    pub jitter_max_q4: u64,
    /// Longest silence beyond what due times announced, ns.
    pub gap_ns: u64,
    /// Copies.
    pub duplicated: u32,
    /// Packets that came after a younger one.
    pub reordered: u32,
    /// Packets with a damaged stamp, or none.
    pub corrupted: u32,
    /// Packets too late to be played.
    pub late: u32,
    /// Packets too far behind the newest to be placed.
    pub stray: u32,
    /// Most numbers that one came behind the newest.
    pub behind_max: u32,
    /// Silences.
    pub gaps: u32,
    /// Packets that the jitter is of: all timed ones but the first.
    pub jittered: u32,
    /// How far the newest number is ahead of its packet's RTP sequence number, which a forwarder may have written anew.
    pub ahead: u32,
    /// Zero.
    pub reserved: u32,
}

/// Numbers that [`Heard::newest`] begins with, so that what is before the first is no negative number.
const CYCLE: u64 = 1 << 24;

impl Heard {
    /// Of a stream whose first packet will have this number: as if all before had come.
    #[inline(always)]
    #[must_use]
    pub fn before(first: u32) -> Self {
        Self { newest: CYCLE + first as u64 - 1, window: u64::MAX, ..Self::default() }
    }

    /// Numbers from the first to the newest.
    #[must_use]
    pub const fn span(&self, first: u32) -> u64 {
        self.newest - (CYCLE + first as u64 - 1)
    }
}

/// What a sink of anybody's streams is told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Listening {
    /// How times are judged.
    pub times: Times,
    /// Where streams are sent to, in memory order: an IPv4 address stands in the first word. Zero is any address.
    pub address: [u32; 4],
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// Name of the clock of this machine: of others, only differences of delay are known.
    pub clock: u32,
}

/// Where a stream of a stranger comes from.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Source address, in memory order: an IPv4 address stands in the first word.
    pub address: [u32; 4],
    /// Its SSRC.
    pub ssrc: u32,
    /// Source port.
    pub port: u16,
    /// Destination port.
    pub to: u16,
}

/// What a sink saw of a stream of a stranger.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Stranger {
    /// As of any stream. Delays of a clock that is not this machine's are [`FAR`] more than the first one.
    pub heard: Heard,
    /// What due times are taken back by.
    pub back_ns: u64,
    /// Its run, as the first stamp says.
    pub run: u32,
    /// Its number within the run.
    pub stream: u32,
    /// Its clock.
    pub clock: u32,
    /// Its first number.
    pub first: u32,
    /// Octets of RTP in its packets.
    pub octets: u64,
    /// Payload type of its first packet.
    pub payload_type: u32,
    /// It is of IPv6.
    pub v6: u32,
}

/// Delay that the first packet is given where clocks differ, ns: packets that are faster have one above zero.
pub const FAR: u64 = 1 << 36;
/// Most streams of strangers: about 240 octets each with their place in the table.
pub const STRANGERS_MAX: u32 = 1 << 16;

/// Counts of delays.
pub type Buckets = [u64; BUCKETS];

/// Bucket of a delay: exact below [`STEPS`], then each power of two in as many steps.
#[inline(always)]
#[must_use]
pub const fn bucket(ns: u64) -> usize {
    let exponent = if ns < STEPS { 0 } else { 64 - 6 - ns.leading_zeros() as u64 };
    let bucket = if exponent == 0 { ns } else { exponent * STEPS + (ns >> (exponent - 1)) - STEPS };
    if bucket < BUCKETS as u64 { bucket as usize } else { BUCKETS - 1 }
}

/// One's complement sum of 16 bits.
#[inline(always)]
#[must_use]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Both halves of a word added up.
#[inline(always)]
#[must_use]
pub const fn halves(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

/// A stamp as words of the host, the last one being the check over the others: what `raceway_loadgen_core::fill` writes, big
/// endian.
#[inline(always)]
#[must_use]
pub const fn stamp(run: u32, stream: u32, clock: u32, due_ns: u64, number: u32) -> [u32; STAMP / 4] {
    // Without a prefix, which would be above the number.
    let mut words = [MAGIC, run, stream, clock, (due_ns >> 32) as u32, due_ns as u32, number & NUMBER_MASK, 0];
    words[7] = check(&words);
    words
}

/// The check of a stamp, over all of its words but the last.
#[inline(always)]
#[must_use]
pub const fn check(words: &[u32; STAMP / 4]) -> u32 {
    let mut sum = 0x811c_9dc5u32;
    let mut at = 0;
    while at < 7 {
        sum = (sum ^ words[at]).wrapping_mul(0x0100_0193).rotate_left(5);
        at += 1;
    }
    sum
}
