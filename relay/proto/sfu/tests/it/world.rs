//! A publisher, a link, a track, and a subscription, on a clock of their own.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap, HashSet};

use arrayvec::ArrayVec;
use raceway_rtp::rtcp::SenderInfo;
use raceway_rtp::{Extension, ExtensionIds, Extensions, Header};
use raceway_sfu::{Egress, Forward, HistorySize, Setup, Source, Start, Subscription, Track, Want};
use raceway_sys::allocations;
use raceway_units::{Instant, Random};

use crate::publisher::{DESCRIPTOR_ID, Encoder, Model, Wire};
use crate::receiver::{Fate, Record, Sent, tag};

pub const ROUND_TRIP: Duration = Duration::from_millis(40);
/// Milliseconds between times.
pub const TIME_MS: u64 = 20;

/// What the link does, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    pub loss: u64,
    /// Of what is sent again.
    pub loss_again: u64,
    pub late: u64,
    pub twice: u64,
}

pub struct World {
    pub model: Model,
    pub track: Track,
    pub subscription: Subscription,
    pub record: Record,
    pub encoders: Vec<Encoder>,
    pub now_ms: u64,
    egress: Egress,
    random: Random,
    link: Link,
    /// Packets that arrive, by microsecond and a number that keeps their order.
    flying: BTreeMap<(u64, u64), Wire>,
    flown: u64,
    /// All that was sent, for repetition.
    sent: HashMap<(u8, u16), Wire>,
    times: u32,
    /// Sender reports are sent.
    pub reports: bool,
}

impl World {
    pub fn new(model: Model, encodings: u8, link: Link, seed: u64) -> Self {
        let clock_rate = if model == Model::Audio { 48_000 } else { 90_000 };
        let history = HistorySize { packets: 1_024, octets: 256 * 1_024 };
        let setup = Setup { codec: model.codec(), clock_rate, encodings, repairs: true, history };
        let ids = ExtensionIds::default().with(Extension::Descriptor, DESCRIPTOR_ID);
        let types = |pair| [pair].into_iter().collect::<ArrayVec<_, 8>>();
        let egress = Egress {
            ssrc: 7,
            payload_types: types((96, 100)),
            repair: Some((8, types((100, 101)))),
            ids: ids.with(Extension::Mid, 4).with(Extension::TransportSequence, 3),
            mid: b"0".iter().copied().collect(),
            names_source: false,
        };
        let mut random = Random::new(seed);
        let start = Start { sequence: random.next() as u16, timestamp: random.next() as u32, repair: 0 };
        let record = Record {
            model,
            truths: Vec::new(),
            sent: Vec::new(),
            fates: HashMap::new(),
            reached: HashSet::new(),
            ids: egress.ids,
            rising: HashSet::new(),
        };
        Self {
            model,
            track: Track::new(&setup),
            subscription: Subscription::new(model != Model::Audio, clock_rate, start),
            record,
            encoders: (0..encodings).map(|encoding| Encoder::new(model, encoding, seed)).collect(),
            now_ms: 1_000,
            egress,
            random,
            link,
            flying: BTreeMap::new(),
            flown: 0,
            sent: HashMap::new(),
            times: 0,
            reports: true,
        }
    }

    pub fn now(&self) -> Instant {
        Instant::from_ns(self.now_ms * 1_000_000)
    }

    pub fn select(&mut self, source: u8, spatial: u8, temporal: u8) {
        self.subscription.select(Want { source: Source(source), spatial, temporal });
    }

    fn fly(&mut self, wire: Wire, at_us: u64) {
        self.flown += 1;
        self.flying.insert((at_us, self.flown), wire);
    }

    /// One time: frames are made and sent, and what arrives is forwarded.
    pub fn step(&mut self) {
        let units = if self.model == Model::Audio { 960 } else { 1_800 };
        let mut wires = Vec::new();
        for at in 0..self.encoders.len() {
            wires.push(self.encoders[at].encode(self.times, units, &mut self.record.truths));
            if self.reports && self.times.is_multiple_of(25) {
                let ntp = u64::from(self.times) * TIME_MS * (1 << 32) / 1_000 + (0xe000_0000 << 32);
                let info = SenderInfo { ntp, rtp: self.encoders[at].timestamp(), packets: 0, octets: 0 };
                self.track.sender_report(Source(at as u8), &info);
            }
        }
        self.times += 1;
        let start = self.now_ms * 1_000;
        // Streams share the link: their packets alternate as they come.
        let mut at = start;
        while wires.iter().any(|stream| !stream.is_empty()) {
            let stream = self.random.below(wires.len() as u64) as usize;
            if wires[stream].is_empty() {
                continue;
            }
            let wire = wires[stream].remove(0);
            at += 200;
            self.send(wire, at);
        }
        for _ in 0..TIME_MS {
            self.now_ms += 1;
            self.arrive();
            self.feed_back();
        }
    }

