//! Which frames of a stream pass: layers, and the points at which they can change.
//!
//! A frame passes or does not pass as a whole, and by a [`Limit`] that changes only where a frame is known to begin: so a packet
//! that comes late is judged by the limit of its time ([`crate::run`]), and no frame is torn.

use raceway_rtp::descriptor::Indication;

use crate::frame::{Frame, Graph, Packet, Targets, Up};
use crate::limits::WINDOW;

/// Up to which layers frames pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Decode target, where the stream has them: it decides then, and the layers are its.
    pub target: Option<u8>,
    /// A higher spatial layer is waited for, which may begin with any of its frames: after one of this layer, the time may not
    /// be over.
    pub rising: bool,
}

impl Limit {
    /// Without one.
    pub const ALL: Self = Self { spatial: u8::MAX, temporal: u8::MAX, target: None, rising: false };

    /// Whether a frame passes.
    #[inline]
    #[must_use]
    pub fn passes(&self, frame: &Frame) -> bool {
        match (&frame.graph, self.target) {
            (Some(graph), Some(target)) => graph.indications.has(target),
            _ => frame.spatial <= self.spatial && frame.temporal <= self.temporal,
        }
    }

    /// Whether the frame is the last of its time that passes, if it is there at all.
    #[inline]
    #[must_use]
    pub const fn is_top(&self, frame: &Frame) -> bool {
        frame.spatial == self.spatial && !self.rising
    }
}

/// The number of a frame, and how many bits it has.
type Number = (u16, u8);

/// Frames of a stream by their numbers, the last [`WINDOW`] of them.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    highest: u16,
    bits: u128,
}

impl Seen {
    /// Notes a frame.
    fn insert(&mut self, (number, bits): Number) {
        if self.bits == 0 {
            self.highest = number;
        }
        let spare = 16 - u32::from(bits);
        let ahead = ((number.wrapping_sub(self.highest) << spare) as i16) >> spare;
        if ahead > 0 {
            self.bits = self.bits.checked_shl(ahead as u32).unwrap_or(0) | 1;
            self.highest = number;
        } else if ahead.unsigned_abs() < WINDOW {
            self.bits |= 1 << ahead.unsigned_abs();
        }
    }

    /// Whether the frame so far before `number` was noted.
    fn has(&self, (number, bits): Number, back: u16) -> bool {
        let mask = u16::MAX >> (16 - bits);
        let behind = self.highest.wrapping_sub(number.wrapping_sub(back)) & mask;
        behind < WINDOW && self.bits >> behind & 1 == 1
    }
}

/// Number of the frame among those that references count.
fn number(frame: &Frame) -> Option<Number> {
    match (&frame.graph, frame.fields.picture) {
        (Some(graph), _) => Some((graph.number, 16)),
        (None, picture) => picture.map(|picture| (picture.value, if picture.wide { 15 } else { 7 })),
    }
}

/// Chooses among the frames of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selector {
    /// What is wanted from the next time on: spatial and temporal layer.
    wish: (u8, u8),
    /// What is wanted at this time: frames of one time are chosen alike.
    want: (u8, u8),
    /// What is had.
    limit: Limit,
    /// Timestamp and spatial layer of the newest packet's frame, and whether it passes.
    frame: Option<(u32, u8, bool)>,
    /// Frames that passed: of the dependency descriptor, or pictures of VP9.
    passed: Seen,
    /// Pictures that were dropped by choice (VP9).
    dropped: Seen,
    /// Since the last frame of layer 0: the lowest temporal layer of which one was dropped, and whether one may be missing.
    lowest_dropped: u8,
    missing: bool,
    /// All temporal layers may be taken from the next time on: nothing has been missing since the frame that said so.
    open: bool,
    /// The highest spatial layer that the stream has shown.
    highest: u8,
}

impl Selector {
    /// What may pass from now on.
    pub(crate) const fn want(&mut self, spatial: u8, temporal: u8) {
        self.wish = (spatial, temporal);
    }

