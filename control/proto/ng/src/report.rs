//! What `query` and `delete` tell of a call, laid out as rtpengine 10.5 does.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use crate::value::{Dictionary, Value};

/// A call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallReport {
    /// Unix time, whole seconds.
    pub created: u64,
    /// Microseconds behind them.
    pub created_us: u32,
    /// Unix time of the last command that was about it.
    pub last_signal: u64,
    /// Quality of each stream that was measured.
    pub streams: Vec<Quality>,
    /// Its parties.
    pub parties: Vec<PartyReport>,
    /// All RTP.
    pub rtp: Traffic,
    /// All RTCP.
    pub rtcp: Traffic,
}

/// A party, known by its tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartyReport {
    /// Empty until it has one.
    pub tag: String,
    /// `label`.
    pub label: Option<String>,
    /// Unix time.
    pub created: u64,
    /// Whose media it gets.
    pub subscriptions: Vec<Subscription>,
    /// Who gets its media.
    pub subscribers: Vec<Subscription>,
    /// By m-line.
    pub medias: Vec<MediaReport>,
}

/// One party gets another's media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The other one.
    pub tag: String,
    /// By offer and answer, else by a subscription.
    pub offer_answer: bool,
}

/// An m-line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaReport {
    /// From 1.
    pub index: u32,
    /// `audio`, `video`, ...
    pub kind: String,
    /// `RTP/AVP`, ...
    pub protocol: String,
    /// `PCMU/8000`: the first that both have.
    pub codec: Option<String>,
    /// RTP, and RTCP if that has its own port.
    pub streams: Vec<StreamReport>,
    /// `initialized`, `rtcp-mux`, `DTLS-SRTP`, `SDES`, `passthrough`, `ICE`, `send`, `recv`.
    pub flags: Vec<&'static str>,
}

/// A port of ours and who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReport {
    /// Of ours.
    pub local: SocketAddr,
    /// Where packets go.
    pub endpoint: Option<SocketAddr>,
    /// Where the SDP said that they go.
    pub advertised: Option<SocketAddr>,
    /// `AES_CM_128_HMAC_SHA1_80`, ...
    pub crypto_suite: Option<&'static str>,
    /// Unix time; that of the call while there was none.
    pub last_packet: u64,
    /// `RTP` or `RTCP`, then `filled`, `confirmed`, `kernelized`.
    pub flags: Vec<&'static str>,
    /// Of what came last.
    pub ssrc: Option<u32>,
    /// What came.
    pub traffic: Traffic,
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Octets of their payload of UDP.
    pub octets: u64,
    /// Packets that went no further.
    pub errors: u64,
}

/// What was measured of a stream (RTP, one SSRC).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Which.
    pub ssrc: u32,
    /// Packets lost.
    pub lost: u64,
    /// Over the whole stream; the numbers of the others are in the same units.
    pub average: Option<Sample>,
    /// Measurements behind it.
    pub samples: u64,
    /// The worst, and its Unix time.
    pub lowest: Option<(Sample, u64)>,
    /// The best, and its Unix time.
    pub highest: Option<(Sample, u64)>,
}

/// How a stream was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Ten times the mean opinion score: 10 to 50.
    pub mos_tenths: u32,
    /// Microseconds.
    pub round_trip_us: Option<u32>,
    /// Milliseconds.
    pub jitter_ms: u32,
    /// Percent.
    pub loss_percent: u32,
}

impl CallReport {
    /// Adds what it tells to an answer.
    pub(crate) fn put<'a>(&'a self, answer: Dictionary<'a>) -> Dictionary<'a> {
        let worst = self.worst_by_ssrc().into_values();
        let qualities =
            worst.fold(Dictionary::default(), |all, quality| all.with_owned(quality.ssrc.to_string(), quality.value()));
        // Branches that have not answered have no tag yet: the first of them stands for all.
        let mut seen = BTreeSet::new();
        let named = self.parties.iter().filter(|party| seen.insert(party.tag.as_str()));
        let parties = named.fold(Dictionary::default(), |all, party| all.with(&party.tag, party.value()));
        let totals = Dictionary::default().with("RTP", self.rtp.value()).with("RTCP", self.rtcp.value());
        answer
            .with("created", self.created)
            .with("created_us", u64::from(self.created_us))
            .with("last signal", self.last_signal)
            .with("SSRC", qualities)
            .with("tags", parties)
            .with("totals", totals)
    }
}

impl CallReport {
    /// Both sides may use one SSRC (an echo does), and a key stands once: the worse of them is told.
    fn worst_by_ssrc(&self) -> BTreeMap<u32, &Quality> {
        let mos = |quality: &Quality| quality.average.map_or(u32::MAX, |average| average.mos_tenths);
        let mut worst: BTreeMap<u32, &Quality> = BTreeMap::new();
        for quality in &self.streams {
            let known = worst.entry(quality.ssrc).or_insert(quality);
            if mos(quality) < mos(known) {
                *known = quality;
            }
        }
        worst
    }
}

