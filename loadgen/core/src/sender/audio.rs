//! Audio whose packets differ: Opus with its pauses, and telephone events.

use raceway_units::Random;

use super::content::{Rate, SILENCE_LEVEL, SPEECH_LEVEL, Shape};
use crate::stamp::STAMP;

/// Milliseconds of a frame of Opus or PCMU.
const FRAME_MS: u32 = 20;
/// Mean milliseconds of speech, and of the pauses between, in a conversation (ITU-T P.59 table 2).
const TALK_MS: f64 = 1_004.0;
const PAUSE_MS: f64 = 1_587.0;
/// Frames between the packets of an Opus pause: a refresh each 400 ms.
const REFRESH: u32 = 20;
/// First octet of an Opus packet: hybrid fullband, 20 ms, mono, one frame (RFC 6716 section 3.1).
const TOC: u8 = 15 << 3;

/// An Opus stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opus {
    /// Bits a second while there is speech.
    pub(crate) bitrate: u32,
    /// Whether pauses are left out.
    pub(crate) dtx: bool,
}

impl Opus {
    pub(crate) const RATE: Rate = Rate::every_ms(FRAME_MS);

    /// Octets of a packet of speech, in the mean.
    fn mean(self) -> u32 {
        self.bitrate * FRAME_MS / 8_000
    }

    /// Octets by which packets are smaller or larger than the mean, at most: less if a stamp would not fit.
    fn spread(self) -> u32 {
        (self.mean() * 2 / 5).min(self.mean() - (STAMP as u32 + 1))
    }

    pub(crate) fn payload_max(self) -> usize {
        (self.mean() + self.spread()) as usize
    }

    /// Packets a second and octets of a payload, in the mean.
    pub(crate) fn load(self) -> (f64, f64) {
        let (hertz, mean) = (Self::RATE.hertz(), f64::from(self.mean()));
        if !self.dtx {
            return (hertz, mean);
        }
        let talking = TALK_MS / (TALK_MS + PAUSE_MS);
        let (speech, pause) = (hertz * talking, hertz * (1.0 - talking) / f64::from(REFRESH));
        (speech + pause, (speech * mean + pause) / (speech + pause))
    }
}

/// An Opus stream at work.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    opus: Opus,
    /// Frames left of the present spurt, or of the pause.
    left: u32,
    talking: bool,
    begins: bool,
}

impl Speech {
    pub(super) fn new(opus: Opus, random: &mut Random) -> Self {
        let left = if opus.dtx { frames(TALK_MS, random) } else { u32::MAX };
        Self { opus, left, talking: true, begins: opus.dtx }
    }

    pub(super) fn write(&mut self, payload: &mut [u8], random: &mut Random) -> Shape {
        payload[0] = TOC;
        if self.talking { self.speech(random) } else { self.silence(random) }
    }

    fn speech(&mut self, random: &mut Random) -> Shape {
        // The marker begins a talkspurt (RFC 7587 section 4.2).
        let marker = std::mem::take(&mut self.begins);
        let spread = u64::from(self.opus.spread());
        let length = u64::from(self.opus.mean()) - spread + random.below(2 * spread + 1);
        if self.opus.dtx {
            self.left -= 1;
            if self.left == 0 {
                self.talking = false;
                self.left = frames(PAUSE_MS, random);
            }
        }
        Shape { length: length as u16, prefix: 1, marker, level: SPEECH_LEVEL, beats: 1, ..Shape::default() }
    }

    /// A packet of the pause: nothing but its first octet (RFC 6716 section 3.4).
    fn silence(&mut self, random: &mut Random) -> Shape {
        let beats = self.left.min(REFRESH);
        self.left -= beats;
        if self.left == 0 {
            (self.talking, self.begins) = (true, true);
            self.left = frames(TALK_MS, random);
        }
        Shape { length: 1, prefix: 1, level: SILENCE_LEVEL, beats, ..Shape::default() }
    }
}

