//! Video: frames of many packets, spread over part of the time until the next.

use raceway_units::Random;

use super::beat::Steps;
use super::content::{Rate, Shape};
use super::layers::{Layers, Place};
use super::payload::descriptor::Mark;
use super::payload::{Dimensions, Fragment, PREFIX_MAX, VideoCodec};
use crate::limits::VIDEO_PACKET_MAX;
use crate::stamp::STAMP;

/// A key frame has so many times the octets of a mean one.
const KEY_FACTOR: u32 = 6;
/// Frames are larger or smaller than meant by at most this fraction.
const SPREAD: f64 = 0.3;
/// The packets of a frame are spread over this fraction of the time until the next.
const PACED: f64 = 0.5;
/// Requests for a key frame are answered no sooner after the last one, as libwebrtc does.
const KEY_SPACING_MS: u32 = 300;
/// Octets of the shortest frame: what a stamp and the codec's own need.
pub(crate) const FRAME_MIN: u32 = STAMP as u32 + 8;
/// Samples by which the load of a range of frame sizes is estimated.
const SAMPLES: u32 = 64;

/// A video stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Video {
    pub(crate) codec: VideoCodec,
    /// Bits of frames a second.
    pub(crate) bitrate: u32,
    /// Frames a second.
    pub(crate) fps: u32,
    /// Milliseconds from key frame to key frame; without, they come on request only.
    pub(crate) key_every_ms: Option<u32>,
    pub(crate) dimensions: Dimensions,
    /// Temporal layers.
    pub(crate) layers: Layers,
}

impl Video {
    pub(crate) const fn rate(&self) -> Rate {
        Rate::per_second(self.fps)
    }

    fn mean(&self) -> f64 {
        f64::from(self.bitrate) / 8.0 / f64::from(self.fps)
    }

    /// Octets of a frame that a packet takes behind a header of `header` octets.
    const fn room(header: usize) -> u32 {
        (VIDEO_PACKET_MAX - header - PREFIX_MAX) as u32
    }

    pub(crate) const fn payload_max(header: usize) -> usize {
        VIDEO_PACKET_MAX - header
    }

    /// Packets a second and octets of a payload, in the mean. The octets before those of the frame are estimated.
    pub(crate) fn load(&self, header: usize) -> (f64, f64) {
        let (room, mean, fps) = (f64::from(Self::room(header)), self.mean(), f64::from(self.fps));
        let packets = |size: f64| {
            let sizes = (0..SAMPLES).map(|n| size * (1.0 + SPREAD * (f64::from(2 * n + 1) / f64::from(SAMPLES) - 1.0)));
            sizes.map(|size| (size / room).ceil()).sum::<f64>() / f64::from(SAMPLES)
        };
        let key_share = self.key_every_ms.map_or(0.0, |every| 1_000.0 / f64::from(every) / fps);
        let key = mean * f64::from(KEY_FACTOR);
        let other = (mean - key * key_share) / (1.0 - key_share);
        let sizes = self.layers.sizes();
        let pattern = sizes.len() as f64;
        let others: f64 = sizes.map(|size| packets((other * size).max(f64::from(FRAME_MIN)))).sum();
        let frame =
            key_share * (packets(key) + f64::from(self.codec.parameter_sets())) + (1.0 - key_share) * others / pattern;
        (frame * fps, mean / frame + self.codec.prefix() as f64)
    }
}

/// A video stream at work.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    video: Video,
    /// Octets of a frame that a packet takes.
    room: u16,
    /// Octets that the bit rate gives each frame.
    budget: Steps,
    /// Octets that the bit rate gave and no frame took: below zero after a key frame.
    credit: i32,
    /// Frames since the last key frame.
    since_key: u32,
    requested: bool,
    /// The present frame.
    key: bool,
    picture: u16,
    /// Number of the last frame of temporal layer 0.
    base: u8,
    place: Place,
    size: u32,
    /// Packets of the present frame, and those of them that were sent.
    packets: u16,
    sent: u16,
    /// Nanoseconds between its packets.
    spacing_ns: u32,
}

impl Frames {
    pub(super) fn new(video: Video, header: usize, random: &mut Random) -> Self {
        Self {
            video,
            room: Video::room(header) as u16,
            budget: Steps::new(u64::from(video.bitrate), 8 * u64::from(video.fps)),
            credit: 0,
            // The first frame is a key frame.
            since_key: video.fps,
            requested: true,
            key: false,
            picture: random.next() as u16,
            base: random.next() as u8,
            place: Place::default(),
            size: 0,
            packets: 0,
            sent: 0,
            spacing_ns: 0,
        }
    }

