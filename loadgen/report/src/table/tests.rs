use raceway_loadgen_core::report::{Run, Streams, Summary, Totals, Validity};

use super::*;
use crate::sample;

fn lines(report: &Report) -> Vec<String> {
    table(report).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_table_has_what_the_report_has() {
    let report = sample::with_everything();
    let lines = lines(&report);
    let (lost, share) = (count(report.summary.lost), percent(report.summary.loss_ratio));
    let expected = [
        "200 streams of pcmu to 10.0.0.1:5000, 1 min",
        "packets a second RTP",
        "sent 600,000 10,000 13.8 Mbit/s",
        &format!("lost {lost} {share}"),
        "ms min mean p50 p90 p99 p99.9 p99.99 max",
        "allocate 0.400 1.00 0.900 1.80 3.00 4.10 4.10 4.10",
        "RTCP: 2,400 sent, 2,390 received; 2,390 reports: 12 lost, jitter 0.000 ms at most",
        "TURN: 205 clients, 200 allocations, 12 refreshes",
        "Allocate: 486 Allocation Quota Reached: 5",
        "set up 0.400 1.00 0.900 1.80 3.00 4.10 4.10 4.10",
        "Calls: 103 offered, 100 answered, 100 deleted; 2,000 set up a second",
        "the relay counted 600,000 packets of RTP, 0 of them not passed on",
        "offer: Ran out of ports: 3",
        &format!("loss<=0 NOT MET: {:.4} %", report.summary.loss_ratio * 100.0),
        "FAILED: 1 of 2 expectations not met",
    ];
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line}\n{}", lines.join("\n"));
    }
    assert!(table(&report).lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_last_line_is_the_verdict() {
    let mut report = sample::report();
    let last = |report: &Report| lines(report).pop().unwrap();
    assert_eq!(last(&report), "FAILED: 1 of 2 expectations not met");
    report.expectations.remove(0);
    assert_eq!(last(&report), "PASSED: 1 of 1 expectations met");
    report.expectations.clear();
    assert_eq!(last(&report), "DONE: the generator kept up, nothing was expected");
    (report.validity.valid, report.validity.why) = (false, "the socket refused 3 of 9 packets".to_owned());
    assert_eq!(last(&report), "INVALID: the generator did not keep up: the socket refused 3 of 9 packets");
}

#[test]
fn a_run_of_nothing_is_said_in_few_words() {
    let nothing =
        Report::of(Run::default(), Validity::default(), Summary::default(), &Totals::default(), Streams::default());
    let text = table(&nothing);
    assert!(text.contains("received") && !text.contains("sent ") && !text.contains("streams") && !text.contains("p99"));
}

#[test]
fn relative_delays_are_said_to_be_relative() {
    let mut report = sample::report();
    assert!(!table(&report).contains("Clocks of sender and receiver differ"));
    report.summary.delay_reference = Reference::Relative;
    assert!(table(&report).contains("Clocks of sender and receiver differ"));
}

#[test]
fn what_others_said_does_not_reach_the_terminals_control() {
    let mut report = sample::with_everything();
    let bad = "\x1b[2J\x07\r\nPASSED";
    report.turn.as_mut().unwrap().failures.insert(bad.to_owned(), 1);
    report.streams.rows[0].name = bad.to_owned();
    report.run.what = bad.to_owned();
    report.expectations.push(sample::outcome(bad, "1", false));
    let text = table(&report);
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'));
    assert!(!text.lines().any(|line| line.starts_with("PASSED")));
}

#[test]
fn a_second_is_one_line_with_what_there_is() {
    let second = Duration::from_secs(1);
    let mut interval = Interval::new();
    interval.received.missing = -3;
    assert_eq!(live(&interval, second), "received 0/s  missing 0");
    for _ in 0..2000 {
        interval.sent(172, Duration::from_micros(50));
    }
    let line = live(&interval, Duration::from_millis(500));
    assert!(line.starts_with("sent 4,000/s  received 0/s  missing 0  sent late by 0.050 ms"), "{line}");
}
