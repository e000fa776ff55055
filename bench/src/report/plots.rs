//! Plots, as SVG.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::rates::{Key, Rates};
use super::sections::added;
use crate::record::{Outcome, Record};
use crate::scenario::delay::SHARES;
use crate::scenario::rate::{FLOWS, GROWING};
use crate::stand::frames::Load;
use crate::subject::Subject;

const SIZE: (u32, u32) = (760, 420);
/// Told apart also by those who see few colours (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(120, 120, 120),
];

/// A line of a plot.
struct Series {
    title: String,
    points: Vec<(f64, f64)>,
}

/// Draws what there are records for into a directory.
pub fn draw(records: &[Record], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let rates = Rates::of(records);
    let series = [("flows.svg", flows(&rates)), ("delay.svg", delays(records))];
    for (name, series) in series {
        if series.is_empty() {
            continue;
        }
        let path = directory.join(name);
        let drawn = if name == "flows.svg" { draw_flows(&path, &series) } else { draw_delays(&path, &series) };
        drawn.map_err(|error| anyhow!("{}: {error}", path.display()))?;
    }
    Ok(())
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// CPU time of a packet, by flows.
fn flows(rates: &Rates) -> Vec<Series> {
    let mut counts = GROWING.to_vec();
    counts.push(FLOWS);
    counts.sort_unstable();
    let grown = |key: &Key| key.load == Load::calls(GROWING[0]) && key.variant.is_empty();
    let series = rates.all(grown).map(|(key, _)| {
        let cost = |flows: u32| rates.find(&Key { load: Load::calls(flows), ..key.clone() })?.cost();
        let points = counts.iter().filter_map(|flows| Some((f64::from(*flows), cost(*flows)? / 1e3)));
        Series { title: plain(key.subject), points: points.collect() }
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
        let Outcome::Delay { subject, share, with, without, .. } = &record.outcome else { return None };
        let points = with.delays.points.iter().filter(|(quantile, _)| (0.1..0.99995).contains(quantile));
        let points = points.filter_map(|(quantile, _)| {
            let added = added(&with.delays, &without.delays, *quantile)?;
            Some((1.0 / (1.0 - quantile), added.max(0.1)))
        });
        (*share == SHARES[1]).then(|| Series { title: plain(*subject), points: points.collect() })
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
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(x, y)?;
    chart.configure_mesh().x_desc(axes.0).y_desc(axes.1).light_line_style(WHITE).draw()?;
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(series.points.iter().copied(), style).point_size(3))?
            .label(&series.title)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    root.present()?;
    Ok(())
}

/// A title without Markdown.
fn plain(subject: Subject) -> String {
    subject.title().replace('*', "")
}
