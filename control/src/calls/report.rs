//! A call as `query` and `delete` tell it.

use raceway_media::{CallView, MediaView, PartyView, PathView, Quality};
use raceway_ng::{self as ng, CallReport, MediaReport, PartyReport, Sample, StreamReport, Subscription, Traffic};
use raceway_sdp::Direction;
use raceway_units::Instant;

use super::Clocks;

impl Clocks {
    /// Unix time of a moment of the kernel's clock.
    fn wall_of(self, at: Instant) -> u64 {
        self.wall.0.saturating_sub(self.now.since(at).as_secs())
    }
}

/// Those with these tags, and whom they talk with; all without tags.
pub(super) fn of(view: &CallView, tags: [Option<&str>; 2], clocks: Clocks) -> CallReport {
    let mut report = call(view, clocks);
    let wanted: Vec<&str> = tags.into_iter().flatten().collect();
    if !wanted.is_empty() {
        let is_wanted = |tag: &str| wanted.contains(&tag);
        let talks = |party: &PartyReport| party.subscriptions.iter().any(|other| is_wanted(&other.tag));
        report.parties.retain(|party| is_wanted(&party.tag) || talks(party));
    }
    report
}

/// All of it.
pub(super) fn call(view: &CallView, clocks: Clocks) -> CallReport {
    let rtp = Traffic { packets: view.totals.rtp_packets, octets: view.totals.rtp_octets, errors: 0 };
    let rtcp = Traffic { packets: view.totals.rtcp_packets, octets: view.totals.rtcp_octets, errors: 0 };
    let media = view.parties.iter().flat_map(|party| &party.media);
    CallReport {
        created: view.created.0,
        created_us: 0,
        last_signal: view.last_signal.0,
        streams: media.filter_map(|media| quality(&media.quality)).collect(),
        parties: view.parties.iter().map(|each| party(each, view, clocks)).collect(),
        rtp,
        rtcp,
    }
}

fn party(party: &PartyView, call: &CallView, clocks: Clocks) -> PartyReport {
    let subscription = |tag: &str, offer_answer| Subscription { tag: tag.to_owned(), offer_answer };
    let heard_by = call.parties.iter().filter(|other| other.peer.as_deref() == Some(party.tag.as_str()));
    let copied_to = call.parties.iter().filter(|other| other.hears.contains(&party.tag));
    let talks_with = party.peer.iter().map(|tag| subscription(tag, true));
    let hears = party.hears.iter().map(|tag| subscription(tag, false));
    PartyReport {
        tag: party.tag.clone(),
        label: party.label.clone(),
        created: party.created.0,
        subscriptions: talks_with.chain(hears).collect(),
        subscribers: heard_by
            .map(|other| subscription(&other.tag, true))
            .chain(copied_to.map(|other| subscription(&other.tag, false)))
            .collect(),
        medias: party.media.iter().map(|each| media(each, party, clocks)).collect(),
    }
}

fn media(media: &MediaView, party: &PartyView, clocks: Clocks) -> MediaReport {
    let (quality, received) = (&media.quality, &media.received);
    let last = |at: Option<Instant>| at.map_or(party.created.0, |at| clocks.wall_of(at));
    let rtp = Traffic { packets: received.rtp_packets, octets: received.rtp_octets, errors: 0 };
    let rtcp = Traffic { packets: received.rtcp_packets, octets: received.rtcp_octets, errors: 0 };
    let mut streams =
        vec![StreamReport { ssrc: quality.ssrc, ..stream("RTP", &media.rtp, media, last(quality.last_rtp), rtp) }];
    streams.extend(media.rtcp.map(|path| stream("RTCP", &path, media, last(quality.last_rtcp), rtcp)));
    let mut flags = vec!["initialized"];
    flags.extend(media.rtcp.is_none().then_some("rtcp-mux"));
    flags.extend(media.receive.map(|_| if media.protocol.is_dtls() { "DTLS-SRTP" } else { "SDES" }));
    flags.extend(match media.direction {
        Direction::SendRecv => vec!["send", "recv"],
        Direction::SendOnly => vec!["recv"],
        Direction::RecvOnly => vec!["send"],
        Direction::Inactive => vec![],
    });
    MediaReport {
        index: media.index as u32,
        kind: media.kind.name().to_owned(),
        protocol: media.protocol.name().to_owned(),
        codec: media.codec.clone(),
        streams,
        flags,
    }
}

fn stream(kind: &'static str, path: &PathView, media: &MediaView, last_packet: u64, traffic: Traffic) -> StreamReport {
    let mut flags = vec![kind];
    flags.extend(path.remote.map(|_| "filled"));
    flags.extend(media.settled.then_some("confirmed"));
    flags.extend(media.in_xdp.then_some("kernelized"));
    StreamReport {
        local: path.local,
        endpoint: path.remote,
        advertised: path.signalled,
        crypto_suite: media.receive.map(suite),
        last_packet,
        flags,
        ssrc: None,
        traffic,
    }
}

/// Its registered name (RFC 4568 section 6.2, RFC 6188, RFC 7714).
#[must_use]
pub const fn suite(suite: raceway_api::Suite) -> &'static str {
    match suite {
        raceway_api::Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        raceway_api::Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        raceway_api::Suite::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
        raceway_api::Suite::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
        raceway_api::Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
        raceway_api::Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
    }
}

/// What was measured of a stream; nothing before its first packet.
fn quality(quality: &Quality) -> Option<ng::Quality> {
    let sample = |mos: f64, jitter_us: Option<u32>| Sample {
        mos_tenths: (mos * 10.0).round() as u32,
        round_trip_us: quality.round_trip_us,
        jitter_ms: jitter_us.unwrap_or(0) / 1000,
        loss_percent: 0,
    };
    Some(ng::Quality {
        ssrc: quality.ssrc?,
        lost: quality.lost,
        average: quality.mos_mean.map(|mos| sample(mos, quality.jitter_mean_us)),
        samples: 1,
        lowest: None,
        highest: None,
    })
}
