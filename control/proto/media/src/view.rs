//! Calls as people and proxies see them.

use std::net::SocketAddr;

use raceway_api::{LegId, RecordingReport, RecordingState, Security, SessionId, Suite, Traffic};
use raceway_sdp::{Direction, Kind, Protocol};
use raceway_units::{Instant, UnixTime};

use crate::call::{Call, Party, Stream};
use crate::measured::{Measurements, Quality, plus};
use crate::recording::Current;

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallView {
    /// Its name.
    pub call_id: String,
    /// As the relay calls it.
    pub session: SessionId,
    /// The first offer.
    pub created: UnixTime,
    /// The same by the kernel's clock.
    pub created_at: Instant,
    /// The last command.
    pub last_signal: UnixTime,
    /// An answer came.
    pub answered: bool,
    /// It was deleted and ends then.
    pub ends_at: Option<Instant>,
    /// What is recorded of it now.
    pub recording: Option<RecordingView>,
    /// What names of files of all its recordings begin with, in their order; after a restart of control, of the one that
    /// was made then and those after it.
    pub recordings: Vec<String>,
    /// Who takes part, the caller first.
    pub parties: Vec<PartyView>,
    /// What came from all of them.
    pub totals: Traffic,
}

/// A recording that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingView {
    /// What names of its files begin with.
    pub stem: String,
    /// Nothing is added to it now.
    pub paused: bool,
    /// How it goes.
    pub state: RecordingState,
    /// Number of its last part.
    pub part: u32,
    /// Packets in it.
    pub packets: u64,
    /// Octets in its files.
    pub octets: u64,
    /// Packets that should be in it and are not.
    pub lost: u64,
}

/// A party.
#[derive(Clone, Debug, PartialEq)]
pub struct PartyView {
    /// The tag that it has now; empty before it answered.
    pub tag: String,
    /// Tags that it had before, in a fork.
    pub former_tags: Vec<String>,
    /// Branch of a fork.
    pub branch: Option<String>,
    /// Name that a command gave it.
    pub label: Option<String>,
    /// When it became known.
    pub created: UnixTime,
    /// Tag of whom it talks with.
    pub peer: Option<String>,
    /// Tags of those of whose media it gets a copy.
    pub hears: Vec<String>,
    /// Its media, without what was refused.
    pub media: Vec<MediaView>,
}

/// An m-line of a party.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaView {
    /// Its place in the SDP, from 1.
    pub index: usize,
    /// As the relay calls it.
    pub leg: LegId,
    /// What it is about.
    pub kind: Kind,
    /// Protocol towards the party.
    pub protocol: Protocol,
    /// Of its SDP: `PCMU/8000`.
    pub codec: Option<String>,
    /// As the party says it.
    pub direction: Direction,
    /// Interface that our ports are of.
    pub interface: String,
    /// RTP.
    pub rtp: PathView,
    /// RTCP; None on RTP's port.
    pub rtcp: Option<PathView>,
    /// Where RTP goes does not change by itself any more.
    pub settled: bool,
    /// How the party secures what it sends; None: not, or after a restart not known of packets that pass as they are.
    pub receive: Option<Suite>,
    /// How we secure what we send to it.
    pub send: Option<Suite>,
    /// Its RTP is dropped.
    pub blocked: bool,
    /// Its RTP is silenced.
    pub silenced: bool,
    /// Its DTMF is dropped.
    pub dtmf_blocked: bool,
    /// Its packets pass in XDP, not by a worker.
    pub in_xdp: bool,
    /// What came from it.
    pub received: Traffic,
    /// What was sent to it.
    pub sent: Traffic,
    /// How its RTP arrives.
    pub quality: Quality,
}

/// Addresses of RTP or RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathView {
    /// Ours, as the party was told.
    pub advertised: SocketAddr,
    /// Ours, as it is here.
    pub local: SocketAddr,
    /// The party's, by its SDP.
    pub signalled: Option<SocketAddr>,
    /// The party's, where packets go now.
    pub remote: Option<SocketAddr>,
}

