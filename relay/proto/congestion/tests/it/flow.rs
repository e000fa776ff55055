//! A media flow: an encoder that follows the estimate, a pacer, and a receiver that gives feedback.

use std::time::Duration;

use raceway_congestion::limits::MESSAGE_OCTETS;
use raceway_congestion::transport_wide::{Feedback, Recorder};
use raceway_congestion::{BitRate, Bounds, Class, Estimator, Pacer, Send, Subscription, allocate};
use raceway_units::{Instant, Random};

use crate::world::{Packet, at_ms};

/// Video of RFC 8867: 150 kbit/s to 1.5 Mbit/s, 30 frames a second.
pub const VIDEO: (u64, u64) = (150, 1_500);
const FRAME_US: u64 = 33_333;
/// How much a frame differs from the mean, up or down, at most.
const FRAME_SPREAD: f64 = 0.25;
/// How often an encoder takes another rate.
const ENCODER_MS: u64 = 200;
const PACKET: usize = 1000;

/// A packet that arrived: when, how large, and how long it took beyond propagation.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    ms: u64,
    sent_ms: u64,
    octets: usize,
    waited: Duration,
}

pub struct Flow {
    pub number: usize,
    pub from_ms: u64,
    pub to_ms: u64,
    /// Without media from one to the other.
    pub paused_ms: (u64, u64),
    pub estimator: Estimator,
    pacer: Pacer<u16>,
    recorder: Recorder,
    random: Random,
    frame_at: u64,
    /// The rate of what is encoded or forwarded, and when it changes next.
    encoder: (u64, BitRate),
    /// If it is not an encoder that follows the estimate but a stream that is forwarded: its layers.
    pub forwarded: Option<Subscription>,
    /// When the layer changed, and to which.
    pub switches: Vec<(u64, Option<u8>)>,
    propagation: Duration,
    arrived: Vec<Arrived>,
    sent: Vec<u64>,
    targets: Vec<(u64, BitRate)>,
    pub feedback_octets: u64,
    pub padding_octets: u64,
}

impl Flow {
    pub fn new(number: usize, from_ms: u64, propagation: Duration) -> Self {
        Self::between_rates(number, from_ms, propagation, VIDEO)
    }

    /// A flow that forwards a stream of these layers (kbit/s), and begins at once.
    pub fn forwarding(number: usize, propagation: Duration, layers: &[u64]) -> Self {
        let mut one = Subscription::new(1);
        one.layers.extend(layers.iter().map(|kbps| BitRate::from_kbps(*kbps)));
        one.wanted = Some(layers.len() as u8 - 1);
        Self { forwarded: Some(one), ..Self::between_rates(number, 0, propagation, (50, 10_000)) }
    }

    fn between_rates(number: usize, from_ms: u64, propagation: Duration, (least, most): (u64, u64)) -> Self {
        let [min, start, max] = [least, 300, most].map(BitRate::from_kbps);
        let bounds = Bounds { min, start, max };
        Self {
            number,
            from_ms,
            to_ms: u64::MAX,
            paused_ms: (0, 0),
            estimator: Estimator::new(bounds, at_ms(from_ms)),
            pacer: Pacer::new(start),
            recorder: Recorder::new(1, 2),
            random: Random::of(17, number as u64),
            // Encoders do not run in step.
            frame_at: from_ms * 1000 + number as u64 * 7_001 % FRAME_US,
            encoder: (from_ms, start),
            forwarded: None,
            switches: Vec::new(),
            propagation,
            arrived: Vec::new(),
            sent: Vec::new(),
            targets: Vec::new(),
            feedback_octets: 0,
            padding_octets: 0,
        }
    }

    /// A millisecond of the sender: what goes out.
    pub fn send(&mut self, now_ms: u64, mut out: impl FnMut(Packet)) {
        if now_ms < self.from_ms || now_ms >= self.to_ms {
            return;
        }
        let now = at_ms(now_ms);
        if self.estimator.poll_timeout() <= now {
            self.estimator.handle_timeout(now);
        }
        let target = self.estimator.estimate(now).target;
        if now_ms.is_multiple_of(100) {
            self.targets.push((now_ms, target));
        }
        self.encode(now_ms, target);
        self.pacer.handle_rate(target);
        if !self.paused(now_ms)
            && let Some(probe) = self.estimator.poll_probe(now)
        {
            self.pacer.handle_probe(probe);
        }
        while let Some(send) = self.pacer.poll(now) {
            let (octets, probe) = match send {
                Send::Media { packet, probe } => (usize::from(packet), probe),
                Send::Padding { octets, probe } => {
                    self.padding_octets += octets as u64;
                    (octets, Some(probe))
                }
            };
            let number = self.estimator.sent(octets, probe, now);
            self.sent.push(now_ms);
            out(Packet::Media { flow: self.number, number, octets, sent: now });
        }
    }

    fn paused(&self, now_ms: u64) -> bool {
        (self.paused_ms.0..self.paused_ms.1).contains(&now_ms)
    }

