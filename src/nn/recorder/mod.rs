//! The recorder: a graph under construction, with the settings that all layers of a network share.

mod exchange;
mod states;

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Reversible, parameter};
use crate::graph::{Graph, Value};
use crate::ops::{self, Dropout};
use crate::tensor::{DType, HostTensor};
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};
use exchange::Exchange;

const NAME: &str = "recorder";

/// Records the layers of a network into a graph, and dereferences to that graph.
///
/// It has the type that layers compute in, the settings of training (dropout, recomputation) and the caches of a stream; and it keeps the hidden
/// states between layers where these are asked for.
#[derive(Debug)]
pub struct Recorder<'g> {
    graph: &'g mut Graph,
    settings: Settings,
    /// Branches with dropout so far: each has random numbers of its own.
    branches: u32,
    /// Caches so far: layers are recorded in the same order into every graph.
    caches: usize,
    hidden: Option<Hidden>,
    /// What layers add to the loss, so far.
    losses: Vec<Value>,
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
    /// What stands for numbers that layers would draw, by name.
    draws: Arc<[(String, Value)]>,
}

impl Settings {
    /// A recorder for a part of the graph, whose first branch with dropout and whose first cache have these numbers.
    pub(crate) fn recorder<'g>(&self, graph: &'g mut Graph, branch: u32, cache: usize) -> Recorder<'g> {
        Recorder {
            graph,
            settings: self.clone(),
            branches: branch,
            caches: cache,
            hidden: None,
            losses: Vec::new(),
        }
    }
}

/// Settings of training that change how layers are recorded.
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
    /// Whether nothing is to change that a step would, such as centroids: the loss is looked at, as in a validation.
    pub evaluates: bool,
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
        let settings = Settings { dtype, training: None, exchange: None, fixed: None, draws: Arc::default() };
        Self { graph, settings, branches: 0, caches: 0, hidden: None, losses: Vec::new() }
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

    /// Takes these values of the graph in the place of random numbers that layers would draw for themselves, by the names that layers give them: inputs
    /// that hold others at each step of a training, or constants of another program, to compare with what it computes.
    #[must_use]
    pub fn with_draws(mut self, draws: Vec<(String, Value)>) -> Self {
        self.settings.draws = draws.into();
        self
    }

    /// The random numbers `name` of a layer: those of [`Recorder::with_draws`], else what `draw` draws, the same for every graph.
    ///
    /// Fails as `draw` does.
    pub fn draw(&mut self, name: &str, draw: impl FnOnce() -> Result<HostTensor>) -> Result<Value> {
        match self.settings.draws.iter().find(|(known, _)| known == name) {
            Some(&(_, drawn)) => Ok(drawn),
            None => ops::constant(self.graph, draw()?),
        }
    }

    /// Where weights stay as they are, the longest segment that what is made of them alone is for.
    pub fn fixed_weights(&self) -> Option<usize> {
        self.settings.fixed
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

    /// Whether a step of a training is recorded, in which layers may move what no gradient reaches.
    pub fn changes_weights(&self) -> bool {
        self.settings.training.is_some_and(|training| !training.evaluates)
    }

    /// What a layer adds to the loss in training, f32 `[1]`: [`Recorder::take_losses`] has it.
    pub fn add_loss(&mut self, loss: Value) {
        self.losses.push(loss);
    }

    /// What layers so far add to the loss, each f32 `[1]`.
    pub fn take_losses(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.losses)
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
        let mut losses = self.take_losses();
        for first in (0..count).step_by(segment) {
            x = self.graph.checkpoint(|graph| {
                let mut inner = settings.recorder(graph, branches, caches);
                let layers = first..count.min(first + segment);
                let recorded = layers.into_iter().try_fold(x, |x, layer| record(&mut inner, layer, x));
                branches = inner.branches;
                losses.append(&mut inner.losses);
                recorded
            })?;
            self.keep(x);
        }
        (self.branches, self.losses) = (branches, losses);
        Ok(x)
    }

    /// The results `[y1, y2]` of a reversible layer, `y1 = x1 + f(x2)` and `y2 = x2 + g(y1)`. Training computes the arguments anew from the results
    /// ([`Reversible`]), so that layers take the memory of one; the two streams are then f32.
    ///
    /// Fails as `f` and `g` do.
    pub fn reversible(
        &mut self,
        [x1, x2]: [Value; 2],
        f: impl Fn(&mut Recorder<'_>, Value) -> Result<Value>,
        g: impl Fn(&mut Recorder<'_>, Value) -> Result<Value>,
    ) -> Result<[Value; 2]> {
        if self.settings.training.is_none() {
            let made = f(self, x2)?;
            let y1 = ops::add(self.graph, x1, made)?;
            let made = g(self, y1)?;
            return Ok([y1, ops::add(self.graph, x2, made)?]);
        }
        let [x1, x2] = [x1, x2].map(|x| ops::converted(self.graph, x, DType::F32));
        let (settings, caches, branches) = (&self.settings, self.caches, Cell::new(self.branches));
        let losses = RefCell::new(Vec::new());
        let inner = |graph: &mut Graph, x, part: &dyn Fn(&mut Recorder<'_>, Value) -> Result<Value>| {
            let mut inner = settings.recorder(graph, branches.get(), caches);
            let made = part(&mut inner, x);
            branches.set(inner.branches);
            losses.borrow_mut().append(&mut inner.losses);
            made
        };
        let layer = Reversible::new(
            |graph: &mut Graph, x| inner(graph, x, &f),
            |graph: &mut Graph, x| inner(graph, x, &g),
        );
        let results = layer.record(self.graph, [x1?, x2?]);
        self.branches = branches.get();
        self.losses.append(&mut losses.into_inner());
        results
    }

    /// Keeps `x` as a hidden state, where these are wanted.
    pub fn keep(&mut self, x: Value) {
        if let Some(hidden) = &mut self.hidden {
            hidden.states.push((format!("{}.{}", hidden.name, hidden.next), x));
            hidden.next += 1;
        }
    }

    /// Keeps `x` under a name of its own, where hidden states are wanted: what lies before the first layer, or what a layer has found beside its
    /// hidden state.
    pub fn keep_as(&mut self, name: impl Into<String>, x: Value) {
        if let Some(hidden) = &mut self.hidden {
            hidden.states.push((name.into(), x));
        }
    }

    /// Replaces the hidden state kept last by `x`, such as the result of the network's last normalisation.
    pub fn replace_last(&mut self, x: Value) {
        if let Some(last) = self.hidden.as_mut().and_then(|hidden| hidden.states.last_mut()) {
            last.1 = x;
        }
    }

    /// The hidden states so far with their names; none where they were not asked for.
    pub fn take_hidden(&mut self) -> Vec<(String, Value)> {
        self.hidden.take().map_or_else(Vec::new, |hidden| hidden.states)
    }
}
