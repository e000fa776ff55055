//! Key parameters of an `a=crypto` line (RFC 4568 sections 6.1 and 9.2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::limits;
use crate::master::MasterKey;
use crate::suite::Suite;

/// Some senders leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why key parameters cannot be used. None of these shows the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdesError {
    /// Not `inline:`, the only method there is.
    #[error("key parameters must begin with \"inline:\"")]
    Method,
    /// Longer than [`limits::INLINE_MAX`].
    #[error("key parameters of more than {max} characters", max = limits::INLINE_MAX)]
    Long,
    /// Several master keys in one line.
    #[error("several master keys in one crypto attribute are not supported")]
    Several,
    /// Key and salt are not base64.
    #[error("the key is not base64")]
    Base64,
    /// Key and salt together are not as long as the suite asks for.
    #[error("key and salt of {suite} have {expected} octets together, not {found}")]
    Octets {
        /// Name of the suite.
        suite: &'static str,
        /// Octets it asks for.
        expected: usize,
        /// Octets that came.
        found: usize,
    },
    /// The lifetime is not a decimal number or a power of two up to 2^48, or is zero.
    #[error("the key lifetime must be a number of packets from 1 to 2^48, such as 2^31")]
    Lifetime,
    /// The master key identifier is not `value:length` with a length from 1 to 128 that the value fits.
    #[error("the master key identifier must be value:length, with a length from 1 to 128 octets that holds the value")]
    Identifier,
    /// Something after lifetime and identifier.
    #[error("unknown key parameters after the key")]
    Unknown,
}

/// The master key of `inline:KEY[|LIFETIME][|MKI:LENGTH]`.
///
/// # Errors
/// What about it cannot be used.
pub fn parse(suite: Suite, parameters: &str) -> Result<MasterKey, SdesError> {
    if parameters.len() > limits::INLINE_MAX {
        return Err(SdesError::Long);
    }
    if parameters.contains(';') {
        return Err(SdesError::Several);
    }
    let (method, information) = parameters.split_once(':').ok_or(SdesError::Method)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(SdesError::Method);
    }
    let mut parts = information.split('|');
    let master = key(suite, parts.next().unwrap_or_default())?;
    let (mut lifetime, mut mki) = (None, None);
    for part in parts {
        match part.split_once(':') {
            Some((value, octets)) if mki.is_none() => mki = Some(identifier(value, octets)?),
            None if lifetime.is_none() && mki.is_none() => lifetime = Some(packets(part)?),
            _ => return Err(SdesError::Unknown),
        }
    }
    let master = if let Some(packets) = lifetime { master.with_lifetime(packets) } else { master };
    master.with_mki(mki.as_deref().unwrap_or_default()).map_err(|_| SdesError::Identifier)
}

/// The key parameters that [`parse`] reads as this key.
#[must_use]
pub fn write(master: &MasterKey) -> Zeroizing<String> {
    let secret = Zeroizing::new([master.key(), master.salt()].concat());
    let mut text = Zeroizing::new(String::with_capacity(limits::INLINE_MAX));
    text.push_str("inline:");
    BASE64.encode_string(&*secret, &mut text);
    if let Some(packets) = master.lifetime {
        text.push('|');
        text.push_str(&packets.to_string());
    }
    if !master.mki().is_empty() {
        text.push('|');
        text.push_str(&decimal(master.mki()));
        text.push(':');
        text.push_str(&master.mki().len().to_string());
    }
    text
}

fn key(suite: Suite, text: &str) -> Result<MasterKey, SdesError> {
    let secret = BASE64.decode(text).map(Zeroizing::new).map_err(|_| SdesError::Base64)?;
    let expected = suite.key_octets() + suite.salt_octets();
    if secret.len() != expected {
        return Err(SdesError::Octets { suite: suite.name(), expected, found: secret.len() });
    }
    let (key, salt) = secret.split_at(suite.key_octets());
    MasterKey::new(suite, key, salt).map_err(|error: KeyError| {
        debug_assert!(false, "lengths were checked: {error}");
        SdesError::Base64
    })
}

/// `2^31` or `2147483648`.
fn packets(text: &str) -> Result<u64, SdesError> {
    let number = |digits: &str| {
        let decimal = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
        decimal.then(|| digits.parse::<u64>().ok()).flatten()
    };
    let packets = match text.strip_prefix("2^") {
        Some(power) => number(power).and_then(|power| 1_u64.checked_shl(u32::try_from(power).ok()?)),
        None => number(text),
    };
    packets.filter(|packets| (1..=limits::RTP_PACKETS_MAX).contains(packets)).ok_or(SdesError::Lifetime)
}

