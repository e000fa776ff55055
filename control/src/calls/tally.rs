//! Calls counted, and how they were.

use prometheus::Histogram;
use raceway_media::{CallView, Ended, MediaView};
use raceway_units::Instant;

/// Figures of all calls since control began.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Calls that there are.
    pub open: usize,
    /// Calls that began here: those found in the relay at start are not among them.
    pub begun: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Calls that ended, in the order of [`Ended::ALL`].
    pub ended: [u64; Ended::ALL.len()],
    /// Of those, how long they were together, in milliseconds.
    pub duration_ms: u64,
    /// Of those, answered calls with media from one party alone.
    pub one_way: u64,
    /// Streams of those on which no packet came.
    pub silent_streams: u64,
    /// RTP and RTCP packets of those.
    pub packets: u64,
    /// What was measured of streams of those.
    pub quality: Measured,
}

/// Streams of calls that ended, one sample each.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Seconds from the first offer to the end, one sample a call.
    pub duration: Histogram,
    /// Mean opinion score (G.107), mean of the call.
    pub mos: Histogram,
    /// Mean interarrival jitter, seconds.
    pub jitter: Histogram,
    /// Packets lost of those sent, 0 to 1.
    pub loss: Histogram,
    /// Last round trip between us and the party, seconds.
    pub round_trip: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            open: 0,
            begun: 0,
            refused: 0,
            ended: Default::default(),
            duration_ms: 0,
            one_way: 0,
            silent_streams: 0,
            packets: 0,
            quality: crate::metrics::call_quality(),
        }
    }
}

impl Tally {
    /// Calls that ended for this reason.
    #[must_use]
    pub fn ended(&self, why: Ended) -> u64 {
        let index = Ended::ALL.iter().position(|each| *each == why);
        self.ended[index.expect("every reason is in the list")]
    }

    /// A call is over.
    pub(super) fn note(&mut self, call: &CallView, why: Ended, now: Instant) {
        let index = Ended::ALL.iter().position(|each| *each == why);
        self.ended[index.expect("every reason is in the list")] += 1;
        let duration = now.since(call.created_at);
        self.duration_ms += duration.as_millis() as u64;
        self.quality.duration.observe(duration.as_secs_f64());
        self.packets += call.totals.rtp_packets + call.totals.rtcp_packets;
        let heard = |party: &raceway_media::PartyView| party.media.iter().any(|m| m.received.rtp_packets > 0);
        let speaking = call.parties.iter().filter(|party| heard(party)).count();
        self.one_way += u64::from(call.answered && speaking == 1);
        call.parties.iter().flat_map(|party| &party.media).for_each(|media| self.note_stream(media));
    }

    fn note_stream(&mut self, media: &MediaView) {
        let (received, quality) = (media.received.rtp_packets, &media.quality);
        if received == 0 {
            self.silent_streams += 1;
            return;
        }
        self.quality.loss.observe(quality.lost as f64 / (received + quality.lost) as f64);
        let seconds = |us: Option<u32>| us.map(|us| f64::from(us) / 1e6);
        quality.mos_mean.into_iter().for_each(|mos| self.quality.mos.observe(mos));
        seconds(quality.jitter_mean_us).into_iter().for_each(|jitter| self.quality.jitter.observe(jitter));
        seconds(quality.round_trip_us).into_iter().for_each(|trip| self.quality.round_trip.observe(trip));
    }
}
