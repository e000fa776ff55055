//! Header extensions (RFC 8285), those that a forwarder knows.

use arrayvec::ArrayVec;

use crate::header::Header;
use crate::limits::ELEMENT_MAX;
use crate::span::Span;

/// "Defined by profile" of the one-octet form (RFC 8285 section 4.2).
const ONE_OCTET: u16 = 0xbede;
/// And of the two-octet form, but for four bits of the application (section 4.3).
const TWO_OCTETS: u16 = 0x1000;
/// Longest data and highest identifier of the one-octet form.
const SHORT_MAX: usize = 16;
const SHORT_ID_MAX: u8 = 14;
/// The identifier at which the one-octet form ends (section 4.2).
const STOP: u8 = 15;

/// A header extension that has a meaning here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Extension {
    /// Level of the audio in the packet, and whether it is voice (RFC 6464).
    AudioLevel,
    /// When the packet was sent, 24 bits in 1/2^18 s.
    AbsoluteSendTime,
    /// Its number among all packets of the transport (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportSequence,
    /// The m-line it belongs to (RFC 9143 section 15).
    Mid,
    /// The encoding it belongs to (RFC 8852 section 3).
    Rid,
    /// The encoding that a repair packet belongs to (RFC 8852 section 3).
    RepairedRid,
    /// What the frame needs, and what needs it (RTP Payload Format For AV1, appendix A).
    Descriptor,
    /// How the picture was held (3GPP TS 26.114 section 7.4.5).
    VideoOrientation,
    /// Least and greatest delay until it is shown.
    PlayoutDelay,
    /// Content of the video: camera or screen.
    ContentType,
    /// When the frame was captured.
    AbsoluteCaptureTime,
    /// Bit rates and sizes of a track's encodings.
    LayersAllocation,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AudioLevel,
        Self::AbsoluteSendTime,
        Self::TransportSequence,
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::Descriptor,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::ContentType,
        Self::AbsoluteCaptureTime,
        Self::LayersAllocation,
    ];

    /// What `a=extmap` calls it (RFC 8285 section 5).
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::AbsoluteSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportSequence => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::Descriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::ContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            Self::AbsoluteCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::LayersAllocation => "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
        }
    }

    /// The one that `a=extmap` calls so.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }
}

/// How many there are.
const KINDS: usize = Extension::ALL.len();

/// Local identifiers of extensions in one direction of an m-line, 1 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds([u8; KINDS]);

impl ExtensionIds {
    /// With an identifier for one more; 0 takes it away.
    #[must_use]
    pub const fn with(mut self, extension: Extension, id: u8) -> Self {
        self.0[extension as usize] = id;
        self
    }

    /// The identifier of an extension.
    #[inline]
    #[must_use]
    pub const fn id(&self, extension: Extension) -> Option<u8> {
        match self.0[extension as usize] {
            0 => None,
            id => Some(id),
        }
    }
}

/// Where the extensions of a packet are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions([Span; KINDS]);

impl Extensions {
    /// Finds those that `ids` names. Of one that is there twice, the last.
    #[inline]
    #[must_use]
    pub fn read(packet: &[u8], header: &Header, ids: &ExtensionIds) -> Self {
        let mut found = Self::default();
        for (id, span) in elements(packet, header) {
            for (known, place) in ids.0.iter().zip(&mut found.0) {
                if *known == id {
                    *place = span;
                }
            }
        }
        found
    }

    /// Where an extension is; empty where it is not, or has no octets.
    #[inline]
    #[must_use]
    pub const fn span(&self, extension: Extension) -> Span {
        self.0[extension as usize]
    }

    /// The octets of an extension, if it has any.
    #[inline]
    #[must_use]
    pub fn of<'a>(&self, packet: &'a [u8], extension: Extension) -> Option<&'a [u8]> {
        let octets = self.span(extension).of(packet);
        (!octets.is_empty()).then_some(octets)
    }
}

