//! A publisher's media source with its encodings, and the packets of them that are kept.

use core::time::Duration;

use arrayvec::ArrayVec;
use raceway_rtp::rtcp::SenderInfo;
use raceway_rtp::{Extensions, Header};
use raceway_units::Instant;

use crate::frame::{Packet, Source, Targets};
use crate::history::{History, HistorySize};
use crate::limits::{ENCODINGS_MAX, MISSING_MAX};
use crate::reader::Codec;
use crate::stream::{Refused, Stream, StreamCounts};

/// What a track is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// What its payloads are.
    pub codec: Codec,
    /// Units of RTP timestamps in a second.
    pub clock_rate: u32,
    /// How many encodings it has: streams [`Source`] 0 and up. At most [`ENCODINGS_MAX`].
    pub encodings: u8,
    /// Whether the publisher takes NACKs.
    pub repairs: bool,
    /// How much is kept.
    pub history: HistorySize,
}

/// A publisher's media source: a microphone, a camera, a screen.
#[derive(Clone, Debug)]
pub struct Track {
    streams: ArrayVec<Stream, ENCODINGS_MAX>,
    history: History,
}

impl Track {
    /// One without packets.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let encodings = usize::from(setup.encodings).min(ENCODINGS_MAX);
        let stream = || Stream::new(setup.codec, setup.clock_rate, setup.repairs);
        Self { streams: (0..encodings).map(|_| stream()).collect(), history: History::new(setup.history, encodings) }
    }

    fn stream(&mut self, source: Source) -> Option<&mut Stream> {
        self.streams.get_mut(usize::from(source.0))
    }

    /// A packet of an encoding, decrypted; one that was repeated as it was before that (`rtx::unwrap`). What subscriptions
    /// need to know of it.
    ///
    /// # Errors
    /// Why nobody gets it.
    pub fn receive(
        &mut self,
        now: Instant,
        source: Source,
        octets: &[u8],
        header: &Header,
        extensions: &Extensions,
    ) -> Result<Packet, Refused> {
        let stream = self.stream(source).ok_or(Refused::UnknownSource)?;
        let packet = stream.receive(now, source, octets, header, extensions)?;
        self.history.insert(&packet, octets);
        Ok(packet)
    }

    /// What the sender says of an encoding: by it, timestamps of encodings are compared.
    pub fn sender_report(&mut self, source: Source, info: &SenderInfo) {
        if let Some(stream) = self.stream(source) {
            stream.sender_report(info);
        }
    }

    /// Decode targets of an encoding at present.
    #[must_use]
    pub fn targets(&self, source: Source) -> Targets {
        self.streams.get(usize::from(source.0)).map(|stream| *stream.targets()).unwrap_or_default()
    }

    /// Packets that are kept.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// A subscriber needs a key frame of an encoding.
    pub fn request_key_frame(&mut self, source: Source) {
        if let Some(stream) = self.stream(source) {
            stream.request_key_frame();
        }
    }

    /// An encoding of which the publisher is to be asked for a key frame now.
    pub fn poll_key_frame(&mut self, now: Instant) -> Option<Source> {
        let at = self.streams.iter_mut().position(|stream| stream.poll_key_frame(now))?;
        Some(Source(at as u8))
    }

    /// Packets of an encoding that the publisher is to be asked for now, in rising order (`rtcp::nacks`).
    pub fn nacks(&mut self, now: Instant, source: Source, round_trip: Duration) -> ArrayVec<u16, MISSING_MAX> {
        self.stream(source).map(|stream| stream.nacks(now, round_trip)).unwrap_or_default()
    }

    /// When [`Self::poll_key_frame`] or [`Self::nacks`] may have something.
    #[must_use]
    pub fn poll_timeout(&self, round_trip: Duration) -> Option<Instant> {
        self.streams.iter().filter_map(|stream| stream.timeout(round_trip)).min()
    }

    /// Bits a second of an encoding, of its layers up to these.
    pub fn rate(&mut self, now: Instant, source: Source, spatial: u8, temporal: u8) -> u64 {
        self.stream(source).map_or(0, |stream| stream.rate(now, spatial, temporal))
    }

    /// What an encoding has counted.
    #[must_use]
    pub fn counts(&self, source: Source) -> StreamCounts {
        self.streams.get(usize::from(source.0)).map(Stream::counts).unwrap_or_default()
    }
}
