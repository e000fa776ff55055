//! The plots of a page.

use raceway_loadgen_core::report::{CurvePoint, Point, Reference, Report, Spread};

use super::plot::{Ink, Line, Plot};
use crate::words::{count, ms, percent, rate};

/// All that there is something to draw for.
pub fn plots(report: &Report) -> Vec<Plot> {
    let all = [
        packets(report),
        losses(report),
        delays(report),
        curve(report),
        set_up(report),
        jitter(report),
        lateness(report),
    ];
    all.into_iter().filter(Plot::has_points).collect()
}

/// A value of each stretch, at its middle; nothing for those in which nothing came.
fn over_time(report: &Report, value: impl Fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
    report.series.iter().filter_map(|point| Some((point.at_s + point.length_s / 2.0, value(point)?))).collect()
}

fn a_second(packets: u64, point: &Point) -> f64 {
    packets as f64 / point.length_s.max(1e-9)
}

fn packets(report: &Report) -> Plot {
    let sent = over_time(report, |point| (report.summary.sent.packets != 0).then(|| a_second(point.sent, point)));
    let received = over_time(report, |point| Some(a_second(point.received, point)));
    Plot {
        title: "Packets a second",
        description: format!(
            "Packets a second over time: {} sent, {} received in the mean.",
            rate(report.summary.sent_pps),
            rate(report.summary.received_pps)
        ),
        x_label: seconds,
        y_label: short,
        x_marks: None,
        filled: false,
        decades: false,
        lines: vec![
            Line { name: "sent", ink: Ink::Sent, width: 5, points: sent },
            Line { name: "received", ink: Ink::Received, width: 2, points: received },
        ],
    }
}

fn losses(report: &Report) -> Plot {
    let share = |point: &Point| {
        let missing = point.missing.max(0) as u64;
        let whole = point.received + missing;
        Some(if whole == 0 { 0.0 } else { missing as f64 / whole as f64 * 100.0 })
    };
    // From the start of each stretch, and once more at the end of the last.
    let mut points: Vec<(f64, f64)> =
        report.series.iter().filter_map(|point| Some((point.at_s, share(point)?))).collect();
    if let (Some(last), Some(&(_, value))) = (report.series.last(), points.last()) {
        points.push((last.at_s + last.length_s, value));
    }
    Plot {
        title: "Packets missing, %",
        description: format!("Share of packets missing over time: {} in all.", percent(report.summary.loss_ratio)),
        x_label: seconds,
        y_label: small,
        x_marks: None,
        filled: true,
        decades: false,
        lines: vec![Line { name: "missing", ink: Ink::Lost, width: 2, points }],
    }
}

fn delays(report: &Report) -> Plot {
    let heard = |point: &Point| (point.received != 0 && report.summary.delay.count != 0).then_some(*point);
    let p50 = over_time(report, |point| heard(point).map(|point| point.p50_ms));
    let p99 = over_time(report, |point| heard(point).map(|point| point.p99_ms));
    Plot {
        title: match report.summary.delay_reference {
            Reference::Absolute => "Delay, ms",
            Reference::Relative => "Delay above the fastest, ms",
        },
        description: format!("Delay over time: p99 {} ms in all.", ms(report.summary.delay.p99_ms)),
        x_label: seconds,
        y_label: small,
        x_marks: None,
        filled: false,
        decades: true,
        lines: vec![
            Line { name: "p99", ink: Ink::Far, width: 2, points: p99 },
            Line { name: "p50", ink: Ink::Middle, width: 2, points: p50 },
        ],
    }
}

fn curve(report: &Report) -> Plot {
    by_percentile("Delay by percentile, ms", "Delay", report.summary.delay, &report.delay_curve)
}

fn set_up(report: &Report) -> Plot {
    let (set_up, curve) =
        report.call.as_ref().map_or((Spread::default(), &[][..]), |call| (call.set_up, &call.set_up_curve));
    by_percentile("Setting up a call by percentile, ms", "Time of setting up", set_up, curve)
}

/// Nines on the axis: 0 is none of those counted, 1 is 90 %, 2 is 99 %.
fn by_percentile(title: &'static str, what: &str, spread: Spread, curve: &[CurvePoint]) -> Plot {
    let whole = spread.count.max(1) as f64;
    // The last one of a thousand stands at three nines.
    let nines = |share: f64| -(1.0 - share).max(1.0 / whole).log10();
    let points = curve.iter().map(|point| (nines(point.share), point.delay_ms)).collect();
    Plot {
        title,
        description: format!(
            "{what} that a share does not exceed: median {} ms, p99 {} ms, largest {} ms.",
            ms(spread.p50_ms),
            ms(spread.p99_ms),
            ms(spread.max_ms)
        ),
        x_label: percentile,
        y_label: small,
        x_marks: Some(whole.log10() as usize + 1),
        filled: false,
        decades: true,
        lines: vec![Line { name: "time", ink: Ink::Far, width: 2, points }],
    }
}

fn jitter(report: &Report) -> Plot {
    let points = report.streams.jitter_curve_ms.iter().enumerate();
    let jitter = report.streams.jitter_ms.unwrap_or_default();
    Plot {
        title: "Jitter by stream, ms",
        description: format!(
            "Jitter that a share of streams does not exceed: {} ms in the mean, {} ms at most.",
            ms(jitter.mean),
            ms(jitter.max)
        ),
        x_label: |percent| format!("{percent:.0} %"),
        y_label: small,
        x_marks: Some(5),
        filled: false,
        decades: false,
        lines: vec![Line {
            name: "jitter",
            ink: Ink::Middle,
            width: 2,
            points: points.map(|(percent, jitter)| (percent as f64, *jitter)).collect(),
        }],
    }
}

fn lateness(report: &Report) -> Plot {
    let points = over_time(report, |point| (point.sent != 0).then_some(point.lateness_p99_ms));
    Plot {
        title: "Generator late, p99, ms",
        description: format!(
            "How late the generator itself was: p99 {} ms in all.",
            ms(report.validity.lateness.p99_ms)
        ),
        x_label: seconds,
        y_label: small,
        x_marks: None,
        filled: false,
        decades: false,
        lines: vec![Line { name: "late", ink: Ink::Received, width: 2, points }],
    }
}

fn seconds(seconds: f64) -> String {
    crate::words::time(seconds.round())
}

/// A number in few letters, for an axis.
fn short(number: f64) -> String {
    match number {
        _ if number >= 1e6 => format!("{} M", small(number / 1e6)),
        _ if number >= 1e3 => format!("{} k", small(number / 1e3)),
        _ => small(number),
    }
}

/// As many digits as it takes.
fn small(number: f64) -> String {
    let rounded = (number * 1e6).round() / 1e6;
    if rounded >= 1000.0 { count(rounded as u64) } else { rounded.to_string() }
}

fn percentile(nines: f64) -> String {
    let nines = nines.round();
    if nines <= 0.0 {
        return "0".to_owned();
    }
    let share = 100.0 - 100.0 / 10f64.powf(nines);
    format!("{share:.*}", (nines as usize).saturating_sub(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_percentiles() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 5.0].map(percentile), ["0", "90", "99", "99.9", "99.999"]);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!(
            [0.0, 0.05, 250.0, 1500.0, 25_000.0, 2.5e6].map(short),
            ["0", "0.05", "250", "1.5 k", "25 k", "2.5 M"]
        );
    }
}
