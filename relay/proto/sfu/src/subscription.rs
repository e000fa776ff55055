//! One track as one subscriber gets it: one stream that holds together, whatever happens to what it is made of.

use core::time::Duration;

use raceway_rtp::rtcp::SenderInfo;
use raceway_units::Instant;

use crate::forward::{Descriptor, Forward, Numbers};
use crate::frame::{Packet, Source, Targets};
use crate::limits::{GAP_MAX, LAYER_PATIENCE, RUNS_AUDIO, RUNS_VIDEO, SWITCH_MAX};
use crate::repair::{Repairs, Unrepaired};
use crate::run::{Offsets, Run, Runs};
use crate::selection::{Limit, Selector};

/// What a subscription begins with: random numbers, so that nobody can guess them (RFC 3550 section 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Sequence number of the first packet.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Sequence number of the first repetition.
    pub repair: u16,
}

/// What a subscriber is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The stream.
    pub source: Source,
    /// Up to which spatial layer of it; 255 for all.
    pub spatial: u8,
    /// Up to which temporal layer; 255 for all.
    pub temporal: u8,
}

impl Want {
    /// All of a stream.
    #[must_use]
    pub const fn all(source: Source) -> Self {
        Self { source, spatial: u8::MAX, temporal: u8::MAX }
    }
}

/// Why a packet is not forwarded. The discriminant is the index in [`Counts::dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Drop {
    /// The subscription is paused.
    Paused,
    /// Its stream is not the one that is forwarded.
    Stream,
    /// It is of a layer that is not wanted.
    Layer,
    /// It is nothing but padding.
    Padding,
    /// It is late, and no number was left for it: it was dropped before, or too long ago.
    Late,
}

impl Drop {
    /// How many reasons there are.
    pub const COUNT: usize = Self::Late as usize + 1;
}

/// What a subscription has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were forwarded.
    pub packets: u64,
    /// Octets of their payloads.
    pub octets: u64,
    /// Packets without a payload, for late ones that are not wanted any more.
    pub fills: u64,
    /// Packets that were not, by [`Drop`].
    pub dropped: [u64; Drop::COUNT],
    /// Changes from a stream to another.
    pub switches: u64,
    /// Changes of layers within a stream.
    pub layer_changes: u64,
    /// Changes that were given up since no key frame came.
    pub abandoned: u64,
    /// Packets that were sent once more.
    pub repeats: u64,
    /// Octets of them.
    pub repeated_octets: u64,
}

/// Of the newest frame of the stream that is forwarded, under the numbers of the subscription, for the first of the next stream to go on from.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    timestamp: u32,
    captured: Option<u64>,
    arrived: Instant,
    picture: u16,
    base: u8,
    key_index: u8,
    number: u16,
    /// First template of the receiver's structure, and how many there are.
    templates: (u8, u8),
}

/// A stream that is forwarded.
#[derive(Clone, Copy, Debug)]
struct Current {
    source: Source,
    /// Highest sequence number that was offered.
    last: u64,
    /// Whether that packet passed, and the timestamp and spatial layer of its frame.
    passed: bool,
    frame: (u32, u8),
    offsets: Offsets,
    decodable: Option<u32>,
    targets: u8,
}

/// One track as one subscriber gets it.
#[derive(Clone, Debug)]
pub struct Subscription {
    is_video: bool,
    clock_rate: u32,
    want: Option<Want>,
    current: Option<Current>,
    /// The stream that was forwarded last, with what was taken from its timestamps.
    before: Option<(Source, u32)>,
    selector: Selector,
    newest: Newest,
    runs: Runs,
    repairs: Repairs,
    /// Since when something is wanted that needs a key frame.
    waiting: Option<Instant>,
    counts: Counts,
}

impl Subscription {
    /// Paused, until something is selected.
    #[must_use]
    pub fn new(is_video: bool, clock_rate: u32, start: Start) -> Self {
        let runs = if is_video { RUNS_VIDEO } else { RUNS_AUDIO };
        Self {
            is_video,
            clock_rate,
            want: None,
            current: None,
            before: None,
            selector: Selector::default(),
            newest: Newest { timestamp: start.timestamp.wrapping_sub(1), ..Newest::default() },
            runs: Runs::new(runs, 0x1_0000 + u64::from(start.sequence)),
            repairs: Repairs::new(start.repair),
            waiting: None,
            counts: Counts::default(),
        }
    }

    /// From now on this is wanted. It comes as soon as that can be without harm: see [`Self::poll_key_frame`].
    pub fn select(&mut self, want: Want) {
        if self.want != Some(want) {
            self.waiting = None;
        }
        self.want = Some(want);
        if self.current.is_some_and(|current| current.source == want.source) {
            self.selector.want(want.spatial, want.temporal);
        }
    }

