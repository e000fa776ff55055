//! The dependency descriptor (RTP Payload Format For AV1, appendix A): what a frame needs, and who needs it.
//!
//! A [`Reader`] knows the structure that a stream's key frames bring; [`Descriptor`] is what a packet says by it, in a form
//! that needs the structure no more. [`Rewrite`] makes the descriptor that a receiver of some of the frames gets.

use arrayvec::ArrayVec;
use thiserror::Error;

use crate::bits::{BitWriter, Bits};
use crate::limits::{CHAINS_MAX, ELEMENT_MAX, REFERENCES_MAX, TARGETS_MAX, TEMPLATES_MAX};

/// Bits of the fields that every descriptor has, and of the flags behind them.
const MANDATORY: usize = 24;
const FLAGS: usize = 5;
/// Flags, from the first: a structure follows, a set of active targets does, indications, references, and chains of its own.
const STRUCTURE: u32 = 0x10;
const ACTIVE: u32 = 0x08;
const INDICATIONS: u32 = 0x04;
const DIFFERENCES: u32 = 0x02;
const CHAINS: u32 = 0x01;
/// Template identifiers are counted modulo this.
const IDENTIFIERS: u8 = 64;
/// Layers that are told apart. The format has no bound; AV1 counts spatial ones to four and temporal ones to eight (AV1
/// section 5.3.3).
const SPATIAL_MAX: u8 = 4;
const TEMPORAL_MAX: u8 = 8;

/// Why a descriptor is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum DescriptorError {
    /// It ends before what it announces.
    #[error("the dependency descriptor is cut short")]
    Truncated,
    /// Its template is in no structure that was seen: the key frame that brought it is missing.
    #[error("the dependency descriptor names a template that is not known")]
    UnknownTemplate,
    /// More templates, layers or references than are read ([`crate::limits`]).
    #[error("the dependency descriptor has more templates, layers or references than are read")]
    TooMany,
}

/// What a frame is to a decode target (table A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Indication {
    /// It is not part of it.
    NotPresent = 0,
    /// No other frame of the target needs it.
    Discardable = 1,
    /// All later frames of the target can be decoded if this one can.
    Switch = 2,
    /// Neither of these.
    Required = 3,
}

/// Indications of a frame, for each decode target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indications(u64);

impl Indications {
    /// That for `target`.
    #[inline]
    #[must_use]
    pub const fn of(self, target: u8) -> Indication {
        match self.0 >> (2 * (target & 31)) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    /// Whether the frame is part of `target`.
    #[inline]
    #[must_use]
    pub const fn has(self, target: u8) -> bool {
        self.0 >> (2 * (target & 31)) & 3 != 0
    }

    fn read(bits: &mut Bits<'_>, targets: u8) -> Option<Self> {
        let mut all = 0;
        for target in 0..targets {
            all |= u64::from(bits.take(2)?) << (2 * target);
        }
        Some(Self(all))
    }
}

/// A template, or what stands in its place for one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: Indications,
    differences: ArrayVec<u16, REFERENCES_MAX>,
    chains: ArrayVec<u8, CHAINS_MAX>,
}

/// The frame dependency structure of a coded video sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    first_template: u8,
    targets: u8,
    chains: u8,
    templates: ArrayVec<Template, TEMPLATES_MAX>,
    protected_by: ArrayVec<u8, TARGETS_MAX>,
    sizes: ArrayVec<(u32, u32), { SPATIAL_MAX as usize }>,
}

impl Structure {
    /// How many decode targets there are, 1 to 32.
    #[must_use]
    pub const fn targets(&self) -> u8 {
        self.targets
    }

    /// Identifier of the first template.
    #[must_use]
    pub const fn first_template(&self) -> u8 {
        self.first_template
    }

    /// How many templates there are.
    #[must_use]
    pub const fn templates(&self) -> u8 {
        self.templates.len() as u8
    }

    /// Highest spatial and temporal layer of a decode target (`decode_target_layers`).
    #[must_use]
    pub fn layers(&self, target: u8) -> (u8, u8) {
        let members = self.templates.iter().filter(|template| template.indications.has(target));
        members.fold((0, 0), |(spatial, temporal), template| {
            (spatial.max(template.spatial), temporal.max(template.temporal))
        })
    }

    /// Whether every frame of target `inner` is one of `outer` too, as far as templates say.
    #[must_use]
    pub fn is_within(&self, inner: u8, outer: u8) -> bool {
        self.templates.iter().all(|template| !template.indications.has(inner) || template.indications.has(outer))
    }

    /// The chain that protects a decode target, if there are chains.
    #[must_use]
    pub fn chain_of(&self, target: u8) -> Option<u8> {
        self.protected_by.get(usize::from(target)).copied()
    }

    /// Greatest width and height of a spatial layer, if the structure says so.
    #[must_use]
    pub fn size(&self, spatial: u8) -> Option<(u32, u32)> {
        self.sizes.get(usize::from(spatial)).copied()
    }

