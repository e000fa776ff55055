//! When packets of a call may pass in XDP.

use raceway_api::{FlowAction, LegId, Remote};
use raceway_media::{Change, Command, Offer, Options, Toggle};

use crate::world::*;

/// Both ends are settled where signalling said.
fn settle_all(world: &mut World) {
    let legs: Vec<(LegId, String, Option<String>)> = world
        .session()
        .legs
        .values()
        .filter_map(|leg| {
            let rtcp = leg.rtcp.and_then(|rtcp| rtcp.remote).map(|remote| remote.to_string());
            Some((leg.id, leg.rtp.remote?.to_string(), rtcp))
        })
        .collect();
    for (leg, rtp, rtcp) in legs {
        world.learned(leg, false, &rtp);
        if let Some(rtcp) = rtcp {
            world.learned(leg, true, &rtcp);
        }
    }
}

/// Flows as "from remote at ours, to remote from ours".
fn flows(world: &World) -> Vec<String> {
    let show = |flow: &raceway_api::Flow| {
        let Remote::Exact(remote) = flow.matches.remote else { panic!("{flow:?}") };
        let FlowAction::Anchor { from, to, .. } = flow.action else { panic!("{flow:?}") };
        let ours = |address: std::net::SocketAddr| address.ip();
        format!("{remote} at {} to {to} from {}", ours(flow.matches.local), ours(from))
    };
    let mut flows: Vec<String> = world.session().flows.values().map(show).collect();
    flows.sort();
    flows
}

#[test]
fn settled_plain_calls_pass_by_exact_flows_both_ways_rtp_and_rtcp() {
    let mut world = World::new();
    world.plain();
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    world.learned(alice, false, "198.51.100.77:40000");
    assert_eq!(flows(&world).len(), 0, "one end alone is not enough");
    world.learned(bob, false, "192.0.2.2:5000");
    let expected = [
        "192.0.2.2:5000 at 10.0.0.1 to 198.51.100.77:40000 from 10.0.0.1",
        "198.51.100.77:40000 at 10.0.0.1 to 192.0.2.2:5000 from 10.0.0.1",
    ];
    assert_eq!(flows(&world), expected, "where packets came from, not where signalling said");
    settle_all(&mut world);
    assert_eq!(flows(&world).len(), 4);
}

