//! Forecasts of the last stretches of a series, one behind another, and how good they are.

use std::sync::atomic::{AtomicBool, Ordering};

use foveate::processing::series::{Series, quantile_loss};
use foveate::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::forecast::{Paths, QUANTILES, Scaled};

const SIZE: (u32, u32) = (1100, 500);

/// Black, blue and vermilion, which stay apart for colour-blind readers (Okabe and Ito 2008).
const TRUTH: RGBColor = RGBColor(0, 0, 0);
const FORECAST: RGBColor = RGBColor(0, 114, 178);
const NAIVE: RGBColor = RGBColor(213, 94, 0);

/// Which stretches are forecast.
#[derive(Clone, Copy)]
pub(super) struct Rolling {
    pub(super) context: usize,
    pub(super) horizon: usize,
    pub(super) windows: usize,
}

/// The forecasts of all stretches, one behind another, beside the truth.
pub(super) struct Forecasts {
    truth: Vec<f32>,
    /// By [`QUANTILES`].
    quantiles: [Vec<f32>; 3],
    /// The values one day and one week before, where intervals add up to these.
    naive: Vec<(&'static str, Vec<f32>)>,
}

impl Rolling {
    /// Where the first stretch begins, in a series of so many values.
    pub(super) fn first(&self, count: usize) -> usize {
        count.saturating_sub(self.windows * self.horizon)
    }

    /// Forecasts every stretch from what is before it; nothing where it was `interrupted` before the last one.
    pub(super) fn forecast(
        &self,
        paths: &mut Paths<'_>,
        series: &Series,
        scaled: &Scaled,
        interrupted: &AtomicBool,
    ) -> Result<Option<Forecasts>> {
        let Self { context, horizon, windows } = *self;
        let first = self.first(series.values().len());
        let mut quantiles: [Vec<f32>; 3] = Default::default();
        for window in 0..windows {
            if interrupted.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let found = paths.quantiles(scaled, first + window * horizon - context)?;
            quantiles.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
        }
        let values = |back: usize| series.values()[first - back..][..windows * horizon].to_vec();
        let naive = naive(series).map(|(name, back)| (name, values(back))).collect();
        Ok(Some(Forecasts { truth: values(0), quantiles, naive }))
    }
}

/// What a value is said to be without a model: that of so many values before.
pub(super) fn naive(series: &Series) -> impl Iterator<Item = (&'static str, usize)> {
    let cycles = [("a day before", series.a_day()), ("a week before", series.a_week())];
    cycles.into_iter().filter_map(|(name, back)| Some((name, back?)))
}

impl Forecasts {
    /// R0.5 and R0.9 of the model and of the naive forecasts, as lines.
    pub(super) fn table(&self) -> String {
        let naive = self.naive.iter().map(|(name, values)| (*name, values, values));
        let rows = [("model", &self.quantiles[1], &self.quantiles[2])].into_iter().chain(naive);
        let line = |(name, median, high): (&str, &Vec<f32>, &Vec<f32>)| {
            let (half, nine) =
                (quantile_loss(&self.truth, median, 0.5), quantile_loss(&self.truth, high, 0.9));
            format!("{name:<14} R0.5 {half:.4}  R0.9 {nine:.4}\n")
        };
        rows.map(line).collect()
    }

    /// A row for each value.
    pub(super) fn csv(&self) -> String {
        let mut names = vec!["truth".to_owned()];
        names.extend(QUANTILES.map(|rho| format!("q{rho}")));
        names.extend(self.naive.iter().map(|(name, _)| name.replace(' ', "_")));
        let columns = || {
            let naive = self.naive.iter().map(|(_, values)| values);
            [&self.truth].into_iter().chain(&self.quantiles).chain(naive)
        };
        let row = |at: usize| columns().map(|column| column[at].to_string()).collect::<Vec<_>>().join(",");
        let rows = (0..self.truth.len()).map(row);
        [names.join(",")].into_iter().chain(rows).map(|line| line + "\n").collect()
    }

    /// Truth, median and the range from the lowest to the highest quantile, and the last of the naive forecasts.
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
        let naive = self.naive.last();
        let of_naive = naive.iter().flat_map(|(_, values)| values);
        let all = self.truth.iter().chain(self.quantiles.iter().flatten()).chain(of_naive);
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
        let naive = naive.map(|(name, values)| (*name, values, NAIVE, 1));
        let lines = [("median of the paths", median, FORECAST, 2), ("truth", &self.truth, TRUTH, 1)];
        for (name, values, colour, width) in naive.into_iter().chain(lines) {
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
    fn forecasts_are_shown_as_lines_rows_and_a_chart() {
        let ones = || vec![1.0, 2.0];
        let naive = vec![("a day before", vec![2.0, 2.0]), ("a week before", ones())];
        let forecasts = Forecasts { truth: ones(), quantiles: [ones(), ones(), ones()], naive };
        let table = forecasts.table();
        assert!(table.starts_with("model          R0.5 0.0000  R0.9 0.0000\n"), "{table}");
        assert!(table.contains("a day before   R0.5 0.3333"), "{table}");
        let expected = "truth,q0.1,q0.5,q0.9,a_day_before,a_week_before\n1,1,1,1,2,1\n2,2,2,2,2,2\n";
        assert_eq!(forecasts.csv(), expected);
        assert!(forecasts.svg().unwrap().contains("</svg>"));
        // Of a series that repeats in no whole number of intervals, the model alone.
        let alone = Forecasts { naive: Vec::new(), ..forecasts };
        assert_eq!(
            (alone.table().lines().count(), alone.csv().lines().next()),
            (1, Some("truth,q0.1,q0.5,q0.9"))
        );
        assert!(alone.svg().unwrap().contains("</svg>"));
    }
}
