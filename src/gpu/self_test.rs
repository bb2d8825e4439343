//! Whether a driver multiplies cooperative matrices as it says: it is asked for products, and held to the CPU reference.
//!
//! Factors are small whole numbers, so that sums are exact in every order and nothing but equality passes.

use super::{Context, Program};
use crate::graph::Graph;
use crate::kernel::{Caps, CooperativeTile};
use crate::ops::{Matmul, matmul};
use crate::plan::Plan;
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result, cpu};

/// Extents of the product: neither is whole fragments, and each is more than one block has.
const ROWS: usize = 83;
const COLUMNS: usize = 151;
const INNER: usize = 77;

/// The tile of the test, where the tuning has none.
const TILE: CooperativeTile = CooperativeTile { blocks: [2, 1], fragments: [1, 2], inner: 16, subgroup_size: 32 };

/// Runs a product of each type that `context` has fragments for, and fails where one is not the reference's.
pub(super) fn run(context: &Context) -> Result<()> {
    for dtype in [DType::F16, DType::F32] {
        if context.caps().fragment(dtype).is_some() {
            product(context, dtype)?;
        }
    }
    Ok(())
}

fn product(context: &Context, dtype: DType) -> Result<()> {
    let mut caps: Caps = context.caps().clone();
    caps.tuning.cooperative.get_or_insert(TILE);
    // -2 to 2, in no order that a product over wrong lines would share.
    let factor = |shape: [usize; 2]| {
        let whole: Vec<f32> = (0..shape[0] * shape[1]).map(|at| (at * at / 3 % 5) as f32 - 2.0).collect();
        HostTensor::from_f32(dtype, shape, &whole)
    };
    let (a, b) = (factor([ROWS, INNER])?, factor([COLUMNS, INNER])?);
    let mut graph = Graph::new();
    let inputs = [("a", &a), ("b", &b)];
    let [x, y] = [graph.input("a", a.desc())?, graph.input("b", b.desc())?];
    let c = matmul(&mut graph, x, y, &Matmul::new().transpose_b())?;
    graph.output("c", c)?;
    let found = Program::new(context, &Plan::new(&graph, &caps)?)?.run(&inputs)?;
    let expected = cpu::run(&graph, &inputs)?;
    let (found, expected) = (found["c"].to_f64(), expected["c"].to_f64());
    match (0..found.len()).find(|&at| found[at] != expected[at]) {
        None => Ok(()),
        Some(at) => Err(Error::new(ErrorKind::Device, "self-test", "matmul")
            .expecting(format!("{} at row {}, column {} of a product in {dtype}", expected[at], at / COLUMNS, at % COLUMNS))
            .but_found(found[at])),
    }
}
