//! One participant of an RTP session: it sends a stream, or receives some, or both.

use std::time::Duration;

use raceway_units::{Instant, Random};
use rtcp_types::{
    Bye, Compound, Fir, Nack, Packet, PayloadFeedback, Pli, ReceiverReport, ReportBlock, ReportBlockBuilder,
    RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem, SenderReport, TransportFeedback,
};

use super::interval::{Load, interval};
use super::ntp::{from_units, to_units};
use super::{Figures, Heard, Malformed, Reception, Sent, Settings};
use crate::limits::{DELAY_MAX, SOURCE_OCTETS, SOURCES_MAX};

/// Octets of the headers of IPv4 and UDP, which count as bandwidth (RFC 3550 section 6.2).
const LOWER: f64 = 28.0;
/// Weight of the newest datagram in the mean size (RFC 3550 section 6.3.3).
const NEWEST: f64 = 1.0 / 16.0;
/// Octets that the first report is expected to have: sender report and name.
const FIRST: f64 = 60.0;
/// A cumulative number of lost packets has 24 bits with sign (RFC 3550 section 6.4.1).
const LOST_MAX: i64 = 0x7f_ffff;

/// A participant of an RTP session.
///
/// Reports are off the path of media: making one allocates.
#[derive(Clone, Debug)]
pub struct Participant {
    settings: Settings,
    random: Random,
    /// Who else there is; sources beyond [`SOURCES_MAX`] are not reported on.
    sources: Vec<Source>,
    /// When the last report was sent, and when the next is due (`tp` and `tn` of RFC 3550 section 6.3).
    previous: Instant,
    next: Instant,
    average: f64,
    /// Packets sent by the time of the last two reports.
    sent_before: [u64; 2],
    figures: Figures,
}

/// Somebody else.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// Middle of the timestamp of the last sender report, and when that arrived.
    report: Option<(u32, Instant)>,
    /// What had been received of it at the last report block.
    prior: Reception,
}

const _: () = assert!(size_of::<Source>() <= SOURCE_OCTETS);

impl Participant {
    /// One that begins at `start`: its first report comes after half the minimum, more or less.
    #[must_use]
    pub fn new(settings: Settings, start: Instant, seed: u64) -> Self {
        let mut participant = Self {
            settings,
            random: Random::of(seed, u64::from(settings.ssrc)),
            sources: Vec::new(),
            previous: start,
            next: start,
            average: FIRST + LOWER,
            sent_before: [0; 2],
            figures: Figures::default(),
        };
        participant.next = start.after(participant.interval());
        participant
    }

