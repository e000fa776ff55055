//! Flows as control says them and as the table holds them.

use std::net::{IpAddr, SocketAddr};

use raceway_abi::{
    Action, CHANNEL_INDICATION, CHANNEL_NONE, Direction, FLAG_BLOCKS_OTHERS, FLAG_LOCAL_DESTINATION, FLAG_MEDIA_ONLY,
    FLAG_RULED, FlowKey, FlowSpec, KEEP_DSCP, NO_POLICER, PayloadRule,
};
use raceway_api::{
    Destination, Flow, FlowAction, FlowId, Framing, Match, OperationError, PayloadFate, PayloadRules, Remote, SessionId,
};
use raceway_units::Endpoint;

use crate::limits::OWN_FLOW_IDS;

/// Channel numbers that a client may bind (RFC 5766 section 11; RFC 8656 section 12 keeps to the first quarter).
const CHANNEL_NUMBERS: std::ops::RangeInclusive<u16> = 0x4000..=0x7fff;

/// What the record of a flow depends on besides its description.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// Policers of the session, by direction.
    pub policers: Option<[u32; 2]>,
    /// Policer of the media address that it arrives at.
    pub media_policer: Option<u32>,
    /// For a flow that refuses: the external form of its relayed address.
    pub external: Option<SocketAddr>,
}

/// The record of a flow.
///
/// # Errors
/// [`OperationError::Invalid`] for what makes no sense.
pub fn to_spec(session: SessionId, flow: &Flow, around: Surroundings) -> Result<FlowSpec, OperationError> {
    let mut spec = FlowSpec {
        session: session.0,
        id: flow.id.0,
        key: to_key(&flow.matches)?,
        push_channel: CHANNEL_NONE,
        dscp: KEEP_DSCP,
        policer: NO_POLICER,
        ..FlowSpec::default()
    };
    let mut source = |address: SocketAddr| (spec.source, spec.source_port) = parts(address);
    match flow.action {
        FlowAction::Forward { towards, from, to, framing, local_destination } => {
            if from.is_ipv4() != to.is_ipv4() || !concrete(from) || !concrete(to) {
                return Err(OperationError::Invalid);
            }
            source(from);
            (spec.destination, spec.destination_port) = parts(to);
            spec.push_channel = to_channel(framing)?;
            spec.direction = direction(towards);
            spec.action = if framing == Framing::Indication { Action::Worker } else { Action::Forward };
            spec.flags = if local_destination { FLAG_LOCAL_DESTINATION } else { 0 };
        }
        FlowAction::Unwrap { relayed_v4, relayed_v6 } => {
            let proper = relayed_v4.is_none_or(|a| a.is_ipv4() && concrete(a))
                && relayed_v6.is_none_or(|a| a.is_ipv6() && concrete(a));
            if flow.matches.framing != Framing::Indication || !proper {
                return Err(OperationError::Invalid);
            }
            if let Some(v4) = relayed_v4 {
                source(v4);
            }
            if let Some(v6) = relayed_v6 {
                (spec.destination, spec.destination_port) = parts(v6);
            }
            spec.action = Action::Worker;
            spec.direction = Direction::ClientToPeer;
        }
        FlowAction::Anchor { towards, from, to, dscp, payloads, local_destination } => {
            let proper = from.is_ipv4() == to.is_ipv4() && concrete(from) && concrete(to);
            let exact = matches!(flow.matches.remote, Remote::Exact(_)) && flow.matches.framing == Framing::Plain;
            if !proper || !exact || dscp.is_some_and(|dscp| dscp > 63) {
                return Err(OperationError::Invalid);
            }
            source(from);
            (spec.destination, spec.destination_port) = parts(to);
            spec.direction = direction(towards);
            spec.action = Action::Forward;
            spec.dscp = dscp.unwrap_or(KEEP_DSCP);
            spec.flags = FLAG_MEDIA_ONLY | if local_destination { FLAG_LOCAL_DESTINATION } else { 0 };
            rule(&mut spec, &payloads)?;
        }
        FlowAction::Drop => spec.action = Action::Drop,
        FlowAction::Refuse => {
            source(around.external.unwrap_or(flow.matches.local));
            spec.action = Action::Refuse;
            spec.direction = Direction::PeerToClient;
        }
    }
    let policer = match spec.flags & FLAG_MEDIA_ONLY {
        0 => around.policers.map(|policers| policers[spec.direction as usize]),
        _ => around.media_policer,
    };
    if matches!(spec.action, Action::Forward | Action::Worker) {
        spec.policer = policer.unwrap_or(NO_POLICER);
    }
    Ok(spec)
}

