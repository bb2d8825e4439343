//! Whether a driver multiplies cooperative matrices as it says: it is asked for a product and for attention, and held to the CPU
//! reference.
//!
//! Factors of the product are small whole numbers, so that sums are exact in every order and nothing but equality passes. Attention rounds
//! weights to f16, and may be a few units of that off.

use super::{Context, Program};
use crate::graph::{Graph, Value};
use crate::kernel::{Caps, CooperativeAttention, CooperativeTile};
use crate::ops::attention::{Blocked, Mask, blocked};
use crate::ops::{Matmul, matmul};
use crate::plan::Plan;
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result, cpu};

/// Extents of the product: neither is whole fragments, and each is more than one block has.
const ROWS: usize = 83;
const COLUMNS: usize = 151;
const INNER: usize = 77;

/// The tile of the test, where the tuning has none.
const TILE: CooperativeTile =
    CooperativeTile { blocks: [2, 1], fragments: [1, 2], inner: 16, subgroup_size: 32 };

/// The tile of attention, likewise.
const ATTENTION: CooperativeAttention =
    CooperativeAttention { subgroups: 2, row_fragments: 1, key_fragments: 2, backward_key_fragments: 2 };

/// Queries and keys of attention: more than a tile of either, and no whole fragments.
const TIME: usize = 45;
/// Channels, likewise.
const CHANNELS: usize = 20;
/// How far attention may be off: values are at most 2, and as many weights as there are keys are off by 2^-11 of what they are, which is 1
/// in sum; the rest is for the output's own rounding.
const OFF: f64 = 4e-3;

/// Runs a product and attention in each type that `context` has fragments for, and fails where they are not the reference's.
pub(super) fn run(context: &Context) -> Result<()> {
    for dtype in [DType::F16, DType::F32] {
        if context.caps().fragment(dtype).is_some() {
            product(context, dtype)?;
            attention(context, dtype)?;
        }
    }
    Ok(())
}

fn product(context: &Context, dtype: DType) -> Result<()> {
    let mut caps: Caps = context.caps().clone();
    caps.tuning.cooperative.get_or_insert(TILE);
    let (a, b) = (whole_numbers(dtype, &[ROWS, INNER])?, whole_numbers(dtype, &[COLUMNS, INNER])?);
    compare(context, &caps, "matmul", 0.0, &[("a", &a), ("b", &b)], |graph, inputs| {
        matmul(graph, inputs[0], inputs[1], &Matmul::new().transpose_b())
    })
}

fn attention(context: &Context, dtype: DType) -> Result<()> {
    let mut caps: Caps = context.caps().clone();
    caps.tuning.cooperative_attention.get_or_insert(ATTENTION);
    let rows = whole_numbers(dtype, &[1, TIME, 1, CHANNELS])?;
    let inputs = [("query", &rows), ("key", &rows), ("value", &rows)];
    compare(context, &caps, "attention/blocked", OFF, &inputs, |graph, inputs| {
        blocked(graph, inputs[0], inputs[1], inputs[2], &Blocked::new().mask(Mask::causal()))
    })
}

/// -2 to 2, in no order that two lines would share.
fn whole_numbers(dtype: DType, shape: &[usize]) -> Result<HostTensor> {
    let whole: Vec<f32> =
        (0..shape.iter().product()).map(|at: usize| (at * at / 3 % 5) as f32 - 2.0).collect();
    HostTensor::from_f32(dtype, shape, &whole)
}

/// Fails where an element of what `build` records is more than `tolerance` off the reference's.
fn compare(
    context: &Context,
    caps: &Caps,
    op: &'static str,
    tolerance: f64,
    inputs: &[(&str, &HostTensor)],
    build: impl FnOnce(&mut Graph, &[Value]) -> Result<Value>,
) -> Result<()> {
    let mut graph = Graph::new();
    let values =
        inputs.iter().map(|(name, tensor)| graph.input(name, tensor.desc())).collect::<Result<Vec<_>>>()?;
    let result = build(&mut graph, &values)?;
    graph.output("result", result)?;
    let found = Program::new(context, &Plan::new(&graph, caps)?)?.run(inputs)?;
    let expected = cpu::run(&graph, inputs)?;
    let (found, expected) = (found["result"].to_f64(), expected["result"].to_f64());
    // A number that is none is not within.
    let within = |at: &usize| (found[*at] - expected[*at]).abs() <= tolerance;
    match (0..found.len()).find(|at| !within(at)) {
        None => Ok(()),
        Some(at) => Err(Error::new(ErrorKind::Device, "self-test", op)
            .expecting(format!("{} at element {at} in {}", expected[at], inputs[0].1.desc().dtype))
            .but_found(found[at])),
    }
}
