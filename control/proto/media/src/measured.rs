//! What the relay measured of a call, leg by leg, from flows and workers together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use raceway_api::{
    FlowReport, LegEvent, LegId, LegReport, RecordingReport, Rollover, Security, SessionReport, StreamReport, Traffic,
};
use raceway_quality::{Codec, Path, rate};
use raceway_units::Instant;

use crate::limits;
use crate::plan::{Component, flow_of};

/// Where a leg's packets come from and go to now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    pub rtp: Option<SocketAddr>,
    pub rtcp: Option<SocketAddr>,
    /// They do not change by themselves any more.
    pub rtp_settled: bool,
    pub rtcp_settled: bool,
}

/// Counters of something that may begin again at zero: a flow that was removed and put again, and within a flow what
/// belongs to an RTP source.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    base: Counts,
    last: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    packets: u64,
    octets: u64,
    received: u64,
    lost: u64,
    reordered: u64,
    /// RTP that came and was not sent on.
    blocked: u64,
}

impl Counts {
    const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            octets: self.octets + other.octets,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            reordered: self.reordered + other.reordered,
            blocked: self.blocked + other.blocked,
        }
    }
}

impl Counter {
    fn see(&mut self, counts: Counts) {
        let Counts { packets, octets, received, lost, reordered, blocked } = self.last;
        if counts.packets < packets || counts.blocked < blocked {
            self.base = self.base.plus(Counts { packets, octets, blocked, ..Counts::default() });
        }
        if counts.received < received {
            self.base = self.base.plus(Counts { received, lost, reordered, ..Counts::default() });
        }
        self.last = counts;
    }

    const fn total(&self) -> Counts {
        self.base.plus(self.last)
    }
}

/// How often the sequence numbers of a source have begun anew, as is seen from outside (RFC 3711 section 3.3.1).
#[derive(Clone, Copy, Debug, Default)]
struct Cycles {
    count: u32,
    last: u16,
}

impl Cycles {
    /// Looked at more often than once in half of a cycle, this misses none.
    const fn see(&mut self, sequence: u16) {
        let is_later = sequence.wrapping_sub(self.last) < 1 << 15;
        if is_later && sequence < self.last {
            self.count += 1;
        }
        if is_later {
            self.last = sequence;
        }
    }
}

/// Packets that flows took look like losses to the worker that has the stream before and after: they are no losses.
#[derive(Clone, Copy, Debug, Default)]
struct Gap {
    /// Losses that workers told, so far.
    told: u64,
    /// Of these, packets that flows had taken.
    taken: u64,
    /// Packets of flows that are accounted for.
    settled: u64,
    /// Packets that workers received, so far.
    received: u64,
}

impl Gap {
    /// What workers lost, after they told `lost` and `received`, and flows saw `carried` packets in all.
    fn losses(&mut self, lost: u64, received: u64, carried: u64, in_flow: bool) -> u64 {
        let taken = lost.saturating_sub(self.told).min(carried.saturating_sub(self.settled));
        self.taken += taken;
        self.settled += taken;
        self.told = lost;
        if received > self.received && !in_flow {
            // The stream is back: what it lacks from now on is lost.
            self.settled = carried;
        }
        self.received = received;
        lost.saturating_sub(self.taken)
    }
}

/// What is known of one leg. Most legs have neither ICE nor DTLS, and one that nothing came to yet was not heard.
#[derive(Debug, Default)]
pub(crate) struct Leg {
    pub live: Live,
    /// Where ICE says that RTP and RTCP go.
    nominated: Option<Box<(Option<SocketAddr>, Option<SocketAddr>)>>,
    /// What DTLS agreed on: what the party sends with, and what we send to it with.
    keys: Option<Box<(Security, Security)>>,
    heard: Option<Box<Heard>>,
}

/// What was measured of the packets of one leg.
#[derive(Debug, Default)]
struct Heard {
    rollovers: Vec<Rollover>,
    received: Traffic,
    sent: Traffic,
    streams: BTreeMap<u32, Counter>,
    /// Rollover counters of what nobody opened, by source.
    cycles: BTreeMap<u32, Cycles>,
    duplicated: BTreeMap<u32, u64>,
    rtp_flow: Counter,
    rtcp_flow: Counter,
    /// A flow takes its RTP now.
    flows_now: bool,
    /// And XDP has it.
    in_flow: bool,
    /// Its party hears somebody by another SSRC than that one's own.
    translates: bool,
    gap: Gap,
    quality: Quality,
}

