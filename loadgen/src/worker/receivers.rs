//! The streams that arrive at a worker.

use std::time::Duration;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use raceway_loadgen_core::Clock;
use raceway_loadgen_core::limits::SOURCES_MAX;
use raceway_loadgen_core::receive::{Receiver, Settings};
use raceway_loadgen_core::report::Interval;
use raceway_loadgen_core::rtcp::Reception;
use raceway_loadgen_core::rtp::RtpView;
use raceway_units::{Endpoint, Instant};

use crate::limits::UNKNOWN_STREAMS_MAX;
use crate::plan::Stream;
use crate::target::Reach;

/// What is expected of streams that arrive.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Number of the run; none where it comes from elsewhere.
    pub run: Option<u32>,
    /// Whether streams are received that no plan of ours sends.
    pub strangers: bool,
    /// Whether everything is sent back to where it came from.
    pub echo: bool,
    /// Which strangers are sent something at all: what came back, or reports.
    pub reach: Reach,
    /// Silence that is a gap.
    pub gap: Duration,
    /// Delay beyond which a packet is too late.
    pub playout: Duration,
    /// Clock rates of payload types that RFC 3551 does not fix.
    pub clock_rates: Vec<(u8, u32)>,
}

impl Expectation {
    fn settings(&self, clock_rate: u32, local: Clock) -> Settings {
        Settings { run: self.run, playout: self.playout, gap: self.gap, ..Settings::new(clock_rate, local) }
    }

    /// The clock rate of a payload type; zero if nobody said.
    fn clock_rate(&self, payload_type: u8) -> u32 {
        let told = self.clock_rates.iter().find(|(known, _)| *known == payload_type);
        told.map_or_else(|| static_clock_rate(payload_type), |(_, rate)| *rate)
    }
}

/// Clock rates of the static payload types (RFC 3551 section 6).
fn static_clock_rate(payload_type: u8) -> u32 {
    match payload_type {
        0 | 3..=5 | 7..=9 | 12 | 13 | 15 | 18 => 8_000,
        6 => 16_000,
        10 | 11 => 44_100,
        14 | 25 | 26 | 28 | 31..=34 => 90_000,
        16 => 11_025,
        17 => 22_050,
        _ => 0,
    }
}

/// A stream that arrives, or should.
#[derive(Debug)]
pub struct Arriving {
    /// The stream of the plan that it is.
    pub planned: Option<u32>,
    /// Where it came from.
    pub remote: Option<Endpoint>,
    /// The port at which it arrived.
    pub port: u32,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its payload type, or that of its first packet.
    pub payload_type: u8,
    /// What was found.
    pub receiver: Receiver,
}

/// Where a session of RTP is: a socket of planned streams, or one of strangers and who sends to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The socket.
    pub port: u32,
    /// The stranger.
    pub remote: Option<Endpoint>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Receivers {
    /// By socket and SSRC, of which no two are alike: a relay may send them from anywhere.
    planned: HashMap<(u32, u32), u32, FixedState>,
    /// By place and SSRC: two strangers may have chosen one SSRC (RFC 3550 section 8.2).
    strangers: HashMap<(Place, u32), u32, FixedState>,
    list: Vec<Arriving>,
    /// The first streams of each place: as many as a report has blocks for.
    by_place: HashMap<Place, Vec<u32>, FixedState>,
    expectation: Option<Expectation>,
    local: Option<Clock>,
}

impl Receivers {
    /// Expects the streams that arrive here.
    #[must_use]
    pub fn new(expectation: Expectation, streams: &[Stream], local: Clock) -> Self {
        let mut receivers = Self { local: Some(local), ..Self::default() };
        let arriving = streams.iter().filter(|stream| stream.arrives_at.is_some()).count();
        receivers.list.reserve(arriving);
        receivers.planned.reserve(arriving);
        for (number, stream) in streams.iter().enumerate() {
            let Some(port) = stream.arrives_at else { continue };
            let mut settings = expectation.settings(stream.source.clock_rate(), local);
            settings.events = stream.source.events();
            let ssrc = stream.identity.ssrc;
            receivers.planned.insert((port, ssrc), receivers.list.len() as u32);
            receivers.add(Arriving {
                planned: Some(number as u32),
                remote: None,
                port,
                ssrc,
                payload_type: stream.source.payload_type(),
                receiver: Receiver::new(settings),
            });
        }
        receivers.expectation = Some(expectation);
        receivers
    }

    fn add(&mut self, arriving: Arriving) -> u32 {
        let at = self.list.len() as u32;
        let place = Place { port: arriving.port, remote: arriving.remote };
        let here = self.by_place.entry(place).or_default();
        if here.len() < SOURCES_MAX {
            here.push(at);
        }
        self.list.push(arriving);
        at
    }