/// Puts rules for payload types into a record; none if there are none.
fn rule(spec: &mut FlowSpec, payloads: &PayloadRules) -> Result<(), OperationError> {
    let mut places = spec.payload_rules.iter_mut();
    for (at, named) in payloads.named.iter().flatten().enumerate() {
        let again = payloads.named.iter().flatten().take(at).any(|other| other.payload_type == named.payload_type);
        let proper = |payload_type: u8| payload_type < 128 && !(64..96).contains(&payload_type);
        if again || !proper(named.payload_type) || !proper(named.renamed) {
            return Err(OperationError::Invalid);
        }
        let fate = match named.fate {
            PayloadFate::Pass => raceway_abi::PayloadFate::Pass,
            PayloadFate::Block => raceway_abi::PayloadFate::Block,
        };
        let place = places.next().ok_or(OperationError::Invalid)?;
        *place = PayloadRule::new(named.payload_type, named.renamed, fate);
    }
    if *payloads != PayloadRules::default() {
        spec.flags |= FLAG_RULED | if payloads.block_others { FLAG_BLOCKS_OTHERS } else { 0 };
    }
    Ok(())
}

/// The rules in a record.
fn payloads(spec: &FlowSpec) -> PayloadRules {
    let named = spec.payload_rules.map(|rule| {
        let fate = match rule.fate() {
            raceway_abi::PayloadFate::Pass => PayloadFate::Pass,
            raceway_abi::PayloadFate::Block => PayloadFate::Block,
        };
        let rule_of = raceway_api::PayloadRule { payload_type: rule.payload_type(), renamed: rule.renamed(), fate };
        (rule != PayloadRule::UNUSED).then_some(rule_of)
    });
    PayloadRules { block_others: spec.flags & FLAG_BLOCKS_OTHERS != 0, named }
}

/// The record of a media address at all, `number` of those of its session: what no exact flow takes there is the legs', as far
/// as `policer` lets it pass.
#[must_use]
pub fn gate(session: SessionId, number: u32, local: SocketAddr, external: SocketAddr, policer: u32) -> FlowSpec {
    let (local, local_port) = parts(local);
    let (source, source_port) = parts(external);
    FlowSpec {
        session: session.0,
        id: OWN_FLOW_IDS + number,
        key: FlowKey { local, local_port, ..FlowKey::default() },
        source,
        source_port,
        action: Action::Worker,
        direction: Direction::PeerToClient,
        dscp: KEEP_DSCP,
        policer,
        ..FlowSpec::default()
    }
}

/// The description of a record.
#[must_use]
pub fn from_spec(spec: &FlowSpec, expires_at_ns: u64) -> Flow {
    let key = &spec.key;
    let source = address(spec.source, spec.source_port);
    let destination = address(spec.destination, spec.destination_port);
    let remote = match (key.remote, key.remote_port) {
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0) => Remote::Any,
        (any_port, 0) => Remote::AnyPort(address(any_port, 0).ip()),
        (exact, port) => Remote::Exact(address(exact, port)),
    };
    let matches = Match { remote, local: address(key.local, key.local_port), framing: from_channel(key.channel) };
    let action = match spec.action {
        Action::Worker if key.channel == CHANNEL_INDICATION => FlowAction::Unwrap {
            relayed_v4: (spec.source_port != 0).then_some(source),
            relayed_v6: (spec.destination_port != 0).then_some(destination),
        },
        Action::Forward if spec.flags & FLAG_MEDIA_ONLY != 0 => FlowAction::Anchor {
            towards: towards(spec.direction),
            from: source,
            to: destination,
            dscp: (spec.dscp != KEEP_DSCP).then_some(spec.dscp),
            payloads: payloads(spec),
            local_destination: spec.flags & FLAG_LOCAL_DESTINATION != 0,
        },
        Action::Forward | Action::Worker => FlowAction::Forward {
            towards: towards(spec.direction),
            from: source,
            to: destination,
            framing: from_channel(spec.push_channel),
            local_destination: spec.flags & FLAG_LOCAL_DESTINATION != 0,
        },
        Action::Refuse => FlowAction::Refuse,
        Action::Drop | Action::None => FlowAction::Drop,
    };
    Flow { id: FlowId(spec.id), matches, action, expires_at_ns }
}

