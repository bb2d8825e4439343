//! Forecasts of the last stretches of a series, one behind another, and how good they are.

use foveate::models::Forecaster;
use foveate::nn::Recorder;
use foveate::processing::series::{COVARIATES, quantile_loss};
use foveate::runtime::{Runner, Store};
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Random, Result, TensorDesc};
use plotters::coord::Shift;
use plotters::prelude::*;

/// The quantiles that are reported and drawn.
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

const SIZE: (u32, u32) = (1100, 500);

/// Black, blue and vermilion, which stay apart for colour-blind readers (Okabe and Ito 2008).
const TRUTH: RGBColor = RGBColor(0, 0, 0);
const FORECAST: RGBColor = RGBColor(0, 114, 178);
const NAIVE: RGBColor = RGBColor(213, 94, 0);

/// A series as the model reads it, and how it becomes what it was.
pub(super) struct Scaled {
    /// Of about mean 0 and variance 1.
    pub(super) values: Vec<f32>,
    /// `[count, COVARIATES]`.
    pub(super) covariates: Vec<f32>,
    pub(super) mean: f32,
    pub(super) deviation: f32,
}

impl Scaled {
    /// What the model reads of the `length` times from `start` on: the value before each, and its covariates. `values` are those before and at these
    /// times, the first of them that before `start`.
    pub(super) fn seen(&self, start: usize, length: usize, values: &[f32]) -> Vec<f32> {
        let rows = values.iter().take(length).enumerate();
        rows.flat_map(|(at, &value)| {
            let covariates = &self.covariates[(start + at) * COVARIATES..][..COVARIATES];
            [value].into_iter().chain(covariates.iter().copied())
        })
        .collect()
    }
}

/// Which stretches are forecast.
#[derive(Clone, Copy)]
pub(super) struct Rolling {
    pub(super) context: usize,
    pub(super) horizon: usize,
    pub(super) windows: usize,
    pub(super) samples: usize,
    pub(super) seed: u64,
}

/// The forecasts of all stretches, one behind another, beside the truth.
pub(super) struct Forecasts {
    pub(super) truth: Vec<f32>,
    /// By [`QUANTILES`].
    pub(super) quantiles: [Vec<f32>; 3],
    /// The values one day and one week before.
    pub(super) naive: [Vec<f32>; 2],
}

impl Rolling {
    /// Where the first stretch begins, in a series of so many values.
    pub(super) fn first(&self, count: usize) -> usize {
        count.saturating_sub(self.windows * self.horizon)
    }

    /// Draws paths value by value, all of a stretch in one batch: the model is run once for each value of the horizon.
    pub(super) fn forecast(
        &self,
        forecaster: &Forecaster,
        weights: &Store,
        series: &Scaled,
        a_day: usize,
    ) -> Result<Forecasts> {
        let Self { context, horizon, windows, .. } = *self;
        let first = self.first(series.values.len());
        let mut random = Random::new(self.seed);
        let mut runner = Runner::new(weights);
        let back = |value: f32| value * series.deviation + series.mean;
        let mut quantiles: [Vec<f32>; 3] = Default::default();
        for window in 0..windows {
            let start = first + window * horizon - context;
            let paths = self.paths(forecaster, &mut runner, series, start, &mut random)?;
            for step in 0..horizon {
                let mut drawn: Vec<f32> = paths.iter().map(|path| path[1 + context + step]).collect();
                drawn.sort_by(f32::total_cmp);
                for (quantile, rho) in quantiles.iter_mut().zip(QUANTILES) {
                    quantile.push(back(of_sorted(&drawn, rho)));
                }
            }
        }
        let values = |back_by: usize| -> Vec<f32> {
            (first..first + windows * horizon).map(|at| back(series.values[at - back_by])).collect()
        };
        Ok(Forecasts { truth: values(0), quantiles, naive: [values(a_day), values(7 * a_day)] })
    }

    /// Of every path the value before the context, which begins at `start`, the context, and what is drawn behind it.
    fn paths(
        &self,
        forecaster: &Forecaster,
        runner: &mut Runner<()>,
        series: &Scaled,
        start: usize,
        random: &mut Random,
    ) -> Result<Vec<Vec<f32>>> {
        let Self { context, horizon, samples, .. } = *self;
        let length = context + horizon;
        let mut known = series.values[start - 1..start + context].to_vec();
        known.resize(length + 1, 0.0);
        let mut paths = vec![known; samples];
        for step in 0..horizon {
            let seen: Vec<f32> = paths.iter().flat_map(|path| series.seen(start, length, path)).collect();
            let seen = HostTensor::f32([samples, length, 1 + COVARIATES], seen)?;
            let outputs = runner.run((), &[("seen", &seen)], || graph(forecaster, [samples, length]))?;
            let (means, deviations) = (outputs["mean"].to_f32(), outputs["deviation"].to_f32());
            for (path, values) in paths.iter_mut().enumerate() {
                let at = path * length + context + step;
                values[1 + context + step] = means[at] + deviations[at] * random.next_normal();
            }
        }
        Ok(paths)
    }
}

