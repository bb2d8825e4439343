//! Conformance cases of every activation: shapes, around 0, the far ends, where formulas change.

use super::{NAME, activation_backward};
use crate::check::{Bench, Case, DIVISION_ULPS, Work, exp_ulps};
use crate::ops::elementwise::Activation;
use crate::tensor::{DType, HostTensor};

/// What the built-in functions of a slope may lose. In each the exponential of -t weighs at most as t exp(-t) does, so that
/// what its accuracy loses with t is lost in units of a smaller term.
pub(crate) fn slope_ulps(activation: Activation) -> f64 {
    match activation {
        Activation::Identity | Activation::Relu => 0.0,
        // Twice: in the error function and in the density, whose exponent at its largest weight is 1/2.
        Activation::Gelu => 2.0 * exp_ulps(1.0),
        // The exponential above and below the fraction bar, and the divisor squared.
        Activation::GeluTanh | Activation::Sigmoid | Activation::Silu | Activation::Tanh => {
            2.0 * exp_ulps(1.0) + 2.0 * DIVISION_ULPS
        }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let allowed = |activation| {
        cases_of(activation).into_iter().map(move |case| case.builtin_ulps(slope_ulps(activation)))
    };
    Activation::ALL.into_iter().flat_map(allowed).collect()
}

fn cases_of(activation: Activation) -> Vec<Case> {
    let shapes: [&'static [usize]; 6] = [&[], &[0], &[63], &[2, 32], &[65, 4], &[97, 3]];
    // Apart, because the largest result of a case sets its scale.
    let places: [(&str, &'static [f32]); 4] = [
        ("around 0", &[-1e-2, -1e-3, -0.0, 0.0, 1e-3, 1e-2]),
        (
            "where formulas change",
            &[-20.1, -19.9, -10.0, -1.28, -1.27, -0.6, 0.59, 1.27, 1.28, 10.0, 20.0, 20.1],
        ),
        ("far out", &[-6e4, -100.0, 100.0, 6e4]),
        ("beyond f16", &[-1e30, -1e10, 1e10, 1e30]),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        let label = |what: &str| format!("{activation:?} {dtype} {what}");
        for shape in shapes {
            cases.push(Case::new(NAME, label(&crate::Shape::from(shape).to_string()), move |problem| {
                let x = problem.random("x", dtype, shape, 4.0)?;
                let upstream = problem.random("upstream", dtype, shape, 2.0)?;
                Ok(vec![activation_backward(&mut problem.graph, x, upstream, activation)?])
            }));
        }
        for (place, x) in places {
            if place == "beyond f16" && dtype == DType::F16 {
                continue;
            }
            cases.push(Case::new(NAME, label(place), move |problem| {
                let upstream: Vec<f32> = (0..x.len()).map(|i| [1.5, -0.75][i % 2]).collect();
                let x = problem.input("x", HostTensor::from_f32(dtype, [x.len()], x)?)?;
                let upstream = HostTensor::from_f32(dtype, [upstream.len()], &upstream)?;
                let upstream = problem.input("upstream", upstream)?;
                Ok(vec![activation_backward(&mut problem.graph, x, upstream, activation)?])
            }));
        }
    }
    cases
}

/// One read of every element of both operands and one write.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |activation| {
        Bench::new(NAME, format!("1M f32, {activation:?}"), Work::Bytes(12 << 20), move |problem| {
            let x = problem.random("x", DType::F32, [1 << 20], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [1 << 20], 1.0)?;
            Ok(vec![activation_backward(&mut problem.graph, x, upstream, activation)?])
        })
    };
    [Activation::Gelu, Activation::Silu].map(bench).into()
}
