//! What header extensions say of frames: the dependency descriptor (RTP Payload Format For AV1, appendix A) and frame
//! marking (RFC 9626).

use super::bits::Bits;
use crate::sender::layers::{Layers, Place, Template};

/// Octets of the longest dependency descriptor: what an extension in the one-octet form holds.
pub(in crate::sender) const DESCRIPTOR_MAX: usize = 16;
/// Octets of a dependency descriptor without a structure.
pub(in crate::sender) const DESCRIPTOR: usize = 3;
/// Octets of frame marking, in its form for streams with layers.
pub(in crate::sender) const MARKING: usize = 3;

/// What a packet says of its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sender) struct Mark {
    /// It is the first of the frame.
    pub(in crate::sender) first: bool,
    /// It is the last of the frame.
    pub(in crate::sender) last: bool,
    /// The frame needs no other.
    pub(in crate::sender) key: bool,
    /// Number of the frame.
    pub(in crate::sender) picture: u16,
    /// Number of the last frame of layer 0, this one included (`TL0PICIDX`).
    pub(in crate::sender) base: u8,
    /// Its place among the layers.
    pub(in crate::sender) place: Place,
}

impl Mark {
    /// The dependency descriptor (appendix A.8.2) but for a structure: flags, template, number of the frame.
    #[inline]
    pub(in crate::sender) fn descriptor(&self) -> [u8; DESCRIPTOR] {
        let template = if self.key { 0 } else { self.place.template };
        let [high, low] = self.picture.to_be_bytes();
        [u8::from(self.first) << 7 | u8::from(self.last) << 6 | template, high, low]
    }

    /// Frame marking of a stream with layers (RFC 9626 section 3.1).
    #[inline]
    pub(in crate::sender) fn marking(&self) -> [u8; MARKING] {
        let Place { layer, sync, discardable, .. } = self.place;
        let flags = [self.first, self.last, self.key, discardable, sync];
        let flags = flags.into_iter().fold(0, |octet, flag| octet << 1 | u8::from(flag));
        [flags << 3 | layer, 0, self.base]
    }
}

/// Writes a dependency descriptor with the structure of the stream, which the first packet of a key frame has; how long it
/// is. Without the size of pictures, which would take more than the one-octet form of extensions has room for.
pub(in crate::sender) fn write_structure(out: &mut [u8; DESCRIPTOR_MAX], mark: &Mark, layers: Layers) -> usize {
    let mut bits = Bits::new(out);
    mark.descriptor().into_iter().for_each(|octet| bits.put(8, octet.into()));
    // A structure is present, nothing is custom; its templates begin at 0.
    bits.put(5, 0b1_0000);
    bits.put(6, 0);
    bits.put(5, u32::from(layers.count()) - 1);
    let templates = layers.templates();
    for (at, template) in templates.iter().enumerate() {
        // Of the same layer, of the next, or the last.
        bits.put(2, templates.get(at + 1).map_or(3, |next| u32::from(next.layer - template.layer)));
    }
    templates.iter().flat_map(|template| template.indications.bytes()).for_each(|letter| bits.put(2, code(letter)));
    templates.iter().for_each(|template| put_needs(&mut bits, template));
    // One chain, which protects all decode targets: that takes no bits.
    bits.put_ns(u32::from(layers.count()) + 1, 1);
    templates.iter().for_each(|template| bits.put(4, template.chain.into()));
    bits.put(1, 0);
    bits.octets()
}

/// Decode target indications (appendix A.8.3, table A.1).
const fn code(letter: u8) -> u32 {
    match letter {
        b'D' => 1,
        b'S' => 2,
        _ => 0,
    }
}

fn put_needs(bits: &mut Bits<'_>, template: &Template) {
    if let Some(back) = template.needs {
        bits.put(1, 1);
        bits.put(4, u32::from(back) - 1);
    }
    bits.put(1, 0);
}
