//! Legs by name: which there are, what control said of them, and which worker holds them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use raceway_api::limits::{LEGS_MAX, ROLLOVERS_MAX};
use raceway_api::{Leg, LegId, LegReport, OperationError, PackedLeg, SessionId, StreamReport, Traffic};
use raceway_engine::{LegFigures, NO_LEG, StreamFigures, TrafficFigures};
use raceway_units::Endpoint;

use super::describe_leg::{self, Places};
use super::report::jitter_us;
use crate::shared::{Command, Returned, Shared};

/// What a leg is called.
type Name = (SessionId, LegId);

/// Every leg. Makes them, hands them to the worker of their session, and frees what comes back.
pub struct LegBook {
    shared: Arc<Shared>,
    legs: BTreeMap<Name, Box<Known>>,
    /// Numbers that are free, by worker.
    free: Vec<VecDeque<u32>>,
}

/// A leg that a worker holds.
struct Known {
    number: u32,
    /// Numbers of its sockets: of RTP, and of RTCP if that has its own.
    sockets: (u32, Option<u32>),
    /// As control said it.
    said: PackedLeg,
    figures: Arc<LegFigures>,
}

impl LegBook {
    /// No legs yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let numbers = || (0..shared.legs_max() as u32).collect();
        let free = shared.workers.iter().map(|_| numbers()).collect();
        Self { shared, legs: BTreeMap::new(), free }
    }

    /// Makes a leg be there as described, with the `places` of its session; `again` also if that is nothing new, because
    /// these have changed. Calls `tell` with what the worker is to be told.
    ///
    /// # Errors
    /// [`OperationError::Invalid`] for what makes no sense, [`OperationError::LegsFull`].
    pub fn put(
        &mut self,
        session: SessionId,
        places: &Places<'_>,
        leg: &Leg<'_>,
        again: bool,
        mut tell: impl FnMut(Command),
    ) -> Result<(), OperationError> {
        let name = (session, leg.id);
        let said = PackedLeg::new(leg);
        if !again && self.legs.get(&name).is_some_and(|known| known.said == said) {
            return Ok(());
        }
        let mut setup = describe_leg::to_setup(session, places, leg)?;
        let sockets = (setup.rtp.0, setup.rtcp.map(|(socket, _)| socket));
        self.check_sockets(name, sockets)?;
        for route in &mut setup.routes {
            route.leg = self.legs.get(&(session, LegId(route.id))).map_or(NO_LEG, |known| known.number);
        }
        let known = match self.legs.get(&name) {
            Some(known) => (known.number, Arc::clone(&known.figures)),
            None => (self.number(session, places.worker)?, Arc::default()),
        };
        let (number, figures) = known;
        // A leg may lead to itself: an echo.
        setup.routes.iter_mut().filter(|route| route.id == leg.id.0).for_each(|route| route.leg = number);
        let made = raceway_engine::Leg::new(&setup, Arc::clone(&figures));
        if !self.legs.contains_key(&name) {
            made.publish_remotes();
        }
        tell(Command::PutLeg { number, leg: Box::new(made) });
        let known = Known { number, sockets, said, figures };
        if self.legs.insert(name, Box::new(known)).is_none() {
            self.lead_to(name, number, tell);
        }
        Ok(())
    }

    /// A number for a new leg.
    fn number(&mut self, session: SessionId, worker: u16) -> Result<u32, OperationError> {
        if self.of_session(session).count() >= LEGS_MAX {
            return Err(OperationError::LegsFull);
        }
        self.free[usize::from(worker)].pop_front().ok_or(OperationError::LegsFull)
    }

    /// Legs may share a socket for RTP, and nothing else.
    fn check_sockets(&self, (session, id): Name, (rtp, rtcp): (u32, Option<u32>)) -> Result<(), OperationError> {
        let mut others = self.of_session(session).filter(|(other, _)| *other != id).map(|(_, known)| known.sockets);
        let taken = others.any(|(other_rtp, other_rtcp)| {
            other_rtcp == Some(rtp) || rtcp.is_some() && (rtcp == other_rtcp || rtcp == Some(other_rtp))
        });
        if taken || rtcp == Some(rtp) { Err(OperationError::Invalid) } else { Ok(()) }
    }

    /// Leads the routes of other legs, which named a leg before it was there, to it.
    fn lead_to(&self, (session, id): Name, to: u32, mut tell: impl FnMut(Command)) {
        for (_, known) in self.of_session(session).filter(|(other, _)| *other != id) {
            for (at, _) in known.said.leg().to.iter().enumerate().filter(|(_, route)| route.leg == id) {
                tell(Command::SetRoute { leg: known.number, route: at as u8, to });
            }
        }
    }

    /// Ends a leg; nothing if it is not there.
    pub fn remove(&mut self, session: SessionId, leg: LegId, mut tell: impl FnMut(Command)) {
        if let Some(known) = self.legs.remove(&(session, leg)) {
            tell(Command::RemoveLeg(known.number));
        }
    }

    /// Ends every leg of a session.
    pub fn remove_session(&mut self, session: SessionId, mut tell: impl FnMut(Command)) {
        let ids: Vec<LegId> = self.of_session(session).map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.remove(session, id, &mut tell));
    }

    /// Whether a leg of the session has the socket with this number.
    #[must_use]
    pub fn uses(&self, session: SessionId, socket: u32) -> bool {
        self.of_session(session).any(|(_, known)| known.sockets.0 == socket || known.sockets.1 == Some(socket))
    }

    /// The legs of a session, as control said them.
    #[must_use]
    pub fn descriptions(&self, session: SessionId) -> Vec<Leg<'static>> {
        self.of_session(session).map(|(_, known)| known.said.leg()).collect()
    }

    /// Takes back what workers have no use for any more, and calls `untapped` with recordings that they have nothing of any
    /// more. True when there was something.
    pub fn collect(&mut self, mut untapped: impl FnMut(u32)) -> bool {
        let mut some = false;
        for (port, free) in self.shared.workers.iter().zip(&mut self.free) {
            while let Some(returned) = port.returned.pop() {
                some = true;
                match returned {
                    Returned::Removed(number, _) => free.push_back(number),
                    Returned::Untapped(recording) => untapped(recording),
                    Returned::Replaced(_) => {}
                }
            }
        }
        some
    }

    fn of_session(&self, session: SessionId) -> impl Iterator<Item = (LegId, &Known)> {
        let legs = self.legs.range((session, LegId(0))..=(session, LegId(u32::MAX)));
        legs.map(|((_, id), known)| (*id, &**known))
    }

    /// The legs of a session and what they measured; `whole`: with their descriptions.
    pub fn reports(&self, session: SessionId, whole: bool) -> impl Iterator<Item = LegReport<'static>> {
        self.of_session(session).map(move |(id, known)| known.report(id, whole))
    }
}

