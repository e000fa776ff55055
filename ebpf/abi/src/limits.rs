//! Sizes of the shared tables and what they cost.

/// Most flows a relay can be configured for. `FLOWS` costs 256 octets and `SLOTS` about 96 octets a flow.
pub const FLOWS_MAX: u32 = 4 << 20;

/// Flows when the configuration is silent: 64 Ki flows, about 23 MiB of kernel memory.
pub const FLOWS_DEFAULT: u32 = 64 << 10;

/// UDP ports on which the appliance answers TURN clients, over all addresses.
pub const LISTEN_PORTS_MAX: usize = 8;

/// Interfaces that XDP may send to.
pub const EGRESS_MAX: u32 = 256;

/// Cells of the STUN budget (a power of two); prefixes that share a cell share its budget. 512 KiB.
pub const STUN_BUDGET_CELLS: u32 = 64 << 10;

/// How long XDP reuses a route before it asks the kernel again, in nanoseconds.
pub const NEXT_HOP_LIFETIME_NS: u64 = 500_000_000;

const _: () = assert!(STUN_BUDGET_CELLS.is_power_of_two());
const _: () = assert!(FLOWS_DEFAULT <= FLOWS_MAX);
