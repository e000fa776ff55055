//! RTCP of the streams: reports sent at their times, and what the other side reports (RFC 3550 section 6).

mod interval;
mod ntp;
mod participant;

use std::time::Duration;

pub use ntp::NtpClock;
pub use participant::Participant;

use crate::receive::Receiver;

/// What a participant is beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Its synchronisation source: that of the stream it sends, if it sends one.
    pub ssrc: u32,
    /// Its canonical name: the same for streams that are played together (RFC 7022 section 4.2), written as digits.
    pub cname: u64,
    /// Octets a second that all participants together may use for RTCP: 5 % of the session's (RFC 3550 section 6.2).
    pub bandwidth: f64,
    /// Least mean time between reports: 5 s, unless a profile says otherwise.
    pub minimum: Duration,
    /// The wall clock.
    pub clock: NtpClock,
}

/// Least mean time between reports (RFC 3550 section 6.2).
pub const MINIMUM: Duration = Duration::from_secs(5);

/// What a sender has sent, as a sender report has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Octets of payload.
    pub octets: u64,
    /// RTP timestamp at the time of the report.
    pub timestamp: u32,
}

/// What has been received of a source, for a report block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Whose packets.
    pub ssrc: u32,
    /// Packets that there should be.
    pub expected: u64,
    /// Packets that there are. RFC 3550 counts duplicates; here they do not hide a loss.
    pub received: u64,
    /// The newest sequence number, with its cycles.
    pub extended_highest: u32,
    /// Interarrival jitter, in units of the RTP clock.
    pub jitter: u32,
}

impl Reception {
    /// Of a stream of `ssrc`; `None` if nothing has arrived.
    #[must_use]
    pub fn of(ssrc: u32, receiver: &Receiver) -> Option<Self> {
        let numbers = receiver.numbers()?;
        Some(Self {
            ssrc,
            expected: numbers.expected_by_rtp(),
            received: numbers.sequence().distinct(),
            extended_highest: numbers.extended_highest(),
            jitter: receiver.jitter().units(),
        })
    }
}

/// What a datagram of RTCP asks of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Time to the other side and back, if a report said it (RFC 3550 section 6.4.1).
    pub round_trip: Option<Duration>,
    /// A key frame (PLI of RFC 4585 section 6.3.1, FIR of RFC 5104 section 4.3.1).
    pub key_frame: bool,
}

/// Not RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What was exchanged, and what the other side last said of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Datagrams that were [`Malformed`].
    pub malformed: u64,
    /// Report blocks about the stream.
    pub reports: u64,
    /// Packets lost of those since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; below zero if duplicates were more.
    pub cumulative_lost: i32,
    /// Interarrival jitter, in units of the RTP clock.
    pub jitter: u32,
    /// The last round trip.
    pub round_trip: Option<Duration>,
    /// Key frames that were asked for.
    pub key_frame_requests: u64,
    /// Packets that were asked for again (NACK, RFC 4585 section 6.2.1).
    pub retransmission_requests: u64,
    /// Sources that said goodbye.
    pub goodbyes: u64,
}

/// Who sends a datagram of RTCP: every kind of packet begins with that (RFC 3550 section 6.4, RFC 4585 section 6.1). `None`
/// if it is too short for one.
#[must_use]
pub fn sender(datagram: &[u8]) -> Option<u32> {
    datagram.get(4..).and_then(<[u8]>::first_chunk).map(|ssrc| u32::from_be_bytes(*ssrc))
}

/// Reads any octets as RTCP for a participant; what is no RTCP changes nothing but a count.
pub fn fuzz(data: &[u8]) {
    let clock = NtpClock::new(Duration::from_secs(1), Default::default());
    let settings = Settings { ssrc: 0x0102_0304, cname: 1, bandwidth: 400.0, minimum: MINIMUM, clock };
    let mut participant = Participant::new(settings, Default::default(), 1);
    let before = participant.poll_timeout();
    let heard = participant.handle(data, before);
    let figures = participant.figures();
    assert_eq!((figures.received, figures.malformed), (1, u64::from(heard.is_err())));
    assert!(heard.is_ok() || (figures.reports, figures.goodbyes) == (0, 0));
    assert!(participant.sources() <= crate::limits::SOURCES_MAX);
}

#[cfg(test)]
mod tests;
