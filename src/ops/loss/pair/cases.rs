//! Benchmarks, and conformance cases: sizes around the vector and workgroup sizes and beyond a partial sum.

use super::{Kind, PairLoss, backward};
use crate::Result;
use crate::check::{Bench, Case, DIVISION_ULPS, Problem, Work, exp_ulps};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor, Shape};

/// Of [`mean_squared_error`](super::mean_squared_error()).
pub(crate) mod mean_squared_error {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Kind::MeanSquaredError, 3.0, DIVISION_ULPS)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Kind::MeanSquaredError)
    }
}

/// Of [`kl_divergence`](super::kl_divergence()).
pub(crate) mod kl_divergence {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Kind::KlDivergence, 4.0, exp_ulps(4.0) + DIVISION_ULPS)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Kind::KlDivergence)
    }
}

const SHAPES: [&[usize]; 9] =
    [&[1], &[2, 63], &[4, 64], &[65, 5], &[3, 4, 97], &[300, 257], &[2, 3, 1000], &[4, 4097], &[7, 1]];

/// For values up to `amplitude`.
fn cases_of(kind: Kind, amplitude: f32, ulps: f64) -> Vec<Case> {
    let shapes = |dtype| SHAPES.map(|shape| (dtype, shape));
    // A loss of nothing stores no f16, whatever the type.
    let empty: [&'static [usize]; 3] = [&[0], &[3, 0], &[0, 5]];
    let empty = empty.map(|shape| (DType::F32, shape));
    let all = || shapes(DType::F32).into_iter().chain(shapes(DType::F16)).chain(empty);
    let forward = all().map(|(dtype, shape)| {
        Case::new(kind.name(), format!("{dtype} {}", Shape::from(shape)), move |problem| {
            let inputs = pair(problem, dtype, shape, amplitude)?;
            Ok(vec![problem.graph.push_builtin_one(PairLoss(kind), &inputs)?])
        })
    });
    // Losses are as large as their gradients are small, so their budget says nothing of the other.
    let gradients = all().enumerate().map(|(i, (dtype, shape))| {
        let which = ["d_a", "d_b", "both"][i % 3];
        let label = format!("gradients: {dtype} {}, {which}", Shape::from(shape));
        Case::new(kind.name(), label, move |problem| {
            let [a, b] = pair(problem, dtype, shape, amplitude)?;
            let upstream = problem.input("upstream", HostTensor::f32([1], vec![-1.5])?)?;
            let gradients = backward::append(&mut problem.graph, kind, [a, b, upstream])?;
            Ok(match which {
                "d_a" => gradients[..1].to_vec(),
                "d_b" => gradients[1..].to_vec(),
                _ => gradients,
            })
        })
    });
    forward.chain(gradients).map(|case| case.builtin_ulps(ulps)).collect()
}

fn pair(problem: &mut Problem, dtype: DType, shape: &[usize], amplitude: f32) -> Result<[Value; 2]> {
    Ok([problem.random("a", dtype, shape, amplitude)?, problem.random("b", dtype, shape, amplitude)?])
}

/// One read of every element of both, and one write of one gradient.
fn benches_of(kind: Kind) -> Vec<Bench> {
    const ELEMENTS: u64 = 2048 * 1000;
    let label = "2048 x 1000 f32";
    vec![
        Bench::new(kind.name(), label, Work::Bytes(ELEMENTS * 8), move |problem| {
            let inputs = pair(problem, DType::F32, &[2048, 1000], 1.0)?;
            Ok(vec![problem.graph.push_builtin_one(PairLoss(kind), &inputs)?])
        }),
        Bench::new(
            kind.name(),
            format!("backward {label}, of the first"),
            Work::Bytes(ELEMENTS * 12),
            move |problem| {
                let [a, b] = pair(problem, DType::F32, &[2048, 1000], 1.0)?;
                let upstream = problem.random("upstream", DType::F32, [1], 1.0)?;
                Ok(backward::append(&mut problem.graph, kind, [a, b, upstream])?[..1].to_vec())
            },
        ),
    ]
}
