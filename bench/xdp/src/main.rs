//! Programs of the benchmarks: a generator (run by BPF_PROG_TEST_RUN on live frames), a sink that counts and times,
//! and the least that a relay in XDP can do (turn a packet round, look it up, send it), as ceilings.
#![no_std]
#![no_main]

use core::mem::size_of;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    helpers::{bpf_ktime_get_ns, bpf_redirect},
    macros::{map, xdp},
    maps::{Array, HashMap, PerCpuArray},
    programs::XdpContext,
};

/// Octets of a frame that the generator writes anew: Ethernet, IPv4, UDP, ChannelData or not, RTP.
const HEAD: usize = 64;
/// Most flows the generator cycles over.
const STREAMS_MAX: u32 = 131_072;
/// What marks the RTP of the benchmarks: the upper half of its SSRC, as it lies in memory.
const SSRC_MARK: u16 = u16::from_ne_bytes([0x52, 0x57]);
/// Delays are counted in buckets: each power of two is cut into this many.
const STEPS: u64 = 64;
/// Buckets: up to 2^37 ns, two minutes.
const BUCKETS: usize = 2048;

/// One stream of the generator. Same layout as `frames::Stream` of the user-space half.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stream {
    /// Head of the frame as it is sent, RTP sequence, timestamp and UDP checksum aside.
    head: [u64; HEAD / 8],
    /// One's complement sum of what the UDP checksum covers, with sequence and timestamp zero; in memory order.
    sum: u32,
    /// Octet of the frame at which RTP begins: 42 or 46.
    rtp_at: u16,
    /// Next sequence number.
    sequence: u16,
}

/// What a sink saw. Same layout as `kernel::Seen`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Seen {
    packets: u64,
    octets: u64,
    /// When the last packet came, nanoseconds.
    last_ns: u64,
    /// The longest time between two packets, nanoseconds.
    gap_ns: u64,
}

/// What the generator is told and what it says. Same layout as `kernel::Control`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Control {
    /// Nanoseconds between bursts, times 1024; zero sends without a pause.
    burst_interval_q10: u64,
    /// Packets of a burst.
    burst: u32,
    /// Streams in use.
    streams: u32,
    /// Packets sent so far.
    sent: u64,
    /// Time the next burst is due, nanoseconds times 1024; zero before the first.
    due_q10: u64,
    /// Time of the first burst, nanoseconds times 1024.
    first_q10: u64,
    /// Time of the last burst, nanoseconds times 1024.
    last_q10: u64,
    /// Time that was given up because the generator came late, nanoseconds.
    late_ns: u64,
    /// Time that the burst under way was due, nanoseconds.
    intended_ns: u64,
    /// Packets left of this burst.
    left: u32,
    /// Stream of the next packet.
    next: u32,
    /// Packets of one stream in a row.
    train: u32,
    /// Packets left of the row under way.
    coming: u32,
}

#[map]
static STREAMS: Array<Stream> = Array::with_max_entries(STREAMS_MAX, 0);
#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, 0);
#[map]
static SEEN: PerCpuArray<Seen> = PerCpuArray::with_max_entries(1, 0);
/// Time from when a packet was due to when the sink saw it, in buckets.
#[map]
static DELAYS: PerCpuArray<[u64; BUCKETS]> = PerCpuArray::with_max_entries(1, 0);
/// What the reflectors look up: source and destination address, ports.
#[map]
static FLOWS: HashMap<[u32; 3], u64> = HashMap::with_max_entries(STREAMS_MAX, 0);
/// Where `lookup_redirect` sends to.
#[map]
static EGRESS: Array<u32> = Array::with_max_entries(1, 0);

/// Lateness that is made good by sending faster; beyond it the schedule moves on.
const CATCH_UP_NS: u64 = 200_000;

#[inline(always)]
fn at<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let begin = ctx.data();
    if begin + offset + size_of::<T>() > ctx.data_end() {
        return None;
    }
    Some((begin + offset) as *mut T)
}

