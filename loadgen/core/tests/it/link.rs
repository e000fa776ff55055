//! A sender, an emulated link and a receiver: what the receiver finds is what the link did.

use std::time::Duration;

use raceway_loadgen_core::quality::Codec;
use raceway_loadgen_core::receive::{Receiver, Settings};
use raceway_loadgen_core::report::{Interval, StreamReport};
use raceway_loadgen_core::rtp::RtpView;
use raceway_loadgen_core::{Clock, Identity, Profile, Sender};
use raceway_netem::{Counters, Link};
use raceway_units::Instant;

const CLOCK: Clock = Clock(4);
const BEGIN: Instant = Instant::from_ns(5_000_000_000);

struct Ride {
    report: StreamReport,
    interval: Interval,
    link: Counters,
}

/// Sends a profile for so long over a link to a receiver that has the sender's clock, or another.
fn ride(profile: &str, link: &str, seconds: u64, local: Clock) -> Ride {
    let track = profile.parse::<Profile>().unwrap().tracks().remove(0);
    let identity = Identity { run: 9, stream: 3, ssrc: 77, clock: CLOCK };
    let mut sender = Sender::new(&track, identity, BEGIN, 11);
    let mut link = Link::new(link.parse().unwrap(), 12);
    let mut receiver = Receiver::new(Settings::of_track(&track, local));
    let mut interval = Interval::new();
    let (mut out, end) = (vec![0; track.packet_max()], BEGIN.after(Duration::from_secs(seconds)));
    loop {
        let due = sender.next_due().filter(|due| *due < end);
        let Some(now) = due.into_iter().chain(link.poll_timeout()).min() else { break };
        while let Some(mut delivery) = link.poll(now) {
            if let Some(bit) = delivery.damaged_bit {
                let octets: &mut Vec<u8> = &mut delivery.payload;
                // The header is left alone: a real one would be dropped for its UDP checksum.
                octets[12 + (bit / 8) as usize % 100] ^= 1 << (bit % 8);
            }
            if let Ok(packet) = RtpView::parse(&delivery.payload) {
                interval.arrived(&receiver.handle(&packet, delivery.at));
            }
        }
        if due == Some(now) {
            let length = sender.write(&mut out);
            interval.sent(length, Duration::ZERO);
            link.handle(out[..length].to_vec(), length, now);
        }
    }
    let codec = Codec::of_encoding(track.encoding);
    let report = StreamReport::of(profile.to_owned(), &receiver, Some(interval.sent.packets), codec);
    Ride { report, interval, link: link.counters() }
}

#[test]
fn a_perfect_link_leaves_nothing_to_find() {
    for profile in ["pcmu", "g722", "opus", "opus:dtx=on", "telephone-event", "constant:size=172,pps=500"] {
        let Ride { report, interval, link } = ride(profile, "delay=10ms", 60, CLOCK);
        let found = report.received;
        assert_eq!((found.packets, report.lost), (link.offered, 0), "{profile}");
        let amiss =
            [found.duplicated, found.reordered, found.corrupted, found.late, found.stray, found.foreign, found.gaps];
        assert_eq!(amiss, [0; 7], "{profile}");
        assert!(report.jitter_max_ms < 0.03, "{profile}: jitter {} ms", report.jitter_max_ms);
        assert!((interval.delay().max_ms - 10.0).abs() < 0.02, "{profile}: {:?}", interval.delay());
        assert_eq!(interval.received, found);
    }
}

#[test]
fn each_thing_that_a_link_does_is_found_once() {
    let link = "delay=40ms,loss=2%,burst=3,duplicate=1%,corrupt=0.5%,reorder=1%,reorder-by=50ms";
    let Ride { report, interval, link } = ride("pcmu", link, 600, CLOCK);
    let found = report.received;
    assert_eq!(report.lost, link.lost);
    assert_eq!(found.packets + found.duplicated, link.delivered);
    assert_eq!(found.duplicated, link.duplicated);
    // The last ones may have nobody to overtake them.
    assert!(found.reordered.abs_diff(link.held_back) <= 2 + link.held_back / 20, "{found:?} {link:?}");
    assert!(found.corrupted.abs_diff(link.damaged) <= link.duplicated, "{found:?} {link:?}");
    assert!((2.0..3.5).contains(&report.burst_ratio), "{}", report.burst_ratio);
    assert_eq!(interval.received, found);
    assert!(report.rating.unwrap().mos < 4.2);
}

#[test]
fn delays_and_their_variation_are_those_of_the_link() {
    let absolute = ride("pcmu", "delay=30ms,jitter=10ms", 600, CLOCK);
    let delay = absolute.interval.delay();
    assert!((19.98..20.3).contains(&delay.min_ms) && (39.7..40.1).contains(&delay.max_ms), "{delay:?}");
    assert!((delay.mean_ms - 30.0).abs() < 0.3 && (delay.p90_ms - 38.0).abs() < 0.5, "{delay:?}");
    // The difference of two uniform delays has a triangular distribution: its mean size is a third of the range.
    assert!((absolute.interval.variation().mean_ms - 20.0 / 3.0).abs() < 0.2);
    assert!((absolute.report.jitter_mean_ms - 20.0 / 3.0).abs() < 0.3, "{}", absolute.report.jitter_mean_ms);

    let relative = ride("pcmu", "delay=30ms,jitter=10ms", 600, Clock(5));
    let (whole, above) = (absolute.report.delay.unwrap(), relative.report.delay.unwrap());
    assert!((whole.mean_ms - whole.min_ms - above.mean_ms).abs() < 0.3, "{whole:?} {above:?}");
    assert!((whole.p99_ms - whole.min_ms - above.p99_ms).abs() < whole.p99_ms * 0.13, "{whole:?} {above:?}");
}

#[test]
fn a_bottleneck_too_narrow_shows_as_loss_and_delay() {
    // 86 kbit/s offered.
    let Ride { report, interval, link } = ride("constant:size=215,pps=50", "rate=43kbit,queue=100ms", 60, CLOCK);
    assert_eq!(report.lost, link.overflowed);
    assert!((0.45..0.52).contains(&report.loss_ratio), "{}", report.loss_ratio);
    assert!((100.0..150.0).contains(&interval.delay().p99_ms), "{:?}", interval.delay());
}