    /// Nothing is wanted. What is on its way still comes; video begins again with a key frame.
    pub fn pause(&mut self) {
        (self.want, self.waiting) = (None, None);
        self.leave();
    }

    fn leave(&mut self) {
        if let Some(current) = self.current.take() {
            self.before = Some((current.source, current.offsets.timestamp));
        }
    }

    /// What is forwarded at present: stream and layers.
    #[must_use]
    pub fn current(&self) -> Option<(Source, Limit)> {
        let limit = if self.is_video { self.selector.limit() } else { Limit::ALL };
        self.current.map(|current| (current.source, limit))
    }

    /// What is wanted.
    #[must_use]
    pub const fn wanted(&self) -> Option<Want> {
        self.want
    }

    /// What it has done.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Decides about a packet of one of its streams.
    ///
    /// Packets of a stream come in the order in which they arrived, each once. `targets` are those of the stream at present.
    ///
    /// # Errors
    /// Why it is not forwarded. That is counted.
    #[inline]
    pub fn offer(&mut self, packet: &Packet, targets: &Targets) -> Result<Forward, Drop> {
        let result = match self.current {
            Some(current) if current.source == packet.source && packet.sequence > current.last => {
                self.in_order(current, packet, targets)
            }
            _ if self.begins(packet) => Ok(self.begin(packet, targets)),
            _ => self.late(packet),
        };
        match &result {
            Ok(Forward::Media(_)) => {
                self.counts.packets += 1;
                self.counts.octets += packet.payload.len() as u64;
                self.repairs.earn(packet.payload.len());
            }
            Ok(Forward::Fill { .. }) => self.counts.fills += 1,
            Err(drop) => self.counts.dropped[*drop as usize] += 1,
        }
        result
    }

    /// Whether the packet is the first of the stream that is wanted.
    fn begins(&self, packet: &Packet) -> bool {
        let wanted = self.want.is_some_and(|want| want.source == packet.source);
        let other = self.current.is_none_or(|current| current.source != packet.source);
        wanted && other && packet.newest && packet.frame.key && !packet.payload.is_empty()
    }

    /// The first packet of a stream.
    fn begin(&mut self, packet: &Packet, targets: &Targets) -> Forward {
        self.leave();
        let offsets = self.offsets(packet);
        if let Some(want) = self.want
            && self.is_video
        {
            self.selector.want(want.spatial, want.temporal);
            self.selector.begin(packet, targets);
        }
        self.counts.switches += u64::from(self.before.is_some_and(|(source, _)| source != packet.source));
        self.waiting = None;
        let mut current = Current {
            source: packet.source,
            last: packet.sequence,
            passed: true,
            frame: (packet.timestamp, packet.frame.spatial),
            offsets,
            decodable: None,
            targets: 0,
        };
        self.see_targets(&mut current, targets);
        self.give(current, packet)
    }

    /// What is to be taken from the numbers of a stream so that `packet` comes after the newest.
    fn offsets(&self, packet: &Packet) -> Offsets {
        let (fields, graph) = (&packet.frame.fields, &packet.frame.graph);
        let Newest { picture, base, key_index, number, templates, .. } = self.newest;
        let template = graph
            .and_then(|graph| graph.structure)
            .map_or(0, |(first, _)| first.wrapping_sub(templates.0.wrapping_add(templates.1)));
        Offsets {
            timestamp: self.timestamp_offset(packet),
            picture: fields.picture.map_or(0, |own| own.value.wrapping_sub(picture.wrapping_add(1))),
            number: graph.map_or(0, |graph| graph.number.wrapping_sub(number.wrapping_add(1))),
            base: fields.base.map_or(0, |(own, _)| own.wrapping_sub(base.wrapping_add(1))),
            key_index: fields.key_index.map_or(0, |(own, _)| own.wrapping_sub(key_index.wrapping_add(1))),
            template,
        }
    }

