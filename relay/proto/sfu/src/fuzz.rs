//! Fuzz entry.

use core::time::Duration;

use raceway_rtp::{Extension, ExtensionIds, Extensions, Header};
use raceway_units::Instant;

use crate::forward::{Egress, Forward};
use crate::frame::Source;
use crate::history::HistorySize;
use crate::reader::Codec;
use crate::subscription::{Start, Subscription, Want};
use crate::track::{Setup, Track};

const CODECS: [Codec; 6] = [Codec::Audio, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::Opaque];
/// Identifier of the dependency descriptor in test packets.
const DESCRIPTOR: u8 = 12;

/// A publisher that sends anything, and a subscriber that wants anything.
///
/// The first octet is the codec. Then come steps, each an octet and what it needs: a packet (its length, and it), a wish
/// (stream and layers), a pause, a request for a packet (its number), a millisecond. Whatever comes: what is sent is RTP, no
/// number is given out twice but for a repetition of the same packet, and nothing panics.
pub fn fuzz(data: &[u8]) {
    let [codec, steps @ ..] = data else { return };
    Run::new(CODECS[usize::from(*codec) % CODECS.len()]).go(steps);
}

struct Run {
    track: Track,
    subscription: Subscription,
    egress: Egress,
    ids: ExtensionIds,
    now: Instant,
    /// Numbers that were given out, with what they were given to.
    given: Vec<(u16, u8, u64)>,
}

impl Run {
    fn new(codec: Codec) -> Self {
        let history = HistorySize { packets: 64, octets: 4_096 };
        let setup = Setup { codec, clock_rate: 90_000, encodings: 3, repairs: true, history };
        let ids = ExtensionIds::default().with(Extension::Descriptor, DESCRIPTOR).with(Extension::AudioLevel, 1);
        let egress = Egress {
            ssrc: 7,
            payload_types: [(96, 100)].into_iter().collect(),
            repair: Some((8, [(100, 101)].into_iter().collect())),
            ids: ids.with(Extension::TransportSequence, 3).with(Extension::Mid, 4),
            mid: [b'0'].into_iter().collect(),
            names_source: true,
        };
        Self {
            track: Track::new(&setup),
            subscription: Subscription::new(codec.is_video(), 90_000, Start { sequence: 65_530, ..Start::default() }),
            egress,
            ids,
            now: Instant::from_ns(1),
            given: Vec::new(),
        }
    }

    fn go(&mut self, mut steps: &[u8]) {
        while let [step, rest @ ..] = steps {
            steps = match (step % 8, rest) {
                (0..=3, [length, rest @ ..]) => {
                    let (packet, rest) = rest.split_at(usize::from(*length).min(rest.len()));
                    self.packet(Source(step >> 4), packet);
                    rest
                }
                (4, [layers, rest @ ..]) => {
                    let (spatial, temporal) = (layers >> 4 & 7, layers & 7);
                    self.subscription.select(Want { source: Source(step >> 4 & 3), spatial, temporal });
                    rest
                }
                (5, [low, rest @ ..]) => {
                    self.nack(65_530_u16.wrapping_add(u16::from(*low)));
                    rest
                }
                (6, rest) => {
                    self.subscription.pause();
                    rest
                }
                (_, rest) => {
                    self.pass(u64::from(*step));
                    rest
                }
            };
        }
    }

    fn packet(&mut self, source: Source, octets: &[u8]) {
        let Some(header) = Header::read(octets) else { return };
        let extensions = Extensions::read(octets, &header, &self.ids);
        let Ok(packet) = self.track.receive(self.now, source, octets, &header, &extensions) else { return };
        if let Ok(forward) = self.subscription.offer(&packet, &self.track.targets(source)) {
            let number = match forward {
                Forward::Media(numbers) => numbers.sequence,
                Forward::Fill { sequence, .. } => sequence,
            };
            assert!(self.given.iter().all(|(given, ..)| *given != number), "{number} was given out before");
            self.given.push((number, source.0, packet.sequence));
            let mut out = [0; 1_500];
            if let Some(written) = self.egress.write(&forward, &packet, octets, None, &mut out) {
                let header = Header::read(&out[..written.length]).expect("what is sent is RTP");
                assert_eq!((header.sequence, header.ssrc, header.payload_type), (number, 7, 100));
                assert_eq!(written.transport_sequence.len(), 2);
            }
        }
    }

    fn nack(&mut self, number: u16) {
        let Ok((source, sequence)) = self.subscription.nack(self.now, number, Duration::ZERO) else { return };
        let Some((packet, octets)) = self.track.history().get(source, sequence) else { return };
        let given = self.given.iter().find(|(given, ..)| *given == number);
        assert!(given.is_none_or(|given| *given == (number, source.0, sequence)), "another packet has the number");
        if let Ok((forward, repetition)) = self.subscription.repeat(packet) {
            let mut out = [0; 1_500];
            if let Some(written) = self.egress.write(&forward, packet, octets, Some(repetition), &mut out) {
                let header = Header::read(&out[..written.length]).expect("what is sent is RTP");
                let original = &header.payload.of(&out)[..2];
                assert_eq!((header.ssrc, original), (8, &number.to_be_bytes()[..]));
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
        for source in (0..3).map(Source) {
            let missing = self.track.nacks(self.now, source, Duration::from_millis(50));
            assert!(missing.len() <= crate::limits::MISSING_MAX);
            if let Some(wanted) = self.subscription.poll_key_frame(self.now, &self.track.targets(source)) {
                self.track.request_key_frame(wanted);
            }
        }
        let _ = (self.track.poll_key_frame(self.now), self.track.poll_timeout(Duration::ZERO));
    }
}
