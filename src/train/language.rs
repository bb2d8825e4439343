//! The loss of a language model.

use super::losses::check;
use crate::graph::{Graph, Value};
use crate::models::{Model, Task, Tokens};
use crate::nn::{Recorder, Training};
use crate::tensor::{DType, TensorDesc};
use crate::{Result, ops};

/// Records the mean cross-entropy of the tokens `targets` that follow `ids`, both inputs `i32 [batch, time]`: f32 `[1]`, in nats.
///
/// Layers compute in `dtype`. Fails when `time` exceeds the model's positions, when the model was not opened for [`Task::Logits`] or does not
/// read one text at once, and when there is dropout and no step.
pub fn language_loss(
    graph: &mut Graph,
    model: &Model,
    [batch, time]: [usize; 2],
    dtype: DType,
    training: Training,
) -> Result<Value> {
    check(model, Task::Logits, time)?;
    let tokens = Tokens::rows(graph, [batch, time], model.facts().first_position)?;
    let targets = graph.input("targets", TensorDesc::i32([batch, time]))?;
    let logits = model.record_with(&mut Recorder::new(graph, dtype).training(training), &tokens)?;
    ops::cross_entropy(graph, logits, targets, &ops::CrossEntropy::new())
}
