//! Recorded streams, sent again.

use super::*;

const START: Instant = Instant::from_ns(5_000_000_000);

fn replay() -> Replay {
    let identity = Identity { run: 8, stream: 3, ssrc: 0x0102_0304, clock: Clock(1) };
    Replay { identity, start: START, seed: 4, ..Replay::default() }
}

/// As a capture of others: without stamps.
fn unstamped(profile: &str, count: usize) -> Vec<(u64, Vec<u8>)> {
    let mut packets = packets(profile, count);
    packets.iter_mut().for_each(|(_, octets)| octets[12..].fill(0x55));
    packets
}

fn send(sender: &mut ReplaySender, count: usize) -> Vec<(u64, Vec<u8>)> {
    let packet = |_| {
        let mut out = [0xee; 1_500];
        let due = sender.next_due()?.as_ns();
        let length = sender.write(&mut out);
        Some((due, out[..length].to_vec()))
    };
    (0..count).map_while(packet).collect()
}

fn all(recorded: &[(u64, Vec<u8>)], replay: Replay) -> Vec<(u64, Vec<u8>)> {
    send(&mut ReplaySender::new(Arc::clone(&capture(recorded).streams[0]), replay), recorded.len() + 1)
}

fn view(packet: &(u64, Vec<u8>)) -> RtpView<'_> {
    RtpView::parse(&packet.1).unwrap()
}

#[test]
fn timing_and_payload_are_kept_and_identity_is_not() {
    let recorded = unstamped("opus:dtx=on", 300);
    let sent = all(&recorded, replay());
    assert_eq!(sent.len(), 300);
    let shift = view(&sent[0]).timestamp().wrapping_sub(view(&recorded[0]).timestamp());
    assert_ne!(shift, 0);
    for (n, (was, is)) in recorded.iter().zip(&sent).enumerate() {
        assert_eq!(is.0 - START.as_ns(), was.0 - recorded[0].0);
        let (was, is) = (view(was), view(is));
        assert_eq!((is.payload(), is.marker(), is.payload_type()), (was.payload(), was.marker(), was.payload_type()));
        assert_eq!((is.ssrc(), is.timestamp()), (0x0102_0304, was.timestamp().wrapping_add(shift)));
        assert_eq!(is.sequence(), view(&sent[0]).sequence().wrapping_add(n as u16));
    }
}

#[test]
fn copies_differ_in_number_and_timestamp() {
    let recorded = unstamped("pcmu", 20);
    let copy = |stream| all(&recorded, Replay { identity: Identity { stream, ..replay().identity }, ..replay() });
    let (one, other) = (copy(1), copy(2));
    assert_ne!(view(&one[0]).sequence(), view(&other[0]).sequence());
    assert_ne!(view(&one[0]).timestamp(), view(&other[0]).timestamp());
}

