//! The AV1 aggregation header (RTP Payload Format For AV1 section 4.4).

const Z: u8 = 0x80;
const Y: u8 = 0x40;
const N: u8 = 0x08;

/// What a packet says of the open bitstream units in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Av1 {
    /// The first unit began in the packet before (Z).
    pub continues: bool,
    /// The last unit goes on in the next packet (Y).
    pub continued: bool,
    /// The first packet of a coded video sequence: it begins a key frame (N).
    pub key: bool,
}

impl Av1 {
    /// Reads the first octet of a payload. Nothing if there is none, or it says that what begins goes on (section 4.4, note).
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let read = Self { continues: first & Z != 0, continued: first & Y != 0, key: first & N != 0 };
        (!read.key || !read.continues).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_sequence_begins_no_unit_that_goes_on() {
        assert_eq!(Av1::read(&[0x58]), Some(Av1 { continues: false, continued: true, key: true }));
        assert_eq!(Av1::read(&[0x90]), Some(Av1 { continues: true, continued: false, key: false }));
        assert_eq!(Av1::read(&[0x88]), None);
        assert_eq!(Av1::read(&[]), None);
    }
}
