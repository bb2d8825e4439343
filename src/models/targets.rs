//! Encoder-decoders on a device: how they score target texts, given source texts.

use std::time::Duration;

use super::batch::rounded_time;
use super::{EncoderDecoder, Model, Task, Tokens};
use crate::graph::Graph;
use crate::plan::Watch;
use crate::runtime::{Device, Runner, Store};
use crate::tensor::{DType, HostTensor};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result, ops};

const NAME: &str = "targets";

/// An encoder-decoder with its weights on one device.
///
/// ```no_run
/// use foveate::DType;
/// use foveate::models::{Model, Targets, Task};
/// use foveate::processing::log_likelihood;
/// use foveate::runtime::Device;
///
/// # fn main() -> foveate::Result<()> {
/// let model = Model::open("t5-small", Task::Logits)?;
/// let mut targets = Targets::new(&model, &model.load(DType::F32)?, &Device::Cpu)?;
/// let (source, target) = ([13959, 1566, 12, 2379, 10, 25, 1], [368, 1]);
/// let scores = targets.run(&source, &target)?;
/// let logs = log_likelihood(&scores.to_f32(), &targets.begun(&target))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Targets {
    model: Model,
    texts: EncoderDecoder,
    dtype: DType,
    runner: Runner<[usize; 2]>,
}

impl Targets {
    /// Puts the weights on the device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] when the model is no encoder-decoder opened for [`Task::Logits`], when a weight is not finite in
    /// its type, and when the device is lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        let texts = model.network().signature().encoder_decoder;
        let Some(texts) = texts.filter(|_| model.task() == Task::Logits) else {
            return Err(Error::new(ErrorKind::Unsupported, NAME, model.facts().architecture)
                .expecting("an encoder-decoder, opened for logits")
                .but_found(if texts.is_some() { model.task().name() } else { "a model of one text" }));
        };
        let runner = Runner::new(&Store::upload(device, weights.iter())?);
        Ok(Self { model: model.clone(), texts, dtype: weights.dtype(), runner })
    }

    /// Checks the scores, and fails with [`ErrorKind::NotFinite`] where one is NaN or infinite, as [`Runner::watching`] says.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Self { runner: self.runner.watching(watch), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Time spent on planning and making programs so far.
    pub fn preparing(&self) -> Duration {
        self.runner.preparing()
    }

    /// What the decoder reads of a target: the start token, and the target behind it.
    pub fn begun(&self, target: &[u32]) -> Vec<u32> {
        [self.texts.start].iter().chain(target).copied().collect()
    }

    /// Scores of the whole vocabulary behind each token of [`Targets::begun`], f32 `[tokens, vocab_size]`: row `t` is about token `t` of
    /// `target`, and the last row about what follows it.
    ///
    /// Fails, before anything is run, when a text is too long for the model, the source is empty, or an id is outside the vocabulary; and when
    /// the device is lost or out of memory.
    pub fn run(&mut self, source: &[u32], target: &[u32]) -> Result<HostTensor> {
        let facts = *self.model.facts();
        let begun = self.begun(target);
        let bounds =
            [("source", source, self.texts.max_source_tokens), ("target", &begun[1..], facts.max_tokens - 1)];
        for (argument, ids, most) in bounds {
            let refused = || Error::new(ErrorKind::Argument, NAME, argument);
            if ids.len() > most || (argument == "source" && ids.is_empty()) {
                return Err(refused().expecting(format!("1 to {most} tokens")).but_found(ids.len()));
            }
            if let Some(id) = ids.iter().find(|id| **id as usize >= facts.vocab_size) {
                return Err(refused().expecting(format!("ids below {}", facts.vocab_size)).but_found(id));
            }
        }
        // Few sizes on devices that make a program for each.
        let planned = self.runner.device().is_planned();
        let rounded = |time: usize, most: usize| match planned {
            true => rounded_time(time).min(most),
            false => time,
        };
        let size =
            [rounded(source.len(), self.texts.max_source_tokens), rounded(begun.len(), facts.max_tokens)];
        let rows = |ids: &[u32], time: usize| {
            let ids = ids.iter().map(|&id| id as i32).chain(std::iter::repeat(0)).take(time).collect();
            HostTensor::i32([1, time], ids)
        };
        let places = |time: usize| {
            HostTensor::i32([1, time], (0..time).map(|at| (facts.first_position + at) as i32).collect())
        };
        let count = |ids: &[u32]| HostTensor::i32([1], vec![ids.len() as i32]);
        let inputs = [
            ("source_ids", rows(source, size[0])?),
            ("source_positions", places(size[0])?),
            ("source_lengths", count(source)?),
            ("ids", rows(&begun, size[1])?),
            ("positions", places(size[1])?),
            ("types", rows(&[], size[1])?),
            ("lengths", count(&begun)?),
        ];
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let (model, dtype) = (&self.model, self.dtype);
        let outputs = self.runner.run(size, &inputs, || graph(model, dtype, size))?;
        let scores = outputs.values().next().map(HostTensor::to_f32).unwrap_or_default();
        let width = scores.len() / size[1];
        HostTensor::f32([begun.len(), width], scores[..begun.len() * width].to_vec())
    }
}

/// The graph that scores a target, with padding behind both texts: the output `logits`, `[time, vocab_size]`.
fn graph(model: &Model, dtype: DType, [source, time]: [usize; 2]) -> Result<Graph> {
    let mut graph = Graph::new();
    let tokens = Tokens::padded(&mut graph, 1, time)?.with_source(&mut graph, source)?;
    let scores = model.record(&mut graph, &tokens, dtype)?;
    let width = graph.desc(scores)?.shape.dims().last().copied().unwrap_or(1);
    let scores = ops::reshape(&mut graph, scores, [time, width])?;
    graph.output("logits", scores)?;
    Ok(graph)
}