#[test]
fn losses_of_the_recording_are_not_sent() {
    let mut recorded = unstamped("pcmu", 60);
    recorded.drain(20..30);
    let sent = all(&recorded, replay());
    let numbers: Vec<_> = sent.iter().map(|packet| view(packet).sequence()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
    assert_eq!(sent[20].0 - sent[19].0, 220_000_000, "the silence is");
}

#[test]
fn rounds_go_on_from_each_other() {
    let recorded = unstamped("pcmu", 50);
    let capture = capture(&recorded);
    let period = Some(capture.period());
    let mut sender = ReplaySender::new(Arc::clone(&capture.streams[0]), Replay { period, ..replay() });
    let sent = send(&mut sender, 175);
    for pair in sent.windows(2) {
        assert_eq!(pair[1].0 - pair[0].0, 20_000_000);
        assert_eq!(view(&pair[1]).timestamp().wrapping_sub(view(&pair[0]).timestamp()), 160);
        assert_eq!(view(&pair[1]).sequence(), view(&pair[0]).sequence().wrapping_add(1));
    }
    sender.stop_at(sender.next_due().unwrap());
    assert_eq!((sender.next_due(), sender.sent(START).packets), (None, 175));
}

#[test]
fn a_recording_of_no_length_does_not_begin_again_at_once() {
    let mut recorded = unstamped("pcmu", 10);
    recorded.iter_mut().for_each(|packet| packet.0 = 1_000);
    let capture = capture(&recorded);
    let replay = Replay { period: Some(Duration::ZERO), ..replay() };
    let sent = send(&mut ReplaySender::new(Arc::clone(&capture.streams[0]), replay), 25);
    assert_eq!((capture.period(), sent[24].0 - sent[0].0), (Duration::from_millis(1), 2_000_000));
}

#[test]
fn a_later_stream_of_a_capture_begins_later() {
    let mut frames: Vec<_> = unstamped("pcmu", 20).iter().map(|(at, octets)| (*at, there(octets))).collect();
    let later = unstamped("opus", 20).into_iter();
    frames.extend(later.map(|(at, octets)| (at + 350_000_000, ip("10.0.0.1:6000", "10.0.0.2:6002", &octets))));
    let capture = Capture::read(&pcap(RAW, &frames)).unwrap();
    let sender = ReplaySender::new(Arc::clone(&capture.streams[1]), replay());
    assert_eq!(sender.next_due(), Some(START.after(Duration::from_millis(350))));
    assert_eq!(capture.period(), Duration::from_millis(350 + 20 * 20));
}

#[test]
fn payloads_can_be_stamped() {
    let recorded = unstamped("opus:dtx=on", 200);
    let sent = all(&recorded, Replay { stamp: true, ..replay() });
    for (was, is) in recorded.iter().zip(&sent) {
        let payload = view(is).payload();
        assert_eq!(payload.len(), view(was).payload().len());
        match check(payload) {
            Ok(stamp) => assert_eq!((stamp.run, stamp.stream, stamp.due.as_ns()), (8, 3, is.0)),
            Err(_) => assert_eq!(payload, [0x55], "too short for a stamp"),
        }
    }
}

#[test]
fn recordings_of_a_generator_are_stamped_anew() {
    for profile in ["pcmu", "vp8", "h264"] {
        let recorded = packets(profile, 100);
        let sent = all(&recorded, replay());
        let prefixes = |packets: &[(u64, Vec<u8>)]| -> Vec<_> {
            let stamp = |packet| check(view(packet).payload()).ok();
            packets.iter().map(|packet| stamp(packet).map(|stamp| (stamp.run, stamp.prefix))).collect()
        };
        let was = prefixes(&recorded).into_iter().map(|stamp| stamp.map(|(_, prefix)| (8, prefix)));
        assert_eq!(prefixes(&sent), was.collect::<Vec<_>>(), "{profile}");
    }
}

#[test]
fn padding_and_header_extensions_are_kept() {
    let mut recorded = packets("opus:audio-level=1,mid=4", 20);
    for (_, octets) in &mut recorded {
        octets[0] |= 0x20;
        octets.extend([0, 0, 0, 4]);
    }
    let sent = all(&recorded, Replay { stamp: true, ..replay() });
    for (was, is) in recorded.iter().zip(&sent) {
        assert_eq!(view(is).extension(), view(was).extension());
        assert_eq!((&is.1[is.1.len() - 4..], is.1.len()), (&[0, 0, 0, 4][..], was.1.len()));
        assert!(check(view(is).payload()).is_ok());
    }
}

#[test]
fn a_sender_report_has_the_timestamp_of_its_time() {
    let capture = capture(&unstamped("pcmu", 20));
    let mut sender = ReplaySender::new(Arc::clone(&capture.streams[0]), replay());
    let sent = send(&mut sender, 10);
    let report = sender.sent(Instant::from_ns(sent[9].0 + 5_000_000));
    assert_eq!((report.packets, report.octets), (10, 1_600));
    assert_eq!(report.timestamp, view(&sent[9]).timestamp().wrapping_add(40));
    send(&mut sender, 20);
    let last = view(&sent[9]).timestamp().wrapping_add(10 * 160);
    assert_eq!(sender.sent(Instant::from_ns(sent[9].0 + 200_000_000)).timestamp, last);
}
