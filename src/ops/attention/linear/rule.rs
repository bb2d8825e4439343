//! The settings of linear attention, and what they read beside query, key and value.

use super::NAME;
use crate::graph::{Graph, Value};
use crate::ops::attention::{Dims, UNLIMITED};
use crate::ops::contract::Contract;
use crate::ops::{Activation, broadcast, softmax, transpose};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// From queries or keys to features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeatureMap {
    /// They are features already, made by other ops, such as random features (FAVOR+,
    /// [`softmax_kernel_features`](super::softmax_kernel_features)) or features of positions (cosFormer,
    /// [`cosine_features`](super::cosine_features)); or there is no map. With a denominator it is the caller who sees to it that no sum of scores is near 0.
    Given,
    /// A function of each channel, a row of the table of [`Activation`]s: [`Activation::EluPlusOne`] (arXiv 2006.16236),
    /// [`Activation::Relu`], [`Activation::SquaredRelu`], [`Activation::Exp`]. With a denominator it must be one that is never negative.
    Elementwise(Activation),
    /// Softmax of the channels of each row.
    SoftmaxOfChannels,
    /// Of keys alone: softmax of each channel over all times, so that with [`FeatureMap::SoftmaxOfChannels`] of queries no denominator is needed
    /// (efficient attention, arXiv 1812.01243, equation 5). Every query sees every key then: neither a causal rule nor lengths, segments or
    /// a state fit.
    SoftmaxOverTime,
}

/// What a row's sum of weighted values is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Denominator {
    /// The sum of the row's scores, and this.
    Plus(f32),
    /// The sum of the row's scores, but at least this.
    AtLeast(f32),
}

/// What a text has added to the sums over its keys, in f32. The first token of its continuation starts from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearState<T = Value> {
    /// `sum_j y_j v_j^T`: `[batch, kv_heads, head_size, value_size]`.
    pub sums: T,
    /// `sum_j y_j`: `[batch, kv_heads, head_size]`, where there is a denominator.
    pub normalizer: Option<T>,
}

/// Settings of [`linear_attention`](super::linear_attention). `T` is what stands for a tensor: a value of a graph, or a name.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearAttention<T = Value> {
    maps: [FeatureMap; 2],
    is_causal: bool,
    denominator: Option<Denominator>,
    scale: f32,
    chunk: Option<u32>,
    lengths: Option<T>,
    segments: Option<T>,
    state: Option<LinearState<T>>,
    decay: Option<T>,
}

impl<T> Default for LinearAttention<T> {
    fn default() -> Self {
        Self {
            maps: [FeatureMap::Elementwise(Activation::EluPlusOne); 2],
            is_causal: false,
            denominator: Some(Denominator::Plus(1e-6)),
            scale: 1.0,
            chunk: None,
            lengths: None,
            segments: None,
            state: None,
            decay: None,
        }
    }
}

impl<T> LinearAttention<T> {
    /// Every key, features `elu(x) + 1`, and a denominator to which 1e-6 is added (arXiv 2006.16236 and its published code).
    pub fn new() -> Self {
        Self::default()
    }

    /// The features of queries and keys.
    #[must_use]
    pub fn feature_map(self, map: FeatureMap) -> Self {
        Self { maps: [map; 2], ..self }
    }

    /// The features of queries, and those of keys.
    #[must_use]
    pub fn feature_maps(self, query: FeatureMap, key: FeatureMap) -> Self {
        Self { maps: [query, key], ..self }
    }

    /// A query sees the keys up to its own position.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// The denominator, in place of what was set before.
    #[must_use]
    pub fn denominator(self, denominator: Denominator) -> Self {
        Self { denominator: Some(denominator), ..self }
    }

    /// No denominator.
    #[must_use]
    pub fn unnormalised(self) -> Self {
        Self { denominator: None, ..self }
    }

