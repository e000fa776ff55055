//! H.264 payloads (RFC 6184 section 5): which frames are key frames.

/// NAL unit types (ITU-T H.264 table 7-1, RFC 6184 table 1).
const IDR: u8 = 5;
const SEQUENCE: u8 = 7;
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const FU_A: u8 = 28;
const FU_B: u8 = 29;
const TYPE: u8 = 0x1f;
/// In the second octet of a fragment: it begins its NAL unit.
const START: u8 = 0x80;

/// What a packet holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H264 {
    /// A sequence parameter set, which stands before a key frame.
    pub parameters: bool,
    /// The beginning of a slice of a key frame (IDR).
    pub key: bool,
}

impl H264 {
    /// Reads the beginning of a payload. Nothing if it is cut short.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        match payload.first()? & TYPE {
            STAP_A => Self::aggregate(payload, 1),
            STAP_B => Self::aggregate(payload, 3),
            FU_A | FU_B => {
                let second = *payload.get(1)?;
                Some(if second & START == 0 { Self::default() } else { Self::unit(second & TYPE) })
            }
            unit => Some(Self::unit(unit)),
        }
    }

    const fn unit(unit: u8) -> Self {
        Self { parameters: unit == SEQUENCE, key: unit == IDR }
    }

    /// Several units, each behind its length. What is behind the last whole one is not looked at.
    fn aggregate(payload: &[u8], mut at: usize) -> Option<Self> {
        let mut all = Self::default();
        while let Some(&[high, low, unit]) = payload.get(at..).and_then(|rest| rest.first_chunk()) {
            let Self { parameters, key } = Self::unit(unit & TYPE);
            all = Self { parameters: all.parameters || parameters, key: all.key || key };
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
        (payload.len() > 3).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: H264 = H264 { parameters: false, key: false };

    #[test]
    fn key_frames_are_found_whole_in_fragments_and_among_others() {
        assert_eq!(H264::read(&[0x65, 1]), Some(H264 { parameters: false, key: true }));
        assert_eq!(H264::read(&[0x67, 1]), Some(H264 { parameters: true, key: false }));
        assert_eq!(H264::read(&[0x41, 1]), Some(NONE));
        assert_eq!(H264::read(&[0x7c, 0x85]), Some(H264 { parameters: false, key: true }));
        assert_eq!(H264::read(&[0x7c, 0x05]), Some(NONE), "a later fragment");
        let aggregate = [0x78, 0, 2, 0x67, 0, 0, 1, 0x68, 0, 2, 0x65, 9];
        assert_eq!(H264::read(&aggregate), Some(H264 { parameters: true, key: true }));
    }

    #[test]
    fn what_is_cut_short_is_refused_or_read_as_far_as_it_goes() {
        assert_eq!(H264::read(&[]), None);
        assert_eq!(H264::read(&[0x7c]), None);
        assert_eq!(H264::read(&[0x78, 0, 2]), None);
        assert_eq!(H264::read(&[0x78, 0xff, 0xff, 0x67]), Some(H264 { parameters: true, key: false }));
    }
}
