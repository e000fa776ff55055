//! What the relay measured, summed up.

use std::time::Duration;

use raceway_api::{FlowReport, LegReport, StreamReport, Traffic};

use crate::relay::{flow_report, leg_report};
use crate::world::*;

fn traffic(packets: u64) -> Traffic {
    Traffic { rtp_packets: packets, rtp_octets: packets * 172, rtcp_packets: 0, rtcp_octets: 0 }
}

fn stream(received: u32, lost: u32, last_ns: u64) -> StreamReport {
    StreamReport { ssrc: 7, payload_type: 0, received, lost, jitter_us: Some(900), last_ns, ..StreamReport::default() }
}

#[test]
fn packets_of_workers_and_of_flows_are_added_also_when_a_flow_begins_anew() {
    let mut world = World::new();
    world.plain();
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    let now = world.now.as_ns();
    let report = LegReport {
        received: traffic(10),
        streams: vec![stream(10, 0, now)],
        last_rtp_ns: now,
        rtp_settled: true,
        ..leg_report(alice)
    };
    world.relay.legs.insert(alice, report);
    world.relay.legs.insert(bob, LegReport { sent: traffic(10), rtp_settled: true, ..leg_report(bob) });
    world.pass(Duration::from_secs(3));
    let flow = *world
        .session()
        .flows
        .values()
        .find(|flow| flow.matches.local == world.leg("192.0.2.1:4000").rtp.local)
        .unwrap();
    let flown = |packets: u64, lost| FlowReport {
        packets,
        octets: packets * 172,
        rtp_received: packets as u32,
        rtp_lost: lost,
        last_ns: now + 5,
        ..flow_report(flow)
    };
    for (packets, expected) in [(100, 110), (150, 160), (30, 190), (40, 200)] {
        world.relay.flows.insert(flow.id, flown(packets, 0));
        world.pass(Duration::from_secs(1));
        let call = world.calls.query(CALL, None, None).unwrap();
        assert_eq!((call.parties[0].media[0].received, call.totals), (traffic(expected), traffic(expected)));
        assert_eq!(call.parties[1].media[0].sent, traffic(expected), "what flows took from Alice went to Bob");
        assert!(call.parties[0].media[0].in_xdp);
    }
}

#[test]
fn quality_is_rated_by_what_came_since_the_last_look() {
    let mut world = World::new();
    world.plain();
    let alice = world.leg("192.0.2.1:4000").id;
    let mut mos = Vec::new();
    for (received, lost) in [(50, 0), (90, 10), (140, 10)] {
        let now = world.now.as_ns();
        let report = LegReport {
            received: traffic(received.into()),
            streams: vec![stream(received, lost, now)],
            last_rtp_ns: now,
            round_trip_us: Some(40_000),
            ..leg_report(alice)
        };
        world.relay.legs.insert(alice, report);
        world.pass(Duration::from_secs(1));
        mos.push(world.calls.query(CALL, None, None).unwrap().parties[0].media[0].quality.clone());
    }
    let [clean, lossy, again] = &mos[..] else { panic!("three") };
    assert!(clean.mos.unwrap() > 4.3 && lossy.mos.unwrap() < 3.0 && again.mos == clean.mos, "{mos:?}");
    assert!(again.mos_mean < clean.mos && again.mos_min == lossy.mos);
    assert_eq!((again.lost, again.ssrc, again.jitter_us, again.round_trip_us), (10, Some(7), Some(900), Some(40_000)));
}

#[test]
fn a_delete_tells_what_was_measured_until_then() {
    let mut world = World::new();
    world.plain();
    let alice = world.leg("192.0.2.1:4000").id;
    let now = world.now.as_ns();
    let report =
        LegReport { received: traffic(75), streams: vec![stream(75, 0, now)], last_rtp_ns: now, ..leg_report(alice) };
    world.relay.legs.insert(alice, report);
    let call = world.delete();
    assert_eq!((call.totals, call.parties[0].media[0].received), (traffic(75), traffic(75)));
}

