//! Signatures of what a node tells others by itself, so that they know who says it and when.

use core::fmt;
use core::fmt::Write;

use aws_lc_rs::hmac;
use raceway_units::UnixTime;

/// The value of `Raceway-Signature`: `t=SECONDS,v1=HEX`.
///
/// `HEX` is HMAC-SHA256 over `SECONDS.BODY`: whoever checks it also sees that it is not an old one played again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(String);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The signature of `body` by `secret` at `now`.
#[must_use]
pub fn signed(secret: &[u8], now: UnixTime, body: &[u8]) -> Signature {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(now.0.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = format!("t={},v1=", now.0);
    for octet in context.sign().as_ref() {
        write!(text, "{octet:02x}").expect("a string takes all");
    }
    Signature(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_the_time_too() {
        // printf '1700000000.{"event":"joined"}' | openssl dgst -sha256 -hmac secret
        let signature = signed(b"secret", UnixTime(1_700_000_000), br#"{"event":"joined"}"#).to_string();
        assert_eq!(signature, EXPECTED);
        assert_ne!(signature, signed(b"secret", UnixTime(1_700_000_001), br#"{"event":"joined"}"#).to_string());
    }

    const EXPECTED: &str = "t=1700000000,v1=15761c5924deca9fa2fec3b0ee7e941b847609e74cec9868aef347f84f0ee944";
}
