//! Attention by a prior: weights that come from one token alone, from none, or from a task, and not from queries and keys.

use super::heads::head_size;
use super::{Mixer, SelfAttention, join_heads, refuse_memory, split_heads};
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Linear, Recorder, parameter};
use crate::ops::attention::{Blocked, blocked, prior_attention};
use crate::ops::{
    Activation, Matmul, add, broadcast, constant, matmul, multiply, repeat, repeat_each, reshape, slice,
    transpose,
};
use crate::tensor::HostTensor;
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "synthesizer";
const CONDITIONAL: &str = "conditional prior";

/// Where the scores of a [`Synthesizer`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synthesis {
    /// From each token alone, through two dense layers: a score for every position (equation 2).
    Dense,
    /// As [`Synthesis::Dense`], as products of two shorter rows: `first * second` positions (equation 5, "factorized dense").
    FactorizedDense {
        /// Scores that repeat one behind another.
        first: usize,
        /// Scores each of which holds for `first` positions.
        second: usize,
    },
    /// Weights, a score for every pair of positions (equation 3).
    Random,
    /// Weights of low rank: `R_1 R_2^T` (equation 6, "factorized random"). No product of both times is stored.
    FactorizedRandom {
        /// Columns of `R_1` and `R_2`.
        rank: usize,
    },
}

/// A layer whose attention weights are synthesised and not products of queries and keys (Tay et al., arXiv 2005.00743, section 3).
#[derive(Clone, Debug)]
pub struct Synthesizer {
    scores: Scores,
    values: Linear,
    output: Linear,
    heads: usize,
    longest: usize,
    spec: Blocked,
}

#[derive(Clone, Debug)]
enum Scores {
    /// A hidden layer, and rows of scores to be multiplied: each with the weight `[heads, count, head_size]` and the bias `[heads, count]`.
    Tokens { hidden: Linear, rows: Vec<[Weight; 2]> },
    /// `[heads, longest, longest]`
    Pairs(Weight),
    /// `[longest, heads, rank]`, twice.
    Factors([Weight; 2]),
}

