//! The course of a training: a row for every step, as CSV and as a chart.

use std::path::Path;

use foveate::weights::open_file;
use foveate::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::limits;

const SIZE: (u32, u32) = (900, 600);

/// Steps that are drawn.
const MOST_POINTS: usize = 1000;

/// Blue, vermilion and grey, which stay apart for colour-blind readers (Okabe and Ito 2008).
const TRAINING: RGBColor = RGBColor(0, 114, 178);
const VALIDATION: RGBColor = RGBColor(213, 94, 0);
const BASELINE: RGBColor = RGBColor(110, 110, 110);

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) step: u64,
    /// Of all sessions together.
    pub(super) seconds: f64,
    pub(super) tokens: u64,
    pub(super) learning_rate: f32,
    /// Nats a byte.
    pub(super) loss: f32,
    pub(super) gradient_norm: Option<f32>,
    pub(super) skipped: bool,
    pub(super) validation_loss: Option<f32>,
}

/// The rows of the file at `path` up to `step`; those behind it were made by a session that ended without a checkpoint. None where there
/// is no file.
pub(super) fn read(path: &Path, step: u64) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let refused = |error: csv::Error| {
        Error::new(ErrorKind::Io, "train", path.display().to_string())
            .expecting("the loss curve of this training")
            .but_found(error)
    };
    let mut reader = csv::Reader::from_reader(open_file(path, limits::CURVE)?);
    let mut rows: Vec<Row> = Vec::new();
    for row in reader.deserialize() {
        let row: Row = row.map_err(refused)?;
        if row.step <= step {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// `rows` as CSV.
pub(super) fn csv(rows: &[Row]) -> Result<String> {
    let refused = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Io, "train", "csv").but_found(error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| refused(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| refused(&error))?;
    String::from_utf8(bytes).map_err(|error| refused(&error))
}

/// `rows` as a chart, with what counting single bytes and pairs reaches. Fails when the drawing does.
pub(super) fn svg(rows: &[Row], baselines: (f64, f64)) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&area, rows, baselines)
            .and_then(|()| area.present())
            .map_err(|error| Error::new(ErrorKind::Io, "train", "loss curve").but_found(error))?;
    }
    Ok(text)
}

/// A line of the chart: its name, points, colour and width.
type Line = (&'static str, Vec<(f64, f64)>, RGBColor, u32);

/// The lines of losses up to step `last`, those of counting first.
fn lines(rows: &[Row], (unigram, bigram): (f64, f64), last: f64) -> [Line; 4] {
    let point = |row: &Row, loss: f32| loss.is_finite().then_some((row.step as f64, f64::from(loss)));
    let thinned = rows.iter().step_by(rows.len().div_ceil(MOST_POINTS).max(1));
    let training = thinned.filter_map(|row| point(row, row.loss)).collect();
    let validation = rows.iter().filter_map(|row| row.validation_loss.and_then(|loss| point(row, loss)));
    let level = |loss: f64| vec![(0.0, loss), (last, loss)];
    [
        ("single bytes counted", level(unigram), BASELINE, 1),
        ("pairs counted", level(bigram), BASELINE, 2),
        ("training", training, TRAINING, 1),
        ("validation", validation.collect(), VALIDATION, 3),
    ]
}

fn draw<'a>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    rows: &[Row],
    baselines: (f64, f64),
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let last = rows.last().map_or(1.0, |row| row.step.max(1) as f64);
    let lines = lines(rows, baselines, last);
    let losses = lines.iter().flat_map(|(_, points, ..)| points).map(|point| point.1);
    let (least, most) = losses
        .fold((f64::INFINITY, 0.0), |(least, most), loss| (f64::min(least, loss), f64::max(most, loss)));
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption("Byte-level language model", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..last, 0.95 * least..1.05 * most)?;
    chart
        .configure_mesh()
        .x_desc("steps")
        .y_desc("loss, nats a byte")
        .x_label_formatter(&|step| format!("{step:.0}"))
        .y_label_formatter(&|loss| format!("{loss:.1}"))
        .label_style(("sans-serif", 15))
        .axis_desc_style(("sans-serif", 17))
        .light_line_style(RGBColor(240, 240, 240))
        .draw()?;
    for (name, points, colour, width) in lines {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(width)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(width)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_up_to_the_step_that_was_saved() {
        let row = |step, validation_loss| Row {
            step,
            seconds: 0.5,
            tokens: 7,
            learning_rate: 1e-3,
            loss: 2.5,
            gradient_norm: None,
            skipped: false,
            validation_loss,
        };
        let rows = [row(1, None), row(2, Some(2.25)), row(3, None)];
        let path = std::env::temp_dir().join(format!("foveate-curve-{}.csv", std::process::id()));
        std::fs::write(&path, csv(&rows).unwrap()).unwrap();
        assert_eq!(read(&path, 2).unwrap(), rows[..2]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, 2).unwrap(), []);
        assert!(svg(&rows, (3.0, 2.4)).unwrap().contains("</svg>"));
        assert!(svg(&[], (3.0, 2.4)).unwrap().contains("</svg>"));
    }
}
