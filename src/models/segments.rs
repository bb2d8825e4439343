//! Recurrent models on a device: texts are read segment by segment, and layers keep what they need of those before.

use super::{Model, RESULT, Tokens};
use crate::graph::Graph;
use crate::nn::{Layout, Recorder};
use crate::plan::Watch;
use crate::runtime::{Device, Outputs, Runner, State, Store};
use crate::tensor::{DType, HostTensor};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "segments";

impl Tokens {
    /// The next `time` tokens of `batch` streams with memories: the input `ids`, positions from 0 on, and one text each.
    pub fn segments(graph: &mut Graph, [batch, time]: [usize; 2]) -> Result<Self> {
        Ok(Self { layout: Layout::Recurrent, ..Self::rows(graph, [batch, time], 0)? })
    }
}

/// A recurrent model with its weights on one device.
///
/// ```no_run
/// use foveate::DType;
/// use foveate::models::{Model, Segments, Task};
/// use foveate::runtime::Device;
///
/// # fn main() -> foveate::Result<()> {
/// let model = Model::open("transfo-xl-wt103", Task::Logits)?;
/// let mut segments = Segments::new(&model, &model.load(DType::F32)?, &Device::Cpu)?;
/// let mut stream = segments.start(1)?;
/// for ids in [&[14, 2, 9][..], &[7, 3]] {
///     let log_probs = &segments.run(&mut stream, &[ids])?["log_probs"];
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Segments {
    model: Model,
    dtype: DType,
    runner: Runner<[usize; 2]>,
    keeps_hidden: bool,
}

impl Segments {
    /// Puts the weights on the device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] when the model is not recurrent, when a weight is not finite in its type, and when the device is
    /// lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        if !model.network().signature().is_recurrent {
            return Err(Error::new(ErrorKind::Unsupported, NAME, model.facts().architecture)
                .expecting("a recurrent model")
                .but_found("one without memories"));
        }
        let runner = Runner::new(&Store::upload(device, weights.iter())?);
        Ok(Self { model: model.clone(), dtype: weights.dtype(), runner, keeps_hidden: false })
    }

    /// Gives the hidden states of all layers besides, `hidden.0` (what the first layer reads) and so on.
    #[must_use]
    pub fn with_hidden(self) -> Self {
        Self { keeps_hidden: true, ..self }
    }

    /// Looks at the results of every segment and, with [`Watch::Results`], at the memories, and fails with [`ErrorKind::NotFinite`] where a
    /// number is NaN or infinite, as [`Runner::watching`] says.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Self { runner: self.runner.watching(watch), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// `streams` streams that run together, at the beginning of their texts: memories of zeros.
    ///
    /// Fails when there is none, and when the device has no room.
    pub fn start(&self, streams: usize) -> Result<State> {
        let most = 1 << 16;
        if !(1..=most).contains(&streams) {
            return Err(Error::new(ErrorKind::Argument, NAME, "streams")
                .expecting(format!("1 to {most}"))
                .but_found(streams));
        }
        State::new(&self.runner.device(), &graph(&self.model, self.dtype, [streams, 1], false)?)
    }

    /// Reads the next segment of each stream, all of one length, and gives the task's result for every token, `[streams, time, ..]`, by name:
    /// `log_probs` for [`Task::Logits`](super::Task::Logits), `result` for hidden states.
    ///
    /// Fails, before memories change, when there is not one segment for each stream, they are empty or differ in their lengths, an id is
    /// outside the vocabulary, or `streams` are another model's; and when the device is lost or out of memory.
    pub fn run(&mut self, streams: &mut State, segments: &[impl AsRef<[u32]>]) -> Result<Outputs> {
        let segments: Vec<&[u32]> = segments.iter().map(AsRef::as_ref).collect();
        let time = self.check(streams, &segments)?;
        let size = [segments.len(), time];
        let ids = HostTensor::i32(size, segments.concat().into_iter().map(|id| id as i32).collect())?;
        let (model, dtype, keeps_hidden) = (&self.model, self.dtype, self.keeps_hidden);
        let record = || graph(model, dtype, size, keeps_hidden);
        self.runner.run_stream(size, streams, &[("ids", &ids)], record)
    }

    /// The length of the segments.
    fn check(&self, streams: &State, segments: &[&[u32]]) -> Result<usize> {
        let facts = self.model.facts();
        let descs = streams.store().descs();
        let held = descs.first().and_then(|(_, desc)| desc.shape.dims().first().copied()).unwrap_or(0);
        let refused = |argument: String| Error::new(ErrorKind::Argument, NAME, argument);
        if segments.is_empty() || segments.len() != held {
            return Err(refused("segments".into())
                .expecting(format!("{held}, one a stream"))
                .but_found(segments.len()));
        }
        let time = segments[0].len();
        for (i, ids) in segments.iter().enumerate() {
            if ids.len() != time || !(1..=facts.max_tokens).contains(&time) {
                return Err(refused(format!("segment {i}"))
                    .expecting(format!("1 to {} tokens, as many as the others", facts.max_tokens))
                    .but_found(ids.len()));
            }
            if let Some(id) = ids.iter().find(|id| **id as usize >= facts.vocab_size) {
                return Err(refused(format!("segment {i}"))
                    .expecting(format!("ids below {}", facts.vocab_size))
                    .but_found(id));
            }
        }
        Ok(time)
    }
}

/// The graph of the next segment, `[streams, time]`: the input `ids`, and the task's results and hidden states as outputs.
fn graph(model: &Model, dtype: DType, size: [usize; 2], keeps_hidden: bool) -> Result<Graph> {
    let mut graph = Graph::new();
    let tokens = Tokens::segments(&mut graph, size)?;
    let mut recorder = Recorder::new(&mut graph, dtype);
    if keeps_hidden {
        recorder = recorder.with_hidden();
    }
    let result = model.record_with(&mut recorder, &tokens)?;
    let hidden = recorder.take_hidden();
    let head = model.declared.head.as_ref().and_then(|head| head.results.first());
    graph.output(head.map_or(RESULT, |result| result.name), result)?;
    for (name, value) in hidden {
        graph.output(&name, value)?;
    }
    Ok(graph)
}
