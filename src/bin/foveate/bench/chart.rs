//! Time against length, one line per method.

use foveate::Result;

use super::report::Report;
use crate::chart::{Axis, Chart, Line};

/// The timed rows of `report` as a chart in SVG. Fails when the drawing does.
pub(super) fn svg(report: &Report) -> Result<String> {
    let caption = format!("Attention on {}, {}", report.device.name, report.dtype);
    let axes = [Axis { name: "tokens", base: 2.0 }, Axis { name: "milliseconds", base: 10.0 }];
    Chart { caption, axes, lines: lines(report) }.svg("bench")
}

/// The timed rows by method, in the order of the report. A time of zero, from a clock too coarse to see the run, has no place on
/// a logarithmic axis.
fn lines(report: &Report) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in &report.rows {
        let Some(point) = row.point().filter(|&(_, time)| time > 0.0) else { continue };
        match lines.iter_mut().find(|(method, _)| *method == row.method) {
            Some((_, points)) => points.push(point),
            None => lines.push((row.method.to_owned(), vec![point])),
        }
    }
    for (_, points) in &mut lines {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines
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
            gflops: Some(1.0),
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
        let report = Report {
            version: "0",
            device: Device::from(runtime::Device::CpuF64).report(),
            dtype: "f32",
            activations: Source { source: "noise".into(), time: 1, heads: 1, channels: 1 },
            headline: None,
            rows: vec![row(64, 0.0), row(128, 2.0)],
            answers: Vec::new(),
        };
        assert_eq!(lines(&report), [("blocked-full".to_owned(), vec![(128.0, 2.0)])]);
    }
}
