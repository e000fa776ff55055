//! Blocks of a capture (draft-ietf-opsawg-pcapng), little-endian, each a multiple of four octets long.

/// Frames begin with an IP header.
const LINKTYPE_RAW: u16 = 101;
/// Of the range for local use: every reader passes over it.
const PADDING: u32 = 0x8052_5750;
/// Octets of a block around its body: type, and the length before and after.
pub(crate) const BLOCK: usize = 12;

const COMMENT: u16 = 1;
const END: [u8; 4] = [0; 4];

/// Appends a block whose body `fill` writes.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let begun = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    fill(out);
    pad(out);
    // Blocks are far shorter than 4 GiB.
    let length = ((out.len() - begun + 4) as u32).to_le_bytes();
    out[begun + 4..begun + 8].copy_from_slice(&length);
    out.extend(length);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    // What the callers give is far shorter.
    out.extend((value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out);
}

/// Time in nanoseconds, the upper half first.
fn timestamp(out: &mut Vec<u8>, ns: u64) {
    out.extend(((ns >> 32) as u32).to_le_bytes());
    out.extend((ns as u32).to_le_bytes());
}

/// Begins a capture: a section, with `note` as its comment.
pub(crate) fn section(out: &mut Vec<u8>, note: &str, program: &str) {
    block(out, 0x0a0d_0d0a, |out| {
        out.extend(0x1a2b_3c4d_u32.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(u64::MAX.to_le_bytes());
        option(out, COMMENT, note.as_bytes());
        option(out, 4, program.as_bytes());
        out.extend(END);
    });
}

/// Its interface: IP datagrams, at nanoseconds since 1970.
pub(crate) fn interface(out: &mut Vec<u8>, name: &str, snap: u32) {
    block(out, 1, |out| {
        out.extend(LINKTYPE_RAW.to_le_bytes());
        out.extend([0; 2]);
        out.extend(snap.to_le_bytes());
        option(out, 2, name.as_bytes());
        option(out, 9, &[9]);
        out.extend(END);
    });
}

/// A datagram, which `write` appends and tells the true length of.
pub(crate) fn packet(out: &mut Vec<u8>, ns: u64, write: impl FnOnce(&mut Vec<u8>) -> usize) {
    block(out, 6, |out| {
        out.extend([0; 4]);
        timestamp(out, ns);
        let lengths = out.len();
        out.extend([0; 8]);
        let original = write(out) as u32;
        let captured = (out.len() - lengths - 8) as u32;
        out[lengths..lengths + 4].copy_from_slice(&captured.to_le_bytes());
        out[lengths + 4..lengths + 8].copy_from_slice(&original.to_le_bytes());
    });
}

/// What came of the interface, and what of that is missing.
pub(crate) fn statistics(out: &mut Vec<u8>, (begun, ended): (u64, u64), received: u64, dropped: u64) {
    block(out, 5, |out| {
        out.extend([0; 4]);
        timestamp(out, ended);
        let mut time = |code: u16, ns: u64| {
            let mut value = Vec::with_capacity(8);
            timestamp(&mut value, ns);
            option(out, code, &value);
        };
        time(2, begun);
        time(3, ended);
        option(out, 4, &received.to_le_bytes());
        option(out, 5, &dropped.to_le_bytes());
        out.extend(END);
    });
}

/// Nothing, `octets` long: at least [`BLOCK`], a multiple of four.
pub(crate) fn padding(out: &mut Vec<u8>, octets: usize) {
    block(out, PADDING, |out| out.resize(out.len() + octets.saturating_sub(BLOCK), 0));
}