/// How a party's RTP arrives here. Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// RTP source of the last packet.
    pub ssrc: Option<u32>,
    /// Its payload type.
    pub payload_type: Option<u8>,
    /// Times that the source changed.
    pub ssrc_changes: u32,
    /// Packets lost.
    pub lost: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// Interarrival jitter (RFC 3550) now, its mean and its largest value.
    pub jitter_us: Option<u32>,
    /// See `jitter_us`.
    pub jitter_mean_us: Option<u32>,
    /// See `jitter_us`.
    pub jitter_max_us: Option<u32>,
    /// Round trip between us and the party, by its reports.
    pub round_trip_us: Option<u32>,
    /// Mean opinion score (G.107) of the last second or so in which packets came, over the call, and the worst.
    pub mos: Option<f64>,
    /// See `mos`.
    pub mos_mean: Option<f64>,
    /// See `mos`.
    pub mos_min: Option<f64>,
    /// Arrival of the last RTP packet.
    pub last_rtp: Option<Instant>,
    /// Arrival of the last RTCP packet.
    pub last_rtcp: Option<Instant>,
    jitters: Mean,
    scores: Mean,
    counted: (u64, u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) -> f64 {
        self.sum += value;
        self.count += 1;
        self.sum / f64::from(self.count)
    }
}

/// What was measured of a call.
#[derive(Debug, Default)]
pub(crate) struct Measurements {
    legs: Vec<(LegId, Box<Leg>)>,
    /// What the relay said last of the recording that is made.
    pub recording: Option<Box<RecordingReport<'static>>>,
}

impl Measurements {
    pub fn leg(&self, leg: LegId) -> Option<&Leg> {
        self.legs.iter().find(|(id, _)| *id == leg).map(|(_, leg)| &**leg)
    }

    /// A leg, of which nothing may be known yet.
    fn leg_mut(&mut self, leg: LegId) -> &mut Leg {
        let known = self.legs.iter().position(|(id, _)| *id == leg);
        let at = known.unwrap_or_else(|| {
            self.legs.push((leg, Box::default()));
            self.legs.len() - 1
        });
        &mut self.legs[at].1
    }

    pub fn live(&self, leg: LegId) -> Option<&Live> {
        self.leg(leg).map(|leg| &leg.live)
    }

    pub fn rollovers(&self, leg: LegId) -> Vec<Rollover> {
        self.leg(leg).and_then(|leg| leg.heard.as_ref()).map(|heard| heard.rollovers.clone()).unwrap_or_default()
    }

    /// What SRTP must know of what a leg received while nobody opened it: of the leg, or of the one that it went to.
    pub fn counted(&self, leg: LegId, sent: bool) -> impl Iterator<Item = Rollover> {
        let leg = self.leg(leg);
        let srtcp_index = leg.map_or(0, |leg| leg.received().rtcp_packets) as u32;
        let cycles = leg.and_then(|leg| leg.heard.as_ref()).into_iter().flat_map(|heard| &heard.cycles);
        cycles.map(move |(&ssrc, cycles)| Rollover {
            ssrc,
            sent,
            roc: cycles.count,
            sequence: Some(cycles.last),
            srtcp_index: if sent { srtcp_index } else { 0 },
        })
    }

    /// A leg's address is another one by signalling: nothing is known of it any more.
    pub fn unsettle(&mut self, leg: LegId) {
        self.leg_mut(leg).live = Live::default();
    }

    /// ICE has found where packets go, or lost it.
    pub fn nominate(&mut self, leg: LegId, rtcp: bool, remote: Option<SocketAddr>) {
        let leg = self.leg_mut(leg);
        let nominated = leg.nominated.get_or_insert_default();
        if rtcp {
            nominated.1 = remote;
            (leg.live.rtcp, leg.live.rtcp_settled) = (remote, remote.is_some());
        } else {
            nominated.0 = remote;
            (leg.live.rtp, leg.live.rtp_settled) = (remote, remote.is_some());
        }
    }

