//! A graph under construction, with what all layers of a network agree on.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::attention::with_memory;
use super::{Attend, Layout, next_memory, parameter};
use crate::graph::{Graph, Value};
use crate::ops::{self, Dropout};
use crate::tensor::{DType, TensorDesc};
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "recorder";

/// Records the layers of a network into a graph, which it stands for wherever a graph is asked for.
///
/// It knows the type that layers compute in, what training adds to them, and the caches of a stream; and it keeps the hidden states
/// between layers where these are wanted.
#[derive(Debug)]
pub struct Recorder<'g> {
    graph: &'g mut Graph,
    settings: Settings,
    /// Branches with dropout so far: each has random numbers of its own.
    branches: u32,
    /// Caches so far: layers are recorded in the same order into every graph.
    caches: usize,
    hidden: Option<Hidden>,
}

/// Hidden states between layers, by name.
#[derive(Debug)]
struct Hidden {
    states: Vec<(String, Value)>,
    /// What the next states are called, and the number of the next of them.
    name: &'static str,
    next: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    dtype: DType,
    training: Option<Training>,
    exchange: Option<Exchange>,
    /// With fixed weights, the longest segment that what is made of them alone is for.
    fixed: Option<usize>,
}

/// What takes the place of layers' attention.
#[derive(Clone, Debug)]
struct Exchange {
    attend: Arc<dyn Attend>,
    /// Numbers of the layers that take it; all where absent.
    layers: Option<Arc<[usize]>>,
    /// Layers so far whose attention can be exchanged, of whichever recorder of the network.
    recorded: Arc<AtomicUsize>,
}

impl Settings {
    /// A recorder for a part of the graph, whose first branch with dropout and whose first cache have these numbers.
    pub(crate) fn recorder<'g>(&self, graph: &'g mut Graph, branch: u32, cache: usize) -> Recorder<'g> {
        Recorder { graph, settings: self.clone(), branches: branch, caches: cache, hidden: None }
    }
}

/// What training adds to a network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Training {
    /// How much of what each layer adds to the residual stream is dropped, from 0 to below 1.
    pub dropout: f32,
    /// The seed of dropout.
    pub seed: u64,
    /// Dropout's step, as [`ops::dropout`] takes it.
    pub step: Option<Value>,
    /// Layers of a segment whose values are computed again for the gradients; 0 keeps everything.
    pub recompute: usize,
}

impl Deref for Recorder<'_> {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        self.graph
    }
}

impl DerefMut for Recorder<'_> {
    fn deref_mut(&mut self) -> &mut Graph {
        self.graph
    }
}

impl<'g> Recorder<'g> {
    /// Records for inference, with layers that compute in `dtype`.
    pub fn new(graph: &'g mut Graph, dtype: DType) -> Self {
        let settings = Settings { dtype, training: None, exchange: None, fixed: None };
        Self { graph, settings, branches: 0, caches: 0, hidden: None }
    }

    /// Records for training.
    #[must_use]
    pub fn training(mut self, training: Training) -> Self {
        self.settings.training = Some(training);
        self
    }

    /// Records for weights that stay as they are: what depends on them alone is read from the parameters that
    /// [`Model::with_derived`](crate::models::Model::with_derived) made of them for segments of at most `time` tokens, and layers may keep
    /// keys and values of a stream's earlier segments in place of what these were made of.
    #[must_use]
    pub fn with_fixed_weights(mut self, time: usize) -> Self {
        self.settings.fixed = Some(time);
        self
    }

    /// Where weights stay as they are, the longest segment that what is made of them alone is for.
    pub fn fixed_weights(&self) -> Option<usize> {
        self.settings.fixed
    }

    /// Puts `attend` in the place of the attention between the projections of every [`SelfAttention`](super::SelfAttention), its masks and
    /// score modifiers with it: to see what another method costs a trained model in error, and gains in time. Attention over another
    /// sequence stays, and so do layers with projections of their own, such as Longformer's.
    #[must_use]
    pub fn exchange(mut self, attend: Arc<dyn Attend>) -> Self {
        self.settings.exchange = Some(Exchange { attend, layers: None, recorded: Arc::default() });
        self
    }

    /// [`Recorder::exchange`] in some of these layers, by their numbers from 0 on in the order in which they are recorded.
    #[must_use]
    pub fn exchange_in(mut self, attend: Arc<dyn Attend>, layers: &[usize]) -> Self {
        let layers = Some(Arc::from(layers));
        self.settings.exchange = Some(Exchange { attend, layers, recorded: Arc::default() });
        self
    }