/// Frames of a spurt or pause that lasts `mean_ms` in the mean, of an exponential distribution.
fn frames(mean_ms: f64, random: &mut Random) -> u32 {
    let mean = mean_ms / f64::from(FRAME_MS);
    ((-mean * (1.0 - random.fraction()).ln()) as u32).max(1)
}

/// PCMU with telephone events between: keys pressed in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Events {
    /// Milliseconds that a key is held.
    pub(crate) held_ms: u32,
    /// Milliseconds from key to key.
    pub(crate) every_ms: u32,
    /// Payload type of the events.
    pub(crate) payload_type: u8,
}

impl Events {
    pub(crate) const RATE: Rate = Rate::every_ms(FRAME_MS);
    /// Octets of a PCMU payload.
    pub(crate) const AUDIO: u16 = 160;
    /// Times that the last packet of an event is sent (RFC 4733 section 2.5.1.4).
    const LAST: u32 = 3;
    /// Milliseconds of an event beyond those that the key is held.
    pub(crate) const TAIL_MS: u32 = (Self::LAST - 1) * FRAME_MS;
    const OCTETS: u16 = 4;
    /// Units of the RTP clock of a beat.
    const TICKS: u32 = 160;
    /// Digits, star, hash (RFC 4733 section 3.2).
    const KEYS: u8 = 12;
    /// Power of the tone, dB below the reference (RFC 4733 section 2.3.3).
    const VOLUME: u8 = 10;
    const END: u8 = 0x80;

    const fn held(self) -> u32 {
        self.held_ms.div_ceil(FRAME_MS)
    }

    /// Packets a second and octets of a payload, in the mean.
    pub(crate) fn load(self) -> (f64, f64) {
        let events = f64::from(self.held() + Self::LAST - 1) / f64::from(self.every_ms / FRAME_MS);
        let mean = f64::from(Self::AUDIO) * (1.0 - events) + f64::from(Self::OCTETS) * events;
        (Self::RATE.hertz(), mean)
    }
}

/// Audio and events at work.
#[derive(Clone, Debug)]
pub(super) struct Telephony {
    events: Events,
    /// Packets of audio until the next key.
    audio: u32,
    /// Packets of the present event that were sent.
    sent: u32,
    key: u8,
}

impl Telephony {
    pub(super) fn new(events: Events, random: &mut Random) -> Self {
        let audio = random.below(u64::from(events.every_ms / FRAME_MS)) as u32;
        Self { events, audio, sent: 0, key: random.below(u64::from(Events::KEYS)) as u8 }
    }

    pub(super) fn write(&mut self, payload: &mut [u8]) -> Shape {
        if self.audio > 0 {
            self.audio -= 1;
            return Shape { length: Events::AUDIO, level: SPEECH_LEVEL, beats: 1, ..Shape::default() };
        }
        self.event(payload)
    }

    /// All packets of an event have the timestamp of its beginning, and say how long it has lasted.
    fn event(&mut self, payload: &mut [u8]) -> Shape {
        let held = self.events.held();
        let back = self.sent * Events::TICKS;
        self.sent += 1;
        let duration = self.sent.min(held) * Events::TICKS;
        let end = if self.sent >= held { Events::END } else { 0 };
        payload[..2].copy_from_slice(&[self.key, end | Events::VOLUME]);
        payload[2..4].copy_from_slice(&(duration as u16).to_be_bytes());
        let marker = self.sent == 1;
        if self.sent == held + Events::LAST - 1 {
            self.audio = self.events.every_ms / FRAME_MS - self.sent;
            self.sent = 0;
            self.key = (self.key + 1) % Events::KEYS;
        }
        let payload_type = Some(self.events.payload_type);
        Shape {
            length: Events::OCTETS,
            prefix: 4,
            marker,
            payload_type,
            back,
            level: SPEECH_LEVEL,
            beats: 1,
            within_ns: 0,
        }
    }
}
