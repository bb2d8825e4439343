//! Recurrent models on a device: texts are read segment by segment, and layers keep what they need of those before.
//!
//! As weights stay as they are, layers keep keys and values of earlier segments, not the hidden states that these are made of, and the keys of
//! positions are made once. [`Segments::with_hidden_memory`] keeps hidden states, as published programs do.

use std::time::Duration;

use super::{Model, RESULT, Task, Tokens};
use crate::graph::{Graph, Value};
use crate::nn::{Layout, LayoutKind, Recorder};
use crate::plan::Watch;
use crate::runtime::{Device, Outputs, Runner, State, Store};
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::weights::Weights;
use crate::{Error, ErrorKind, Result, ops};

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
    /// The weights alone.
    weights: Store,
    runner: Runner<Size>,
    /// The longest segment that what is made of the weights alone is for; none where memories are hidden states.
    longest: Option<usize>,
    keeps_hidden: bool,
    watch: Option<Watch>,
    /// What runners took to prepare that were replaced.
    prepared: Duration,
}

/// A runner of graphs with these weights, whose results are looked at.
fn runner(weights: &Store, watch: Option<Watch>) -> Runner<Size> {
    let runner = Runner::new(weights);
    match watch {
        Some(watch) => runner.watching(watch),
        None => runner,
    }
}

/// Which graph a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    streams: usize,
    time: usize,
    result: Wanted,
}

/// What a run gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// The task's result for every token.
    Results,
    /// The results and the hidden states of all layers.
    Hidden,
    /// One number a token: the result's for the token that follows.
    Targets,
}

impl Segments {
    /// Puts the weights on the device.
    ///
    /// Fails with [`ErrorKind::Unsupported`] when the model is not recurrent, when a weight is not finite in its type, and when the device is
    /// lost or out of memory.
    pub fn new(model: &Model, weights: &Weights, device: &Device) -> Result<Self> {
        let signature = model.network().signature();
        if signature.sound.is_some() || !signature.takes(LayoutKind::Recurrent) {
            return Err(Error::new(ErrorKind::Unsupported, NAME, model.facts().architecture)
                .expecting("a recurrent model of texts")
                .but_found("one without memories"));
        }
        let weights_on_device = Store::upload(device, weights.iter())?;
        let mut segments = Self {
            model: model.clone(),
            dtype: weights.dtype(),
            runner: Runner::new(&weights_on_device),
            weights: weights_on_device,
            longest: Some(0),
            keeps_hidden: false,
            watch: None,
            prepared: Duration::ZERO,
        };
        segments.prepare(1)?;
        Ok(segments)
    }

    /// Keeps as memories what layers read of earlier segments, `memory.N: [streams, length, width]`, in place of the keys and values
    /// made of it, `memory.N.key` and `memory.N.value`. Results are the same; each segment takes longer. Streams of the one are none of the other.
    ///
    /// Layers that normalise what they read keep it in any case, as their keys of memories of zeros are no zeros.
    #[must_use]
    pub fn with_hidden_memory(self) -> Self {
        let prepared = self.preparing();
        Self { runner: runner(&self.weights, self.watch), longest: None, prepared, ..self }
    }

    /// Also gives the hidden states of all layers: `hidden.0` (what the first layer reads) and so on.
    #[must_use]
    pub fn with_hidden(self) -> Self {
        Self { keeps_hidden: true, ..self }
    }

