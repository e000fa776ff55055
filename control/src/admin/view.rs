//! Sessions and flows as people and scripts see them.

use std::net::{IpAddr, SocketAddr};

use raceway_api::{Destination, FlowAction, FlowReport, Framing, Remote, SessionId};
use raceway_turn::SessionView;
use raceway_units::Instant;
use serde::{Deserialize, Serialize};

/// An allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name.
    pub id: u64,
    /// Who made it.
    pub user: String,
    /// The client's address.
    pub client: SocketAddr,
    /// Our address that the client sends to.
    pub listener: SocketAddr,
    /// Worker that receives for it.
    pub worker: u16,
    /// Relayed transport addresses.
    pub relayed: Vec<Relayed>,
    /// Live permissions.
    pub permissions: Vec<Permission>,
    /// Live channels.
    pub channels: Vec<Channel>,
}

/// A relayed transport address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relayed {
    /// As this machine sees it.
    pub internal: SocketAddr,
    /// As peers see it.
    pub external: SocketAddr,
    /// Seconds until it ends unless refreshed.
    pub expires_in_s: u64,
}

/// A permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Address of the peer.
    pub peer: IpAddr,
    /// Seconds until it ends unless refreshed.
    pub expires_in_s: u64,
}

/// A channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its number.
    pub number: u16,
    /// The peer.
    pub peer: SocketAddr,
    /// Seconds until it ends unless refreshed.
    pub expires_in_s: u64,
}

fn seconds(at: Instant, now: Instant) -> u64 {
    at.since(now).as_secs()
}

impl Session {
    /// As the server sees it.
    #[must_use]
    pub fn new(view: &SessionView<'_>, now: Instant) -> Self {
        let relayed = view.relayed.iter().map(|r| Relayed {
            internal: r.internal,
            external: r.external,
            expires_in_s: seconds(r.expires_at, now),
        });
        let permissions =
            view.permissions.iter().map(|p| Permission { peer: p.peer, expires_in_s: seconds(p.expires_at, now) });
        let channels = view.channels.iter().map(|c| Channel {
            number: c.number,
            peer: c.peer,
            expires_in_s: seconds(c.expires_at, now),
        });
        Self {
            id: view.id.0,
            user: view.user.to_owned(),
            client: view.client,
            listener: view.listener,
            worker: view.worker,
            relayed: relayed.collect(),
            permissions: permissions.collect(),
            channels: channels.collect(),
        }
    }
}

/// One direction of one 5-tuple.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Session it belongs to.
    pub session: u64,
    /// Its name inside the session.
    pub id: u32,
    /// Who sends: address and port, address and `*`, or `*`.
    pub from: String,
    /// Our address that it was sent to.
    pub at: SocketAddr,
    /// `plain`, `channel 0x4000` or `indication`.
    pub framing: String,
    /// `forward`, `unwrap`, `drop` or `refuse`.
    pub action: String,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<SocketAddr>,
    /// How it is framed on the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_framing: Option<String>,
    /// `peer` or `client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub towards: Option<String>,
    /// XDP relays it.
    pub xdp: bool,
    /// Seconds until it ends unless refreshed.
    pub expires_in_s: u64,
    /// Datagrams relayed.
    pub packets: u64,
    /// Octets of application data relayed.
    pub octets: u64,
    /// Datagrams dropped by its limits.
    pub dropped: u64,
    /// What RTP headers told, if it carries RTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp: Option<Rtp>,
}

/// RTP reception figures (RFC 3550 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rtp {
    /// Last synchronisation source.
    pub ssrc: u32,
    /// Last payload type.
    pub payload_type: u8,
    /// Packets received of that source.
    pub received: u32,
    /// Packets missing.
    pub lost: u32,
    /// Packets that came late.
    pub reordered: u32,
    /// Interarrival jitter in microseconds, once the clock rate is known.
    pub jitter_us: Option<u32>,
}

impl Flow {
    /// As the relay reports it.
    #[must_use]
    pub fn new(session: SessionId, report: &FlowReport, now: Instant) -> Self {
        let flow = &report.flow;
        let (action, to, to_framing, towards) = match flow.action {
            FlowAction::Forward { towards, to, framing: out, .. } => {
                ("forward", Some(to), Some(framing(out)), Some(label(towards)))
            }
            FlowAction::Anchor { towards, to, .. } => {
                ("anchor", Some(to), Some(framing(Framing::Plain)), Some(label(towards)))
            }
            FlowAction::Unwrap { .. } => ("unwrap", None, None, None),
            FlowAction::Drop => ("drop", None, None, None),
            FlowAction::Refuse => ("refuse", None, None, None),
        };
        Self {
            session: session.0,
            id: flow.id.0,
            from: remote(flow.matches.remote),
            at: flow.matches.local,
            framing: framing(flow.matches.framing),
            action: action.to_owned(),
            to,
            to_framing,
            towards,
            xdp: report.xdp,
            expires_in_s: seconds(Instant::from_ns(flow.expires_at_ns), now),
            packets: report.packets,
            octets: report.octets,
            dropped: report.dropped,
            rtp: rtp(report),
        }
    }
}

fn label(towards: Destination) -> String {
    match towards {
        Destination::Peer => "peer".to_owned(),
        Destination::Client => "client".to_owned(),
    }
}

fn rtp(report: &FlowReport) -> Option<Rtp> {
    (report.rtp_received > 0).then_some(Rtp {
        ssrc: report.rtp_ssrc,
        payload_type: report.rtp_payload_type,
        received: report.rtp_received,
        lost: report.rtp_lost,
        reordered: report.rtp_reordered,
        jitter_us: report.rtp_jitter_us,
    })
}

fn remote(remote: Remote) -> String {
    match remote {
        Remote::Exact(address) => address.to_string(),
        Remote::AnyPort(IpAddr::V6(v6)) => format!("[{v6}]:*"),
        Remote::AnyPort(v4) => format!("{v4}:*"),
        Remote::Any => "*".to_owned(),
    }
}

fn framing(framing: Framing) -> String {
    match framing {
        Framing::Plain => "plain".to_owned(),
        Framing::Channel(number) => format!("channel {number:#06x}"),
        Framing::Indication => "indication".to_owned(),
    }
}