#[test]
fn rollover_counters_are_told_to_a_relay_that_begins_anew_and_to_no_other() {
    let mut world = World::new();
    world.plain();
    let (session, alice) = (world.session_id(), world.leg("192.0.2.1:4000").id);
    let rollover = raceway_api::Rollover { ssrc: 7, sent: true, roc: 3, sequence: Some(5), srtcp_index: 9 };
    world.relay.operations.clear();
    world.calls.handle_leg_event(world.now, session, alice, &raceway_api::LegEvent::Rollover(rollover));
    world.settle();
    assert!(world.relay.operations.is_empty());
    world.relay.forget();
    world.calls.reinstall();
    world.settle();
    assert_eq!(world.leg("192.0.2.1:4000").rollovers, [rollover]);
}

#[test]
fn packets_that_flows_took_are_no_losses_of_the_worker_that_has_the_stream_again() {
    let mut world = World::new();
    // Silence of Opus is the leg's.
    let opus = |sdp: String| sdp.replace("RTP/AVP 0 101", "RTP/AVP 0 101 96") + "a=rtpmap:96 opus/48000/2\r\n";
    world.offer(offer(opus(body("192.0.2.1", 4000))));
    world.answer(answer(opus(body("192.0.2.2", 5000))));
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    let worker = |world: &mut World, received, lost| {
        let now = world.now.as_ns();
        let report = LegReport {
            received: traffic(u64::from(received)),
            streams: vec![stream(received, lost, now)],
            last_rtp_ns: now,
            rtp_settled: true,
            ..leg_report(alice)
        };
        world.relay.legs.insert(alice, report);
        world.relay.legs.insert(bob, LegReport { rtp_settled: true, ..leg_report(bob) });
        world.pass(Duration::from_secs(1));
        let call = world.calls.query(CALL, None, None).unwrap();
        let quality = call.parties[0].media[0].quality.clone();
        (quality.lost, quality.mos.unwrap())
    };
    assert_eq!(worker(&mut world, 50, 1).0, 1);
    let local = world.leg("192.0.2.1:4000").rtp.local;
    let flow = *world.session().flows.values().find(|flow| flow.matches.local == local).unwrap();
    let flown = FlowReport { packets: 200, rtp_received: 200, rtp_lost: 2, ..flow_report(flow) };
    world.relay.flows.insert(flow.id, flown);
    let (lost, mos) = worker(&mut world, 50, 1);
    assert!(lost == 3 && mos > 4.0, "{lost} {mos}");
    let silence = |on| {
        let (call_id, what) = (CALL.into(), raceway_media::Toggle::SilenceMedia);
        let change = raceway_media::Change { call_id, from_tag: None, address: None, label: None, all: true, what, on };
        raceway_media::Command::Change(change)
    };
    world.command(silence(true)).unwrap();
    let (lost, mos) = worker(&mut world, 90, 203);
    assert!(lost == 3 && mos > 4.3, "the gap is what flows had: {lost} {mos}");
    let (lost, _) = worker(&mut world, 130, 213);
    assert_eq!(lost, 13, "these are lost");
    world.command(silence(false)).unwrap();
    let flow = *world.session().flows.values().find(|flow| flow.matches.local == local).unwrap();
    let flown = FlowReport { packets: 50, rtp_received: 50, ..flow_report(flow) };
    world.relay.flows.insert(flow.id, flown);
    assert_eq!(worker(&mut world, 130, 213).0, 13);
    world.command(silence(true)).unwrap();
    assert_eq!(worker(&mut world, 170, 213).0, 13, "the sender began anew, so no gap was seen");
    assert_eq!(worker(&mut world, 210, 233).0, 33, "and later losses are losses");
}

#[test]
fn what_a_flow_counted_is_asked_for_before_it_goes() {
    let mut world = World::new();
    world.plain();
    let (alice, bob) = (world.leg("192.0.2.1:4000").id, world.leg("192.0.2.2:5000").id);
    world.learned(alice, false, "192.0.2.1:4000");
    world.learned(bob, false, "192.0.2.2:5000");
    let local = world.leg("192.0.2.1:4000").rtp.local;
    let flow = *world.session().flows.values().find(|flow| flow.matches.local == local).unwrap();
    let flown = FlowReport { packets: 17, octets: 17 * 172, rtp_received: 17, ..flow_report(flow) };
    world.relay.flows.insert(flow.id, flown);
    world.offer(raceway_media::Offer { to_tag: Some("bob".into()), ..offer(body("192.0.2.9", 4100)) });
    world.answer(answer(body("192.0.2.2", 5000)));
    assert!(world.session().flows.is_empty());
    assert_eq!(world.calls.query(CALL, None, None).unwrap().totals, traffic(17));
}