    /// What `attend`, or what was put in its place, makes of query, key and value.
    pub(crate) fn attend(
        &mut self,
        attend: &dyn Attend,
        [query, key, value]: [Value; 3],
        layout: &Layout,
    ) -> Result<Value> {
        let Some(other) = self.settings.exchange.clone() else {
            return attend.record(self, query, key, value, layout);
        };
        let number = other.recorded.fetch_add(1, Ordering::Relaxed);
        match &other.layers {
            Some(layers) if !layers.contains(&number) => attend.record(self, query, key, value, layout),
            _ => other.attend.record(self, query, key, value, layout),
        }
    }

    /// Fails when there is an attention to put in the place of others and no layer has taken it, or one that should does not exist.
    pub(crate) fn check_exchanged(&self) -> Result<()> {
        let Some(exchange) = &self.settings.exchange else { return Ok(()) };
        let recorded = exchange.recorded.load(Ordering::Relaxed);
        if recorded == 0 {
            return Err(Error::new(ErrorKind::Unsupported, NAME, "exchange")
                .expecting("a network with layers whose attention can be exchanged")
                .but_found("none"));
        }
        match exchange.layers.iter().flat_map(|layers| layers.iter()).find(|layer| **layer >= recorded) {
            Some(layer) => Err(Error::new(ErrorKind::Argument, NAME, "exchange")
                .expecting(format!("layers below {recorded}"))
                .but_found(layer)),
            None => Ok(()),
        }
    }

    /// Keeps hidden states for [`Recorder::take_hidden`].
    #[must_use]
    pub fn with_hidden(mut self) -> Self {
        self.hidden = Some(Hidden { states: Vec::new(), name: "hidden", next: 0 });
        self
    }

    /// The hidden states from here on are called `NAME.0`, `NAME.1` and so on; the first ones are `hidden.N`.
    pub fn name_hidden(&mut self, name: &'static str) {
        if let Some(hidden) = &mut self.hidden {
            (hidden.name, hidden.next) = (name, 0);
        }
    }

    /// The type that layers compute in.
    pub fn dtype(&self) -> DType {
        self.settings.dtype
    }

    /// Whether gradients will be asked for.
    pub fn is_training(&self) -> bool {
        self.settings.training.is_some()
    }

    /// What all recorders of the network agree on.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A weight, in the type that layers compute in and the shape that files have it in.
    ///
    /// Where a layer needs a weight otherwise, it is turned round in the graph, by ops that gradients pass through: a product takes `[in, out]` as
    /// it lies ([`Linear::declare_in_out`](super::Linear::declare_in_out)), queries, keys and values of one layer are cut from its product
    /// ([`Projections`](super::Projections)). So a parameter is a tensor of the files, under its name there: a training updates it in
    /// place and writes it back, several programs bind it, and no weight is held twice. Turning weights round once, when they are loaded, would
    /// gain little: the products of a step of GPT-2's shape read its `[in, out]` weights at 0.85 of the rate of an addition (`cargo bench --bench
    /// generate`, lavapipe), beyond which no other order of them can go far.
    pub fn weight(&mut self, weight: &Weight) -> Result<Value> {
        let dtype = self.dtype();
        parameter(self.graph, weight, dtype)
    }

    /// `x` with dropout, when training asks for it: what a layer adds to the residual stream.
    ///
    /// Fails when there is no step to draw random numbers for.
    pub fn dropout(&mut self, x: Value) -> Result<Value> {
        let stream = self.branches;
        self.branches += 1;
        let Some(Training { dropout: rate, seed, step, .. }) = self.settings.training else { return Ok(x) };
        if rate == 0.0 {
            return Ok(x);
        }
        let step = step.ok_or_else(|| {
            Error::new(ErrorKind::Argument, NAME, "step").expecting("dropout's step").but_found("none")
        })?;
        ops::dropout(self.graph, x, &Dropout { rate, seed, stream }, step)
    }

