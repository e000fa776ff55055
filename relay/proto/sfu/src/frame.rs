//! What is known of a packet's frame, whatever its codec.

use arrayvec::ArrayVec;
use raceway_rtp::descriptor::{Indications, Layout, Structure};
use raceway_rtp::limits::REFERENCES_MAX;
use raceway_rtp::vp8::PictureId;
use raceway_rtp::{Extensions, Span};
use raceway_units::Instant;

use crate::limits::TARGETS_MAX;

/// One RTP stream of those that a subscription may choose among, below [`crate::limits::SOURCES_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(pub u8);

/// A packet that was received: all that subscriptions need to know, on whichever core they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its stream.
    pub source: Source,
    /// Its sequence number, which does not begin again.
    pub sequence: u64,
    /// No packet of a higher number had come from its stream.
    pub newest: bool,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// Its marker bit.
    pub marker: bool,
    /// Its source.
    pub ssrc: u32,
    /// When it came.
    pub arrived: Instant,
    /// When its frame was captured by the sender's clock, in 1/2^32 s since 1900, once a sender report has said so.
    pub captured: Option<u64>,
    /// Where its header extensions are.
    pub extensions: Extensions,
    /// Where its payload is. Empty: nothing but padding.
    pub payload: Span,
    /// What its frame is.
    pub frame: Frame,
}

/// The frame that a packet is part of. In audio every packet is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The packet is known to begin it.
    pub start: bool,
    /// The packet is known to end it. (The marker ends all frames of a time.)
    pub end: bool,
    /// The packet begins what can be decoded with nothing before: a key frame, or any packet of audio.
    pub key: bool,
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Whether more temporal layers can be taken from here on.
    pub up: Up,
    /// It needs no frame of an earlier time: of a spatial layer, a point to begin with it.
    pub independent: bool,
    /// Fields of the payload descriptor.
    pub fields: Fields,
    /// How many pictures back those are that it needs, where the payload descriptor says so (VP9); zeros behind the last.
    pub references: Option<[u8; 3]>,
    /// They are those of a pattern that all its layers follow.
    pub is_regular: bool,
    /// What the dependency descriptor says.
    pub graph: Option<Graph>,
}

/// Whether more temporal layers can be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Up {
    /// Not known to be so.
    #[default]
    No,
    /// The frame needs the last frame of layer 0 alone, and so do later ones of what is older (VP8: Y).
    Synchronised,
    /// Later frames of higher layers need none of those layers from before this one (VP9: U).
    After,
}

/// Fields of the payload descriptor that are numbers, and where they are in the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Number of the picture.
    pub picture: Option<PictureId>,
    /// Numbers count the pictures that are sent, so that dropping one must not leave a gap (RFC 7741 section 4.2). Others
    /// count pictures that were coded, as references go by them (RFC 9628 section 4.2).
    pub dense: bool,
    /// Number of the last picture of temporal layer 0 (TL0PICIDX).
    pub base: Option<(u8, u8)>,
    /// The octet that holds the number of the last key frame (KEYIDX).
    pub key_index: Option<(u8, u8)>,
}

/// A frame among others, by the dependency descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Number of the frame.
    pub number: u16,
    /// What it is to each decode target.
    pub indications: Indications,
    /// How many frames back those are that it needs; zeros behind the last.
    pub references: [u16; REFERENCES_MAX],
    /// Identifier of the first template of the structure that the packet brings, and how many there are.
    pub structure: Option<(u8, u8)>,
    /// Where things are in the descriptor.
    pub layout: Layout,
}

/// Decode targets of a stream at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// How many the structure has.
    count: u8,
    layers: [(u8, u8); TARGETS_MAX],
    /// For each, those of which every frame is one of its too.
    within: [u16; TARGETS_MAX],
    active: u32,
}

impl Targets {
    /// Those of a structure, of which `active` are sent.
    #[must_use]
    pub fn new(structure: &Structure, active: u32) -> Self {
        let mut targets = Self { count: structure.targets(), active, ..Self::default() };
        for outer in targets.all() {
            targets.layers[usize::from(outer)] = structure.layers(outer);
            let inner = targets.all().filter(|inner| structure.is_within(*inner, outer));
            targets.within[usize::from(outer)] = inner.fold(0, |mask, inner| mask | 1 << inner);
        }
        targets
    }

    /// How many the structure has, among them those that are not chosen.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// Those that can be chosen.
    fn all(&self) -> core::ops::Range<u8> {
        0..self.count.min(TARGETS_MAX as u8)
    }

    /// Highest spatial and temporal layer of a target.
    #[must_use]
    pub fn layers(&self, target: u8) -> (u8, u8) {
        self.layers.get(usize::from(target)).copied().unwrap_or_default()
    }

    /// Whether every frame of `inner` is one of `outer`.
    #[must_use]
    pub fn is_within(&self, inner: u8, outer: u8) -> bool {
        self.within.get(usize::from(outer)).is_some_and(|within| within >> (inner & 15) & 1 == 1)
    }

    /// Those that are sent.
    #[must_use]
    pub const fn active(&self) -> u32 {
        self.active
    }

    /// Those that are sent and have no layer above `spatial` and `temporal`, the best first. If there are none, the least.
    #[must_use]
    pub fn below(&self, spatial: u8, temporal: u8) -> ArrayVec<u8, TARGETS_MAX> {
        let sent = self.all().filter(|target| self.active >> target & 1 == 1);
        let fits = |target: &u8| {
            let (s, t) = self.layers(*target);
            s <= spatial && t <= temporal
        };
        let mut best: ArrayVec<u8, TARGETS_MAX> = sent.clone().filter(fits).collect();
        best.sort_unstable_by_key(|target| core::cmp::Reverse(self.layers(*target)));
        if best.is_empty() {
            best.extend(sent.min_by_key(|target| self.layers(*target)));
        }
        best
    }

    /// Of who gets `target`: the targets that it can decode, if those are not all that the stream has.
    #[must_use]
    pub fn decodable(&self, target: u8) -> Option<u32> {
        let within = u32::from(self.within.get(usize::from(target)).copied()?) & self.active;
        (within != self.active).then_some(within)
    }
}
