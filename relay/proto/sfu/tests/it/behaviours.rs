//! What is seen of forwarding, one behaviour each.

use core::time::Duration;

use raceway_rtp::{Header, is_newer};
use raceway_sfu::limits::{RUNS_VIDEO, SWITCH_MAX};
use raceway_sfu::{Drop, Packet, Source, Subscription, Unrepaired};

use crate::publisher::Model;
use crate::receiver::tag;
use crate::world::{Link, TIME_MS, World};

fn world(model: Model, encodings: u8) -> World {
    World::new(model, encodings, Link::default(), 1)
}

#[test]
fn what_is_wanted_comes_with_the_next_key_frame() {
    for model in Model::VIDEO {
        let mut world = world(model, 3);
        world.steps(5);
        assert_eq!(world.subscription.counts().packets, 0, "nothing is wanted");
        for source in [1, 2, 0] {
            world.select(source, u8::MAX, u8::MAX);
            world.steps(4);
            assert_eq!(world.subscription.current().map(|(source, _)| source.0), Some(source), "{model:?}");
        }
        assert_eq!(world.subscription.counts().switches, 2);
        world.finish();
    }
}

#[test]
fn of_the_layers_that_are_not_wanted_nothing_is_sent() {
    for model in [Model::Vp8, Model::Vp8Descriptor, Model::Vp9Flexible, Model::Vp9Group, Model::Av1] {
        let mut world = world(model, 1);
        world.select(0, 0, 0);
        world.steps(30);
        let record = world.finish();
        let whole = record.whole_frames();
        assert!(whole.len() >= 7, "{model:?}");
        assert!(whole.iter().all(|truth| (truth.spatial, truth.temporal) == (0, 0)), "{model:?}");
    }
}

#[test]
fn more_temporal_layers_need_no_key_frame() {
    for model in [Model::Vp8, Model::Vp8Descriptor, Model::Vp9Flexible, Model::Vp9Group, Model::Av1] {
        let mut world = world(model, 1);
        world.select(0, 0, 0);
        world.steps(10);
        world.select(0, 0, 2);
        world.steps(40);
        assert_eq!(world.track.counts(Source(0)).key_frames, 1, "{model:?}");
        let (_, limit) = world.subscription.current().expect("forwarded");
        assert_eq!(limit.temporal, model.layers().1 - 1, "{model:?}");
        let record = world.finish();
        assert!(record.whole_frames().iter().any(|truth| truth.temporal == model.layers().1 - 1), "{model:?}");
    }
}

#[test]
fn more_spatial_layers_come_with_a_key_frame_that_is_asked_for() {
    for model in [Model::Vp9Flexible, Model::Vp9Group, Model::Av1] {
        let mut world = world(model, 1);
        world.select(0, 0, 0);
        world.steps(10);
        world.select(0, 2, 2);
        world.steps(80);
        let (_, limit) = world.subscription.current().expect("forwarded");
        assert_eq!(limit.spatial, model.layers().0 - 1, "{model:?}");
        world.finish();
    }
}

#[test]
fn what_does_not_come_is_given_up_and_the_old_stream_goes_on() {
    let mut world = world(Model::Vp8, 2);
    world.select(0, 0, 2);
    world.steps(5);
    world.select(1, 0, 2);
    let times = SWITCH_MAX.as_millis() as u64 / TIME_MS + 5;
    for _ in 0..times {
        // The publisher does not listen.
        world.encoders[1].wants_key = false;
        world.step();
    }
    assert_eq!(world.subscription.counts().abandoned, 1);
    assert_eq!(world.subscription.wanted().map(|want| want.source), Some(Source(0)));
    let whole = world.finish().whole_frames().len() as u64;
    assert!(whole > times, "the old stream went on: {whole}");
}

#[test]
fn a_packet_is_sent_again_as_it_was_and_not_twice_in_a_round_trip() {
    for model in [Model::Vp8Descriptor, Model::Vp9Flexible, Model::Av1, Model::Audio] {
        let mut world = world(model, 2);
        world.select(0, 0, 1);
        world.steps(6);
        world.select(1, 0, 0);
        world.steps(8);
        assert!(world.record.sent.len() > 10);
        for sent in world.record.sent.clone().iter().rev().take(20) {
            let first = Header::read(&sent.octets).expect("RTP");
            let again = world.ask_again(first.sequence).expect("it is kept");
            let header = Header::read(&again).expect("RTP");
            assert_eq!((header.ssrc, header.payload_type, header.timestamp), (8, 101, first.timestamp));
            let payload = header.payload.of(&again);
            assert_eq!(
                (&payload[..2], &payload[2..]),
                (&first.sequence.to_be_bytes()[..], first.payload.of(&sent.octets))
            );
            assert_eq!(first.extension.of(&sent.octets), header.extension.of(&again));
            assert_eq!(world.ask_again(first.sequence), None);
        }
        let (now, trip) = (world.now(), Duration::from_millis(40));
        let newest = world.record.sent.iter().map(|sent| Header::read(&sent.octets).expect("RTP").sequence);
        let newest = newest.reduce(|a, b| if is_newer(a, b) { a } else { b }).expect("some");
        assert_eq!(world.subscription.nack(now, newest.wrapping_add(1), trip), Err(Unrepaired::Unknown));
        assert_eq!(world.subscription.nack(now, newest.wrapping_sub(9_000), trip), Err(Unrepaired::Unknown));
    }
}