    /// The factor of all scores; 1 when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// How many times are a chunk, when the kernels shall not choose. Where the states of so many chunks would not fit a storage binding,
    /// chunks are longer.
    #[must_use]
    pub fn chunk(self, times: u32) -> Self {
        Self { chunk: Some(times), ..self }
    }

    /// How many keys of each batch item there are, `i32 [batch]`: no query sees one behind. Numbers below 0 count as 0, and those above
    /// `key_time` as that.
    #[must_use]
    pub fn lengths(self, lengths: T) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Packed sequences, `i32 [batch, time]`: neighbours of equal id are a sequence, and a query sees the keys of its own.
    #[must_use]
    pub fn segments(self, ids: T) -> Self {
        Self { segments: Some(ids), ..self }
    }

    /// What stands before the first key, as a run before has left it. It belongs to the first of packed sequences.
    #[must_use]
    pub fn state(self, state: LinearState<T>) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Each key's step first multiplies the state by `exp(log_decay)`, one number for each key head, f32 `[kv_heads]` (retention, arXiv
    /// 2307.08621, equation 3), or one for each of its steps, `[batch, time, kv_heads]` (Mamba-2, arXiv 2405.21060, section 3): `S_t =
    /// exp(g_t) S_(t-1) + y_t v_t^T`, so that a key of its own step is not decayed. The logarithms are at most 0; far below, as at -8 a step,
    /// nothing overflows.
    ///
    /// For causal rules on features that are given, without a denominator and without lengths.
    #[must_use]
    pub fn decay(self, log_decay: T) -> Self {
        Self { decay: Some(log_decay), ..self }
    }

    /// Whether a query sees no key behind its own position.
    pub fn is_causal(&self) -> bool {
        self.is_causal
    }

    /// Whether scores are divided by their sum.
    pub fn is_normalised(&self) -> bool {
        self.denominator.is_some()
    }
}

impl LinearAttention {
    /// The settings apart from their tensors, and those. Fails for settings that mean nothing.
    pub(super) fn bind(&self) -> Result<(Rule, Vec<Value>)> {
        let rule = Rule {
            maps: self.maps,
            is_causal: self.is_causal,
            denominator: self.denominator,
            scale: self.scale,
            chunk: self.chunk,
            has_state: self.state.is_some(),
            has_lengths: self.lengths.is_some(),
            has_segments: self.segments.is_some(),
            has_decay: self.decay.is_some(),
        };
        rule.check_settings()?;
        let normalizer = self.state.and_then(|state| state.normalizer);
        if let Some(state) = self.state
            && state.normalizer.is_some() != self.is_normalised()
        {
            let words = |has| if has { "one" } else { "none" };
            return Err(Error::new(ErrorKind::Argument, NAME, "state.normalizer")
                .expecting(format!("{}, as of the denominator", words(self.is_normalised())))
                .but_found(words(normalizer.is_some())));
        }
        let sums = self.state.map(|state| state.sums);
        let tensors = [sums, normalizer, self.lengths, self.segments, self.decay];
        Ok((rule, tensors.into_iter().flatten().collect()))
    }
}

/// [`LinearAttention`] without its tensors, which follow query, key and value, or whatever else an op reads first, in this order: sums and
/// normalizer of the state, lengths, segments, the log decays of each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    /// Of queries and of keys.
    pub(super) maps: [FeatureMap; 2],
    pub(super) is_causal: bool,
    pub(super) denominator: Option<Denominator>,
    pub(super) scale: f32,
    pub(super) chunk: Option<u32>,
    pub(super) has_state: bool,
    pub(super) has_lengths: bool,
    pub(super) has_segments: bool,
    pub(super) has_decay: bool,
}

impl FeatureMap {
    /// The function of each channel.
    pub(super) fn function(self) -> Activation {
        match self {
            Self::Given | Self::SoftmaxOfChannels | Self::SoftmaxOverTime => Activation::Identity,
            Self::Elementwise(function) => function,
        }
    }

