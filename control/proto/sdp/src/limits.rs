//! Sizes of what is read. A body over one of them is refused whole.

/// Octets of a body: what a UDP datagram carries.
pub const BODY_MAX: usize = 64 << 10;

/// Octets of a line, its end aside. The longest that are common, `a=fmtp` with parameter sets, stay under 1 KiB.
pub const LINE_MAX: usize = 8 << 10;

/// Lines of a body, about 50 octets each in memory beside the body. A browser's offer of ten streams has 700.
pub const LINES_MAX: usize = 4096;

/// m-lines. Calls have one to three; each may take two ports.
pub const MEDIA_MAX: usize = 32;

/// ICE candidates of one m-line (RFC 8839 section 5.1).
pub const CANDIDATES_MAX: usize = 64;

/// Formats of one m-line: every RTP payload type once.
pub const FORMATS_MAX: usize = 128;

/// `a=crypto` lines of one m-line (RFC 4568): every registered suite, three times over.
pub const CRYPTO_MAX: usize = 32;

/// Groups of a session (RFC 5888).
pub const GROUPS_MAX: usize = 16;

/// Octets of an ICE user fragment or password (RFC 8839 section 5.4), and of a media identification.
pub const TOKEN_MAX: usize = 256;

/// Octets of what an m-line says of how its packets are understood, where that is kept.
pub const ENCODING_MAX: usize = 4096;