    /// DTLS has brought keys.
    pub fn set_keys(&mut self, leg: LegId, receive: Security, send: Security) {
        self.leg_mut(leg).keys = Some(Box::new((receive, send)));
    }

    /// Keys of DTLS; while there are none, that they are waited for.
    pub fn keys(&self, leg: LegId) -> (Security, Security) {
        let keys = self.leg(leg).and_then(|leg| leg.keys.as_deref());
        keys.cloned().unwrap_or((Security::Await, Security::Await))
    }

    /// Where ICE says that RTP and RTCP of a leg go.
    pub fn nominated(&self, leg: LegId) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.leg(leg).and_then(|leg| leg.nominated.as_deref().copied()).unwrap_or_default()
    }

    /// Where all legs' packets go.
    pub fn lives(&self) -> Vec<(LegId, Live)> {
        self.legs.iter().map(|(id, leg)| (*id, leg.live.clone())).collect()
    }

    /// Takes these back.
    pub fn put_back(&mut self, lives: Vec<(LegId, Live)>) {
        for (leg, live) in lives {
            self.leg_mut(leg).live = live;
        }
    }

    /// Takes over what happened on a leg.
    pub fn event(&mut self, leg: LegId, event: &LegEvent) {
        let leg = self.leg_mut(leg);
        match *event {
            LegEvent::Learned { rtcp: false, remote, settled } => {
                (leg.live.rtp, leg.live.rtp_settled) = (Some(remote), settled);
            }
            LegEvent::Learned { rtcp: true, remote, settled } => {
                (leg.live.rtcp, leg.live.rtcp_settled) = (Some(remote), settled);
            }
            LegEvent::Rollover(rollover) => leg.heard.get_or_insert_default().roll(rollover),
            LegEvent::Translated => leg.heard.get_or_insert_default().translates = true,
            LegEvent::FirstPacket { .. } | LegEvent::Dtmf(_) | LegEvent::KeyExhausted { .. } => {}
        }
    }

    /// One report of a call; `codec` names what a leg's party sends, by leg and payload type, and `is_known` those legs whose
    /// addresses are known better. True if an address changed.
    pub fn report(
        &mut self,
        report: &SessionReport<'_>,
        codec: impl Fn(LegId, u8) -> Option<Codec>,
        is_known: impl Fn(LegId) -> bool,
    ) -> bool {
        let mut changed = false;
        for reported in &report.legs {
            let leg = self.leg_mut(reported.id);
            let live = Live {
                rtp: reported.rtp_remote,
                rtcp: reported.rtcp_remote,
                rtp_settled: reported.rtp_settled,
                rtcp_settled: reported.rtcp_settled,
            };
            if leg.live != live && !is_known(reported.id) {
                changed = true;
                leg.live = live;
            }
            if leg.heard.is_some() || says_something(reported) {
                leg.heard.get_or_insert_default().worker(reported);
            }
        }
        for (id, leg) in &mut self.legs {
            let flow = |component| report.flows.iter().find(|flow| flow_of(flow.flow.id) == (*id, component));
            let (rtp, rtcp) = (flow(Component::Rtp), flow(Component::Rtcp));
            if leg.heard.is_some() || rtp.is_some() || rtcp.is_some() {
                let heard = leg.heard.get_or_insert_default();
                heard.flows(rtp, rtcp);
                heard.rate(|payload_type| codec(*id, payload_type));
            }
        }
        changed
    }

    /// Takes over which legs have their party hear somebody by another SSRC; true if that is news.
    pub fn translating(&mut self, report: &SessionReport<'_>) -> bool {
        let mut changed = false;
        for reported in report.legs.iter().filter(|reported| reported.translates) {
            let heard = self.leg_mut(reported.id).heard.get_or_insert_default();
            changed |= !std::mem::replace(&mut heard.translates, true);
        }
        changed
    }

    /// The last packet of anybody.
    pub fn last_packet(&self) -> Option<Instant> {
        let qualities = self.legs.iter().filter_map(|(_, leg)| leg.quality());
        qualities.flat_map(|quality| [quality.last_rtp, quality.last_rtcp]).flatten().max()
    }

    pub fn total(&self) -> Traffic {
        self.legs.iter().map(|(_, leg)| leg.received()).fold(Traffic::default(), plus)
    }
}

