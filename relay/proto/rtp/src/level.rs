//! Level of the audio in a packet (RFC 6464 section 3).

/// How loud it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// The sender takes it for voice.
    pub voice: bool,
    /// Decibels below the loudest that there is (-dBov): 0 is loudest, 127 is silence.
    pub below_loudest: u8,
}

impl AudioLevel {
    /// Reads the data of the extension, of either form: the first octet.
    #[inline]
    #[must_use]
    pub const fn read(data: &[u8]) -> Option<Self> {
        match *data {
            [octet, ..] => Some(Self { voice: octet & 0x80 != 0, below_loudest: octet & 0x7f }),
            [] => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bit_is_voice() {
        assert_eq!(AudioLevel::read(&[0x9e, 0]), Some(AudioLevel { voice: true, below_loudest: 30 }));
        assert_eq!(AudioLevel::read(&[0x7f]), Some(AudioLevel { voice: false, below_loudest: 127 }));
        assert_eq!(AudioLevel::read(&[]), None);
    }
}
