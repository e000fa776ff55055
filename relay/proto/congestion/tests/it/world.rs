//! A dumbbell, as RFC 8867 has it: flows share a bottleneck in each direction, and have their own delay beyond it.

use std::time::Duration;

use raceway_netem::{Config, Link};
use raceway_units::Instant;

use crate::flow::Flow;
use crate::tcp::{ACKNOWLEDGEMENT, SEGMENT, Tcp};

/// What is on its way.
#[derive(Clone, Debug)]
pub enum Packet {
    Media { flow: usize, number: u16, octets: usize, sent: Instant },
    Feedback { flow: usize, message: Vec<u8> },
    Segment { flow: usize, number: u64 },
    Acknowledgement { flow: usize, number: u64 },
}

impl Packet {
    fn octets(&self) -> usize {
        match self {
            Self::Media { octets, .. } => *octets,
            Self::Feedback { message, .. } => message.len(),
            Self::Segment { .. } => SEGMENT,
            Self::Acknowledgement { .. } => ACKNOWLEDGEMENT,
        }
    }

    /// Which end it belongs to, media flows first.
    fn end(&self, media: usize) -> usize {
        match self {
            Self::Media { flow, .. } | Self::Feedback { flow, .. } => *flow,
            Self::Segment { flow, .. } | Self::Acknowledgement { flow, .. } => media + flow,
        }
    }
}

/// Where a flow's media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward = 0,
    Backward = 1,
}

pub struct World {
    bottlenecks: [Link<Packet>; 2],
    /// Beyond the bottleneck: of each media flow, then of each TCP flow, its way there and back.
    ways: Vec<[Link<Packet>; 2]>,
    directions: Vec<Direction>,
    pub flows: Vec<Flow>,
    pub tcps: Vec<Tcp>,
    /// At which second a direction's bottleneck has which kbit/s.
    rates: Vec<(u64, Direction, u64)>,
    now_ms: u64,
}

pub fn at_ms(ms: u64) -> Instant {
    Instant::from_ns(ms * 1_000_000)
}

impl World {
    /// Bottlenecks with a drop-tail queue of so long; none backward, unless a rate is given.
    pub fn new(queue_ms: u64, rates: &[(u64, Direction, u64)]) -> Self {
        let config = Config { queue: Duration::from_millis(queue_ms), ..Config::default() };
        let bottlenecks = [1, 2].map(|seed| Link::new(config, seed));
        let (ways, directions) = (Vec::new(), Vec::new());
        Self { bottlenecks, ways, directions, flows: Vec::new(), tcps: Vec::new(), rates: rates.to_vec(), now_ms: 0 }
    }

    fn way(&mut self, direction: Direction, delay_ms: u64, jitter_ms: u64) {
        let (delay, jitter) = (Duration::from_millis(delay_ms), Duration::from_millis(jitter_ms));
        let config = Config { delay, jitter, distribution: raceway_netem::Distribution::Normal, ..Config::default() };
        let seed = 100 + 2 * self.ways.len() as u64;
        self.ways.push([Link::new(config, seed), Link::new(config, seed + 1)]);
        self.directions.push(direction);
    }

    /// Adds a media flow that begins at a second. All of them come before TCP flows.
    pub fn media(&mut self, direction: Direction, from_s: u64, delay_ms: u64) -> &mut Flow {
        assert!(self.tcps.is_empty());
        // Up to 30 ms from end to end (RFC 8867): three standard deviations each way.
        self.way(direction, delay_ms, 5);
        self.flows.push(Flow::new(self.flows.len(), from_s * 1000, Duration::from_millis(delay_ms)));
        self.flows.last_mut().unwrap()
    }

    /// Adds a flow that forwards layers, from the beginning.
    pub fn forwarded(&mut self, delay_ms: u64, layers: &[u64]) {
        self.way(Direction::Forward, delay_ms, 5);
        self.flows.push(Flow::forwarding(self.flows.len(), Duration::from_millis(delay_ms), layers));
    }

    pub fn tcp(&mut self, delay_ms: u64, make: impl FnOnce(usize) -> Tcp) {
        self.way(Direction::Forward, delay_ms, 0);
        let number = self.tcps.len();
        self.tcps.push(make(number));
    }

    pub fn run(&mut self, to_s: u64) {
        while self.now_ms < to_s * 1000 {
            self.step();
            self.now_ms += 1;
        }
    }

    fn step(&mut self) {
        let now = at_ms(self.now_ms);
        for &(second, direction, kbps) in &self.rates {
            if second * 1000 == self.now_ms {
                self.bottlenecks[direction as usize].set_rate(Some(kbps * 1000), now);
            }
        }
        self.pass(now);
        self.arrive(now);
        let Self { bottlenecks, directions, flows, tcps, now_ms, .. } = self;
        let media = flows.len();
        for (flow, direction) in flows.iter_mut().zip(&*directions) {
            let mut put = |way: usize, packet: Packet| put(&mut bottlenecks[way], packet, now);
            flow.send(*now_ms, |packet| put(*direction as usize, packet));
            flow.give_feedback(now, |packet| put(1 - *direction as usize, packet));
        }
        for (tcp, direction) in tcps.iter_mut().zip(&directions[media..]) {
            tcp.send(*now_ms, |packet| put(&mut bottlenecks[*direction as usize], packet, now));
        }
    }

    /// What has passed the bottlenecks goes its own way.
    fn pass(&mut self, now: Instant) {
        for way in [0, 1] {
            while let Some(delivery) = self.bottlenecks[way].poll(now) {
                let end = delivery.payload.end(self.flows.len());
                put(&mut self.ways[end][way], delivery.payload, delivery.at);
            }
        }
    }

    fn arrive(&mut self, now: Instant) {
        for end in 0..self.ways.len() {
            for way in [0, 1] {
                while let Some(delivery) = self.ways[end][way].poll(now) {
                    self.take(delivery.payload, delivery.at, 1 - way, now);
                }
            }
        }
    }

    fn take(&mut self, packet: Packet, at: Instant, back: usize, now: Instant) {
        match packet {
            Packet::Media { flow, number, octets, sent } => self.flows[flow].receive(number, octets, sent, at),
            Packet::Feedback { flow, message } => self.flows[flow].hear(&message, now),
            Packet::Segment { flow, number } => {
                put(&mut self.bottlenecks[back], Packet::Acknowledgement { flow, number }, now);
            }
            Packet::Acknowledgement { flow, number } => self.tcps[flow].hear(number, at),
        }
    }
}

/// What a queue has no room for is gone, as it would be.
fn put(link: &mut Link<Packet>, packet: Packet, at: Instant) {
    let octets = packet.octets();
    let _ = link.handle(packet, octets, at);
}