/// The `rho` quantile of sorted numbers, between neighbours in proportion.
fn of_sorted(sorted: &[f32], rho: f64) -> f32 {
    let place = rho * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract() as f32);
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + part * (sorted[high] - sorted[low])
}

fn graph(forecaster: &Forecaster, [batch, length]: [usize; 2]) -> Result<Graph> {
    let mut graph = Graph::new();
    let seen = graph.input("seen", TensorDesc::f32([batch, length, 1 + COVARIATES]))?;
    let [mean, deviation] = forecaster.record(&mut Recorder::new(&mut graph, DType::F32), seen)?;
    graph.output("mean", mean)?;
    graph.output("deviation", deviation)?;
    Ok(graph)
}

impl Forecasts {
    /// R0.5 and R0.9 of the model and of both naive forecasts, as lines.
    pub(super) fn table(&self) -> String {
        let [day, week] = &self.naive;
        let rows = [
            ("model", &self.quantiles[1], &self.quantiles[2]),
            ("a day before", day, day),
            ("a week before", week, week),
        ];
        let line = |(name, median, high): &(&str, &Vec<f32>, &Vec<f32>)| {
            let (half, nine) =
                (quantile_loss(&self.truth, median, 0.5), quantile_loss(&self.truth, high, 0.9));
            format!("{name:<14} R0.5 {half:.4}  R0.9 {nine:.4}\n")
        };
        rows.iter().map(line).collect()
    }

    /// A row for each value.
    pub(super) fn csv(&self) -> String {
        let mut text = String::from("truth,q0.1,q0.5,q0.9,a_day_before,a_week_before\n");
        let [low, median, high] = &self.quantiles;
        for at in 0..self.truth.len() {
            let row = [self.truth[at], low[at], median[at], high[at], self.naive[0][at], self.naive[1][at]];
            text += &(row.map(|number| number.to_string()).join(",") + "\n");
        }
        text
    }

    /// Truth, median and the range from the lowest to the highest quantile, and the values of a week before.
    pub(super) fn svg(&self) -> Result<String> {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            self.draw(&area)
                .and_then(|()| area.present())
                .map_err(|error| Error::new(ErrorKind::Io, "train", "forecasts.svg").but_found(error))?;
        }
        Ok(text)
    }

    fn draw<'a>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, Shift>,
    ) -> std::result::Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
        let all = self.truth.iter().chain(self.quantiles.iter().flatten()).chain(&self.naive[1]);
        let (least, most) =
            all.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        let margin = (0.05 * (most - least)).max(f32::MIN_POSITIVE);
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption("Forecasts of the last stretches", ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(88)
            .build_cartesian_2d(0..self.truth.len().max(1), least - margin..most + margin)?;
        chart
            .configure_mesh()
            .x_desc("values")
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 17))
            .light_line_style(RGBColor(240, 240, 240))
            .draw()?;
        let [low, median, high] = &self.quantiles;
        let up = high.iter().copied().enumerate();
        let band: Vec<(usize, f32)> = up.chain(low.iter().copied().enumerate().rev()).collect();
        chart
            .draw_series([Polygon::new(band, FORECAST.mix(0.2))])?
            .label("from 0.1 to 0.9 of the paths")
            .legend(|(x, y)| Rectangle::new([(x, y - 5), (x + 20, y + 5)], FORECAST.mix(0.2).filled()));
        for (name, values, colour, width) in [
            ("a week before", &self.naive[1], NAIVE, 1),
            ("median of the paths", median, FORECAST, 2),
            ("truth", &self.truth, TRUTH, 1),
        ] {
            let points = values.iter().copied().enumerate();
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|rho| of_sorted(&sorted, rho)), [1.0, 1.5, 2.0, 3.0, 4.0]);
        assert_eq!(of_sorted(&[7.0], 0.9), 7.0);
    }

    #[test]
    fn forecasts_are_shown_as_lines_rows_and_a_chart() {
        let ones = || vec![1.0, 2.0];
        let naive = [vec![2.0, 2.0], ones()];
        let forecasts = Forecasts { truth: ones(), quantiles: [ones(), ones(), ones()], naive };
        let table = forecasts.table();
        assert!(table.starts_with("model          R0.5 0.0000  R0.9 0.0000\n"), "{table}");
        assert!(table.contains("a day before   R0.5 0.3333"), "{table}");
        assert_eq!(forecasts.csv().lines().nth(1), Some("1,1,1,1,2,1"));
        assert!(forecasts.svg().unwrap().contains("</svg>"));
    }
}