    /// All decode targets.
    #[must_use]
    pub const fn all(&self) -> u32 {
        if self.targets == 32 { u32::MAX } else { (1 << self.targets) - 1 }
    }

    fn template(&self, identifier: u8) -> Option<&Template> {
        let index = (identifier + IDENTIFIERS - self.first_template) % IDENTIFIERS;
        self.templates.get(usize::from(index))
    }

    fn read(bits: &mut Bits<'_>) -> Result<Self, DescriptorError> {
        let truncated = DescriptorError::Truncated;
        let first_template = bits.take(6).ok_or(truncated)? as u8;
        let targets = bits.take(5).ok_or(truncated)? as u8 + 1;
        let mut templates = read_layers(bits)?;
        for template in &mut templates {
            template.indications = Indications::read(bits, targets).ok_or(truncated)?;
        }
        for template in &mut templates {
            while bits.flag().ok_or(truncated)? {
                let difference = bits.take(4).ok_or(truncated)? as u16 + 1;
                template.differences.try_push(difference).map_err(|_| DescriptorError::TooMany)?;
            }
        }
        let mut structure = Self {
            first_template,
            targets,
            chains: 0,
            templates,
            protected_by: ArrayVec::new(),
            sizes: ArrayVec::new(),
        };
        structure.read_chains(bits).ok_or(truncated)?;
        structure.read_sizes(bits).ok_or(truncated)?;
        Ok(structure)
    }

    fn read_chains(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.chains = bits.below(u32::from(self.targets) + 1)? as u8;
        if self.chains == 0 {
            return Some(());
        }
        for _ in 0..self.targets {
            self.protected_by.push(bits.below(self.chains.into())? as u8);
        }
        for template in &mut self.templates {
            for _ in 0..self.chains {
                template.chains.push(bits.take(4)? as u8);
            }
        }
        Some(())
    }

    fn read_sizes(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if bits.flag()? {
            for _ in 0..=self.templates.last()?.spatial {
                self.sizes.push((bits.take(16)? + 1, bits.take(16)? + 1));
            }
        }
        Some(())
    }
}

/// `template_layers`: templates in the order of their layers.
fn read_layers(bits: &mut Bits<'_>) -> Result<ArrayVec<Template, TEMPLATES_MAX>, DescriptorError> {
    let mut templates = ArrayVec::new();
    let (mut spatial, mut temporal) = (0, 0);
    loop {
        if spatial >= SPATIAL_MAX || temporal >= TEMPORAL_MAX {
            return Err(DescriptorError::TooMany);
        }
        let template = Template { spatial, temporal, ..Template::default() };
        templates.try_push(template).map_err(|_| DescriptorError::TooMany)?;
        match bits.take(2).ok_or(DescriptorError::Truncated)? {
            0 => {}
            1 => temporal += 1,
            2 => (spatial, temporal) = (spatial + 1, 0),
            _ => return Ok(templates),
        }
    }
}

/// What a packet says of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The packet is the first of its frame.
    pub start: bool,
    /// The packet is the last of its frame.
    pub end: bool,
    /// Number of the frame, in decoding order.
    pub number: u16,
    /// Identifier of its template.
    pub template: u8,
    /// The packet brought a structure: it begins a key frame.
    pub new_structure: bool,
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// What the frame is to each decode target.
    pub indications: Indications,
    /// How many frames back those are that it needs.
    pub differences: ArrayVec<u16, REFERENCES_MAX>,
    /// How many frames back the last one of each chain is; 0 where none is needed.
    pub chains: ArrayVec<u8, CHAINS_MAX>,
    /// Where things are.
    pub layout: Layout,
}

/// Bits of a descriptor at which what a [`Rewrite`] changes stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    flags: u8,
    active: u16,
    rest: u16,
    end: u16,
}

/// Reads the descriptors of one stream.
///
/// Keeps the structure before the last too, for packets that are late over a key frame.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    structure: Option<Structure>,
    before: Option<Structure>,
    active: u32,
}

impl Reader {
    /// The structure of the last key frame.
    #[must_use]
    pub const fn structure(&self) -> Option<&Structure> {
        self.structure.as_ref()
    }

    /// Decode targets that the stream has at present (appendix A.4).
    #[must_use]
    pub const fn active(&self) -> u32 {
        self.active
    }

    /// Reads the data of the extension. Of a packet that is not the `newest` of its stream nothing is kept.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn read(&mut self, data: &[u8], newest: bool) -> Result<Descriptor, DescriptorError> {
        let mut bits = Bits::new(data);
        let fixed = bits.take(MANDATORY).ok_or(DescriptorError::Truncated)?;
        let flags = if data.len() > 3 { bits.take(FLAGS).ok_or(DescriptorError::Truncated)? } else { 0 };
        let identifier = (fixed >> 16) as u8 & (IDENTIFIERS - 1);
        if flags & STRUCTURE == 0 {
            let known = [&self.structure, &self.before].into_iter().flatten();
            let mut found = known.filter_map(|structure| Some((structure, structure.template(identifier)?)));
            let (structure, template) = found.next().ok_or(DescriptorError::UnknownTemplate)?;
            let (descriptor, active) = finish(fixed, flags, structure, template, bits)?;
            self.active = active.filter(|_| newest).unwrap_or(self.active);
            return Ok(descriptor);
        }
        let structure = Structure::read(&mut bits)?;
        let template = structure.template(identifier).ok_or(DescriptorError::UnknownTemplate)?;
        let (descriptor, active) = finish(fixed, flags, &structure, template, bits)?;
        if newest {
            self.active = active.unwrap_or(structure.all());
            if self.structure.as_ref().is_none_or(|known| *known != structure) {
                self.before = self.structure.replace(structure);
            }
        }
        Ok(descriptor)
    }
}

