//! Encoders: what they send, and what is true of it.

use raceway_sfu::Codec;
use raceway_units::Random;

use crate::bits::Bits;

/// What a frame is, whoever gets it.
#[derive(Clone, Debug)]
pub struct Truth {
    pub encoding: u8,
    pub spatial: u8,
    pub temporal: u8,
    pub key: bool,
    /// Frames without which it cannot be decoded.
    pub needs: Vec<u32>,
    pub packets: u16,
    /// Number of its time.
    pub time: u32,
    /// Numbers as sent: picture, last picture of layer 0, frame of the dependency descriptor.
    pub picture: u16,
    pub base: u8,
    pub number: u16,
    /// Frames back, as the dependency descriptor has them.
    pub references: Vec<u16>,
}

/// A packet as sent.
#[derive(Clone, Debug)]
pub struct Wire {
    pub encoding: u8,
    pub octets: Vec<u8>,
    pub sequence: u16,
    pub frame: u32,
    pub index: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Three temporal layers.
    Vp8,
    /// The same with the dependency descriptor too.
    Vp8Descriptor,
    /// Three spatial and three temporal layers.
    Vp9Flexible,
    Vp9Group,
    H264,
    /// Two spatial and two temporal layers.
    Av1,
    Audio,
}

impl Model {
    pub const VIDEO: [Self; 6] =
        [Self::Vp8, Self::Vp8Descriptor, Self::Vp9Flexible, Self::Vp9Group, Self::H264, Self::Av1];

    pub const fn codec(self) -> Codec {
        match self {
            Self::Vp8 | Self::Vp8Descriptor => Codec::Vp8,
            Self::Vp9Flexible | Self::Vp9Group => Codec::Vp9,
            Self::H264 => Codec::H264,
            Self::Av1 => Codec::Av1,
            Self::Audio => Codec::Audio,
        }
    }

    pub const fn layers(self) -> (u8, u8) {
        match self {
            Self::Vp8 | Self::Vp8Descriptor => (1, 3),
            Self::Vp9Flexible | Self::Vp9Group => (3, 3),
            Self::H264 | Self::Audio => (1, 1),
            Self::Av1 => (2, 2),
        }
    }

    pub const fn has_descriptor(self) -> bool {
        matches!(self, Self::Av1 | Self::Vp8Descriptor)
    }

    /// Whether references are those of a pattern that was announced, so that none may be out of it.
    const fn is_regular(self) -> bool {
        matches!(self, Self::Vp9Group | Self::Vp8Descriptor)
    }
}

/// Octets of a packet that say which it is: frame, index.
pub const TAG: usize = 6;
pub const DESCRIPTOR_ID: u8 = 12;

/// Templates: spatial, temporal, indications, references.
type Template = (u8, u8, &'static str, &'static [u16]);
const L1T3: &[Template] = &[(0, 0, "SSS", &[]), (0, 0, "SSS", &[4]), (0, 1, "-DS", &[2]), (0, 2, "--D", &[1])];
const L2T2: &[Template] = &[
    (0, 0, "SSSS", &[]),
    (0, 0, "SSRR", &[4]),
    (0, 1, "-D-R", &[2]),
    (1, 0, "--SS", &[1]),
    (1, 0, "--SS", &[4, 1]),
    (1, 1, "---D", &[2, 1]),
];

/// An encoding.
pub struct Encoder {
    model: Model,
    encoding: u8,
    random: Random,
    sequence: u16,
    timestamp: u32,
    picture: u16,
    base: u8,
    key_index: u8,
    number: u16,
    first_template: u8,
    /// Frames since the last key frame.
    since_key: u32,
    /// Later layers need nothing of theirs from before this group of four.
    synchronised: bool,
    /// The last frame of the group needs layer 0 alone.
    alone: bool,
    /// By spatial layer, then temporal layer: the last frame, its time since the key frame.
    last: [[Option<(u32, u32)>; 3]; 3],
    pub wants_key: bool,
}

impl Encoder {
    pub fn new(model: Model, encoding: u8, seed: u64) -> Self {
        let mut random = Random::of(seed, encoding.into());
        Self {
            model,
            encoding,
            sequence: random.next() as u16,
            timestamp: random.next() as u32,
            picture: random.next() as u16 & 0x7fff,
            base: random.next() as u8,
            key_index: random.next() as u8 & 0x1f,
            number: random.next() as u16,
            first_template: random.next() as u8 & 63,
            random,
            since_key: 0,
            synchronised: true,
            alone: false,
            last: [[None; 3]; 3],
            wants_key: true,
        }
    }

