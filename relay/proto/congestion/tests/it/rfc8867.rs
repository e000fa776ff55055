//! The basic test cases of RFC 8867 (5.1 to 5.8).
//!
//! The RFC says what to set up and what is expected, in words; the figures that are held here are ours. Each case prints
//! what is held and what is reached: `cargo test -p raceway-congestion --test it rfc8867 -- --nocapture --test-threads 1`.
//!
//! Set up as the RFC has it: drop-tail queues of 300 ms, propagation of 50 ms each way, jitter of up to 30 ms,
//! video of 150 kbit/s to 1.5 Mbit/s at 30 frames a second that vary in size.

use std::sync::LazyLock;

use crate::tcp::{Load, Tcp};
use crate::world::Direction::{Backward, Forward};
use crate::world::World;

/// Where the table stands: what it says has to be what is reached.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/rfc/congestion.md");
    std::fs::read_to_string(path).unwrap()
});

/// What a case holds.
struct Case {
    section: &'static str,
    missed: Vec<String>,
}

impl Case {
    fn new(section: &'static str) -> Self {
        Self { section, missed: Vec::new() }
    }

    fn at_least(&mut self, what: &str, least: u64, reached: u64) -> &mut Self {
        self.row(what, &format!(">= {least}"), reached, reached >= least)
    }

    fn at_most(&mut self, what: &str, most: u64, reached: u64) -> &mut Self {
        self.row(what, &format!("<= {most}"), reached, reached <= most)
    }

    fn row(&mut self, what: &str, held: &str, reached: u64, holds: bool) -> &mut Self {
        let row = format!("| {} | {what} | {held} | {reached} |", self.section);
        println!("{row}");
        if !holds || !DOCUMENT.contains(&row) {
            self.missed.push(row);
        }
        self
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        assert!(
            self.missed.is_empty() || std::thread::panicking(),
            "missed, or another figure than in docs/rfc/congestion.md:\n{}",
            self.missed.join("\n")
        );
    }
}

/// Kbit/s of all media flows together.
fn together(world: &World, from_s: u64, to_s: u64) -> u64 {
    world.flows.iter().map(|flow| flow.rate(from_s, to_s)).sum()
}

/// Jain's index of fairness (RFC 8868), in percent.
fn fairness(world: &World, from_s: u64, to_s: u64) -> u64 {
    let rates: Vec<_> = world.flows.iter().map(|flow| flow.rate(from_s, to_s)).collect();
    let (sum, squares) = rates.iter().fold((0, 0), |(sum, squares), rate| (sum + rate, squares + rate * rate));
    sum * sum * 100 / (rates.len() as u64 * squares.max(1))
}

fn longest_wait(world: &World, from_s: u64, to_s: u64) -> u64 {
    world.flows.iter().map(|flow| flow.wait_ms(from_s, to_s, 95)).max().unwrap()
}

fn most_lost(world: &World, from_s: u64, to_s: u64) -> u64 {
    world.flows.iter().map(|flow| flow.lost_permille(from_s, to_s)).max().unwrap()
}

/// Expected: finds the capacity, converges to it, and does not swing about it.
#[test]
fn variable_available_capacity_with_a_single_flow() {
    let rates = [(0, Forward, 1_000), (40, Forward, 2_500), (60, Forward, 600), (80, Forward, 1_000)];
    let mut world = World::new(300, &rates);
    world.media(Forward, 0, 50);
    world.run(100);
    let flow = &world.flows[0];
    let mut case = Case::new("5.1");
    case.at_most("1 Mbit/s: seconds until 85 % are used", 6, flow.reaches(850, 0));
    case.at_least("1 Mbit/s: kbit/s after 10 s", 850, flow.rate(10, 40));
    let (low, high) = flow.targets(20, 40);
    case.at_least("1 Mbit/s: lowest target after 20 s, kbit/s", 780, low);
    case.at_most("1 Mbit/s: highest target after 20 s, kbit/s", 1_120, high);
    case.at_most("1 Mbit/s: ms of queue after 10 s (95 %)", 60, flow.wait_ms(10, 40, 95));
    case.at_most("2.5 Mbit/s: seconds until the video has all it can use", 8, flow.reaches(1_425, 40));
    case.at_most("0.6 Mbit/s: seconds until the queue is below 100 ms again", 5, flow.drains(100, 60));
    case.at_least("0.6 Mbit/s: kbit/s after 10 s", 510, flow.rate(70, 80));
    case.at_most("0.6 Mbit/s: ms of queue after 10 s (95 %)", 100, flow.wait_ms(70, 80, 95));
    case.at_most("0.6 Mbit/s: lost of 1,000 after 5 s", 5, flow.lost_permille(65, 80));
    case.at_most("1 Mbit/s again: seconds until 85 % are used", 10, flow.reaches(850, 80));
}

