//! Figures within the template.

use askama::{Result, Values};

use crate::words;

/// A number with its thousands apart.
#[askama::filter_fn]
pub fn number(number: &u64, _: &dyn Values) -> Result<String> {
    Ok(words::count(*number))
}

/// A share in percent.
#[askama::filter_fn]
pub fn share(share: &f64, _: &dyn Values) -> Result<String> {
    Ok(words::percent(*share))
}

/// Milliseconds.
#[askama::filter_fn]
pub fn millis(ms: &f64, _: &dyn Values) -> Result<String> {
    Ok(words::ms(*ms))
}
