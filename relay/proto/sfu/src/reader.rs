//! Frames read out of packets, each codec its own way.

use raceway_rtp::av1::Av1;
use raceway_rtp::descriptor::{Descriptor, DescriptorError, Reader};
use raceway_rtp::h264::H264;
use raceway_rtp::limits::{REFERENCES_MAX, SPATIAL_MAX, TEMPORAL_MAX};
use raceway_rtp::vp8::Vp8;
use raceway_rtp::vp9::{Group, Vp9};

use crate::frame::{Fields, Frame, Graph, Targets, Up};

/// What a track's payloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Any audio: each packet stands for itself.
    Audio,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// RTP Payload Format For AV1.
    Av1,
    /// Video that cannot be read: encrypted end to end, or of a codec that is not known. It needs the dependency descriptor.
    Opaque,
}

impl Codec {
    /// Whether it has frames that need others.
    #[must_use]
    pub const fn is_video(self) -> bool {
        !matches!(self, Self::Audio)
    }
}

/// Reads the frames of one stream.
#[derive(Clone, Debug)]
pub(crate) struct FrameReader {
    codec: Codec,
    descriptors: Reader,
    targets: Targets,
    /// Of the newest packet: sequence number, timestamp, marker.
    last: Option<(u64, u32, bool)>,
    /// Pictures that repeat, and the number of the first of them (VP9, not in flexible mode).
    group: Option<(u16, Group)>,
    /// Timestamp of the last sequence parameter set (H.264).
    parameters: Option<u32>,
    /// Sequence number of the packet that brought the structure.
    structure: u64,
    /// The last structure was more than is read, so that nothing is known of templates.
    blind: bool,
}

/// Why a packet's frame is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It cannot be read.
    Malformed,
    /// It can be read once the packet with the structure of its key frame has come.
    Structure,
}

/// What a packet is besides its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// No later packet had come.
    pub(crate) newest: bool,
}

impl FrameReader {
    pub(crate) fn new(codec: Codec) -> Self {
        Self {
            codec,
            descriptors: Reader::default(),
            targets: Targets::default(),
            last: None,
            group: None,
            parameters: None,
            structure: 0,
            blind: false,
        }
    }

    /// Decode targets at present.
    pub(crate) const fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The frame of a packet with `payload` and, if it has one, a dependency descriptor.
    pub(crate) fn read(&mut self, around: Around, payload: &[u8], descriptor: Option<&[u8]>) -> Result<Frame, Unread> {
        let begins = self.begins_time(around);
        let graph = match descriptor.filter(|_| self.codec.is_video()) {
            Some(data) => self.descriptor(around, data)?,
            None => None,
        };
        let frame = match self.codec {
            Codec::Audio => Some(Frame { start: true, end: true, key: true, ..Frame::default() }),
            Codec::Vp8 => Vp8::read(payload).map(vp8),
            Codec::Vp9 => Vp9::read(payload).and_then(|read| self.vp9(&read, around.newest)),
            Codec::H264 => H264::read(payload).map(|read| self.h264(read, around, begins)),
            Codec::Av1 => Av1::read(payload).map(|read| av1(read, begins)),
            Codec::Opaque => None,
        };
        if around.newest {
            self.last = Some((around.sequence, around.timestamp, around.marker));
        }
        match graph {
            // A payload may be encrypted, so that what was read of it means nothing.
            Some(read) => Ok(self.with_graph(frame, &read, around)),
            None => frame.ok_or(Unread::Malformed),
        }
    }

    /// What the dependency descriptor says, if it can be read at all.
    fn descriptor(&mut self, around: Around, data: &[u8]) -> Result<Option<Descriptor>, Unread> {
        match self.descriptors.read(data, around.sequence > self.structure) {
            Ok(read) => {
                if read.new_structure && around.sequence > self.structure {
                    (self.structure, self.blind) = (around.sequence, false);
                }
                Ok(Some(read))
            }
            Err(DescriptorError::UnknownTemplate) if !self.blind => Err(Unread::Structure),
            Err(DescriptorError::UnknownTemplate | DescriptorError::Truncated) => Ok(None),
            Err(DescriptorError::TooMany) => {
                self.blind |= around.newest;
                Ok(None)
            }
        }
    }