impl PartyReport {
    fn value(&self) -> Dictionary<'_> {
        Dictionary::default()
            .with("tag", self.tag.as_str())
            .with_some("label", self.label.as_deref())
            .with("created", self.created)
            .with("subscriptions", self.subscriptions.iter().map(Subscription::value).collect::<Value<'_>>())
            .with("subscribers", self.subscribers.iter().map(Subscription::value).collect::<Value<'_>>())
            .with("medias", self.medias.iter().map(MediaReport::value).collect::<Value<'_>>())
    }
}

impl Subscription {
    fn value(&self) -> Dictionary<'_> {
        let kind = if self.offer_answer { "offer/answer" } else { "pub/sub" };
        Dictionary::default().with("tag", self.tag.as_str()).with("type", kind)
    }
}

impl MediaReport {
    fn value(&self) -> Dictionary<'_> {
        Dictionary::default()
            .with("index", u64::from(self.index))
            .with("type", self.kind.as_str())
            .with("protocol", self.protocol.as_str())
            .with_some("codec", self.codec.as_deref())
            .with("streams", self.streams.iter().map(StreamReport::value).collect::<Value<'_>>())
            .with("flags", self.flags.iter().copied().collect::<Value<'_>>())
    }
}

impl StreamReport {
    fn value(&self) -> Dictionary<'_> {
        Dictionary::default()
            .with("local port", u64::from(self.local.port()))
            .with("local address", self.local.ip().to_string())
            .with("family", family(self.local.ip()))
            .with_some("endpoint", self.endpoint.map(address))
            .with_some("advertised endpoint", self.advertised.map(address))
            .with_some("crypto suite", self.crypto_suite)
            .with("last packet", self.last_packet)
            .with("flags", self.flags.iter().copied().collect::<Value<'_>>())
            .with_some("SSRC", self.ssrc.map(u64::from))
            .with("stats", self.traffic.value())
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn address(address: SocketAddr) -> Dictionary<'static> {
    Dictionary::default()
        .with("family", family(address.ip()))
        .with("address", address.ip().to_string())
        .with("port", u64::from(address.port()))
}

impl Traffic {
    fn value(&self) -> Dictionary<'static> {
        Dictionary::default().with("packets", self.packets).with("bytes", self.octets).with("errors", self.errors)
    }
}

impl Quality {
    fn value(&self) -> Dictionary<'static> {
        let average = self.average.map(|sample| sample.value().with("samples", self.samples));
        let at = |(sample, at): (Sample, u64)| Dictionary::default().with("reported at", at).and(sample.value());
        Dictionary::default()
            .with("cumulative loss", self.lost)
            .with_some("average MOS", average)
            .with_some("lowest MOS", self.lowest.map(at))
            .with_some("highest MOS", self.highest.map(at))
    }
}

impl Sample {
    fn value(&self) -> Dictionary<'static> {
        Dictionary::default()
            .with("MOS", u64::from(self.mos_tenths))
            .with_some("round-trip time", self.round_trip_us.map(u64::from))
            .with("jitter", u64::from(self.jitter_ms))
            .with("packet loss", u64::from(self.loss_percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssrc_that_both_sides_use_is_one_key_with_the_worse_figures() {
        let quality = |ssrc, mos_tenths| Quality {
            ssrc,
            average: Some(Sample { mos_tenths, ..Sample::default() }),
            ..Quality::default()
        };
        let streams = vec![quality(7, 44), quality(7, 31), quality(7, 40), quality(8, 20)];
        let call = CallReport { streams, ..CallReport::default() };
        let told: Value<'_> = call.put(Dictionary::default()).into();
        let Some(Value::Dictionary(ssrcs)) = told.get("SSRC") else { panic!("{told:?}") };
        assert_eq!(ssrcs.len(), 2);
        let mos = told.get("SSRC").and_then(|all| all.get("7")?.get("average MOS")?.get("MOS"));
        assert_eq!(mos, Some(&Value::Integer(31)));
    }

    #[test]
    fn branches_that_have_not_answered_are_one_key() {
        let party = |tag: &str| PartyReport { tag: tag.to_owned(), ..PartyReport::default() };
        let call = CallReport { parties: vec![party("a"), party(""), party("")], ..CallReport::default() };
        let told: Value<'_> = call.put(Dictionary::default()).into();
        let Some(Value::Dictionary(tags)) = told.get("tags") else { panic!("{told:?}") };
        assert_eq!(tags.len(), 2);
    }
}