    /// `x: [batch, time, heads, channels]` with those maps applied that look at more than an element.
    pub(super) fn applied(self, graph: &mut Graph, x: Value) -> Result<Value> {
        match self {
            Self::Given | Self::Elementwise(_) => Ok(x),
            Self::SoftmaxOfChannels => softmax(graph, x),
            Self::SoftmaxOverTime => {
                let by_channel = transpose(graph, x, &[0, 2, 3, 1])?;
                let weights = softmax(graph, by_channel)?;
                transpose(graph, weights, &[0, 3, 1, 2])
            }
        }
    }

    fn is_never_negative(self) -> bool {
        use Activation::{EluPlusOne, Exp, Relu, Relu6, Sigmoid, Softplus, Square, SquaredRelu};
        match self {
            Self::Given | Self::SoftmaxOfChannels | Self::SoftmaxOverTime => true,
            Self::Elementwise(function) => {
                matches!(
                    function,
                    EluPlusOne | Exp | Relu | Relu6 | Sigmoid | Softplus | Square | SquaredRelu
                )
            }
        }
    }
}

impl Rule {
    pub(super) fn is_normalised(&self) -> bool {
        self.denominator.is_some()
    }

    /// Whether a row sees some of the keys of its chunk only, so that its pairs are looked at one by one.
    pub(super) fn is_masked(&self) -> bool {
        self.is_causal || self.has_segments
    }

    /// Where the sums of the state stand, behind `first` other inputs; the normalizer follows.
    pub(super) fn state_at(&self, first: usize) -> Option<usize> {
        self.has_state.then_some(first)
    }

    pub(super) fn normalizer_at(&self, first: usize) -> Option<usize> {
        (self.has_state && self.is_normalised()).then_some(first + 1)
    }

    pub(super) fn lengths_at(&self, first: usize) -> Option<usize> {
        self.has_lengths.then(|| first + self.state_count())
    }

    pub(super) fn segments_at(&self, first: usize) -> Option<usize> {
        self.has_segments.then(|| first + self.state_count() + usize::from(self.has_lengths))
    }

    pub(super) fn decay_at(&self, first: usize) -> Option<usize> {
        let before = self.state_count() + usize::from(self.has_lengths) + usize::from(self.has_segments);
        self.has_decay.then_some(first + before)
    }

    /// How many tensors a state has.
    pub(super) fn state_parts(&self) -> usize {
        1 + usize::from(self.is_normalised())
    }

    /// How many tensors the state has that is given.
    fn state_count(&self) -> usize {
        if self.has_state { self.state_parts() } else { 0 }
    }

    fn tensor_count(&self) -> usize {
        let others = [self.has_lengths, self.has_segments, self.has_decay];
        self.state_count() + others.into_iter().map(usize::from).sum::<usize>()
    }

    /// `tensors` with a decay for every step, where there is one for each head.
    pub(super) fn with_steps(
        &self,
        graph: &mut Graph,
        key: Value,
        mut tensors: Vec<Value>,
    ) -> Result<Vec<Value>> {
        if let Some(decay) = self.decay_at(0)
            && graph.desc(tensors[decay])?.shape.rank() == 1
            && let &[batch, time, kv_heads, _] = graph.desc(key)?.shape.dims()
        {
            tensors[decay] = broadcast(graph, tensors[decay], [batch, time, kv_heads])?;
        }
        Ok(tensors)
    }

    /// Sums, and with a denominator the normalizer.
    pub(super) fn state_descs(&self, dims: &Dims) -> Vec<TensorDesc> {
        let Dims { batch, kv_heads, head_size, value_size, .. } = *dims;
        let mut descs = vec![TensorDesc::f32([batch, kv_heads, head_size, value_size])];
        descs.extend(self.is_normalised().then(|| TensorDesc::f32([batch, kv_heads, head_size])));
        descs
    }

