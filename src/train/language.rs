//! The loss of a language model.

use super::losses::check_task;
use crate::graph::{Graph, Value};
use crate::models::{Model, Task, Tokens};
use crate::nn::{LayoutKind, Recorder, Training};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result, ops};

/// Records the mean cross-entropy of the tokens `targets` that follow `ids`, both inputs `i32 [batch, time]`: f32 `[1]`, in nats.
///
/// Of a recurrent model, rows are the next segments of `batch` streams, whose memories are states of the graph: no gradient passes to the
/// segments before (Dai et al., arXiv 1901.02860, section 3.2). [`Trainer::step_on`](super::Trainer::step_on) takes such steps.
///
/// A step of a training adds what layers do to the loss, such as a Routing Transformer's commitment loss; an evaluation ([`Training::evaluates`]) is of
/// the cross-entropy alone. Layers compute in `dtype`. Fails when `time` exceeds the model's positions, when the model was not opened for [`Task::Logits`] or is an
/// encoder-decoder ([`seq2seq_loss`](super::seq2seq_loss) is for these), and when there is dropout and no step.
pub fn language_loss(
    graph: &mut Graph,
    model: &Model,
    [batch, time]: [usize; 2],
    dtype: DType,
    training: Training,
) -> Result<Value> {
    check_task(model, Task::Logits, time)?;
    let signature = model.network().signature();
    if signature.encoder_decoder.is_some() {
        return Err(Error::new(ErrorKind::Unsupported, model.facts().architecture, "training")
            .expecting("a model that reads one text")
            .but_found("an encoder-decoder"));
    }
    let tokens = if signature.takes(LayoutKind::Recurrent) {
        Tokens::segments(graph, [batch, time])?
    } else {
        Tokens::rows(graph, [batch, time], model.facts().first_position)?
    };
    let targets = graph.input("targets", TensorDesc::i32([batch, time]))?;
    let mut recorder = Recorder::new(graph, dtype).training(training);
    let logits = model.record_with(&mut recorder, &tokens)?;
    let of_layers = recorder.take_losses();
    // Log-probabilities are logits, too: they are normalised already, which changes nothing.
    let loss = ops::cross_entropy(graph, logits, targets, &ops::CrossEntropy::new())?;
    of_layers.into_iter().try_fold(loss, |loss, added| ops::add(graph, loss, added))
}
