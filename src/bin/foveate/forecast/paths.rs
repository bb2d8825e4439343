//! Paths that are drawn value by value, and quantiles of them.

use foveate::models::Forecaster;
use foveate::nn::Recorder;
use foveate::plan::Watch;
use foveate::processing::series::COVARIATES;
use foveate::runtime::{Runner, Store};
use foveate::{DType, Graph, HostTensor, Random, Result, TensorDesc};

use super::Scaled;

/// The quantiles that are reported and drawn.
pub(crate) const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

/// A forecaster at work: a few paths at once, in one batch, the model run once for each value of the horizon.
pub(crate) struct Paths<'f> {
    forecaster: &'f Forecaster,
    runner: Runner<()>,
    context: usize,
    horizon: usize,
    count: usize,
    random: Random,
}

impl<'f> Paths<'f> {
    /// So many paths of `horizon` values behind `context` values, drawn with `seed`.
    pub(crate) fn new(
        forecaster: &'f Forecaster,
        weights: &Store,
        [context, horizon]: [usize; 2],
        count: usize,
        seed: u64,
    ) -> Self {
        let (runner, random) = (Runner::new(weights).watching(Watch::Outputs), Random::new(seed));
        Self { forecaster, runner, context, horizon, count, random }
    }

    /// Bytes that a run takes beside the weights.
    pub(crate) fn bytes(&mut self) -> Result<u64> {
        let size = [self.count, self.context + self.horizon];
        self.runner.bytes((), || graph(self.forecaster, size))
    }

    /// [`QUANTILES`] of the values behind the context that begins at `start`, each `[horizon]`, in the units of the series. There is a value before
    /// `start`.
    pub(crate) fn quantiles(&mut self, series: &Scaled, start: usize) -> Result<[Vec<f32>; 3]> {
        let paths = self.draw(series, start)?;
        let mut quantiles: [Vec<f32>; 3] = Default::default();
        for step in 0..self.horizon {
            let mut drawn: Vec<f32> = paths.iter().map(|path| path[1 + self.context + step]).collect();
            drawn.sort_by(f32::total_cmp);
            for (quantile, rho) in quantiles.iter_mut().zip(QUANTILES) {
                quantile.push(series.back(of_sorted(&drawn, rho)));
            }
        }
        Ok(quantiles)
    }

    /// Of every path the value before the context, the context, and what is drawn behind it.
    fn draw(&mut self, series: &Scaled, start: usize) -> Result<Vec<Vec<f32>>> {
        let Self { forecaster, context, horizon, count, .. } = *self;
        let length = context + horizon;
        let mut known = series.values[start - 1..start + context].to_vec();
        known.resize(length + 1, 0.0);
        let mut paths = vec![known; count];
        for step in 0..horizon {
            let seen: Vec<f32> = paths.iter().flat_map(|path| series.seen(start, length, path)).collect();
            let seen = HostTensor::f32([count, length, 1 + COVARIATES], seen)?;
            let outputs = self.runner.run((), &[("seen", &seen)], || graph(forecaster, [count, length]))?;
            let (means, deviations) = (outputs["mean"].to_f32(), outputs["deviation"].to_f32());
            for (path, values) in paths.iter_mut().enumerate() {
                let at = path * length + context + step;
                values[1 + context + step] = means[at] + deviations[at] * self.random.next_normal();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|rho| of_sorted(&sorted, rho)), [1.0, 1.5, 2.0, 3.0, 4.0]);
        assert_eq!(of_sorted(&[7.0], 0.9), 7.0);
    }
}
