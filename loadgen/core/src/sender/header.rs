//! The RTP header of a stream: made once, patched for each packet.

use raceway_units::Instant;

use super::content::{Content, Shape};
use super::layers::Layers;
use super::payload::descriptor::{DESCRIPTOR, DESCRIPTOR_MAX, MARKING, Mark, write_structure};
use crate::track::{Extensions, TAG_MAX, Track};

/// Octets of the fixed header (RFC 3550 section 5.1).
pub(crate) const FIXED: usize = 12;
/// Octets before the extensions: profile and length (RFC 8285 section 4.2).
const BEFORE: usize = 4;
/// Octets of every extension that there is: level, time, transport-wide sequence, MID, RID, frame marking and dependency
/// descriptor.
const ELEMENTS_MAX: usize = 2 + 4 + 3 + 2 * (1 + TAG_MAX) + 1 + MARKING + 1 + DESCRIPTOR;
const HEADER_MAX: usize = FIXED + BEFORE + ELEMENTS_MAX.next_multiple_of(4);
const MARKER: u8 = 0x80;

/// Octets of the header of nearly each packet of `track`.
pub(crate) fn length(track: &Track) -> usize {
    Header::new(track, 0).length(false)
}

/// Octets of the longest header of `track`.
pub(crate) fn longest(track: &Track) -> usize {
    Header::new(track, 0).longest()
}

/// The header of a stream's packets, complete but for what changes.
#[derive(Clone, Debug)]
pub(super) struct Header {
    octets: [u8; HEADER_MAX],
    length: u8,
    /// Octets of one in front of a key frame.
    longest: u8,
    /// Temporal layers, if frames are described.
    layers: Option<Layers>,
    /// Where the content of an extension is; zero if it is not there.
    level: u8,
    time: u8,
    transport: u8,
    marking: u8,
    /// Always the last one, since it may be longer.
    descriptor: u8,
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
        let mut header = Self {
            octets: [0; HEADER_MAX],
            length: FIXED as u8,
            longest: FIXED as u8,
            layers: None,
            level: 0,
            time: 0,
            transport: 0,
            marking: 0,
            descriptor: 0,
        };
        header.octets[..2].copy_from_slice(&[0x80, track.payload_type & !MARKER]);
        header.octets[8..12].copy_from_slice(&ssrc.to_be_bytes());
        header.extend(track);
        header
    }

    fn extend(&mut self, track: &Track) {
        let Extensions { audio_level, abs_send_time, transport_sequence, mid, rid, frame_marking, descriptor } =
            track.extensions;
        self.length += BEFORE as u8;
        self.level = self.element(audio_level, &[0]);
        self.time = self.element(abs_send_time, &[0; 3]);
        self.transport = self.element(transport_sequence, &[0; 2]);
        for (id, tag) in [(mid, track.mid), (rid, track.rid)] {
            tag.map(|tag| self.element(id, tag.as_octets()));
        }
        self.marking = self.element(frame_marking, &[0; MARKING]);
        self.descriptor = self.element(descriptor, &[0; DESCRIPTOR]);
        if usize::from(self.length) == FIXED + BEFORE {
            self.length = FIXED as u8;
            return;
        }
        self.longest = self.length;
        if let (Content::Video(video), Some(_)) = (&track.content, descriptor) {
            self.layers = Some(video.layers);
            let structure = write_structure(&mut [0; DESCRIPTOR_MAX], &Mark::default(), video.layers);
            self.longest += (structure - DESCRIPTOR) as u8;
        }
        (self.length, self.longest) = (self.length.next_multiple_of(4), self.longest.next_multiple_of(4));
        self.octets[0] |= 0x10;
        self.octets[FIXED..FIXED + BEFORE].copy_from_slice(&[0xbe, 0xde, 0, words(self.length)]);
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

    /// Whether key frames begin with a longer header than others.
    pub(super) const fn describes_frames(&self) -> bool {
        self.layers.is_some()
    }

    /// Octets of the header of a packet that begins a key frame, or of another.
    pub(super) const fn length(&self, begins: bool) -> usize {
        if begins { self.longest as usize } else { self.length as usize }
    }

    pub(super) const fn longest(&self) -> usize {
        self.longest as usize
    }

    /// Writes the header of one packet.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8], variable: &Variable) {
        let shape = variable.shape;
        out[..FIXED].copy_from_slice(&self.octets[..FIXED]);
        out[1] = shape.payload_type.unwrap_or(self.octets[1]) | if shape.marker { MARKER } else { 0 };
        out[2..4].copy_from_slice(&variable.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&variable.timestamp.to_be_bytes());
        if self.length(false) > FIXED {
            self.write_extensions(out, variable);
        }
    }

    fn write_extensions(&self, out: &mut [u8], variable: &Variable) {
        let length = self.length(false);
        out[FIXED..length].copy_from_slice(&self.octets[FIXED..length]);
        let mut set = |at: u8, content: &[u8]| {
            if at != 0 {
                out[usize::from(at)..usize::from(at) + content.len()].copy_from_slice(content);
            }
        };
        set(self.level, &[variable.shape.level]);
        set(self.time, &abs_send_time(variable.due).to_be_bytes()[1..]);
        set(self.transport, &variable.transport_sequence.to_be_bytes());
    }

    /// Whether packets say what their frames are.
    pub(super) const fn marks_frames(&self) -> bool {
        self.marking != 0 || self.descriptor != 0
    }

    /// Writes what a packet says of its frame; of one that begins a key frame, also what frames the stream has.
    pub(super) fn write_mark(&self, out: &mut [u8], mark: &Mark, begins: bool) {
        if self.marking != 0 {
            out[usize::from(self.marking)..][..MARKING].copy_from_slice(&mark.marking());
        }
        if self.descriptor != 0 {
            out[usize::from(self.descriptor)..][..DESCRIPTOR].copy_from_slice(&mark.descriptor());
        }
        if let Some(layers) = self.layers.filter(|_| begins) {
            self.write_structure(out, mark, layers);
        }
    }

    /// Writes the longer descriptor in the place of the shorter one.
    #[cold]
    fn write_structure(&self, out: &mut [u8], mark: &Mark, layers: Layers) {
        let mut structure = [0; DESCRIPTOR_MAX];
        let octets = write_structure(&mut structure, mark, layers);
        let at = usize::from(self.descriptor);
        out[at..self.longest()].fill(0);
        out[at..at + octets].copy_from_slice(&structure[..octets]);
        out[at - 1] = (out[at - 1] & 0xf0) | (octets - 1) as u8;
        out[FIXED + 3] = words(self.longest);
    }
}

/// Length of the extensions as their head has it (RFC 3550 section 5.3.1).
const fn words(header: u8) -> u8 {
    (header - (FIXED + BEFORE) as u8) / 4
}

/// Seconds in 6 bits before the point and 18 behind it. The clock's origin does not matter: receivers take differences.
fn abs_send_time(at: Instant) -> u32 {
    let (seconds, ns) = (at.as_ns() / 1_000_000_000, at.as_ns() % 1_000_000_000);
    ((seconds << 18) | ((ns << 18) / 1_000_000_000)) as u32 & 0x00ff_ffff
}
