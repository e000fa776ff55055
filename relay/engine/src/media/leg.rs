//! A leg as its worker holds it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use raceway_abi::{Direction, DropReason};
use raceway_api::{Bundled, Format, Learning, LegRules, Punts, Rollover, SourcePolicy};
use raceway_srtp::{MasterKey, Position, Receiver, Sender, SrtpError, Streams};
use raceway_units::{Endpoint, Instant};

use super::bundle::Bundle;
use super::dtmf::Keypad;
use super::figures::LegFigures;
use super::learning::Learner;
use super::rtp::{self, Kind};
use super::sources::{Called, Sources};
use crate::limits::{LEG_PUNT_BURST, LEG_PUNTS_PER_SECOND, PREVIOUS_KEY, REPORTS_KEPT, SRTP_STREAMS};

/// No leg.
pub const NO_LEG: u32 = u32::MAX;

/// A leg as it is to be. Where the words are those of [`raceway_api::Leg`], so is the meaning.
#[derive(Clone, Debug)]
pub struct LegSetup {
    /// Its session.
    pub session: u64,
    /// Its name there.
    pub id: u32,
    /// RTP: number of the socket, the signalled address.
    pub rtp: (u32, Option<Endpoint>),
    /// RTCP, unless it is multiplexed.
    pub rtcp: Option<(u32, Option<Endpoint>)>,
    /// Which counters.
    pub direction: Direction,
    /// Learning.
    pub learning: Learning,
    /// Source policy.
    pub source: SourcePolicy,
    /// What comes.
    pub receive: Protection,
    /// What goes.
    pub send: Protection,
    /// Where to.
    pub routes: Vec<LegRoute>,
    /// Formats.
    pub formats: Vec<Format>,
    /// What tells its packets from others' at the same socket.
    pub bundled: Option<Box<Bundled>>,
    /// Rules.
    pub rules: LegRules,
    /// Punts.
    pub punt: Punts,
    /// What was before.
    pub rollovers: Vec<Rollover>,
    /// Recording.
    pub tap: Option<Tap>,
}

/// What is recorded of a leg: all that it takes in, opened and as its rules leave it, before it is made into what others get.
#[derive(Clone, Debug)]
pub struct Tap {
    /// Number of the recording.
    pub recording: u32,
    /// Counts what there was no room for.
    pub lost: Arc<AtomicU64>,
}

/// How packets are secured in one direction.
#[derive(Clone, Debug)]
pub enum Protection {
    /// Not.
    Plain,
    /// By others.
    Opaque,
    /// Not yet.
    Await,
    /// By us.
    Srtp(MasterKey),
}

/// One way that packets take.
#[derive(Clone, Debug)]
pub struct LegRoute {
    /// The leg's name.
    pub id: u32,
    /// The leg's number, or [`NO_LEG`].
    pub leg: u32,
    /// Payload types that change: from, to.
    pub payload_types: Box<[(u8, u8)]>,
}

/// A leg. Made by the thread that has memory to give, worked with by a worker, and freed by the first again.
pub struct Leg {
    pub(super) session: u64,
    pub(super) id: u32,
    pub(super) rtp: Path,
    pub(super) rtcp: Option<Path>,
    pub(super) direction: Direction,
    pub(super) receive: Secured<Receiver>,
    pub(super) send: Secured<Sender>,
    pub(super) routes: Box<[LegRoute]>,
    formats: Box<[Format]>,
    pub(super) bundle: Option<Box<Bundle>>,
    pub(super) rules: LegRules,
    pub(super) punt: Punts,
    pub(super) figures: Arc<LegFigures>,
    /// Only where somebody wants to know of key presses.
    pub(super) keypad: Option<Box<Keypad>>,
    /// The first RTP packet has come.
    pub(super) heard: bool,
    pub(super) last_ssrc: u32,
    /// What sources of other legs are called towards the party.
    pub(super) sources: Sources,
    /// When the key before the current one is forgotten.
    previous_key_ends: Option<Instant>,
    /// Sender reports that went to the party, to know the round trip by what comes of them.
    reports: [SentReport; REPORTS_KEPT],
    next_report: usize,
    /// Theoretical arrival of the next datagram for control: of those from where the party is, and of those from elsewhere.
    punt_at_ns: [u64; 2],
    tap: Option<Box<Tap>>,
    /// The next leg that shares the socket, or [`NO_LEG`].
    pub(super) next: u32,
}

