//! The long-term credential mechanism (RFC 8489 section 9.2).

mod credentials;
mod key;
mod nonce;

pub(crate) use credentials::{Credentials, Identity, quota_name};
pub use key::verify_integrity;
pub(crate) use key::{IntegrityKind, Key, PasswordAlgorithm, set_length};
pub use nonce::NonceKey;
pub(crate) use nonce::{Nonces, Offer, Worth, lists_password_algorithms};
