use raceway_loadgen_core::report::{Run, Streams, Summary, Totals, Validity};

use super::*;
use crate::sample;

#[test]
fn a_page_is_whole_and_fetches_nothing() {
    let page = page(&sample::with_everything()).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for outside in ["http://", "https://", "src=", "href=", "@import", "url(", "<script"] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(outside), "{outside}");
    }
    for tag in ["section", "div", "table", "figure", "svg", "dl", "main"] {
        let opened = page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn everything_that_a_run_has_is_on_the_page() {
    let page = page(&sample::with_everything()).unwrap();
    let plots = [
        "Packets a second",
        "Packets missing, %",
        "Delay, ms",
        "Delay by percentile, ms",
        "Setting up a call by percentile, ms",
        "Jitter by stream, ms",
    ];
    let tables = [
        "Expectations",
        "Worst streams",
        "TURN",
        "Calls",
        "Setting up calls, ms",
        "RTCP",
        "Where and how",
        "Allocation Quota Reached",
    ];
    let facts =
        ["Intel(R) Xeon(R) Processor, 2 cores", "2026-11-27 14:09:48 UTC", "raceway-loadgen 0.1.0", "Linux 6.1.0"];
    for text in plots.into_iter().chain(tables).chain(facts) {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(page.matches("<svg").count(), 7);
    assert_eq!(page.matches("<tr><td>pcmu ").count(), WORST_ROWS);
}

#[test]
fn what_a_run_has_not_is_not_on_the_page() {
    let empty =
        Report::of(Run::default(), Validity::default(), Summary::default(), &Totals::default(), Streams::default());
    let page = page(&empty).unwrap();
    for text in ["<svg", "Expectations", "Worst streams", "TURN", "RTCP", "Times, ms", "MOS", "jitter"] {
        assert!(!page.contains(text), "{text}");
    }
}

#[test]
fn what_others_said_does_not_become_markup() {
    let mut report = sample::with_everything();
    let bad = "<script>alert(1)</script>\"'&";
    report.turn.as_mut().unwrap().failures.insert(bad.to_owned(), 1);
    report.streams.rows[0].name = bad.to_owned();
    (report.run.command, report.run.what) = (bad.to_owned(), bad.to_owned());
    report.expectations.push(sample::outcome(bad, bad, false));
    let page = page(&report).unwrap();
    assert!(!page.contains("<script") && page.contains("&#60;script&#62;"));
}

#[test]
fn relative_delays_are_said_to_be_relative() {
    let mut report = sample::report();
    report.summary.delay_reference = Reference::Relative;
    let page = page(&report).unwrap();
    assert!(page.contains("Delay above the fastest, ms") && page.contains("clocks of sender and receiver differ"));
}

#[test]
fn the_verdict_is_the_first_word() {
    let mut report = sample::report();
    assert!(page(&report).unwrap().contains("<title>failed: 200 streams"));
    report.expectations.remove(0);
    assert!(page(&report).unwrap().contains("<title>passed: "));
    report.expectations.clear();
    assert!(page(&report).unwrap().contains("<title>done: "));
    (report.validity.valid, report.validity.why) = (false, "p99 of lateness 3 ms".to_owned());
    let page = page(&report).unwrap();
    assert!(page.contains("<title>invalid: ") && page.contains("the generator did not keep up: p99 of lateness 3 ms."));
}
