//! Fuzz entry.

use crate::fragment::Fragment;
use crate::http::{Change, EntityTag};
use crate::limits;
use crate::signal::FromClient;
use crate::token::Keys;

/// A message, a fragment and a token: nothing panics, and what was read is within the limits.
pub fn fuzz(data: &[u8]) {
    if let Ok(fragment) = Fragment::read(data) {
        assert!(fragment.candidates.len() <= limits::CANDIDATES_MAX);
        assert!(fragment.candidates.iter().all(|candidate| candidate.text.len() <= limits::CANDIDATE_MAX));
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = FromClient::read(text);
        assert!(Keys::default().verify(text, raceway_units::UnixTime(0)).is_err(), "no key, no grant");
        let _ = Change::read(Some(text), EntityTag::from_random(1), "user", data);
    }
}
