use super::*;

/// An RTP packet of PCMU, as its sender stamps it.
fn packet(sequence: u16, timestamp: u32, stamp: Option<Stamp>) -> Vec<u8> {
    let mut octets = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    octets[2..4].copy_from_slice(&sequence.to_be_bytes());
    octets[4..8].copy_from_slice(&timestamp.to_be_bytes());
    octets.resize(12 + 160, 0xd5);
    if let Some(stamp) = stamp {
        assert!(stamp::fill(&mut octets[12..], stamp));
    }
    octets
}

const LOCAL: Clock = Clock(5);

fn ms(ms: u64) -> Instant {
    Instant::from_ns(1_000_000_000 + ms * 1_000_000)
}

/// A receiver and a sender of 20 ms packets, whose numbers begin at 65530.
struct Line {
    receiver: Receiver,
    clock: Clock,
}

impl Line {
    fn new(clock: Clock) -> Self {
        Self { receiver: Receiver::new(Settings::new(8000, LOCAL)), clock }
    }

    fn stamp(&self, index: u64) -> Stamp {
        let number = 65_530 + index as u32;
        Stamp { run: 1, stream: 2, clock: self.clock, due: ms(index * 20), number, prefix: 0 }
    }

    fn octets(&self, index: u64, stamp: Option<Stamp>) -> Vec<u8> {
        packet(65_530u16.wrapping_add(index as u16), index as u32 * 160, stamp)
    }

    /// The packet of this index arrives so many ms after it was due.
    fn arrives(&mut self, index: u64, delay_ms: u64) -> Arrival {
        let octets = self.octets(index, Some(self.stamp(index)));
        self.receiver.handle(&RtpView::parse(&octets).unwrap(), ms(index * 20 + delay_ms))
    }

    fn takes(&mut self, octets: &[u8], at_ms: u64) -> Arrival {
        self.receiver.handle(&RtpView::parse(octets).unwrap(), ms(at_ms))
    }
}

#[test]
fn an_even_stream_has_only_its_delay() {
    let mut line = Line::new(LOCAL);
    for index in 0..200 {
        let arrival = line.arrives(index, 3);
        let variation_ns = (index > 0).then_some(0);
        let timing = Timing { delay_ns: 3_000_000, variation_ns, late: false, before_due: false };
        let place = Place::Newest { missing: 0 };
        let expected = Arrival { content: Content::Intact, place, octets: 172, timing: Some(timing), gap: false };
        assert_eq!(arrival, expected, "{index}");
    }
    assert_eq!(*line.receiver.received(), Received { packets: 200, octets: 34_400, ..Received::default() });
    assert_eq!((line.receiver.jitter().max(), line.receiver.longest_gap()), (0.0, Duration::ZERO));
    assert_eq!(line.receiver.stream(), Some(2));
}

#[test]
fn lost_late_twice_and_out_of_order_are_told_apart() {
    let mut line = Line::new(LOCAL);
    // 4 is lost, 7 comes after 9, 8 comes twice, 6 comes when it can no longer be played.
    let order = [(0, 1), (1, 1), (2, 1), (3, 1), (5, 1), (8, 1), (8, 2), (9, 1), (7, 45), (6, 90), (10, 25)];
    for (index, delay_ms) in order {
        line.arrives(index, delay_ms);
    }
    let received = *line.receiver.received();
    let expected = Received { packets: 10, octets: 1720, missing: 1, duplicated: 1, reordered: 2, late: 1, ..received };
    assert_eq!(received, expected);
    assert_eq!(line.receiver.reordered_by_max(), 3);
    assert_eq!(line.receiver.numbers().unwrap().sequence().losses(), Losses { packets: 1, runs: 1 });
}

#[test]
fn a_changed_octet_is_corruption_and_not_loss() {
    let mut line = Line::new(LOCAL);
    line.arrives(0, 1);
    let mut octets = line.octets(1, Some(line.stamp(1)));
    octets[60] ^= 4;
    let arrival = line.takes(&octets, 21);
    assert_eq!((arrival.content, arrival.timing), (Content::Corrupted, None));
    line.arrives(2, 1);
    let received = *line.receiver.received();
    assert_eq!((received.packets, received.corrupted, received.missing), (3, 1, 0));
}