/// Expected: each gets its share as the capacity changes, and neither starves.
#[test]
fn variable_available_capacity_with_multiple_flows() {
    let rates = [(0, 4_000), (25, 2_000), (50, 3_500), (75, 1_000), (100, 2_000)];
    let mut world = World::new(300, &rates.map(|(at, kbps)| (at, Forward, kbps)));
    world.media(Forward, 0, 50);
    world.media(Forward, 0, 50);
    world.run(125);
    let mut case = Case::new("5.2");
    for (from_s, kbps) in rates {
        // Two videos use 3 Mbit/s at most.
        let least = kbps.min(3_000) * 85 / 100;
        let name = |what| format!("{kbps} kbit/s from {from_s} s: {what}");
        case.at_least(&name("kbit/s of both after 15 s"), least, together(&world, from_s + 15, from_s + 25));
        case.at_least(&name("% of fairness after 15 s"), 90, fairness(&world, from_s + 15, from_s + 25));
        case.at_most(&name("ms of queue after 15 s (95 %)"), 80, longest_wait(&world, from_s + 15, from_s + 25));
        case.at_most(&name("lost of 1,000 after 5 s"), 5, most_lost(&world, from_s + 5, from_s + 25));
    }
}

/// Expected: congestion of one direction, which carries the feedback of the other, does not starve the other.
#[test]
fn congested_feedback_link_with_bidirectional_media_flows() {
    let rates = [
        (0, Forward, 2_000),
        (20, Forward, 1_000),
        (40, Forward, 500),
        (60, Forward, 2_000),
        (0, Backward, 2_000),
        (35, Backward, 800),
        (70, Backward, 2_000),
    ];
    let mut world = World::new(300, &rates);
    world.media(Forward, 0, 50);
    world.media(Backward, 0, 50);
    world.run(100);
    let [forward, backward] = &world.flows[..] else { unreachable!() };
    let mut case = Case::new("5.3");
    for (from_s, to_s, kbps) in [(10, 20, 1_500), (25, 40, 1_000), (45, 60, 500), (80, 100, 1_500)] {
        let what = format!("forward, {kbps} kbit/s to be had from {from_s} s: kbit/s");
        case.at_least(&what, kbps * 85 / 100, forward.rate(from_s, to_s));
    }
    for (from_s, to_s, kbps) in [(15, 35, 1_500), (45, 70, 800), (85, 100, 1_500)] {
        let what = format!("backward, {kbps} kbit/s to be had from {from_s} s: kbit/s");
        case.at_least(&what, kbps * 80 / 100, backward.rate(from_s, to_s));
    }
    case.at_most("both congested: ms of queue (95 %)", 100, longest_wait(&world, 45, 60));
    case.at_most("both congested: lost of 1,000", 5, most_lost(&world, 45, 60));
    case.at_most("octets of feedback a second", 600, forward.feedback_octets / 100);
}

/// Expected: flows that come later get their share, and those before give way.
#[test]
fn competing_media_flows_with_the_same_congestion_control() {
    let mut world = World::new(300, &[(0, Forward, 3_500)]);
    for from_s in [0, 20, 40] {
        world.media(Forward, from_s, 50);
    }
    world.run(120);
    let mut case = Case::new("5.4");
    case.at_most("second flow: seconds until it has half a share (750 kbit/s)", 5, world.flows[1].reaches(750, 20));
    case.at_most("third flow: seconds until it has half a share (580 kbit/s)", 5, world.flows[2].reaches(580, 40));
    case.at_least("three flows: kbit/s together after 20 s", 3_000, together(&world, 60, 120));
    case.at_least("three flows: % of fairness after 20 s", 95, fairness(&world, 60, 120));
    case.at_most("three flows: ms of queue after 20 s (95 %)", 60, longest_wait(&world, 60, 120));
    case.at_most("three flows: lost of 1,000", 5, most_lost(&world, 40, 120));
}

