//! Losses of heads, on padded batches of whole texts ([`Tokens::padded`]).
//!
//! Their inputs are `ids`, `positions`, `types: i32 [batch, time]` and `lengths: i32 [batch]`, which [`padded_inputs`](super::padded_inputs)
//! makes of texts, `globals: i32 [batch, count]` where the model's head has global tokens, and the targets that each loss names. Of models whose
//! results depend on padding, rows have as many tokens as texts are filled up to, whatever `time` is. Results are f32 `[1]`.

use super::padded::row_time;
use crate::graph::{Graph, Value};
use crate::models::{LabelKind, Model, ResultRows, Task, Tokens};
use crate::nn::{Recorder, Training};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result, ops};

/// Records the loss of a classifier of texts. Further inputs: `ends: i32 [batch]`, the place of the token that each text is judged by
/// ([`result_rows`](super::result_rows)), and `labels`. By the kind of the model's labels that is
///
/// - one of them: the mean of `-ln softmax(logits)[label]`, `labels: i32 [batch]`, negative ones not counted;
/// - any of them: the mean of `softplus(x) - label x` over texts and labels, which is the cross-entropy of `sigmoid(x)`, `labels: f32
///   [batch, labels]`, each 0 to 1;
/// - numbers: the mean of `(x - label)^2`, `labels: f32 [batch, labels]`.
///
/// Layers compute in `dtype`. Fails with [`ErrorKind::Unsupported`] for a model that does not read one text at once, when the model was
/// not opened for [`Task::Classify`], when `time` exceeds its positions, and when there is dropout and no step.
pub fn classification_loss(
    graph: &mut Graph,
    model: &Model,
    [batch, time]: [usize; 2],
    dtype: DType,
    training: Training,
) -> Result<Value> {
    check(model, Task::Classify, time)?;
    let kind = model.labels().map_or(LabelKind::One, |labels| labels.kind);
    let tokens = padded(graph, model, [batch, time])?;
    let ends = graph.input("ends", TensorDesc::i32([batch]))?;
    let logits = single_result(graph, model, &tokens, ends, (dtype, training))?;
    if kind == LabelKind::One {
        let labels = graph.input("labels", TensorDesc::i32([batch]))?;
        return ops::cross_entropy(graph, logits, labels, &ops::CrossEntropy::new());
    }
    let logits = if dtype == DType::F32 { logits } else { ops::cast(graph, logits, DType::F32)? };
    let shape = graph.desc(logits)?.shape.clone();
    let labels = graph.input("labels", TensorDesc::f32(shape.clone()))?;
    if kind == LabelKind::Number {
        return ops::mean_squared_error(graph, logits, labels);
    }
    let (all, held) = (ops::softplus(graph, logits)?, ops::multiply(graph, labels, logits)?);
    let losses = ops::subtract(graph, all, held)?;
    let losses = ops::reshape(graph, losses, [shape.elements()])?;
    let mean = ops::mean(graph, losses, &[0])?;
    ops::reshape(graph, mean, [1])
}

/// Records the mean cross-entropy of words that were masked. Further inputs: `rows: i32 [count]`, their places among all `batch * time`,
/// and `targets: i32 [count]`, the words that were there; a negative place or target is not counted.
///
/// Fails as [`classification_loss`] does, for a model that was not opened for [`Task::Logits`].
pub fn masked_words_loss(
    graph: &mut Graph,
    model: &Model,
    [batch, time]: [usize; 2],
    count: usize,
    dtype: DType,
    training: Training,
) -> Result<Value> {
    check(model, Task::Logits, time)?;
    let tokens = padded(graph, model, [batch, time])?;
    let rows = graph.input("rows", TensorDesc::i32([count]))?;
    let logits = single_result(graph, model, &tokens, rows, (dtype, training))?;
    let targets = graph.input("targets", TensorDesc::i32([count]))?;
    ops::cross_entropy(graph, logits, targets, &ops::CrossEntropy::new())
}

/// Declares a padded batch, with the global tokens that the head of `model` has.
fn padded(graph: &mut Graph, model: &Model, [batch, time]: [usize; 2]) -> Result<Tokens> {
    let tokens = Tokens::padded(graph, batch, row_time(model, time))?;
    match default_globals(model) {
        0 => Ok(tokens),
        count => tokens.with_globals(graph, count),
    }
}

/// How many tokens of every text are global by the head of `model`, whatever the text.
pub(super) fn default_globals(model: &Model) -> usize {
    model.default_globals(&[0]).len()
}

/// The one result of the head, of the tokens that `rows` numbers: `[count, width]`.
fn single_result(
    graph: &mut Graph,
    model: &Model,
    tokens: &Tokens,
    rows: Value,
    (dtype, training): (DType, Training),
) -> Result<Value> {
    let mut recorder = Recorder::new(graph, dtype).training(training);
    let rows = ResultRows { wanted: rows, of_sequences: rows };
    let results = model.record_results(&mut recorder, tokens, &rows)?;
    match results[..] {
        [(_, result)] => Ok(result),
        _ => Err(Error::new(ErrorKind::Unsupported, model.facts().architecture, "results")
            .expecting("one, to compute a loss of")
            .but_found(results.len())),
    }
}

/// Refuses models and lengths that a padded batch is not for.
fn check(model: &Model, task: Task, time: usize) -> Result<()> {
    check_task(model, task, time)?;
    check_reads_texts(model)
}

/// Refuses other tasks, and more tokens than the model has positions for.
pub(super) fn check_task(model: &Model, task: Task, time: usize) -> Result<()> {
    let facts = model.facts();
    let refused = |kind, argument| Error::new(kind, facts.architecture, argument);
    if model.task() != task {
        return Err(refused(ErrorKind::Argument, "task")
            .expecting(task.name())
            .but_found(model.task().name()));
    }
    if time > facts.max_tokens {
        return Err(refused(ErrorKind::Shape, "ids")
            .expecting(format!("at most {} tokens", facts.max_tokens))
            .but_found(time));
    }
    Ok(())
}

/// Refuses models that read something else than one text at once.
fn check_reads_texts(model: &Model) -> Result<()> {
    match model.network().signature().other_texts() {
        None => Ok(()),
        Some(found) => Err(Error::new(ErrorKind::Unsupported, model.facts().architecture, "training")
            .expecting("a model that reads one text at once")
            .but_found(found)),
    }
}