    pub const fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// The frames of the next time.
    pub fn encode(&mut self, time: u32, units: u32, truths: &mut Vec<Truth>) -> Vec<Wire> {
        self.timestamp = self.timestamp.wrapping_add(units);
        let key = core::mem::take(&mut self.wants_key);
        if key {
            (self.since_key, self.last) = (0, [[None; 3]; 3]);
            self.key_index = self.key_index.wrapping_add(1) & 0x1f;
            if self.model.has_descriptor() {
                self.first_template = (self.first_template + self.templates().len() as u8) % 64;
            }
        }
        let period = if self.model.layers().1 == 2 { 2 } else { 4 };
        if self.since_key.is_multiple_of(period) {
            self.synchronised = key || self.model.is_regular() || self.random.below(2) == 0;
        }
        let last = self.since_key % 4 == 3;
        self.alone = self.model == Model::Vp8 && last && self.synchronised && self.random.below(2) == 0;
        let temporal = match self.model.layers().1 {
            1 => 0,
            2 => (self.since_key % 2) as u8,
            _ => [0, 2, 1, 2][self.since_key as usize % 4],
        };
        self.picture = (self.picture + 1) & 0x7fff;
        if temporal == 0 {
            self.base = self.base.wrapping_add(1);
        }
        let mut wires = Vec::new();
        for spatial in 0..self.model.layers().0 {
            self.frame(time, spatial, temporal, key, truths, &mut wires);
        }
        self.since_key += 1;
        wires
    }

