//! When what is sent: media spread over time, and probes.

use std::collections::VecDeque;

use core::time::Duration;

use raceway_units::Instant;

use crate::limits::{PACER_PACKETS, PACER_QUEUE, PADDING_OCTETS};
use crate::{BitRate, Probe, ProbeId};

/// How much faster than the target media may go: a key frame does not take longer than it must, and does not fill a queue
/// at once.
const FASTER: f64 = 1.5;
/// What may go together (GCC section 4: burst_time).
const BURST: Duration = Duration::from_millis(5);

/// What kind of packet it is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Goes at once, and what it takes is taken from the others.
    Audio = 0,
    /// Before other video: somebody waits for it.
    Retransmission = 1,
    /// In its order.
    Video = 2,
}

/// What to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send<T> {
    /// A packet that was handed in.
    Media {
        /// The packet.
        packet: T,
        /// The probe it belongs to.
        probe: Option<ProbeId>,
    },
    /// Nothing in particular: padding, or something sent before.
    Padding {
        /// Octets of UDP payload, at most `PADDING_OCTETS`.
        octets: usize,
        /// The probe it belongs to.
        probe: ProbeId,
    },
}

#[derive(Clone, Copy, Debug)]
struct Waiting<T> {
    packet: T,
    octets: u16,
}

#[derive(Clone, Copy, Debug)]
struct Probing {
    probe: Probe,
    octets: u64,
    packets: u32,
}

/// Queues of one subscriber, of handles to packets (`T`), emptied at a rate.
///
/// A queue has room for `PACER_PACKETS`; with handles of four octets all take `PACER_OCTETS` at most.
#[derive(Debug)]
pub struct Pacer<T> {
    queues: [VecDeque<Waiting<T>>; 3],
    octets: u64,
    rate: BitRate,
    /// When what was sent has passed at the rate.
    free_at: Instant,
    probing: Option<Probing>,
}

impl<T: Copy> Pacer<T> {
    /// Empty queues, for a target.
    #[must_use]
    pub fn new(target: BitRate) -> Self {
        let queue = || VecDeque::with_capacity(PACER_PACKETS);
        let queues = [queue(), queue(), queue()];
        Self { queues, octets: 0, rate: target.times(FASTER), free_at: Instant::default(), probing: None }
    }

    /// The target is another one.
    pub fn handle_rate(&mut self, target: BitRate) {
        self.rate = target.times(FASTER);
    }

    /// Sends this probe next; one that was on its way is over.
    pub const fn handle_probe(&mut self, probe: Probe) {
        self.probing = Some(Probing { probe, octets: 0, packets: 0 });
    }

    /// A packet of so many octets of UDP payload.
    ///
    /// # Errors
    /// Its queue is full: the packet, back.
    pub fn handle(&mut self, class: Class, packet: T, octets: u16) -> Result<(), T> {
        let queue = &mut self.queues[class as usize];
        if queue.len() >= PACER_PACKETS {
            return Err(packet);
        }
        queue.push_back(Waiting { packet, octets });
        self.octets += u64::from(octets);
        Ok(())
    }

