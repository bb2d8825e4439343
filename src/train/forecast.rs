//! The loss of forecasters: how unlikely the values are to the normal distributions that are forecast.

use crate::graph::{Graph, Value};
use crate::models::Forecaster;
use crate::nn::{Recorder, Training};
use crate::tensor::{DType, TensorDesc};
use crate::{Result, ops};

/// Half the logarithm of `2 pi`.
const HALF_LN_TAU: f32 = 0.918_938_5;

/// Records the mean over all times of `-ln N(z; mean, deviation^2)` = `ln deviation + ((z - mean) / deviation)^2 / 2 + ln(2 pi) / 2`. Inputs: `seen: f32
/// [batch, time, 1 + covariates]`, as [`Forecaster::record`] takes it, and `values: f32 [batch, time]`. The result is f32 `[1]`.
///
/// Fails when `time` exceeds the longest window, and when there is dropout and no step.
pub fn forecast_loss(
    graph: &mut Graph,
    forecaster: &Forecaster,
    [batch, time]: [usize; 2],
    training: Training,
) -> Result<Value> {
    let channels = 1 + forecaster.config().covariates;
    let seen = graph.input("seen", TensorDesc::f32([batch, time, channels]))?;
    let values = graph.input("values", TensorDesc::f32([batch, time]))?;
    let mut recorder = Recorder::new(graph, DType::F32).training(training);
    let [mean, deviation] = forecaster.record(&mut recorder, seen)?;
    let off = ops::subtract(graph, values, mean)?;
    let off = ops::divide(graph, off, deviation)?;
    let squares = ops::square(graph, off)?;
    let halves = ops::scale(graph, squares, 0.5)?;
    let logarithms = ops::log(graph, deviation)?;
    let losses = ops::add(graph, logarithms, halves)?;
    let losses = ops::reshape(graph, losses, [batch * time])?;
    let mean = ops::mean(graph, losses, &[0])?;
    let mean = ops::reshape(graph, mean, [1])?;
    let constant = ops::fill(graph, TensorDesc::f32([1]), HALF_LN_TAU)?;
    ops::add(graph, mean, constant)
}
