//! Rate limits, figures and ChannelData framing of one datagram.

use core::sync::atomic::Ordering::Relaxed;

use raceway_abi::{Measured, Policer};
use raceway_units::Instant;

/// Channel number and length of application data (RFC 8656 section 12.4); nothing when the length is a lie.
pub(crate) fn channel_data(payload: &[u8]) -> Option<(u16, usize)> {
    let ([c0, c1, l0, l1], data) = payload.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    (length <= data.len()).then_some((u16::from_be_bytes([*c0, *c1]), length))
}

pub(crate) fn conforms(policer: &Policer, now: Instant, octets: usize) -> bool {
    let rate = policer.ns_per_octet_q20.load(Relaxed);
    if rate == 0 {
        return true;
    }
    let cost = ((u128::from(rate) * octets as u128) >> 20) as u64;
    let next = policer.arrival_ns.load(Relaxed).max(now.as_ns()).saturating_add(cost);
    if next.saturating_sub(now.as_ns()) > policer.burst_ns.load(Relaxed) {
        return false;
    }
    policer.arrival_ns.store(next, Relaxed);
    true
}

pub(crate) fn measure(measured: &Measured, now: Instant, data: &[u8]) {
    measured.packets.fetch_add(1, Relaxed);
    measured.octets.fetch_add(data.len() as u64, Relaxed);
    measured.last_ns.store(now.as_ns(), Relaxed);
}
