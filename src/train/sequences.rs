//! Texts to be written about other texts: the loss of an encoder-decoder, and the batches it reads.

use super::losses::check_task;
use super::padded::{Inputs, UNCOUNTED};
use crate::graph::{Graph, Value};
use crate::models::{EncoderDecoder, Model, Task, Tokens};
use crate::nn::{Recorder, Training};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result, ops};

/// Records the mean cross-entropy of target texts that are written about source texts, each token after the right ones before it (teacher
/// forcing): f32 `[1]`, in nats. Inputs, as [`seq2seq_inputs`] makes them:
///
/// - `source_ids`, `source_positions: i32 [batch, source_time]` and `source_lengths: i32 [batch]`: what the encoder reads; padding is never
///   seen;
/// - `ids: i32 [batch, time]`: what the decoder reads, the start token and then all but the last token of a target;
/// - `targets: i32 [batch, time]`: what it is to predict; negative ones are not counted.
///
/// Layers compute in `dtype`. Fails with [`ErrorKind::Unsupported`] for a model that is no encoder-decoder, when the model was not opened for
/// [`Task::Logits`], when a text exceeds its positions, and when there is dropout and no step.
pub fn seq2seq_loss(
    graph: &mut Graph,
    model: &Model,
    [batch, source_time, time]: [usize; 3],
    dtype: DType,
    training: Training,
) -> Result<Value> {
    check_task(model, Task::Logits, time)?;
    let most = texts(model)?.max_source_tokens;
    if source_time > most {
        return Err(Error::new(ErrorKind::Shape, model.facts().architecture, "source_ids")
            .expecting(format!("at most {most} tokens"))
            .but_found(source_time));
    }
    let tokens = Tokens::rows(graph, [batch, time], model.facts().first_position)?;
    let tokens = tokens.with_source(graph, source_time)?;
    let targets = graph.input("targets", TensorDesc::i32([batch, time]))?;
    let logits = model.record_with(&mut Recorder::new(graph, dtype).training(training), &tokens)?;
    ops::cross_entropy(graph, logits, targets, &ops::CrossEntropy::new())
}

/// The inputs of [`seq2seq_loss`] for `pairs` of a source and a target, in a batch of `[batch, source_time, time]`. Targets end with the token
/// that ends a text, where it is to be learnt; the start token is put before them here. Missing pairs are not counted.
///
/// Fails when a text is empty or longer than its side of the batch, when there are more than `batch` pairs, and as [`seq2seq_loss`] does for a
/// model that is no encoder-decoder.
pub fn seq2seq_inputs(
    model: &Model,
    pairs: &[[&[u32]; 2]],
    [batch, source_time, time]: [usize; 3],
) -> Result<Inputs> {
    let EncoderDecoder { start, .. } = texts(model)?;
    let refused = |argument: String| Error::new(ErrorKind::Argument, "batch", argument);
    if pairs.len() > batch {
        return Err(refused("pairs".into()).expecting(format!("at most {batch}")).but_found(pairs.len()));
    }
    let (mut source_ids, mut lengths) = (Vec::new(), Vec::new());
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    let as_i32 = |id: &u32| *id as i32;
    for (number, [source, target]) in pairs.iter().enumerate() {
        for (name, text, most) in [("source", source, source_time), ("target", target, time)] {
            if !(1..=most).contains(&text.len()) {
                return Err(refused(format!("{name} {number}"))
                    .expecting(format!("1 to {most} tokens"))
                    .but_found(text.len()));
            }
        }
        source_ids.extend(source.iter().map(as_i32));
        source_ids.resize((number + 1) * source_time, 0);
        lengths.push(source.len() as i32);
        ids.push(start as i32);
        ids.extend(target[..target.len() - 1].iter().map(as_i32));
        ids.resize((number + 1) * time, 0);
        targets.extend(target.iter().map(as_i32));
        targets.resize((number + 1) * time, UNCOUNTED);
    }
    source_ids.resize(batch * source_time, 0);
    // A text without a token would see nothing.
    lengths.resize(batch, 1);
    ids.resize(batch * time, 0);
    targets.resize(batch * time, UNCOUNTED);
    let first = model.facts().first_position;
    let positions = (0..batch * source_time).map(|at| (first + at % source_time) as i32).collect();
    let (source, own) = ([batch, source_time], [batch, time]);
    Ok(vec![
        ("source_ids", HostTensor::i32(source, source_ids)?),
        ("source_positions", HostTensor::i32(source, positions)?),
        ("source_lengths", HostTensor::i32([batch], lengths)?),
        ("ids", HostTensor::i32(own, ids)?),
        ("targets", HostTensor::i32(own, targets)?),
    ])
}

/// What there is to know of the texts of an encoder-decoder.
fn texts(model: &Model) -> Result<EncoderDecoder> {
    model.network().signature().encoder_decoder.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, model.facts().architecture, "training")
            .expecting("an encoder-decoder")
            .but_found("a model that reads one text")
    })
}