/// Shows a call; with `only`, just these parties.
pub(crate) fn call(call: &Call, measured: &Measurements, only: impl Fn(&Party) -> bool) -> CallView {
    let parties = call.parties.iter().filter(|party| only(party));
    CallView {
        call_id: call.call_id.to_string(),
        session: call.id,
        created: call.created_wall,
        created_at: call.created,
        last_signal: call.signal_wall,
        answered: call.answered,
        ends_at: call.ends_at,
        recording: call.recorded().map(|current| recording(current, measured.recording.as_deref())),
        recordings: call.recordings.iter().flat_map(|all| &all.stems).map(|stem| stem.to_string()).collect(),
        parties: parties.map(|party| view(call, party, measured)).collect(),
        totals: measured.total(),
    }
}

fn recording(current: &Current, report: Option<&RecordingReport<'_>>) -> RecordingView {
    RecordingView {
        stem: current.stem.to_string(),
        paused: current.paused,
        state: report.map(|report| report.state).unwrap_or_default(),
        part: report.map_or(0, |report| report.part),
        packets: report.map_or(0, |report| report.packets),
        octets: report.map_or(0, |report| report.octets),
        lost: report.map_or(0, |report| report.lost),
    }
}

fn view(call: &Call, party: &Party, measured: &Measurements) -> PartyView {
    let (former, tag) = party.tags.split_at(party.tags.len().saturating_sub(1));
    let streams = party.streams.iter().enumerate();
    PartyView {
        tag: tag.first().map(|tag| tag.to_string()).unwrap_or_default(),
        former_tags: former.iter().map(|tag| tag.to_string()).collect(),
        branch: party.branch.as_deref().map(str::to_owned),
        label: party.label.as_deref().map(str::to_owned),
        created: party.created_wall,
        peer: party.peer.and_then(|peer| call.party(peer)).map(|peer| peer.tag().to_owned()),
        hears: hears(call, party),
        media: streams
            .filter_map(|(index, stream)| Some(media(call, party, index, stream.as_ref()?, measured)))
            .collect(),
    }
}

fn hears(call: &Call, party: &Party) -> Vec<String> {
    let heard = party.streams.iter().flatten().filter_map(|stream| stream.hears);
    let mut tags: Vec<String> = heard.filter_map(|heard| Some(call.party(heard.party)?.tag().to_owned())).collect();
    tags.dedup();
    tags
}

fn media(call: &Call, party: &Party, index: usize, stream: &Stream, measured: &Measurements) -> MediaView {
    let leg = measured.leg(stream.leg);
    let live = leg.map(|leg| leg.live.clone()).unwrap_or_default();
    let flown =
        call.source_of(party, index).and_then(|source| measured.leg(source.leg)).map(crate::measured::Leg::flown);
    let path = |local: raceway_ports::Relayed, signalled: Option<SocketAddr>, learned: Option<SocketAddr>| PathView {
        advertised: local.external,
        local: local.internal,
        signalled,
        remote: learned.or(signalled),
    };
    MediaView {
        index: index + 1,
        leg: stream.leg,
        kind: stream.kind,
        protocol: stream.protocol,
        codec: stream.codec.as_deref().map(str::to_owned),
        direction: stream.direction,
        interface: stream.interface.to_string(),
        rtp: path(stream.local, stream.rtp, live.rtp),
        rtcp: stream.local_rtcp().map(|local| path(local, stream.rtcp, live.rtcp)),
        settled: live.rtp_settled,
        receive: suite(&stream.receive),
        send: suite(&stream.send),
        blocked: stream.rules.block,
        silenced: stream.rules.silence,
        dtmf_blocked: stream.rules.block_dtmf,
        in_xdp: leg.is_some_and(crate::measured::Leg::is_in_flow),
        received: leg.map(crate::measured::Leg::received).unwrap_or_default(),
        sent: plus(leg.map(crate::measured::Leg::sent).unwrap_or_default(), flown.unwrap_or_default()),
        quality: leg.and_then(|leg| leg.quality().cloned()).unwrap_or_default(),
    }
}

const fn suite(security: &Security) -> Option<Suite> {
    match security {
        Security::Srtp(key) => Some(key.suite),
        Security::Plain | Security::Opaque | Security::Await => None,
    }
}
