//! Legs as control says them and as workers hold them.

use std::net::SocketAddr;

use raceway_abi::Direction;
use raceway_api::{Destination, Leg, LegEvent, MediaPath, OperationError, Security, SessionId, SrtpKey, Suite};
use raceway_engine::{LegRoute, LegSetup, NO_LEG, News, Protection, Tap};
use raceway_srtp::MasterKey;
use raceway_units::Endpoint;

use super::describe::concrete;
use super::state::Opened;

/// What a leg depends on besides its description.
pub struct Places<'a> {
    /// Worker of the session.
    pub worker: u16,
    /// Its media addresses.
    pub media: &'a [Opened],
    /// Its recording.
    pub tap: Option<Tap>,
}

/// What a worker needs of a leg. Routes lead nowhere yet.
///
/// # Errors
/// [`OperationError::Invalid`] for what makes no sense.
pub fn to_setup(session: SessionId, places: &Places<'_>, leg: &Leg<'_>) -> Result<LegSetup, OperationError> {
    let types = leg.formats.iter().map(|format| format.payload_type);
    let changed = leg.to.iter().flat_map(|route| route.payload_types.iter().flat_map(|(from, to)| [*from, *to]));
    let proper = types.chain(changed).all(|payload_type| payload_type < 128);
    if !proper || leg.rules.dscp.is_some_and(|dscp| dscp > 63) || leg.formats.iter().any(|f| f.clock_hz == 0) {
        return Err(OperationError::Invalid);
    }
    let direction = match leg.towards {
        Destination::Peer => Direction::ClientToPeer,
        Destination::Client => Direction::PeerToClient,
    };
    let routes = leg.to.iter().map(|route| LegRoute {
        id: route.leg.0,
        leg: NO_LEG,
        payload_types: route.payload_types.clone().into(),
    });
    Ok(LegSetup {
        session: session.0,
        id: leg.id.0,
        rtp: path(places, &leg.rtp)?,
        rtcp: leg.rtcp.as_ref().map(|rtcp| path(places, rtcp)).transpose()?,
        direction,
        learning: leg.learning,
        source: leg.source,
        receive: protection(&leg.receive)?,
        send: protection(&leg.send)?,
        routes: routes.collect(),
        formats: leg.formats.clone(),
        bundled: leg.bundled.clone(),
        rules: leg.rules,
        punt: leg.punt,
        rollovers: leg.rollovers.clone(),
        tap: places.tap.clone(),
    })
}

fn path(places: &Places<'_>, path: &MediaPath) -> Result<(u32, Option<Endpoint>), OperationError> {
    let opened = places.media.iter().find(|opened| opened.address == path.local).ok_or(OperationError::Invalid)?;
    let fits = |remote: SocketAddr| remote.is_ipv4() == path.local.is_ipv4() && concrete(remote);
    if !path.remote.is_none_or(fits) {
        return Err(OperationError::Invalid);
    }
    Ok((opened.place.0, path.remote.map(Endpoint::from)))
}

fn protection(security: &Security) -> Result<Protection, OperationError> {
    match security {
        Security::Plain => Ok(Protection::Plain),
        Security::Opaque => Ok(Protection::Opaque),
        Security::Await => Ok(Protection::Await),
        Security::Srtp(key) => master_key(key).map(Protection::Srtp).ok_or(OperationError::Invalid),
    }
}

fn master_key(key: &SrtpKey) -> Option<MasterKey> {
    let suite = match key.suite {
        Suite::AesCm128HmacSha1_80 => raceway_srtp::Suite::Aes128CmSha1_80,
        Suite::AesCm128HmacSha1_32 => raceway_srtp::Suite::Aes128CmSha1_32,
        Suite::AesCm256HmacSha1_80 => raceway_srtp::Suite::Aes256CmSha1_80,
        Suite::AesCm256HmacSha1_32 => raceway_srtp::Suite::Aes256CmSha1_32,
        Suite::AeadAes128Gcm => raceway_srtp::Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm => raceway_srtp::Suite::AeadAes256Gcm,
    };
    let master = MasterKey::new(suite, key.key.expose(), key.salt.expose()).ok()?.with_mki(&key.mki).ok()?;
    Some(match key.lifetime {
        Some(packets) => master.with_lifetime(packets),
        None => master,
    })
}

/// What happened, as control is told.
#[must_use]
pub fn to_event(news: News) -> LegEvent {
    match news {
        News::FirstPacket(ssrc, payload_type) => LegEvent::FirstPacket { ssrc, payload_type },
        News::Learned(rtcp, remote, settled) => LegEvent::Learned { rtcp, remote: remote.into(), settled },
        News::Dtmf(dtmf) => LegEvent::Dtmf(dtmf),
        News::Rollover(rollover) => LegEvent::Rollover(rollover),
        News::KeyExhausted(sent) => LegEvent::KeyExhausted { sent },
        News::Translated => LegEvent::Translated,
    }
}