    /// Timestamps go on by as much time as has passed between captures; between arrivals, if nobody said when that was.
    fn timestamp_offset(&self, packet: &Packet) -> u32 {
        let after = |units: u32| packet.timestamp.wrapping_sub(self.newest.timestamp.wrapping_add(units));
        let Some((source, offset)) = self.before else { return after(1) };
        if source == packet.source {
            let units = packet.timestamp.wrapping_sub(offset).wrapping_sub(self.newest.timestamp);
            return if (1..1 << 31).contains(&units) { offset } else { after(1) };
        }
        let rate = u128::from(self.clock_rate);
        let arrival = packet.arrived.since(self.newest.arrived);
        let arrival_units = (arrival.as_nanos() * rate / 1_000_000_000) as u32;
        let captured = packet.captured.zip(self.newest.captured);
        let captured = captured.map(|(this, newest)| this.saturating_sub(newest));
        let capture_units = captured.map(|passed| ((u128::from(passed) * rate) >> 32) as u32);
        // Clocks of senders may be anything: they are believed as far as arrivals bear them out.
        let believed = capture_units.filter(|units| units.abs_diff(arrival_units) < self.clock_rate);
        after(believed.unwrap_or(arrival_units).clamp(1, 1 << 30))
    }

    /// The next packet in order of the stream that is forwarded.
    fn in_order(&mut self, mut current: Current, packet: &Packet, targets: &Targets) -> Result<Forward, Drop> {
        let gap = packet.sequence - current.last - 1;
        let frame = (packet.timestamp, packet.frame.spatial);
        let padding = packet.payload.is_empty();
        let before = self.selector.limit();
        let torn = !current.passed && !padding && frame == current.frame;
        if gap > 0 && !torn {
            self.leave_numbers(&current, gap);
        }
        let passes = !padding && (!self.is_video || self.selector.next(packet, targets, gap));
        current.last = packet.sequence;
        if padding {
            self.current = Some(current);
            return Err(Drop::Padding);
        }
        if packet.frame.start && self.is_video {
            self.counts.layer_changes += u64::from(self.selector.limit() != before);
            self.see_targets(&mut current, targets);
        }
        if !passes && (current.passed || frame != current.frame) && packet.frame.fields.dense {
            current.offsets.picture = current.offsets.picture.wrapping_add(1);
        }
        (current.passed, current.frame) = (passes, frame);
        if passes {
            return Ok(self.give(current, packet));
        }
        self.current = Some(current);
        self.remember(&current.offsets, packet);
        Err(Drop::Layer)
    }

    /// Leaves a number for each of the `gap` packets that are missing. Of more than [`GAP_MAX`] for none.
    fn leave_numbers(&mut self, current: &Current, gap: u64) {
        if gap <= GAP_MAX {
            let run = self.run(current, current.last + 1, gap as u32);
            self.runs.push(&run);
        }
    }

    fn see_targets(&self, current: &mut Current, targets: &Targets) {
        let target = self.selector.limit().target;
        current.decodable = target.and_then(|target| targets.decodable(target));
        current.targets = if target.is_some() { targets.count() } else { 0 };
    }

    fn run(&self, current: &Current, first_in: u64, length: u32) -> Run {
        let limit = if self.is_video { self.selector.limit() } else { Limit::ALL };
        let Current { source, offsets, decodable, targets, .. } = *current;
        Run { first_in, first_out: 0, length, source, limit, offsets, decodable, targets }
    }

    /// Gives the next number to a packet.
    fn give(&mut self, current: Current, packet: &Packet) -> Forward {
        let run = self.run(&current, packet.sequence, 1);
        let number = self.runs.push(&run);
        let forward = forward(&run, number, packet);
        self.current = Some(current);
        self.remember(&current.offsets, packet);
        Forward::Media(forward)
    }

    /// Keeps what the next stream goes on from. Packets that are dropped count too: one that is missing before them may still
    /// come, and has the numbers just before theirs.
    fn remember(&mut self, offsets: &Offsets, packet: &Packet) {
        let (newest, fields) = (&mut self.newest, &packet.frame.fields);
        newest.timestamp = packet.timestamp.wrapping_sub(offsets.timestamp);
        (newest.captured, newest.arrived) = (packet.captured, packet.arrived);
        if let Some(picture) = fields.picture {
            newest.picture = picture.value.wrapping_sub(offsets.picture);
        }
        if let Some((base, _)) = fields.base {
            newest.base = base.wrapping_sub(offsets.base);
        }
        if let Some((index, _)) = fields.key_index {
            newest.key_index = index.wrapping_sub(offsets.key_index);
        }
        if let Some(graph) = &packet.frame.graph {
            newest.number = graph.number.wrapping_sub(offsets.number);
            if let Some((first, count)) = graph.structure {
                newest.templates = (first.wrapping_sub(offsets.template) % 64, count);
            }
        }
    }

    /// A packet that is not the next of the stream that is forwarded: it gets the number that was left for it.
    fn late(&mut self, packet: &Packet) -> Result<Forward, Drop> {
        let forward = self.find(packet);
        if matches!(forward, Some(Forward::Media(_))) && self.current.is_some_and(|now| now.source == packet.source) {
            self.selector.note(&packet.frame);
        }
        forward.ok_or(match self.current {
            None => Drop::Paused,
            Some(current) if current.source != packet.source => Drop::Stream,
            Some(_) => Drop::Late,
        })
    }