    /// A packet arrived at a socket. One of a stream that is not expected here, or beyond those that a worker remembers,
    /// counts as foreign.
    #[inline]
    pub fn handle(
        &mut self,
        port: u32,
        remote: Option<Endpoint>,
        packet: &RtpView<'_>,
        now: Instant,
        interval: &mut Interval,
    ) {
        let known = self.planned.get(&(port, packet.ssrc())).copied();
        let Some(at) = known.or_else(|| self.stranger(Place { port, remote }, packet)) else {
            interval.received.foreign += 1;
            return;
        };
        let arriving = &mut self.list[at as usize];
        let arrival = arriving.receiver.handle(packet, now);
        interval.arrived(&arrival);
    }

    fn stranger(&mut self, place: Place, packet: &RtpView<'_>) -> Option<u32> {
        let known = self.strangers.get(&(place, packet.ssrc())).copied();
        known.or_else(|| self.meet(place, packet))
    }

    #[cold]
    fn meet(&mut self, place: Place, packet: &RtpView<'_>) -> Option<u32> {
        let expectation = self.expectation.as_ref().filter(|expectation| expectation.strangers)?;
        if self.strangers.len() == UNKNOWN_STREAMS_MAX {
            return None;
        }
        let rate = expectation.clock_rate(packet.payload_type());
        let settings = Settings { switches: true, ..expectation.settings(rate, self.local?) };
        let receiver = Receiver::new(settings);
        let (ssrc, payload_type) = (packet.ssrc(), packet.payload_type());
        self.strangers.insert((place, ssrc), self.list.len() as u32);
        let Place { port, remote } = place;
        Some(self.add(Arriving { planned: None, remote, port, ssrc, payload_type, receiver }))
    }

    /// What has been received at a place, for report blocks.
    pub fn receptions(&self, place: Place) -> impl Iterator<Item = Reception> {
        let here = self.by_place.get(&place).into_iter().flatten().map(|at| &self.list[*at as usize]);
        here.filter_map(|arriving| Reception::of(arriving.ssrc, &arriving.receiver))
    }

    /// Streams, as they were planned or met.
    pub fn iter(&self) -> impl Iterator<Item = &Arriving> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn receivers() -> Receivers {
        let expectation = Expectation {
            run: None,
            strangers: true,
            echo: false,
            reach: Reach::Private,
            gap: Duration::from_millis(100),
            playout: Duration::from_millis(60),
            clock_rates: Vec::new(),
        };
        Receivers::new(expectation, &[], Clock(1))
    }

    fn from(port: u16) -> Option<Endpoint> {
        Some(SocketAddr::from(([127, 0, 0, 1], port)).into())
    }

    /// A packet of PCMU.
    fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut octets = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xd5];
        octets[2..4].copy_from_slice(&sequence.to_be_bytes());
        octets[8..12].copy_from_slice(&ssrc.to_be_bytes());
        octets
    }

    fn take(receivers: &mut Receivers, remote: Option<Endpoint>, octets: &[u8], interval: &mut Interval) {
        let packet = RtpView::parse(octets).unwrap();
        receivers.handle(0, remote, &packet, Instant::default(), interval);
    }

    #[test]
    fn two_senders_that_chose_one_ssrc_are_two_streams() {
        let (mut receivers, mut interval) = (receivers(), Interval::default());
        for number in 0..10 {
            take(&mut receivers, from(1_000), &packet(number, 7), &mut interval);
            take(&mut receivers, from(2_000), &packet(number, 7), &mut interval);
        }
        let each: Vec<_> =
            receivers.iter().map(|arriving| (arriving.remote, arriving.receiver.received().packets)).collect();
        assert_eq!(each, [(from(1_000), 10), (from(2_000), 10)]);
        assert_eq!((interval.received.packets, interval.received.duplicated), (20, 0));
    }

    #[test]
    fn strangers_beyond_those_that_are_remembered_count_as_foreign() {
        let (mut receivers, mut interval) = (receivers(), Interval::default());
        for ssrc in 0..UNKNOWN_STREAMS_MAX as u32 + 5 {
            take(&mut receivers, from(1_000), &packet(0, ssrc), &mut interval);
        }
        take(&mut receivers, from(2_000), &packet(0, 0), &mut interval);
        take(&mut receivers, from(1_000), &packet(1, 0), &mut interval);
        assert_eq!(receivers.iter().count(), UNKNOWN_STREAMS_MAX);
        assert_eq!((interval.received.packets, interval.received.foreign), (UNKNOWN_STREAMS_MAX as u64 + 1, 6));
    }
}
