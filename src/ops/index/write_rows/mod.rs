//! Rows written to and read from positions that the device knows: what a cache of keys and values takes. Each is the other's gradient.

#[cfg(feature = "check")]
mod cases;
pub(in crate::ops) mod read_rows;

pub use self::read_rows::read_rows;

use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Dispatch, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::ops::fill::fill;
use crate::tensor::{Array, DType, Real, Shape, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "index/write_rows";

params! {
    /// `width` is in packs.
    struct RowsParams {
        width: u32,
        /// Rows of a batch that are moved.
        rows_of_batch: u32,
        capacity: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct WriteRows;

/// `target: [batch.., capacity, row..]` with `rows: [batch.., n, row..]`, of the same type, in place of its rows from `at` on:
/// `y[b][at[b] + j] = rows[b][j]`.
///
/// `at`, i32, has the batch axes as its shape: a scalar where there are none. Its elements are read on the device, so that one program serves
/// every position. Rows whose position is negative or no less than `capacity` are dropped; the others are written. Hand the result to
/// [`Graph::update`] with a parameter as the target, and the parameter is changed in place, without a copy.
///
/// Gradients: that of `target` is 0 in the rows that were written, that of `rows` is [`read_rows()`]. Fails when shapes or types do not fit.
pub fn write_rows(graph: &mut Graph, target: Value, rows: Value, at: Value) -> Result<Value> {
    graph.push_builtin_one(WriteRows, &[target, rows, at])
}

/// Rows that are moved between a large value and a small one.
#[derive(Clone, Copy, Debug)]
struct Window {
    batches: usize,
    /// Rows of a batch of the large value.
    capacity: usize,
    /// Rows of a batch of the small one.
    rows: usize,
    width: usize,
}

impl Window {
    /// Of a large value, `[batch.., capacity, row..]`, positions, `[batch..]`, and the number of rows that are moved in each batch.
    fn new(large: &Shape, at: &Shape, rows: usize) -> Self {
        let (batch, behind) = large.dims().split_at(at.rank());
        let capacity = behind.first().copied().unwrap_or(0);
        Self { batches: batch.iter().product(), capacity, rows, width: behind.iter().skip(1).product() }
    }

    /// Places of elements in the small value and in the large one, where the large one has the row.
    fn places(self, at: &[i64]) -> impl Iterator<Item = (usize, usize)> {
        let rows = (0..self.batches * self.rows).filter_map(move |small| {
            let batch = small / self.rows;
            let row = usize::try_from(at[batch] + (small % self.rows) as i64).ok()?;
            (row < self.capacity).then_some((small, batch * self.capacity + row))
        });
        let width = self.width;
        rows.flat_map(move |(small, large)| (0..width).map(move |i| (small * width + i, large * width + i)))
    }

    fn lanes(self) -> u32 {
        if self.width.is_multiple_of(4) { 4 } else { 1 }
    }

    /// An invocation for each pack of the small value.
    fn dispatch(self, op: &'static str, kernel: Kernel, at: Operand, caps: &Caps) -> Result<Dispatch> {
        let width = self.width / self.lanes() as usize;
        let params = RowsParams {
            width: to_u32(op, "width", width)?,
            rows_of_batch: to_u32(op, "rows", self.rows)?,
            capacity: to_u32(op, "capacity", self.capacity)?,
        };
        let packs = to_u32(op, "elements", self.batches * self.rows * width)?;
        Ok(kernel.read_elements("at", at, DType::I32).params(params).per_element(packs, caps))
    }
}

/// Refuses positions that are not i32 of the leading axes of `large`, which has one axis more.
fn check_positions(
    contract: &Contract,
    argument: &'static str,
    large: &TensorDesc,
    at: &TensorDesc,
) -> Result<()> {
    contract.dtype("at", at, DType::I32)?;
    if large.shape.rank() == 0 {
        return Err(contract.shape_error(argument).expecting("at least one axis").but_found("a scalar"));
    }
    let dims = large.shape.dims();
    if at.shape.rank() >= dims.len() || !dims.starts_with(at.shape.dims()) {
        let expected = format!("the leading axes of {argument} {}, but not all", large.shape);
        return Err(contract.shape_error("at").expecting(expected).but_found(&at.shape));
    }
    Ok(())
}

impl Op for WriteRows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["target", "rows", "at"])?;
        let (target, rows, at) = (&inputs[0], &inputs[1], &inputs[2]);
        contract.dtype("rows", rows, target.dtype)?;
        check_positions(&contract, "target", target, at)?;
        let axis = at.shape.rank();
        let fits = rows.shape.rank() == target.shape.rank()
            && rows.shape.dims()[..axis] == target.shape.dims()[..axis]
            && rows.shape.dims()[axis + 1..] == target.shape.dims()[axis + 1..];
        if !fits {
            let expected = format!("{} but for axis {axis}, as target", target.shape);
            return Err(contract.shape_error("rows").expecting(expected).but_found(&rows.shape));
        }
        Ok(vec![target.clone()])
    }

    fn in_place(&self) -> &'static [(usize, usize)] {
        &[(0, 0)]
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (target, rows, at) = (inputs[0], inputs[1], inputs[2]);
        let window = Window::new(target.shape(), at.shape(), rows.dims()[at.shape().rank()]);
        let (mut reals, mut integers) = (target.reals().to_vec(), target.indices().to_vec());
        for (from, to) in window.places(at.indices()) {
            if let Some(element) = reals.get_mut(to) {
                *element = rows.reals()[from];
            }
            if let Some(element) = integers.get_mut(to) {
                *element = rows.indices()[from];
            }
        }
        let shape = target.shape().clone();
        vec![if integers.is_empty() { Array::real(shape, reals) } else { Array::index(shape, integers) }]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (rows, at) = (&step.inputs[1], &step.inputs[2].shape);
        let window = Window::new(&step.outputs[0].shape, at, rows.shape.dims()[at.rank()]);
        let kernel = Kernel::new(NAME, [wgsl!("index/write_rows/write.wgsl")])
            .lanes(window.lanes())
            .read("rows", Operand::Input(1), rows.dtype)
            .write("written", Operand::Output(0), rows.dtype);
        let dispatch = window.dispatch(NAME, kernel, Operand::Input(2), caps)?;
        Ok(Lowered::elementwise(dispatch, window.lanes()))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; 3];
        let Some(upstream) = adjoint.upstream(0) else { return Ok(gradients) };
        let (rows, at) = (graph.desc(adjoint.inputs()[1])?.clone(), adjoint.inputs()[2]);
        if adjoint.wants(0) {
            let zeros = fill(graph, rows.clone(), 0.0)?;
            gradients[0] = Gradient::Whole(write_rows(graph, upstream, zeros, at)?);
        }
        if adjoint.wants(1) {
            let count = rows.shape.dims()[graph.desc(at)?.shape.rank()];
            gradients[1] = Gradient::Whole(read_rows(graph, upstream, at, count)?);
        }
        Ok(gradients)
    }
}
