//! The receiving side.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, generated::bpf_xdp_load_bytes},
    programs::XdpContext,
};

use crate::layout::{
    Counts, Expected, FAR, Heard, Listening, MAGIC, NUMBER_MASK, Origin, STAMP, Stranger, Times, WINDOW, bucket, check,
};
use crate::{COUNTS, DELAYS, EXPECTED, HEARD, LISTENING, STRANGERS, VARIATIONS};

/// Octets of Ethernet, IP and UDP headers, and with a header of ChannelData (RFC 8656 section 12.4).
const BEFORE_V4: usize = 42;
const BEFORE_V6: usize = 62;
const CHANNEL_V4: usize = BEFORE_V4 + CHANNEL as usize;
const CHANNEL_V6: usize = BEFORE_V6 + CHANNEL as usize;
const UDP: u8 = 17;
/// Octets of a UDP header.
const UDP_HEADER: u32 = 8;
/// Octets of a ChannelData header.
const CHANNEL: u32 = 4;
/// Octets of an RTP header without sources and extensions, and of the shortest packet that is stamped.
const RTP_HEADER: u32 = 12;
const LEAST: u32 = RTP_HEADER + STAMP as u32;

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
    v6: bool,
}

/// RTP in UDP, or in ChannelData in UDP, without IP options, extension headers, tags or fragments.
#[inline(always)]
fn rtp(ctx: &XdpContext) -> Option<Rtp> {
    match u16::from_be(at(ctx, 12)?) {
        0x0800 => {
            let (version, fragment): (u8, u16) = (at(ctx, 14)?, u16::from_be(at(ctx, 20)?));
            if version != 0x45 || fragment & 0x3fff != 0 || at::<u8>(ctx, 23)? != UDP {
                return None;
            }
            datagram::<BEFORE_V4, CHANNEL_V4>(ctx)
        }
        0x86dd if at::<u8>(ctx, 20)? == UDP => {
            datagram::<BEFORE_V6, CHANNEL_V6>(ctx).map(|found| Rtp { v6: true, ..found })
        }
        _ => None,
    }
}

#[inline(always)]
fn datagram<const AT: usize, const INNER: usize>(ctx: &XdpContext) -> Option<Rtp> {
    let octets = u32::from(u16::from_be(at(ctx, AT - 4)?));
    let first: u8 = at(ctx, AT)?;
    if first & 0xf0 != 0x40 {
        return header::<AT>(ctx, octets.wrapping_sub(UDP_HEADER), octets);
    }
    let inner = u32::from(u16::from_be(at(ctx, AT + 2)?));
    if inner + UDP_HEADER + CHANNEL > octets {
        return None;
    }
    header::<INNER>(ctx, inner, octets)
}

#[inline(always)]
fn header<const AT: usize>(ctx: &XdpContext, octets: u32, datagram: u32) -> Option<Rtp> {
    if datagram < UDP_HEADER + LEAST || octets < LEAST || at::<u8>(ctx, AT)? & 0xc0 != 0x80 {
        return None;
    }
    let (sequence, ssrc) = (u16::from_be(at(ctx, AT + 2)?), u32::from_be(at(ctx, AT + 8)?));
    Some(Rtp { at: AT as u32, octets, sequence, ssrc, v6: false })
}

/// `Some` for a packet that was of this run.
#[inline(always)]
pub fn take(ctx: &XdpContext) -> Option<()> {
    let rtp = rtp(ctx)?;
    // SAFETY: written before the program is attached.
    let expected: &Expected = unsafe { &*EXPECTED.get_ptr(0)? };
    let number = rtp.ssrc.wrapping_sub(expected.ssrc);
    if number >= expected.streams {
        return None;
    }
    let pairs = stamp(ctx, rtp.at + rtp.octets - STAMP as u32)?;
    let words = words(&pairs);
    // SAFETY: a per-CPU element; XDP does not nest on one CPU.
    let counts = unsafe { &mut *COUNTS.get_ptr_mut(0)? };
    let intact = is_intact(&words);
    if intact && (words[1] != expected.run || words[2] != number || words[3] != expected.clock) {
        counts.foreign += 1;
        return None;
    }
    // SAFETY: packets of one stream come by one queue of the device, which one CPU at a time empties.
    let heard = unsafe { &mut *HEARD.get_ptr_mut(number)? };
    let Some(steps) = enter(heard, counts, &rtp, intact.then_some(words[6])) else { return Some(()) };
    if intact {
        time(&expected.times, heard, counts, pairs[2].wrapping_sub(expected.times.ahead_ns), steps, false);
    }
    Some(())
}

