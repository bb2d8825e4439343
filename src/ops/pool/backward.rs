//! The gradient of [`pool`](super::pool): of the mean, an even share of its row's gradient for every position; of the first, the
//! last and the largest, all of it for that position, and of several that are as large for the first. Positions that do not count get 0.
//!
//! An invocation for each pack of dx looks up the row of its position. Where the largest are is a step of its own; of packed sequences the
//! positions of each row are searched for first.

use super::kernels::{self, positions};
use super::{Kind, Pool, output, reference};
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::ops::reduce::kernels::Fold;
use crate::tensor::{Array, DType, Real, TensorDesc};

const NAME: &str = "pool_backward";

params! {
    struct PoolParams {
        time: u32,
        /// In packs.
        width: u32,
        /// Rows of a batch item.
        segments: u32,
    }
}

/// The gradient of [`pool`](super::pool) with respect to `x: [batch, time, width]`, of its shape and type, for `upstream`, of the
/// shape and type of its result.
///
/// Only of the largest are the elements of `x` read; else its shape is all that counts, and x need not be kept. Of ids that decrease
/// the result is not specified.
pub(super) fn pool_backward(graph: &mut Graph, x: Value, upstream: Value, spec: &Pool) -> Result<Value> {
    let mut inputs: Vec<Value> = [upstream].into_iter().chain(spec.places()).collect();
    if spec.kind == Kind::Max {
        let read: Vec<Value> = [x].into_iter().chain(spec.places()).collect();
        inputs.push(graph.push_builtin_one(FirstLargest(*spec), &read)?);
    }
    let op = PoolBackward { spec: *spec, x: graph.desc(x)?.clone() };
    graph.push_builtin_one(op, &inputs)
}

/// The first position at which each channel of a row is largest; any where no position counts.
#[derive(Clone, Copy, Debug)]
struct FirstLargest(Pool);

impl Op for FirstLargest {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let pooled = output(NAME, &self.0, &inputs[0], &inputs[1..])?;
        Ok(vec![TensorDesc::new(DType::U32, pooled.shape)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::first_largest(inputs, &self.0)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(NAME, Fold::Place { smallest: false }, &self.0, step, caps)
    }
}

#[derive(Clone, Debug)]
struct PoolBackward {
    spec: Pool,
    x: TensorDesc,
}

impl Op for PoolBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        let expected = output(NAME, &self.spec, &self.x, &inputs[1..])?;
        contract.dtype("upstream", &inputs[0], expected.dtype)?;
        if inputs[0].shape == expected.shape {
            return Ok(vec![self.x.clone()]);
        }
        Err(contract
            .shape_error("upstream")
            .expecting(format!("{} as of the forward pass", expected.shape))
            .but_found(&inputs[0].shape))
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(inputs, &self.spec, &self.x.shape)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let [batch, time, width] = [0, 1, 2].map(|axis| self.x.shape.dims()[axis]);
        let lanes = if width.is_multiple_of(4) { 4 } else { 1 };
        let segments = self.spec.segments.map_or(1, |(_, count)| count);
        let params = PoolParams {
            time: to_u32(NAME, "time", time)?,
            width: to_u32(NAME, "width", width)? / lanes,
            segments: to_u32(NAME, "count", segments)?,
        };
        let count = to_u32(NAME, "elements", self.x.elements())? / lanes;
        let rows = to_u32(NAME, "rows", batch.saturating_mul(segments))?;
        // Nothing is looked for on behalf of no positions.
        let in_runs = self.spec.segments.is_some() && self.spec.kind != Kind::Max && count > 0;
        let mut dispatches = Vec::new();
        if in_runs {
            let kernel = Kernel::new(NAME, [wgsl!("pool/runs.wgsl")]).write("runs", RUNS, DType::U32);
            let positions = positions(&self.spec, 1);
            let kernel = positions.add_to(kernel).params(params).turns(positions.turns);
            dispatches.push(kernel.per_element(rows, caps));
        }
        dispatches.push(self.shares(step, lanes, in_runs).params(params).per_element(count, caps));
        let kernel = format!("{NAME} x{lanes}, {:?}", self.spec.kind);
        let scratch = if in_runs { vec![u64::from(rows).max(2) * 8] } else { Vec::new() };
        Ok(Lowered::streaming(kernel, "one invocation a pack of the gradient", dispatches, scratch))
    }
}

/// Where the positions of each row are kept between dispatches.
const RUNS: Operand = Operand::Scratch(0);

impl PoolBackward {
    /// The kernel that gives every position its share.
    fn shares(&self, step: &StepDesc, lanes: u32, in_runs: bool) -> Kernel {
        let is_max = self.spec.kind == Kind::Max;
        let chosen = is_max.then_some(Operand::Input(step.inputs.len() - 1));
        let dtype = self.x.dtype;
        let positions = positions(&self.spec, 1);
        positions
            .add_to(Kernel::new(NAME, [wgsl!("pool/backward.wgsl")]))
            .turns(positions.turns)
            .constant("IS_MAX", is_max)
            .constant("IS_FIRST", self.spec.kind == Kind::First)
            .constant("IS_LAST", self.spec.kind == Kind::Last)
            .read_if("runs", in_runs.then_some(RUNS), DType::U32)
            .lanes(lanes)
            .read("upstream", Operand::Input(0), dtype)
            .read_if("chosen", chosen, DType::U32)
            .alias("Places", DType::U32)
            .write("dx", Operand::Output(0), dtype)
    }
}