#[test]
fn packets_of_another_run_or_stream_do_not_count() {
    let mut line = Line::new(LOCAL);
    line.receiver.settings.run = Some(1);
    for stamp in [Stamp { run: 7, ..line.stamp(0) }, line.stamp(0), Stamp { stream: 3, ..line.stamp(1) }] {
        let octets = line.octets(0, Some(stamp));
        line.takes(&octets, 1);
    }
    let received = *line.receiver.received();
    assert_eq!((received.packets, received.foreign, received.duplicated), (1, 2, 0));
}

#[test]
fn packets_without_a_stamp_are_counted_but_not_timed() {
    let mut line = Line::new(LOCAL);
    for index in [0, 1, 3] {
        let octets = line.octets(index, None);
        assert_eq!(line.takes(&octets, index * 20).timing, None);
    }
    let received = *line.receiver.received();
    assert_eq!((received.packets, received.unstamped, received.missing), (3, 3, 1));
    assert!(line.receiver.delays().is_none());
}

#[test]
fn delays_between_clocks_that_differ_count_from_the_fastest_packet() {
    let mut line = Line::new(Clock(77));
    let delays = [5, 9, 2, 4].into_iter().enumerate();
    let above: Vec<u64> =
        delays.map(|(i, ms)| line.arrives(i as u64, ms).timing.unwrap().delay_ns / 1_000_000).collect();
    assert_eq!(above, [0, 4, 0, 2]);
    let delays = line.receiver.delays().unwrap();
    assert!(delays.is_relative());
    assert_eq!(delays.range(), (2_000_000, 9_000_000));
}

#[test]
fn an_arrival_before_its_due_time_shows_that_clocks_disagree() {
    let mut line = Line::new(LOCAL);
    let octets = line.octets(5, Some(line.stamp(5)));
    let timing = line.takes(&octets, 90).timing.unwrap();
    assert_eq!((timing.delay_ns, timing.before_due), (0, true));
}

#[test]
fn a_silence_that_the_sender_meant_is_no_gap() {
    let mut line = Line::new(LOCAL);
    line.arrives(0, 1);
    // Discontinuous transmission: the next number, two seconds on.
    let stamp = Stamp { number: line.stamp(1).number, ..line.stamp(100) };
    let octets = packet(65_531, 16_000, Some(stamp));
    assert!(!line.takes(&octets, 2001).gap);
    assert_eq!(line.receiver.longest_gap(), Duration::ZERO);
}

#[test]
fn a_silence_over_missing_or_delayed_packets_is_a_gap() {
    let mut line = Line::new(LOCAL);
    line.arrives(0, 1);
    assert!(!line.arrives(5, 0).gap);
    assert!(line.arrives(11, 0).gap);
    assert!(line.arrives(12, 101).gap);
    assert_eq!(line.receiver.received().gaps, 2);
    assert_eq!(line.receiver.longest_gap(), Duration::from_millis(120));
}

#[test]
fn telephone_events_leave_the_jitter_alone() {
    let mut line = Line::new(LOCAL);
    line.receiver.settings.events = Some(101);
    for index in 0..10 {
        let mut octets = line.octets(index, None);
        if (3..7).contains(&index) {
            (octets[1], octets[6], octets[7]) = (101, 1, 0xe0);
        }
        line.takes(&octets, index * 20);
    }
    assert_eq!(line.receiver.jitter().max(), 0.0);
    assert_eq!(line.receiver.received().gaps, 0);
}

#[test]
fn an_outage_longer_than_all_sequence_numbers_is_lost_by_its_stamps() {
    let mut line = Line::new(LOCAL);
    line.arrives(0, 1);
    assert_eq!(line.arrives(150_000, 1).place, Place::Newest { missing: 149_999 });
}

#[test]
fn a_stray_disturbs_nothing() {
    let mut line = Line::new(LOCAL);
    for index in [0, 1] {
        let octets = line.octets(index, None);
        line.takes(&octets, index * 20);
    }
    let far = packet(20_000, 5_000_000, None);
    assert_eq!(line.takes(&far, 900).place, Place::Stray);
    let octets = line.octets(2, None);
    line.takes(&octets, 40);
    let received = *line.receiver.received();
    assert_eq!((received.packets, received.stray, received.unstamped, received.gaps), (3, 1, 3, 0));
    assert_eq!(line.receiver.jitter().max(), 0.0);
}

