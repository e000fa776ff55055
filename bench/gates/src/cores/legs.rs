//! Legs: packets of calls through a worker's stages, as many as are worked on together.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use raceway_abi::{Counter, Direction, Policer, mapped};
use raceway_api::{Codec, Format, Learning, LegRules, Punts, SourcePolicy};
use raceway_engine::limits::LEG_BATCH;
use raceway_engine::{Buffers, Came, Counters, Leg, LegRoute, LegSetup, Media, Protection};
use raceway_srtp::{Batch, Job, Kind, Lanes, MasterKey, Sender, Suite};
use raceway_units::{Endpoint, Instant};

use super::{Operation, Scenario, scenario};
use crate::packets::rtp;

const HEADROOM: usize = 128;
const MEMORY: usize = 1024;

pub(super) fn all() -> Vec<Scenario> {
    vec![
        scenario("legs: 64 packets of as many calls, RTP to RTP", |_| turns(None, None)),
        scenario("legs: 64 packets of as many calls, RTP to SRTP (AES-CM, 80)", |_| {
            turns(None, Some(Suite::Aes128CmSha1_80))
        }),
        scenario("legs: 64 packets of as many calls, RTP to SRTP (AES-GCM)", |_| {
            turns(None, Some(Suite::AeadAes128Gcm))
        }),
        scenario("legs: 64 packets of as many calls, SRTP to RTP (AES-CM, 80)", |runs| {
            turns(Some((Suite::Aes128CmSha1_80, runs)), None)
        }),
    ]
}

/// Buffers by number.
struct Desk {
    memories: Vec<[u8; MEMORY]>,
    sent: usize,
}

struct Number(usize);

impl Buffers for Desk {
    type Buffer = Number;

    fn memory(&mut self, buffer: &Number) -> &mut [u8] {
        &mut self.memories[buffer.0]
    }

    fn memories<'a, 'b>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Number>,
    ) -> ArrayVec<&'a mut [u8], LEG_BATCH> {
        // They come in the order of their numbers here.
        let mut memories = self.memories.iter_mut();
        let mut at = 0;
        buffers
            .map(|buffer| {
                let memory = memories.nth(buffer.0 - at).expect("in order");
                at = buffer.0 + 1;
                &mut memory[..]
            })
            .collect()
    }

    fn originate(&mut self) -> Option<Number> {
        None
    }

    fn send(&mut self, _: u32, _: Endpoint, _: u8, _: Number, _: Range<usize>) {
        self.sent += 1;
    }

    fn record(&mut self, _: Instant, _: u32, _: &Came, _: &Number, _: Range<usize>) -> bool {
        false
    }

    fn release(&mut self, _: Number) {}
}

fn key(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &vec![1; suite.key_octets()], &vec![2; suite.salt_octets()]).expect("as long as it must be")
}

fn party(number: u32) -> Endpoint {
    Endpoint { address: mapped([192, 0, 2, number as u8]), port: 4000 }
}

fn protection(suite: Option<Suite>) -> Protection {
    suite.map_or(Protection::Plain, |suite| Protection::Srtp(key(suite)))
}

/// Leg `number` of `LEG_BATCH` calls: the first half sends, the other gets what it sends.
fn setup(number: u32, receive: Option<Suite>, send: Option<Suite>) -> LegSetup {
    let other = number + LEG_BATCH as u32;
    LegSetup {
        session: 1,
        id: number,
        rtp: (number, Some(party(number))),
        rtcp: None,
        direction: Direction::ClientToPeer,
        learning: Learning::Off,
        source: SourcePolicy::Any,
        receive: protection(receive),
        send: protection(send),
        routes: vec![LegRoute { id: other, leg: other, payload_types: Box::default() }],
        formats: vec![Format { payload_type: 0, codec: Codec::Pcmu, clock_hz: 8000 }],
        bundled: None,
        rules: LegRules { detect_dtmf: true, ..LegRules::default() },
        punt: Punts::default(),
        rollovers: Vec::new(),
        tap: None,
    }
}

/// A turn with one packet of each call, again and again; SRTP is made beforehand for so many runs.
fn turns(receive: Option<(Suite, u32)>, send: Option<Suite>) -> Operation {
    let counters = Arc::new(Counters::default());
    let policers: Arc<Vec<Policer>> = Arc::default();
    let legs = 2 * LEG_BATCH;
    let mut media = Media::new(legs, legs, policers, Arc::clone(&counters));
    let mut now = Instant::from_ns(1_000_000_000);
    for number in 0..legs as u32 {
        let leg = Leg::new(&setup(number, receive.map(|(suite, _)| suite), send), Arc::default());
        assert!(media.put(now, number, Box::new(leg)).is_none());
    }
    let packets: Vec<Vec<u8>> = match receive {
        Some((suite, runs)) => protected(suite, runs),
        None => (0..=u8::MAX).map(numbered).collect(),
    };
    let mut desk = Desk { memories: vec![[0; MEMORY]; LEG_BATCH], sent: 0 };
    let mut run = 0;
    Box::new(move || {
        let packet = &packets[run % packets.len()];
        now = now.after(Duration::from_millis(20));
        for number in 0..LEG_BATCH {
            let payload = HEADROOM..HEADROOM + packet.len();
            desk.memories[number][payload.clone()].copy_from_slice(packet);
            let came = Came { socket: number as u32, remote: party(number as u32), traffic_class: 0 };
            assert!(media.handle(now, &mut desk, came, Number(number), payload).is_none());
        }
        media.flush(now, &mut desk);
        run += 1;
        assert_eq!(desk.sent, run * LEG_BATCH);
        assert_eq!(counters.values()[Counter::packets(Direction::ClientToPeer).index() as usize], desk.sent as u64);
    })
}

/// The next packet of a stream.
fn numbered(sequence: u8) -> Vec<u8> {
    let mut packet = rtp();
    packet[3] = sequence;
    packet
}

/// The first packets of a stream, as SRTP.
fn protected(suite: Suite, count: u32) -> Vec<Vec<u8>> {
    let mut sender = Sender::new(&key(suite), 1);
    let mut batch = Batch::new(Lanes::detect());
    let protect = |sequence: u32| {
        let mut packet = rtp();
        packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
        let octets = packet.len();
        packet.resize(octets + raceway_srtp::limits::OVERHEAD_MAX, 0);
        let mut jobs = [Job::new(0, Kind::Rtp, &mut packet, octets)];
        batch.protect(&mut std::slice::from_mut(&mut sender)[..], &mut jobs);
        jobs[0].result.expect("protected");
        jobs[0].packet().to_vec()
    };
    (0..count).map(protect).collect()
}
