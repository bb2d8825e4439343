//! What kernels and references know of the settings, and where the tensors of a rule stand.

use super::NAME;
use super::settings::Denominator;
use crate::graph::{Graph, Value};
use crate::ops::attention::{Dims, UNLIMITED};
use crate::ops::contract::Contract;
use crate::ops::{Activation, broadcast};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result};

/// What a step's log decays are numbers of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decay {
    None,
    /// Each head: f32 `[batch, time, kv_heads]`.
    Steps,
    /// Each channel of a key: f32 `[batch, time, kv_heads, head_size]`.
    Channels,
}

/// [`LinearAttention`](super::LinearAttention) without its tensors, which follow query, key and value, or whatever else an op reads first, in this
/// order: sums and normalizer of the state, lengths, segments, log decays, and, of the delta rule, what reads the state before each step.
///
/// The delta rule is `S_t = exp(g_t) S_(t-1) + y_t (v_t - exp(g_t) S_(t-1)^T e_t)^T`, where `e` are the keys, the tensor that stands last, and `y`, in
/// the place of keys, `beta_t k_t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rule {
    /// Of queries and of keys, as they are read.
    pub(super) maps: [Activation; 2],
    pub(super) is_causal: bool,
    pub(super) denominator: Option<Denominator>,
    pub(super) scale: f32,
    pub(super) chunk: Option<u32>,
    pub(super) has_state: bool,
    pub(super) has_lengths: bool,
    pub(super) has_segments: bool,
    pub(super) decay: Decay,
    pub(super) is_delta: bool,
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
        self.has_decay().then_some(first + before)
    }

    pub(super) fn erase_at(&self, first: usize) -> Option<usize> {
        self.is_delta.then(|| first + self.tensor_count() - 1)
    }

    pub(super) fn has_decay(&self) -> bool {
        self.decay != Decay::None
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
        let others = [self.has_lengths, self.has_segments, self.has_decay(), self.is_delta];
        self.state_count() + others.into_iter().map(usize::from).sum::<usize>()
    }

    /// `tensors` with a decay for every step, where there is one for each head.
    pub(super) fn with_steps(
        &self,
        graph: &mut Graph,
        key: Value,
        mut tensors: Vec<Value>,
    ) -> Result<Vec<Value>> {
        let Some(decay) = self.decay_at(0) else { return Ok(tensors) };
        let (of_decay, of_key) = (graph.desc(tensors[decay])?, graph.desc(key)?);
        if of_decay.shape.rank() == 1
            && let &[batch, time, kv_heads, _] = of_key.shape.dims()
        {
            let wanted = TensorDesc::f32([kv_heads]);
            Contract::new(NAME).same("log_decay", of_decay, "the heads of key", &wanted)?;
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

    pub(super) fn check_settings(&self) -> Result<()> {
        let refused = |argument: &str| Error::new(ErrorKind::Argument, NAME, argument);
        if let Some(Denominator::Plus(eps) | Denominator::AtLeast(eps)) = self.denominator
            && !(eps.is_finite() && eps >= 0.0)
        {
            return Err(refused("eps").expecting("a number of at least 0").but_found(eps));
        }
        if !self.scale.is_finite() {
            return Err(refused("scale").expecting("a finite number").but_found(self.scale));
        }
        if self.has_decay() && !self.is_causal {
            return Err(refused("log_decay").expecting("a causal rule").but_found("one without order"));
        }
        if self.is_delta && (!self.is_causal || self.is_normalised()) {
            return Err(refused("beta")
                .expecting("a causal rule without a denominator, for the delta rule")
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
            (self.decay_at(first), "log_decay", self.decay_desc(&dims)),
            (self.erase_at(first), "key", inputs[1].clone()),
        ] {
            if let Some(place) = place {
                contract.same(argument, &inputs[place], "query and key", &wanted)?;
            }
        }
        Ok(dims)
    }

    fn decay_desc(&self, dims: &Dims) -> TensorDesc {
        let Dims { batch, key_time, kv_heads, head_size, .. } = *dims;
        match self.decay {
            Decay::Channels => TensorDesc::f32([batch, key_time, kv_heads, head_size]),
            _ => TensorDesc::f32([batch, key_time, kv_heads]),
        }
    }
}