    /// `x` through `count` layers, which `record` records by number. Training keeps the values of whole segments or computes them again;
    /// hidden states are kept before the first layer and behind each.
    ///
    /// Fails as `record` does.
    pub fn layers(
        &mut self,
        count: usize,
        mut x: Value,
        mut record: impl FnMut(&mut Recorder<'_>, usize, Value) -> Result<Value>,
    ) -> Result<Value> {
        self.keep(x);
        let segment = self.settings.training.map_or(0, |training| training.recompute);
        if segment == 0 {
            for layer in 0..count {
                x = record(self, layer, x)?;
                self.keep(x);
            }
            return Ok(x);
        }
        let (settings, mut branches, caches) = (self.settings.clone(), self.branches, self.caches);
        for first in (0..count).step_by(segment) {
            x = self.graph.checkpoint(|graph| {
                let mut inner = settings.recorder(graph, branches, caches);
                let layers = first..count.min(first + segment);
                let recorded = layers.into_iter().try_fold(x, |x, layer| record(&mut inner, layer, x));
                branches = inner.branches;
                recorded
            })?;
            self.keep(x);
        }
        self.branches = branches;
        Ok(x)
    }

    /// Keeps `x` as a hidden state, where these are wanted.
    pub fn keep(&mut self, x: Value) {
        if let Some(hidden) = &mut self.hidden {
            hidden.states.push((format!("{}.{}", hidden.name, hidden.next), x));
            hidden.next += 1;
        }
    }

    /// Keeps `x` under a name of its own, where hidden states are wanted: what is none of a layer.
    pub fn keep_as(&mut self, name: &'static str, x: Value) {
        if let Some(hidden) = &mut self.hidden {
            hidden.states.push((name.to_owned(), x));
        }
    }

    /// The hidden state kept last becomes `x`: what a network's last normalisation makes of it.
    pub fn replace_last(&mut self, x: Value) {
        if let Some(last) = self.hidden.as_mut().and_then(|hidden| hidden.states.last_mut()) {
            last.1 = x;
        }
    }

    /// The hidden states so far with their names; none where they were not asked for.
    pub fn take_hidden(&mut self) -> Vec<(String, Value)> {
        self.hidden.take().map_or_else(Vec::new, |hidden| hidden.states)
    }

    /// Keys and values with those that a stream's caches hold before them: the same two where the layout has no caches, else
    /// `[batch, capacity, heads, size]` with the new rows, `[batch, time, heads, size]`, written from each stream's start on.
    ///
    /// Fails when the two do not fit the caches.
    pub fn cached(&mut self, [key, value]: [Value; 2], layout: &Layout) -> Result<[Value; 2]> {
        let Layout::Cached { starts, capacity } = *layout else { return Ok([key, value]) };
        let number = self.caches;
        self.caches += 1;
        let mut append = |name: &str, rows: Value| -> Result<Value> {
            let cache = self.kept_of(&format!("cache.{number}.{name}"), rows, capacity)?;
            let written = ops::write_rows(self.graph, cache, rows, starts)?;
            self.graph.update(cache, written)?;
            Ok(written)
        };
        Ok([append("key", key)?, append("value", value)?])
    }

    /// What layer `number` keeps of a stream's earlier segments, `[batch, length, width]`: at first zeros. From the next run on it holds the
    /// last `length` positions of these and `x: [batch, time, width]` behind them ([`next_memory`]).
    ///
    /// Fails when `x` has other axes, and when the graph has another state of this name: `memory.N`.
    pub fn memory(&mut self, number: usize, x: Value, length: usize) -> Result<Value> {
        let memory = self.kept_of(&format!("memory.{number}"), x, length)?;
        let next = next_memory(self.graph, Some(memory), x, length)?;
        self.graph.update(memory, next)?;
        Ok(memory)
    }

    /// Key and value, `[batch, time, width]` each, behind those that layer `number` keeps of a stream's earlier segments: `[batch, length +
    /// time, width]`. The states `memory.N.key` and `memory.N.value`, at first zeros, hold the last `length` of these from the next run on:
    /// where weights stay as they are, these need not be made anew of what [`Recorder::memory`] keeps.
    ///
    /// Fails as [`Recorder::memory`] does.
    pub fn memory_of_pairs(&mut self, number: usize, pair: [Value; 2], length: usize) -> Result<[Value; 2]> {
        let mut append = |name: &str, rows: Value| -> Result<Value> {
            let memory = self.kept_of(&format!("memory.{number}.{name}"), rows, length)?;
            let all = with_memory(self.graph, rows, Some(memory))?;
            let next = next_memory(self.graph, None, all, length)?;
            self.graph.update(memory, next)?;
            Ok(all)
        };
        Ok([append("key", pair[0])?, append("value", pair[1])?])
    }

    /// The state with `length` rows like those of `x: [batch, time, ..]`.
    fn kept_of(&mut self, name: &str, x: Value, length: usize) -> Result<Value> {
        let desc = self.graph.desc(x)?;
        let mut dims = desc.shape.dims().to_vec();
        if let Some(time) = dims.get_mut(1) {
            *time = length;
        }
        let desc = TensorDesc::new(desc.dtype, dims);
        self.graph.state(name, desc)
    }
}
