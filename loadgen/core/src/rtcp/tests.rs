use raceway_units::Instant;
use rtcp_types::{Compound, Fir, Nack, Packet, PayloadFeedback, Pli, RtcpPacketWriterExt, TransportFeedback};

use super::*;
use crate::limits::{REPORT_MAX, SOURCES_MAX};

const START: Instant = Instant::from_ns(77_000_000_000);
const OURS: u32 = 0x0a0b_0c0d;
const THEIRS: u32 = 0x0102_0304;

fn settings(ssrc: u32) -> Settings {
    let clock = NtpClock::new(Duration::from_millis(1_800_000_000_250), START);
    Settings { ssrc, cname: 0xabcd, bandwidth: 430.0, minimum: MINIMUM, clock }
}

fn participant(ssrc: u32) -> Participant {
    Participant::new(settings(ssrc), START, 3)
}

fn at(ms: u64) -> Instant {
    START.after(Duration::from_millis(ms))
}

fn sent(packets: u64) -> Option<Sent> {
    Some(Sent { packets, octets: packets * 160, timestamp: 4_711 })
}

/// The report that comes next, and when.
fn report(participant: &mut Participant, sent: Option<Sent>, receptions: &[Reception]) -> (Instant, Vec<u8>) {
    let mut out = [0xee; REPORT_MAX];
    loop {
        let now = participant.poll_timeout();
        if let Some(length) = participant.poll_report(now, sent, receptions, &mut out) {
            return (now, out[..length].to_vec());
        }
    }
}

fn packets(datagram: &[u8]) -> Vec<Packet<'_>> {
    Compound::parse(datagram).unwrap().map(Result::unwrap).collect()
}

fn write(packet: &impl RtcpPacketWriterExt) -> Vec<u8> {
    let mut out = vec![0; 1_000];
    let length = packet.write_into(&mut out).unwrap();
    out.truncate(length);
    out
}

#[test]
fn a_sender_reports_what_it_sent_and_its_name() {
    let (now, datagram) = report(&mut participant(OURS), sent(50), &[]);
    let packets = packets(&datagram);
    let [Packet::Sr(report), Packet::Sdes(names)] = &packets[..] else { panic!("{packets:?}") };
    assert_eq!((report.ssrc(), report.packet_count(), report.octet_count()), (OURS, 50, 8_000));
    assert_eq!((report.rtp_timestamp(), report.ntp_timestamp()), (4_711, settings(OURS).clock.timestamp(now)));
    let chunk = names.chunks().next().unwrap();
    let item = chunk.items().next().unwrap();
    assert_eq!((chunk.ssrc(), item.type_(), item.value()), (OURS, 1, &b"000000000000abcd"[..]));
}

#[test]
fn one_that_sends_nothing_any_more_reports_as_a_receiver() {
    let mut participant = participant(OURS);
    let kinds: Vec<_> = [10, 20, 20, 20, 30]
        .into_iter()
        .map(|packets_sent| {
            let (_, datagram) = report(&mut participant, sent(packets_sent), &[]);
            matches!(packets(&datagram)[0], Packet::Sr(_))
        })
        .collect();
    assert_eq!(kinds, [true, true, true, false, true]);
    let (_, datagram) = report(&mut participant, None, &[]);
    assert!(matches!(packets(&datagram)[0], Packet::Rr(_)));
}

#[test]
fn reports_come_about_every_five_seconds_and_the_first_sooner() {
    let mut sum = 0.0;
    for seed in 0..200 {
        let mut participant = Participant::new(settings(OURS), START, seed);
        let (first, _) = report(&mut participant, sent(1), &[]);
        assert!((1_026..3_079).contains(&first.since(START).as_millis()), "{:?}", first.since(START));
        let (second, _) = report(&mut participant, sent(2), &[]);
        assert!((2_052..6_157).contains(&second.since(first).as_millis()));
        sum += second.since(first).as_secs_f64();
    }
    // Reconsideration makes of 4.1 s the 5 s that are meant.
    assert!((sum / 200.0 - 4.5).abs() < 0.6, "{}", sum / 200.0);
}

#[test]
fn a_report_that_is_not_due_is_not_written() {
    let mut participant = participant(OURS);
    let mut out = [0; REPORT_MAX];
    assert_eq!(participant.poll_report(at(1_000), sent(1), &[], &mut out), None);
    assert_eq!(participant.figures().sent, 0);
}