    /// Whether the packet is known to be the first of its time: the one before it is there, and ended the time before.
    fn begins_time(&self, around: Around) -> bool {
        around.newest
            && self.last.is_some_and(|(sequence, timestamp, marker)| {
                sequence + 1 == around.sequence && (marker || timestamp != around.timestamp)
            })
    }

    /// A key frame begins with its parameters; with its slice if those came another way (RFC 6184 section 8.4), and nothing is
    /// missing before it.
    fn h264(&mut self, read: H264, around: Around, begins: bool) -> Frame {
        let of_this_time = self.parameters == Some(around.timestamp);
        if read.parameters && around.newest {
            self.parameters = Some(around.timestamp);
        }
        let key = read.parameters || read.key && !of_this_time && begins;
        Frame { start: begins || key, end: around.marker, key, ..Frame::default() }
    }

    fn vp9(&mut self, read: &Vp9, newest: bool) -> Option<Frame> {
        if let (true, Some(group), Some(picture)) = (newest && read.start, &read.group, read.picture) {
            self.group = Some((picture.value, group.clone()));
        }
        (read.spatial < SPATIAL_MAX && read.temporal < TEMPORAL_MAX).then(|| Frame {
            start: read.start,
            end: read.end,
            key: read.is_key(),
            spatial: read.spatial,
            temporal: read.temporal,
            up: if read.switching_up { Up::After } else { Up::No },
            independent: !read.inter_picture,
            fields: Fields { picture: read.picture, dense: false, base: read.base, key_index: None },
            references: self.references(read),
            is_regular: !read.flexible,
            graph: None,
        })
    }

    /// Pictures that a frame needs: it says so itself, or by its place in the group that repeats.
    fn references(&self, read: &Vp9) -> Option<[u8; 3]> {
        let picture = read.picture?;
        if read.flexible || !read.inter_picture {
            let mut references = [0; 3];
            references.iter_mut().zip(&read.differences).for_each(|(place, back)| *place = *back);
            return Some(references);
        }
        let (first, group) = self.group.as_ref()?;
        let place = usize::from(picture.fit(picture.value.wrapping_sub(*first))) % group.len();
        Some(group[place])
    }

    fn with_graph(&mut self, frame: Option<Frame>, read: &Descriptor, around: Around) -> Frame {
        let structure = self.descriptors.structure();
        let newest = around.newest || around.sequence == self.structure;
        if newest && let Some(structure) = structure {
            let active = self.descriptors.active();
            if read.new_structure || self.targets.active() != active {
                self.targets = Targets::new(structure, active);
            }
        }
        let mut references = [0; REFERENCES_MAX];
        references.iter_mut().zip(&read.differences).for_each(|(place, back)| *place = *back);
        let new = structure.filter(|_| read.new_structure && newest);
        Frame {
            start: read.start,
            end: read.end,
            key: read.start && read.new_structure,
            spatial: read.spatial,
            temporal: read.temporal,
            up: Up::No,
            independent: false,
            fields: frame.map(|frame| frame.fields).unwrap_or_default(),
            references: None,
            is_regular: false,
            graph: Some(Graph {
                number: read.number,
                indications: read.indications,
                references,
                structure: new.map(|structure| (structure.first_template(), structure.templates())),
                layout: read.layout,
            }),
        }
    }
}

fn vp8(read: Vp8) -> Frame {
    let (temporal, synchronised) = read.layer.unwrap_or_default();
    Frame {
        start: read.start,
        end: false,
        key: read.key,
        spatial: 0,
        temporal,
        up: if synchronised { Up::Synchronised } else { Up::No },
        independent: read.key,
        fields: Fields { picture: read.picture, dense: true, base: read.base, key_index: read.key_index },
        references: None,
        is_regular: false,
        graph: None,
    }
}

fn av1(read: Av1, begins: bool) -> Frame {
    Frame { start: read.key || begins && !read.continues, key: read.key, ..Frame::default() }
}