#[test]
fn reports_keep_tracks_in_step_over_a_switch() {
    let mut world = world(Model::Vp8, 2);
    world.select(0, 0, 2);
    let units = |ms: u64| (ms * 90) as u32;
    for source in [0, 1] {
        world.select(source, 0, 2);
        world.steps(30);
        let (frame, _) = world.last_tag().expect("sent");
        let sent = world.record.sent.last().expect("sent");
        let timestamp = Header::read(&sent.octets).expect("RTP").timestamp;
        let captured = u64::from(world.record.truths[frame as usize].time) * TIME_MS;
        // The encoder's clock now, at a time that the sender knows.
        let info = raceway_rtp::rtcp::SenderInfo {
            ntp: 5 << 32,
            rtp: world.encoders[source as usize].timestamp(),
            packets: 1,
            octets: 2,
        };
        let now = (world.record.truths.last().expect("some").time) as u64 * TIME_MS;
        let report = world.subscription.report(Source(source), &info).expect("forwarded");
        assert_eq!(report.ntp, info.ntp);
        assert_eq!(report.rtp, timestamp.wrapping_add(units(now - captured)), "of {source}");
        assert_eq!(u64::from(report.packets), world.subscription.counts().packets);
        assert_eq!(world.subscription.report(Source(1 - source), &info), None);
    }
}

#[test]
fn timestamps_go_on_by_the_time_between_captures() {
    let mut world = world(Model::H264, 2);
    world.select(0, 0, 0);
    world.steps(40);
    world.select(1, 0, 0);
    world.steps(10);
    let record = world.finish();
    let mut last: Option<(u32, u32)> = None;
    for sent in &record.sent {
        let header = Header::read(&sent.octets).expect("RTP");
        let time = record.truths[tag(header.payload.of(&sent.octets)).0 as usize].time;
        if let Some((timestamp, before)) = last {
            // A stream may take over within a time, whose frame it replaces.
            let expected = ((time - before) * 1_800).max(u32::from(header.timestamp != timestamp));
            assert_eq!(header.timestamp.wrapping_sub(timestamp), expected);
        }
        last = Some((header.timestamp, time));
    }
}

#[test]
fn a_frame_without_its_structure_waits_for_it() {
    let mut world = World::new(Model::Av1, 1, Link { loss: 60, ..Link::default() }, 3);
    world.select(0, 1, 1);
    for _ in 0..40 {
        world.steps(5);
        world.encoders[0].wants_key = true;
    }
    let counts = world.track.counts(Source(0));
    assert!(counts.repaired > 20 && counts.asked >= counts.repaired, "{counts:?}");
    let record = world.finish();
    let whole = record.whole_frames().len();
    assert!(whole * 10 >= record.truths.len() * 9, "{whole} of {}", record.truths.len());
}

#[test]
fn five_of_a_hundred_lost_packets_are_repaired() {
    let link = Link { loss: 50, loss_again: 50, late: 20, twice: 5 };
    let mut world = World::new(Model::Vp8, 1, link, 5);
    world.select(0, 0, 2);
    world.steps(300);
    let counts = world.track.counts(Source(0));
    assert!(counts.repaired * 10 >= counts.missing * 6, "{counts:?}");
    assert!(counts.duplicates > 0);
    let record = world.finish();
    let frames = record.truths.len();
    let whole = record.whole_frames().len();
    assert!(whole * 100 >= frames * 98, "{whole} of {frames}");
}

#[test]
fn padding_of_the_publisher_takes_no_number() {
    let mut world = world(Model::Vp8, 1);
    world.select(0, 0, 2);
    world.steps(3);
    let mut padding = padding_after(&world);
    let before = world.subscription.counts().packets;
    padding.newest = true;
    let targets = world.track.targets(Source(0));
    assert_eq!(world.subscription.offer(&padding, &targets), Err(Drop::Padding));
    assert_eq!(world.subscription.counts().packets, before);
}

/// A packet without a payload, after all that were sent.
fn padding_after(world: &World) -> Packet {
    let last = world.record.sent.last().expect("sent");
    let (packet, _) = world.track.history().get(Source(0), last.sequence).expect("kept");
    Packet { sequence: last.sequence + 1, payload: raceway_rtp::Span::default(), ..*packet }
}

#[test]
fn what_takes_memory_is_counted_at_all() {
    let before = raceway_sys::allocations::of_this_thread();
    drop(std::hint::black_box(vec![0_u8; 10]));
    assert!(raceway_sys::allocations::of_this_thread() > before);
}

#[test]
fn a_packet_is_small_enough_to_be_handed_to_another_core_and_a_subscription_to_have_many() {
    assert!(size_of::<Packet>() <= 256, "{}", size_of::<Packet>());
    assert!(size_of::<Subscription>() <= 1_024, "{}", size_of::<Subscription>());
    let runs = RUNS_VIDEO * 64;
    assert!(size_of::<Subscription>() + runs <= 4_096);
}