#[test]
fn reports_wait_when_many_have_joined_and_come_sooner_when_they_leave() {
    let mut participant = Participant::new(Settings { bandwidth: 20.0, ..settings(OURS) }, START, 3);
    report(&mut participant, None, &[]);
    let planned = participant.poll_timeout();
    let mut others: Vec<_> = (0..30).map(|ssrc| Participant::new(settings(ssrc), START, 3)).collect();
    for other in &mut others {
        let (_, datagram) = report(other, None, &[]);
        participant.handle(&datagram, planned).unwrap();
    }
    let mut out = [0; REPORT_MAX];
    assert_eq!(participant.poll_report(planned, None, &[], &mut out), None, "reconsidered");
    let later = participant.poll_timeout();
    assert!(later.since(planned) > Duration::from_secs(40), "{:?}", later.since(planned));
    for other in &mut others {
        let length = other.write_goodbye(planned, None, &[], &mut out);
        participant.handle(&out[..length], planned).unwrap();
    }
    assert_eq!((participant.sources(), participant.figures().goodbyes), (0, 30));
    assert!(participant.poll_timeout().since(planned) < Duration::from_secs(10));
}

#[test]
fn a_receiver_tells_what_it_missed_and_the_sender_reads_it() {
    let (mut sender, mut receiver) = (participant(OURS), participant(THEIRS));
    let mut of = Reception { ssrc: OURS, expected: 100, received: 75, extended_highest: 0x1_0064, jitter: 80 };
    let mut tell = |of: &Reception| {
        let (now, datagram) = report(&mut receiver, None, &[*of]);
        sender.handle(&datagram, now).unwrap();
        let Figures { reports, fraction_lost, cumulative_lost, jitter, .. } = *sender.figures();
        (reports, fraction_lost, cumulative_lost, jitter)
    };
    assert_eq!(tell(&of), (1, 64, 25, 80));
    (of.expected, of.received) = (200, 175);
    assert_eq!(tell(&of), (2, 0, 25, 80), "nothing lost since the last report");
    (of.expected, of.received) = (200, 205);
    assert_eq!(tell(&of), (3, 0, -5, 80), "late ones came");
    (of.expected, of.received) = (20_000_000, 205);
    assert_eq!(tell(&of), (4, 255, 0x7f_ffff, 80), "as much as there is room for");
}

#[test]
fn a_round_trip_is_the_time_without_that_at_the_other_side() {
    let (mut sender, mut receiver) = (participant(OURS), participant(THEIRS));
    let (sent_at, datagram) = report(&mut sender, sent(50), &[]);
    let arrived = sent_at.after(Duration::from_millis(10));
    assert_eq!(receiver.handle(&datagram, arrived), Ok(Heard::default()));
    let of = Reception { ssrc: OURS, expected: 50, received: 50, ..Reception::default() };
    let mut out = [0; REPORT_MAX];
    let answered = arrived.after(Duration::from_millis(7_777));
    let length = receiver.write_goodbye(answered, None, &[of], &mut out);
    let heard = sender.handle(&out[..length], answered.after(Duration::from_millis(15))).unwrap();
    let round_trip = heard.round_trip.unwrap();
    assert!(round_trip.abs_diff(Duration::from_millis(25)) < Duration::from_micros(50), "{round_trip:?}");
    assert_eq!(sender.figures().round_trip, heard.round_trip);
}

#[test]
fn a_report_about_no_report_has_no_round_trip() {
    // A second after the middle of the timestamp was zero, as it is every 18 hours.
    let clock = NtpClock::new(Duration::from_secs(1_799_979_392 - 1), START);
    assert_eq!(clock.middle(at(1_000)), 0);
    let mut sender = Participant::new(Settings { clock, ..settings(OURS) }, START, 3);
    let (_, datagram) = report(&mut participant(THEIRS), None, &[Reception { ssrc: OURS, ..Reception::default() }]);
    assert_eq!(sender.handle(&datagram, at(2_000)).unwrap().round_trip, None);
    assert_eq!(sender.figures().reports, 1);
}

