//! The receiving side.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, generated::bpf_xdp_load_bytes},
    programs::XdpContext,
};

use crate::layout::{Counts, Expected, Heard, MAGIC, NUMBER_MASK, STAMP, WINDOW, bucket, check};
use crate::{COUNTS, DELAYS, EXPECTED, HEARD, VARIATIONS};

/// Octets of Ethernet, IP and UDP headers.
const BEFORE_V4: u32 = 42;
const BEFORE_V6: u32 = 62;
const UDP: u8 = 17;
/// Octets of a UDP header.
const UDP_HEADER: u32 = 8;
/// Octets of an RTP header without sources and extensions.
const RTP_HEADER: u32 = 12;

/// Reads a value at a place of the frame.
#[inline(always)]
fn at<T>(ctx: &XdpContext, offset: usize) -> Option<T> {
    let begin = ctx.data();
    if begin + offset + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: compared with the end of the frame; BPF allows unaligned access to packets, and T is of integers.
    Some(unsafe { ((begin + offset) as *const T).read_unaligned() })
}

/// Where RTP begins in a frame, and its octets.
#[derive(Clone, Copy)]
struct Rtp {
    at: u32,
    octets: u32,
    sequence: u16,
    ssrc: u32,
}

/// RTP in UDP without IP options, extension headers, tags or fragments.
#[inline(always)]
fn rtp(ctx: &XdpContext) -> Option<Rtp> {
    match u16::from_be(at(ctx, 12)?) {
        0x0800 => {
            let (version, fragment): (u8, u16) = (at(ctx, 14)?, u16::from_be(at(ctx, 20)?));
            if version != 0x45 || fragment & 0x3fff != 0 || at::<u8>(ctx, 23)? != UDP {
                return None;
            }
            header::<{ BEFORE_V4 as usize }>(ctx)
        }
        0x86dd if at::<u8>(ctx, 20)? == UDP => header::<{ BEFORE_V6 as usize }>(ctx),
        _ => None,
    }
}

#[inline(always)]
fn header<const AT: usize>(ctx: &XdpContext) -> Option<Rtp> {
    let octets = u32::from(u16::from_be(at(ctx, AT - 4)?));
    let least = UDP_HEADER + RTP_HEADER + STAMP as u32;
    if octets < least || at::<u8>(ctx, AT)? & 0xc0 != 0x80 {
        return None;
    }
    let (sequence, ssrc) = (u16::from_be(at(ctx, AT + 2)?), u32::from_be(at(ctx, AT + 8)?));
    Some(Rtp { at: AT as u32, octets: octets - UDP_HEADER, sequence, ssrc })
}

/// `Some` for a packet that was of this run.
#[inline(always)]
pub fn take(ctx: &XdpContext) -> Option<()> {
    let rtp = rtp(ctx)?;
    // SAFETY: written before the program is attached.
    let expected = unsafe { &*EXPECTED.get_ptr(0)? };
    let number = rtp.ssrc.wrapping_sub(expected.ssrc);
    if number >= expected.streams {
        return None;
    }
    let pairs = stamp(ctx, rtp.at + rtp.octets - STAMP as u32)?;
    let words = words(&pairs);
    // SAFETY: a per-CPU element; XDP does not nest on one CPU.
    let counts = unsafe { &mut *COUNTS.get_ptr_mut(0)? };
    let intact = words[0] == MAGIC && words[7] == check(&words);
    if intact && (words[1] != expected.run || words[2] != number || words[3] != expected.clock) {
        counts.foreign += 1;
        return None;
    }
    // SAFETY: packets of one stream come by one queue of the device, which one CPU at a time empties.
    let heard = unsafe { &mut *HEARD.get_ptr_mut(number)? };
    // A damaged stamp says nothing: such a packet is placed by RTP's number, as far as that has been written anew.
    let number = if intact { words[6] & NUMBER_MASK } else { u32::from(rtp.sequence).wrapping_add(heard.ahead) };
    let mask = if intact { NUMBER_MASK } else { 0xffff };
    let Some(steps) = place(heard, counts, number, mask) else { return Some(()) };
    if intact && steps != 0 {
        heard.ahead = number.wrapping_sub(u32::from(rtp.sequence));
    }
    heard.packets += 1;
    counts.packets += 1;
    counts.octets += u64::from(rtp.octets);
    if !intact {
        heard.corrupted += 1;
        counts.corrupted += 1;
        return Some(());
    }
    let due = pairs[2].wrapping_sub(expected.ahead_ns);
    time(expected, heard, counts, due, steps);
    Some(())
}