    /// Checks the results of every segment and, with [`Watch::Results`], the memories, and fails with [`ErrorKind::NotFinite`] where a number is NaN
    /// or infinite, as [`Runner::watching`] says.
    #[must_use]
    pub fn watching(self, watch: Watch) -> Self {
        Self { runner: self.runner.watching(watch), watch: Some(watch), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Time spent on planning and making programs so far.
    pub fn preparing(&self) -> Duration {
        self.prepared + self.runner.preparing()
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
        State::new(&self.runner.device(), &self.graph(Size { streams, time: 1, result: Wanted::Results })?)
    }

    /// Reads the next segment of each stream, all of one length, and gives the task's result for every token, `[streams, time, ..]`, by name:
    /// `log_probs` for [`Task::Logits`](super::Task::Logits), `result` for hidden states.
    ///
    /// Fails, before memories change, when there is not one segment for each stream, they are empty or differ in their lengths, an id is
    /// outside the vocabulary, or `streams` are another model's; and when the device is lost or out of memory.
    pub fn run(&mut self, streams: &mut State, segments: &[impl AsRef<[u32]>]) -> Result<Outputs> {
        let segments: Vec<&[u32]> = segments.iter().map(AsRef::as_ref).collect();
        let result = if self.keeps_hidden { Wanted::Hidden } else { Wanted::Results };
        self.run_for(streams, &segments, result, None)
    }

    /// Reads the next segment of each stream as [`Segments::run`] does, and gives the logarithm of the probability of each token of `targets`,
    /// f32 `[streams, time]`: `targets[i][t]` is what follows token `t` of segment `i`. Nothing else leaves the device.
    ///
    /// Fails as [`Segments::run`] does; for another task than [`Task::Logits`], when targets are not as many as tokens, and when one is outside
    /// the vocabulary.
    pub fn log_likelihoods(
        &mut self,
        streams: &mut State,
        segments: &[impl AsRef<[u32]>],
        targets: &[impl AsRef<[u32]>],
    ) -> Result<HostTensor> {
        let segments: Vec<&[u32]> = segments.iter().map(AsRef::as_ref).collect();
        let targets: Vec<&[u32]> = targets.iter().map(AsRef::as_ref).collect();
        let refused = |argument: String| Error::new(ErrorKind::Argument, NAME, argument);
        if self.model.task() != Task::Logits {
            return Err(refused("task".into()).expecting("Logits").but_found(self.model.task().name()));
        }
        let [wanted, found] =
            [&segments, &targets].map(|all| all.iter().map(|ids| ids.len()).collect::<Vec<_>>());
        if wanted != found {
            return Err(refused("targets".into())
                .expecting(format!("as many as there are tokens, {wanted:?}"))
                .but_found(format!("{found:?}")));
        }
        let vocabulary = self.model.facts().vocab_size;
        let targets = targets.concat();
        if let Some(id) = targets.iter().find(|id| **id as usize >= vocabulary) {
            return Err(refused("targets".into()).expecting(format!("ids below {vocabulary}")).but_found(id));
        }
        let Ok(_) = i32::try_from(targets.len().saturating_mul(vocabulary)) else {
            return Err(Error::new(ErrorKind::Limit, NAME, "segments")
                .expecting(format!("at most {} tokens together", i32::MAX as usize / vocabulary))
                .but_found(targets.len()));
        };
        let place = |(token, id): (usize, u32)| (token * vocabulary) as i32 + id as i32;
        let places = targets.into_iter().enumerate().map(place).collect::<Vec<_>>();
        let places = HostTensor::i32([places.len()], places)?;
        let mut outputs = self.run_for(streams, &segments, Wanted::Targets, Some(&places))?;
        let missing =
            || Error::new(ErrorKind::Binding, NAME, RESULT).expecting("an output").but_found("none");
        outputs.remove(RESULT).ok_or_else(missing)
    }

    fn run_for(
        &mut self,
        streams: &mut State,
        segments: &[&[u32]],
        result: Wanted,
        places: Option<&HostTensor>,
    ) -> Result<Outputs> {
        let time = self.check(streams, segments)?;
        self.prepare(time)?;
        let size = Size { streams: segments.len(), time, result };
        let ids = segments.concat().into_iter().map(|id| id as i32).collect();
        let ids = HostTensor::i32([size.streams, time], ids)?;
        let inputs: Vec<_> = [("ids", &ids)].into_iter().chain(places.map(|it| ("places", it))).collect();
        let graph = Recording { model: &self.model, dtype: self.dtype, longest: self.longest };
        self.runner.run_stream(size, streams, &inputs, || graph.record(size))
    }

    /// Makes what depends on the weights alone, for segments of at most `time` tokens.
    fn prepare(&mut self, time: usize) -> Result<()> {
        let Some(longest) = self.longest.filter(|longest| *longest < time) else { return Ok(()) };
        let graph = self.model.derived_graph(self.dtype, time)?;
        let known = self.runner.weights().descs();
        let is_known = |(name, value): &(String, Value)| {
            let desc = graph.desc(*value)?;
            Ok(known.iter().any(|(known, of)| known == name && of == desc))
        };
        let all_known = graph.outputs().iter().map(is_known).collect::<Result<Vec<bool>>>()?;
        if longest == 0 || all_known.contains(&false) {
            let weights = self.model.with_derived(&self.weights, self.dtype, time)?;
            self.prepared = self.preparing();
            self.runner = runner(&weights, self.watch);
        }
        self.longest = Some(time);
        Ok(())
    }

    fn graph(&self, size: Size) -> Result<Graph> {
        Recording { model: &self.model, dtype: self.dtype, longest: self.longest }.record(size)
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

/// What the graphs of all sizes have in common.
#[derive(Clone, Copy)]
struct Recording<'m> {
    model: &'m Model,
    dtype: DType,
    longest: Option<usize>,
}

impl Recording<'_> {
    /// The graph of the next segment: the input `ids`, `[streams, time]`, and what is wanted as outputs; of targets, `places` among all
    /// results besides.
    fn record(self, size: Size) -> Result<Graph> {
        let mut graph = Graph::new();
        let tokens = Tokens::segments(&mut graph, [size.streams, size.time])?;
        let mut recorder = Recorder::new(&mut graph, self.dtype);
        if let Some(longest) = self.longest {
            recorder = recorder.with_fixed_weights(longest);
        }
        if size.result == Wanted::Hidden {
            recorder = recorder.with_hidden();
        }
        let result = self.model.record_with(&mut recorder, &tokens)?;
        let hidden = recorder.take_hidden();
        if size.result == Wanted::Targets {
            let places = graph.input("places", TensorDesc::i32([size.streams * size.time]))?;
            let count = graph.desc(result)?.elements();
            let all = ops::reshape(&mut graph, result, [count, 1])?;
            let chosen = ops::embedding(&mut graph, &[(all, places)])?;
            let chosen = ops::reshape(&mut graph, chosen, [size.streams, size.time])?;
            graph.output(RESULT, chosen)?;
            return Ok(graph);
        }
        graph.output(self.model.first_result(), result)?;
        for (name, value) in hidden {
            graph.output(&name, value)?;
        }
        Ok(graph)
    }
}