    /// Its synchronisation source.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.settings.ssrc
    }

    /// When the next report may be due.
    #[must_use]
    pub const fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// What was exchanged.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Sources heard of.
    #[must_use]
    pub const fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Writes the report that is due: its octets, or `None` if it is not due yet after all, since there are more
    /// participants now than when its time was set (RFC 3550 section 6.3.6).
    ///
    /// `sent` is what this one has sent, if it sends a stream.
    ///
    /// # Panics
    /// If `out` is shorter than [`REPORT_MAX`](crate::limits::REPORT_MAX).
    pub fn poll_report(
        &mut self,
        now: Instant,
        sent: Option<Sent>,
        receptions: &[Reception],
        out: &mut [u8],
    ) -> Option<usize> {
        if now < self.next {
            return None;
        }
        let next = self.previous.after(self.interval());
        if now < next {
            self.next = next;
            return None;
        }
        let length = self.write(now, sent, receptions, out);
        self.sent_before = [self.sent_before[1], sent.map_or(0, |sent| sent.packets)];
        self.previous = now;
        self.next = now.after(self.interval());
        Some(length)
    }

    /// Lets the report that is due pass without sending it.
    pub fn pass(&mut self, now: Instant) {
        self.previous = now;
        self.next = now.after(self.interval());
    }

    /// Writes the last report and goodbye (RFC 3550 section 6.6): its octets.
    ///
    /// # Panics
    /// If `out` is shorter than [`REPORT_MAX`](crate::limits::REPORT_MAX).
    pub fn write_goodbye(
        &mut self,
        now: Instant,
        sent: Option<Sent>,
        receptions: &[Reception],
        out: &mut [u8],
    ) -> usize {
        let length = self.write(now, sent, receptions, out);
        let goodbye = Bye::builder().add_source(self.settings.ssrc);
        length + goodbye.write_into(&mut out[length..]).expect(ROOM)
    }

    fn write(&mut self, now: Instant, sent: Option<Sent>, receptions: &[Reception], out: &mut [u8]) -> usize {
        let Settings { ssrc, cname, clock, .. } = self.settings;
        let blocks: Vec<_> = receptions.iter().take(SOURCES_MAX).filter_map(|of| self.block(of, now)).collect();
        let report = match sent.filter(|sent| sent.packets > self.sent_before[0]) {
            Some(Sent { packets, octets, timestamp }) => {
                let report = SenderReport::builder(ssrc).ntp_timestamp(clock.timestamp(now)).rtp_timestamp(timestamp);
                let report = report.packet_count(packets as u32).octet_count(octets as u32);
                blocks.into_iter().fold(report, |report, block| report.add_report_block(block)).write_into(out)
            }
            None => {
                let report = ReceiverReport::builder(ssrc);
                blocks.into_iter().fold(report, |report, block| report.add_report_block(block)).write_into(out)
            }
        };
        let length = report.expect(ROOM);
        let name = format!("{cname:016x}");
        let chunk = SdesChunk::builder(ssrc).add_item(SdesItem::builder(SdesItem::CNAME, &name));
        let length = length + Sdes::builder().add_chunk(chunk).write_into(&mut out[length..]).expect(ROOM);
        self.figures.sent += 1;
        self.weigh(length);
        length
    }

    /// The report block about a source (RFC 3550 section 6.4.1 and appendix A.3), unless there are too many sources.
    fn block(&mut self, of: &Reception, now: Instant) -> Option<ReportBlockBuilder> {
        let source = self.source(of.ssrc)?;
        let expected = of.expected.saturating_sub(source.prior.expected);
        let received = of.received.saturating_sub(source.prior.received);
        source.prior = *of;
        let lost = expected.saturating_sub(received);
        let fraction = (lost << 8).checked_div(expected).unwrap_or(0).min(255);
        let cumulative = (of.expected as i64 - of.received as i64).clamp(-LOST_MAX - 1, LOST_MAX);
        let (last, since) = source.report.map_or((0, 0), |(middle, arrived)| (middle, to_units(now.since(arrived))));
        let block = ReportBlock::builder(of.ssrc).fraction_lost(fraction as u8);
        let block = block.cumulative_lost(cumulative as u32 & 0x00ff_ffff).interarrival_jitter(of.jitter);
        let block = block.extended_sequence_number(of.extended_highest).last_sender_report_timestamp(last);
        Some(block.delay_since_last_sender_report_timestamp(since))
    }

    /// Takes in a datagram of RTCP: what it asks of the stream.
    ///
    /// # Errors
    /// [`Malformed`]; then nothing in it counts.
    pub fn handle(&mut self, datagram: &[u8], now: Instant) -> Result<Heard, Malformed> {
        self.figures.received += 1;
        let packets = Compound::parse(datagram).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let Ok(packets) = packets else {
            self.figures.malformed += 1;
            return Err(Malformed);
        };
        self.weigh(datagram.len());
        let mut heard = Heard::default();
        for packet in &packets {
            self.handle_packet(packet, now, &mut heard);
        }
        Ok(heard)
    }

    fn handle_packet(&mut self, packet: &Packet<'_>, now: Instant, heard: &mut Heard) {
        match packet {
            Packet::Sr(report) => {
                if let Some(source) = self.source(report.ssrc()) {
                    source.report = Some(((report.ntp_timestamp() >> 16) as u32, now));
                }
                report.report_blocks().for_each(|block| self.handle_block(&block, now, heard));
            }
            Packet::Rr(report) => {
                self.source(report.ssrc());
                report.report_blocks().for_each(|block| self.handle_block(&block, now, heard));
            }
            Packet::Bye(goodbye) => goodbye.ssrcs().for_each(|ssrc| self.handle_goodbye(ssrc, now)),
            Packet::PayloadFeedback(feedback) => {
                let asked = u64::from(self.asks_for_key_frame(feedback));
                self.figures.key_frame_requests += asked;
                heard.key_frame |= asked > 0;
            }
            Packet::TransportFeedback(feedback) => self.handle_transport_feedback(feedback),
            Packet::App(_) | Packet::Sdes(_) | Packet::Xr(_) | Packet::Unknown(_) => {}
        }
    }

    fn handle_block(&mut self, block: &ReportBlock<'_>, now: Instant, heard: &mut Heard) {
        if block.ssrc() != self.settings.ssrc {
            return;
        }
        let figures = &mut self.figures;
        figures.reports += 1;
        figures.fraction_lost = block.fraction_lost();
        // 24 bits with sign.
        figures.cumulative_lost = (block.cumulative_lost() << 8) as i32 >> 8;
        figures.jitter = block.interarrival_jitter();
        let (last, since) = (block.last_sender_report_timestamp(), block.delay_since_last_sender_report_timestamp());
        let elapsed = self.settings.clock.middle(now).wrapping_sub(last).wrapping_sub(since);
        // Zero is no report yet; what is longer than any real path is an answer to somebody else's.
        if last != 0 && from_units(elapsed) < DELAY_MAX {
            heard.round_trip = Some(from_units(elapsed));
            figures.round_trip = heard.round_trip;
        }
    }

    /// Forgets a source; when there are fewer, reports come sooner (RFC 3550 section 6.3.4).
    fn handle_goodbye(&mut self, ssrc: u32, now: Instant) {
        let Some(place) = self.sources.iter().position(|source| source.ssrc == ssrc) else { return };
        let before = self.members();
        self.sources.swap_remove(place);
        self.figures.goodbyes += 1;
        let share = self.members() as f64 / before as f64;
        let until = self.next.since(now).mul_f64(share);
        let since = now.since(self.previous).mul_f64(share);
        if self.next > now {
            self.next = now.after(until);
        }
        self.previous = Instant::from_ns(now.as_ns() - since.as_nanos() as u64);
    }

    fn asks_for_key_frame(&self, feedback: &PayloadFeedback<'_>) -> bool {
        let ssrc = self.settings.ssrc;
        if feedback.parse_fci::<Pli<'_>>().is_ok() {
            return feedback.media_ssrc() == ssrc;
        }
        feedback.parse_fci::<Fir<'_>>().is_ok_and(|fir| fir.entries().any(|entry| entry.ssrc() == ssrc))
    }

    fn handle_transport_feedback(&mut self, feedback: &TransportFeedback<'_>) {
        if feedback.media_ssrc() != self.settings.ssrc {
            return;
        }
        if let Ok(nack) = feedback.parse_fci::<Nack<'_>>() {
            self.figures.retransmission_requests += nack.entries().count() as u64;
        }
    }

    /// What is known of a source, from now on if it is new; `None` of this one itself, and when there are too many.
    fn source(&mut self, ssrc: u32) -> Option<&mut Source> {
        if ssrc == self.settings.ssrc {
            return None;
        }
        if let Some(place) = self.sources.iter().position(|source| source.ssrc == ssrc) {
            return Some(&mut self.sources[place]);
        }
        if self.sources.len() == SOURCES_MAX {
            return None;
        }
        self.sources.push(Source { ssrc, report: None, prior: Reception::default() });
        self.sources.last_mut()
    }

    const fn members(&self) -> usize {
        self.sources.len() + 1
    }

    fn weigh(&mut self, octets: usize) {
        self.average += (octets as f64 + LOWER - self.average) * NEWEST;
    }

    fn interval(&mut self) -> Duration {
        let we_sent = self.sent_before[1] > self.sent_before[0];
        let others = self.sources.iter().filter(|source| source.report.is_some()).count();
        let load = Load {
            members: self.members(),
            senders: others + usize::from(we_sent),
            we_sent,
            bandwidth: self.settings.bandwidth,
            average: self.average,
            minimum: self.settings.minimum,
            initial: self.figures.sent == 0,
        };
        interval(&load, &mut self.random)
    }
}

const ROOM: &str = "REPORT_MAX octets hold what is written";