/// Reads a stamp, two words at a time: the stack takes no access that is not aligned.
#[inline(always)]
fn stamp(ctx: &XdpContext, offset: u32) -> Option<[u64; STAMP / 8]> {
    let mut pairs = [0_u64; STAMP / 8];
    // SAFETY: the helper checks the place against the frame; the pairs have the length given.
    let result = unsafe { bpf_xdp_load_bytes(ctx.ctx, offset, pairs.as_mut_ptr().cast::<c_void>(), STAMP as u32) };
    (result == 0).then(|| pairs.map(u64::from_be))
}

#[inline(always)]
fn words(pairs: &[u64; STAMP / 8]) -> [u32; STAMP / 4] {
    let [a, b, c, d] = *pairs;
    let high = |pair: u64| (pair >> 32) as u32;
    [high(a), a as u32, high(b), b as u32, high(c), c as u32, high(d), d as u32]
}

/// Finds the place of a number of so many bits: how far it is ahead of the newest before it, zero for one that came late;
/// nothing for one that does not count.
#[inline(always)]
fn place(heard: &mut Heard, counts: &mut Counts, number: u32, mask: u32) -> Option<u32> {
    let ahead = number.wrapping_sub(heard.newest as u32) & mask;
    if ahead != 0 && ahead <= mask / 2 {
        heard.newest += u64::from(ahead);
        heard.window = if ahead < WINDOW { heard.window << ahead | 1 } else { 1 };
        counts.missing += i64::from(ahead) - 1;
        return Some(ahead);
    }
    let behind = ahead.wrapping_neg() & mask;
    if behind >= WINDOW {
        heard.stray += 1;
        counts.stray += 1;
        return None;
    }
    let bit = 1 << behind;
    if heard.window & bit != 0 {
        heard.duplicated += 1;
        counts.duplicated += 1;
        return None;
    }
    heard.window |= bit;
    heard.reordered += 1;
    heard.behind_max = heard.behind_max.max(behind);
    counts.reordered += 1;
    counts.missing -= 1;
    Some(0)
}

#[inline(always)]
fn time(expected: &Expected, heard: &mut Heard, counts: &mut Counts, due: u64, steps: u32) {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if now < due {
        counts.before_due += 1;
    }
    let delay = now.saturating_sub(due);
    // SAFETY: a per-CPU element; XDP does not nest on one CPU. The bucket is below their number.
    if let Some(delays) = DELAYS.get_ptr_mut(0) {
        unsafe { (*delays)[bucket(delay)] += 1 };
    }
    if heard.heard_ns == 0 || delay < heard.delay_min_ns {
        heard.delay_min_ns = delay;
    }
    if delay > heard.delay_min_ns + expected.playout_ns {
        heard.late += 1;
        counts.late += 1;
    }
    if heard.heard_ns != 0 {
        since_last(expected, heard, counts, now, due, steps);
    }
    heard.heard_ns = now;
    heard.due_ns = due;
}

/// What two packets, one after the other, say: jitter, variation, silence.
#[inline(always)]
fn since_last(expected: &Expected, heard: &mut Heard, counts: &mut Counts, now: u64, due: u64, steps: u32) {
    let (before, after) = (heard.heard_ns.wrapping_sub(heard.due_ns), now.wrapping_sub(due));
    let apart = after.wrapping_sub(before) as i64;
    let apart = if apart < 0 { apart.wrapping_neg() as u64 } else { apart as u64 };
    heard.jitter_q4 += apart;
    heard.jitter_q4 -= (heard.jitter_q4 - apart + 8) >> 4;
    heard.jitter_sum_q4 += heard.jitter_q4;
    heard.jittered += 1;
    if heard.jitter_q4 > heard.jitter_max_q4 {
        heard.jitter_max_q4 = heard.jitter_q4;
    }
    if steps == 0 {
        return;
    }
    let mut silence = now - heard.heard_ns;
    if steps == 1 {
        silence = silence.saturating_sub(due.saturating_sub(heard.due_ns));
        // SAFETY: as for delays.
        if let Some(variations) = VARIATIONS.get_ptr_mut(0) {
            unsafe { (*variations)[bucket(apart)] += 1 };
        }
    }
    if silence > heard.gap_ns {
        heard.gap_ns = silence;
    }
    if silence > expected.gap_ns {
        heard.gaps += 1;
        counts.gaps += 1;
    }
}
