//! What `statistics` tells: names and places as in rtpengine, but only what is really measured.

use core::net::IpAddr;

use crate::command::Verb;
use crate::value::{Dictionary, Value};

/// Figures of all calls since the program began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Calls that there are.
    pub sessions: u64,
    /// Packets relayed in the last second.
    pub packets_per_second: u64,
    /// Octets relayed in the last second.
    pub octets_per_second: u64,
    /// Seconds.
    pub uptime_s: u64,
    /// Calls that there were and are.
    pub managed: u64,
    /// Calls that were refused.
    pub rejected: u64,
    /// Calls that ended since no media came for [media] timeout_s.
    pub timed_out: u64,
    /// Calls on hold that ended after [media] silent_timeout_s.
    pub timed_out_silent: u64,
    /// Offers that nobody answered.
    pub timed_out_offers: u64,
    /// Calls that a proxy ended.
    pub terminated: u64,
    /// Calls that an operator ended.
    pub forced: u64,
    /// Packets relayed.
    pub packets: u64,
    /// Packets that went no further.
    pub packet_errors: u64,
    /// Streams of calls that ended, without a packet.
    pub zero_way: u64,
    /// Calls that ended, with media in one direction only.
    pub one_way: u64,
    /// Milliseconds of all calls that ended.
    pub duration_total_ms: u64,
    /// Proxies and their commands, in the order of [`Verb::ALL`].
    pub proxies: Vec<Proxy>,
}

/// A controlling proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub address: IpAddr,
    /// Commands, in the order of [`Verb::ALL`].
    pub commands: [u64; Verb::ALL.len()],
    /// Those that were refused.
    pub errors: u64,
}

/// rtpengine's names of counters, without `count` where it has that.
const COUNTERS: [(Verb, &str); 21] = [
    (Verb::Ping, "pingcount"),
    (Verb::Offer, "offercount"),
    (Verb::Answer, "answercount"),
    (Verb::Delete, "deletecount"),
    (Verb::Query, "querycount"),
    (Verb::List, "listcount"),
    (Verb::StartRecording, "startreccount"),
    (Verb::StopRecording, "stopreccount"),
    (Verb::PauseRecording, "pausereccount"),
    (Verb::BlockDtmf, "blkdtmfcount"),
    (Verb::UnblockDtmf, "unblkdtmfcount"),
    (Verb::BlockMedia, "blkmedia"),
    (Verb::UnblockMedia, "unblkmedia"),
    (Verb::SilenceMedia, "silencemedia"),
    (Verb::UnsilenceMedia, "unsilencemedia"),
    (Verb::Statistics, "statistics"),
    (Verb::Publish, "publishcount"),
    (Verb::SubscribeRequest, "subreqcount"),
    (Verb::SubscribeAnswer, "subanscount"),
    (Verb::Unsubscribe, "unsubcount"),
    (Verb::Connect, "connectcount"),
];

impl Statistics {
    pub(crate) fn value(&self) -> Value<'static> {
        let ended = self.managed.saturating_sub(self.sessions).max(1);
        let seconds = self.duration_total_ms as f64 / 1e3 / ended as f64;
        let current = Dictionary::default()
            .with("sessionsown", self.sessions)
            .with("sessionstotal", self.sessions)
            .with("packetrate", self.packets_per_second)
            .with("byterate", self.octets_per_second);
        let total = Dictionary::default()
            .with("uptime", self.uptime_s.to_string())
            .with("managedsessions", self.managed)
            .with("rejectedsessions", self.rejected)
            .with("timeoutsessions", self.timed_out)
            .with("silenttimeoutsessions", self.timed_out_silent)
            .with("offertimeoutsessions", self.timed_out_offers)
            .with("regularterminatedsessions", self.terminated)
            .with("forcedterminatedsessions", self.forced)
            .with("relayedpackets", self.packets)
            .with("relayedpacketerrors", self.packet_errors)
            .with("zerowaystreams", self.zero_way)
            .with("onewaystreams", self.one_way)
            .with("avgcallduration", format!("{seconds:.6}"));
        Dictionary::default()
            .with("currentstatistics", current)
            .with("totalstatistics", total)
            .with("controlstatistics", self.control())
            .into()
    }

    fn control(&self) -> Dictionary<'static> {
        let proxies = self.proxies.iter().map(|proxy| {
            let counts = Dictionary::default().with("proxy", proxy.address.to_string());
            COUNTERS
                .iter()
                .fold(counts, |counts, (verb, name)| counts.with(name, proxy.commands[verb.index()]))
                .with("errorcount", proxy.errors)
        });
        let control = Dictionary::default().with("proxies", proxies.collect::<Value<'_>>());
        let sum = |verb: Verb| self.proxies.iter().map(|proxy| proxy.commands[verb.index()]).sum::<u64>();
        COUNTERS
            .iter()
            .fold(control, |counts, (verb, name)| counts.with_owned(format!("total{name}"), sum(*verb)))
            .with("totalerrorcount", self.proxies.iter().map(|proxy| proxy.errors).sum::<u64>())
    }
}
