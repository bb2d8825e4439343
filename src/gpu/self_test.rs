//! Whether a driver multiplies cooperative matrices as it says: it is asked for a product and for attention, and held to the CPU
//! reference.
//!
//! Factors of the product are small whole numbers, so that sums are exact in every order and nothing but equality passes. Attention rounds
//! weights and results, and may be as much off.

use super::{Context, Program};
use crate::graph::{Graph, Value};
use crate::kernel::{Caps, CooperativeAttention, CooperativeTile, Tuning};
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

/// Channels of attention, no whole fragments.
const CHANNELS: usize = 20;

/// By how much the later keys are longer: scores grow by more than weights may, so that sums are scaled anew on the way.
const GROWTH: f32 = 4.0;

/// Runs a product and attention in each type that `context` has fragments for, and fails where they are not the reference's.
pub(super) async fn run(context: &Context) -> Result<()> {
    for dtype in [DType::F16, DType::F32] {
        if context.caps().fragment(dtype).is_some() {
            product(context, dtype).await?;
            attention(context, dtype).await?;
        }
    }
    Ok(())
}

/// With the second factor stored along what is summed, and across it.
async fn product(context: &Context, dtype: DType) -> Result<()> {
    let caps = with_whole_tiles(context, |tuning| {
        tuning.cooperative.get_or_insert(TILE);
    });
    let a = whole_numbers(dtype, &[ROWS, INNER], 0)?;
    for (spec, extents) in
        [(Matmul::new().transpose_b(), [COLUMNS, INNER]), (Matmul::new(), [INNER, COLUMNS])]
    {
        let b = whole_numbers(dtype, &extents, 1)?;
        compare(context, &caps, "matmul", 0.0, &[("a", &a), ("b", &b)], |graph, inputs| {
            Ok(vec![matmul(graph, inputs[0], inputs[1], &spec)?])
        })
        .await?;
    }
    Ok(())
}

/// Capabilities under which tiles are as large for the test's small problems as for those that keep the device busy.
fn with_whole_tiles(context: &Context, tune: impl FnOnce(&mut Tuning)) -> Caps {
    let mut caps = context.caps().clone();
    caps.tuning.attention.busy_workgroups = 1;
    tune(&mut caps.tuning);
    caps
}

/// Forward and backward, over two tiles of queries and of keys, and a part of a third.
async fn attention(context: &Context, dtype: DType) -> Result<()> {
    let caps = with_whole_tiles(context, |tuning| {
        tuning.cooperative_attention.get_or_insert(ATTENTION);
    });
    let tile = caps.tuning.cooperative_attention.unwrap_or(ATTENTION);
    let side = caps.fragment(dtype).unwrap_or(0);
    let columns = tile.key_fragments.max(tile.backward_key_fragments);
    let time = 2 * (side * columns.max(tile.subgroups * tile.row_fragments)) as usize + 13;
    let shape = [1, time, 1, CHANNELS];
    let [query, key, value] = [
        whole_numbers(dtype, &shape, 0)?,
        whole_numbers(dtype, &shape, 1)?,
        whole_numbers(dtype, &shape, 2)?,
    ];
    let longer = |(at, x): (usize, f64)| x as f32 * if at < time * CHANNELS / 2 { 1.0 } else { GROWTH };
    let keys: Vec<f32> = key.to_f64().into_iter().enumerate().map(longer).collect();
    let longer = HostTensor::from_f32(dtype, shape, &keys)?;
    // Weights, their gradients and results are rounded to the factors' type, by 2^-11 or 2^-24, and sums of them have either sign.
    let tolerance = if dtype == DType::F16 { 2f64.powi(-7) } else { 2f64.powi(-16) };
    let spec = Blocked::new().mask(Mask::causal());
    let inputs = [("query", &query), ("key", &longer), ("value", &value)];
    compare(context, &caps, "attention/blocked", tolerance, &inputs, |graph, inputs| {
        Ok(vec![blocked(graph, inputs[0], inputs[1], inputs[2], &spec)?])
    })
    .await?;
    // Of weights that are nearly 1 or 0, gradients would be nothing but rounding.
    let inputs = [("query", &query), ("key", &key), ("value", &value)];
    compare(context, &caps, "attention/blocked_backward", tolerance, &inputs, |graph, inputs| {
        let out = blocked(graph, inputs[0], inputs[1], inputs[2], &spec)?;
        let gradients = graph.gradients_from(&[(out, inputs[0])], inputs)?;
        Ok(gradients.into_iter().flatten().collect())
    })
    .await
}

/// -2 to 2, in no order that two lines would share, nor two tensors of another `kind`.
fn whole_numbers(dtype: DType, shape: &[usize], kind: usize) -> Result<HostTensor> {
    let whole: Vec<f32> = (0..shape.iter().product())
        .map(|at: usize| ((at * at + 7919 * kind * at) / 3 % 5) as f32 - 2.0)
        .collect();
    HostTensor::from_f32(dtype, shape, &whole)
}

/// Fails where an element of what `build` records is further off the reference's than `tolerance` of the largest.
async fn compare(
    context: &Context,
    caps: &Caps,
    op: &'static str,
    tolerance: f64,
    inputs: &[(&str, &HostTensor)],
    build: impl FnOnce(&mut Graph, &[Value]) -> Result<Vec<Value>>,
) -> Result<()> {
    let mut graph = Graph::new();
    let values =
        inputs.iter().map(|(name, tensor)| graph.input(name, tensor.desc())).collect::<Result<Vec<_>>>()?;
    for (i, result) in build(&mut graph, &values)?.into_iter().enumerate() {
        graph.output(&format!("result {i}"), result)?;
    }
    let found = Program::new(context, &Plan::new(&graph, caps)?)?.run_async(inputs).await?;
    for (name, expected) in cpu::run(&graph, inputs)? {
        let (found, expected) = (found[&name].to_f64(), expected.to_f64());
        let largest = expected.iter().fold(0f64, |largest, x| largest.max(x.abs()));
        // A number that is none is not within.
        let within = |at: &usize| (found[*at] - expected[*at]).abs() <= tolerance * largest;
        if let Some(at) = (0..found.len()).find(|at| !within(at)) {
            return Err(Error::new(ErrorKind::Device, "self-test", op)
                .expecting(format!(
                    "{} at element {at} of {name} in {}",
                    expected[at],
                    inputs[0].1.desc().dtype
                ))
                .but_found(found[at]));
        }
    }
    Ok(())
}
