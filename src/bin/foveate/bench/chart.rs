//! Time against length as an SVG: both axes logarithmic, one line per method.

use std::path::Path;

use foveate::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::Report;

const SIZE: (u32, u32) = (900, 600);

/// Colours that stay apart for colour-blind readers (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

/// A method's lengths and milliseconds.
type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// Draws the timed rows of `report` to `path`. Fails when the file cannot be written.
pub(super) fn draw(report: &Report, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    draw_on(&area, report).and_then(|()| area.present()).map_err(|error| {
        Error::new(ErrorKind::Io, "output", format!("--plot {}", path.display()))
            .expecting("a file that can be written")
            .but_found(error)
    })
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
        let colour = COLOURS[index % COLOURS.len()];
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(4))?
            .label(method)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}

/// The timed rows by method, in the order of the report.
fn lines(report: &Report) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in &report.rows {
        let Some(point) = row.point() else { continue };
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
