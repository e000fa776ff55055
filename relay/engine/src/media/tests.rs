//! Legs over plain memory and virtual time: datagrams in, datagrams out.

mod bundle;
mod forwarding;
mod hostile;
mod recording;
mod rules;
mod secured;
mod sources;

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use raceway_abi::{Counter, Direction};
use raceway_api::{Codec, Format, Learning, LegRules, Punts, SourcePolicy};

use super::*;
use crate::tests::{NOW, v4};

const HEADROOM: usize = 64;
const MEMORY: usize = HEADROOM + 2048;

/// Sockets: RTP and RTCP of the legs.
const A_RTP: u32 = 10;
const A_RTCP: u32 = 11;
const B_RTP: u32 = 12;
const B_RTCP: u32 = 13;
const SESSION: u64 = 7;
/// Legs, as numbers; their names are ten more.
const A: u32 = 0;
const B: u32 = 1;
const C: u32 = 2;
const D: u32 = 3;
const C_RTP: u32 = 14;
const D_RTP: u32 = 16;

const ALICE: Endpoint = v4([192, 0, 2, 1], 4000);
const BOB: Endpoint = v4([192, 0, 2, 2], 5000);
const CAROL: Endpoint = v4([192, 0, 2, 3], 6000);
const DAVE: Endpoint = v4([192, 0, 2, 4], 7000);
const MALLORY: Endpoint = v4([203, 0, 113, 66], 666);

const fn rtcp_of(party: Endpoint) -> Endpoint {
    Endpoint { port: party.port + 1, ..party }
}

/// What left: socket, destination, traffic class, octets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    socket: u32,
    to: Endpoint,
    traffic_class: u8,
    octets: Vec<u8>,
}

/// Buffers by number, and what became of them.
#[derive(Default)]
struct Desk {
    memories: Vec<Vec<u8>>,
    sent: Vec<Sent>,
    /// Buffers that are out.
    out: usize,
    /// Copies that may still be made.
    copies: usize,
    /// What was recorded: of which recording, socket, source, octets.
    recorded: Vec<(u32, u32, Endpoint, Vec<u8>)>,
    /// Packets that may still be recorded.
    room: usize,
}

struct Number(usize);

impl Desk {
    fn fill(&mut self, octets: &[u8]) -> (Number, Range<usize>) {
        let mut memory = vec![0xaa; MEMORY];
        memory[HEADROOM..HEADROOM + octets.len()].copy_from_slice(octets);
        self.memories.push(memory);
        self.out += 1;
        (Number(self.memories.len() - 1), HEADROOM..HEADROOM + octets.len())
    }
}

impl Buffers for Desk {
    type Buffer = Number;

    fn memory(&mut self, buffer: &Number) -> &mut [u8] {
        &mut self.memories[buffer.0]
    }

    fn memories<'a, 'b>(
        &'a mut self,
        buffers: impl Iterator<Item = &'b mut Number>,
    ) -> ArrayVec<&'a mut [u8], LEG_BATCH> {
        let mut all: Vec<Option<&mut Vec<u8>>> = self.memories.iter_mut().map(Some).collect();
        buffers.map(|buffer| &mut all[buffer.0].take().expect("a buffer is named once")[..]).collect()
    }

    fn originate(&mut self) -> Option<Number> {
        self.copies = self.copies.checked_sub(1)?;
        Some(self.fill(&[]).0)
    }

    fn send(&mut self, socket: u32, to: Endpoint, traffic_class: u8, buffer: Number, payload: Range<usize>) {
        let octets = self.memories[buffer.0][payload].to_vec();
        self.sent.push(Sent { socket, to, traffic_class, octets });
        self.release(buffer);
    }

    fn record(&mut self, _: Instant, recording: u32, came: &Came, buffer: &Number, payload: Range<usize>) -> bool {
        let Some(room) = self.room.checked_sub(1) else { return false };
        self.room = room;
        let octets = self.memories[buffer.0][payload].to_vec();
        self.recorded.push((recording, came.socket, came.remote, octets));
        true
    }

    fn release(&mut self, _: Number) {
        self.out -= 1;
    }
}

/// A machine, and what it reaches.
struct World {
    media: Media<Number, Vec<Policer>>,
    desk: Desk,
    counters: Arc<Counters>,
    figures: [Arc<LegFigures>; 4],
    now: Instant,
    punted: usize,
}