/// `Some` for a stamped packet of anybody to the addresses that are listened at, or of a stream that had stamps.
#[inline(always)]
pub fn listen(ctx: &XdpContext) -> Option<()> {
    let rtp = rtp(ctx)?;
    // SAFETY: written before the program is attached.
    let listening: &Listening = unsafe { &*LISTENING.get_ptr(0)? };
    let (address, origin) = if rtp.v6 { origin_v6(ctx, &rtp)? } else { origin_v4(ctx, &rtp)? };
    let any = listening.address[0] | listening.address[1] | listening.address[2] | listening.address[3] == 0;
    if origin.to < listening.first || origin.to > listening.last || !any && address != listening.address {
        return None;
    }
    let pairs = stamp(ctx, rtp.at + rtp.octets - STAMP as u32)?;
    let words = words(&pairs);
    let intact = is_intact(&words);
    // SAFETY: a per-CPU element; XDP does not nest on one CPU.
    let counts = unsafe { &mut *COUNTS.get_ptr_mut(0)? };
    let known = STRANGERS.get_ptr_mut(&origin);
    if known.is_none() {
        if !intact {
            return None;
        }
        meet(ctx, &rtp, &origin, listening, &pairs, &words);
    }
    let Some(stranger) = STRANGERS.get_ptr_mut(&origin) else {
        // There is no room for another stream.
        counts.foreign += 1;
        return Some(());
    };
    // SAFETY: packets of one stream come by one queue of the device, which one CPU at a time empties.
    let stranger = unsafe { &mut *stranger };
    if intact && (words[1] != stranger.run || words[2] != stranger.stream || words[3] != stranger.clock) {
        counts.foreign += 1;
        return Some(());
    }
    let Some(steps) = enter(&mut stranger.heard, counts, &rtp, intact.then_some(words[6])) else { return Some(()) };
    stranger.octets += u64::from(rtp.octets);
    if intact {
        let (due, relative) = (pairs[2].wrapping_sub(stranger.back_ns), stranger.clock != listening.clock);
        time(&listening.times, &mut stranger.heard, counts, due, steps, relative);
    }
    Some(())
}

/// The first packet of a stream of a stranger.
#[inline(always)]
fn meet(
    ctx: &XdpContext,
    rtp: &Rtp,
    origin: &Origin,
    listening: &Listening,
    pairs: &[u64; STAMP / 8],
    words: &[u32; STAMP / 4],
) {
    let number = words[6] & NUMBER_MASK;
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let same = words[3] == listening.clock;
    let back_ns = if same { listening.times.ahead_ns } else { pairs[2].wrapping_sub(now).wrapping_add(FAR) };
    let payload_type = at::<u8>(ctx, if rtp.v6 { BEFORE_V6 + 1 } else { BEFORE_V4 + 1 }).unwrap_or(0) & 0x7f;
    let stranger = Stranger {
        heard: Heard::before(number),
        back_ns,
        run: words[1],
        stream: words[2],
        clock: words[3],
        first: number,
        octets: 0,
        payload_type: u32::from(payload_type),
        v6: u32::from(rtp.v6),
    };
    // A table that is full shows when the stream is looked up again.
    let _ = STRANGERS.insert(origin, &stranger, 0);
}

/// Destination address, and where a packet comes from.
#[inline(always)]
fn origin_v4(ctx: &XdpContext, rtp: &Rtp) -> Option<([u32; 4], Origin)> {
    let [from, to]: [u32; 2] = at(ctx, 26)?;
    let [port, to_port]: [u16; 2] = at(ctx, 34)?;
    let (port, to_port) = (u16::from_be(port), u16::from_be(to_port));
    Some(([to, 0, 0, 0], Origin { address: [from, 0, 0, 0], ssrc: rtp.ssrc, port, to: to_port }))
}

#[inline(always)]
fn origin_v6(ctx: &XdpContext, rtp: &Rtp) -> Option<([u32; 4], Origin)> {
    let (address, to): ([u32; 4], [u32; 4]) = (at(ctx, 22)?, at(ctx, 38)?);
    let [port, to_port]: [u16; 2] = at(ctx, 54)?;
    Some((to, Origin { address, ssrc: rtp.ssrc, port: u16::from_be(port), to: u16::from_be(to_port) }))
}

#[inline(always)]
fn is_intact(words: &[u32; STAMP / 4]) -> bool {
    words[0] == MAGIC && words[7] == check(words)
}

/// Counts a packet, whose stamp has this number if it is intact: how far it is ahead of the newest before it, zero for one
/// that came late; nothing for one that does not count.
#[inline(always)]
fn enter(heard: &mut Heard, counts: &mut Counts, rtp: &Rtp, stamp: Option<u32>) -> Option<u32> {
    // A damaged stamp says nothing: such a packet is placed by RTP's number, as far as that has been written anew.
    let (number, mask) = match stamp {
        Some(number) => (number & NUMBER_MASK, NUMBER_MASK),
        None => (u32::from(rtp.sequence).wrapping_add(heard.ahead), 0xffff),
    };
    let steps = place(heard, counts, number, mask)?;
    heard.packets += 1;
    counts.packets += 1;
    counts.octets += u64::from(rtp.octets);
    if stamp.is_none() {
        heard.corrupted += 1;
        counts.corrupted += 1;
    } else if steps != 0 {
        heard.ahead = number.wrapping_sub(u32::from(rtp.sequence));
    }
    Some(steps)
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
fn time(times: &Times, heard: &mut Heard, counts: &mut Counts, due: u64, steps: u32, relative: bool) {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if now < due {
        counts.before_due += 1;
    }
    let delay = now.saturating_sub(due);
    if heard.heard_ns == 0 || delay < heard.delay_min_ns {
        heard.delay_min_ns = delay;
    }
    let told = if relative { delay - heard.delay_min_ns } else { delay };
    // SAFETY: a per-CPU element; XDP does not nest on one CPU. The bucket is below their number.
    if let Some(delays) = DELAYS.get_ptr_mut(0) {
        unsafe { (*delays)[bucket(told)] += 1 };
    }
    if delay > heard.delay_min_ns + times.playout_ns {
        heard.late += 1;
        counts.late += 1;
    }
    if heard.heard_ns != 0 {
        since_last(times, heard, counts, now, due, steps);
    }
    heard.heard_ns = now;
    heard.due_ns = due;
}

/// What two packets, one after the other, say: jitter, variation, silence.
#[inline(always)]
fn since_last(times: &Times, heard: &mut Heard, counts: &mut Counts, now: u64, due: u64, steps: u32) {
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
    if silence > times.gap_ns {
        heard.gaps += 1;
        counts.gaps += 1;
    }
}