    /// What passes.
    pub(crate) const fn limit(&self) -> Limit {
        self.limit
    }

    /// Whether more is wanted than passes, and there is more.
    pub(crate) fn is_waiting(&self, targets: &Targets) -> bool {
        match self.limit.target {
            Some(target) => targets.below(self.wish.0, self.wish.1).first().is_some_and(|best| *best != target),
            None => self.wish.0.min(self.highest) > self.limit.spatial,
        }
    }

    /// The stream begins with the key frame of `packet`.
    pub(crate) fn begin(&mut self, packet: &Packet, targets: &Targets) {
        let wish = self.wish;
        *self = Self { wish, want: wish, highest: self.highest, ..Self::default() };
        self.key(&packet.frame, targets);
        self.enter(packet, true);
    }

    /// The next packet in order, before which `gap` are missing: whether it passes.
    pub(crate) fn next(&mut self, packet: &Packet, targets: &Targets, gap: u64) -> bool {
        let frame = &packet.frame;
        self.missing |= gap > 0;
        self.open &= gap == 0;
        self.highest = self.highest.max(frame.spatial);
        if let Some((timestamp, spatial, passes)) = self.frame
            && (timestamp, spatial) == (packet.timestamp, frame.spatial)
        {
            return passes;
        }
        let new_time = self.frame.is_none_or(|(timestamp, ..)| timestamp != packet.timestamp);
        if new_time {
            self.want = self.wish;
        }
        if frame.start {
            // A lower layer's frame of this time that is missing was given its number by the limit before: let that be.
            self.change(frame, targets, new_time && (gap == 0 || frame.spatial == 0));
        }
        let passes = self.limit.passes(frame);
        self.enter(packet, passes);
        passes
    }

    /// Notes a frame that begins, or of which the beginning is missing.
    fn enter(&mut self, packet: &Packet, passes: bool) {
        let frame = &packet.frame;
        self.frame = Some((packet.timestamp, frame.spatial, passes));
        if frame.temporal == 0 && frame.start {
            (self.lowest_dropped, self.missing) = (u8::MAX, false);
        }
        if !passes {
            self.lowest_dropped = self.lowest_dropped.min(frame.temporal);
        }
        if passes && frame.start && frame.up == Up::After {
            self.open = true;
        }
        if passes {
            self.note(frame);
        } else if let Some(number) = number(frame).filter(|_| frame.spatial <= self.limit.spatial) {
            self.dropped.insert(number);
        }
    }

    /// A frame passes, or a part of it that was late.
    pub(crate) fn note(&mut self, frame: &Frame) {
        if let Some(number) = number(frame) {
            self.passed.insert(number);
        }
    }

    /// At the beginning of a frame, which may be the `first` of its time: layers change, if this is a point to do so.
    fn change(&mut self, frame: &Frame, targets: &Targets, first: bool) {
        if frame.key {
            self.key(frame, targets);
        } else if let (Some(graph), Some(present)) = (&frame.graph, self.limit.target) {
            self.change_target(graph, present, targets, first);
        } else if frame.graph.is_none() {
            self.change_layers(frame, first);
        }
    }

    /// A key frame: everything may change.
    fn key(&mut self, frame: &Frame, targets: &Targets) {
        let (spatial, temporal) = self.want;
        let best = frame.graph.and_then(|_| targets.below(spatial, temporal).first().copied());
        self.limit = match best {
            Some(target) => of_target(targets, target),
            None => Limit { spatial, temporal, target: None, rising: false },
        };
        (self.open, self.lowest_dropped, self.missing) = (false, u8::MAX, false);
    }

