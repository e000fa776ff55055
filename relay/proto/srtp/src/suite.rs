//! Crypto suites.

use std::fmt;

use crate::limits;

/// What packets are encrypted and authenticated with (RFC 4568 section 6.2, RFC 6188, RFC 7714).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: what every SRTP endpoint has.
    Aes128CmSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: a short tag on SRTP, the long one on SRTCP.
    Aes128CmSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80`.
    Aes256CmSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32`.
    Aes256CmSha1_32,
    /// `AEAD_AES_128_GCM`.
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM`.
    AeadAes256Gcm,
}

/// What kind of packet: SRTP and SRTCP have keys, tags and indexes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RTP or SRTP.
    Rtp,
    /// RTCP or SRTCP.
    Rtcp,
}

impl Kind {
    /// What a datagram is whose first octet is from 128 to 191 (RFC 7983), by the payload type field (RFC 5761 section 4);
    /// nothing if it is neither.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match *datagram {
            [128..=191, 192..=223, ..] => Some(Self::Rtcp),
            [128..=191, _, ..] => Some(Self::Rtp),
            _ => None,
        }
    }
}

/// A row of the table of suites.
struct Row {
    suite: Suite,
    /// As in an `a=crypto` line.
    name: &'static str,
    /// Octets of the master key, and of the session key of the cipher.
    key: usize,
    /// Octets of the master salt.
    salt: usize,
    /// Octets of the tag of SRTP.
    rtp_tag: usize,
    /// Octets of the tag of SRTCP.
    rtcp_tag: usize,
    /// DTLS-SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2). AES-256-CM never got one.
    profile: Option<u16>,
}

const ROWS: [Row; 6] = [
    row(Suite::Aes128CmSha1_80, "AES_CM_128_HMAC_SHA1_80", [16, 14, 10, 10], Some(1)),
    row(Suite::Aes128CmSha1_32, "AES_CM_128_HMAC_SHA1_32", [16, 14, 4, 10], Some(2)),
    row(Suite::Aes256CmSha1_80, "AES_256_CM_HMAC_SHA1_80", [32, 14, 10, 10], None),
    row(Suite::Aes256CmSha1_32, "AES_256_CM_HMAC_SHA1_32", [32, 14, 4, 10], None),
    row(Suite::AeadAes128Gcm, "AEAD_AES_128_GCM", [16, 12, 16, 16], Some(7)),
    row(Suite::AeadAes256Gcm, "AEAD_AES_256_GCM", [32, 12, 16, 16], Some(8)),
];

const fn row(suite: Suite, name: &'static str, octets: [usize; 4], profile: Option<u16>) -> Row {
    let [key, salt, rtp_tag, rtcp_tag] = octets;
    Row { suite, name, key, salt, rtp_tag, rtcp_tag, profile }
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Aes128CmSha1_80,
        Self::Aes128CmSha1_32,
        Self::Aes256CmSha1_80,
        Self::Aes256CmSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The suite that an `a=crypto` line names; case counts (RFC 4568 section 9.2).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.suite)
    }

    /// The suite of a DTLS-SRTP protection profile.
    #[must_use]
    pub fn from_profile(profile: u16) -> Option<Self> {
        ROWS.iter().find(|row| row.profile == Some(profile)).map(|row| row.suite)
    }

    /// As an `a=crypto` line names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Its DTLS-SRTP protection profile, if it has one.
    #[must_use]
    pub const fn profile(self) -> Option<u16> {
        self.row().profile
    }

    /// Octets of its master key.
    #[must_use]
    pub const fn key_octets(self) -> usize {
        self.row().key
    }

    /// Octets of its master salt.
    #[must_use]
    pub const fn salt_octets(self) -> usize {
        self.row().salt
    }

    /// Octets of the authentication tag.
    #[must_use]
    pub const fn tag_octets(self, kind: Kind) -> usize {
        match kind {
            Kind::Rtp => self.row().rtp_tag,
            Kind::Rtcp => self.row().rtcp_tag,
        }
    }

    /// Octets that protection appends to a packet, without a master key identifier.
    #[must_use]
    pub const fn overhead(self, kind: Kind) -> usize {
        match kind {
            Kind::Rtp => self.tag_octets(kind),
            Kind::Rtcp => self.tag_octets(kind) + 4,
        }
    }

    /// Whether it is one of AES-GCM: there the tag stands before the SRTCP index and the master key identifier (RFC 7714
    /// sections 8.2 and 9.2), and nothing is computed side by side.
    #[must_use]
    pub const fn is_gcm(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const _: () = {
    let mut number = 0;
    while number < ROWS.len() {
        let row = &ROWS[number];
        assert!(row.suite as usize == number, "a suite is the index of its row");
        assert!(row.rtp_tag >= 4, "the rollover counter is put where the tag will be");
        assert!(row.rtcp_tag + 4 + limits::MKI_MAX <= limits::OVERHEAD_MAX);
        number += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_profiles_lead_back_to_their_suite() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(suite.name()), Some(suite));
            assert!(suite.profile().is_none_or(|profile| Suite::from_profile(profile) == Some(suite)));
        }
        assert_eq!(Suite::from_name("aes_cm_128_hmac_sha1_80"), None, "case counts");
        assert_eq!(Suite::from_name("F8_128_HMAC_SHA1_80"), None);
        assert_eq!(Suite::from_profile(5), None, "NULL_HMAC_SHA1_80");
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_the_payload_type_field() {
        assert_eq!(Kind::of(&[0x80, 200]), Some(Kind::Rtcp));
        assert_eq!(Kind::of(&[0x81, 0x80 | 96]), Some(Kind::Rtp), "a marked packet of payload type 96");
        assert_eq!(Kind::of(&[0xbf, 191]), Some(Kind::Rtp));
        assert_eq!(Kind::of(&[0x80, 223]), Some(Kind::Rtcp));
        assert_eq!(Kind::of(&[0x16, 200]), None, "DTLS");
        assert_eq!(Kind::of(&[0x80]), None);
    }
}
