//! Generator of RTP, run by BPF_PROG_TEST_RUN on live frames, and a sink that counts and times it.
#![no_std]
#![no_main]

#[allow(dead_code)]
#[path = "../../src/layout.rs"]
mod layout;
mod sink;

use core::ffi::c_void;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    helpers::{bpf_ktime_get_ns, generated::bpf_xdp_store_bytes},
    macros::{map, xdp},
    maps::{Array, HashMap, PerCpuArray},
    programs::XdpContext,
};
use layout::{
    BODY_MAX, Buckets, CHANNEL_V4, CHANNEL_V6, Counts, Expected, HEAD_V4, HEAD_V6, Heard, Listening, Origin, PERIOD,
    Pattern, STAMP, State, Stranger, Stream, bucket, fold, halves,
};

#[map]
static STATE: Array<State> = Array::with_max_entries(1, 0);
/// The loader gives it, and `HEARD`, as many entries as there are streams.
#[map]
static STREAMS: Array<Stream> = Array::with_max_entries(1, 0);
#[map]
static PATTERN: Array<Pattern> = Array::with_max_entries(1, 0);
/// From due time to sending.
#[map]
static LATENESS: Array<Buckets> = Array::with_max_entries(1, 0);

#[map]
static EXPECTED: Array<Expected> = Array::with_max_entries(1, 0);
#[map]
static HEARD: Array<Heard> = Array::with_max_entries(1, 0);
#[map]
static LISTENING: Array<Listening> = Array::with_max_entries(1, 0);
/// The loader gives it room if it is used.
#[map]
static STRANGERS: HashMap<Origin, Stranger> = HashMap::with_max_entries(1, 0);
#[map]
static COUNTS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(1, 0);
/// From due time to arrival.
#[map]
static DELAYS: PerCpuArray<Buckets> = PerCpuArray::with_max_entries(1, 0);
/// Differences of delay between packets that follow each other.
#[map]
static VARIATIONS: PerCpuArray<Buckets> = PerCpuArray::with_max_entries(1, 0);

/// Sends the packet that is due out of the interface it is run on; drops the frame if none is.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    next_frame(&ctx).unwrap_or(XDP_DROP)
}

/// Counts, times and drops packets of the run; passes everything else up.
#[xdp]
pub fn receive(ctx: XdpContext) -> u32 {
    if sink::take(&ctx).is_some() { XDP_DROP } else { XDP_PASS }
}

/// The same for streams of anybody, to the addresses that are listened at.
#[xdp]
pub fn listen(ctx: XdpContext) -> u32 {
    if sink::listen(&ctx).is_some() { XDP_DROP } else { XDP_PASS }
}

#[inline(always)]
fn next_frame(ctx: &XdpContext) -> Option<u32> {
    // SAFETY: one thread at a time runs the generator, so nobody else holds a reference to the element; user space reads
    // copies.
    let state = unsafe { &mut *STATE.get_ptr_mut(0)? };
    let due = state.due_ns;
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if now < due || due >= state.stop_ns {
        return None;
    }
    // SAFETY: as above.
    let stream = unsafe { &mut *STREAMS.get_ptr_mut(state.next)? };
    write(ctx, state, stream, due)?;
    if let Some(lateness) = LATENESS.get_ptr_mut(0) {
        // SAFETY: as above; the bucket is below their number.
        unsafe { (*lateness)[bucket(now - due)] += 1 };
    }
    state.sent += 1;
    advance(state);
    Some(XDP_TX)
}

/// To the next packet of the next stream.
#[inline(always)]
fn advance(state: &mut State) {
    state.due_ns += state.interval.next();
    state.next += 1;
    if state.next >= state.streams {
        state.next = 0;
        state.round = state.round.wrapping_add(1);
        state.timestamp = state.timestamp.wrapping_add(state.ticks.next() as u32);
    }
}

/// Writes the whole frame: buffers come back from wherever the last packet went, changed by whoever had it.
#[inline(always)]
fn write(ctx: &XdpContext, state: &State, stream: &mut Stream, due: u64) -> Option<()> {
    let number = stream.first.wrapping_add(state.round);
    let timestamp = stream.timestamp.wrapping_add(state.timestamp).to_be();
    let body = state.body;
    // SAFETY: nobody writes the pattern while the generator runs.
    let pattern = unsafe { &*PATTERN.get_ptr(0)? };
    // An odd step visits every place of the period.
    let from = number.wrapping_mul(37) as usize % PERIOD;
    let stamp = layout::stamp(state.run, stream.number, state.clock, due + state.ahead_ns, number).map(u32::to_be);
    let sequence = (number as u16).to_be();
    let mut sum = stream.sum + u32::from(sequence) + halves(timestamp) + u32::from(pattern.sums[from]);
    sum += u32::from(sum_of(&stamp, body % 2 != 0));
    // Zero would say that there is no checksum (RFC 768).
    let checksum = match !fold(sum) {
        0 => 0xffff,
        other => other,
    };
    match state.head {
        HEAD_V6 => put::<60, 64>(ctx, stream, checksum, sequence, timestamp, HEAD_V6),
        CHANNEL_V4 => put::<40, 48>(ctx, stream, checksum, sequence, timestamp, CHANNEL_V4),
        CHANNEL_V6 => put::<60, 68>(ctx, stream, checksum, sequence, timestamp, CHANNEL_V6),
        _ => put::<40, 44>(ctx, stream, checksum, sequence, timestamp, HEAD_V4),
    }?;
    if body > 0 && body <= BODY_MAX as u32 {
        // SAFETY: the place is below the period, and behind it follow the longest body's octets.
        store(ctx, state.head, unsafe { pattern.octets.as_ptr().add(from) }, body)?;
    }
    store(ctx, state.head + body, stamp.as_ptr().cast(), STAMP as u32)
}

/// Writes a head of so many octets, whose UDP checksum is at `SUM` and whose sequence number at `AT`.
#[inline(always)]
fn put<const SUM: usize, const AT: usize>(
    ctx: &XdpContext,
    stream: &mut Stream,
    checksum: u16,
    sequence: u16,
    timestamp: u32,
    octets: u32,
) -> Option<()> {
    stream.head[SUM..SUM + 2].copy_from_slice(&checksum.to_ne_bytes());
    stream.head[AT..AT + 2].copy_from_slice(&sequence.to_ne_bytes());
    stream.head[AT + 2..AT + 6].copy_from_slice(&timestamp.to_ne_bytes());
    store(ctx, 0, stream.head.as_ptr(), octets)
}

/// Sum of a stamp as it counts in the checksum: the other way round if it begins at an odd place.
#[inline(always)]
fn sum_of(stamp: &[u32; STAMP / 4], odd: bool) -> u16 {
    let mut sum = 0;
    for word in stamp {
        sum += halves(*word);
    }
    if odd { fold(sum).swap_bytes() } else { fold(sum) }
}

#[inline(always)]
fn store(ctx: &XdpContext, offset: u32, from: *const u8, length: u32) -> Option<()> {
    // SAFETY: the helper checks the offset against the frame; the verifier, that `length` octets are there to be read.
    let result = unsafe { bpf_xdp_store_bytes(ctx.ctx, offset, from.cast_mut().cast::<c_void>(), length) };
    (result == 0).then_some(())
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