/// One way in and out.
pub(super) struct Path {
    /// Number of the socket.
    pub socket: u32,
    /// Where the party is.
    pub learner: Learner,
}

/// How packets are secured in one direction, with what does it.
pub(super) enum Secured<C> {
    Plain,
    Opaque,
    Await,
    Srtp(Box<Keyed<C>>),
}

/// A master key, and what works with it.
pub(super) struct Keyed<C> {
    master: MasterKey,
    context: C,
}

#[derive(Clone, Copy, Default)]
struct SentReport {
    ssrc: u32,
    ntp_middle: u32,
    sent_at_ns: u64,
}

impl<C> Secured<C> {
    fn new(protection: &Protection, make: impl FnOnce(&MasterKey) -> C) -> Self {
        match protection {
            Protection::Plain => Self::Plain,
            Protection::Opaque => Self::Opaque,
            Protection::Await => Self::Await,
            Protection::Srtp(master) => Self::Srtp(Box::new(Keyed { master: master.clone(), context: make(master) })),
        }
    }

    /// Whether nobody looks into the packets.
    #[inline]
    pub fn is_opaque(&self) -> bool {
        matches!(self, Self::Opaque)
    }

    /// What does it, where we do it.
    #[inline]
    pub fn context(&mut self) -> Option<&mut C> {
        match self {
            Self::Srtp(keyed) => Some(&mut keyed.context),
            Self::Plain | Self::Opaque | Self::Await => None,
        }
    }

    /// See [`context`](Self::context).
    #[inline]
    pub fn context_ref(&self) -> Option<&C> {
        match self {
            Self::Srtp(keyed) => Some(&keyed.context),
            Self::Plain | Self::Opaque | Self::Await => None,
        }
    }

    /// Goes on with the context of `before`, which `rekey` gives the new key; whether that was another.
    fn follow(&mut self, before: &mut Self, rekey: impl FnOnce(&mut C, &MasterKey) -> bool) -> Option<bool> {
        let (Self::Srtp(now), Self::Srtp(before)) = (self, before) else { return None };
        let changed = rekey(&mut before.context, &now.master);
        core::mem::swap(&mut now.context, &mut before.context);
        Some(changed)
    }
}

impl Leg {
    /// A leg that nothing has come to yet. `figures` are those of the leg of the same name before it, if there was one.
    #[must_use]
    pub fn new(setup: &LegSetup, figures: Arc<LegFigures>) -> Self {
        let path = |(socket, remote): (u32, Option<Endpoint>)| Path {
            socket,
            learner: Learner::new(setup.learning, setup.source, remote),
        };
        let mut leg = Self {
            session: setup.session,
            id: setup.id,
            rtp: path(setup.rtp),
            rtcp: setup.rtcp.map(path),
            direction: setup.direction,
            receive: Secured::new(&setup.receive, |master| Receiver::new(master, SRTP_STREAMS)),
            send: Secured::new(&setup.send, |master| Sender::new(master, SRTP_STREAMS)),
            routes: setup.routes.clone().into(),
            formats: setup.formats.clone().into(),
            bundle: setup.bundled.as_deref().map(|bundled| Box::new(Bundle::new(bundled))),
            rules: setup.rules,
            punt: setup.punt,
            figures,
            keypad: setup.rules.detect_dtmf.then(Box::default),
            heard: false,
            last_ssrc: 0,
            sources: Sources::NONE,
            previous_key_ends: None,
            reports: [SentReport::default(); REPORTS_KEPT],
            next_report: 0,
            punt_at_ns: [0; 2],
            tap: setup.tap.clone().map(Box::new),
            next: NO_LEG,
        };
        if leg.receive.context_ref().is_some() || leg.send.context_ref().is_some() {
            leg.figures.keep_rollovers();
        }
        setup.rollovers.iter().for_each(|rollover| leg.resume(rollover));
        leg
    }

