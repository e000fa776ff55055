//! Whose a packet is where several legs share a socket (BUNDLE, RFC 9143 section 9.2).
//!
//! Before anything is authenticated, tables are only read. What a packet says of its source is taken over when the packet
//! was accepted.

use arrayvec::ArrayVec;
use raceway_api::limits::SOURCES_MAX;
use raceway_datapath::measure::RtpHeader;

use super::Slots;
use super::leg::{Leg, NO_LEG};
use super::rtp::{self, Kind};
use crate::limits::SRTP_STREAMS;

/// What tells a leg's packets from those of others at its socket, and what is known of its sources.
pub(super) struct Bundle {
    mid_extension: Option<u8>,
    mid: Box<[u8]>,
    /// Sources of what comes: announced, or heard since. The one that came first makes room.
    incoming: ArrayVec<u32, { 2 * SOURCES_MAX }>,
    /// Sources of what is sent to the party.
    outgoing: ArrayVec<u32, SRTP_STREAMS>,
}

impl Bundle {
    pub fn new(bundled: &raceway_api::Bundled) -> Self {
        let raceway_api::Bundled { mid_extension, mid, sources } = bundled;
        let incoming = sources.iter().copied().take(SOURCES_MAX).collect();
        Self { mid_extension: *mid_extension, mid: (&mid[..]).into(), incoming, outgoing: ArrayVec::new() }
    }

    /// Goes on with the sources of the leg of the same name before it.
    pub fn follow(&mut self, before: &Self) {
        before.incoming.iter().for_each(|source| self.claim(*source));
        self.outgoing = before.outgoing.clone();
    }

    fn claim(&mut self, source: u32) {
        if self.incoming.contains(&source) {
            return;
        }
        if self.incoming.is_full() {
            self.incoming.remove(0);
        }
        self.incoming.push(source);
    }

    /// What a packet says that its MID is.
    fn mid_in<'p>(&self, packet: &'p [u8]) -> Option<&'p [u8]> {
        rtp::extension(packet, self.mid_extension?)
    }
}

impl Slots {
    /// Whose a packet is: the leg's that is alone at the socket, else by RFC 9143 section 9.2. RTCP is told by its
    /// sender; of one that nobody knows its content tells, once it is open, and the first leg opens it. [`NO_LEG`]: nobody's.
    #[inline]
    pub(super) fn owner(&self, first: u32, kind: Kind, data: &[u8]) -> u32 {
        match self.get(first) {
            Some(leg) if leg.next != NO_LEG => self.owner_of_several(first, kind, data),
            _ => first,
        }
    }

    fn owner_of_several(&self, first: u32, kind: Kind, data: &[u8]) -> u32 {
        match kind {
            Kind::Rtp => {
                RtpHeader::of(data).and_then(|header| self.owner_of_rtp(first, &header, data)).unwrap_or(NO_LEG)
            }
            Kind::Rtcp => rtp::sender(data).and_then(|sender| self.claimant(first, sender)).unwrap_or(first),
        }
    }

    fn owner_of_rtp(&self, first: u32, header: &RtpHeader, data: &[u8]) -> Option<u32> {
        let mids = self.chain(first).filter_map(|(number, leg)| {
            let bundle = leg.bundle.as_deref()?;
            Some((number, bundle.mid_in(data)? == &*bundle.mid))
        });
        match mids.reduce(|found, next| if found.1 { found } else { next }) {
            Some((number, true)) => return Some(number),
            // It names an m-line that is none of these.
            Some((_, false)) => return None,
            None => {}
        }
        let takes = |number: &u32| self.get(*number).is_some_and(|leg| leg.format(header.payload_type).is_some());
        self.claimant(first, header.ssrc).filter(takes).or_else(|| {
            let mut takers = self.chain(first).map(|(number, _)| number).filter(takes);
            takers.next().filter(|_| takers.next().is_none())
        })
    }

    /// The leg that a source is known to be of.
    fn claimant(&self, first: u32, source: u32) -> Option<u32> {
        let has = |leg: &Leg| leg.bundle.as_ref().is_some_and(|bundle| bundle.incoming.contains(&source));
        self.chain(first).find(|(_, leg)| has(leg)).map(|(number, _)| number)
    }

    /// A packet of this source was accepted as this leg's.
    #[inline]
    pub(super) fn claim(&mut self, first: u32, number: u32, source: u32) {
        let bundle = self.get(number).and_then(|leg| leg.bundle.as_ref());
        if bundle.is_some_and(|bundle| !bundle.incoming.contains(&source)) {
            self.claim_anew(first, number, source);
        }
    }

    #[cold]
    fn claim_anew(&mut self, first: u32, number: u32, source: u32) {
        while let Some(before) = self.claimant(first, source) {
            let bundle = self.get_mut(before).and_then(|leg| leg.bundle.as_mut());
            bundle.into_iter().for_each(|bundle| bundle.incoming.retain(|known| *known != source));
        }
        let bundle = self.get_mut(number).and_then(|leg| leg.bundle.as_mut());
        bundle.into_iter().for_each(|bundle| bundle.claim(source));
    }

    /// Legs at a socket that have a stake in a compound RTCP packet, which may be about several: the sender is theirs, or
    /// what it reports on went to the party through them.
    pub(super) fn stakeholders<'a>(&'a self, first: u32, compound: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let sends =
            |leg: &Leg, source: u32| leg.bundle.as_ref().is_some_and(|bundle| bundle.incoming.contains(&source));
        let is_heard = move |leg: &Leg, source: u32| {
            leg.routes.iter().any(|route| {
                let other = self.get(route.leg).filter(|other| other.session == leg.session && other.id == route.id);
                other.is_some_and(|other| other.figures.has_heard(source))
            })
        };
        let has_stake = move |leg: &Leg| {
            rtp::rtcp(compound).any(|packet| {
                packet.senders().any(|source| sends(leg, source)) || packet.about().any(|source| is_heard(leg, source))
            })
        };
        self.chain(first).filter(move |(_, leg)| has_stake(leg)).map(|(number, _)| number)
    }

    /// Whether a leg may send what this source sends: legs of a bundle share keys, and two of them must not make the same
    /// keystream (RFC 3711 section 9.1).
    #[inline]
    pub(super) fn may_send(&mut self, first: u32, number: u32, source: u32) -> bool {
        match self.get(number).and_then(|leg| leg.bundle.as_ref()) {
            Some(bundle) if !bundle.outgoing.contains(&source) => self.sends_anew(first, number, source),
            _ => true,
        }
    }

    #[cold]
    fn sends_anew(&mut self, first: u32, number: u32, source: u32) -> bool {
        let has = |leg: &Leg| leg.bundle.as_ref().is_some_and(|bundle| bundle.outgoing.contains(&source));
        if self.chain(first).any(|(_, leg)| has(leg)) {
            return false;
        }
        let bundle = self.get_mut(number).and_then(|leg| leg.bundle.as_mut());
        bundle.is_some_and(|bundle| bundle.outgoing.try_push(source).is_ok())
    }
}