#[inline(always)]
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Whether a packet may go now; counts it off its burst.
#[inline(always)]
fn due(control: &mut Control) -> bool {
    if control.left == 0 {
        // SAFETY: a helper without arguments.
        let now_q10 = unsafe { bpf_ktime_get_ns() } << 10;
        if control.first_q10 == 0 {
            control.first_q10 = now_q10;
            control.due_q10 = now_q10;
        }
        control.intended_ns = now_q10 >> 10;
        if control.burst_interval_q10 != 0 {
            if now_q10 < control.due_q10 {
                return false;
            }
            let late = now_q10 - control.due_q10;
            if late > CATCH_UP_NS << 10 {
                control.late_ns += (late - (CATCH_UP_NS << 10)) >> 10;
                control.due_q10 = now_q10 - (CATCH_UP_NS << 10);
            }
            control.intended_ns = control.due_q10 >> 10;
            control.due_q10 += control.burst_interval_q10;
        }
        control.last_q10 = now_q10;
        control.left = control.burst;
    }
    control.left -= 1;
    true
}

/// Sends the next packet of the next stream out of the interface it is run on, when it is due.
#[xdp]
pub fn generate(ctx: XdpContext) -> u32 {
    next_frame(&ctx).unwrap_or(XDP_DROP)
}

#[inline(always)]
fn next_frame(ctx: &XdpContext) -> Option<u32> {
    // SAFETY: one thread at a time runs the generator, so nobody else holds a reference to the element.
    let control = unsafe { &mut *CONTROL.get_ptr_mut(0)? };
    if !due(control) {
        return Some(XDP_DROP);
    }
    // SAFETY: as above.
    let stream = unsafe { &mut *STREAMS.get_ptr_mut(control.next)? };
    if control.coming > 1 {
        control.coming -= 1;
    } else {
        control.coming = control.train;
        control.next = if control.next + 1 < control.streams { control.next + 1 } else { 0 };
    }
    let sequence = stream.sequence;
    stream.sequence = sequence.wrapping_add(1);
    let timestamp = u32::from(sequence).wrapping_mul(160).to_be();
    let sequence = sequence.to_be();
    let intended = control.intended_ns;
    let sum = stream.sum
        + u32::from(sequence)
        + halves(timestamp)
        + halves(intended as u32)
        + halves((intended >> 32) as u32);
    let head = at::<[u64; HEAD / 8]>(ctx, 0)?;
    // SAFETY: `at` compared every offset with the end of the frame; BPF allows unaligned access to packets.
    unsafe {
        for word in 0..HEAD / 8 {
            head.cast::<u64>().add(word).write_unaligned(stream.head[word]);
        }
        at::<u16>(ctx, 40)?.write_unaligned(!fold(sum));
        let (sequence_at, timestamp_at, intended_at) = if stream.rtp_at == 46 { (48, 50, 58) } else { (44, 46, 54) };
        at::<u16>(ctx, sequence_at)?.write_unaligned(sequence);
        at::<u32>(ctx, timestamp_at)?.write_unaligned(timestamp);
        at::<u64>(ctx, intended_at)?.write_unaligned(intended);
    }
    control.sent += 1;
    Some(XDP_TX)
}

