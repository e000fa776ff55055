//! What happens once, before anything is served.

pub mod account;
pub mod addresses;
pub mod credentials;
pub mod directories;
pub mod file;
pub mod greeting;
pub mod machine;