impl Synthesizer {
    /// Declares the layer under `scope` for texts of up to `longest` tokens: dense layers `value` and `output` of `width`, and, by the kind,
    /// `hidden` with `scores.weight` and `scores.bias` (`first` and `second` in place of `scores` where factorised), `scores`, or `query` and `key`.
    /// `spec` has masks without tensors.
    ///
    /// Fails when the heads do not divide the width, and when the two rows do not make `longest` positions.
    pub fn declare(
        scope: &mut Scope<'_>,
        kind: Synthesis,
        width: usize,
        heads: usize,
        longest: usize,
        spec: Blocked,
    ) -> Result<Self> {
        let size = head_size(width, heads)?;
        let of_tokens = |scope: &mut Scope<'_>, rows: &[(&str, usize)]| -> Result<Scores> {
            let hidden = Linear::declare(&mut scope.at("hidden"), width, width)?;
            let row = |&(name, count): &(&str, usize)| -> Result<[Weight; 2]> {
                let mut scope = scope.at(name);
                Ok([scope.weight("weight", [heads, count, size])?, scope.weight("bias", [heads, count])?])
            };
            Ok(Scores::Tokens { hidden, rows: rows.iter().map(row).collect::<Result<_>>()? })
        };
        let scores = match kind {
            Synthesis::Dense => of_tokens(scope, &[("scores", longest)])?,
            Synthesis::FactorizedDense { first, second } => {
                if first.checked_mul(second) != Some(longest) {
                    return Err(Error::new(ErrorKind::Argument, NAME, "first")
                        .expecting(format!("two factors of {longest}"))
                        .but_found(format!("{first} and {second}")));
                }
                of_tokens(scope, &[("first", first), ("second", second)])?
            }
            Synthesis::Random => Scores::Pairs(scope.weight("scores", [heads, longest, longest])?),
            Synthesis::FactorizedRandom { rank } => {
                let mut factor = |name| scope.weight(name, [longest, heads, rank]);
                Scores::Factors([factor("query")?, factor("key")?])
            }
        };
        let mut dense = |name| Linear::declare(&mut scope.at(name), width, width);
        Ok(Self { scores, values: dense("value")?, output: dense("output")?, heads, longest, spec })
    }

    /// The scores for `x: [batch, time, width]`, `[batch or 1, heads, time, time]`: a prior for [`prior_attention`], or, as
    /// [`Score::bias`](crate::ops::attention::Score::bias), beside queries and keys (the paper's mixtures).
    ///
    /// Fails when the text is too long.
    pub fn scores(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let (batch, time) = self.extents(graph, x)?;
        match &self.scores {
            Scores::Tokens { hidden, rows } => {
                let hidden = hidden.record(graph, x, Activation::Relu)?;
                let hidden = split_heads(graph, hidden, self.heads)?;
                let by_head = transpose(graph, hidden, &[2, 0, 1, 3])?;
                let size = graph.desc(by_head)?.shape.dims()[3];
                let by_head = reshape(graph, by_head, [self.heads, batch * time, size])?;
                let rows = rows.iter().map(|row| row_of_scores(graph, by_head, row));
                let rows = rows.collect::<Result<Vec<_>>>()?;
                let scores = match rows[..] {
                    [first, second] => product(graph, first, second)?,
                    _ => rows[0],
                };
                let scores = slice(graph, scores, 2, 0..time)?;
                let scores = reshape(graph, scores, [self.heads, batch, time, time])?;
                transpose(graph, scores, &[1, 0, 2, 3])
            }
            Scores::Pairs(weight) => {
                let dtype = graph.desc(x)?.dtype;
                let mut scores = parameter(graph, weight, dtype)?;
                for axis in [1, 2] {
                    scores = slice(graph, scores, axis, 0..time)?;
                }
                reshape(graph, scores, [1, self.heads, time, time])
            }
            Scores::Factors(_) => {
                let [queries, keys] = self.factors(graph, x, 1)?;
                let spec = Matmul::new().transpose_b();
                let spec =
                    spec.heads(crate::ops::Heads::Inner, crate::ops::Heads::Inner, crate::ops::Heads::Outer);
                matmul(graph, queries, keys, &spec)
            }
        }
    }

    /// `R_1` and `R_2` of the first positions, `[batch, time, heads, rank]` each.
    fn factors(&self, graph: &mut Graph, x: Value, batch: usize) -> Result<[Value; 2]> {
        let (_, time) = self.extents(graph, x)?;
        let dtype = graph.desc(x)?.dtype;
        let Scores::Factors(factors) = &self.scores else { return Ok([x, x]) };
        let [first, second] = factors.each_ref().map(|weight| {
            let rows = parameter(graph, weight, dtype)?;
            let rows = slice(graph, rows, 0, 0..time)?;
            let dims = [&[batch, time], &weight.shape().dims()[1..]].concat();
            broadcast(graph, rows, dims)
        });
        Ok([first?, second?])
    }

    fn extents(&self, graph: &Graph, x: Value) -> Result<(usize, usize)> {
        let [batch, time, _] = super::heads::sequence(graph, "x", x)?;
        if time <= self.longest {
            return Ok((batch, time));
        }
        Err(Error::new(ErrorKind::Shape, NAME, "x")
            .expecting(format!("at most {} positions", self.longest))
            .but_found(time))
    }
}

/// `[heads, rows, count]` of `x: [heads, rows, size]`.
fn row_of_scores(graph: &mut Graph, x: Value, [weight, bias]: &[Weight; 2]) -> Result<Value> {
    let dtype = graph.desc(x)?.dtype;
    let (weight, bias) = (parameter(graph, weight, dtype)?, parameter(graph, bias, dtype)?);
    let scores = matmul(graph, x, weight, &Matmul::new().transpose_b())?;
    let dims = graph.desc(bias)?.shape.dims().to_vec();
    let bias = reshape(graph, bias, [dims[0], 1, dims[1]])?;
    add(graph, scores, bias)
}

/// Position `n` has `first[n mod a] second[n div a]`.
fn product(graph: &mut Graph, first: Value, second: Value) -> Result<Value> {
    let [a, b] = [first, second].map(|row| graph.desc(row).map(|desc| desc.shape.dims()[2]));
    let first = repeat(graph, first, 2, b?)?;
    let second = repeat_each(graph, second, 2, a?)?;
    multiply(graph, first, second)
}

