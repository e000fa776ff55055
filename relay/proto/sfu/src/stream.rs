//! One RTP stream of a publisher: what has come, what is missing, what its frames are.

use core::time::Duration;

use arrayvec::ArrayVec;
use raceway_rtp::rtcp::SenderInfo;
use raceway_rtp::{Extension, Extensions, Header, Unwrapper};
use raceway_units::Instant;

use crate::frame::{Frame, Packet, Source, Targets};
use crate::key_frames::KeyFrames;
use crate::limits::MISSING_MAX;
use crate::missing::{Arrival, Missing, Received};
use crate::rates::Rates;
use crate::reader::{Around, Codec, FrameReader, Unread};

/// Why a packet is not offered to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The track has no such stream.
    UnknownSource,
    /// It has come before.
    Duplicate,
    /// It is so old that nobody knows whether it has come before.
    Old,
    /// Its payload descriptor is cut short or lies about its lengths.
    Malformed,
    /// The dependency descriptor needs a structure that is missing. It is asked for, and then for this packet again.
    Structure,
}

/// What a stream has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Packets that were taken.
    pub packets: u64,
    /// Octets of their payloads.
    pub octets: u64,
    /// Packets that were missing.
    pub missing: u64,
    /// Packets that came after they were asked for.
    pub repaired: u64,
    /// Packets that were asked for, each time.
    pub asked: u64,
    /// Packets that had come before.
    pub duplicates: u64,
    /// Key frames.
    pub key_frames: u64,
    /// Requests of subscribers for key frames, and those of them that the publisher got.
    pub key_frame_requests: (u64, u64),
}

/// One RTP stream of a publisher.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    codec: Codec,
    clock_rate: u32,
    unwrapper: Unwrapper,
    received: Received,
    /// The highest number that is known to exist, once packets have been taken.
    noticed: Option<u64>,
    missing: Option<Missing>,
    reader: FrameReader,
    key_frames: KeyFrames,
    /// A time by the sender's clock, and the RTP timestamp of that moment.
    report: Option<(u64, u32)>,
    rates: Rates,
    counts: StreamCounts,
}

impl Stream {
    pub(crate) fn new(codec: Codec, clock_rate: u32, repairs: bool) -> Self {
        Self {
            codec,
            clock_rate,
            unwrapper: Unwrapper::default(),
            received: Received::new(),
            noticed: None,
            missing: repairs.then(Missing::default),
            reader: FrameReader::new(codec),
            key_frames: KeyFrames::default(),
            report: None,
            rates: Rates::default(),
            counts: StreamCounts::default(),
        }
    }

    pub(crate) fn receive(
        &mut self,
        now: Instant,
        source: Source,
        octets: &[u8],
        header: &Header,
        extensions: &Extensions,
    ) -> Result<Packet, Refused> {
        let sequence = self.unwrapper.unwrap(header.sequence);
        let newest = match self.received.look(sequence) {
            Arrival::Newest { .. } => true,
            Arrival::Late => false,
            Arrival::Duplicate => {
                self.counts.duplicates += 1;
                return Err(Refused::Duplicate);
            }
            Arrival::Old => return Err(Refused::Old),
        };
        let frame = self.frame(octets, header, extensions, sequence, newest);
        self.notice(now, sequence, matches!(frame, Err(Refused::Structure)));
        let frame = frame?;
        self.take(now, sequence, header, &frame, newest);
        Ok(Packet {
            source,
            sequence,
            newest,
            timestamp: header.timestamp,
            payload_type: header.payload_type,
            marker: header.marker,
            ssrc: header.ssrc,
            arrived: now,
            captured: self.captured(header.timestamp),
            extensions: *extensions,
            payload: header.payload,
            frame,
        })
    }

    fn frame(
        &mut self,
        octets: &[u8],
        header: &Header,
        extensions: &Extensions,
        sequence: u64,
        newest: bool,
    ) -> Result<Frame, Refused> {
        if header.payload.is_empty() {
            return Ok(Frame::default());
        }
        let around = Around { sequence, timestamp: header.timestamp, marker: header.marker, newest };
        let descriptor = extensions.of(octets, Extension::Descriptor);
        self.reader.read(around, header.payload.of(octets), descriptor).map_err(|unread| match unread {
            Unread::Malformed => Refused::Malformed,
            Unread::Structure => Refused::Structure,
        })
    }

    /// Asks for what is missing before a packet; for the packet itself too, if it cannot be used yet.
    fn notice(&mut self, now: Instant, sequence: u64, itself: bool) {
        let Some(noticed) = self.noticed else {
            self.noticed = (!itself).then_some(sequence);
            return;
        };
        let end = if itself { sequence + 1 } else { sequence };
        if end > noticed + 1 {
            let count = end - noticed - 1;
            self.counts.missing += count;
            if let Some(missing) = &mut self.missing
                && !missing.note(noticed + 1, count, now)
            {
                self.key_frames.request();
            }
        }
        self.noticed = Some(noticed.max(sequence));
    }

    fn take(&mut self, now: Instant, sequence: u64, header: &Header, frame: &Frame, newest: bool) {
        self.received.insert(sequence);
        if let Some(missing) = &mut self.missing {
            self.counts.repaired += u64::from(missing.came(sequence));
        }
        if frame.key && newest && self.codec.is_video() {
            self.key_frames.came();
            self.counts.key_frames += 1;
        }
        self.counts.packets += 1;
        self.counts.octets += header.payload.len() as u64;
        self.rates.add(now, frame.spatial, frame.temporal, header.payload.len());
    }

    /// When something with this timestamp was captured.
    fn captured(&self, timestamp: u32) -> Option<u64> {
        let (ntp, rtp) = self.report?;
        let units = i64::from(timestamp.wrapping_sub(rtp) as i32);
        Some(ntp.wrapping_add_signed((units << 32) / i64::from(self.clock_rate.max(1))))
    }

    pub(crate) const fn sender_report(&mut self, info: &SenderInfo) {
        self.report = Some((info.ntp, info.rtp));
    }

    pub(crate) const fn targets(&self) -> &Targets {
        self.reader.targets()
    }

    pub(crate) const fn request_key_frame(&mut self) {
        self.key_frames.request();
    }

    pub(crate) fn poll_key_frame(&mut self, now: Instant) -> bool {
        self.key_frames.poll(now)
    }

    pub(crate) fn nacks(&mut self, now: Instant, round_trip: Duration) -> ArrayVec<u16, MISSING_MAX> {
        let due = self.missing.as_mut().map(|missing| missing.due(now, round_trip)).unwrap_or_default();
        self.counts.asked += due.len() as u64;
        due
    }

    pub(crate) fn timeout(&self, round_trip: Duration) -> Option<Instant> {
        let missing = self.missing.as_ref().and_then(|missing| missing.timeout(round_trip));
        [missing, self.key_frames.timeout()].into_iter().flatten().min()
    }

    pub(crate) fn rate(&mut self, now: Instant, spatial: u8, temporal: u8) -> u64 {
        self.rates.rate(now, spatial, temporal)
    }

    pub(crate) const fn counts(&self) -> StreamCounts {
        StreamCounts { key_frame_requests: self.key_frames.counts(), ..self.counts }
    }
}
