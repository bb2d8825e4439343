//! Pooling along time: the mean, the largest or the first of a sequence's vectors, or of each sequence packed into one.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::contract::Contract;
use crate::Result;
use crate::graph::{Graph, Op, Problem, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::cases;

const NAME: &str = "pool";

/// What becomes of several vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mean,
    Max,
    First,
}

/// Settings of [`pool`]: what becomes of several vectors, and which positions are pooled.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    kind: Kind,
    lengths: Option<Value>,
    segments: Option<(Value, usize)>,
}

impl Pool {
    /// The mean.
    pub fn mean() -> Self {
        Self::of(Kind::Mean)
    }

    /// The largest number of each channel.
    pub fn max() -> Self {
        Self::of(Kind::Max)
    }

    /// The vector at the first position.
    pub fn first() -> Self {
        Self::of(Kind::First)
    }

    fn of(kind: Kind) -> Self {
        Self { kind, lengths: None, segments: None }
    }

    /// How many positions each batch item really has: `i32 [batch]`. Positions from there on do not count; numbers below 0
    /// mean 0, and numbers above `time` mean all.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }

    /// Which of `count` packed sequences each position belongs to: `ids`, i32 `[batch, time]`, never decreasing along time.
    /// Positions with an id outside `0..count` do not count. Of ids that do decrease, the result is not specified.
    #[must_use]
    pub fn segments(self, ids: Value, count: usize) -> Self {
        Self { segments: Some((ids, count)), ..self }
    }
}

/// Pools `x: [batch, time, width]`, f32 or f16, along time. The result is `[batch, width]`; with segments it is
/// `[batch, count, width]`, row `s` of which pools the positions whose id is `s`.
///
/// Where no position counts the result is 0, whatever the kind. Sums are f32 whatever the storage. Any axis may be empty.
/// Fails when shapes or types do not fit, or lengths and segments are given together.
pub fn pool(graph: &mut Graph, x: Value, spec: &Pool) -> Result<Value> {
    let inputs: Vec<Value> =
        [x].into_iter().chain(spec.lengths).chain(spec.segments.map(|(ids, _)| ids)).collect();
    graph.push_single(PoolOp(*spec), &inputs)
}

#[derive(Clone, Copy, Debug)]
struct PoolOp(Pool);

impl Op for PoolOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let Pool { lengths, segments, .. } = self.0;
        let mut contract = Contract::new(NAME).may_be_empty(&["batch", "time", "width"]);
        contract.float("x", &inputs[0])?;
        contract.bind("x", &inputs[0], &["batch", "time", "width"])?;
        let [batch, width] = ["batch", "width"].map(|axis| contract.extent(axis));
        let shape = match (lengths, segments) {
            (Some(_), Some(_)) => {
                return Err(contract
                    .argument_error("segments")
                    .expecting("lengths or segments")
                    .but_found("both"));
            }
            (Some(_), None) => {
                contract.dtype("lengths", &inputs[1], DType::I32)?;
                contract.bind("lengths", &inputs[1], &["batch"])?;
                vec![batch, width]
            }
            (None, Some((_, count))) => {
                contract.dtype("ids", &inputs[1], DType::I32)?;
                contract.bind("ids", &inputs[1], &["batch", "time"])?;
                if i32::try_from(count).is_err() {
                    return Err(contract
                        .argument_error("count")
                        .expecting(format!("at most {}, the largest id", i32::MAX))
                        .but_found(count));
                }
                vec![batch, count, width]
            }
            (None, None) => vec![batch, width],
        };
        Ok(vec![TensorDesc::new(inputs[0].dtype, shape)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::forward(inputs, &self.0)]
    }

    fn lower(&self, problem: &Problem, caps: &Caps) -> Result<Lowered> {
        kernels::lower(&self.0, problem, caps)
    }
}
