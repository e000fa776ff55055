//! RTCP of a worker's streams, on the sockets of the media (RFC 5761).
//!
//! Each stream that is sent has a participant, and so has each socket at which streams arrive and none is sent. The first
//! participant of a socket reports on all that arrives there.

use std::time::Duration;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use hdrhistogram::Histogram;
use raceway_loadgen_core::limits::SOURCES_MAX;
use raceway_loadgen_core::rtcp::{self, Figures, MINIMUM, NtpClock, Participant, Reception, Sent, Settings};
use raceway_units::{Endpoint, Instant, Random};

use super::receivers::{Place, Receivers};
use crate::limits::UNKNOWN_STREAMS_MAX;
use crate::plan::Route;

/// RTCP's share of the bandwidth of a session (RFC 3550 section 6.2).
const SHARE: f64 = 0.05;
/// Octets a second of a stream of which nothing is known: 64 kbit/s.
const UNKNOWN: f64 = 8_000.0;

/// Where a report goes.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// As the stream that it belongs to, or would belong to if one were sent back.
    Route(Route),
    /// Back to where streams came from.
    Back {
        /// The socket that they arrived at.
        port: u32,
        /// Their sender.
        to: Endpoint,
    },
}

/// A participant and its place.
struct Reporter {
    participant: Participant,
    place: Place,
    way: Way,
    /// Its stream in the plan.
    stream: Option<u32>,
    /// The first of its place, which reports on what arrives there.
    first: bool,
    /// Packets that had arrived there at its last report.
    heard: u64,
}

/// All participants, by place.
pub struct Reporters {
    list: Vec<Reporter>,
    by_place: HashMap<Place, Vec<u32>, FixedState>,
    clock: NtpClock,
    seed: u64,
    on: bool,
    round_trip_us: Histogram<u64>,
}

impl Reporters {
    /// None yet; none ever unless `on`.
    pub fn new(clock: NtpClock, seed: u64, on: bool) -> Self {
        let longest = Duration::from_secs(60).as_micros() as u64;
        let round_trip_us = Histogram::new_with_bounds(1, longest, 3).expect("the bounds are constant and apart");
        Self { list: Vec::new(), by_place: HashMap::default(), clock, seed, on, round_trip_us }
    }

    /// Participants that there may be besides those of planned streams: timers to keep free.
    pub const fn strangers_max() -> u32 {
        UNKNOWN_STREAMS_MAX as u32
    }

    /// A participant at a place, for a stream that is sent or (without one) for what arrives. Its number, if there is room
    /// for it: a socket that more sources share than a report has blocks for has no RTCP.
    pub fn add(&mut self, place: Place, ssrc: u32, stream: Option<(u32, f64)>, way: Way, now: Instant) -> Option<u32> {
        if !self.on {
            return None;
        }
        let here = self.by_place.entry(place).or_default();
        if here.len() >= SOURCES_MAX {
            return None;
        }
        let octets = stream.map_or(UNKNOWN, |(_, bits)| bits / 8.0);
        let settings = Settings {
            ssrc,
            cname: Random::of(self.seed, u64::from(place.port)).next(),
            bandwidth: octets * SHARE,
            minimum: MINIMUM,
            clock: self.clock,
        };
        let number = self.list.len() as u32;
        let first = here.is_empty();
        here.push(number);
        let participant = Participant::new(settings, now, self.seed);
        self.list.push(Reporter { participant, place, way, stream: stream.map(|(stream, _)| stream), first, heard: 0 });
        Some(number)
    }

    /// Whether a place has a participant.
    pub fn is_at(&self, place: Place) -> bool {
        self.by_place.contains_key(&place)
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.list.len() as u32
    }

    /// When a participant has something to say.
    pub fn poll_timeout(&self, number: u32) -> Instant {
        self.list[number as usize].participant.poll_timeout()
    }

    /// Its stream.
    pub fn stream(&self, number: u32) -> Option<u32> {
        self.list[number as usize].stream
    }

    /// Writes the report that is due, or the last one with a goodbye: its octets, and where they go. A stranger of whom
    /// nothing has come since the last report gets none: an address may have been forged, and would get reports for as long
    /// as the run lasts.
    pub fn write(
        &mut self,
        number: u32,
        sent: Option<Sent>,
        receivers: &Receivers,
        last: bool,
        now: Instant,
        out: &mut [u8],
    ) -> Option<(Way, usize)> {
        let Reporter { participant, place, way, first, heard, .. } = &mut self.list[number as usize];
        let receptions: Vec<Reception> = if *first { receivers.receptions(*place).collect() } else { Vec::new() };
        let received = receptions.iter().map(|of| of.received).sum();
        if matches!(way, Way::Back { .. }) && received == *heard {
            participant.pass(now);
            return None;
        }
        let length = if last {
            participant.write_goodbye(now, sent, &receptions, out)
        } else {
            participant.poll_report(now, sent, &receptions, out)?
        };
        *heard = received;
        Some((*way, length))
    }

