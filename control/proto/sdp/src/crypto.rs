//! Keys in signalling: `a=crypto` (RFC 4568, RFC 6188, RFC 7714 section 14).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sdp_types::SrtpSessionParam;
use zeroize::{Zeroize, Zeroizing};

/// Padding may be there or not: both are sent for keys whose length is no multiple of three.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false),
);
const PADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_encode_padding(true));

/// SRTP crypto suites that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 section 6.2.1).
    AesCm128Sha1Tag80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 section 6.2.2).
    AesCm128Sha1Tag32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188).
    AesCm256Sha1Tag80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188).
    AesCm256Sha1Tag32,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AesGcm128,
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AesGcm256,
}

impl Suite {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 6] = [
        Self::AesGcm256,
        Self::AesGcm128,
        Self::AesCm256Sha1Tag80,
        Self::AesCm256Sha1Tag32,
        Self::AesCm128Sha1Tag80,
        Self::AesCm128Sha1Tag32,
    ];

    /// By its registered name, in any case; also `AES_CM_256_...`, which some write.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let other = name.to_ascii_uppercase().replace("AES_CM_256", "AES_256_CM");
        Self::ALL.into_iter().find(|suite| suite.name() == other)
    }

    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256Sha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256Sha1Tag32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AesGcm128 => "AEAD_AES_128_GCM",
            Self::AesGcm256 => "AEAD_AES_256_GCM",
        }
    }

    /// Octets of the master key.
    #[must_use]
    pub const fn key_octets(self) -> usize {
        match self {
            Self::AesCm128Sha1Tag80 | Self::AesCm128Sha1Tag32 | Self::AesGcm128 => 16,
            Self::AesCm256Sha1Tag80 | Self::AesCm256Sha1Tag32 | Self::AesGcm256 => 32,
        }
    }

    /// Octets of the master salt.
    #[must_use]
    pub const fn salt_octets(self) -> usize {
        match self {
            Self::AesGcm128 | Self::AesGcm256 => 12,
            _ => 14,
        }
    }
}

/// Master key and master salt, one after the other. Cleared when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial(Zeroizing<Vec<u8>>);

impl KeyMaterial {
    /// Of octets of the length that the suite has; None if they have another.
    #[must_use]
    pub fn new(suite: Suite, octets: &[u8]) -> Option<Self> {
        (octets.len() == suite.key_octets() + suite.salt_octets()).then(|| Self(Zeroizing::new(octets.to_vec())))
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaterial(***)")
    }
}

/// One `a=crypto` line with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Its number in the m-line.
    pub tag: u32,
    /// Suite.
    pub suite: Suite,
    /// Key and salt of who says it: what that side sends with.
    pub material: KeyMaterial,
    /// Master key identifier and its octets in packets (at most 4: what [`u32`] holds).
    pub mki: Option<(u32, u8)>,
}

impl Crypto {
    /// Reads what is after `a=crypto:`. None for a suite that is not known, several keys, a key of another length, or a
    /// session parameter that changes what packets look like: RFC 4568 section 6.3 wants such a line not to be chosen.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut read: sdp_types::attributes::Crypto = value.trim().parse().ok()?;
        let parsed = Self::of(&read);
        read.key_params.iter_mut().for_each(|key| key.key_and_salt.zeroize());
        parsed
    }

    fn of(read: &sdp_types::attributes::Crypto) -> Option<Self> {
        let [key] = &read.key_params[..] else { return None };
        let suite = Suite::of(read.crypto_suite.as_str())?;
        let octets = Zeroizing::new(LENIENT.decode(&key.key_and_salt).ok()?);
        let mki = match key.mki_and_length {
            None => None,
            Some((value, octets @ 1..=4)) => Some((value, octets as u8)),
            Some(_) => return None,
        };
        let is_harmless = |parameter: &SrtpSessionParam| match parameter {
            SrtpSessionParam::Wsh(_) | SrtpSessionParam::Kdr(0) => true,
            SrtpSessionParam::Extension(text) => text.starts_with('-') || text.is_empty(),
            _ => false,
        };
        let is_sound = read.session_params.iter().all(is_harmless);
        let material = KeyMaterial::new(suite, &octets).filter(|_| is_sound)?;
        Some(Self { tag: read.tag, suite, material, mki })
    }

    /// What stands after `a=crypto:`. With `pad` the key has base64 padding (RFC 4648 section 3.2).
    #[must_use]
    pub fn value(&self, pad: bool) -> String {
        let engine = if pad { &PADDED } else { &LENIENT };
        let key = Zeroizing::new(engine.encode(self.material.octets()));
        let mki = self.mki.map(|(value, octets)| format!("|{value}:{octets}")).unwrap_or_default();
        format!("{} {} inline:{}{mki}", self.tag, self.suite.name(), *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn a_line_of_rfc4568_is_read_and_written() {
        let crypto = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP"));
        assert_eq!(crypto, None, "the order of FEC changes packets");
        let crypto = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4")).unwrap();
        assert_eq!((crypto.tag, crypto.suite, crypto.mki), (1, Suite::AesCm128Sha1Tag80, Some((1, 4))));
        assert_eq!(crypto.material.octets().len(), 30);
        assert_eq!(crypto.value(true), format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4"));
    }

    #[test]
    fn padding_may_be_there_or_not() {
        let material = KeyMaterial::new(Suite::AesCm256Sha1Tag80, &[9; 46]).unwrap();
        let crypto = Crypto { tag: 7, suite: Suite::AesCm256Sha1Tag80, material, mki: None };
        assert!(crypto.value(true).ends_with("=="));
        assert!(!crypto.value(false).ends_with('='));
        for pad in [true, false] {
            assert_eq!(Crypto::parse(&crypto.value(pad)), Some(crypto.clone()));
        }
    }

    #[test]
    fn every_suite_comes_back_and_wants_its_length() {
        for suite in Suite::ALL {
            let octets = vec![1; suite.key_octets() + suite.salt_octets()];
            let material = KeyMaterial::new(suite, &octets).unwrap();
            let crypto = Crypto { tag: 1, suite, material, mki: None };
            assert_eq!(Crypto::parse(&crypto.value(true)), Some(crypto));
            assert_eq!(KeyMaterial::new(suite, &octets[1..]), None);
        }
        assert_eq!(Suite::of("aes_cm_256_hmac_sha1_80"), Some(Suite::AesCm256Sha1Tag80));
    }

    #[test]
    fn lines_that_ask_for_other_packets_are_not_chosen() {
        for end in
            [" UNENCRYPTED_SRTP", " UNENCRYPTED_SRTCP", " UNAUTHENTICATED_SRTP", " KDR=3", " NEW_THING", "|2^20|1:8"]
        {
            assert_eq!(Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{end}")), None, "{end}");
        }
        for end in [" WSH=128", " KDR=0", " -HINT=1"] {
            assert!(Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{end}")).is_some(), "{end}");
        }
        assert_eq!(Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}")), None, "two keys");
        assert_eq!(Crypto::parse("1 F8_128_HMAC_SHA1_80 inline:AAAA"), None);
    }

    #[test]
    fn a_key_is_never_shown() {
        let crypto = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")).unwrap();
        assert!(format!("{crypto:?}").contains("***"));
        assert!(!format!("{crypto:?}").contains("89"), "the first octet in decimal");
    }
}