#[test]
fn a_flow_goes_before_what_it_rests_on_changes() {
    let mut world = World::new();
    world.plain();
    settle_all(&mut world);
    assert_eq!(flows(&world).len(), 4);
    world.offer(Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.9", 4100)) });
    assert_eq!(flows(&world).len(), 4, "an offer changes nothing yet");
    world.answer(answer(body("192.0.2.2", 5000)));
    assert_eq!(flows(&world).len(), 0, "Alice's new address must settle first");
    settle_all(&mut world);
    assert_eq!(flows(&world).len(), 4);
    assert!(flows(&world)[0].contains("192.0.2.9"), "{:?}", flows(&world));
}

#[test]
fn what_goes_by_payload_type_stays_in_xdp_and_what_must_be_looked_into_does_not() {
    use raceway_api::{PayloadFate, PayloadRule, PayloadRules};
    let rule = |payload_type, fate| PayloadRule { payload_type, renamed: payload_type, fate };
    let rules = [
        (Toggle::BlockMedia, PayloadRules::naming(true, [])),
        (Toggle::BlockDtmf, PayloadRules::naming(false, [rule(101, PayloadFate::Block)])),
    ];
    let of = |world: &World, remote: &str| -> Vec<PayloadRules> {
        let flows = world.session().flows.values().filter(|flow| flow.matches.remote == Remote::Exact(address(remote)));
        flows
            .map(|flow| if let FlowAction::Anchor { payloads, .. } = flow.action { payloads } else { panic!() })
            .collect()
    };
    for (what, expected) in rules {
        let mut world = World::new();
        world.plain();
        settle_all(&mut world);
        let change = |on| {
            let (call_id, from_tag) = (CALL.into(), Some("alice".into()));
            Command::Change(Change { call_id, from_tag, address: None, label: None, all: false, what, on })
        };
        world.command(change(true)).unwrap();
        assert_eq!(of(&world, "192.0.2.1:4000"), [expected.unwrap()], "{what:?}");
        for untouched in ["192.0.2.1:4001", "192.0.2.2:5000", "192.0.2.2:5001"] {
            assert_eq!(of(&world, untouched), [PayloadRules::default()], "RTCP, and the other party");
        }
        world.command(change(false)).unwrap();
        assert_eq!(of(&world, "192.0.2.1:4000"), [PayloadRules::default()]);
    }
    let mut world = World::new();
    world.plain();
    settle_all(&mut world);
    let (call_id, from_tag) = (CALL.into(), Some("alice".into()));
    let (address, label, what) = (None, None, Toggle::SilenceMedia);
    world.command(Command::Change(Change { call_id, from_tag, address, label, all: false, what, on: true })).unwrap();
    assert_eq!(flows(&world).len(), 2, "silence of Alice is the leg's");
    let mut world = World::new();
    world.plain_with(Options { detect_dtmf: true, ..Options::default() });
    settle_all(&mut world);
    assert_eq!(flows(&world).len(), 0);
}

#[test]
fn packets_whose_sources_have_other_names_stay_with_the_leg() {
    let mut world = World::new();
    world.plain();
    settle_all(&mut world);
    let (alice, session) = (world.leg("192.0.2.1:4000").id, world.session_id());
    world.calls.handle_leg_event(world.now, session, alice, &raceway_api::LegEvent::Translated);
    world.settle();
    assert_eq!(flows(&world).len(), 0, "both ways: reports speak of the others' sources");
}

#[test]
fn feedback_towards_a_party_that_does_not_speak_it_is_not_for_xdp() {
    let mut world = World::new();
    let transport = Some(raceway_media::options::Transport::As("RTP/AVP".parse().unwrap()));
    let options = Options { transport, ..Options::default() };
    world.offer(Offer { options, ..offer(body("192.0.2.1", 4000).replace("RTP/AVP", "RTP/AVPF")) });
    world.answer(answer(body("192.0.2.2", 5000)));
    settle_all(&mut world);
    let flows = flows(&world);
    assert_eq!(flows.len(), 2, "{flows:?}");
    assert!(flows.iter().all(|flow| flow.starts_with("192.0.2.2:500")), "{flows:?}");
}

#[test]
fn a_hairpin_is_told_and_another_program_of_this_machine_is_not_for_xdp() {
    let mut world = World::new();
    let other = rtp(&world.offer(Offer { call_id: "other".into(), ..offer(body("192.0.2.8", 8000)) }));
    world.offer(offer(body("192.0.2.1", 4000)));
    world.answer(answer(body(&other.ip().to_string(), other.port())));
    let session = *world.relay.sessions.keys().next_back().unwrap();
    let settle = |world: &mut World| {
        let legs: Vec<_> = world.relay.sessions[&session].legs.values().cloned().collect();
        for leg in legs {
            let event = raceway_api::LegEvent::Learned { rtcp: false, remote: leg.rtp.remote.unwrap(), settled: true };
            world.calls.handle_leg_event(world.now, session, leg.id, &event);
            world.settle();
        }
        let flows = world.relay.sessions[&session].flows.values();
        flows.map(|flow| matches!(flow.action, FlowAction::Anchor { local_destination: true, .. })).collect::<Vec<_>>()
    };
    assert_eq!(settle(&mut world), [true, false], "to the other call, and back from it");
    let taken =
        |port: u16| world.relay.sessions.values().any(|session| session.media.keys().any(|at| at.port() == port));
    let free = (30_000..30_999).step_by(2).find(|port| !taken(*port)).unwrap();
    world.offer(Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.1", 4000)) });
    world.answer(answer(body("10.0.0.1", free)));
    assert_eq!(settle(&mut world), [false], "what comes from there passes, what goes there is the worker's");
}

#[test]
fn a_delete_and_a_lasting_call_keep_flows_in_step() {
    let mut world = World::new();
    world.plain_with(Options { asymmetric: true, ..Options::default() });
    settle_all(&mut world);
    let before = world.session().expires_at_ns;
    world.relay.operations.clear();
    // Packets keep coming, so that the call is not silent.
    for _ in 0..45 {
        let last_rtp_ns = world.now.as_ns();
        let ids: Vec<_> = world.session().legs.keys().copied().collect();
        for id in ids {
            let live = world.session().legs[&id].clone();
            let report = crate::relay::leg_report(id);
            let report = raceway_api::LegReport {
                last_rtp_ns,
                rtp_remote: live.rtp.remote,
                rtcp_remote: live.rtcp.and_then(|rtcp| rtcp.remote),
                rtp_settled: true,
                rtcp_settled: true,
                ..report
            };
            world.relay.legs.insert(id, report);
        }
        world.pass(std::time::Duration::from_secs(50));
    }
    let session = world.session();
    assert!(session.expires_at_ns > before);
    let ends_soon = world.now.after(raceway_media::limits::FLOW_LIFETIME).as_ns();
    assert!(
        session.flows.values().all(|flow| flow.expires_at_ns <= ends_soon),
        "nobody's flows outlive control by much"
    );
    assert!(session.flows.values().all(|flow| flow.expires_at_ns > world.now.as_ns()), "they go on");
    let puts = world.relay.operations.iter().filter(|o| matches!(o, raceway_api::Operation::PutFlow(_)));
    assert_eq!(puts.count(), 0, "they are extended, not put anew");
    world.delete();
    assert!(world.relay.sessions.is_empty());
}

#[test]
fn what_was_true_before_a_command_settles_nothing_after_it() {
    let mut world = World::new();
    world.plain();
    settle_all(&mut world);
    world.offer(Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.9", 4100)) });
    let (session, alice) = (world.session_id(), world.leg("192.0.2.1:4000").id);
    let late = world.relay.report(session, false).unwrap();
    world.give(Command::Answer(answer(body("192.0.2.2", 5000))));
    let event = raceway_api::LegEvent::Learned { rtcp: false, remote: address("192.0.2.1:4000"), settled: true };
    world.calls.handle_leg_event(world.now, session, alice, &event);
    let mut late = late;
    late.legs.iter_mut().for_each(|leg| leg.rtp_settled = true);
    world.calls.handle_report(world.now, &late);
    world.settle();
    assert_eq!(flows(&world).iter().filter(|flow| flow.contains("192.0.2.1:4000")).count(), 0, "Alice has moved");
}

#[test]
fn rtcp_is_taken_apart_by_a_worker_and_put_together_in_xdp() {
    let mut world = World::new();
    let mut options = Options::default();
    options.rtcp_mux.demux = true;
    let muxed = format!("{}a=rtcp-mux\r\n", body("192.0.2.1", 4000));
    world.offer(Offer { options, ..offer(muxed) });
    world.answer(answer(body("192.0.2.2", 5000)));
    settle_all(&mut world);
    let expected = [
        "192.0.2.2:5000 at 10.0.0.1 to 192.0.2.1:4000 from 10.0.0.1",
        "192.0.2.2:5001 at 10.0.0.1 to 192.0.2.1:4000 from 10.0.0.1",
    ];
    assert_eq!(flows(&world), expected, "what Alice sends must be told apart");
}