    /// Takes a datagram that arrived at a socket; the streams of which a key frame is asked. One of our own that somebody
    /// has sent back says nothing and does not count.
    pub fn handle(
        &mut self,
        port: u32,
        remote: Option<Endpoint>,
        datagram: &[u8],
        now: Instant,
    ) -> impl Iterator<Item = u32> + use<> {
        let mut wanted = [u32::MAX; SOURCES_MAX];
        let planned = self.by_place.get(&Place { port, remote: None });
        let here = planned.or_else(|| self.by_place.get(&Place { port, remote })).map_or(&[][..], Vec::as_slice);
        let sender = rtcp::sender(datagram);
        let is_ours = here.iter().any(|number| Some(self.list[*number as usize].participant.ssrc()) == sender);
        for (place, number) in wanted.iter_mut().zip(here).filter(|_| !is_ours) {
            let Reporter { participant, stream, .. } = &mut self.list[*number as usize];
            let Ok(heard) = participant.handle(datagram, now) else { continue };
            if let Some(round_trip) = heard.round_trip {
                self.round_trip_us.saturating_record(round_trip.as_micros() as u64);
            }
            if heard.key_frame {
                *place = stream.unwrap_or(u32::MAX);
            }
        }
        wanted.into_iter().filter(|stream| *stream != u32::MAX)
    }

    /// What was exchanged: by each participant, with the stream that it sends, and round trips in microseconds. A datagram
    /// that several participants of a place have read counts once.
    pub fn figures(&self) -> (Vec<(Option<u32>, Figures)>, Histogram<u64>) {
        let each = self.list.iter().map(|reporter| {
            let figures = *reporter.participant.figures();
            let once =
                if reporter.first { figures } else { Figures { received: 0, malformed: 0, goodbyes: 0, ..figures } };
            (reporter.stream, once)
        });
        (each.collect(), self.round_trip_us.clone())
    }
}

#[cfg(test)]
mod tests {
    use raceway_loadgen_core::Clock;
    use raceway_loadgen_core::limits::REPORT_MAX;
    use raceway_loadgen_core::report::Interval;

    use super::*;
    use crate::worker::Expectation;

    const PLACE: Place = Place { port: 3, remote: None };

    fn reporters() -> Reporters {
        let mut reporters = Reporters::new(NtpClock::new(Duration::from_secs(9), Instant::default()), 5, true);
        for ssrc in [7, 8] {
            let route = Route::ByClient { client: 0 };
            reporters.add(PLACE, ssrc, Some((ssrc, 64_000.0)), Way::Route(route), Instant::default());
        }
        reporters
    }

    fn expectation() -> Expectation {
        Expectation {
            run: None,
            strangers: false,
            echo: false,
            reach: crate::target::Reach::Private,
            gap: Duration::ZERO,
            playout: Duration::ZERO,
            clock_rates: Vec::new(),
        }
    }

    /// The last report of a participant.
    fn report(reporters: &mut Reporters, number: u32) -> Vec<u8> {
        let receivers = Receivers::new(expectation(), &[], Clock(1));
        let mut out = [0; REPORT_MAX];
        let (_, length) = reporters.write(number, None, &receivers, true, Instant::default(), &mut out).unwrap();
        out[..length].to_vec()
    }

    fn received(reporters: &Reporters) -> u64 {
        reporters.figures().0.iter().map(|(_, figures)| figures.received).sum()
    }

    #[test]
    fn reports_of_our_own_that_come_back_do_not_count() {
        let mut reporters = reporters();
        for number in [0, 1] {
            let echoed = report(&mut reporters, number);
            assert_eq!(reporters.handle(3, None, &echoed, Instant::default()).count(), 0);
        }
        assert_eq!(received(&reporters), 0);
    }

    #[test]
    fn a_stranger_gets_no_more_reports_than_he_gives_cause_for() {
        let to = Endpoint::from(std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
        let remote = Some(to);
        let mut receivers = Receivers::new(Expectation { strangers: true, ..expectation() }, &[], Clock(1));
        let mut reporters = Reporters::new(NtpClock::new(Duration::from_secs(9), Instant::default()), 5, true);
        let place = Place { port: 3, remote };
        let back = Way::Back { port: 3, to };
        let number = reporters.add(place, 7, None, back, Instant::default()).unwrap();
        let mut out = [0; REPORT_MAX];
        for sequence in 0..3 {
            let packet = [0x80, 0, 0, sequence, 0, 0, 0, 0, 1, 2, 3, 4, 0xd5];
            let packet = raceway_loadgen_core::rtp::RtpView::parse(&packet).unwrap();
            receivers.handle(3, remote, &packet, Instant::default(), &mut Interval::default());
            for written in [true, false, false] {
                let due = reporters.poll_timeout(number);
                // It may be put off once, since there are more participants than before.
                let mut write = |at| reporters.write(number, None, &receivers, false, at, &mut out).is_some();
                assert_eq!(write(due) || write(due.after(Duration::from_secs(9))), written);
            }
        }
    }

    #[test]
    fn a_report_of_somebody_else_counts_once() {
        let mut reporters = reporters();
        let mut foreign = report(&mut reporters, 0);
        foreign[4..8].copy_from_slice(&99_u32.to_be_bytes());
        reporters.handle(3, None, &foreign, Instant::default()).for_each(drop);
        assert_eq!(received(&reporters), 1);
    }
}