    fn encode(&mut self, now_ms: u64, target: BitRate) {
        if now_ms >= self.encoder.0 {
            self.encoder = (now_ms + ENCODER_MS, self.follow(now_ms, target));
        }
        while self.frame_at <= now_ms * 1000 {
            self.frame_at += FRAME_US;
            let spread = 1.0 + FRAME_SPREAD * (2.0 * self.random.fraction() - 1.0);
            let mut octets = self.encoder.1.times(spread).octets_in(Duration::from_micros(FRAME_US)) as usize;
            if self.paused(now_ms) {
                continue;
            }
            while octets > 0 {
                let packet = octets.min(PACKET);
                octets -= packet;
                let _ = self.pacer.handle(Class::Video, packet as u16, packet as u16);
            }
        }
    }

    /// The rate that an encoder takes for a target, or that of the layer that fits.
    fn follow(&mut self, now_ms: u64, target: BitRate) -> BitRate {
        let Some(one) = &mut self.forwarded else {
            let [least, most] = [VIDEO.0, VIDEO.1].map(BitRate::from_kbps);
            return target.clamp(least, most);
        };
        let allocation = allocate(target, std::slice::from_mut(one), at_ms(now_ms));
        if allocation.changed > 0 {
            self.switches.push((now_ms, one.layer()));
        }
        self.estimator.handle_wanted(allocation.wanted);
        allocation.used
    }

    /// A media packet arrived.
    pub fn receive(&mut self, number: u16, octets: usize, sent: Instant, at: Instant) {
        let waited = at.since(sent).saturating_sub(self.propagation);
        let [ms, sent_ms] = [at, sent].map(|time| time.as_ns() / 1_000_000);
        self.arrived.push(Arrived { ms, sent_ms, octets, waited });
        self.recorder.handle_packet(number, at);
    }

    /// A millisecond of the receiver: feedback that goes back.
    pub fn give_feedback(&mut self, now: Instant, mut out: impl FnMut(Packet)) {
        let mut message = [0; MESSAGE_OCTETS];
        while let Some(octets) = self.recorder.poll(&mut message, now) {
            self.feedback_octets += octets as u64;
            out(Packet::Feedback { flow: self.number, message: message[..octets].to_vec() });
        }
    }

    /// Feedback arrived.
    pub fn hear(&mut self, message: &[u8], at: Instant) {
        self.estimator.handle_feedback(&Feedback::read(message).unwrap(), at);
    }

    /// Kbit/s that arrived between two seconds.
    pub fn rate(&self, from_s: u64, to_s: u64) -> u64 {
        let octets = self.between(from_s, to_s).map(|one| one.octets as u64).sum::<u64>();
        octets * 8 / (to_s - from_s) / 1000
    }

    /// Milliseconds of queue that all but so many percent of the packets met less than.
    pub fn wait_ms(&self, from_s: u64, to_s: u64, percent: usize) -> u64 {
        let mut waits: Vec<_> = self.between(from_s, to_s).map(|one| one.waited).collect();
        waits.sort_unstable();
        let index = (waits.len() * percent / 100).min(waits.len().saturating_sub(1));
        waits.get(index).map_or(0, |wait| wait.as_millis() as u64)
    }

    /// Packets in a thousand that were sent between two seconds and lost.
    pub fn lost_permille(&self, from_s: u64, to_s: u64) -> u64 {
        let within = from_s * 1000..to_s * 1000;
        let sent = self.sent.iter().filter(|ms| within.contains(*ms)).count() as u64;
        let arrived = self.arrived.iter().filter(|one| within.contains(&one.sent_ms)).count() as u64;
        (sent - arrived) * 1000 / sent.max(1)
    }

    /// Seconds after `from_s` until what arrives in a second is first at least so many kbit/s.
    pub fn reaches(&self, kbps: u64, from_s: u64) -> u64 {
        (1..100).find(|after| self.rate(from_s + after - 1, from_s + after) >= kbps).unwrap_or(100)
    }

    /// Seconds after `from_s` until the queue is first met for less than so many milliseconds by nearly all of a second.
    pub fn drains(&self, wait_ms: u64, from_s: u64) -> u64 {
        (1..100).find(|after| self.wait_ms(from_s + after - 1, from_s + after, 95) < wait_ms).unwrap_or(100)
    }

    /// Lowest and highest target between two seconds, kbit/s.
    pub fn targets(&self, from_s: u64, to_s: u64) -> (u64, u64) {
        let within = self.targets.iter().filter(|(ms, _)| (from_s * 1000..to_s * 1000).contains(ms));
        let kbps = within.map(|(_, target)| target.as_bps() / 1000);
        kbps.fold((9999, 0), |(low, high), one| (low.min(one), high.max(one)))
    }

    fn between(&self, from_s: u64, to_s: u64) -> impl Iterator<Item = &Arrived> {
        self.arrived.iter().filter(move |one| (from_s * 1000..to_s * 1000).contains(&one.ms))
    }
}
