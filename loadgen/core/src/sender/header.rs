//! The RTP header of a stream: made once, patched for each packet.

use raceway_units::Instant;

use super::content::Shape;
use crate::track::{Extensions, TAG_MAX, Track};

/// Octets of the fixed header (RFC 3550 section 5.1).
pub(crate) const FIXED: usize = 12;
/// Octets before the extensions: profile and length (RFC 8285 section 4.2).
const BEFORE: usize = 4;
/// Octets of every extension that there is: level, time, transport-wide sequence, MID and RID.
const ELEMENTS_MAX: usize = 2 + 4 + 3 + 2 * (1 + TAG_MAX);
const HEADER_MAX: usize = FIXED + BEFORE + ELEMENTS_MAX.next_multiple_of(4);
const MARKER: u8 = 0x80;

/// Octets of the header of each packet of `track`.
pub(crate) fn length(track: &Track) -> usize {
    usize::from(Header::new(track, 0).length)
}

/// The header of a stream's packets, complete but for what changes.
#[derive(Clone, Debug)]
pub(super) struct Header {
    octets: [u8; HEADER_MAX],
    length: u8,
    /// Where the content of an extension is; zero if it is not there.
    level: u8,
    time: u8,
    transport: u8,
}

/// What changes from packet to packet.
pub(super) struct Variable {
    pub(super) shape: Shape,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) due: Instant,
    pub(super) transport_sequence: u16,
}

impl Header {
    pub(super) fn new(track: &Track, ssrc: u32) -> Self {
        let mut header = Self { octets: [0; HEADER_MAX], length: FIXED as u8, level: 0, time: 0, transport: 0 };
        header.octets[..2].copy_from_slice(&[0x80, track.payload_type & !MARKER]);
        header.octets[8..12].copy_from_slice(&ssrc.to_be_bytes());
        header.extend(track);
        header
    }

    fn extend(&mut self, track: &Track) {
        let Extensions { audio_level, abs_send_time, transport_sequence, mid, rid } = track.extensions;
        self.length += BEFORE as u8;
        self.level = self.element(audio_level, &[0]);
        self.time = self.element(abs_send_time, &[0; 3]);
        self.transport = self.element(transport_sequence, &[0; 2]);
        for (id, tag) in [(mid, track.mid), (rid, track.rid)] {
            tag.map(|tag| self.element(id, tag.as_octets()));
        }
        let elements = usize::from(self.length) - FIXED - BEFORE;
        if elements == 0 {
            self.length = FIXED as u8;
            return;
        }
        let words = elements.div_ceil(4);
        self.length = (FIXED + BEFORE + 4 * words) as u8;
        self.octets[0] |= 0x10;
        self.octets[FIXED..FIXED + BEFORE].copy_from_slice(&[0xbe, 0xde, 0, words as u8]);
    }

    /// Adds an extension if it has an identifier; where its content is, else zero.
    fn element(&mut self, id: Option<u8>, content: &[u8]) -> u8 {
        let Some(id) = id else { return 0 };
        let at = usize::from(self.length);
        self.octets[at] = (id & 0x0f) << 4 | (content.len() - 1) as u8;
        self.octets[at + 1..=at + content.len()].copy_from_slice(content);
        self.length += 1 + content.len() as u8;
        at as u8 + 1
    }

    /// Whether packets carry a sequence number of their transport.
    pub(super) const fn counts_transport(&self) -> bool {
        self.transport != 0
    }

    pub(super) const fn length(&self) -> usize {
        self.length as usize
    }

    /// Writes the header of one packet.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8], variable: &Variable) {
        let shape = variable.shape;
        out[..FIXED].copy_from_slice(&self.octets[..FIXED]);
        out[1] = shape.payload_type.unwrap_or(self.octets[1]) | if shape.marker { MARKER } else { 0 };
        out[2..4].copy_from_slice(&variable.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&variable.timestamp.to_be_bytes());
        if self.length() > FIXED {
            self.write_extensions(out, variable);
        }
    }

    fn write_extensions(&self, out: &mut [u8], variable: &Variable) {
        out[FIXED..self.length()].copy_from_slice(&self.octets[FIXED..self.length()]);
        let mut set = |at: u8, content: &[u8]| {
            if at != 0 {
                out[usize::from(at)..usize::from(at) + content.len()].copy_from_slice(content);
            }
        };
        set(self.level, &[variable.shape.level]);
        set(self.time, &abs_send_time(variable.due).to_be_bytes()[1..]);
        set(self.transport, &variable.transport_sequence.to_be_bytes());
    }
}

/// Seconds in 6 bits before the point and 18 behind it. The clock's origin does not matter: receivers take differences.
fn abs_send_time(at: Instant) -> u32 {
    let (seconds, ns) = (at.as_ns() / 1_000_000_000, at.as_ns() % 1_000_000_000);
    ((seconds << 18) | ((ns << 18) / 1_000_000_000)) as u32 & 0x00ff_ffff
}
