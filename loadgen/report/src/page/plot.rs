//! Plots as SVG that takes its colours from the page.
//!
//! plotters writes colours as numbers. The ones here stand for variables of the style sheet, and are replaced by them, so
//! that a plot is as dark or light as the page.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::RGBColor;

/// Width and height that a plot is drawn for. Small, so that its text can be read on a phone; SVG scales up.
const SIZE: (u32, u32) = (420, 220);
const FONT_PX: u32 = 17;

/// Values that span less than this factor are drawn on an even scale.
const DECADES_FROM: f64 = 20.0;

/// A colour of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Axes and their text.
    Text,
    /// Lines of the grid.
    Grid,
    /// What was sent.
    Sent,
    /// What was received.
    Received,
    /// What was lost.
    Lost,
    /// The middle of something.
    Middle,
    /// The far end of something.
    Far,
}

impl Ink {
    const ALL: [Self; 7] = [Self::Text, Self::Grid, Self::Sent, Self::Received, Self::Lost, Self::Middle, Self::Far];

    /// Name of the variable in the style sheet.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Text => "--soft",
            Self::Grid => "--grid",
            Self::Sent => "--sent",
            Self::Received => "--received",
            Self::Lost => "--lost",
            Self::Middle => "--middle",
            Self::Far => "--far",
        }
    }

    /// A colour that nothing else on the plot has.
    const fn stand_in(self) -> RGBColor {
        RGBColor(1, 2, self as u8)
    }
}

/// A line of a plot.
pub struct Line {
    /// What it shows.
    pub name: &'static str,
    /// Its colour.
    pub ink: Ink,
    /// Pixels.
    pub width: u32,
    /// Where it goes.
    pub points: Vec<(f64, f64)>,
}

/// A plot of lines.
pub struct Plot {
    /// Above the plot.
    pub title: &'static str,
    /// What it is, for who cannot see it.
    pub description: String,
    /// Text of a value on the axis below.
    pub x_label: fn(f64) -> String,
    /// Text of a value on the axis to the left.
    pub y_label: fn(f64) -> String,
    /// Where the axis below is labelled, unless anywhere.
    pub x_marks: Option<usize>,
    /// Lines are steps with the area below them filled.
    pub filled: bool,
    /// Values span decades: equal factors are equally far apart, if there are any decades.
    pub decades: bool,
    /// What is drawn, the first lowest.
    pub lines: Vec<Line>,
}

impl Plot {
    /// There is something to draw.
    pub fn has_points(&self) -> bool {
        self.lines.iter().any(|line| !line.points.is_empty())
    }