/// The setup of leg `number`, which sends all that comes to the others.
fn setup(number: u32, to: &[u32]) -> LegSetup {
    let (party, rtp) = [(ALICE, A_RTP), (BOB, B_RTP), (CAROL, C_RTP), (DAVE, D_RTP)][number as usize];
    let route = |leg: &u32| LegRoute { id: leg + 10, leg: *leg, payload_types: Box::default() };
    let format = |payload_type, codec, clock_hz| Format { payload_type, codec, clock_hz };
    LegSetup {
        session: SESSION,
        id: number + 10,
        rtp: (rtp, Some(party)),
        rtcp: Some((rtp + 1, Some(rtcp_of(party)))),
        direction: if number == A { Direction::ClientToPeer } else { Direction::PeerToClient },
        learning: Learning::Off,
        source: SourcePolicy::Any,
        receive: Protection::Plain,
        send: Protection::Plain,
        routes: to.iter().map(route).collect(),
        formats: vec![
            format(0, Codec::Pcmu, 8000),
            format(96, Codec::Opus, 48_000),
            format(101, Codec::TelephoneEvent, 8000),
        ],
        bundled: None,
        rules: LegRules::default(),
        punt: Punts::default(),
        rollovers: Vec::new(),
        tap: None,
    }
}

impl World {
    /// Two legs that send to each other.
    fn new() -> Self {
        Self::with([setup(A, &[B]), setup(B, &[A])])
    }

    fn with(setups: impl IntoIterator<Item = LegSetup>) -> Self {
        let counters = Arc::new(Counters::default());
        let policers = Arc::new(vec![Policer::default(), Policer::default()]);
        let media = Media::new(8, 32, policers, Arc::clone(&counters));
        let desk = Desk { copies: 1000, room: 1000, ..Desk::default() };
        let figures = core::array::from_fn(|_| Arc::default());
        let mut world = Self { media, desk, counters, figures, now: NOW, punted: 0 };
        setups.into_iter().for_each(|setup| world.put(&setup));
        world
    }

    fn put(&mut self, setup: &LegSetup) {
        let number = setup.id - 10;
        let leg = Leg::new(setup, Arc::clone(&self.figures[number as usize]));
        self.media.put(self.now, number, Box::new(leg));
    }

    /// A datagram that comes, and waits.
    fn comes(&mut self, socket: u32, remote: Endpoint, octets: &[u8]) {
        let (buffer, payload) = self.desk.fill(octets);
        let came = Came { socket, remote, traffic_class: 0xb9 };
        if let Some(buffer) = self.media.handle(self.now, &mut self.desk, came, buffer, payload) {
            self.punted += 1;
            self.desk.release(buffer);
        }
    }

    /// Ends the turn; what left in it.
    fn turn(&mut self) -> Vec<Sent> {
        self.media.flush(self.now, &mut self.desk);
        assert_eq!(self.desk.out, 0, "every buffer was sent or released");
        core::mem::take(&mut self.desk.sent)
    }

    /// What leaves when this comes.
    fn take(&mut self, socket: u32, remote: Endpoint, octets: &[u8]) -> Vec<Sent> {
        self.comes(socket, remote, octets);
        self.turn()
    }

    /// The payload of the only datagram that leaves when this comes.
    fn through(&mut self, socket: u32, remote: Endpoint, octets: &[u8]) -> Vec<u8> {
        let mut sent = self.take(socket, remote, octets);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0).octets
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
    }

    fn news(&mut self) -> Vec<(u32, News)> {
        core::iter::from_fn(|| self.media.poll_news()).map(|news| (news.leg - 10, news.what)).collect()
    }

    /// How often something was dropped for this reason, by all and by a leg.
    fn drops(&self, leg: u32, reason: DropReason) -> (u64, u64) {
        let all = self.counters.values()[Counter::drops(reason).index() as usize];
        let of_leg = self.figures[leg as usize].dropped().find(|(found, _)| *found == reason);
        (all, of_leg.map_or(0, |(_, count)| count))
    }

    /// Nothing leaves when this comes, which is counted for this reason.
    fn refuses(&mut self, socket: u32, remote: Endpoint, octets: &[u8], reason: DropReason) {
        let before = self.drops(A, reason).0;
        assert_eq!(self.take(socket, remote, octets), [], "{reason:?}");
        assert_eq!(self.drops(A, reason).0, before + 1, "{reason:?}");
    }
}

/// An RTP packet of source 0x1234.
fn rtp(payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    rtp_of(0x1234, payload_type, sequence, u32::from(sequence) * 160, payload)
}

fn rtp_of(ssrc: u32, payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// An RTCP packet with a body of words.
fn rtcp(kind: u8, count: u8, body: &[u32]) -> Vec<u8> {
    let mut packet = vec![0x80 | count, kind, 0, body.len() as u8];
    packet.extend(body.iter().flat_map(|word| word.to_be_bytes()));
    packet
}
