//! Softmax attention along index maps: queries and keys in an order that is a value of the graph, cut into chunks, of which each sees a few
//! others. What LSH attention sorts into buckets and what routing attention gives to clusters is read where it lies: rows of queries, keys and
//! values are never copied into the order.
//!
//! An order has one or several rounds. A round has as many slots for queries, and for keys, as its chunks have; a slot holds a position, or
//! nothing. With `c(s)` the chunk of a slot, the query of slot `s` sees the keys of chunks `c(s) - before` to `c(s) + after`, in its own round
//! ([`Border::Stop`]) or round a ring of the chunks of all rounds ([`Border::Ring`]), of which a mask by positions leaves some.
//!
//! # Results
//!
//! [`Results::Positions`]: every position is in one slot of each round, and its output is attention over the keys of all rounds together, one
//! softmax. Each round is a dispatch that folds what it finds into the output of the rounds before by their maxima and sums; the order of the
//! sums is fixed, and nothing is stored for each round but, where somebody reads it, its log-sum-exp.
//! [`Results::Slots`]: a position is in any number of slots of one round, and each slot has an output of its own.
//!
//! The backward pass needs no log-sum-exps of rounds: with the maximum and sum over all of them, it is that of one softmax.

mod backward;
#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;
pub(super) mod residues;
mod shaders;
mod statistics;
mod sums;
mod tiles;
mod walk;

use super::Dims;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::{concat, fill, reshape, scatter_add_rows, transpose};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};
pub(super) use statistics::find_statistics;

const NAME: &str = "attention/indexed";

/// Beside a key's position in its entry of the index: nobody sees it, which leaves its gradients 0.
pub(super) const HIDDEN_ENTRY: i32 = 1 << 30;

/// What lies beside the first and the last chunk of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Nothing.
    Stop,
    /// The chunks of all rounds form a ring: beside the last chunk of a round lies the first of the next, and that of the first round beside
    /// the last of the last. What published code does. A chunk that is reached twice counts twice.
    Ring,
}

/// Where outputs lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Results {
    Positions,
    Slots,
}

/// Which pairs of an order attend to each other, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    pub(super) rounds: usize,
    /// Chunks of a round.
    pub(super) chunks: usize,
    pub(super) query_chunk: usize,
    pub(super) key_chunk: usize,
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) border: Border,
    /// A query sees keys up to its own position, and those from `shown_from` on.
    pub(super) is_causal: bool,
    pub(super) shown_from: usize,
    /// The score of a token and itself.
    pub(super) self_score: Option<f32>,
    /// Only pairs whose positions are in the same bucket in the round.
    pub(super) same_bucket: bool,
    /// A pair that meets `n` times has its score lowered by `ln n`, so that it counts once.
    pub(super) is_deduplicated: bool,
    pub(super) results: Results,
    pub(super) scale: f32,
}

/// The order of an attention step: values of the graph, through which no gradient passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// i32 `[batch, heads, rounds, slots]`: a position in each slot of the queries, or a negative number; positions of keys that nobody sees
    /// have [`HIDDEN_ENTRY`] added.
    pub(super) queries: Value,
    /// The same of the keys, where their order is another.
    pub(super) keys: Option<Value>,
    /// i32 `[batch, heads, rounds, time]`: the bucket of each position, where only equal ones see each other.
    pub(super) buckets: Option<Value>,
    /// i32 `[batch, heads, rounds, time]`: the chunk of each position, where pairs count once.
    pub(super) chunks: Option<Value>,
}

/// What [`attend_in_chunks`] gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct InChunks {
    /// `[batch, time, heads, value_size]`, or slots in place of time.
    pub(super) out: Value,
    /// f32 `[batch, heads, time]`
    pub(super) lse: Value,
    /// Of each round by itself: f32 `[batch, heads, rounds, time]`.
    pub(super) lse_rounds: Value,
}

