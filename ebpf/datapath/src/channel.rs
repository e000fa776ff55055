//! ChannelData framing (RFC 8656 section 12.4) and what a first octet means (RFC 7983).

/// Octets of a ChannelData header.
pub const CHANNEL_DATA_OCTETS: usize = 4;

/// What a datagram on a port of ours is, by its first octet (RFC 7983 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// STUN: 0 to 3.
    Stun,
    /// ChannelData: 64 to 79 (RFC 7983), and up to 127: clients made for RFC 5766, such as coturn's own, choose from
    /// 0x4000 to 0x7FFF, and RFC 7983 assigns 80 to 127 to nothing else.
    ChannelData,
    /// DTLS: 20 to 63.
    Dtls,
    /// RTP and RTCP, secured or not: 128 to 191.
    Media,
    /// What is not assigned, or to nothing that anybody sends here.
    Other,
}

impl Protocol {
    /// By the first octet.
    #[inline(always)]
    #[must_use]
    pub const fn of(first_octet: u8) -> Self {
        match first_octet {
            0..=3 => Self::Stun,
            20..=63 => Self::Dtls,
            64..=127 => Self::ChannelData,
            128..=191 => Self::Media,
            _ => Self::Other,
        }
    }

    /// Whether application data of so many octets, of which this is the first, is RTP or RTCP.
    #[inline(always)]
    #[must_use]
    pub const fn is_media(first_octet: u8, octets: usize) -> bool {
        octets != 0 && first_octet & 0xc0 == 0x80
    }
}

/// A ChannelData header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelHeader {
    /// Channel number; 0x4000 to 0x7FFF when the first octet says ChannelData.
    pub channel: u16,
    /// Octets of application data that follow, without padding.
    pub octets: u16,
}

impl ChannelHeader {
    /// From its octets, read in little-endian order.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self { channel: (word as u16).swap_bytes(), octets: ((word >> 16) as u16).swap_bytes() }
    }

    /// Its octets, read in little-endian order.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u32 {
        self.channel.swap_bytes() as u32 | (self.octets.swap_bytes() as u32) << 16
    }

    /// Splits a UDP payload into header and application data; padding, which RFC 8656 section 12.5 allows over
    /// UDP too, is left out. Nothing when the length field reaches beyond the datagram.
    #[inline]
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = payload.split_first_chunk()?;
        let header = Self::from_word(u32::from_le_bytes(*header));
        Some((header, rest.get(..usize::from(header.octets))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let header = ChannelHeader { channel: 0x4001, octets: 5 };
        assert_eq!(header.word().to_le_bytes(), [0x40, 0x01, 0, 5]);
        assert_eq!(ChannelHeader::from_word(header.word()), header);
    }

    #[test]
    fn data_ends_where_its_length_says() {
        let header = ChannelHeader { channel: 0x4001, octets: 2 };
        assert_eq!(ChannelHeader::split(b"\x40\x01\x00\x02ab\0\0"), Some((header, &b"ab"[..])));
        assert_eq!(ChannelHeader::split(b"\x40\x01\x00\x02a"), None);
        assert_eq!(ChannelHeader::split(b"\x40\x01\x00"), None);
    }

    #[test]
    fn first_octets_are_those_of_rfc_7983_and_of_rfc_5766_for_channels() {
        for octet in 0..=u8::MAX {
            let protocol = match octet {
                0..=3 => Protocol::Stun,
                20..=63 => Protocol::Dtls,
                64..=127 => Protocol::ChannelData,
                128..=191 => Protocol::Media,
                _ => Protocol::Other,
            };
            assert_eq!(Protocol::of(octet), protocol, "{octet}");
            assert_eq!(Protocol::is_media(octet, 1), protocol == Protocol::Media, "{octet}");
            assert!(!Protocol::is_media(octet, 0));
        }
    }
}