/// Both halves of a word added up, for a checksum.
#[inline(always)]
fn halves(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

/// Counts, times and drops the benchmark's RTP, with or without ChannelData; passes everything else up.
#[xdp]
pub fn sink(ctx: XdpContext) -> u32 {
    if take(&ctx).is_some() { XDP_DROP } else { XDP_PASS }
}

#[inline(always)]
fn take(ctx: &XdpContext) -> Option<()> {
    ipv4_udp(ctx)?;
    // SAFETY: `at` compared the offsets with the end of the frame.
    let intended_ns = unsafe {
        if at::<u16>(ctx, 50)?.read_unaligned() == SSRC_MARK {
            at::<u64>(ctx, 54)?.read_unaligned()
        } else if at::<u16>(ctx, 54)?.read_unaligned() == SSRC_MARK {
            at::<u64>(ctx, 58)?.read_unaligned()
        } else {
            return None;
        }
    };
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    count(ctx, now_ns)?;
    if intended_ns == 0 {
        // From a packet socket, which tells no time.
        return Some(());
    }
    let bucket = bucket(now_ns.saturating_sub(intended_ns));
    // SAFETY: a per-CPU element; XDP does not nest on one CPU. The bucket is below their number.
    unsafe { (*DELAYS.get_ptr_mut(0)?)[bucket] += 1 };
    Some(())
}

#[inline(always)]
fn count(ctx: &XdpContext, now_ns: u64) -> Option<()> {
    // SAFETY: a per-CPU element; XDP does not nest on one CPU.
    let seen = unsafe { &mut *SEEN.get_ptr_mut(0)? };
    let gap_ns = now_ns - seen.last_ns;
    if seen.last_ns != 0 && gap_ns > seen.gap_ns {
        seen.gap_ns = gap_ns;
    }
    seen.last_ns = now_ns;
    seen.packets += 1;
    seen.octets += (ctx.data_end() - ctx.data()) as u64;
    Some(())
}

/// Bucket of a delay: exact below [`STEPS`], then each power of two in as many steps.
#[inline(always)]
fn bucket(ns: u64) -> usize {
    let exponent = if ns < STEPS { 0 } else { 64 - 6 - u64::from(ns.leading_zeros()) };
    let bucket = if exponent == 0 { ns } else { exponent * STEPS + (ns >> (exponent - 1)) - STEPS };
    (bucket as usize).min(BUCKETS - 1)
}

/// `Some` for untagged IPv4 without options that carries UDP.
#[inline(always)]
fn ipv4_udp(ctx: &XdpContext) -> Option<()> {
    // SAFETY: `at` compared the offsets with the end of the frame.
    let (ethertype, version, protocol) = unsafe {
        (at::<u16>(ctx, 12)?.read_unaligned(), at::<u8>(ctx, 14)?.read_unaligned(), at::<u8>(ctx, 23)?.read_unaligned())
    };
    (ethertype == 0x0800u16.to_be() && version == 0x45 && protocol == 17).then_some(())
}

/// Turns the packet round: addresses and ports change sides, so no checksum changes. Looks it up first if it is to.
#[inline(always)]
fn turn(ctx: &XdpContext, look_up: bool) -> Option<()> {
    ipv4_udp(ctx)?;
    let addresses = at::<[u32; 3]>(ctx, 26)?;
    let macs = at::<[[u16; 3]; 2]>(ctx, 0)?;
    // SAFETY: `at` compared the offsets with the end of the frame.
    unsafe {
        let [source, destination, ports] = addresses.read_unaligned();
        if look_up {
            let flow = FLOWS.get_ptr_mut(&[source, destination, ports])?;
            *flow += 1;
        }
        addresses.write_unaligned([destination, source, ports.rotate_right(16)]);
        let [to, from] = macs.read_unaligned();
        macs.write_unaligned([from, to]);
    }
    Some(())
}

/// The least that sends anything back.
#[xdp]
pub fn reflect(ctx: XdpContext) -> u32 {
    if turn(&ctx, false).is_some() { XDP_TX } else { XDP_PASS }
}

/// The least a relay does: one lookup.
#[xdp]
pub fn lookup(ctx: XdpContext) -> u32 {
    if turn(&ctx, true).is_some() { XDP_TX } else { XDP_PASS }
}

/// The same, sent by redirect to the interface in `EGRESS`.
#[xdp]
pub fn lookup_redirect(ctx: XdpContext) -> u32 {
    let Some(ifindex) = EGRESS.get(0) else { return XDP_PASS };
    if turn(&ctx, true).is_none() {
        return XDP_PASS;
    }
    // SAFETY: a helper that takes numbers.
    unsafe { bpf_redirect(*ifindex, 0) as u32 }
}

/// Receives, counts and drops: what receiving alone costs.
#[xdp]
pub fn drop(_: XdpContext) -> u32 {
    if let Some(seen) = SEEN.get_ptr_mut(0) {
        // SAFETY: a per-CPU element; XDP does not nest on one CPU.
        unsafe { (*seen).packets += 1 };
    }
    XDP_DROP
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
