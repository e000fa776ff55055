//! RTP streams out of a capture, to be sent again.

mod datagram;
mod file;
mod find;
mod sender;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datagram::{Other, datagram};
use file::{End, frames};
use find::Finder;
pub use sender::{Replay, ReplaySender};

use crate::limits::{CAPTURE_OCTETS_MAX, PERIOD_MIN, STREAM_PACKETS_MIN};
use crate::rtp::RtpView;

/// RTP streams of a pcap or pcapng file.
///
/// Ethernet with VLANs, Linux cooked, raw IP and loopback; UDP over IPv4 and IPv6, not in fragments; RTP as it is or in
/// ChannelData. Takes about twice the octets of the streams while it reads.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The streams, the earliest first.
    pub streams: Vec<Arc<Recorded>>,
    /// What else there was.
    pub others: Others,
    /// Where the file breaks off, in octets, if it does: what comes before was read.
    pub breaks_off_at: Option<usize>,
}

/// Frames that are in no stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Datagrams that are no RTP, or too few of it.
    pub datagrams: usize,
    /// Frames that were not captured whole.
    pub cut: usize,
    /// Fragments of datagrams.
    pub fragments: usize,
    /// Frames of other protocols.
    pub protocols: usize,
    /// Frames of a link type that is not read.
    pub links: usize,
}

/// Why nothing can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// The file is of another kind.
    #[error("not a pcap or pcapng file")]
    NotACapture,
    /// The file is longer than what is read.
    #[error("{0} octets, and {CAPTURE_OCTETS_MAX} are read at most: cut the file with editcap")]
    TooLarge(usize),
    /// A link type that is not read.
    #[error("link type {0} is not read; Ethernet, Linux cooked, raw IP and loopback are")]
    Link(i32),
    /// Frames in part only.
    #[error("all {0} datagrams were captured in part only; capture whole frames (tcpdump -s 0)")]
    Cut(usize),
    /// Whole datagrams and no RTP.
    #[error("no RTP stream of {STREAM_PACKETS_MIN} packets or more in {0} UDP datagrams")]
    NoRtp(usize),
}

impl Capture {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn read(file: &[u8]) -> Result<Self, CaptureError> {
        if file.len() > CAPTURE_OCTETS_MAX {
            return Err(CaptureError::TooLarge(file.len()));
        }
        let (mut finder, mut others, mut unknown) = (Finder::default(), Others::default(), None);
        let end = frames(file, |frame| match datagram(frame.link, frame.octets) {
            _ if frame.cut => others.cut += 1,
            Ok(datagram) => others.datagrams += usize::from(!finder.take(frame.at_ns, &datagram)),
            Err(Other::Cut) => others.cut += 1,
            Err(Other::Fragment) => others.fragments += 1,
            Err(Other::Protocol) => others.protocols += 1,
            Err(Other::Link) => {
                others.links += 1;
                unknown = Some(frame.link);
            }
        });
        let end = end.ok_or(CaptureError::NotACapture)?;
        let (streams, no_streams) = finder.finish();
        others.datagrams += no_streams;
        if streams.is_empty() {
            return Err(match unknown {
                Some(link) if others.links > others.datagrams => CaptureError::Link(link),
                _ if others.cut > others.datagrams => CaptureError::Cut(others.cut),
                _ => CaptureError::NoRtp(others.datagrams),
            });
        }
        let breaks_off_at = if let End::BreaksOff(at) = end { Some(at) } else { None };
        Ok(Self { streams: streams.into_iter().map(Arc::new).collect(), others, breaks_off_at })
    }

    /// From the first packet of any stream to where all would begin again: one interval after the last.
    #[must_use]
    pub fn period(&self) -> Duration {
        let ends = self.streams.iter().map(|stream| stream.end() + stream.interval());
        ends.max().unwrap_or_default().max(PERIOD_MIN)
    }
}

/// What had happened to a stream before it was captured. It is replayed without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Sequence numbers that are missing.
    pub lost: u64,
    /// Packets that were captured more than once.
    pub duplicated: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
}

/// An RTP stream of a capture.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Where it was sent from.
    pub source: SocketAddr,
    /// Where it was sent to.
    pub destination: SocketAddr,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Payload type of its first packet.
    pub payload_type: u8,
    /// Encoding name, if the payload type is a static one of audio (RFC 3551 section 6).
    pub encoding: Option<&'static str>,
    /// RTP clock, hertz: as the payload type has it, else the usual one that fits the timestamps.
    pub clock_rate: Option<u32>,
    /// What was mended.
    pub flaws: Flaws,
    /// Units of the RTP clock from the first packet to the last.
    ticks: i64,
    packets: Vec<Packet>,
    octets: Vec<u8>,
}

/// A packet in the octets of its stream.
#[derive(Clone, Copy, Debug)]
struct Packet {
    /// Nanoseconds since the first packet of the capture.
    offset_ns: u64,
    at: u32,
    length: u16,
    /// Where the payload begins, and its octets.
    payload: u16,
    payload_length: u16,
    /// Of a payload that carries a stamp.
    prefix: Option<u8>,
}

