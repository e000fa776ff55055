//! A receiver that takes nothing amiss but what is amiss.
//!
//! It knows the truth of what was encoded ([`Truth`]), what reached the forwarder, and what the forwarder sent. It does not know
//! how the forwarder decides.

use std::collections::{BTreeMap, HashMap, HashSet};

use raceway_rtp::descriptor::Reader;
use raceway_rtp::vp8::Vp8;
use raceway_rtp::vp9::Vp9;
use raceway_rtp::{Extension, ExtensionIds, Extensions, Header};
use raceway_sfu::Drop;

use crate::publisher::{Model, TAG, Truth};

/// A packet that the forwarder sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub octets: Vec<u8>,
    pub fill: bool,
    /// What it was made of: encoding, its sequence number.
    pub encoding: u8,
    pub sequence: u64,
}

/// How long a loss may be felt, in packets: no model encodes more between two key frames.
const LOSS_REMEMBERED: u64 = 1000;

/// What became of a packet that reached the forwarder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Forwarded,
    Filled,
    Dropped(Drop),
}

/// All that happened.
pub struct Record {
    pub model: Model,
    pub truths: Vec<Truth>,
    pub sent: Vec<Sent>,
    /// Of packets that reached the forwarder, by frame and index.
    pub fates: HashMap<(u32, u16), Fate>,
    /// Sequence numbers that reached it, by encoding.
    pub reached: HashSet<(u8, u64)>,
    pub ids: ExtensionIds,
    /// Encodings and times at which a higher spatial layer was waited for.
    pub rising: HashSet<(u8, u32)>,
}

/// A packet as received.
#[derive(Clone, Debug)]
struct Got {
    header: Header,
    octets: Vec<u8>,
    encoding: u8,
    sequence: u64,
    fill: bool,
    frame: u32,
    index: u16,
}

impl Record {
    /// Holds what was sent against all rules.
    pub fn check(&self) {
        let got = self.in_order();
        self.check_numbers(&got);
        self.check_times(&got);
        self.check_frames(&got);
        self.check_markers(&got);
        match self.model {
            Model::Vp8 | Model::Vp8Descriptor | Model::Vp9Flexible | Model::Vp9Group => self.check_pictures(&got),
            Model::H264 | Model::Av1 | Model::Audio => {}
        }
        if self.model.has_descriptor() {
            self.check_descriptors(&got);
        }
    }

    /// By their numbers, none of which is there twice.
    fn in_order(&self) -> Vec<(u64, Got)> {
        let mut got = BTreeMap::new();
        let mut highest: Option<u64> = None;
        for sent in &self.sent {
            let header = Header::read(&sent.octets).expect("RTP");
            let near = highest.unwrap_or(0x1_0000 + u64::from(header.sequence));
            let number = near.saturating_add_signed(header.sequence.wrapping_sub(near as u16) as i16 as i64);
            highest = Some(near.max(number));
            let payload = header.payload.of(&sent.octets);
            assert_eq!(payload.is_empty(), sent.fill, "a fill is padding alone");
            let (frame, index) = if sent.fill { (u32::MAX, 0) } else { tag(payload) };
            let Sent { octets, fill, encoding, sequence } = sent.clone();
            let before = got.insert(number, Got { header, octets, encoding, sequence, fill, frame, index });
            assert!(before.is_none(), "number {number} was given out twice");
        }
        got.into_iter().collect()
    }

    /// Numbers are missing only where packets are; packets of a stream keep their order.
    fn check_numbers(&self, got: &[(u64, Got)]) {
        for pair in got.windows(2) {
            let [(a, before), (b, after)] = pair else { unreachable!("two") };
            if before.encoding == after.encoding {
                assert!(before.sequence < after.sequence, "order of {before:?} {after:?}");
            }
            let missing = b - a - 1;
            let end = if before.encoding == after.encoding { after.sequence } else { before.sequence + 600 };
            let lost = (before.sequence + 1..end).filter(|n| !self.reached.contains(&(before.encoding, *n))).count();
            assert!(missing <= lost as u64, "{missing} numbers are missing for {lost} packets: {before:?} {after:?}");
        }
    }

    /// Frames of a time have one timestamp; later frames have later ones.
    fn check_times(&self, got: &[(u64, Got)]) {
        let media: Vec<_> = got.iter().filter(|(_, got)| !got.fill).collect();
        for pair in media.windows(2) {
            let [(_, before), (_, after)] = pair else { unreachable!("two") };
            let (a, b) = (self.truth(before), self.truth(after));
            let ahead = after.header.timestamp.wrapping_sub(before.header.timestamp);
            if (a.encoding, a.time) == (b.encoding, b.time) {
                assert_eq!(ahead, 0, "one time, two timestamps: {a:?} {b:?}");
            } else {
                assert!((1..1 << 31).contains(&ahead), "timestamps go back by {}: {a:?} {b:?}", ahead as i32);
            }
        }
    }

