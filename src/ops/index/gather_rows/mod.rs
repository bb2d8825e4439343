//! Rows by index, and sums of them.

#[cfg(feature = "check")]
mod cases;
pub(in crate::ops) mod kernels;

use self::kernels::Layout;
use super::scatter_add_rows::scatter_add_rows;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::tensor::{Array, Real, Shape, TensorDesc};

#[cfg(feature = "check")]
pub(in crate::ops::index) use cases::indices;
#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "index/gather_rows";

#[derive(Clone, Copy, Debug)]
pub(super) struct GatherRows {
    /// Whether the last axis of the indices is summed over.
    pub(super) summed: bool,
    /// Whether elements are integers.
    pub(super) integers: bool,
}

/// The rows of `x: [batch.., rows, width]`, of any type, that `indices: [batch.., positions..]` name: `[batch.., positions.., width]`.
///
/// The axes in front of the last two of `x`, if any, are batch axes, which the indices begin with; each batch's indices name its own rows. Any
/// number of axes may follow, none among them, so that several indices of a position give its rows one behind the other. Indices are i32
/// or u32; one that is negative or no less than `rows` gives a row of zeros. `x` may be larger than one storage binding of the device.
///
/// The gradient of `x` is [`scatter_add_rows`]. Fails when shapes or types do not fit.
pub fn gather_rows(graph: &mut Graph, x: Value, indices: Value) -> Result<Value> {
    let integers = graph.desc(x)?.dtype.is_integer();
    graph.push_builtin_one(GatherRows { summed: false, integers }, &[x, indices])
}

/// The sums of the rows of `x: [batch.., rows, width]`, f32 or f16, that the `k` indices of each position name:
/// `indices: [batch.., positions.., k]` give `[batch.., positions.., width]`.
///
/// Otherwise as [`gather_rows`]. Sums are f32 whatever the storage.
pub fn gather_rows_summed(graph: &mut Graph, x: Value, indices: Value) -> Result<Value> {
    graph.push_builtin_one(GatherRows { summed: true, integers: false }, &[x, indices])
}

impl GatherRows {
    fn layout(&self, x: &Shape, indices: &Shape) -> Layout {
        let batch_axes = x.rank() - 2;
        let last = indices.dims().last().copied().unwrap_or(1);
        Layout {
            batches: x.dims()[..batch_axes].iter().product(),
            per_position: if self.summed { last } else { 1 },
        }
    }
}

impl Op for GatherRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["x", "indices"])?;
        let (x, indices) = (&inputs[0], &inputs[1]);
        contract.integer("indices", indices)?;
        if self.summed {
            contract.float("x", x)?;
        }
        let [batch @ .., _, width] = x.shape.dims() else {
            return Err(contract
                .shape_error("x")
                .expecting("rank 2 or more, [.., rows, width]")
                .but_found(&x.shape));
        };
        let found = indices.shape.dims();
        if !found.starts_with(batch) || self.summed && found.len() == batch.len() {
            let behind = if self.summed { ", and at least one behind them" } else { "" };
            let expected = format!("the batch axes {} of x in front{behind}", Shape::from(batch));
            return Err(contract.shape_error("indices").expecting(expected).but_found(&indices.shape));
        }
        let positions = if self.summed { &found[..found.len() - 1] } else { found };
        let result = TensorDesc::new(x.dtype, [positions, &[*width]].concat());
        result.check_rank(NAME, "result")?;
        Ok(vec![result])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, indices) = (inputs[0], inputs[1]);
        let dims = x.dims();
        let (rows, width) = (dims[dims.len() - 2], dims[dims.len() - 1]);
        let Layout { batches, per_position } = self.layout(x.shape(), indices.shape());
        let per_batch = indices.indices().len() / batches.max(1);
        let row_of = |i: usize| {
            let row = usize::try_from(indices.indices()[i]).ok().filter(|&row| row < rows);
            row.map(|row| i / per_batch * rows + row)
        };
        let mut shape = indices.dims().to_vec();
        if self.summed {
            shape.pop();
        }
        let positions: usize = shape.iter().product();
        shape.push(width);
        if self.integers {
            let row =
                |i| row_of(i).map_or(vec![0; width], |row| x.indices()[row * width..][..width].to_vec());
            return vec![Array::index(shape, (0..positions).flat_map(row).collect())];
        }
        let mut sums = vec![R::zero(); positions * width];
        for i in 0..positions * per_position {
            let Some(row) = row_of(i) else { continue };
            let sum = &mut sums[i / per_position * width..][..width];
            for (sum, &element) in sum.iter_mut().zip(&x.reals()[row * width..]) {
                *sum += element;
            }
        }
        vec![Array::real(shape, sums)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let layout = self.layout(&step.inputs[0].shape, &step.inputs[1].shape);
        kernels::lower(NAME, layout, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let (x, indices) = (adjoint.inputs()[0], adjoint.inputs()[1]);
        let dims = graph.desc(x)?.shape.dims().to_vec();
        crate::ops::upstream::to_input(adjoint, |upstream| {
            scatter_add_rows(graph, upstream, indices, &dims[..dims.len() - 1])
        })
    }
}