/// Elements of a packet's header extension: identifier, and where the data is.
#[inline]
pub fn elements(packet: &[u8], header: &Header) -> impl Iterator<Item = (u8, Span)> {
    let long = header.profile & 0xfff0 == TWO_OCTETS;
    let known = long || header.profile == ONE_OCTET;
    let (mut at, end) = (header.extension.start(), if known { header.extension.end() } else { 0 });
    let octets = packet.get(..end).unwrap_or_default();
    core::iter::from_fn(move || {
        // Padding may be anywhere (section 4.1.1).
        while octets.get(at) == Some(&0) {
            at += 1;
        }
        let first = *octets.get(at)?;
        let (id, start, length) = if long {
            (first, at + 2, usize::from(*octets.get(at + 1)?))
        } else {
            (first >> 4, at + 1, usize::from(first & 0x0f) + 1)
        };
        if !long && (id == STOP || id == 0) || start + length > octets.len() {
            at = octets.len();
            return None;
        }
        at = start + length;
        Some((id, Span::new(start, at)))
    })
}

/// Elements to be written, in their order.
#[derive(Clone, Debug, Default)]
pub struct ExtensionWriter<'a>(ArrayVec<(u8, &'a [u8]), { KINDS + 4 }>);

impl<'a> ExtensionWriter<'a> {
    /// One more. Those without an identifier, too long ones ([`ELEMENT_MAX`]), and those for which there is no room are left
    /// out.
    #[inline]
    pub fn push(&mut self, id: Option<u8>, data: &'a [u8]) {
        if let Some(id) = id.filter(|id| *id > 0 && data.len() <= ELEMENT_MAX) {
            let _ = self.0.try_push((id, data));
        }
    }

    /// Whether the one-octet form has room for all of them: each has 1 to 16 octets and an identifier of 1 to 14.
    fn is_short(&self) -> bool {
        self.0.iter().all(|(id, data)| *id <= SHORT_ID_MAX && (1..=SHORT_MAX).contains(&data.len()))
    }