impl Mixer for Synthesizer {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        super::check_one_sequence_a_row(NAME, layout)?;
        let spec = layout.restrict(self.spec.clone());
        let value = self.values.record(recorder, x, Activation::Identity)?;
        let value = split_heads(recorder, value, self.heads)?;
        let gathered = if let Scores::Factors(_) = self.scores {
            let batch = recorder.desc(x)?.shape.dims()[0];
            let [queries, keys] = self.factors(recorder, x, batch)?;
            blocked(recorder, queries, keys, value, &spec.scale(1.0))?
        } else {
            let scores = self.scores(recorder, x)?;
            prior_attention(recorder, scores, value, &spec)?
        };
        let joined = join_heads(recorder, gathered)?;
        self.output.record(recorder, joined, Activation::Identity)
    }
}

/// A prior for attention from the embedding of a task: blocks along the diagonal, whose columns the task scales and shifts (conditional attention of
/// Pilault, Elhattami and Pal, arXiv 2009.09139, equation 2, and the authors' code, `CBDA` in <https://github.com/CAMTL/CA-MTL>).
///
/// It is added to scores of queries and keys ([`Score::bias`](crate::ops::attention::Score::bias)), or stands for itself ([`prior_attention`]).
#[derive(Clone, Debug)]
pub struct ConditionalPrior {
    blocks: Weight,
    scale: Linear,
    shift: Linear,
}

impl ConditionalPrior {
    /// Declares `blocks: [count, size, size]` under `scope`, and dense layers `scale` and `shift` from `task` channels to `count * size`.
    pub fn declare(scope: &mut Scope<'_>, task: usize, count: usize, size: usize) -> Result<Self> {
        let blocks = scope.weight("blocks", [count, size, size])?;
        let mut dense = |name| Linear::declare(&mut scope.at(name), task, count * size);
        Ok(Self { blocks, scale: dense("scale")?, shift: dense("shift")? })
    }

    /// Scores for `time` positions from `task: [batch, channels]`, 0 between blocks: `[batch, 1, time, time]`.
    ///
    /// Fails when the blocks have fewer positions together.
    pub fn record(&self, graph: &mut Graph, task: Value, time: usize) -> Result<Value> {
        let &[count, size, _] = self.blocks.shape().dims() else {
            return Err(Error::new(ErrorKind::Shape, CONDITIONAL, "blocks")
                .expecting("[count, size, size]")
                .but_found(self.blocks.shape()));
        };
        if time > count * size {
            return Err(Error::new(ErrorKind::Argument, CONDITIONAL, "time")
                .expecting(format!("at most {}", count * size))
                .but_found(time));
        }
        let desc = graph.desc(task)?.clone();
        let batch = desc.shape.dims().first().copied().unwrap_or(1);
        let mut blocks = parameter(graph, &self.blocks, desc.dtype)?;
        for (layer, join) in
            [(&self.scale, multiply as fn(&mut Graph, Value, Value) -> _), (&self.shift, add)]
        {
            let columns = layer.record(graph, task, Activation::Identity)?;
            let columns = reshape(graph, columns, [batch, count, 1, size])?;
            blocks = join(graph, blocks, columns)?;
        }
        // Each block beside the others' zeros.
        let own = (0..count * count).map(|at| f32::from(at / count == at % count)).collect::<Vec<_>>();
        let own = constant(graph, HostTensor::from_f32(desc.dtype, [count, 1, count, 1], &own)?)?;
        let blocks = reshape(graph, blocks, [batch, count, size, 1, size])?;
        let mut scores = multiply(graph, blocks, own)?;
        scores = reshape(graph, scores, [batch, 1, count * size, count * size])?;
        for axis in [2, 3] {
            scores = slice(graph, scores, axis, 0..time)?;
        }
        Ok(scores)
    }
}

impl SelfAttention {
    /// [`Mixer::record`] without memory, of softmax attention with `prior: [batch or 1, heads or 1, time, time]` added to scores: another
    /// layer's, a [`Synthesizer`]'s or a [`ConditionalPrior`]'s.
    pub fn record_with_prior(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        prior: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let spec = Blocked::new().score(crate::ops::attention::Score::bias(prior));
        self.record_with(recorder, x, &spec, layout)
    }
}
