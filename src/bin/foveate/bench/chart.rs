//! Time against length as an SVG: both axes logarithmic, one line per method.

use foveate::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::report::Report;

const SIZE: (u32, u32) = (900, 600);

/// Colours that stay apart for colour-blind readers (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Length and gap of dashes, in pixels; without a gap a whole line.
const DASHES: [(i32, i32); 3] = [(8, 0), (10, 5), (2, 4)];

/// What marks points. With the dashes there are twelve ways to draw a line, more than methods, and each is known without its colour.
#[derive(Clone, Copy)]
enum Marker {
    Circle,
    Triangle,
    Cross,
    Square,
}

const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Triangle, Marker::Cross, Marker::Square];

/// Half the width of a marker, in pixels.
const RADIUS: i32 = 4;

/// A method's lengths and milliseconds.
type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// The timed rows of `report` as a chart. Fails when the drawing does.
pub(super) fn svg(report: &Report) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw_on(&area, report)
            .and_then(|()| area.present())
            .map_err(|error| Error::new(ErrorKind::Io, "bench", "--plot").but_found(error))?;
    }
    Ok(text)
}

fn draw_on<'a>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    report: &Report,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let lines = lines(report);
    area.fill(&WHITE)?;
    let (lengths, times) = (span(&lines, |point| point.0), span(&lines, |point| point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(format!("Attention on {}, {}", report.device.name, report.dtype), ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((lengths.0..lengths.1).log_scale().base(2.0), (times.0..times.1).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("tokens")
        .y_desc("milliseconds")
        .x_label_formatter(&|length| format!("{length:.0}"))
        .y_label_formatter(&|time| time.to_string())
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 17))
        .light_line_style(RGBColor(235, 235, 235))
        .draw()?;
    for (index, (method, points)) in lines.into_iter().enumerate() {
        let stroke = COLOURS[index % COLOURS.len()].stroke_width(2);
        let marker = MARKERS[index % MARKERS.len()];
        let (dash, gap) = DASHES[index / MARKERS.len() % DASHES.len()];
        let at = || points.iter().copied();
        match marker {
            Marker::Circle => chart.draw_series(at().map(|point| Circle::new(point, RADIUS, stroke)))?,
            Marker::Triangle => {
                chart.draw_series(at().map(|point| TriangleMarker::new(point, RADIUS + 1, stroke)))?
            }
            Marker::Cross => chart.draw_series(at().map(|point| Cross::new(point, RADIUS, stroke)))?,
            Marker::Square => {
                chart.draw_series(at().map(|point| EmptyElement::at(point) + square((0, 0), stroke)))?
            }
        };
        let drawn = chart.draw_series(DashedLineSeries::new(points, dash, gap, stroke))?.label(method);
        // Relative to where the legend has it.
        let line = move || DashedPathElement::new([(0, 0), (30, 0)], dash, gap, stroke);
        match marker {
            Marker::Circle => {
                drawn.legend(move |at| EmptyElement::at(at) + line() + Circle::new((15, 0), RADIUS, stroke))
            }
            Marker::Triangle => drawn.legend(move |at| {
                EmptyElement::at(at) + line() + TriangleMarker::new((15, 0), RADIUS + 1, stroke)
            }),
            Marker::Cross => {
                drawn.legend(move |at| EmptyElement::at(at) + line() + Cross::new((15, 0), RADIUS, stroke))
            }
            Marker::Square => drawn.legend(move |at| EmptyElement::at(at) + line() + square((15, 0), stroke)),
        };
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}

fn square((x, y): (i32, i32), stroke: ShapeStyle) -> Rectangle<(i32, i32)> {
    Rectangle::new([(x - RADIUS, y - RADIUS), (x + RADIUS, y + RADIUS)], stroke)
}

/// The timed rows by method, in the order of the report. A time of zero, from a clock too coarse to see the run, has no place on
/// a logarithmic axis.
fn lines(report: &Report) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in &report.rows {
        let Some(point) = row.point().filter(|&(_, time)| time > 0.0) else { continue };
        match lines.iter_mut().find(|(method, _)| *method == row.method) {
            Some((_, points)) => points.push(point),
            None => lines.push((row.method, vec![point])),
        }
    }
    for (_, points) in &mut lines {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
}

/// The range of one coordinate with some room on both sides; one to two when there is nothing to draw.
fn span(lines: &[Line<'_>], coordinate: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = || lines.iter().flat_map(|(_, points)| points).map(&coordinate);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if least <= most { (least / 1.3, most * 1.3) } else { (1.0, 2.0) }
}

#[cfg(test)]
mod tests {
    use foveate::runtime;

    use super::super::methods::Exact;
    use super::super::report::{Outcome, Row, Source};
    use super::super::row::Measurement;
    use super::super::subject::Distance;
    use super::*;
    use crate::device::Device;
    use crate::measure::{Quartiles, Times};

    fn row(length: usize, milliseconds: f64) -> Row {
        let wall_ms = Quartiles { median: milliseconds, first: milliseconds, third: milliseconds };
        let measurement = Measurement {
            times: Times { gpu_ms: None, wall_ms, runs: 1 },
            first_call_ms: milliseconds,
            gflops: 1.0,
            memory: None,
            error_of_budget: 0.0,
            off_exact: Distance {
                exact: Exact::Full,
                max_abs: 0.0,
                relative: 0.0,
                mean_abs: 0.0,
                cosine: 1.0,
            },
            is_exact: true,
            times_unfused: None,
        };
        Row { method: "blocked-full", length, outcome: Outcome::Measured(measurement) }
    }

    #[test]
    fn a_time_of_zero_stays_off_the_logarithmic_axis() {
        let mut report = Report {
            version: "0",
            device: Device::from(runtime::Device::CpuF64).report(),
            dtype: "f32",
            activations: Source { source: "noise".into(), time: 1, heads: 1, channels: 1 },
            headline: None,
            rows: vec![row(64, 0.0), row(128, 2.0)],
            answers: Vec::new(),
        };
        assert_eq!(lines(&report), [("blocked-full", vec![(128.0, 2.0)])]);
        report.rows.pop();
        assert_eq!(span(&lines(&report), |point| point.1), (1.0, 2.0));
    }
}
