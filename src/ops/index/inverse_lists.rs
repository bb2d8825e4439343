//! Where each id occurs: what a counting sort gives.

use super::scatter_add_rows::kernels::{offsets, sort_ids};
use super::sort::rows_of;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "index/inverse_lists";

/// The positions of each id, one list behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InverseLists {
    /// Where the list of each id begins among the positions, and where the last one ends: u32 `[.., count + 1]`.
    pub offsets: Value,
    /// Positions by id, those of an id in ascending order: u32 `[.., length]`.
    pub positions: Value,
}

#[derive(Clone, Copy, Debug)]
struct Invert {
    count: usize,
}

/// The lists of positions at which each id from 0 to below `count` occurs in a row of `ids: [.., length]`, i32 or u32. Position
/// `positions[offsets[id]]` is the first with `id`, and `offsets[id + 1] - offsets[id]` is how many there are.
///
/// Positions of ids that are negative or no less than `count` come behind all lists, from `offsets[count]` on, in ascending order. Rows may be
/// empty, and `count` may be 0. Fails when ids are a scalar or no integers.
pub fn inverse_lists(graph: &mut Graph, ids: Value, count: usize) -> Result<InverseLists> {
    let outputs = graph.push_builtin(Invert { count }, &[ids])?;
    let [offsets, positions] = outputs[..] else {
        return Err(Error::new(ErrorKind::Argument, NAME, "outputs")
            .expecting("two")
            .but_found(outputs.len()));
    };
    Ok(InverseLists { offsets, positions })
}

impl Op for Invert {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["ids"])?;
        contract.integer("ids", &inputs[0])?;
        let Some((_, leading)) = inputs[0].shape.dims().split_last() else {
            return Err(contract.shape_error("ids").expecting("at least one axis").but_found("a scalar"));
        };
        let offsets = [leading, &[self.count.saturating_add(1)]].concat();
        Ok(vec![TensorDesc::u32(offsets), TensorDesc::u32(inputs[0].shape.clone())])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let ids = inputs[0];
        let dims = ids.dims();
        let (leading, length) = (&dims[..dims.len() - 1], dims[dims.len() - 1]);
        let (mut offsets, mut positions) = (Vec::new(), Vec::new());
        for row in 0..leading.iter().product() {
            let row = &ids.indices()[row * length..][..length];
            let mut lists = vec![Vec::new(); self.count + 1];
            for (position, &id) in row.iter().enumerate() {
                let list = usize::try_from(id).ok().filter(|&id| id < self.count).unwrap_or(self.count);
                lists[list].push(position as i64);
            }
            let mut first = 0;
            for list in lists {
                offsets.push(first);
                first += list.len() as i64;
                positions.extend(list);
            }
        }
        let of_offsets = [leading, &[self.count + 1]].concat();
        vec![Array::index(of_offsets, offsets), Array::index(dims, positions)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let ids = &step.inputs[0];
        let [rows, length] = rows_of(ids);
        let count = to_u32(NAME, "count", self.count)?;
        // Positions alone need no keys behind the last pass.
        let order = (!step.wanted[0]).then_some(Operand::Output(1));
        let ids_of = (Operand::Input(0), ids.dtype);
        let sorted = sort_ids(NAME, ids_of, [rows, length], count, (order, 0), caps)?;
        let mut dispatches = sorted.dispatches;
        if step.wanted[0] {
            dispatches.push(offsets(NAME, (sorted.items, Operand::Output(0)), [rows, length], count, caps)?);
        }
        if step.wanted[1] && order.is_none() {
            let positions =
                Kernel::new("positions of sorted ids", [wgsl!("index/inverse_lists/positions.wgsl")])
                    .read("items", sorted.items, DType::U32)
                    .write("positions", Operand::Output(1), DType::U32)
                    .per_element(to_u32(NAME, "ids", ids.elements())?, caps);
            dispatches.push(positions);
        }
        let reason = format!("{rows} rows of {length}");
        Ok(Lowered::streaming("radix sort, binary search", reason, dispatches, sorted.scratch))
    }

    fn backward(&self, _: &mut Graph, _: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(vec![Gradient::None])
    }
}

/// Ids of one digit and of several, ids that do not occur, ids outside, batches, long rows.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use super::gather_rows::indices;
    use crate::check::Case;

    let problems: [(&'static [usize], usize); 9] = [
        (&[0], 5),
        (&[1], 1),
        (&[65], 0),
        (&[97], 15),
        (&[97], 16),
        (&[1000], 300),
        (&[3, 0], 2),
        (&[2, 3, 130], 17),
        (&[150_001], 70_000),
    ];
    let cases = problems.into_iter().flat_map(|(shape, count)| [(shape, count, false), (shape, count, true)]);
    cases
        .map(|(shape, count, signed)| {
            let dtype = if signed { "i32" } else { "u32" };
            let label = format!("{dtype} {} of {count}", crate::Shape::from(shape));
            Case::new(NAME, label, move |problem| {
                let ids = indices(problem, shape, count, signed)?;
                let lists = inverse_lists(&mut problem.graph, ids, count)?;
                Ok(vec![lists.offsets, lists.positions])
            })
        })
        .collect()
}

/// One read of every id, and one write of every position and offset.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    const LENGTH: usize = 1 << 20;
    let benches = [64, 4096].into_iter().map(|count: usize| {
        let work = Work::Bytes(4 * (2 * LENGTH + count + 1) as u64);
        Bench::new(NAME, format!("{LENGTH} of {count}"), work, move |problem| {
            let ids = (0..LENGTH).map(|i| (i * 7919 % count) as u32).collect();
            let ids = problem.input("ids", crate::HostTensor::u32([LENGTH], ids)?)?;
            let lists = inverse_lists(&mut problem.graph, ids, count)?;
            Ok(vec![lists.offsets, lists.positions])
        })
    });
    benches.collect()
}