    /// To the best target of those wanted that can be entered here (RTP Payload Format For AV1 appendix A.7); or, where a time
    /// begins, that is part of the present one.
    fn change_target(&mut self, graph: &Graph, present: u8, targets: &Targets, first: bool) {
        let wanted = targets.below(self.want.0, self.want.1);
        let all_passed = || {
            let mut references = graph.references.iter().take_while(|back| **back > 0);
            references.all(|back| self.passed.has((graph.number, 16), *back))
        };
        let can = |target: u8| {
            let switch = graph.indications.of(target) == Indication::Switch;
            // The end of a lower layer's frame said that the time is over, unless a higher one was waited for.
            let in_time = self.limit.rising || targets.layers(target).0 <= self.limit.spatial;
            target == present || first && targets.is_within(target, present) || switch && in_time && all_passed()
        };
        let target = wanted.iter().copied().find(|target| can(*target)).unwrap_or(present);
        let waits = || wanted.first().is_some_and(|best| targets.layers(*best).0 > targets.layers(target).0);
        let rising = if first || target != present { waits() } else { self.limit.rising };
        self.limit = Limit { rising, ..of_target(targets, target) };
    }

    /// Layers that the payload descriptor tells of.
    fn change_layers(&mut self, frame: &Frame, first: bool) {
        let (spatial, temporal) = self.want;
        let waits = |limit: &Limit, highest: u8| limit.spatial < spatial.min(highest);
        let rising = self.limit.rising;
        if first {
            self.limit.spatial = self.limit.spatial.min(spatial);
            self.limit.temporal = self.limit.temporal.min(temporal);
            if self.open {
                self.limit.temporal = temporal;
            }
            self.open = false;
            self.take_temporal(frame);
            self.give_up_torn(frame);
            self.limit.rising = waits(&self.limit, self.highest);
        }
        // A layer that needs nothing of before is a point to begin with it, unless the end of the layer below said that the time
        // is over.
        let next = rising && frame.spatial == self.limit.spatial.saturating_add(1);
        if next && frame.spatial <= spatial && frame.independent && frame.temporal <= self.limit.temporal {
            self.limit.spatial = frame.spatial;
            self.limit.rising = waits(&self.limit, self.highest);
        }
    }

    /// Takes the temporal layer of a frame that can be the first of it.
    fn take_temporal(&mut self, frame: &Frame) {
        let layer = frame.temporal;
        if layer <= self.limit.temporal || layer > self.want.1 || frame.spatial > self.limit.spatial {
            return;
        }
        let can = match frame.up {
            Up::No => false,
            // Frames between the last of layer 0 and this one may be needed by later ones (RFC 7741 section 4.2: Y).
            Up::Synchronised => !self.missing && self.lowest_dropped > layer,
            // A picture that can be decoded with what passed, as far as its lowest layer tells for all of them.
            Up::After => {
                let alike = self.limit.spatial.min(self.highest) == 0 || frame.is_regular;
                let known = alike && frame.references.is_some() && layer == self.limit.temporal + 1;
                known && Self::all(frame, |number, back| self.passed.has(number, back))
            }
        };
        if can {
            self.limit.temporal = layer;
        }
    }

    /// A picture that needs one that was dropped cannot be decoded: its layer was taken too early.
    fn give_up_torn(&mut self, frame: &Frame) {
        if frame.temporal > 0
            && frame.temporal <= self.limit.temporal
            && !Self::all(frame, |number, back| !self.dropped.has(number, back))
        {
            self.limit.temporal = frame.temporal - 1;
        }
    }

    /// Whether `holds` is true of all pictures that the frame is known to need.
    #[inline]
    fn all(frame: &Frame, holds: impl Fn(Number, u16) -> bool) -> bool {
        let (Some(references), Some(number)) = (frame.references, number(frame)) else { return true };
        references.into_iter().take_while(|back| *back > 0).all(|back| holds(number, back.into()))
    }
}

fn of_target(targets: &Targets, target: u8) -> Limit {
    let (spatial, temporal) = targets.layers(target);
    Limit { spatial, temporal, target: Some(target), rising: false }
}