pub(crate) const fn plus(one: Traffic, other: Traffic) -> Traffic {
    Traffic {
        rtp_packets: one.rtp_packets + other.rtp_packets,
        rtp_octets: one.rtp_octets + other.rtp_octets,
        rtcp_packets: one.rtcp_packets + other.rtcp_packets,
        rtcp_octets: one.rtcp_octets + other.rtcp_octets,
    }
}

/// Whether there is anything in what workers tell of a leg but addresses.
fn says_something(report: &LegReport<'_>) -> bool {
    let nothing = Traffic::default();
    let heard = report.received != nothing || report.last_rtp_ns != 0 || report.last_rtcp_ns != 0;
    heard || report.translates || report.sent != nothing || !report.streams.is_empty() || !report.rollovers.is_empty()
}

impl Leg {
    /// How the party's RTP arrives; None until something came.
    pub fn quality(&self) -> Option<&Quality> {
        self.heard.as_ref().map(|heard| &heard.quality)
    }

    /// What came from the party, by workers and by flows.
    pub fn received(&self) -> Traffic {
        self.heard.as_ref().map_or_else(Traffic::default, |heard| plus(heard.received, heard.came()))
    }

    /// What workers sent to the party; what flows did is what they received of the other side.
    pub fn sent(&self) -> Traffic {
        self.heard.as_ref().map_or_else(Traffic::default, |heard| heard.sent)
    }

    /// What flows took from the party and sent on.
    pub fn flown(&self) -> Traffic {
        self.heard.as_ref().map_or_else(Traffic::default, |heard| heard.flown())
    }

    /// Its party hears somebody by another SSRC than that one's own.
    pub fn translates(&self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.translates)
    }

    /// Its packets do not pass a worker now.
    pub fn is_in_flow(&self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.in_flow)
    }
}

impl Heard {
    /// What flows took from the party, also what they did not send on.
    const fn came(&self) -> Traffic {
        let mut came = self.flown();
        came.rtp_packets += self.rtp_flow.total().blocked;
        came
    }

    const fn flown(&self) -> Traffic {
        let (rtp, rtcp) = (self.rtp_flow.total(), self.rtcp_flow.total());
        Traffic {
            rtp_packets: rtp.packets,
            rtp_octets: rtp.octets,
            rtcp_packets: rtcp.packets,
            rtcp_octets: rtcp.octets,
        }
    }

    fn roll(&mut self, rollover: Rollover) {
        let is_same = |known: &Rollover| (known.ssrc, known.sent) == (rollover.ssrc, rollover.sent);
        self.rollovers.retain(|known| !is_same(known));
        if self.rollovers.len() == limits::ROLLOVERS_MAX {
            self.rollovers.remove(0);
        }
        self.rollovers.push(rollover);
    }

    fn worker(&mut self, report: &LegReport<'_>) {
        self.received = report.received;
        self.sent = report.sent;
        report.rollovers.iter().for_each(|rollover| self.roll(*rollover));
        let quality = &mut self.quality;
        quality.last_rtp = quality.last_rtp.max(at(report.last_rtp_ns));
        quality.last_rtcp = quality.last_rtcp.max(at(report.last_rtcp_ns));
        quality.round_trip_us = report.round_trip_us.or(quality.round_trip_us);
        quality.ssrc_changes = report.ssrc_changes;
        for stream in &report.streams {
            self.stream(stream);
        }
        if let Some(last) = report.streams.first().filter(|stream| at(stream.last_ns) >= self.quality.last_rtp) {
            let quality = &mut self.quality;
            (quality.ssrc, quality.payload_type) = (Some(last.ssrc), Some(last.payload_type));
            quality.jitter(last.jitter_us, last.jitter_max_us);
        }
    }