impl Known {
    fn report(&self, id: LegId, whole: bool) -> LegReport<'static> {
        let figures = &self.figures;
        let rollovers: Vec<_> = figures.rollovers().take(ROLLOVERS_MAX).collect();
        let leg = whole.then(|| Leg { rollovers: rollovers.clone(), ..self.said.leg() });
        let [(rtp, rtp_settled), (rtcp, rtcp_settled)] = figures.remotes();
        let address = |endpoint: Option<Endpoint>| endpoint.map(Into::into);
        LegReport {
            id,
            leg,
            rtp_remote: address(rtp),
            rtcp_remote: address(rtcp),
            rtp_settled,
            rtcp_settled,
            received: traffic(&figures.received),
            sent: traffic(&figures.sent),
            dropped: figures.dropped().map(|(reason, count)| (reason as u8, count)).collect(),
            last_rtp_ns: figures.last_rtp_ns.load(Relaxed),
            last_rtcp_ns: figures.last_rtcp_ns.load(Relaxed),
            round_trip_us: figures.round_trip_us(),
            ssrc_changes: figures.ssrc_changes.load(Relaxed),
            streams: figures.streams().into_iter().map(stream).collect(),
            translates: figures.translates.load(Relaxed) != 0,
            goodbyes: figures.goodbyes.load(Relaxed),
            extended_reports: figures.extended_reports.load(Relaxed),
            rollovers,
        }
    }
}

fn traffic(figures: &TrafficFigures) -> Traffic {
    let [rtp_packets, rtp_octets] = [&figures.rtp[0], &figures.rtp[1]].map(|figure| figure.load(Relaxed));
    let [rtcp_packets, rtcp_octets] = [&figures.rtcp[0], &figures.rtcp[1]].map(|figure| figure.load(Relaxed));
    Traffic { rtp_packets, rtp_octets, rtcp_packets, rtcp_octets }
}

fn stream(figures: &StreamFigures) -> StreamReport {
    let rtp = &figures.rtp;
    let clock_hz = rtp.clock_hz.load(Relaxed);
    StreamReport {
        ssrc: rtp.ssrc.load(Relaxed),
        payload_type: rtp.payload_type.load(Relaxed) as u8,
        sequence: rtp.highest_sequence.load(Relaxed) as u16,
        received: rtp.received.load(Relaxed),
        lost: rtp.lost.load(Relaxed),
        reordered: rtp.reordered.load(Relaxed),
        duplicated: figures.duplicated.load(Relaxed),
        jitter_us: jitter_us(rtp.jitter_q4.load(Relaxed), clock_hz),
        jitter_max_us: jitter_us(figures.jitter_max_q4.load(Relaxed), clock_hz),
        first_ns: rtp.first_ns.load(Relaxed),
        last_ns: rtp.last_ns.load(Relaxed),
    }
}