/// Static payload types of audio that are in use (RFC 3551 section 6). All have a clock of 8 kHz.
const STATIC: [(u8, &str); 6] = [(0, "PCMU"), (3, "GSM"), (4, "G723"), (8, "PCMA"), (9, "G722"), (18, "G729")];
const STATIC_CLOCK: u32 = 8_000;
/// Clocks that encodings have.
const CLOCKS: [u32; 7] = [8_000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];
/// Timestamps and times of a capture agree to this fraction.
const CLOCK_TOLERANCE: f64 = 0.05;

impl Recorded {
    fn new(
        source: SocketAddr,
        destination: SocketAddr,
        ssrc: u32,
        flaws: Flaws,
        packets: Vec<Packet>,
        octets: Vec<u8>,
    ) -> Self {
        let mut stream = Self {
            source,
            destination,
            ssrc,
            payload_type: 0,
            encoding: None,
            clock_rate: None,
            flaws,
            ticks: 0,
            packets,
            octets,
        };
        stream.ticks = stream.measured_ticks();
        stream.payload_type = stream.view(0).payload_type();
        stream.encoding = STATIC.iter().find(|(number, _)| *number == stream.payload_type).map(|(_, name)| *name);
        stream.clock_rate = stream.encoding.map_or_else(|| stream.measured_clock(), |_| Some(STATIC_CLOCK));
        stream
    }

    /// Packets.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.packets.len()
    }

    /// From the first packet of the capture to the first of this stream.
    #[must_use]
    pub fn begin(&self) -> Duration {
        Duration::from_nanos(self.packets[0].offset_ns)
    }

    /// From the first packet of the capture to the last of this stream.
    #[must_use]
    pub fn end(&self) -> Duration {
        Duration::from_nanos(self.packets[self.packets.len() - 1].offset_ns)
    }

    /// Time from packet to packet, in the mean.
    #[must_use]
    pub fn interval(&self) -> Duration {
        (self.end() - self.begin()).div_f64((self.packets.len() - 1) as f64)
    }

    /// Packets a second, in the mean.
    #[must_use]
    pub fn packets_per_second(&self) -> f64 {
        1.0 / self.interval().as_secs_f64().max(1e-9)
    }

    /// Bits a second of RTP packets, in the mean.
    #[must_use]
    pub fn bits_per_second(&self) -> f64 {
        self.octets.len() as f64 * 8.0 / self.packets.len() as f64 * self.packets_per_second()
    }

    /// Octets of the longest packet.
    #[must_use]
    pub fn packet_max(&self) -> usize {
        self.packets.iter().map(|packet| usize::from(packet.length)).max().unwrap_or(0)
    }

    fn packet_octets(&self, number: usize) -> &[u8] {
        let Packet { at, length, .. } = self.packets[number];
        &self.octets[at as usize..at as usize + usize::from(length)]
    }

    fn view(&self, number: usize) -> RtpView<'_> {
        RtpView::parse(self.packet_octets(number)).expect("it was recorded as such")
    }

    fn measured_ticks(&self) -> i64 {
        let timestamp = |number: usize| self.view(number).timestamp();
        let steps = 1..self.packets.len();
        steps.map(|number| i64::from(timestamp(number).wrapping_sub(timestamp(number - 1)) as i32)).sum()
    }

    fn measured_clock(&self) -> Option<u32> {
        // From the beginning of the first frame to that of the last: packets within one are spread.
        let last = self.view(self.packets.len() - 1).timestamp();
        let begins =
            (0..self.packets.len()).rev().take_while(|number| self.view(*number).timestamp() == last).last()?;
        let seconds = (self.packets[begins].offset_ns - self.packets[0].offset_ns) as f64 / 1e9;
        let hertz = self.ticks as f64 / seconds;
        CLOCKS.into_iter().find(|clock| (hertz / f64::from(*clock) - 1.0).abs() < CLOCK_TOLERANCE)
    }
}

/// Reads any octets; what is found can be sent from beginning to end.
pub fn fuzz(data: &[u8]) {
    let Ok(capture) = Capture::read(data) else { return };
    let mut out = vec![0; usize::from(u16::MAX)];
    for stream in &capture.streams {
        assert!(stream.packets() >= STREAM_PACKETS_MIN && stream.end() <= capture.period());
        let mut sender = ReplaySender::new(Arc::clone(stream), Replay::default());
        let mut last = sender.next_due();
        while let Some(due) = sender.next_due() {
            assert!(Some(due) >= last);
            last = Some(due);
            let length = sender.write(&mut out);
            assert!(RtpView::parse(&out[..length]).is_ok_and(|view| view.ssrc() == 0));
        }
        assert_eq!(sender.sent(last.unwrap_or_default()).packets, stream.packets() as u64);
    }
}

#[cfg(test)]
mod tests;