impl Chunked {
    pub(super) fn query_slots(&self) -> usize {
        self.chunks * self.query_chunk
    }

    pub(super) fn key_slots(&self) -> usize {
        self.chunks * self.key_chunk
    }

    /// Positions or slots that have a row of the output.
    fn result_time(&self, dims: &Dims) -> usize {
        match self.results {
            Results::Positions => dims.query_time,
            Results::Slots => self.query_slots(),
        }
    }
}

/// Where the parts of an index lie in the line of a batch item and head.
#[derive(Clone, Copy, Debug)]
struct Parts {
    keys: usize,
    buckets: usize,
    chunks: usize,
    line: usize,
}

impl Parts {
    fn of(spec: &Chunked, dims: &Dims, shares_order: bool) -> Self {
        let queries = spec.rounds * spec.query_slots();
        let positions = spec.rounds * dims.query_time;
        let keys = if shares_order { 0 } else { queries };
        let buckets = if shares_order { queries } else { queries + spec.rounds * spec.key_slots() };
        let chunks = buckets + if spec.same_bucket { positions } else { 0 };
        Self { keys, buckets, chunks, line: chunks + if spec.is_deduplicated { positions } else { 0 } }
    }
}

#[derive(Clone, Copy, Debug)]
struct IndexedAttention {
    spec: Chunked,
    /// Whether keys lie in the order of the queries.
    shares_order: bool,
}

/// Where the index stands among the inputs; behind it, with [`Results::Slots`], the positions of queries and keys in their slots.
const INDEX: usize = 3;

/// Appends attention of `query`, `key` and `value`, which have as many heads, along `order`.
pub(super) fn attend_in_chunks(
    graph: &mut Graph,
    [query, key, value]: [Value; 3],
    order: &Order,
    spec: &Chunked,
) -> Result<InChunks> {
    let parts = [Some(order.queries), order.keys, order.buckets, order.chunks].into_iter().flatten();
    let mut lines = Vec::new();
    for part in parts {
        let line = match *graph.desc(part)?.shape.dims() {
            [batch, heads, rounds, slots] => [batch, heads, rounds * slots],
            _ => {
                return Err(Error::new(ErrorKind::Shape, NAME, "order")
                    .expecting("[batch, heads, rounds, slots]")
                    .but_found(graph.desc(part)?));
            }
        };
        lines.push(reshape(graph, part, line)?);
    }
    let index = if lines.len() == 1 { lines[0] } else { concat(graph, &lines, 2)? };
    let mut inputs = vec![query, key, value, index];
    if spec.results == Results::Slots {
        inputs.extend([order.queries, order.keys.unwrap_or(order.queries)]);
    }
    let op = IndexedAttention { spec: *spec, shares_order: order.keys.is_none() };
    let outputs = graph.push_builtin(op, &inputs)?;
    Ok(InChunks { out: outputs[0], lse: outputs[1], lse_rounds: outputs[3] })
}

impl IndexedAttention {
    /// Where the parts of the index of a step with these inputs lie.
    fn parts(&self, inputs: &[TensorDesc]) -> Parts {
        Parts::of(&self.spec, &Dims::of(&inputs[0], &inputs[1], &inputs[2]), self.shares_order)
    }