    pub(super) const fn request_key_frame(&mut self) {
        self.requested = true;
    }

    /// Begins the next frame if it is time to; whether the next packet begins a key frame.
    #[inline]
    pub(super) fn prepare(&mut self, random: &mut Random) -> bool {
        if self.sent == self.packets {
            self.begin(random);
        }
        self.key && self.sent == 0
    }

    #[inline]
    pub(super) fn write(&mut self, payload: &mut [u8], random: &mut Random) -> Shape {
        self.prepare(random);
        let (index, ahead) = (self.sent, self.ahead());
        self.sent += 1;
        let marker = self.sent == self.packets;
        let (beats, within_ns) = if marker { (1, 0) } else { (0, self.spacing_ns * u32::from(self.sent)) };
        let shape = Shape { marker, beats, within_ns, ..Shape::default() };
        if index < ahead {
            let length = self.video.codec.write_parameter_sets(payload, self.video.dimensions);
            return Shape { length: length as u16, prefix: length as u8, ..shape };
        }
        let (part, parts) = (index - ahead, self.packets - ahead);
        let prefix = self.video.codec.write(payload, &self.fragment(part, parts));
        let length = prefix + share(self.size, part, parts);
        Shape { length: length as u16, prefix: prefix as u8, ..shape }
    }

    /// Of the packet that was written last.
    pub(super) const fn mark(&self) -> Mark {
        Mark {
            first: self.sent == 1,
            last: self.sent == self.packets,
            key: self.key,
            picture: self.picture,
            base: self.base,
            place: self.place,
        }
    }

    const fn fragment(&self, part: u16, parts: u16) -> Fragment {
        Fragment {
            first: part == 0,
            last: part + 1 == parts,
            key: self.key,
            picture: self.picture,
            base: self.base,
            place: self.place,
            layered: self.video.layers.count() > 1,
            frame: self.size,
            dimensions: self.video.dimensions,
        }
    }

    /// Packets of the present frame before its own.
    const fn ahead(&self) -> u16 {
        if self.key { self.video.codec.parameter_sets() } else { 0 }
    }

    /// Begins the next frame.
    fn begin(&mut self, random: &mut Random) {
        self.key = self.is_key();
        if self.key {
            (self.since_key, self.requested) = (0, false);
        }
        self.place = self.video.layers.place(self.since_key);
        self.since_key += 1;
        self.picture = self.picture.wrapping_add(1);
        self.base = self.base.wrapping_add(u8::from(self.place.layer == 0));
        self.size = self.next_size(random);
        self.packets = self.size.div_ceil(u32::from(self.room)) as u16 + self.ahead();
        self.sent = 0;
        let paced_ns = PACED * 1e9 / f64::from(self.video.fps);
        self.spacing_ns = (paced_ns / f64::from(self.packets)) as u32;
    }

    fn is_key(&self) -> bool {
        let frames = |ms: u32| u64::from(ms) * u64::from(self.video.fps) / 1_000;
        let since = u64::from(self.since_key);
        let due = self.video.key_every_ms.is_some_and(|every| since >= frames(every));
        due || self.requested && since >= frames(KEY_SPACING_MS)
    }

    /// What the bit rate gives, and a part of what earlier frames took too much or left, so that within a second or so
    /// the rate is right again.
    fn next_size(&mut self, random: &mut Random) -> u32 {
        let budget = self.budget.next() as u32;
        let meant = if self.key {
            f64::from(budget * KEY_FACTOR)
        } else {
            let size = self.video.layers.size(self.place);
            f64::from(budget) * size + f64::from(self.credit) / f64::from(self.video.fps)
        };
        let spread = 1.0 + SPREAD * (2.0 * random.fraction() - 1.0);
        let size = ((meant * spread) as u32).max(FRAME_MIN);
        let second = (self.video.bitrate / 8) as i32;
        self.credit = (self.credit + budget as i32 - size as i32).clamp(-2 * second, second);
        size
    }
}

/// Octets of part number `part`, if `size` is shared among `parts` as evenly as can be.
fn share(size: u32, part: u16, parts: u16) -> usize {
    let until = |part: u16| u64::from(size) * u64::from(part) / u64::from(parts);
    (until(part + 1) - until(part)) as usize
}
