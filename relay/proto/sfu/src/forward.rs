//! What is sent for a packet, and how it is written.
//!
//! Packets to all subscribers of a track have the same payload but for a few octets of its descriptor, so that a decision
//! ([`Forward`]) is small, and only the head is made anew ([`Egress::write`]).

use arrayvec::ArrayVec;
use raceway_rtp::descriptor::Rewrite;
use raceway_rtp::extension::ExtensionWriter;
use raceway_rtp::limits::ELEMENT_MAX;
use raceway_rtp::{Extension, ExtensionIds, Span};

use crate::frame::Packet;

/// What a subscriber gets for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The packet under other numbers.
    Media(Numbers),
    /// A packet of nothing but padding, so that the receiver does not look for one that is not wanted any more.
    Fill {
        /// Its sequence number.
        sequence: u16,
        /// Its timestamp.
        timestamp: u32,
    },
}

/// Numbers that a packet gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Number of the picture, where there is one.
    pub picture: Option<u16>,
    /// Number of the last picture of temporal layer 0.
    pub base: Option<u8>,
    /// Number of the last key frame.
    pub key_index: Option<u8>,
    /// What becomes of the dependency descriptor.
    pub descriptor: Option<Descriptor>,
}

/// What becomes of a dependency descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// How it is written anew.
    pub rewrite: Rewrite,
}

impl Descriptor {
    /// With so much taken from its numbers; with the decode targets that the receiver can decode of `targets`, if not all.
    #[inline]
    pub(crate) const fn new(number: u16, template: u8, decodable: Option<u32>, targets: u8) -> Self {
        let active = match decodable {
            Some(mask) => Some((mask, targets)),
            None => None,
        };
        let (number, template) = (0_u16.wrapping_sub(number), 0_u8.wrapping_sub(template) % 64);
        Self { rewrite: Rewrite { number, template, active } }
    }
}

/// Header extensions that subscribers get as they are.
const PASSED: [Extension; 5] = [
    Extension::AudioLevel,
    Extension::VideoOrientation,
    Extension::PlayoutDelay,
    Extension::ContentType,
    Extension::AbsoluteCaptureTime,
];
/// Zeros in the place of what is known when the packet is sent: its number in the transport, and its time.
const TRANSPORT_SEQUENCE: [u8; 2] = [0; 2];
const SEND_TIME: [u8; 3] = [0; 3];
/// RTP version 2; with padding; with a header extension.
const VERSION: u8 = 0x80;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;

/// How a subscriber's packets are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// The source that they have.
    pub ssrc: u32,
    /// Payload types: that of the publisher, then the subscriber's. Others are not sent.
    pub payload_types: ArrayVec<(u8, u8), 8>,
    /// Source of repetitions, and their payload types: of what they repeat, as the subscriber has it, then theirs (RFC 4588
    /// section 8.6). None: packets are sent once more as they were.
    pub repair: Option<(u32, ArrayVec<(u8, u8), 8>)>,
    /// Identifiers of header extensions.
    pub ids: ExtensionIds,
    /// Name of the m-line (RFC 9143).
    pub mid: ArrayVec<u8, 16>,
    /// The publisher's source is named as a contributing one (RFC 7667 section 3.6.2).
    pub names_source: bool,
}

/// A packet that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Octets of it.
    pub length: usize,
    /// Where its number among those of the transport goes, if it has one.
    pub transport_sequence: Span,
    /// Where the time at which it is sent goes, if it says so.
    pub send_time: Span,
}

