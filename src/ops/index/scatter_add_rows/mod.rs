//! Sums of rows by index: `result[i] = sum of the rows whose index is i`. The rows of an index are found by sorting, so that they are added in
//! their order without atomics, and a second run gives the same bits.

#[cfg(feature = "check")]
mod cases;
pub(super) mod kernels;

use self::kernels::Layout;
use super::gather_rows::GatherRows;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::contract::Contract;
use crate::tensor::{Array, DType, Real, Shape, TensorDesc};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "index/scatter_add_rows";

#[derive(Clone, Debug)]
struct ScatterAddRows {
    outer: Vec<usize>,
    /// Whether each index has a factor.
    has_factors: bool,
}

/// The sums of `rows: [batch.., r.., width]`, f32 or f16, by index: `[batch.., count, width]`, where `outer` is `[batch.., count]`.
///
/// `indices`, i32 or u32, are one for each row, `[batch.., r..]`, or `k` of them, `[batch.., r.., k]`: then a row counts for each of its
/// indices, and twice where two are equal. An index that is negative or no less than `count` adds to nothing. Rows of the result that no
/// index names are 0.
///
/// Sums are f32 whatever the storage, in the order of the rows. The gradient of `rows` is [`gather_rows`](super::gather_rows()), summed over a
/// row's indices. A result larger than a storage binding of the device is refused when it is planned. Fails when shapes or types do not fit.
pub fn scatter_add_rows(graph: &mut Graph, rows: Value, indices: Value, outer: &[usize]) -> Result<Value> {
    graph.push_builtin_one(ScatterAddRows { outer: outer.to_vec(), has_factors: false }, &[rows, indices])
}

/// [`scatter_add_rows`] of rows that count for each index times its factor: f32 of the shape of `indices`. Without gradients.
pub(in crate::ops) fn scatter_add_scaled_rows(
    graph: &mut Graph,
    rows: Value,
    [indices, factors]: [Value; 2],
    outer: &[usize],
) -> Result<Value> {
    let op = ScatterAddRows { outer: outer.to_vec(), has_factors: true };
    graph.push_builtin_one(op, &[rows, indices, factors])
}

impl ScatterAddRows {
    fn layout(&self, rows: &Shape, indices: &Shape) -> Layout {
        let batches = self.outer.iter().rev().skip(1).product();
        let count = self.outer.last().copied().unwrap_or(0);
        let batch_axes = self.outer.len() - 1;
        let [leading @ .., width] = rows.dims() else {
            return Layout { batches, rows: 0, per_row: 1, count, width: 1 };
        };
        let per_row = indices.dims().get(leading.len()).copied().unwrap_or(1);
        Layout { batches, rows: leading[batch_axes..].iter().product(), per_row, count, width: *width }
    }
}

impl Op for ScatterAddRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        match self.has_factors {
            true => contract.count(inputs, &["rows", "indices", "factors"])?,
            false => contract.count(inputs, &["rows", "indices"])?,
        }
        let (rows, indices) = (&inputs[0], &inputs[1]);
        contract.float("rows", rows)?;
        contract.integer("indices", indices)?;
        let [batch @ .., _] = &self.outer[..] else {
            return Err(contract.argument_error("outer").expecting("[batch.., count]").but_found("no axes"));
        };
        let [leading @ .., width] = rows.shape.dims() else {
            return Err(contract.shape_error("rows").expecting("at least one axis").but_found("a scalar"));
        };
        if !leading.starts_with(batch) {
            let expected = format!("the batch axes {} in front, and a width", Shape::from(batch));
            return Err(contract.shape_error("rows").expecting(expected).but_found(&rows.shape));
        }
        let found = indices.shape.dims();
        if !found.starts_with(leading) || found.len() > leading.len() + 1 {
            let expected = format!("{} or one axis more", Shape::from(leading));
            return Err(contract.shape_error("indices").expecting(expected).but_found(&indices.shape));
        }
        if let Some(factors) = inputs.get(2) {
            contract.dtype("factors", factors, DType::F32)?;
            if factors.shape != indices.shape {
                return Err(contract
                    .shape_error("factors")
                    .expecting(&indices.shape)
                    .but_found(&factors.shape));
            }
        }
        let result = TensorDesc::new(rows.dtype, [&self.outer[..], &[*width]].concat());
        result.check_rank(NAME, "result")?;
        Ok(vec![result])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (rows, indices) = (inputs[0], inputs[1]);
        let layout = self.layout(rows.shape(), indices.shape());
        let Layout { per_row, count, width, .. } = layout;
        let mut sums = vec![R::zero(); self.outer.iter().product::<usize>() * width];
        for (i, &index) in indices.indices().iter().enumerate() {
            let Some(index) = usize::try_from(index).ok().filter(|&index| index < count) else { continue };
            let (row, batch) = (i / per_row, i / per_row / layout.rows);
            let sum = &mut sums[(batch * count + index) * width..][..width];
            let factor = inputs.get(2).map_or_else(R::one, |factors| factors.reals()[i]);
            for (sum, &element) in sum.iter_mut().zip(&rows.reals()[row * width..]) {
                *sum += factor * element;
            }
        }
        vec![Array::real([&self.outer[..], &[width]].concat(), sums)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(NAME, self.layout(&step.inputs[0].shape, &step.inputs[1].shape), step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        if self.has_factors {
            return Err(Error::new(ErrorKind::NotDifferentiable, NAME, "gradients")
                .expecting("sums of rows as they are")
                .but_found("sums of scaled rows"));
        }
        let (rows, indices) = (adjoint.inputs()[0], adjoint.inputs()[1]);
        let summed = graph.desc(indices)?.shape.rank() == graph.desc(rows)?.shape.rank();
        crate::ops::upstream::to_input(adjoint, |upstream| {
            graph.push_builtin_one(GatherRows { summed, integers: false }, &[upstream, indices])
        })
    }
}