    fn check_settings(&self) -> Result<()> {
        let refused = |argument: &str| Error::new(ErrorKind::Argument, NAME, argument);
        let contract = Contract::new(NAME);
        for (argument, map) in ["query's feature map", "key's feature map"].into_iter().zip(self.maps) {
            map.function().check(&contract)?;
            if self.is_normalised() && !map.is_never_negative() {
                return Err(refused(argument)
                    .expecting("a function that is never negative, as scores are divided by their sum")
                    .but_found(format!("{:?}", map.function())));
            }
        }
        if let Some(Denominator::Plus(eps) | Denominator::AtLeast(eps)) = self.denominator
            && !(eps.is_finite() && eps >= 0.0)
        {
            return Err(refused("eps").expecting("a number of at least 0").but_found(eps));
        }
        if !self.scale.is_finite() {
            return Err(refused("scale").expecting("a finite number").but_found(self.scale));
        }
        let [query, key] = self.maps;
        if query == FeatureMap::SoftmaxOverTime {
            return Err(refused("query's feature map")
                .expecting("another one")
                .but_found("softmax over time"));
        }
        let is_partial = self.is_masked() || self.has_lengths || self.has_state;
        if key == FeatureMap::SoftmaxOverTime && is_partial {
            return Err(refused("key's feature map")
                .expecting("another one, for a causal rule, lengths, segments or a state")
                .but_found("softmax over time"));
        }
        let is_plain = self.maps == [FeatureMap::Given; 2] && !self.is_normalised() && !self.has_lengths;
        if self.has_decay && !(self.is_causal && is_plain) {
            return Err(refused("log_decay")
                .expecting("a causal rule on given features, without a denominator and lengths")
                .but_found("another"));
        }
        if self.chunk == Some(0) {
            return Err(refused("chunk").expecting("at least 1").but_found(0));
        }
        Ok(())
    }

    /// The extents of query, key and value, which come first, or what does not fit, among them or the rule's tensors behind `first` inputs.
    pub(super) fn check(&self, op: &'static str, inputs: &[TensorDesc], first: usize) -> Result<Dims> {
        let contract = Contract::new(op);
        if inputs.len() != first + self.tensor_count() {
            return Err(contract
                .argument_error("inputs")
                .expecting(first + self.tensor_count())
                .but_found(inputs.len()));
        }
        let dims = Dims::bind(op, [&inputs[0], &inputs[1], &inputs[2]], 1)?;
        for (argument, time) in [("query", dims.query_time), ("key", dims.key_time)] {
            if time > UNLIMITED as usize {
                return Err(Error::new(ErrorKind::Limit, op, argument)
                    .expecting(format!("a time of at most {UNLIMITED}"))
                    .but_found(time));
            }
        }
        if self.is_masked() && dims.query_time != dims.key_time {
            return Err(contract
                .shape_error("key")
                .expecting(format!(
                    "axis 1 (key_time) = {} as of query, for a causal rule or segments",
                    dims.query_time
                ))
                .but_found(dims.key_time));
        }
        let state = self.state_at(first).into_iter().chain(self.normalizer_at(first));
        let names = ["state.sums", "state.normalizer"];
        for ((place, wanted), argument) in state.zip(self.state_descs(&dims)).zip(names) {
            contract.same(argument, &inputs[place], "the state", &wanted)?;
        }
        for (place, argument, wanted) in [
            (self.lengths_at(first), "lengths", TensorDesc::new(DType::I32, [dims.batch])),
            (self.segments_at(first), "segments", TensorDesc::new(DType::I32, [dims.batch, dims.key_time])),
            (self.decay_at(first), "log_decay", TensorDesc::f32([dims.batch, dims.key_time, dims.kv_heads])),
        ] {
            if let Some(place) = place {
                contract.same(argument, &inputs[place], "query and key", &wanted)?;
            }
        }
        Ok(dims)
    }
}