    fn check(&self, inputs: &[TensorDesc]) -> Result<Dims> {
        let spec = &self.spec;
        let dims = Dims::bind(NAME, [&inputs[0], &inputs[1], &inputs[2]], 1)?;
        if dims.heads != dims.kv_heads {
            return Err(Error::new(ErrorKind::Shape, NAME, "key")
                .expecting(format!("as many heads as query, {}", dims.heads))
                .but_found(dims.kv_heads));
        }
        for (argument, number) in [
            ("rounds", spec.rounds),
            ("chunk", spec.query_chunk),
            ("chunk", spec.key_chunk),
            ("chunks", spec.chunks),
        ] {
            if number == 0 {
                return Err(Error::new(ErrorKind::Argument, NAME, argument)
                    .expecting("at least 1")
                    .but_found(0));
            }
        }
        let most = match spec.border {
            Border::Stop => spec.chunks,
            Border::Ring => spec.chunks * spec.rounds,
        };
        for (argument, number) in [("before", spec.before), ("after", spec.after)] {
            if number > most {
                return Err(Error::new(ErrorKind::Argument, NAME, argument)
                    .expecting(format!("at most the {most} chunks"))
                    .but_found(number));
            }
        }
        let wanted = TensorDesc::i32([dims.batch, dims.heads, self.parts(inputs).line]);
        if inputs[INDEX] != wanted {
            return Err(Error::new(ErrorKind::Shape, NAME, "order")
                .expecting(wanted)
                .but_found(&inputs[INDEX]));
        }
        Ok(dims)
    }
}

impl Op for IndexedAttention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = self.check(inputs)?;
        let expected = INDEX + if self.spec.results == Results::Slots { 3 } else { 1 };
        if inputs.len() != expected {
            return Err(Error::new(ErrorKind::Argument, NAME, "inputs")
                .expecting(expected)
                .but_found(inputs.len()));
        }
        let Dims { batch, heads, value_size, .. } = dims;
        let time = self.spec.result_time(&dims);
        Ok(vec![
            TensorDesc::new(inputs[0].dtype, [batch, time, heads, value_size]),
            TensorDesc::f32([batch, heads, time]),
            TensorDesc::f32([batch, heads, time, 2]),
            TensorDesc::f32([batch, heads, self.spec.rounds, time]),
        ])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::forward(inputs, self)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        for (output, what) in [(2, "statistics"), (3, "lse_rounds")] {
            if adjoint.upstream(output).is_some() {
                return Err(Error::new(ErrorKind::NotDifferentiable, NAME, what)
                    .expecting("a loss of the output and the log-sum-exp of all rounds")
                    .but_found("one of another"));
            }
        }
        let (inputs, outputs) = (adjoint.inputs(), adjoint.outputs());
        let d_out = match adjoint.upstream(0) {
            Some(d_out) => d_out,
            // Only the log-sum-exp was used.
            None => {
                let desc = graph.desc(outputs[0])?.clone();
                fill(graph, desc, 0.0)?
            }
        };
        let of_rows = backward::append(
            graph,
            self,
            [inputs[0], inputs[1], inputs[2], inputs[INDEX], outputs[0], outputs[2], d_out],
            adjoint.upstream(1),
        )?;
        let mut gradients = vec![Gradient::None; inputs.len()];
        for (input, gradient) in of_rows.into_iter().enumerate().filter(|(input, _)| adjoint.wants(*input)) {
            gradients[input] = Gradient::Whole(match self.spec.results {
                Results::Positions => gradient,
                Results::Slots => {
                    let positions = inputs[INDEX + if input == 0 { 1 } else { 2 }];
                    sums_of_slots(graph, gradient, positions, inputs[input])?
                }
            });
        }
        Ok(gradients)
    }
}

/// What the slots of each position of `of: [batch, time, heads, size]` sum up to, for `rows: [batch, slots, heads, size]`.
fn sums_of_slots(graph: &mut Graph, rows: Value, positions: Value, of: Value) -> Result<Value> {
    let &[batch, time, heads, _] = graph.desc(of)?.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, NAME, "input").expecting("rank 4"));
    };
    let slots = graph.desc(rows)?.shape.dims()[1];
    let by_head = transpose(graph, rows, &[0, 2, 1, 3])?;
    let positions = reshape(graph, positions, [batch, heads, slots])?;
    let sums = scatter_add_rows(graph, by_head, positions, &[batch, heads, time])?;
    transpose(graph, sums, &[0, 2, 1, 3])
}

/// Whether an element type is that of accumulators, so that rounds may add to rows where they lie.
fn is_accumulator(dtype: DType) -> bool {
    dtype == DType::F32
}