    fn truth(&self, got: &Got) -> &Truth {
        &self.truths[got.frame as usize]
    }

    /// Whether a packet reached the forwarder and was dropped by choice.
    fn was_dropped(&self, frame: u32, index: u16) -> Option<Drop> {
        match self.fates.get(&(frame, index)) {
            Some(Fate::Dropped(drop)) => Some(*drop),
            Some(Fate::Filled) => Some(Drop::Layer),
            Some(Fate::Forwarded) | None => None,
        }
    }

    /// A frame is sent whole, but for what was lost; and so is what it needs.
    fn check_frames(&self, got: &[(u64, Got)]) {
        let mut frames: Vec<u32> = got.iter().filter(|(_, got)| !got.fill).map(|(_, got)| got.frame).collect();
        frames.dedup();
        let sent: HashSet<u32> = frames.iter().copied().collect();
        for frame in &sent {
            let truth = &self.truths[*frame as usize];
            for index in 0..truth.packets {
                if let Some(why) = self.was_dropped(*frame, index) {
                    let cut = matches!(why, Drop::Stream | Drop::Paused | Drop::Late) && self.is_cut(&frames, *frame);
                    assert!(cut, "packet {index} of frame {frame} was dropped ({why:?}): {truth:?}");
                }
            }
            for need in &truth.needs {
                let needed = &self.truths[*need as usize];
                for index in 0..needed.packets {
                    let why = self.was_dropped(*need, index);
                    assert_eq!(why, None, "frame {frame} {truth:?} needs {need} {needed:?}");
                }
            }
        }
    }

    /// Whether a frame is the last before another stream, or the end: its rest is of no use any more.
    fn is_cut(&self, frames: &[u32], frame: u32) -> bool {
        let last = frames.iter().rposition(|other| *other == frame).expect("it was sent");
        // Packets of the old stream that were late may stand behind the key frame of the new one.
        frames.get(last + 1).is_none_or(|next| {
            let (next, this) = (&self.truths[*next as usize], &self.truths[frame as usize]);
            next.key && (next.encoding != this.encoding || next.time > this.time)
        })
    }

    /// The last packet of a time has the marker, and no other has.
    fn check_markers(&self, got: &[(u64, Got)]) {
        if self.model == Model::Audio {
            return;
        }
        for pair in got.windows(2) {
            let [(a, before), (b, after)] = pair else { unreachable!("two") };
            if before.fill || after.fill || a + 1 != *b {
                continue;
            }
            let (x, y) = (self.truth(before), self.truth(after));
            let same = (x.encoding, x.time) == (y.encoding, y.time);
            let whole = before.index + 1 == x.packets;
            assert!(!same || !before.header.marker, "a marker within a time: {x:?} {y:?}");
            // Higher layers that are lost may have been to follow, or were lost some time before and are waited for.
            let first = before.sequence.saturating_sub(LOSS_REMEMBERED).max(self.first_reached(before.encoding));
            let lost = (first..before.sequence + 30).any(|n| !self.reached.contains(&(before.encoding, n)));
            // So may those of a stream that was left, or those that are waited for.
            let excused = lost
                || self.rising.contains(&(x.encoding, x.time))
                || x.encoding != y.encoding
                || self.was_left(before.frame);
            assert!(same || !whole || before.header.marker || excused, "no marker at the end of a time: {x:?} {y:?}");
        }
    }

    /// The first sequence number of an encoding that reached the forwarder.
    fn first_reached(&self, encoding: u8) -> u64 {
        let of_it = self.reached.iter().filter(|(other, _)| *other == encoding);
        of_it.map(|(_, sequence)| *sequence).min().unwrap_or(0)
    }

    /// Whether the forwarder left the stream before all of a frame's time had come.
    fn was_left(&self, frame: u32) -> bool {
        let time = self.truths[frame as usize].time;
        let others =
            (frame..).take_while(|other| self.truths.get(*other as usize).is_some_and(|truth| truth.time == time));
        let left = |drop| matches!(drop, Some(Drop::Stream | Drop::Paused));
        others
            .into_iter()
            .any(|other| (0..self.truths[other as usize].packets).any(|index| left(self.was_dropped(other, index))))
    }