    const fn templates(&self) -> &'static [Template] {
        if matches!(self.model, Model::Av1) { L2T2 } else { L1T3 }
    }

    /// Frames of the same spatial layer that this one needs, with their times since the key frame.
    fn earlier(&mut self, spatial: usize, temporal: u8) -> Vec<(u32, u32)> {
        let last = &self.last[spatial];
        let position = self.since_key % 4;
        let mut needs = Vec::new();
        match (self.model.layers().1, temporal) {
            (_, 0) => needs.extend(last[0]),
            (2, _) => needs.extend(last[0]),
            (_, 1) => {
                needs.extend(last[0]);
                needs.extend(last[1].filter(|_| !self.synchronised));
            }
            (_, _) if self.alone => needs.extend(last[0]),
            (_, _) if position == 1 => {
                needs.extend(last[0]);
                needs.extend(last[2].filter(|_| !self.synchronised));
            }
            (_, _) => {
                needs.extend(last[1]);
                let more = !self.model.is_regular() && self.random.below(2) == 0;
                needs.extend(last[2].filter(|_| more));
            }
        }
        needs
    }

    fn frame(&mut self, time: u32, spatial: u8, temporal: u8, key: bool, truths: &mut Vec<Truth>, out: &mut Vec<Wire>) {
        let layer = usize::from(spatial);
        // Now and then a higher spatial layer begins anew.
        let refresh = spatial > 0 && temporal == 0 && self.synchronised && !key && self.random.below(4) == 0;
        let alone = key || refresh || self.model == Model::Audio;
        let earlier = if alone { Vec::new() } else { self.earlier(layer, temporal) };
        let lower = (spatial > 0).then(|| truths.len() as u32 - 1);
        let id = truths.len() as u32;
        self.number = self.number.wrapping_add(1);
        let spatials = u32::from(self.model.layers().0);
        let mut references: Vec<u16> =
            earlier.iter().map(|(_, at)| ((self.since_key - at) * spatials) as u16).collect();
        references.extend(lower.map(|_| 1));
        let most = if self.model == Model::Audio {
            1
        } else if key {
            6
        } else {
            4
        };
        let packets = 1 + self.random.below(most) as u16;
        let truth = Truth {
            encoding: self.encoding,
            spatial,
            temporal,
            key,
            needs: earlier.iter().map(|(frame, _)| *frame).chain(lower).collect(),
            packets,
            time,
            picture: self.picture,
            base: self.base,
            number: self.number,
            references,
        };
        let back: Vec<u8> = earlier.iter().map(|(_, at)| (self.since_key - at) as u8).collect();
        for index in 0..packets {
            let octets = self.packet(&truth, id, index, &back, refresh);
            out.push(Wire { encoding: self.encoding, octets, sequence: self.sequence, frame: id, index });
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.last[layer][usize::from(temporal)] = Some((id, self.since_key));
        truths.push(truth);
    }

    fn packet(&self, truth: &Truth, id: u32, index: u16, back: &[u8], refresh: bool) -> Vec<u8> {
        let (first, last) = (index == 0, index + 1 == truth.packets);
        let top = truth.spatial + 1 == self.model.layers().0;
        let marker = if last && top { 0x80 } else { 0 };
        let extension = if self.model.has_descriptor() {
            let data = self.descriptor(truth, first, last, refresh);
            let mut block = vec![0x10, 0, 0, 0, DESCRIPTOR_ID, data.len() as u8];
            block.extend(data);
            block.resize(block.len().next_multiple_of(4), 0);
            block[3] = (block.len() / 4 - 1) as u8;
            block
        } else {
            Vec::new()
        };
        let flags = if extension.is_empty() { 0x80 } else { 0x90 };
        let mut octets = vec![flags, marker | 96];
        octets.extend(self.sequence.to_be_bytes());
        octets.extend(self.timestamp.to_be_bytes());
        octets.extend((1_000 + u32::from(self.encoding)).to_be_bytes());
        octets.extend(extension);
        octets.extend(self.payload(truth, first, last, back, refresh));
        octets.extend(id.to_be_bytes());
        octets.extend(index.to_be_bytes());
        octets
    }

    fn payload(&self, truth: &Truth, first: bool, last: bool, back: &[u8], refresh: bool) -> Vec<u8> {
        let [high, low] = truth.picture.to_be_bytes();
        match self.model {
            Model::Vp8 | Model::Vp8Descriptor => {
                let early = self.since_key % 4 < 3;
                let y = self.synchronised && (early || self.alone) && truth.temporal > 0;
                let layer = truth.temporal << 6 | u8::from(y) << 5 | self.key_index;
                let frame = u8::from(!(first && truth.key));
                vec![0x80 | u8::from(first) << 4, 0xf0, 0x80 | high, low, truth.base, layer, frame]
            }
            Model::Vp9Flexible | Model::Vp9Group => self.vp9(truth, first, last, back, refresh),
            Model::H264 if truth.key && first => vec![0x67],
            Model::H264 => vec![if truth.key { 0x65 } else { 0x41 }],
            Model::Av1 => vec![u8::from(!first) << 7 | u8::from(!last) << 6 | 0x10 | u8::from(first && truth.key) << 3],
            Model::Audio => vec![1],
        }
    }

    /// U, as RFC 9628 section 4.2 has it: no later picture of a higher temporal layer needs one of these from before.
    fn switching_up(&self, truth: &Truth) -> bool {
        match truth.temporal {
            0 => self.synchronised,
            1 => self.model.is_regular(),
            _ => true,
        }
    }

    fn vp9(&self, truth: &Truth, first: bool, last: bool, back: &[u8], refresh: bool) -> Vec<u8> {
        let flexible = self.model == Model::Vp9Flexible;
        let inter = !truth.key && !refresh;
        let structure = truth.key && first && truth.spatial == 0;
        let [high, low] = truth.picture.to_be_bytes();
        let flags = [true, inter, true, flexible, first, last, structure, false];
        let mut octets = vec![flags.into_iter().fold(0, |octet, flag| octet << 1 | u8::from(flag))];
        octets.extend([0x80 | high, low]);
        let up = self.switching_up(truth);
        octets.push(truth.temporal << 5 | u8::from(up) << 4 | truth.spatial << 1 | u8::from(truth.spatial > 0));
        if !flexible {
            octets.push(truth.base);
        } else if inter {
            let more = |at: usize| u8::from(at + 1 < back.len());
            octets.extend(back.iter().enumerate().map(|(at, back)| back << 1 | more(at)));
        }
        if structure {
            // Three layers without sizes; four pictures that repeat, unless pictures say themselves what they need.
            octets.push(0x40 | if flexible { 0 } else { 0x08 });
            if !flexible {
                octets.extend([4, 0x04, 4, 0x54, 1, 0x34, 2, 0x54, 1]);
            }
        }
        octets
    }

    fn descriptor(&self, truth: &Truth, first: bool, last: bool, refresh: bool) -> Vec<u8> {
        let templates = self.templates();
        let fits = |template: &&Template| {
            (template.0, template.1) == (truth.spatial, truth.temporal)
                && template.3.is_empty() == truth.references.is_empty()
        };
        let at = templates.iter().position(|template| fits(&template)).expect("a template for each layer");
        let (_, _, _, references) = templates[at];
        let custom = references != truth.references;
        assert!(!custom || refresh || self.model == Model::Av1 || truth.temporal == 2, "{truth:?}");
        let identifier = (self.first_template + at as u8) % 64;
        let structure = truth.key && first && truth.spatial == 0;
        let mut bits = Bits::default()
            .put(1, first.into())
            .put(1, last.into())
            .put(6, identifier.into())
            .put(16, truth.number.into());
        if !structure && !custom {
            return bits.octets();
        }
        bits = bits.put(2, u32::from(structure) << 1).put(1, 0).put(1, custom.into()).put(1, 0);
        if structure {
            bits = self.structure(bits);
        }
        if custom {
            for back in &truth.references {
                bits = bits.put(2, 1).put(4, u32::from(*back) - 1);
            }
            bits = bits.put(2, 0);
        }
        bits.octets()
    }

    fn structure(&self, bits: Bits) -> Bits {
        let templates = self.templates();
        let targets = templates[0].2.len() as u32;
        let mut bits = bits.put(6, self.first_template.into()).put(5, targets - 1);
        for pair in templates.windows(2) {
            bits = bits.put(2, if pair[1].0 > pair[0].0 { 2 } else { u32::from(pair[1].1 - pair[0].1) });
        }
        bits = bits.put(2, 3);
        for letter in templates.iter().flat_map(|template| template.2.chars()) {
            bits = bits.put(2, "-DSR".find(letter).expect("one of four") as u32);
        }
        for template in templates {
            for back in template.3 {
                bits = bits.put(1, 1).put(4, u32::from(*back) - 1);
            }
            bits = bits.put(1, 0);
        }
        // No chains: ns(targets + 1) of 0, which is 2 bits for 3 targets + 1 = 4 and for 5. No sizes.
        bits.put(2, 0).put(1, 0)
    }
}