    /// Draws it. Points that are not numbers are left out.
    ///
    /// # Errors
    /// plotters could not, and says why.
    pub fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        self.draw(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area()).map_err(|error| error.to_string())?;
        for ink in Ink::ALL {
            let RGBColor(r, g, b) = ink.stand_in();
            svg = svg.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"var({})\"", ink.variable()));
        }
        // The page sizes it; a view box is all that it needs.
        let (width, height) = SIZE;
        let head = format!("<svg width=\"{width}\" height=\"{height}\" ");
        Ok(svg.replacen(&head, "<svg role=\"img\" ", 1).replace("sans-serif", "inherit"))
    }

    fn draw<'a, DB>(&self, area: &DrawingArea<DB, Shift>) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>>
    where
        DB: DrawingBackend + 'a,
    {
        let (x, y) = self.ranges();
        let decades = self.decades && y.end / self.least() > DECADES_FROM;
        let scale = |y: f64| if decades { y.log10() } else { y };
        let y = if decades { self.least().log10().floor()..y.end.log10() } else { y };
        let mut chart = ChartBuilder::on(area)
            .margin_top(8)
            .margin_right(26)
            .x_label_area_size(24)
            .y_label_area_size(52)
            .build_cartesian_2d(x, y)?;
        let font = |ink: Ink| ("sans-serif", FONT_PX).into_font().color(&ink.stand_in());
        let y_span = chart.as_coord_spec().get_y_range();
        let y_span = y_span.end - y_span.start;
        let (grid, nothing) = (Ink::Grid.stand_in(), TRANSPARENT);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .axis_style(grid)
            .bold_line_style(grid)
            .light_line_style(nothing)
            .x_labels(self.x_marks.unwrap_or(6))
            .y_labels(if decades { (y_span.ceil() as usize).clamp(2, 6) } else { 5 })
            .label_style(font(Ink::Text))
            .x_label_formatter(&|x| (self.x_label)(*x))
            .y_label_formatter(&|y| (self.y_label)(if decades { 10f64.powf(*y) } else { *y }))
            .draw()?;
        for line in &self.lines {
            let color = line.ink.stand_in();
            let points = || {
                let scaled = line.points.iter().map(|(x, y)| (*x, scale(*y)));
                scaled.filter(|(x, y)| x.is_finite() && y.is_finite())
            };
            if self.filled {
                chart.draw_series(AreaSeries::new(steps(points()), 0.0, color.mix(0.35)).border_style(color))?;
            } else {
                chart.draw_series(LineSeries::new(points(), color.stroke_width(line.width)))?;
            }
        }
        area.present()
    }

    /// The smallest value above zero.
    fn least(&self) -> f64 {
        let values = self.lines.iter().flat_map(|line| line.points.iter()).map(|(_, y)| *y);
        values.filter(|value| *value > 0.0).fold(f64::MAX, f64::min)
    }

    /// What the axes span: all points, from zero up, with room above.
    fn ranges(&self) -> (Range<f64>, Range<f64>) {
        let finite = |value: &f64| value.is_finite();
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let left = points().map(|(x, _)| *x).filter(finite).fold(f64::MAX, f64::min);
        let right = points().map(|(x, _)| *x).filter(finite).fold(f64::MIN, f64::max);
        let top = points().map(|(_, y)| *y).filter(finite).fold(0.0, f64::max);
        let x = if left < right { left..right } else { left.min(0.0)..left.clamp(0.0, f64::MAX / 2.0) + 1.0 };
        (x, 0.0..if top > 0.0 { top * 1.08 } else { 1.0 })
    }
}

/// Each point holds until the next.
fn steps(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (x, y) in points {
        if let Some(&(_, before)) = steps.last() {
            steps.push((x, before));
        }
        steps.push((x, y));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        let line = Line { name: "sent", ink: Ink::Sent, width: 2, points };
        let label = |value: f64| format!("{value}");
        let description = String::new();
        let lines = vec![line];
        Plot {
            title: "",
            description,
            x_label: label,
            y_label: label,
            x_marks: None,
            filled: false,
            decades: false,
            lines,
        }
    }

    #[test]
    fn colours_are_those_of_the_page() {
        let svg = plot(vec![(0.0, 1.0), (1.0, 2.0)]).svg().unwrap();
        assert!(svg.starts_with("<svg role=\"img\" viewBox=\"0 0 420 220\""), "{}", &svg[..80]);
        assert!(svg.contains("var(--sent)") && svg.contains("var(--soft)") && svg.contains("var(--grid)"));
        assert!(!svg.contains("\"#0102"), "{svg}");
    }

    #[test]
    fn whatever_the_points_there_is_a_plot() {
        let odd = [
            vec![],
            vec![(0.0, 0.0)],
            vec![(5.0, 3.0)],
            vec![(-2.0, 1.0)],
            vec![(f64::NAN, 1.0), (1.0, f64::INFINITY)],
            vec![(0.0, 1e300), (1e300, 0.0)],
            vec![(0.0, 1e-300), (1.0, 0.0)],
        ];
        for points in odd {
            for (filled, decades) in [(false, false), (true, false), (false, true)] {
                let plot = Plot { filled, decades, ..plot(points.clone()) };
                assert!(plot.svg().is_ok(), "{points:?}");
            }
        }
    }

    #[test]
    fn steps_hold_until_the_next() {
        let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)];
        assert_eq!(steps(points.into_iter()), [(0.0, 1.0), (1.0, 1.0), (1.0, 3.0), (2.0, 3.0), (2.0, 2.0)]);
    }
}
