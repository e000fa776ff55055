//! What happened, counted: bounded label sets for metrics.

/// Methods that are answered.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// RFC 8489 section 3.
    Binding,
    /// RFC 8656 section 7.
    Allocate,
    /// RFC 8656 section 8.
    Refresh,
    /// RFC 8656 section 10.
    CreatePermission,
    /// RFC 8656 section 12.
    ChannelBind,
}

impl Method {
    /// All, in counter order.
    pub const ALL: [Self; 5] =
        [Self::Binding, Self::Allocate, Self::Refresh, Self::CreatePermission, Self::ChannelBind];

    /// Metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Allocate => "allocate",
            Self::Refresh => "refresh",
            Self::CreatePermission => "create_permission",
            Self::ChannelBind => "channel_bind",
        }
    }

    /// The method number (RFC 8489 section 18.2, RFC 8656 section 17), if it is one that is answered.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0x001 => Some(Self::Binding),
            0x003 => Some(Self::Allocate),
            0x004 => Some(Self::Refresh),
            0x008 => Some(Self::CreatePermission),
            0x009 => Some(Self::ChannelBind),
            _ => None,
        }
    }

    /// The method number.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
        }
    }
}

/// How a request was answered.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a success response.
    Success,
    /// With an error response.
    Refused(Refusal),
}

/// Error codes that the server answers with (RFC 8489 section 14.8, RFC 8656 section 19).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400
    BadRequest,
    /// 401
    Unauthenticated,
    /// 403
    Forbidden,
    /// 420
    UnknownAttribute,
    /// 437
    AllocationMismatch,
    /// 438
    StaleNonce,
    /// 440
    AddressFamilyNotSupported,
    /// 441
    WrongCredentials,
    /// 442
    UnsupportedTransportProtocol,
    /// 443
    PeerAddressFamilyMismatch,
    /// 486
    AllocationQuotaReached,
    /// 500
    ServerError,
    /// 508
    InsufficientCapacity,
}

impl Refusal {
    /// All, in counter order.
    pub const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::UnknownAttribute,
        Self::AllocationMismatch,
        Self::StaleNonce,
        Self::AddressFamilyNotSupported,
        Self::WrongCredentials,
        Self::UnsupportedTransportProtocol,
        Self::PeerAddressFamilyMismatch,
        Self::AllocationQuotaReached,
        Self::ServerError,
        Self::InsufficientCapacity,
    ];

    /// Code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransportProtocol => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::AllocationQuotaReached => 486,
            Self::ServerError => 500,
            Self::InsufficientCapacity => 508,
        }
    }
}

impl Outcome {
    /// Number of outcomes.
    pub const COUNT: usize = 1 + Refusal::ALL.len();

    /// All, in counter order.
    pub fn all() -> impl Iterator<Item = Self> {
        core::iter::once(Self::Success).chain(Refusal::ALL.into_iter().map(Self::Refused))
    }

    /// Place in the counter array.
    const fn index(self) -> usize {
        match self {
            Self::Success => 0,
            Self::Refused(refusal) => 1 + refusal as usize,
        }
    }

    /// Metric label: `success` or the error code.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused(refusal) => match refusal {
                Refusal::BadRequest => "400",
                Refusal::Unauthenticated => "401",
                Refusal::Forbidden => "403",
                Refusal::UnknownAttribute => "420",
                Refusal::AllocationMismatch => "437",
                Refusal::StaleNonce => "438",
                Refusal::AddressFamilyNotSupported => "440",
                Refusal::WrongCredentials => "441",
                Refusal::UnsupportedTransportProtocol => "442",
                Refusal::PeerAddressFamilyMismatch => "443",
                Refusal::AllocationQuotaReached => "486",
                Refusal::ServerError => "500",
                Refusal::InsufficientCapacity => "508",
            },
        }
    }
}

/// Why a datagram was not answered at all.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Not a well-formed STUN message (RFC 8489 section 6.3).
    Malformed,
    /// FINGERPRINT does not match (RFC 8489 section 6.3).
    Fingerprint,
    /// An indication or a response: nothing to answer (RFC 8489 section 6.3).
    NotARequest,
    /// A method that this server does not have (RFC 8489 section 6.3: silently discarded).
    UnknownMethod,
    /// The answer is larger than the request and the source's prefix has used up its budget.
    OverBudget,
    /// Too many wrong credentials came from the source's prefix lately: no more are looked at.
    WrongCredentials,
}

impl Silence {
    /// All, in counter order.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::Fingerprint,
        Self::NotARequest,
        Self::UnknownMethod,
        Self::OverBudget,
        Self::WrongCredentials,
    ];

    /// Metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Fingerprint => "fingerprint",
            Self::NotARequest => "not_a_request",
            Self::UnknownMethod => "unknown_method",
            Self::OverBudget => "over_budget",
            Self::WrongCredentials => "wrong_credentials",
        }
    }
}

/// Counts since the server was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    requests: [[u64; Outcome::COUNT]; Method::ALL.len()],
    silences: [u64; Silence::ALL.len()],
    /// `Failed` messages of the relay.
    pub relay_failures: u64,
    /// Sessions of a snapshot that could not be understood and were removed.
    pub restore_failures: u64,
}

impl Counters {
    /// Answers to `method` that went out as `outcome`. A success is counted when it is handed to the relay; if the
    /// relay then cannot do what it needs, what the client is told instead is counted as well.
    #[must_use]
    pub const fn requests(&self, method: Method, outcome: Outcome) -> u64 {
        self.requests[method as usize][outcome.index()]
    }

    /// Datagrams that were not answered for this reason.
    #[must_use]
    pub const fn silences(&self, reason: Silence) -> u64 {
        self.silences[reason as usize]
    }

    pub(crate) const fn answered(&mut self, method: Method, outcome: Outcome) {
        self.requests[method as usize][outcome.index()] += 1;
    }

    pub(crate) const fn silent(&mut self, reason: Silence) {
        self.silences[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_own_place() {
        for (at, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, at);
            assert_eq!(Method::from_number(method.number()), Some(method));
        }
        for (at, outcome) in Outcome::all().enumerate() {
            assert_eq!(outcome.index(), at);
        }
        for (at, silence) in Silence::ALL.into_iter().enumerate() {
            assert_eq!(silence as usize, at);
        }
    }

    #[test]
    fn a_refusal_is_labelled_with_its_code() {
        for refusal in Refusal::ALL {
            assert_eq!(Outcome::Refused(refusal).label(), refusal.code().to_string());
        }
    }
}