#[test]
fn a_damaged_timestamp_does_not_become_jitter() {
    let mut line = Line::new(LOCAL);
    line.arrives(0, 1);
    let mut octets = line.octets(1, Some(line.stamp(1)));
    (octets[4], octets[60]) = (0x55, !octets[60]);
    line.takes(&octets, 21);
    line.arrives(2, 1);
    assert_eq!((line.receiver.received().corrupted, line.receiver.jitter().max()), (1, 0.0));
}

#[test]
fn a_duplicate_is_not_timed_and_breaks_no_silence() {
    let mut line = Line::new(LOCAL);
    line.arrives(0, 10);
    assert_eq!(line.arrives(0, 110).timing, None);
    assert_eq!(line.receiver.delays().unwrap().range(), (10_000_000, 10_000_000));
    // Silent since 10 ms; 1 to 9 are missing.
    assert!(line.arrives(10, 0).gap);
    assert_eq!(line.receiver.longest_gap(), Duration::from_millis(190));
}

#[test]
fn variation_is_between_packets_that_follow_each_other() {
    let mut line = Line::new(LOCAL);
    let variation = |line: &mut Line, index, delay_ms| line.arrives(index, delay_ms).timing.unwrap().variation_ns;
    assert_eq!(variation(&mut line, 0, 5), None);
    assert_eq!(variation(&mut line, 1, 9), Some(4_000_000));
    // 2 is lost, 4 overtakes 3.
    assert_eq!(variation(&mut line, 4, 2), None);
    assert_eq!(variation(&mut line, 3, 30), None);
    assert_eq!(variation(&mut line, 5, 5), Some(3_000_000));
    assert_eq!(line.receiver.variation(), (Duration::from_micros(3500), Duration::from_millis(4)));
}

#[test]
fn clocks_that_differ_say_nothing_of_due_times() {
    let mut line = Line::new(Clock(77));
    let octets = line.octets(5, Some(line.stamp(5)));
    assert!(!line.takes(&octets, 90).timing.unwrap().before_due);
}

#[test]
fn a_first_stamp_is_not_newer_than_what_had_none() {
    let mut line = Line::new(LOCAL);
    let octets = line.octets(5, None);
    line.takes(&octets, 100);
    assert_eq!(line.arrives(3, 50).place, Place::Earlier { missing: 1, behind: 2 });
}

#[test]
fn a_forwarder_that_numbers_packets_anew_damages_nothing() {
    let mut line = Line::new(LOCAL);
    // It takes every third packet out and closes the gaps.
    for (rtp, index) in (7_u16..).zip((0..300).filter(|index| index % 3 != 2)) {
        let octets = packet(rtp, index * 160, Some(line.stamp(index.into())));
        line.takes(&octets, u64::from(index) * 20 + 1);
    }
    let received = *line.receiver.received();
    assert_eq!((received.packets, received.missing, received.corrupted, received.stray), (200, 99, 0, 0));
    // What it gets to hear is that nothing was lost.
    let reception = crate::rtcp::Reception::of(9, &line.receiver).unwrap();
    assert_eq!((reception.expected, reception.received, reception.extended_highest), (200, 200, 206));
}

#[test]
fn a_forwarder_may_exchange_streams_where_that_is_expected() {
    for switches in [false, true] {
        let mut line = Line::new(LOCAL);
        line.receiver.settings.switches = switches;
        for index in 0..20_u64 {
            let stream = if index < 10 { 2 } else { 3 };
            let stamp = Stamp { stream, number: stream * 1_000 + index as u32, ..line.stamp(index) };
            let octets = packet(50 + index as u16, index as u32 * 160, Some(stamp));
            line.takes(&octets, index * 20 + 1);
        }
        let received = *line.receiver.received();
        let counts = (received.packets, received.foreign, received.missing, received.corrupted, received.stray);
        assert_eq!(counts, if switches { (20, 0, 0, 0, 0) } else { (10, 10, 0, 0, 0) });
        let stranger = Stamp { run: 9, ..line.stamp(20) };
        line.takes(&packet(70, 3_200, Some(stranger)), 401);
        assert_eq!(line.receiver.received().foreign, received.foreign + 1, "another run is never the same");
    }
}
