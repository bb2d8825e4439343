//! The loss of models that transcribe, on padded batches of sounds.

use super::Inputs;
use crate::graph::{Graph, Value};
use crate::models::{Model, Sound, Task};
use crate::nn::{Layout, Recorder, Training};
use crate::ops::loss::{Alignment, Ctc, check_targets, ctc};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::{Error, ErrorKind, Result, ops};

/// The extents of a batch of sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundBatch {
    /// Sounds.
    pub batch: usize,
    /// Steps of each, padding included: samples or rows of features.
    pub steps: usize,
    /// Symbols of each, padding included.
    pub labels: usize,
}

/// A sound and what is said in it.
#[derive(Clone, Copy, Debug)]
pub struct Utterance<'a> {
    /// Samples, or features one row behind another, as the model reads them.
    pub sound: &'a [f32],
    /// Its symbols, none of them the blank.
    pub symbols: &'a [u32],
}

/// Records the mean over a batch of the CTC loss of each sound, divided by its number of symbols (PyTorch's `ctc_loss` with `mean`). Inputs: `sound: f32
/// [batch, steps, channels]`, `lengths: i32 [batch]` in frames, `targets: i32 [batch, labels]` and `labels: i32 [batch]`, how many of them count. The
/// result is f32 `[1]`. The blank is symbol 0.
///
/// With `training` batch normalisations take the statistics of the batch and move their running averages; without, as in an evaluation, they take
/// these. Layers compute in `dtype`. Fails when the model was not opened for [`Task::Transcribe`], when sounds are shorter than a frame, and when there
/// is dropout and no step.
pub fn ctc_loss(
    graph: &mut Graph,
    model: &Model,
    size: SoundBatch,
    dtype: DType,
    training: Option<Training>,
) -> Result<Value> {
    let frames = model.frames_for(Some(Task::Transcribe))?;
    let SoundBatch { batch, steps, labels } = size;
    let values = Sound::whole(graph, &frames, [batch, steps])?.values;
    let lengths = graph.input("lengths", TensorDesc::i32([batch]))?;
    let sound = Sound { values, layout: Layout::Padded { lengths } };
    let targets = graph.input("targets", TensorDesc::i32([batch, labels]))?;
    let counts = graph.input("labels", TensorDesc::i32([batch]))?;
    let mut recorder = Recorder::new(graph, dtype);
    if let Some(training) = training {
        recorder = recorder.training(training);
    }
    let results = model.record_sound(&mut recorder, &sound)?;
    let [(_, logits)] = results[..] else {
        return Err(Error::new(ErrorKind::Unsupported, model.facts().architecture, "results")
            .expecting("one, to compute a loss of")
            .but_found(results.len()));
    };
    let alignment = Alignment { targets, frames: lengths, labels: counts };
    let losses = ctc(graph, logits, &alignment, &Ctc::new())?;
    let counts = ops::cast(graph, counts, DType::F32)?;
    let one = ops::fill(graph, TensorDesc::f32([1]), 1.0)?;
    let counts = ops::maximum(graph, counts, one)?;
    let shares = ops::divide(graph, losses, counts)?;
    let mean = ops::mean(graph, shares, &[0])?;
    ops::reshape(graph, mean, [1])
}

/// The inputs of [`ctc_loss`] for `utterances`, padded with zeros to `size`.
///
/// Fails when there are more or longer utterances than it has room for, for a sound that is no whole number of steps or shorter than a frame, for symbols
/// that the model has not or that are the blank, and for more of them than the sound's frames can hold.
pub fn ctc_inputs(model: &Model, utterances: &[Utterance<'_>], size: SoundBatch) -> Result<Inputs> {
    let frames = model.frames_for(Some(Task::Transcribe))?;
    let channels = frames.channels();
    let SoundBatch { batch, steps, labels } = size;
    let refused = |argument: String| Error::new(ErrorKind::Argument, "ctc inputs", argument);
    if utterances.len() != batch {
        return Err(refused("utterances".to_owned()).expecting(batch).but_found(utterances.len()));
    }
    let mut sounds = vec![0.0; batch * steps * channels];
    let mut targets = vec![-1; batch * labels];
    let mut counts = Vec::with_capacity(batch);
    for (item, Utterance { sound, symbols }) in utterances.iter().enumerate() {
        let own = sound.len() / channels;
        let count = frames.count(own);
        if !sound.len().is_multiple_of(channels) || own > steps || count == 0 {
            return Err(refused(format!("sound {item}"))
                .expecting(format!("{} to {steps} steps of {channels}", frames.span))
                .but_found(format!("{} numbers", sound.len())));
        }
        if symbols.len() > labels {
            let error = refused(format!("target {item}"));
            return Err(error.expecting(format!("at most {labels} symbols")).but_found(symbols.len()));
        }
        sounds[item * steps * channels..][..sound.len()].copy_from_slice(sound);
        let row = targets[item * labels..].iter_mut();
        row.zip(*symbols).for_each(|(target, &symbol)| *target = symbol as i32);
        counts.push(count);
    }
    let symbols: Vec<&[u32]> = utterances.iter().map(|utterance| utterance.symbols).collect();
    check_targets(&symbols, &counts, model.facts().vocab_size as u32, &Ctc::new())?;
    let numbers = |numbers: &mut dyn Iterator<Item = usize>| {
        HostTensor::i32([batch], numbers.map(|number| number as i32).collect())
    };
    Ok(vec![
        ("sound", HostTensor::f32([batch, steps, channels], sounds)?),
        ("lengths", numbers(&mut counts.into_iter())?),
        ("targets", HostTensor::i32([batch, labels], targets)?),
        ("labels", numbers(&mut symbols.iter().map(|symbols| symbols.len()))?),
    ])
}