    /// Goes on where a relay before this one was. What there is no room for begins anew, as if it had not been told.
    fn resume(&mut self, rollover: &Rollover) {
        // Of a sender that has sent no SRTCP a few indexes are left out for nothing; it must not be the other way round.
        let rtcp_index = (rollover.sent || rollover.srtcp_index > 0).then_some(rollover.srtcp_index);
        let position = Position { ssrc: rollover.ssrc, roc: rollover.roc, sequence: rollover.sequence, rtcp_index };
        let _ = match rollover.sent {
            true => self.send.context().map(|sender| sender.resume(&position)),
            false => self.receive.context().map(|receiver| receiver.resume(&position)),
        };
    }

    /// Goes on where the leg of the same name was: with what it learned, with its contexts where they have the same keys
    /// or get new ones.
    pub(super) fn follow(&mut self, before: &mut Self, now: Instant) {
        self.rtp.learner = self.rtp.learner.following(&before.rtp.learner);
        if let (Some(path), Some(before)) = (&mut self.rtcp, &before.rtcp) {
            path.learner = path.learner.following(&before.learner);
        }
        if let (Some(bundle), Some(before)) = (&mut self.bundle, &before.bundle) {
            bundle.follow(before);
        }
        self.previous_key_ends = before.previous_key_ends;
        match self.receive.follow(&mut before.receive, |old, master| old.rekey(master, Streams::Keep)) {
            Some(true) => self.previous_key_ends = Some(now.after(PREVIOUS_KEY)),
            Some(false) => {}
            None => self.figures.forget_rollovers(false),
        }
        if self.send.follow(&mut before.send, |old, master| old.rekey(master, Streams::Keep)).is_none() {
            self.figures.forget_rollovers(true);
        }
        if let (Some(keypad), Some(before)) = (&mut self.keypad, &before.keypad) {
            keypad.clone_from(before);
        }
        (self.heard, self.last_ssrc) = (before.heard, before.last_ssrc);
        self.sources = before.sources;
        (self.reports, self.next_report, self.punt_at_ns) = (before.reports, before.next_report, before.punt_at_ns);
    }

    /// Says in its figures where packets go. A leg of a worker does so by itself; who makes one with new figures may, before
    /// it is handed over.
    pub fn publish_remotes(&self) {
        let rtcp = self.rtcp.as_ref().map(|path| &path.learner);
        let rtp = &self.rtp.learner;
        let of = |learner: &Learner| (learner.remote(), learner.is_settled());
        self.figures.set_remotes(of(rtp), rtcp.map_or((None, false), of));
    }

    /// The path that a datagram came by, or that packets of a kind go by.
    #[inline]
    pub(super) fn path_of(&mut self, rtcp: bool) -> &mut Path {
        match &mut self.rtcp {
            Some(path) if rtcp => path,
            _ => &mut self.rtp,
        }
    }

    /// Whether a socket is that of RTCP alone.
    #[inline]
    pub(super) fn is_rtcp_socket(&self, socket: u32) -> bool {
        self.rtcp.as_ref().is_some_and(|path| path.socket == socket)
    }

    /// What a payload type of the party stands for.
    #[inline]
    pub(super) fn format(&self, payload_type: u8) -> Option<Format> {
        self.formats.iter().find(|format| format.payload_type == payload_type).copied()
    }

    /// Who gets copies of its packets. What nobody may look into is no use to anyone.
    #[inline]
    pub(super) fn tap(&self) -> Option<&Tap> {
        self.tap.as_deref().filter(|_| !self.receive.is_opaque())
    }

    /// Takes a datagram for control from what the leg may hand over; false, and nothing taken, when that is too much. A
    /// flood from elsewhere leaves the party the checks by which it keeps its consent (RFC 7675).
    pub(super) fn may_punt(&mut self, now: Instant, from: Endpoint) -> bool {
        const COST_NS: u64 = 1_000_000_000 / LEG_PUNTS_PER_SECOND;
        let is_party =
            [Some(&self.rtp), self.rtcp.as_ref()].into_iter().flatten().any(|path| path.remote() == Some(from));
        let at_ns = &mut self.punt_at_ns[usize::from(!is_party)];
        let next = (*at_ns).max(now.as_ns()) + COST_NS;
        let conforms = next - now.as_ns() <= COST_NS * LEG_PUNT_BURST;
        if conforms {
            *at_ns = next;
        }
        conforms
    }