    /// Where the data of element `number` (from 0, at most as many as there are) will be, from the extension's own four octets
    /// on.
    #[inline]
    #[must_use]
    pub fn place(&self, number: usize) -> Span {
        let head = if self.is_short() { 1 } else { 2 };
        let before = self.0.iter().take(number).map(|(_, data)| head + data.len()).sum::<usize>();
        let start = 4 + before + head;
        Span::new(start, start + self.0.get(number).map_or(0, |(_, data)| data.len()))
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the extension with its own four octets, in the shorter form if possible (section 4.1.2 lets forms be mixed where
    /// `extmap-allow-mixed` was agreed). How long it is: zero if there are no elements. Nothing if `out` is too short.
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        if self.0.is_empty() {
            return Some(0);
        }
        let short = self.is_short();
        let mut at = 4;
        for (id, data) in &self.0 {
            if short {
                *out.get_mut(at)? = id << 4 | (data.len() - 1) as u8;
                at += 1;
            } else {
                out.get_mut(at..at + 2)?.copy_from_slice(&[*id, data.len() as u8]);
                at += 2;
            }
            out.get_mut(at..at + data.len())?.copy_from_slice(data);
            at += data.len();
        }
        let end = at.next_multiple_of(4);
        out.get_mut(at..end)?.fill(0);
        let profile = if short { ONE_OCTET } else { TWO_OCTETS };
        out[..2].copy_from_slice(&profile.to_be_bytes());
        out[2..4].copy_from_slice(&((end as u16 - 4) / 4).to_be_bytes());
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn packet(profile: u16, extension: &[u8]) -> Vec<u8> {
        let words = (extension.len() / 4) as u16;
        let head = [0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        [&head[..], &profile.to_be_bytes(), &words.to_be_bytes(), extension, &[7; 5]].concat()
    }

    fn all(packet: &[u8]) -> Vec<(u8, &[u8])> {
        let header = Header::read(packet).expect("RTP");
        elements(packet, &header).map(|(id, span)| (id, span.of(packet))).collect()
    }

    #[test]
    fn both_forms_are_read_with_padding_between_elements() {
        let short = packet(0xbede, &[0x10, 0xaa, 0, 0x31, 1, 2, 0, 0]);
        assert_eq!(all(&short), [(1, &[0xaa][..]), (3, &[1, 2])]);
        let long = packet(0x1005, &[1, 0, 0, 200, 3, 1, 2, 3]);
        assert_eq!(all(&long), [(1, &[][..]), (200, &[1, 2, 3])]);
        assert_eq!(all(&packet(0x2000, &[0x10, 0xaa, 0, 0])), [], "some other form");
    }

    #[test]
    fn identifier_15_ends_the_one_octet_form() {
        assert_eq!(all(&packet(0xbede, &[0x10, 1, 0xf0, 2, 0x20, 3, 0, 0])), [(1, &[1][..])]);
        assert_eq!(all(&packet(0x1000, &[15, 1, 5, 0])), [(15, &[5][..])], "and is one like others in the other form");
    }

    #[test]
    fn an_element_that_runs_out_of_its_block_is_not_there() {
        assert_eq!(all(&packet(0xbede, &[0x10, 1, 0x23, 3])), [(1, &[1][..])]);
        assert_eq!(all(&packet(0x1000, &[1, 1, 1, 9])), [(1, &[1][..])]);
        assert_eq!(all(&packet(0x1000, &[1, 9, 1, 9])), []);
    }

    #[test]
    fn extensions_are_found_by_their_identifiers() {
        let packet = packet(0xbede, &[0x10, 0xaa, 0x31, 1, 2, 0xc0, 9, 0]);
        let header = Header::read(&packet).expect("RTP");
        let ids = ExtensionIds::default().with(Extension::TransportSequence, 3).with(Extension::AudioLevel, 1);
        let found = Extensions::read(&packet, &header, &ids);
        assert_eq!(found.of(&packet, Extension::TransportSequence), Some(&[1, 2][..]));
        assert_eq!(found.of(&packet, Extension::AudioLevel), Some(&[0xaa][..]));
        assert_eq!(found.of(&packet, Extension::Mid), None);
        assert_eq!((ids.id(Extension::AudioLevel), ids.id(Extension::Rid)), (Some(1), None));
    }

    #[test]
    fn what_is_written_is_read_in_the_shortest_form_that_fits() {
        for (elements, profile) in [
            (&[(1_u8, &[1_u8, 2][..]), (14, &[0; 16])][..], 0xbede_u16),
            (&[(1, &[1]), (2, &[0; 17])], 0x1000),
            (&[(15, &[1])], 0x1000),
            (&[(1, &[])], 0x1000),
        ] {
            let mut writer = ExtensionWriter::default();
            elements.iter().for_each(|(id, data)| writer.push(Some(*id), data));
            let mut out = [0xff; 80];
            let length = writer.write(&mut out).expect("room");
            assert_eq!((length % 4, out[..2] == profile.to_be_bytes()), (0, true));
            let packet = packet(profile, &out[4..length]);
            assert_eq!(all(&packet), elements);
            for (number, (_, data)) in elements.iter().enumerate() {
                assert_eq!(writer.place(number).of(&out), *data);
            }
            assert_eq!(writer.write(&mut out[..length - 1]), None, "no room");
        }
        assert_eq!(ExtensionWriter::default().write(&mut []), Some(0));
    }

    #[test]
    fn what_cannot_be_said_is_left_out() {
        let mut writer = ExtensionWriter::default();
        writer.push(None, &[1]);
        writer.push(Some(0), &[1]);
        writer.push(Some(1), &[0; 256]);
        assert_eq!(writer.write(&mut [0; 300]), Some(0));
    }

    #[test]
    fn every_extension_is_found_by_its_uri() {
        assert!(Extension::ALL.into_iter().all(|extension| Extension::of_uri(extension.uri()) == Some(extension)));
        assert!(Extension::ALL.into_iter().enumerate().all(|(at, extension)| extension as usize == at));
        assert_eq!(Extension::of_uri("urn:x"), None);
    }
}
