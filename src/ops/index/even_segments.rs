//! Sequences cut into parts of nearly equal length, on the device.

use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, DType, Real, TensorDesc};

const NAME: &str = "index/even_segments";

params! {
    struct SegmentParams {
        positions: u32,
        parts: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct EvenSegments {
    time: usize,
    count: usize,
}

/// Which of `count` parts of its own sequence each position lies in: i32 `[batch, time]` for `lengths: i32 [batch]`, as
/// [`Pool::segments`](crate::ops::Pool::segments) takes it. Positions behind an item's length get `count`.
///
/// Of a sequence of `length` positions, parts have `length / count` of them, and one more where that leaves a rest: the shorter parts first.
/// Where `length` is less than `count`, each position is a part of its own, and the last parts are empty. Lengths below 0 mean 0, and lengths
/// above `time` mean all.
///
/// Fails when `lengths` are not i32 `[batch]`, and when `count` is 0.
pub fn even_segments(graph: &mut Graph, lengths: Value, time: usize, count: usize) -> Result<Value> {
    graph.push_builtin_one(EvenSegments { time, count }, &[lengths])
}

/// The part of a position below `length`, which is at least 1.
pub(in crate::ops) fn part_of(position: usize, length: usize, count: usize) -> usize {
    if length <= count {
        return position;
    }
    let size = length / count;
    let shorter = (size + 1) * count - length;
    match position.checked_sub(shorter * size) {
        None => position / size,
        Some(behind) => shorter + behind / (size + 1),
    }
}

impl Op for EvenSegments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let mut contract = Contract::new(NAME).may_be_empty(&["batch"]);
        contract.count(inputs, &["lengths"])?;
        contract.dtype("lengths", &inputs[0], DType::I32)?;
        contract.bind("lengths", &inputs[0], &["batch"])?;
        if self.count == 0 || i32::try_from(self.count).is_err() {
            return Err(contract
                .argument_error("count")
                .expecting(format!("from 1 to {}", i32::MAX))
                .but_found(self.count));
        }
        Ok(vec![TensorDesc::i32([contract.extent("batch"), self.time])])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let &Self { time, count } = self;
        let row = |&length: &i64| {
            let length = usize::try_from(length).unwrap_or(0).min(time);
            (0..time).map(move |position| {
                if position < length { part_of(position, length, count) as i64 } else { count as i64 }
            })
        };
        let ids = inputs[0].indices().iter().flat_map(row).collect();
        vec![Array::index([inputs[0].dims()[0], time], ids)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let dispatch = Kernel::new(NAME, [wgsl!("index/even_segments.wgsl")])
            .read("lengths", Operand::Input(0), DType::I32)
            .write("ids", Operand::Output(0), DType::I32)
            .params(SegmentParams {
                positions: to_u32(NAME, "time", self.time)?,
                parts: to_u32(NAME, "count", self.count)?,
            })
            .per_element(to_u32(NAME, "elements", step.outputs[0].elements())?, caps);
        Ok(Lowered::elementwise(dispatch, 1))
    }

    fn backward(&self, _: &mut Graph, _: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(vec![Gradient::None])
    }
}

/// Lengths that the parts divide and that they do not, shorter ones, none, and numbers that are no lengths.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use crate::HostTensor;
    use crate::check::Case;

    let problems: [(&'static [i32], usize, usize); 6] = [
        (&[], 5, 2),
        (&[12, 7, 3, 0], 12, 4),
        (&[-3, 13, 1], 12, 5),
        (&[37, 36, 1], 37, 1),
        (&[300, 299, 257], 300, 64),
        (&[4], 0, 3),
    ];
    let case = |(lengths, time, count): (&'static [i32], usize, usize)| {
        let label = format!("{count} parts of {lengths:?} among {time}");
        Case::new(NAME, label, move |problem| {
            let lengths = problem.input("lengths", HostTensor::i32([lengths.len()], lengths.to_vec())?)?;
            Ok(vec![even_segments(&mut problem.graph, lengths, time, count)?])
        })
    };
    problems.map(case).into()
}

/// One write of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    vec![Bench::new(NAME, "64 parts of 8 sequences of 65536", Work::Bytes(8 * 65536 * 4), |problem| {
        let lengths = (0..8).map(|i| 65536 - 977 * i).collect();
        let lengths = problem.input("lengths", crate::HostTensor::i32([8], lengths)?)?;
        Ok(vec![even_segments(&mut problem.graph, lengths, 65536, 64)?])
    })]
}