/// Expected: flows share alike whatever their round trips.
#[test]
fn round_trip_time_fairness() {
    let mut world = World::new(300, &[(0, Forward, 4_000)]);
    for (n, delay_ms) in [10, 25, 50, 100, 150].into_iter().enumerate() {
        world.media(Forward, 10 * n as u64, delay_ms);
    }
    world.run(300);
    let mut case = Case::new("5.5");
    case.at_least("five flows: kbit/s together after 60 s", 3_400, together(&world, 100, 300));
    case.at_least("five flows: % of fairness after 60 s", 85, fairness(&world, 100, 300));
    case.at_least("delay of 10 ms: kbit/s", 300, world.flows[0].rate(100, 300));
    case.at_least("delay of 150 ms: kbit/s", 300, world.flows[4].rate(100, 300));
    case.at_most("five flows: ms of queue after 60 s (95 %)", 60, longest_wait(&world, 100, 300));
}

/// Expected: no collapse, and neither starves the other; delay is what TCP makes of the queue.
#[test]
fn media_flow_competing_with_a_long_tcp_flow() {
    for queue_ms in [300, 1_000] {
        let mut world = World::new(queue_ms, &[(0, Forward, 2_000)]);
        world.media(Forward, 5, 50);
        world.tcp(50, |number| Tcp::new(number, 0, Load::Endless));
        world.run(120);
        let mut case = Case::new("5.6");
        let name = |what| format!("queue of {queue_ms} ms: {what}");
        case.at_least(&name("kbit/s of media, least in 10 s"), 200, least(&world, 20, 120));
        case.at_least(&name("kbit/s of media"), 250, world.flows[0].rate(20, 120));
        case.at_least(&name("kbit/s of TCP"), 1_000, world.tcps[0].rate(20, 120));
        case.at_most(&name("lost of 1,000"), 30, world.flows[0].lost_permille(20, 120));
    }
}

/// Least rate of any flow in ten seconds.
fn least(world: &World, from_s: u64, to_s: u64) -> u64 {
    let spans = (from_s..to_s).step_by(10);
    spans.flat_map(|from| world.flows.iter().map(move |flow| flow.rate(from, from + 10))).min().unwrap()
}

/// Expected: no starvation while short flows come and go, and recovery after.
#[test]
fn media_flow_competing_with_short_tcp_flows() {
    let mut world = World::new(300, &[(0, Forward, 2_000)]);
    world.media(Forward, 5, 50);
    world.media(Forward, 5, 50);
    (0..10).for_each(|_| world.tcp(50, |number| Tcp::files(number, 300_000)));
    world.run(360);
    let mut case = Case::new("5.7");
    case.at_least("kbit/s of a flow, least in 10 s (at least the least of the video)", 150, least(&world, 20, 300));
    case.at_least("kbit/s of both flows", 500, together(&world, 20, 300));
    let tcp: u64 = world.tcps.iter().map(|tcp| tcp.rate(20, 300)).sum();
    case.at_least("kbit/s of the TCP flows (their files allow 320)", 250, tcp);
    case.at_most("lost of 1,000", 10, most_lost(&world, 20, 300));
    case.at_least("kbit/s of both flows 30 s after", 1_600, together(&world, 330, 360));
    case.at_least("% of fairness 30 s after", 90, fairness(&world, 330, 360));
}

/// Expected: the others use what is free, and the one that comes back gets its share again without harm.
#[test]
fn media_pause_and_resume() {
    let mut world = World::new(300, &[(0, Forward, 3_500)]);
    world.media(Forward, 0, 50).paused_ms = (40_000, 60_000);
    world.media(Forward, 0, 50);
    world.media(Forward, 0, 50);
    world.run(120);
    let mut case = Case::new("5.8");
    case.at_least("pause: kbit/s of the others (they can use 3,000) after 10 s", 2_850, together(&world, 50, 60));
    case.at_most("resumed: seconds until half a share (580 kbit/s)", 5, world.flows[0].reaches(580, 60));
    case.at_most("resumed: ms of queue in the first 5 s (95 %)", 100, longest_wait(&world, 60, 65));
    case.at_most("resumed: lost of 1,000", 5, most_lost(&world, 60, 120));
    case.at_least("resumed: kbit/s together after 10 s", 3_000, together(&world, 70, 120));
    case.at_least("resumed: % of fairness after 30 s", 95, fairness(&world, 90, 120));
}