    /// Picture numbers rise, by one where nothing is missing and numbers count what is sent.
    fn check_pictures(&self, got: &[(u64, Got)]) {
        let media: Vec<_> = got.iter().filter(|(_, got)| !got.fill).collect();
        let mut base: Option<u8> = None;
        for pair in media.windows(2) {
            let [(a, before), (b, after)] = pair else { unreachable!("two") };
            let (x, y) = (self.truth(before), self.truth(after));
            let (picture, last) = (self.numbers(after), self.numbers(before));
            let ahead = picture.0.wrapping_sub(last.0) & 0x7fff;
            if (x.encoding, x.time) == (y.encoding, y.time) {
                assert_eq!(picture, last, "one picture, two numbers");
                continue;
            }
            assert!((1..0x4000).contains(&ahead), "pictures go back: {last:?} {picture:?} {x:?} {y:?}");
            let truly = y.picture.wrapping_sub(x.picture) & 0x7fff;
            let dense = matches!(self.model, Model::Vp8 | Model::Vp8Descriptor);
            if dense && a + 1 == *b {
                assert_eq!(ahead, 1, "a picture is missing though no packet is: {x:?} {y:?}");
            }
            if x.encoding == y.encoding && !dense && !y.key {
                assert_eq!(ahead, truly, "references would go wrong: {x:?} {y:?}");
            }
            if let (Some(now), Some(then)) = (picture.1, last.1) {
                let step = now.wrapping_sub(then);
                let truly = y.base.wrapping_sub(x.base);
                let fits = if x.encoding == y.encoding && !y.key { step == truly } else { (1..64).contains(&step) };
                assert!(fits, "TL0PICIDX from {then} to {now}, {truly} in truth: {x:?} {y:?}");
                base = Some(now);
            }
        }
        let _ = base;
    }

    /// Numbers of picture and of the last one of layer 0.
    fn numbers(&self, got: &Got) -> (u16, Option<u8>) {
        let payload = got.header.payload.of(&got.octets);
        let (picture, base) = match self.model {
            Model::Vp9Flexible | Model::Vp9Group => {
                let read = Vp9::read(payload).expect("VP9");
                (read.picture, read.base)
            }
            _ => {
                let read = Vp8::read(payload).expect("VP8");
                (read.picture, read.base)
            }
        };
        (picture.expect("there").value, base.map(|(base, _)| base))
    }

    /// A receiver that reads descriptors in order, with the structures that it gets, reads what is true.
    fn check_descriptors(&self, got: &[(u64, Got)]) {
        let mut reader = Reader::default();
        let mut before: Option<(u16, u32)> = None;
        let mut whole = true;
        for (_, got) in got.iter().filter(|(_, got)| !got.fill) {
            let extensions = Extensions::read(&got.octets, &got.header, &self.ids);
            let data = extensions.of(&got.octets, Extension::Descriptor).expect("a descriptor");
            let truth = self.truth(got);
            // The packet with the structure of a key frame may be lost.
            let structure_lost =
                truth.key && truth.spatial == 0 && got.index > 0 && before.is_none_or(|(_, f)| f != got.frame);
            whole &= !structure_lost;
            let Ok(read) = reader.read(data, true) else {
                assert!(!whole, "a descriptor that cannot be read: {truth:?}");
                continue;
            };
            whole |= read.new_structure;
            if whole {
                let expected = (truth.spatial, truth.temporal, &truth.references[..]);
                assert_eq!((read.spatial, read.temporal, &read.differences[..]), expected, "{truth:?}");
            }
            assert_eq!((read.start, read.end), (got.index == 0, got.index + 1 == truth.packets));
            if let Some((number, frame)) = before {
                let other = &self.truths[frame as usize];
                let ahead = read.number.wrapping_sub(number);
                if other.encoding == truth.encoding && !truth.key {
                    assert_eq!(ahead, truth.number.wrapping_sub(other.number), "{other:?} {truth:?}");
                } else {
                    assert!(ahead < 0x4000, "frames go back: {other:?} {truth:?}");
                }
            }
            before = Some((read.number, got.frame));
        }
    }

    /// Frames of which all packets were sent.
    pub fn whole_frames(&self) -> Vec<&Truth> {
        let mut packets: BTreeMap<u32, u16> = BTreeMap::new();
        for sent in self.sent.iter().filter(|sent| !sent.fill) {
            let header = Header::read(&sent.octets).expect("RTP");
            *packets.entry(tag(header.payload.of(&sent.octets)).0).or_default() += 1;
        }
        let whole = packets.into_iter().filter(|(frame, count)| self.truths[*frame as usize].packets == *count);
        whole.map(|(frame, _)| &self.truths[frame as usize]).collect()
    }
}

/// Frame and index, as a payload's last octets say.
pub fn tag(payload: &[u8]) -> (u32, u16) {
    let tag = payload.last_chunk::<TAG>().expect("a tag");
    (u32::from_be_bytes([tag[0], tag[1], tag[2], tag[3]]), u16::from_be_bytes([tag[4], tag[5]]))
}
