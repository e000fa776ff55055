//! The program in the kernel and the same code in user space, over the same frames.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use aya::TestRunOptions;
use aya::programs::TestRun;
use nix::time::{ClockId, clock_gettime};
use raceway_abi::Flow;
use raceway_datapath::Verdict;
use raceway_relay::xdp::Xdp;

use crate::place::with_bpf;
use crate::support::generate::{Random, frame};
use crate::support::memory::Memory;
use crate::support::packet::{Packet, channel_data, rtp};
use crate::support::world;

/// Frames of one comparison.
const FRAMES: usize = 15_000;

/// Actions of linux/bpf.h.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
pub const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

/// Runs a frame in the kernel.
pub fn run(xdp: &mut Xdp, frame: &[u8]) -> (u32, Vec<u8>) {
    let mut out = vec![0; 4096];
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.data_out = Some(&mut out);
    let result = xdp.program().expect("loaded").test_run(options).expect("a frame that the kernel takes");
    let octets = result.data_size_out as usize;
    out.truncate(octets);
    (result.return_value, out)
}

/// The world of the tests in the maps of the kernel.
pub fn write_world(xdp: &mut Xdp) {
    for (slot, entry) in world::entries().iter().enumerate() {
        world::write_flow(&xdp.flows()[slot], entry);
        xdp.slots().insert(&entry.spec.key, slot as u32).expect("room");
    }
    world::write_policers(&xdp.policers());
    world::write_settings(&xdp.settings()[0]);
}

fn expected_action(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Up => XDP_PASS,
        Verdict::Drop => XDP_DROP,
        Verdict::Send(world::SAME_INTERFACE) => XDP_TX,
        Verdict::Send(_) => XDP_REDIRECT,
    }
}

/// Figures that do not depend on when a packet was run.
fn timeless(flow: &Flow) -> [u64; 8] {
    let measured = &flow.measured;
    let rtp = &measured.rtp;
    [
        measured.packets.load(Relaxed),
        measured.octets.load(Relaxed),
        measured.dropped.load(Relaxed),
        measured.blocked.load(Relaxed),
        rtp.received.load(Relaxed).into(),
        rtp.lost.load(Relaxed).into(),
        rtp.reordered.load(Relaxed).into(),
        rtp.highest_sequence.load(Relaxed).into(),
    ]
}

pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("there is one");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn compare(xdp: &mut Xdp, memory: &Memory, frame: &[u8]) -> u32 {
    memory.now_ns.set(now_ns());
    let (verdict, by_memory) = memory.relay(frame);
    let (action, by_kernel) = run(xdp, frame);
    assert_eq!(action, expected_action(verdict), "{verdict:?} for {frame:02x?}");
    // What is dropped may have been made room in.
    if verdict != Verdict::Drop {
        assert_eq!(by_kernel, by_memory, "{verdict:?} for {frame:02x?}");
    }
    action
}

#[test]
fn needs_bpf_the_kernel_and_user_space_do_the_same_with_any_frame() {
    with_bpf("differential", |place| {
        let mut xdp = place.open().expect("opens");
        write_world(&mut xdp);
        let memory = world::in_memory();
        let mut random = Random(std::env::var("RACEWAY_SEED").map_or(1, |seed| seed.parse().expect("a number")));
        let mut actions = BTreeMap::<u32, u32>::new();
        for _ in 0..FRAMES {
            *actions.entry(compare(&mut xdp, &memory, &frame(&mut random))).or_default() += 1;
        }
        for (slot, flow) in memory.flows.iter().enumerate() {
            assert_eq!(timeless(&xdp.flows()[slot]), timeless(flow), "{:?}", flow.spec());
        }
        let counters: Vec<u64> = memory.counters.iter().map(std::cell::Cell::get).collect();
        assert_eq!(xdp.counters()[..], counters[..]);
        let reached = [XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT].map(|action| actions.get(&action).copied());
        assert!(reached.iter().all(|count| count.is_some_and(|count| count > 100)), "{actions:?}");
    });
}

/// Checksums over payloads of every length, the longest beyond what the program can sum.
#[test]
fn needs_bpf_unfinished_checksums_are_finished_over_any_length() {
    use crate::support::packet::{Checksum, Seen, read};
    with_bpf("checksums", |place| {
        let mut xdp = place.open().expect("opens");
        write_world(&mut xdp);
        let memory = world::in_memory();
        for octets in (0..=600).chain(1000..1100).chain([1400, 1444]) {
            let data: Vec<u8> = (0..octets).map(|index| (index * 7) as u8).collect();
            let payload = channel_data(world::channel::PLAIN, &data);
            let packet = Packet {
                checksum: Checksum::Unfinished,
                ..Packet::new(world::client(false), world::listener(false), payload)
            };
            assert_eq!(compare(&mut xdp, &memory, &packet.frame()), XDP_TX);
            assert_eq!(read(&run(&mut xdp, &packet.frame()).1).checksum, Seen::Right, "{octets}");
        }
    });
}

/// What a packet costs in the program, printed for those who look. The flow turns a packet into itself, one hop
/// less, so that a repeated run is the same work each time.
#[test]
fn needs_bpf_the_cost_of_a_packet_is_printed() {
    const HOPS: u32 = 250;
    with_bpf("cost", |place| {
        let mut xdp = place.open().expect("opens");
        write_world(&mut xdp);
        let (peer, relayed) = (world::peer(false), world::relayed(false, 99));
        let spec = world::forward(world::key(peer, relayed, 0), peer, relayed, 0);
        let slot = world::entries().len();
        world::write_flow(&xdp.flows()[slot], &spec.into());
        xdp.slots().insert(&spec.key, slot as u32).expect("room");
        let frame = Packet { hop_limit: 255, ..Packet::new(peer, relayed, rtp(1, 160)) }.frame();
        let mut best = u128::MAX;
        for _ in 0..200 {
            let mut options = TestRunOptions::new();
            options.data_in = Some(&frame);
            options.repeat = HOPS;
            // A signal to the process ends a repeated run early; the next one counts.
            let Ok(result) = xdp.program().expect("loaded").test_run(options) else { continue };
            assert_eq!(result.return_value, XDP_TX);
            best = best.min(result.duration.as_nanos());
        }
        assert!(best < u128::MAX, "no run came to its end");
        println!("a relayed packet: {best} ns in the program");
    });
}