/// The identifier as it stands in packets: a decimal number of any size, big-endian in that many octets.
fn identifier(value: &str, octets: &str) -> Result<Vec<u8>, SdesError> {
    let octets: usize = octets.parse().map_err(|_| SdesError::Identifier)?;
    if !(1..=limits::MKI_MAX).contains(&octets) || value.is_empty() {
        return Err(SdesError::Identifier);
    }
    let mut mki = vec![0; octets];
    for digit in value.bytes() {
        let mut carry = match digit {
            b'0'..=b'9' => u32::from(digit - b'0'),
            _ => return Err(SdesError::Identifier),
        };
        for octet in mki.iter_mut().rev() {
            let value = u32::from(*octet) * 10 + carry;
            *octet = value as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            return Err(SdesError::Identifier);
        }
    }
    Ok(mki)
}

/// A big-endian number in decimal.
fn decimal(octets: &[u8]) -> String {
    let mut number = octets.to_vec();
    let mut digits = Vec::new();
    while number.iter().any(|octet| *octet > 0) {
        let mut rest = 0;
        for octet in &mut number {
            let value = rest << 8 | u32::from(*octet);
            *octet = (value / 10) as u8;
            rest = value % 10;
        }
        digits.push(char::from(b'0' + rest as u8));
    }
    if digits.is_empty() { "0".to_owned() } else { digits.iter().rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn parsed(rest: &str) -> Result<MasterKey, SdesError> {
        parse(Suite::Aes128CmSha1_80, &format!("{KEY}{rest}"))
    }

    #[test]
    fn the_line_of_rfc_4568_section_6_1_is_read() {
        let master = parsed("|2^20|1:4").unwrap();
        assert_eq!(master.key(), b"wDfvg&T+)xG7@fb5");
        assert_eq!(master.salt(), b"jU,RaA}\\|p0%*#");
        assert_eq!((master.lifetime, master.mki()), (Some(1 << 20), &[0, 0, 0, 1][..]));
    }

    #[test]
    fn lifetime_and_identifier_may_each_be_left_out() {
        assert_eq!(parsed("").unwrap().lifetime, None);
        assert_eq!(parsed("|1000").unwrap().lifetime, Some(1000));
        let master = parsed("|66051:3").unwrap();
        assert_eq!((master.lifetime, master.mki()), (None, &[1, 2, 3][..]));
    }

    #[test]
    fn padding_may_be_missing() {
        let text = write(&MasterKey::new(Suite::AeadAes128Gcm, &[1; 16], &[2; 12]).unwrap());
        assert!(text.ends_with("=="), "28 octets are padded");
        let master = parse(Suite::AeadAes128Gcm, text.trim_end_matches('=')).unwrap();
        assert_eq!((master.key(), master.salt()), (&[1; 16][..], &[2; 12][..]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |rest: &str| parsed(rest).unwrap_err();
        assert_eq!(parse(Suite::Aes128CmSha1_80, "outline:abc"), Err(SdesError::Method));
        assert_eq!(parse(Suite::Aes128CmSha1_80, "inline:a b"), Err(SdesError::Base64));
        assert_eq!(parse(Suite::Aes128CmSha1_80, &"x".repeat(513)), Err(SdesError::Long));
        let octets = parse(Suite::Aes256CmSha1_80, KEY).unwrap_err();
        assert_eq!(octets.to_string(), "key and salt of AES_256_CM_HMAC_SHA1_80 have 46 octets together, not 30");
        assert_eq!(wrong(";inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2:1"), SdesError::Several);
        for lifetime in ["|0", "|2^49", "|2^", "|-1", "|+1", "|2^64", "|", "|99999999999999999999"] {
            assert_eq!(wrong(lifetime), SdesError::Lifetime, "{lifetime}");
        }
        for mki in ["|1:0", "|1:129", "|256:1", "|:1", "|a:1", "|1:a"] {
            assert_eq!(wrong(mki), SdesError::Identifier, "{mki}");
        }
        for unknown in ["|1:1|2^20", "|5|6", "|1:1|1:1"] {
            assert_eq!(wrong(unknown), SdesError::Unknown, "{unknown}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for suite in Suite::ALL {
            let (key, salt) = ([7; 32], [9; 14]);
            let master = MasterKey::new(suite, &key[..suite.key_octets()], &salt[..suite.salt_octets()]).unwrap();
            for mki in [&[][..], &[0], &[1, 0, 255], &[255; 128]] {
                let master = master.clone().with_mki(mki).unwrap().with_lifetime(12);
                assert_eq!(parse(suite, &write(&master)).unwrap(), master);
            }
        }
    }
}