    fn send(&mut self, wire: Wire, at_us: u64) {
        self.sent.insert((wire.encoding, wire.sequence), wire.clone());
        let late = self.random.below(1_000) < self.link.late;
        let delay = if late { self.random.below(60_000) } else { 0 };
        if self.random.below(1_000) < self.link.twice {
            self.fly(wire.clone(), at_us + delay + self.random.clone().below(30_000));
        }
        if self.random.below(1_000) >= self.link.loss {
            self.fly(wire, at_us + delay);
        }
    }

    fn arrive(&mut self) {
        let later = self.flying.split_off(&(self.now_ms * 1_000, 0));
        let arrived = core::mem::replace(&mut self.flying, later);
        arrived.into_values().for_each(|wire| self.receive(&wire));
    }

    fn receive(&mut self, wire: &Wire) {
        let source = Source(wire.encoding);
        let header = Header::read(&wire.octets).expect("RTP");
        let extensions = Extensions::read(&wire.octets, &header, &self.record.ids_in());
        let before = allocations::of_this_thread();
        let result = self.track.receive(self.now(), source, &wire.octets, &header, &extensions);
        let Ok(packet) = result else { return };
        let decision = self.subscription.offer(&packet, &self.track.targets(source));
        let mut out = [0; 600];
        let written = decision.map(|forward| self.egress.write(&forward, &packet, &wire.octets, None, &mut out));
        assert_eq!(allocations::of_this_thread(), before, "packets take no memory");
        self.record.reached.insert((wire.encoding, packet.sequence));
        let fate = match (decision, written) {
            (Ok(forward), Ok(written)) => {
                let fill = matches!(forward, Forward::Fill { .. });
                let octets = out[..written.expect("room").length].to_vec();
                self.record.sent.push(Sent { octets, fill, encoding: wire.encoding, sequence: packet.sequence });
                if fill { Fate::Filled } else { Fate::Forwarded }
            }
            (Err(drop), _) | (_, Err(drop)) => Fate::Dropped(drop),
        };
        if self.subscription.current().is_some_and(|(_, limit)| limit.rising) {
            self.record.rising.insert((wire.encoding, self.record.truths[wire.frame as usize].time));
        }
        let before = self.record.fates.insert((wire.frame, wire.index), fate);
        assert_eq!(before, None, "offered twice");
    }

    /// What a subscriber asks for again: what it gets, without the number before it.
    pub fn ask_again(&mut self, number: u16) -> Option<Vec<u8>> {
        let (source, sequence) = self.subscription.nack(self.now(), number, ROUND_TRIP).ok()?;
        let (packet, octets) = self.track.history().get(source, sequence)?;
        let (forward, repetition) = self.subscription.repeat(packet).ok()?;
        let mut out = [0; 600];
        let written = self.egress.write(&forward, packet, octets, Some(repetition), &mut out).expect("room");
        Some(out[..written.length].to_vec())
    }

    fn feed_back(&mut self) {
        let now = self.now();
        for at in 0..self.encoders.len() {
            let source = Source(at as u8);
            for sequence in self.track.nacks(now, source, ROUND_TRIP) {
                if self.random.below(1_000) >= self.link.loss_again
                    && let Some(wire) = self.sent.get(&(at as u8, sequence)).cloned()
                {
                    self.fly(wire, self.now_ms * 1_000 + 40_000);
                }
            }
        }
        let wanted = self.subscription.wanted().map_or(Source(0), |want| want.source);
        if let Some(source) = self.subscription.poll_key_frame(now, &self.track.targets(wanted)) {
            self.track.request_key_frame(source);
        }
        while let Some(source) = self.track.poll_key_frame(now) {
            self.encoders[usize::from(source.0)].wants_key = true;
        }
    }

    pub fn steps(&mut self, times: u32) {
        (0..times).for_each(|_| self.step());
    }

    /// Lets everything arrive, and holds what was sent against all rules.
    pub fn finish(mut self) -> Record {
        let none = Link::default();
        self.link = none;
        for _ in 0..200 {
            self.now_ms += 1;
            self.arrive();
        }
        self.record.check();
        self.record
    }

    /// The last whole frame that was sent.
    pub fn last_tag(&self) -> Option<(u32, u16)> {
        let sent = self.record.sent.iter().rfind(|sent| !sent.fill)?;
        let header = Header::read(&sent.octets)?;
        Some(tag(header.payload.of(&sent.octets)))
    }
}

impl Record {
    /// Identifiers that publishers use.
    fn ids_in(&self) -> ExtensionIds {
        ExtensionIds::default().with(Extension::Descriptor, DESCRIPTOR_ID)
    }
}
