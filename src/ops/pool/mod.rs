//! Pooling along time: the mean, the largest, the first or the last of a sequence's vectors, or of each sequence packed into one.

mod backward;
#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;
pub(crate) mod windows;

use super::contract::Contract;
use super::reduce::kernels::Fold;
use super::reduce::table;
use super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, DType, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};
pub use windows::{Windows, pool_windows};

const NAME: &str = "pool";

/// How vectors are pooled into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mean,
    Max,
    First,
    Last,
}

impl Kind {
    /// How those that count are reduced.
    fn reduction(self) -> table::Kind {
        match self {
            Self::Mean => table::Kind::Mean,
            Self::Max => table::Kind::Max,
            // Of one.
            Self::First | Self::Last => table::Kind::Sum,
        }
    }

    /// Whether one position counts, and the others do not.
    fn is_one(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }

    /// How many positions count at most.
    fn most(self) -> usize {
        if self.is_one() { 1 } else { usize::MAX }
    }
}

/// Settings of [`pool`]: how the vectors of a sequence are reduced to one (mean, max, first, ..), and which positions count.
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

    /// The vector at the last position that counts.
    pub fn last() -> Self {
        Self::of(Kind::Last)
    }

    fn of(kind: Kind) -> Self {
        Self { kind, lengths: None, segments: None }
    }

    /// The lengths or ids, where there are any.
    fn places(&self) -> impl Iterator<Item = Value> {
        self.lengths.into_iter().chain(self.segments.map(|(ids, _)| ids))
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
/// Where no position counts the result is 0, whatever the kind. Sums are f32 whatever the storage. Any axis may be empty. Of the largest,
/// the gradient goes to the first position of several that are as large; with a NaN among the elements, the largest is any of them.
/// Fails when shapes or types do not fit, or lengths and segments are given together.
pub fn pool(graph: &mut Graph, x: Value, spec: &Pool) -> Result<Value> {
    let inputs: Vec<Value> = [x].into_iter().chain(spec.places()).collect();
    graph.push_builtin_one(PoolOp(*spec), &inputs)
}

/// The descriptor of what `x` is pooled to, after checking x and `places`, the lengths or ids.
fn output(op: &'static str, spec: &Pool, x: &TensorDesc, places: &[TensorDesc]) -> Result<TensorDesc> {
    let Pool { lengths, segments, .. } = *spec;
    let mut contract = Contract::new(op).may_be_empty(&["batch", "time", "width"]);
    contract.float("x", x)?;
    contract.bind("x", x, &["batch", "time", "width"])?;
    let [batch, width] = ["batch", "width"].map(|axis| contract.extent(axis));
    let shape = match (lengths, segments) {
        (Some(_), Some(_)) => {
            return Err(contract
                .argument_error("segments")
                .expecting("lengths or segments")
                .but_found("both"));
        }
        (Some(_), None) => {
            contract.dtype("lengths", &places[0], DType::I32)?;
            contract.bind("lengths", &places[0], &["batch"])?;
            vec![batch, width]
        }
        (None, Some((_, count))) => {
            contract.dtype("ids", &places[0], DType::I32)?;
            contract.bind("ids", &places[0], &["batch", "time"])?;
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
    Ok(TensorDesc::new(x.dtype, shape))
}

#[derive(Clone, Copy, Debug)]
struct PoolOp(Pool);

impl Op for PoolOp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![output(NAME, &self.0, &inputs[0], &inputs[1..])?])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::forward(inputs, &self.0)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(NAME, Fold::Value(self.0.kind.reduction()), &self.0, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        // The spec's values are those of the graph it was recorded in, and this one may be a replay.
        let (x, places) = (adjoint.inputs()[0], adjoint.inputs().get(1).copied());
        let Pool { kind, lengths, segments } = self.0;
        let spec = Pool {
            kind,
            lengths: lengths.and(places),
            segments: segments.and_then(|(_, count)| Some((places?, count))),
        };
        upstream::to_input(adjoint, |upstream| backward::pool_backward(graph, x, upstream, &spec))
    }
}