    /// What a packet is under the number that was given to it or left for it, if there is one.
    fn find(&self, packet: &Packet) -> Option<Forward> {
        let (run, number) = self.runs.find(packet.source, packet.sequence)?;
        let numbers = forward(run, number, packet);
        if packet.payload.is_empty() || !run.limit.passes(&packet.frame) {
            return Some(Forward::Fill { sequence: numbers.sequence, timestamp: numbers.timestamp });
        }
        Some(Forward::Media(numbers))
    }

    /// The stream of which a key frame is needed, if one is. To be asked about once a turn; the answer is for
    /// `Track::request_key_frame`, which asks as seldom as it must.
    ///
    /// What is not to be had within [`SWITCH_MAX`] is given up: what is forwarded goes on, and is what is wanted then.
    pub fn poll_key_frame(&mut self, now: Instant, targets: &Targets) -> Option<Source> {
        let want = self.want.filter(|_| self.is_video)?;
        let switching = self.current.is_none_or(|current| current.source != want.source);
        if !switching && !self.selector.is_waiting(targets) {
            self.waiting = None;
            return None;
        }
        let waited = now.since(*self.waiting.get_or_insert(now));
        if waited >= SWITCH_MAX
            && let Some((source, limit)) = self.current()
        {
            self.counts.abandoned += 1;
            self.select(Want { source, spatial: limit.spatial, temporal: limit.temporal });
            return None;
        }
        (switching || waited >= LAYER_PATIENCE).then_some(want.source)
    }

    /// The packet that a subscriber asks for again, to be found in the history and given to [`Self::repeat`].
    ///
    /// # Errors
    /// Why it is not sent again.
    pub fn nack(&mut self, now: Instant, sequence: u16, round_trip: Duration) -> Result<(Source, u64), Unrepaired> {
        let last = self.runs.next() - 1;
        let number = last.saturating_add_signed(i64::from(sequence.wrapping_sub(last as u16) as i16));
        if number > last {
            return Err(Unrepaired::Unknown);
        }
        let packet = self.runs.packet(number).ok_or(Unrepaired::Unknown)?;
        self.repairs.admit(now, sequence, round_trip)?;
        Ok(packet)
    }

    /// A packet out of the history once more, and the sequence number of its repetition.
    ///
    /// # Errors
    /// There is no number for it, or no octets are left for repair.
    pub fn repeat(&mut self, packet: &Packet) -> Result<(Forward, u16), Unrepaired> {
        let forward = self.find(packet).ok_or(Unrepaired::Unknown)?;
        let sequence = self.repairs.spend(packet.payload.len())?;
        self.counts.repeats += 1;
        self.counts.repeated_octets += packet.payload.len() as u64;
        Ok((forward, sequence))
    }

    /// Sequence number of a packet of padding that is sent as a repetition, to probe.
    pub const fn next_padding(&mut self) -> u16 {
        self.repairs.next_sequence()
    }

    /// A sender report of a stream as the subscriber is to get it: the same times, so that tracks of one sender stay in step
    /// (RFC 3550 section 6.4.1). Nothing for a stream that is not forwarded.
    #[must_use]
    pub fn report(&self, source: Source, info: &SenderInfo) -> Option<SenderInfo> {
        let current = self.current.filter(|current| current.source == source)?;
        Some(SenderInfo {
            ntp: info.ntp,
            rtp: info.rtp.wrapping_sub(current.offsets.timestamp),
            packets: self.counts.packets as u32,
            octets: self.counts.octets as u32,
        })
    }
}

/// The numbers that a packet of a run gets.
#[inline]
fn forward(run: &Run, number: u64, packet: &Packet) -> Numbers {
    let (frame, offsets) = (&packet.frame, &run.offsets);
    let fields = &frame.fields;
    Numbers {
        sequence: number as u16,
        timestamp: packet.timestamp.wrapping_sub(offsets.timestamp),
        marker: packet.marker || frame.end && run.limit.is_top(frame),
        picture: fields.picture.map(|picture| picture.fit(picture.value.wrapping_sub(offsets.picture))),
        base: fields.base.map(|(base, _)| base.wrapping_sub(offsets.base)),
        key_index: fields.key_index.map(|(index, _)| index.wrapping_sub(offsets.key_index)),
        descriptor: frame.graph.map(|_| Descriptor::new(offsets.number, offsets.template, run.decodable, run.targets)),
    }
}