    /// Forgets the key before the current one when its time is over.
    #[inline]
    pub(super) fn forget_previous_key(&mut self, now: Instant) {
        if self.previous_key_ends.is_some_and(|end| now >= end) {
            self.previous_key_ends = None;
            if let Some(receiver) = self.receive.context() {
                receiver.forget_previous();
            }
        }
    }

    /// Notes a sender report that goes to the party.
    pub(super) fn report_sent(&mut self, now: Instant, ssrc: u32, ntp_middle: u32) {
        self.reports[self.next_report] = SentReport { ssrc, ntp_middle, sent_at_ns: now.as_ns() };
        self.next_report = (self.next_report + 1) % REPORTS_KEPT;
    }

    /// The round trip by a reception report of the party, in microseconds (RFC 3550 section 6.4.1).
    pub(super) fn round_trip_us(&self, now: Instant, (ssrc, last, delay): (u32, u32, u32)) -> Option<u32> {
        let of = |sent: &&SentReport| sent.sent_at_ns != 0 && sent.ssrc == ssrc && sent.ntp_middle == last;
        let sent = self.reports.iter().find(of)?;
        let delay_ns = (u64::from(delay) * 1_000_000_000) >> 16;
        let round_trip_ns = now.as_ns().checked_sub(sent.sent_at_ns)?.checked_sub(delay_ns)?;
        u32::try_from(round_trip_ns / 1000).ok()
    }

    /// Gives RTP of a leg the name that its source has towards the party. Whether that is news.
    #[inline]
    pub(super) fn rename_rtp(&mut self, now: Instant, from: u32, data: &mut [u8]) -> bool {
        let Some(ssrc) = rtp::ssrc(data) else { return false };
        let (translated, figures) = (self.sources.translates(), &self.figures);
        match self.sources.call(now, from, ssrc, |ssrc| figures.has_heard(ssrc)) {
            Called::Itself => false,
            Called::Otherwise(name) => {
                rtp::set_ssrc(data, name);
                self.figures.translates.store(1, core::sync::atomic::Ordering::Relaxed);
                !translated
            }
        }
    }

    /// SRTP refused RTP towards the party as too old.
    #[cold]
    pub(super) fn too_old(&mut self, data: &[u8]) {
        let sequence = data.get(2..4).and_then(|octets| octets.first_chunk());
        let (Some(ssrc), Some(sequence), figures) = (rtp::ssrc(data), sequence, &self.figures) else { return };
        self.sources.refused(ssrc, u16::from_be_bytes(*sequence), |ssrc| figures.has_heard(ssrc));
    }

    /// Where SRTP of a stream stands.
    pub(super) fn position(&mut self, ssrc: u32, sent: bool) -> Option<Rollover> {
        let of = |position: &Position| position.ssrc == ssrc;
        let position = match sent {
            true => self.send.context()?.positions().find(of)?,
            false => self.receive.context()?.positions().find(of)?,
        };
        let Position { roc, sequence, rtcp_index, .. } = position;
        Some(Rollover { ssrc, sent, roc, sequence, srtcp_index: rtcp_index.unwrap_or(0) })
    }
}

impl Path {
    /// Where packets go.
    #[inline]
    pub fn remote(&self) -> Option<Endpoint> {
        self.learner.remote()
    }
}

/// Why a packet of a kind is dropped that SRTP refuses.
#[cold]
pub(super) fn reason(error: SrtpError) -> DropReason {
    match error {
        SrtpError::Truncated | SrtpError::Version | SrtpError::Header => DropReason::MalformedMedia,
        SrtpError::Room => DropReason::Oversized,
        SrtpError::UnknownKey | SrtpError::Authentication => DropReason::SrtpAuthentication,
        SrtpError::Replayed | SrtpError::Old => DropReason::SrtpReplayed,
        SrtpError::Streams => DropReason::SrtpStreams,
        SrtpError::Exhausted => DropReason::SrtpKeyExhausted,
    }
}

/// As SRTP has it.
#[inline]
pub(super) const fn srtp_kind(kind: Kind) -> raceway_srtp::Kind {
    match kind {
        Kind::Rtp => raceway_srtp::Kind::Rtp,
        Kind::Rtcp => raceway_srtp::Kind::Rtcp,
    }
}
