//! Calls as people, scripts and call records see them.

use std::net::SocketAddr;

use raceway_api::RecordingState;
use raceway_media::{CallView, MediaView, PartyView, RecordingView, recording_problem};
use raceway_units::Instant;
use serde::{Deserialize, Serialize};

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its name.
    pub call_id: String,
    /// Its session, as the relay calls it; flows are listed by it.
    pub session: u64,
    /// Unix time of the first offer.
    pub created: u64,
    /// Seconds since then.
    pub age_s: u64,
    /// `offered`, `answered`, or `ending` when it was deleted with a delay.
    pub state: String,
    /// What is recorded of it now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recording: Option<Recording>,
    /// What names of files of its recordings begin with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub recordings: Vec<String>,
    /// Who takes part, the caller first.
    pub parties: Vec<Party>,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// What names of its files begin with.
    pub stem: String,
    /// `writing`, `paused`, or why it is not written.
    pub state: String,
    /// Its last part.
    pub part: u32,
    /// Packets in it.
    pub packets: u64,
    /// Octets in its files.
    pub octets: u64,
    /// Packets that should be in it and are not.
    pub lost: u64,
}

/// A party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// Empty before it answered.
    pub tag: String,
    /// Name that a command gave it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    /// Whom it talks with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<String>,
    /// Of whose media it gets a copy.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hears: Vec<String>,
    /// Its m-lines, without what was refused.
    pub media: Vec<Media>,
}

/// An m-line of a party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Its place in the SDP, from 1.
    pub index: usize,
    /// `audio`, `video`, ...
    pub kind: String,
    /// `RTP/AVP`, ...
    pub protocol: String,
    /// `PCMU/8000`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub codec: Option<String>,
    /// `sendrecv`, ... as the party says it.
    pub direction: String,
    /// Interface that our ports are of.
    pub interface: String,
    /// Our RTP address, as the party was told.
    pub local: String,
    /// Where RTP goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remote: Option<String>,
    /// RTCP has its own port.
    pub own_rtcp: bool,
    /// The addresses do not change by themselves any more.
    pub settled: bool,
    /// How the party secures what it sends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suite: Option<String>,
    /// `xdp` or `worker`.
    pub path: String,
    /// What is done to its media: `blocked`, `silenced`, `dtmf blocked`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rules: Vec<String>,
    /// What came from it.
    pub received: Counts,
    /// What was sent to it.
    pub sent: Counts,
    /// How its RTP arrives; absent before the first packet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quality: Option<Quality>,
}

/// Packets and octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// RTP packets.
    pub rtp_packets: u64,
    /// Octets in them.
    pub rtp_octets: u64,
    /// RTCP packets.
    pub rtcp_packets: u64,
    /// Octets in them.
    pub rtcp_octets: u64,
}

/// How RTP arrives. What was not measured is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Source of the last packet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssrc: Option<u32>,
    /// Times that it changed.
    pub ssrc_changes: u32,
    /// Packets lost.
    pub lost: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// Interarrival jitter (RFC 3550), mean of the call, microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jitter_mean_us: Option<u32>,
    /// Its largest value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jitter_max_us: Option<u32>,
    /// Round trip between us and the party, microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub round_trip_us: Option<u32>,
    /// Mean opinion score (G.107) over the call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mos_mean: Option<f64>,
    /// The worst of a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mos_min: Option<f64>,
}

impl Call {
    /// As the calls tell it.
    #[must_use]
    pub fn new(view: &CallView, now: Instant) -> Self {
        let state = match (view.ends_at, view.answered) {
            (Some(_), _) => "ending",
            (None, true) => "answered",
            (None, false) => "offered",
        };
        Self {
            call_id: view.call_id.clone(),
            session: view.session.0,
            created: view.created.0,
            age_s: now.since(view.created_at).as_secs(),
            state: state.to_owned(),
            recording: view.recording.as_ref().map(Recording::new),
            recordings: view.recordings.clone(),
            parties: view.parties.iter().map(Party::new).collect(),
        }
    }

    /// With `***` in place of what names people or places.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        let hide = |text: &mut String| "***".clone_into(text);
        hide(&mut self.call_id);
        for party in &mut self.parties {
            hide(&mut party.tag);
            party.label.iter_mut().chain(&mut party.peer).chain(&mut party.hears).for_each(hide);
            for media in &mut party.media {
                hide(&mut media.local);
                media.remote.iter_mut().for_each(hide);
            }
        }
        self
    }
}

impl Recording {
    fn new(view: &RecordingView) -> Self {
        let state = match (view.state, view.paused) {
            (RecordingState::Failed(problem), _) => recording_problem(problem),
            (RecordingState::Beginning, _) => "beginning".to_owned(),
            (RecordingState::Writing, true) => "paused".to_owned(),
            (RecordingState::Writing, false) => "writing".to_owned(),
        };
        let RecordingView { stem, part, packets, octets, lost, .. } = view.clone();
        Self { stem, state, part, packets, octets, lost }
    }
}

impl Party {
    fn new(view: &PartyView) -> Self {
        Self {
            tag: view.tag.clone(),
            label: view.label.clone(),
            peer: view.peer.clone(),
            hears: view.hears.clone(),
            media: view.media.iter().map(Media::new).collect(),
        }
    }
}

impl Media {
    fn new(view: &MediaView) -> Self {
        let rules = [(view.blocked, "blocked"), (view.silenced, "silenced"), (view.dtmf_blocked, "dtmf blocked")];
        Self {
            index: view.index,
            kind: view.kind.name().to_owned(),
            protocol: view.protocol.name().to_owned(),
            codec: view.codec.clone(),
            direction: view.direction.name().to_owned(),
            interface: view.interface.clone(),
            local: view.rtp.advertised.to_string(),
            remote: view.rtp.remote.as_ref().map(SocketAddr::to_string),
            own_rtcp: view.rtcp.is_some(),
            settled: view.settled,
            suite: view.receive.map(|suite| crate::calls::suite_name(suite).to_owned()),
            path: if view.in_xdp { "xdp" } else { "worker" }.to_owned(),
            rules: rules.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()).collect(),
            received: Counts::new(view.received),
            sent: Counts::new(view.sent),
            quality: (view.received.rtp_packets > 0).then(|| Quality::new(&view.quality)),
        }
    }
}

impl Counts {
    const fn new(traffic: raceway_api::Traffic) -> Self {
        let raceway_api::Traffic { rtp_packets, rtp_octets, rtcp_packets, rtcp_octets } = traffic;
        Self { rtp_packets, rtp_octets, rtcp_packets, rtcp_octets }
    }
}

impl Quality {
    const fn new(quality: &raceway_media::Quality) -> Self {
        Self {
            ssrc: quality.ssrc,
            ssrc_changes: quality.ssrc_changes,
            lost: quality.lost,
            reordered: quality.reordered,
            duplicated: quality.duplicated,
            jitter_mean_us: quality.jitter_mean_us,
            jitter_max_us: quality.jitter_max_us,
            round_trip_us: quality.round_trip_us,
            mos_mean: quality.mos_mean,
            mos_min: quality.mos_min,
        }
    }
}
