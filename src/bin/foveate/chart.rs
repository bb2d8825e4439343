//! One quantity against another as an SVG: both axes logarithmic, one line for each of several series.

use foveate::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

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
const DASHES: [(i32, i32); 5] = [(8, 0), (10, 5), (2, 4), (20, 6), (5, 12)];

/// What marks points. With the dashes there are twenty ways to draw a line, more than methods of `bench`, and each is known without its colour.
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

/// A series by its name: points in the order in which they are joined.
pub(crate) type Line = (String, Vec<(f64, f64)>);

/// An axis of a chart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    /// Powers of it are marked.
    pub(crate) base: f64,
}

/// What is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) caption: String,
    pub(crate) axes: [Axis; 2],
    /// Coordinates are above 0.
    pub(crate) lines: Vec<Line>,
}

impl Chart {
    /// The chart as SVG. Fails when the drawing does, in the words of `command`'s flag `--plot`.
    pub(crate) fn svg(&self, command: &'static str) -> Result<String> {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            self.draw_on(&area)
                .and_then(|()| area.present())
                .map_err(|error| Error::new(ErrorKind::Io, command, "--plot").but_found(error))?;
        }
        Ok(text)
    }

    fn draw_on<'a>(&self, area: &DrawingArea<SVGBackend<'a>, Shift>) -> Result<(), Failed<'a>> {
        area.fill(&WHITE)?;
        let (x, y) = (span(&self.lines, |point| point.0), span(&self.lines, |point| point.1));
        let [x_axis, y_axis] = self.axes;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.caption, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(
                (x.0..x.1).log_scale().base(x_axis.base),
                (y.0..y.1).log_scale().base(y_axis.base),
            )?;
        chart
            .configure_mesh()
            .x_desc(x_axis.name)
            .y_desc(y_axis.name)
            .x_label_formatter(&|x| x.to_string())
            .y_label_formatter(&|y| y.to_string())
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 17))
            .light_line_style(RGBColor(235, 235, 235))
            .draw()?;
        for (index, (name, points)) in self.lines.iter().enumerate() {
            draw_line(&mut chart, index, name, points)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 15))
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
    }
}

/// What drawing fails with.
type Failed<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

/// A chart whose axes are logarithmic.
type LogChart<'c, 'a> = ChartContext<'c, SVGBackend<'a>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

/// Draws the series number `index`, and its line in the legend.
fn draw_line<'c, 'a: 'c>(
    chart: &mut LogChart<'c, 'a>,
    index: usize,
    name: &str,
    points: &[(f64, f64)],
) -> Result<(), Failed<'a>> {
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
    let drawn = chart.draw_series(DashedLineSeries::new(at(), dash, gap, stroke))?.label(name);
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
    Ok(())
}

fn square((x, y): (i32, i32), stroke: ShapeStyle) -> Rectangle<(i32, i32)> {
    Rectangle::new([(x - RADIUS, y - RADIUS), (x + RADIUS, y + RADIUS)], stroke)
}

/// The range of one coordinate with some room on both sides; one to two when there is nothing to draw.
fn span(lines: &[Line], coordinate: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = || lines.iter().flat_map(|(_, points)| points).map(&coordinate);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if least <= most { (least / 1.3, most * 1.3) } else { (1.0, 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_draw_has_a_range() {
        assert_eq!(span(&[("full".into(), vec![(128.0, 2.6)])], |point| point.1), (2.0, 2.6 * 1.3));
        assert_eq!(span(&[], |point| point.1), (1.0, 2.0));
    }
}