    fn stream(&mut self, stream: &StreamReport) {
        if self.streams.len() >= 32 && !self.streams.contains_key(&stream.ssrc) {
            return;
        }
        let counter = self.streams.entry(stream.ssrc).or_default();
        // What a worker says of a stream that is in a flow is from before.
        let is_news = counter.last.received != u64::from(stream.received);
        counter.see(Counts {
            packets: 0,
            octets: 0,
            received: stream.received.into(),
            lost: stream.lost.into(),
            reordered: stream.reordered.into(),
            blocked: 0,
        });
        self.duplicated.insert(stream.ssrc, stream.duplicated.into());
        if is_news {
            self.see(stream.ssrc, stream.sequence);
        }
    }

    fn see(&mut self, ssrc: u32, sequence: u16) {
        if self.cycles.len() < limits::ROLLOVERS_MAX / 2 || self.cycles.contains_key(&ssrc) {
            self.cycles.entry(ssrc).or_insert(Cycles { count: 0, last: sequence }).see(sequence);
        }
    }

    fn flows(&mut self, rtp: Option<&FlowReport>, rtcp: Option<&FlowReport>) {
        let counts = |flow: &FlowReport| Counts {
            packets: flow.packets,
            octets: flow.octets,
            received: flow.rtp_received.into(),
            lost: flow.rtp_lost.into(),
            reordered: flow.rtp_reordered.into(),
            blocked: flow.blocked,
        };
        self.rtcp_flow.see(rtcp.map(counts).unwrap_or_default());
        self.flows_now = rtp.is_some();
        self.in_flow = rtp.is_some_and(|flow| flow.xdp);
        let came = |counts: Counts| counts.packets + counts.blocked;
        let before = came(self.rtp_flow.total());
        self.rtp_flow.see(rtp.map(counts).unwrap_or_default());
        let Some(flow) = rtp else { return };
        if came(self.rtp_flow.total()) > before {
            self.see(flow.rtp_ssrc, flow.rtp_sequence);
            let quality = &mut self.quality;
            quality.last_rtp = quality.last_rtp.max(at(flow.last_ns));
            (quality.ssrc, quality.payload_type) = (Some(flow.rtp_ssrc), Some(flow.rtp_payload_type));
            quality.jitter(flow.rtp_jitter_us, flow.rtp_jitter_us);
        }
    }

    /// Sums up, and rates what came since the last time.
    fn rate(&mut self, codec: impl Fn(u8) -> Option<Codec>) {
        let flow = self.rtp_flow.total();
        let workers = self.streams.values().map(Counter::total).fold(Counts::default(), Counts::plus);
        let carried = flow.received + flow.lost;
        let lost = self.gap.losses(workers.lost, workers.received, carried, self.flows_now);
        let sum = flow.plus(Counts { lost, ..workers });
        let quality = &mut self.quality;
        quality.lost = sum.lost;
        quality.reordered = sum.reordered;
        quality.duplicated = self.duplicated.values().sum();
        let (received, lost) =
            (sum.received.saturating_sub(quality.counted.0), sum.lost.saturating_sub(quality.counted.1));
        if received == 0 {
            return;
        }
        quality.counted = (sum.received, sum.lost);
        let Some(codec) = quality.payload_type.and_then(codec) else { return };
        let delay = Duration::from_micros(u64::from(quality.round_trip_us.unwrap_or(0)) / 2);
        let mos = rate(codec, Path { delay, loss: lost as f64 / (received + lost) as f64, burst_ratio: 1.0 }).mos;
        quality.mos = Some(mos);
        quality.mos_mean = Some(quality.scores.add(mos));
        quality.mos_min = Some(quality.mos_min.map_or(mos, |least| least.min(mos)));
    }
}

impl Quality {
    fn jitter(&mut self, now_us: Option<u32>, max_us: Option<u32>) {
        let Some(now_us) = now_us else { return };
        self.jitter_us = Some(now_us);
        self.jitter_mean_us = Some(self.jitters.add(now_us.into()) as u32);
        self.jitter_max_us = self.jitter_max_us.max(max_us).max(Some(now_us));
    }
}

const fn at(ns: u64) -> Option<Instant> {
    if ns == 0 { None } else { Some(Instant::from_ns(ns)) }
}
