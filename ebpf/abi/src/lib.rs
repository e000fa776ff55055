//! What the XDP object and user space share: map keys, records, counter indices, limits.
//!
//! Data only. Every type is `repr(C)` without implicit padding, every table has a named limit, and
//! [`ABI_VERSION`] changes whenever a layout or a meaning does: a relay refuses pinned maps of another version.
//!
//! Records that two CPUs or two processes see are made of atomics. A relaxed load or store compiles to a
//! plain move on every target here, so this costs nothing and leaves no data race to argue about.

#![no_std]

mod atomic;
mod counter;
mod flow;
pub mod limits;
mod policer;
mod settings;

pub use atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
pub use counter::{COUNTERS, Counter, DropReason};
pub use flow::{
    Action, CHANNEL_INDICATION, CHANNEL_NONE, Direction, FLAG_BLOCKS_OTHERS, FLAG_LOCAL_DESTINATION, FLAG_MEDIA_ONLY,
    FLAG_RULED, Flow, FlowKey, FlowSpec, KEEP_DSCP, Measured, NO_POLICER, NextHop, PAYLOAD_RULES, PayloadFate,
    PayloadRule, Rtp, mapped,
};
pub use policer::Policer;
pub use settings::{ALWAYS_REDIRECT, Egress, Settings};

/// Version of every layout in this crate; part of the pin directory's name.
pub const ABI_VERSION: u32 = 3;

/// Names of the maps in the object and of their pins.
pub mod map_name {
    /// `HASH`: [`FlowKey`](crate::FlowKey) to slot (`u32`) in [`FLOWS`].
    pub const SLOTS: &str = "SLOTS";
    /// `ARRAY`, mmapable: [`Flow`](crate::Flow) by slot.
    pub const FLOWS: &str = "FLOWS";
    /// `ARRAY`, mmapable: [`Policer`](crate::Policer) by index.
    pub const POLICERS: &str = "POLICERS";
    /// `PERCPU_ARRAY` of one: `[u64; COUNTERS]` by [`Counter`](crate::Counter).
    pub const COUNTERS: &str = "COUNTERS";
    /// `ARRAY` of one, mmapable: [`Settings`](crate::Settings).
    pub const SETTINGS: &str = "SETTINGS";
    /// `HASH`: kernel interface index (`u32`) to [`Egress`](crate::Egress).
    pub const EGRESS: &str = "EGRESS";
    /// `ARRAY`, mmapable: theoretical arrival times (`u64` ns) of the STUN budget, by hashed source prefix.
    pub const STUN_BUDGET: &str = "STUN_BUDGET";
}