    /// What to send now, if anything. Call it again until there is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Send<T>> {
        if let Some(audio) = self.queues[Class::Audio as usize].pop_front() {
            // It belongs to no probe: it would go whatever the rate.
            self.octets -= u64::from(audio.octets);
            self.pass(audio.octets.into(), now);
            return Some(Send::Media { packet: audio.packet, probe: None });
        }
        if self.free_at > now {
            return None;
        }
        let probe = self.probing.map(|probing| probing.probe.id);
        let [_, urgent, video] = &mut self.queues;
        if let Some(Waiting { packet, octets }) = urgent.pop_front().or_else(|| video.pop_front()) {
            self.pass(octets.into(), now);
            self.octets -= u64::from(octets);
            self.count(octets.into());
            return Some(Send::Media { packet, probe });
        }
        let probe = probe?;
        self.pass(PADDING_OCTETS as u64, now);
        self.count(PADDING_OCTETS as u64);
        Some(Send::Padding { octets: PADDING_OCTETS, probe })
    }

    /// When `poll` has something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.queues[Class::Audio as usize].is_empty() {
            return Some(Instant::default());
        }
        (self.octets > 0 || self.probing.is_some()).then_some(self.free_at)
    }

    /// Octets that wait.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Packets that wait.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Drops what waits in a class, and gives how many packets that were: a layer that is not wanted any more.
    pub fn clear(&mut self, class: Class) -> usize {
        let queue = &mut self.queues[class as usize];
        self.octets -= queue.iter().map(|waiting| u64::from(waiting.octets)).sum::<u64>();
        let packets = queue.len();
        queue.clear();
        packets
    }

    fn pass(&mut self, octets: u64, now: Instant) {
        // What is saved up would make a probe faster than it is meant to be.
        let begins = self.probing.is_some_and(|probing| probing.packets == 0);
        let saved = if begins { Duration::ZERO } else { BURST };
        let began = self.free_at.max(Instant::from_ns(now.as_ns().saturating_sub(saved.as_nanos() as u64)));
        self.free_at = began.after(self.pace().time_for(octets));
    }

    fn pace(&self) -> BitRate {
        let drains = BitRate::of(self.octets, PACER_QUEUE);
        let rate = self.rate.max(drains);
        self.probing.map_or(rate, |probing| rate.max(probing.probe.rate))
    }

    fn count(&mut self, octets: u64) {
        if let Some(probing) = &mut self.probing {
            probing.octets += octets;
            probing.packets += 1;
            if probing.octets >= probing.probe.octets && probing.packets >= probing.probe.packets {
                self.probing = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PACER_OCTETS;
    use crate::{Bounds, Estimator};

    fn us(us: u64) -> Instant {
        Instant::from_ns(us * 1000)
    }

    /// Everything that goes until then, and when.
    fn run(pacer: &mut Pacer<u32>, from_us: u64, to_us: u64) -> Vec<(u64, Send<u32>)> {
        let at = |at| std::iter::from_fn(|| pacer.poll(us(at))).map(|send| (at, send)).collect::<Vec<_>>();
        (from_us..to_us).step_by(100).flat_map(at).collect()
    }

    fn probe(rate: BitRate) -> Probe {
        let bounds = Bounds { min: BitRate::from_kbps(1), start: rate.times(1.0 / 3.0), max: rate };
        Estimator::new(bounds, us(0)).poll_probe(us(0)).unwrap()
    }

    #[test]
    fn video_is_spread_at_one_and_a_half_times_the_target() {
        let mut pacer = Pacer::new(BitRate::from_kbps(800));
        (0..20).for_each(|n| pacer.handle(Class::Video, n, 1200).unwrap());
        let sent = run(&mut pacer, 10_000, 200_000);
        // 1.2 Mbit/s: 8 ms each, after a burst of 5 ms.
        assert_eq!(sent.len(), 20);
        let apart: Vec<_> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(apart[0] <= 3_100 && apart[1..].iter().all(|apart| (7_900..=8_100).contains(apart)), "{apart:?}");
    }

    #[test]
    fn audio_goes_at_once_and_retransmissions_before_video() {
        let mut pacer = Pacer::new(BitRate::from_kbps(100));
        for (class, packet) in [(Class::Video, 1), (Class::Video, 2), (Class::Retransmission, 3), (Class::Audio, 4)] {
            pacer.handle(class, packet, 1000).unwrap();
        }
        let order: Vec<_> = run(&mut pacer, 0, 1_000_000).into_iter().map(|(_, send)| send).collect();
        let media = |packet| Send::Media { packet, probe: None };
        assert_eq!(order, [4, 3, 1, 2].map(media));
        pacer.handle(Class::Video, 5, 1000).unwrap();
        pacer.poll(us(1_000_000));
        pacer.handle(Class::Audio, 6, 100).unwrap();
        assert_eq!((pacer.poll_timeout(), pacer.poll(us(1_000_000))), (Some(us(0)), Some(media(6))));
        assert_eq!((pacer.octets(), pacer.packets()), (0, 0));
    }

    #[test]
    fn what_waits_longer_than_a_quarter_of_a_second_goes_faster() {
        let mut pacer = Pacer::new(BitRate::from_kbps(100));
        (0..100).for_each(|n| pacer.handle(Class::Video, n, 1200).unwrap());
        let sent = run(&mut pacer, 0, 1_500_000);
        let within = sent.iter().filter(|(at, _)| *at <= 250_000).count();
        assert!(within >= 60, "{within} of 100 within the time");
        assert!(sent.len() >= 95, "{}", sent.len());
    }

    #[test]
    fn a_probe_is_sent_at_its_rate_with_media_first_and_padding_after() {
        let mut pacer = Pacer::new(BitRate::from_kbps(300));
        let probe = probe(BitRate::from_kbps(1_800));
        pacer.handle(Class::Video, 7, 1000).unwrap();
        pacer.handle_probe(probe);
        let sent = run(&mut pacer, 100_000, 300_000);
        assert_eq!(sent[0].1, Send::Media { packet: 7, probe: Some(probe.id) });
        assert!(sent[1..].iter().all(|(_, send)| *send == Send::Padding { octets: PADDING_OCTETS, probe: probe.id }));
        let octets = 1000 + (sent.len() - 1) * PADDING_OCTETS;
        assert!(
            (octets as u64) >= probe.octets && octets as u64 <= probe.octets + 2 * PADDING_OCTETS as u64,
            "{octets}"
        );
        let took = sent[sent.len() - 1].0 - sent[0].0;
        let rate = BitRate::of((octets - PADDING_OCTETS) as u64, Duration::from_micros(took));
        assert!(rate >= BitRate::from_kbps(1_650) && rate <= BitRate::from_kbps(1_850), "{rate}");
        assert_eq!(pacer.poll_timeout(), None);
    }

    #[test]
    fn a_probe_keeps_its_rate_when_it_is_polled_seldom() {
        let mut pacer: Pacer<u32> = Pacer::new(BitRate::from_kbps(300));
        pacer.handle_probe(probe(BitRate::from_kbps(1_500)));
        let at = |ms: u64| std::iter::from_fn(|| pacer.poll(us(ms * 1000))).map(|_| ms).collect::<Vec<_>>();
        let sent: Vec<_> = (50..200).step_by(3).flat_map(at).collect();
        let took = Duration::from_millis(sent[sent.len() - 1] - sent[0]);
        let rate = BitRate::of(((sent.len() - 1) * PADDING_OCTETS) as u64, took);
        assert!(rate >= BitRate::from_kbps(1_350) && rate <= BitRate::from_kbps(1_650), "{rate}");
    }

    #[test]
    fn a_queue_that_is_full_gives_the_packet_back() {
        let mut pacer = Pacer::new(BitRate::from_kbps(300));
        (0..PACER_PACKETS as u32).for_each(|n| pacer.handle(Class::Video, n, 1).unwrap());
        assert_eq!(pacer.handle(Class::Video, 9, 1), Err(9));
        assert_eq!(pacer.handle(Class::Audio, 9, 1), Ok(()));
        assert_eq!((pacer.clear(Class::Video), pacer.octets()), (PACER_PACKETS, 1));
    }

    #[test]
    fn a_pacer_takes_a_bounded_piece_of_memory() {
        let pacer: Pacer<u32> = Pacer::new(BitRate::ZERO);
        let entries: usize = pacer.queues.iter().map(VecDeque::capacity).sum();
        let octets = size_of::<Pacer<u32>>() + entries * size_of::<Waiting<u32>>();
        assert!(octets <= PACER_OCTETS, "{octets}");
    }

    #[test]
    fn an_idle_pacer_saves_no_more_than_a_burst() {
        let mut pacer = Pacer::new(BitRate::from_kbps(800));
        (0..5).for_each(|n| pacer.handle(Class::Video, n, 1200).unwrap());
        assert_eq!(run(&mut pacer, 10_000_000, 10_000_001).len(), 1);
    }
}