/// Reads what follows a structure: active targets, and what the frame has of its own.
fn finish(
    fixed: u32,
    flags: u32,
    structure: &Structure,
    template: &Template,
    mut bits: Bits<'_>,
) -> Result<(Descriptor, Option<u32>), DescriptorError> {
    let truncated = DescriptorError::Truncated;
    let at = bits.position() as u16;
    let active = match flags & ACTIVE {
        0 => None,
        _ => Some(bits.take(structure.targets.into()).ok_or(truncated)?),
    };
    let rest = bits.position() as u16;
    let indications = match flags & INDICATIONS {
        0 => template.indications,
        _ => Indications::read(&mut bits, structure.targets).ok_or(truncated)?,
    };
    let differences =
        if flags & DIFFERENCES == 0 { template.differences.clone() } else { read_differences(&mut bits)? };
    let mut chains = template.chains.clone();
    if flags & CHAINS != 0 {
        chains.clear();
        for _ in 0..structure.chains {
            chains.push(bits.take(8).ok_or(truncated)? as u8);
        }
    }
    let end = bits.position() as u16;
    let descriptor = Descriptor {
        start: fixed & 0x80_0000 != 0,
        end: fixed & 0x40_0000 != 0,
        number: fixed as u16,
        template: (fixed >> 16) as u8 & (IDENTIFIERS - 1),
        new_structure: flags & STRUCTURE != 0,
        spatial: template.spatial,
        temporal: template.temporal,
        indications,
        differences,
        chains,
        layout: Layout { flags: flags as u8, active: at, rest, end },
    };
    Ok((descriptor, active))
}

/// `frame_fdiffs`: each behind its size in units of four bits.
fn read_differences(bits: &mut Bits<'_>) -> Result<ArrayVec<u16, REFERENCES_MAX>, DescriptorError> {
    let mut differences = ArrayVec::new();
    loop {
        let size = bits.take(2).ok_or(DescriptorError::Truncated)? as usize;
        if size == 0 {
            return Ok(differences);
        }
        let difference = bits.take(4 * size).ok_or(DescriptorError::Truncated)? as u16 + 1;
        differences.try_push(difference).map_err(|_| DescriptorError::TooMany)?;
    }
}

/// What becomes of the descriptors of a stream on their way to a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Added to numbers of frames: references are relative, and stay.
    pub number: u16,
    /// Added to identifiers of templates, modulo 64: those of two streams in succession must not overlap
    /// (`template_id_offset`).
    pub template: u8,
    /// The decode targets that the receiver gets (appendix A.4: whoever changes the set must say so), and how many there
    /// are. Nothing to leave what the descriptor says.
    pub active: Option<(u32, u8)>,
}

impl Rewrite {
    /// Writes `data`, which has the layout `layout`, anew; how long it is. Nothing if it does not fit an element
    /// ([`ELEMENT_MAX`]) or the layout is another's.
    #[must_use]
    pub fn write(&self, data: &[u8], layout: Layout, out: &mut [u8; ELEMENT_MAX]) -> Option<usize> {
        let &[first, high, low] = data.first_chunk()?;
        let identifier = first.wrapping_add(self.template) % IDENTIFIERS;
        let number = u16::from_be_bytes([high, low]).wrapping_add(self.number);
        let mut bits = BitWriter::new(out);
        bits.put(2, (first >> 6).into());
        bits.put(6, identifier.into());
        bits.put(16, number.into());
        let flags = u32::from(layout.flags);
        if flags == 0 && self.active.is_none() {
            return bits.finish();
        }
        bits.put(FLAGS, if self.active.is_some() { flags | ACTIVE } else { flags });
        let mut from = MANDATORY + FLAGS;
        if flags & STRUCTURE != 0 {
            let offset = Bits::from(data, from).take(6)? as u8;
            bits.put(6, (offset.wrapping_add(self.template) % IDENTIFIERS).into());
            from += 6;
            bits.copy(data, from, layout.active.into());
        }
        match self.active {
            Some((mask, targets)) => bits.put(targets.into(), mask),
            None => bits.copy(data, layout.active.into(), layout.rest.into()),
        }
        bits.copy(data, layout.rest.into(), layout.end.into());
        bits.finish()
    }
}

#[cfg(test)]
mod tests;