impl Egress {
    /// Writes the packet that `forward` says, out of the `octets` that `packet` was. With a sequence number for a
    /// `repetition`, it repeats one that was sent.
    ///
    /// Nothing if the subscriber has no payload type for it, or `out` is too short.
    #[inline]
    pub fn write(
        &self,
        forward: &Forward,
        packet: &Packet,
        octets: &[u8],
        repetition: Option<u16>,
        out: &mut [u8],
    ) -> Option<Written> {
        let (sequence, timestamp, marker) = match forward {
            Forward::Media(numbers) => (numbers.sequence, numbers.timestamp, numbers.marker),
            Forward::Fill { sequence, timestamp } => (*sequence, *timestamp, false),
        };
        let media_type = of(&self.payload_types, packet.payload_type)?;
        let repair = match (&self.repair, repetition) {
            (Some((ssrc, types)), Some(number)) => Some((*ssrc, of(types, media_type)?, number)),
            _ => None,
        };
        let (ssrc, payload_type, number) = repair.unwrap_or((self.ssrc, media_type, sequence));
        let fixed = out.first_chunk_mut::<12>()?;
        let kind = payload_type | if marker { MARKER } else { 0 };
        fixed[..2].copy_from_slice(&[VERSION, kind]);
        fixed[2..4].copy_from_slice(&number.to_be_bytes());
        fixed[4..8].copy_from_slice(&timestamp.to_be_bytes());
        fixed[8..].copy_from_slice(&ssrc.to_be_bytes());
        let mut written = Written { length: 12, transport_sequence: Span::default(), send_time: Span::default() };
        if self.names_source {
            out[0] |= 1;
            out.get_mut(12..16)?.copy_from_slice(&packet.ssrc.to_be_bytes());
            written.length = 16;
        }
        self.write_extensions(forward, packet, octets, out, &mut written)?;
        if repair.is_some() {
            put(out, &mut written.length, &sequence.to_be_bytes())?;
        }
        match forward {
            Forward::Media(numbers) => {
                let start = written.length;
                put(out, &mut written.length, packet.payload.of(octets))?;
                renumber(numbers, packet, &mut out[start..written.length]);
            }
            Forward::Fill { .. } => {
                out[0] |= PADDING;
                put(out, &mut written.length, &[1])?;
            }
        }
        Some(written)
    }

    fn write_extensions(
        &self,
        forward: &Forward,
        packet: &Packet,
        octets: &[u8],
        out: &mut [u8],
        written: &mut Written,
    ) -> Option<()> {
        let mut descriptor = [0; ELEMENT_MAX];
        let mut extensions = ExtensionWriter::default();
        let number = self.ids.id(Extension::TransportSequence);
        let time = self.ids.id(Extension::AbsoluteSendTime);
        extensions.push(number, &TRANSPORT_SEQUENCE);
        let timed = extensions.len();
        extensions.push(time, &SEND_TIME);
        if !self.mid.is_empty() {
            extensions.push(self.ids.id(Extension::Mid), &self.mid);
        }
        if let Forward::Media(numbers) = forward {
            for extension in PASSED {
                if let Some(data) = packet.extensions.of(octets, extension) {
                    extensions.push(self.ids.id(extension), data);
                }
            }
            let data = packet.extensions.span(Extension::Descriptor).of(octets);
            if let (Some(Descriptor { rewrite }), Some(graph)) = (numbers.descriptor, &packet.frame.graph) {
                let length = rewrite.write(data, graph.layout, &mut descriptor)?;
                extensions.push(self.ids.id(Extension::Descriptor), &descriptor[..length]);
            }
        }
        let start = written.length;
        let length = extensions.write(&mut out[start..])?;
        if length > 0 {
            out[0] |= EXTENSION;
        }
        let place = |at: usize| {
            let place = extensions.place(at);
            Span::new(start + place.start(), start + place.end())
        };
        written.transport_sequence = if number.is_some() { place(0) } else { Span::default() };
        written.send_time = if time.is_some() { place(timed) } else { Span::default() };
        written.length += length;
        Some(())
    }
}

/// The second of the pair of which the first is `payload_type`.
fn of(types: &[(u8, u8)], payload_type: u8) -> Option<u8> {
    types.iter().find(|(first, _)| *first == payload_type).map(|(_, second)| *second)
}

fn put(out: &mut [u8], at: &mut usize, octets: &[u8]) -> Option<()> {
    out.get_mut(*at..*at + octets.len())?.copy_from_slice(octets);
    *at += octets.len();
    Some(())
}

/// Numbers in the payload descriptor.
fn renumber(numbers: &Numbers, packet: &Packet, payload: &mut [u8]) {
    let fields = &packet.frame.fields;
    if let (Some(place), Some(picture)) = (fields.picture, numbers.picture) {
        place.write(payload, picture);
    }
    if let (Some((_, at)), Some(base)) = (fields.base, numbers.base)
        && let Some(octet) = payload.get_mut(usize::from(at))
    {
        *octet = base;
    }
    if let (Some((_, at)), Some(index)) = (fields.key_index, numbers.key_index)
        && let Some(octet) = payload.get_mut(usize::from(at))
    {
        let mask = raceway_rtp::vp8::Vp8::KEY_INDEX;
        *octet = *octet & !mask | index & mask;
    }
}