#[test]
fn reports_about_others_are_not_ours() {
    let (mut sender, mut receiver) = (participant(OURS), participant(THEIRS));
    let (now, datagram) = report(&mut receiver, None, &[Reception { ssrc: OURS + 1, ..Reception::default() }]);
    sender.handle(&datagram, now).unwrap();
    assert_eq!(sender.figures().reports, 0);
}

#[test]
fn key_frames_are_asked_for_by_pli_and_fir_of_our_stream() {
    let (pli, fir) = (Pli::builder(), Fir::builder().add_ssrc(OURS, 1));
    let asks = [
        (write(&PayloadFeedback::builder(&pli).sender_ssrc(THEIRS).media_ssrc(OURS)), true),
        (write(&PayloadFeedback::builder(&pli).sender_ssrc(THEIRS).media_ssrc(OURS + 1)), false),
        (write(&PayloadFeedback::builder(&fir).sender_ssrc(THEIRS)), true),
        (write(&PayloadFeedback::builder(&Fir::builder().add_ssrc(OURS + 1, 1)).sender_ssrc(THEIRS)), false),
    ];
    let mut participant = participant(OURS);
    for (datagram, key_frame) in asks {
        assert_eq!(participant.handle(&datagram, at(0)), Ok(Heard { key_frame, round_trip: None }));
    }
    assert_eq!(participant.figures().key_frame_requests, 2);
}

#[test]
fn packets_asked_for_again_are_counted() {
    let nack = [7, 8, 300].into_iter().fold(Nack::builder(), |nack, number| nack.add_rtp_sequence(number));
    let mut participant = participant(OURS);
    for ssrc in [OURS, OURS + 1] {
        let datagram = write(&TransportFeedback::builder(&nack).sender_ssrc(THEIRS).media_ssrc(ssrc));
        participant.handle(&datagram, at(0)).unwrap();
    }
    assert_eq!(participant.figures().retransmission_requests, 3);
}

#[test]
fn what_is_no_rtcp_changes_nothing_but_a_count() {
    let mut participant = participant(OURS);
    let (now, datagram) = report(&mut self::participant(THEIRS), None, &[]);
    let mut cut = datagram.clone();
    cut.truncate(datagram.len() - 4);
    for wrong in [&[][..], &[0x80; 3], &[0x40, 201, 0, 1, 0, 0, 0, 1], &cut] {
        assert_eq!(participant.handle(wrong, now), Err(Malformed), "{wrong:x?}");
    }
    assert_eq!(*participant.figures(), Figures { received: 4, malformed: 4, ..Figures::default() });
    assert_eq!(participant.sources(), 0);
}

#[test]
fn what_comes_back_to_its_sender_is_no_other_source() {
    let mut participant = participant(OURS);
    let (now, datagram) = report(&mut participant, sent(1), &[]);
    participant.handle(&datagram, now).unwrap();
    assert_eq!(participant.sources(), 0);
}

#[test]
fn large_reports_of_others_count_as_bandwidth() {
    let next = |block: usize| {
        let mut participant = Participant::new(Settings { bandwidth: 20.0, ..settings(OURS) }, START, 3);
        let receptions: Vec<_> = (0..block as u32).map(|ssrc| Reception { ssrc, ..Reception::default() }).collect();
        let (now, datagram) = report(&mut self::participant(THEIRS), None, &receptions);
        (0..50).for_each(|_| assert!(participant.handle(&datagram, now).is_ok()));
        report(&mut participant, None, &[]).0
    };
    assert!(next(31).since(START) > 4 * next(0).since(START));
}

#[test]
fn as_many_sources_are_known_as_fit_into_a_report() {
    let mut participant = participant(OURS);
    let receptions: Vec<_> = (0..50).map(|ssrc| Reception { ssrc, ..Reception::default() }).collect();
    let mut out = [0; REPORT_MAX];
    let length = participant.write_goodbye(at(0), sent(1), &receptions, &mut out);
    assert_eq!((participant.sources(), length), (SOURCES_MAX, REPORT_MAX));
    assert_eq!(packets(&out[..length]).len(), 3);
    let mut crowd = self::participant(OURS);
    for ssrc in 0..50 {
        let (now, datagram) = report(&mut self::participant(ssrc), None, &[]);
        crowd.handle(&datagram, now).unwrap();
    }
    assert_eq!(crowd.sources(), SOURCES_MAX);
}
