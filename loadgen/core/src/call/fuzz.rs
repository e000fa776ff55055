//! Anything may come from a relay.

use super::description::{Party, Told};
use super::message::{Reply, read, reply};

/// Reads `data` as an answer, and as a description.
///
/// # Panics
/// What was read is not what it should be.
pub fn fuzz(data: &[u8]) {
    if let Some((cookie, said)) = reply(data) {
        assert!(!cookie.contains(&b' '));
        if let Reply::Refused(reason) = said {
            assert!(reason.chars().count() <= 120);
        }
    }
    let _ = read(data);
    let party = Party { media: ([127, 0, 0, 1], 9).into(), key: None };
    if let Ok(told) = Told::read(data, &party) {
        assert!(!told.to.ip().is_unspecified() && told.key.is_none());
    }
}
