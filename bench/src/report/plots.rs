//! Plots, as SVG.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::rates::{Key, Rates, Split};
use super::service::added;
use super::table::whole;
use crate::record::{Outcome, Record};
use crate::scenario::delay::SHARES;
use crate::scenario::rate::{FLOWS, GROWING};
use crate::stand::frames::Load;
use crate::subject::Subject;

const SIZE: (u32, u32) = (860, 420);
/// Width of the names beside a plot.
const LEGEND: u32 = 240;
/// Added delays below this are drawn as this, microseconds: they are differences of two measurements.
const LEAST_US: f64 = 1.0;
/// Of the kinds of CPU time.
const KINDS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(150, 150, 150)];

/// A line of a plot.
struct Series {
    subject: Subject,
    points: Vec<(f64, f64)>,
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws what there are records for into a directory.
pub fn draw(records: &[Record], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let rates = Rates::of(records);
    let (costs, flows, delays) = (costs(&rates), flows(&rates), delays(records));
    let at = |name: &str| directory.join(name);
    let drawn = [
        (!costs.is_empty()).then(|| draw_costs(&at("cost.svg"), &costs)),
        (!flows.is_empty()).then(|| draw_flows(&at("flows.svg"), &flows)),
        (!delays.is_empty()).then(|| draw_delays(&at("delay.svg"), &delays)),
    ];
    drawn.into_iter().flatten().try_for_each(|drawn| drawn.map_err(|error| anyhow!("a plot: {error}")))
}

/// CPU time of a packet towards peers by kind, for what relays.
fn costs(rates: &Rates) -> Vec<(String, Split)> {
    let usual = |key: &Key| *key == Key::usual(key.subject) && key.subject != Subject::Drop;
    rates.all(usual).filter_map(|(key, found)| Some((plain(key.subject), found.split()?))).collect()
}

fn draw_costs(path: &Path, costs: &[(String, Split)]) -> Drawn {
    const LEFT: i32 = 250;
    const ROW: i32 = 26;
    let most = costs.iter().map(|(_, split)| split.together()).fold(1.0, f64::max);
    let scale = f64::from(SIZE.0 as i32 - LEFT - 80) / most;
    let size = (SIZE.0, 70 + ROW as u32 * costs.len() as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new("CPU time of a packet, us", (LEFT, 10), ("sans-serif", 18)))?;
    let names = costs.first().map(|(_, split)| split.parts()).into_iter().flatten();
    for ((name, _), (n, colour)) in names.zip((0..).zip(KINDS)) {
        let x = LEFT + n * 120;
        root.draw(&Rectangle::new([(x, 38), (x + 14, 50)], colour.filled()))?;
        root.draw(&Text::new(name, (x + 20, 37), ("sans-serif", 14)))?;
    }
    for ((title, split), row) in costs.iter().zip(0..) {
        let y = 60 + row * ROW;
        root.draw(&Text::new(title.as_str(), (8, y + 4), ("sans-serif", 14)))?;
        let mut x = 0.0;
        for ((_, ns), colour) in split.parts().into_iter().zip(KINDS) {
            let end = x + ns * scale;
            root.draw(&Rectangle::new([(LEFT + x as i32, y), (LEFT + end as i32, y + ROW - 8)], colour.filled()))?;
            x = end;
        }
        let text = format!("{:.2}", split.together() / 1e3);
        root.draw(&Text::new(text, (LEFT + x as i32 + 6, y + 4), ("sans-serif", 14)))?;
    }
    root.present()?;
    Ok(())
}

/// CPU time of a packet, by flows.
fn flows(rates: &Rates) -> Vec<Series> {
    let mut counts = GROWING.to_vec();
    counts.push(FLOWS);
    counts.sort_unstable();
    let grown = |key: &Key| key.load == Load::calls(GROWING[0]) && key.variant.is_empty();
    let series = rates.all(grown).map(|(key, _)| {
        let cost = |flows: u32| rates.find(&Key { load: Load::calls(flows), ..key.clone() })?.cost();
        let points = counts.iter().filter_map(|flows| Some((f64::from(*flows), cost(*flows)? / 1e3)));
        Series { subject: key.subject, points: points.collect() }
    });
    series.collect()
}

fn draw_flows(path: &Path, series: &[Series]) -> Drawn {
    let x = (1.0..GROWING[2].into()).log_scale();
    plot(path, "CPU time of a packet", ("flows", "us"), x, y_of(series).log_scale(), series)
}

/// Percentiles of the added delay at the higher share, by how rare they are.
fn delays(records: &[Record]) -> Vec<Series> {
    let series = records.iter().filter_map(|record| {
        let Outcome::Delay { subject, variant, share, with, without, .. } = &record.outcome else { return None };
        let points = with.delays.points.iter().filter(|(quantile, _)| (0.1..0.99995).contains(quantile));
        let points = points.filter_map(|(quantile, _)| {
            let added = added(&with.delays, &without.delays, *quantile)?;
            Some((1.0 / (1.0 - quantile), added.max(LEAST_US)))
        });
        (*share == SHARES[1] && variant.is_empty()).then(|| Series { subject: *subject, points: points.collect() })
    });
    series.collect()
}

fn draw_delays(path: &Path, series: &[Series]) -> Drawn {
    let x = (1.0..10_000.0).log_scale();
    plot(path, "Added delay", ("one packet in so many is later", "us"), x, y_of(series).log_scale(), series)
}

/// From a power of ten below all points to one above.
fn y_of(series: &[Series]) -> std::ops::Range<f64> {
    let values = || series.iter().flat_map(|series| series.points.iter().map(|(_, y)| *y));
    let least = values().fold(f64::INFINITY, f64::min).log10().floor();
    let most = values().fold(f64::NEG_INFINITY, f64::max).log10().ceil();
    10f64.powf(least)..10f64.powf(most)
}

fn plot<X, Y>(path: &Path, title: &str, axes: (&str, &str), x: X, y: Y, series: &[Series]) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (plot, legend) = root.split_horizontally(SIZE.0 - LEGEND);
    let mut chart = ChartBuilder::on(&plot)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(x, y)?;
    let label = |value: &f64| if *value < 1.0 { format!("{value}") } else { whole(Some(*value)) };
    chart
        .configure_mesh()
        .x_desc(axes.0)
        .y_desc(axes.1)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .label_style(("sans-serif", 13))
        .light_line_style(WHITE)
        .draw()?;
    for (n, Series { subject, points }) in (0..).zip(series) {
        let style = colour(*subject).stroke_width(2);
        chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?;
        let y = 60 + n * 24;
        legend.draw(&PathElement::new([(0, y), (20, y)], style))?;
        legend.draw(&Text::new(plain(*subject), (26, y - 7), ("sans-serif", 13)))?;
    }
    root.present()?;
    Ok(())
}

/// The same in every plot; told apart also by those who see few colours (Okabe and Ito).
const fn colour(subject: Subject) -> RGBColor {
    match subject {
        Subject::Coturn => RGBColor(213, 94, 0),
        Subject::Rtpengine => RGBColor(230, 159, 0),
        Subject::Mmsg | Subject::MmsgGso => RGBColor(204, 121, 167),
        Subject::Uring | Subject::UringGso | Subject::UringSrtp => RGBColor(86, 180, 233),
        Subject::RacewayWorkers | Subject::CallsWorkers => RGBColor(0, 158, 115),
        Subject::RacewayXdp | Subject::CallsXdp => RGBColor(0, 114, 178),
        Subject::Drop | Subject::Reflect | Subject::Lookup | Subject::LookupRedirect => RGBColor(90, 90, 90),
    }
}

/// A title without Markdown.
fn plain(subject: Subject) -> String {
    subject.title().replace('*', "")
}