/// The key of a match.
///
/// # Errors
/// [`OperationError::Invalid`].
pub fn to_key(matches: &Match) -> Result<FlowKey, OperationError> {
    let local_is_v4 = matches.local.is_ipv4();
    let same_family = match matches.remote {
        Remote::Exact(remote) => remote.is_ipv4() == local_is_v4 && concrete(remote),
        Remote::AnyPort(remote) => remote.is_ipv4() == local_is_v4 && concrete((remote, 1).into()),
        Remote::Any => true,
    };
    // Only datagrams to a relayed transport address have forms that leave something open.
    let exact = matches!(matches.remote, Remote::Exact(_));
    if !same_family || !concrete(matches.local) || (!exact && matches.framing != Framing::Plain) {
        return Err(OperationError::Invalid);
    }
    let (local, local_port) = parts(matches.local);
    let (remote, remote_port) = match matches.remote {
        Remote::Exact(remote) => parts(remote),
        Remote::AnyPort(remote) => parts((remote, 0).into()),
        Remote::Any => ([0; 16], 0),
    };
    Ok(FlowKey { remote, local, remote_port, local_port, channel: to_channel(matches.framing)?, reserved: 0 })
}

/// A port and an address that names one host, not an IPv4 one in disguise.
pub fn concrete(address: SocketAddr) -> bool {
    let disguised = matches!(address.ip(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    address.port() != 0 && !address.ip().is_unspecified() && !disguised
}

fn parts(address: SocketAddr) -> ([u8; 16], u16) {
    let Endpoint { address, port } = address.into();
    (address, port)
}

fn address(address: [u8; 16], port: u16) -> SocketAddr {
    Endpoint { address, port }.into()
}

const fn direction(towards: Destination) -> Direction {
    match towards {
        Destination::Peer => Direction::ClientToPeer,
        Destination::Client => Direction::PeerToClient,
    }
}

const fn towards(direction: Direction) -> Destination {
    match direction {
        Direction::ClientToPeer => Destination::Peer,
        Direction::PeerToClient => Destination::Client,
    }
}

fn to_channel(framing: Framing) -> Result<u16, OperationError> {
    match framing {
        Framing::Plain => Ok(CHANNEL_NONE),
        Framing::Indication => Ok(CHANNEL_INDICATION),
        Framing::Channel(number) if CHANNEL_NUMBERS.contains(&number) => Ok(number),
        Framing::Channel(_) => Err(OperationError::Invalid),
    }
}

const fn from_channel(channel: u16) -> Framing {
    match channel {
        CHANNEL_NONE => Framing::Plain,
        CHANNEL_INDICATION => Framing::Indication,
        number => Framing::Channel(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn flow(matches: Match, action: FlowAction) -> Flow {
        Flow { id: FlowId(7), matches, action, expires_at_ns: 99 }
    }

    fn samples() -> Vec<Flow> {
        let (client, listener) = (at("10.0.0.9:4000"), at("10.0.0.1:3478"));
        let (relayed, peer) = (at("[2001:db8::1]:50000"), at("[2001:db8::7]:6000"));
        let exact = |remote, local, framing| Match { remote: Remote::Exact(remote), local, framing };
        let forward = |towards, from, to, framing, local_destination| FlowAction::Forward {
            towards,
            from,
            to,
            framing,
            local_destination,
        };
        let named = |payload_type, renamed, fate| Some(raceway_api::PayloadRule { payload_type, renamed, fate });
        let mut payloads = PayloadRules { block_others: true, ..PayloadRules::default() };
        payloads.named[0] = named(96, 111, PayloadFate::Pass);
        payloads.named[1] = named(8, 8, PayloadFate::Pass);
        payloads.named[2] = named(101, 101, PayloadFate::Block);
        let anchor = |dscp, local_destination| FlowAction::Anchor {
            towards: Destination::Client,
            from: listener,
            to: client,
            dscp,
            payloads: if local_destination { PayloadRules::default() } else { payloads },
            local_destination,
        };
        let any_port = Match { remote: Remote::AnyPort(peer.ip()), local: relayed, framing: Framing::Plain };
        vec![
            flow(
                exact(client, listener, Framing::Channel(0x4001)),
                forward(Destination::Peer, relayed, peer, Framing::Plain, true),
            ),
            flow(
                exact(peer, relayed, Framing::Plain),
                forward(Destination::Client, listener, client, Framing::Channel(0x4fff), false),
            ),
            flow(any_port, forward(Destination::Client, listener, client, Framing::Indication, false)),
            flow(
                exact(client, listener, Framing::Indication),
                FlowAction::Unwrap { relayed_v4: None, relayed_v6: Some(relayed) },
            ),
            flow(Match { remote: Remote::Any, local: relayed, framing: Framing::Plain }, FlowAction::Refuse),
            flow(exact(peer, relayed, Framing::Plain), FlowAction::Drop),
            flow(exact(peer, relayed, Framing::Plain), anchor(None, true)),
            flow(exact(peer, relayed, Framing::Plain), anchor(Some(46), false)),
        ]
    }

    #[test]
    fn every_form_of_flow_reads_back_from_its_record() {
        for flow in samples() {
            let spec = to_spec(SessionId(3), &flow, Surroundings::default()).unwrap();
            assert_eq!(from_spec(&spec, 99), flow);
        }
    }

    #[test]
    fn policers_go_by_direction_and_only_to_what_forwards() {
        let around = Surroundings { policers: Some([4, 5]), media_policer: Some(6), external: None };
        let policers: Vec<u32> =
            samples().iter().map(|flow| to_spec(SessionId(3), flow, around).unwrap().policer).collect();
        assert_eq!(policers, [4, 5, 5, 4, NO_POLICER, NO_POLICER, 6, 6]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let all = samples();
        let (out, unwrap, refuse, anchor) = (all[0], all[3], all[4], all[6]);
        let refused = |change: &dyn Fn(&mut Flow), of: &Flow| {
            let mut flow = *of;
            change(&mut flow);
            to_spec(SessionId(1), &flow, Surroundings::default()) == Err(OperationError::Invalid)
        };
        assert!(refused(&|f| f.matches.framing = Framing::Channel(0x8000), &out));
        assert!(refused(&|f| f.matches.local = at("[::1]:3478"), &out));
        assert!(refused(&|f| f.matches.local.set_port(0), &out));
        assert!(refused(&|f| f.matches.remote = Remote::Any, &out));
        assert!(refused(&|f| f.matches.framing = Framing::Channel(0x4000), &anchor));
        assert!(refused(&|f| f.matches.remote = Remote::AnyPort(at("[2001:db8::7]:1").ip()), &anchor));
        let ruled = |of: &[(u8, u8)]| {
            let rules = of.iter().map(|&(payload_type, renamed)| raceway_api::PayloadRule {
                payload_type,
                renamed,
                fate: PayloadFate::Pass,
            });
            let rules = PayloadRules::naming(false, rules).expect("they fit");
            refused(
                &|f| {
                    if let FlowAction::Anchor { payloads, .. } = &mut f.action {
                        *payloads = rules;
                    }
                },
                &anchor,
            )
        };
        assert!(ruled(&[(128, 0)]) && ruled(&[(0, 128)]), "there is no such payload type");
        assert!(ruled(&[(72, 0)]) && ruled(&[(0, 72)]), "that would be RTCP");
        assert!(ruled(&[(0, 8), (0, 9)]), "twice");
        assert!(!ruled(&[(0, 8), (8, 0)]));
        assert!(refused(&|f| f.matches.framing = Framing::Plain, &unwrap));
        assert!(refused(&|f| f.matches.local = at("[::ffff:127.0.0.1]:1"), &refuse));
        let to = |to| FlowAction::Forward {
            towards: Destination::Peer,
            from: at("10.0.0.1:1"),
            to,
            framing: Framing::Plain,
            local_destination: false,
        };
        assert!(refused(&|f| f.action = to(at("[2001:db8::7]:1")), &out));
        assert!(refused(&|f| f.action = to(at("0.0.0.0:1")), &out));
    }
}
