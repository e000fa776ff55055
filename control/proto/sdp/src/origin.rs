//! The o-line (RFC 8866 section 5.2).

use std::net::IpAddr;

/// Who made a description, and which version of it this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// User name; `-` of who has none.
    pub username: String,
    /// Session number, kept as text since some write more digits than any number type has.
    pub session: String,
    /// Version, kept as text likewise.
    pub version: String,
    /// `IN IP4 192.0.2.1` as it came.
    pub address: String,
}

impl Origin {
    /// Reads the value of an o-line; None unless it has its six fields.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        let [username, session, version, network, kind, address] = words[..] else { return None };
        let owned = str::to_owned;
        let address = format!("{network} {kind} {address}");
        Some(Self { username: owned(username), session: owned(session), version: owned(version), address })
    }

    /// Puts another address in.
    pub fn set_ip(&mut self, ip: IpAddr) {
        self.address = crate::address::write(ip);
    }

    /// Version as a number, if it is one of 64 bits.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.username, self.session, self.version, self.address)
    }
}
