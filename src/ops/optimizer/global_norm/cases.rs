//! Conformance cases: one gradient and several, clipped and not, sums longer than a workgroup's share, nothing at all.

use super::{GlobalNorm, NAME, global_norm};
use crate::check::{Bench, Case, DIVISION_ULPS, SQRT_ULPS, Work};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [&'static [usize]]; 5] = [
        &[&[1]],
        &[&[63], &[65, 4], &[97, 3]],
        &[&[0]],
        &[&[1000, 257]],
        &[&[0], &[4], &[64, 64], &[1], &[5, 7]],
    ];
    let mut cases = Vec::new();
    for shapes in shapes {
        for max_norm in [None, Some(0.5), Some(1e6)] {
            for scale in [1.0, 1024.0] {
                let label = format!("{shapes:?}, at most {max_norm:?}, scale {scale}");
                let build = move |problem: &mut crate::check::Problem| {
                    let mut gradients = Vec::new();
                    for (i, &shape) in shapes.iter().enumerate() {
                        gradients.push(problem.random(&format!("gradient {i}"), DType::F32, shape, scale)?);
                    }
                    let scale = problem.input("scale", HostTensor::f32([1], vec![scale])?)?;
                    let settings = GlobalNorm { max_norm };
                    let (norm, factor) = global_norm(&mut problem.graph, &gradients, scale, &settings)?;
                    Ok(vec![norm, factor])
                };
                cases.push(Case::new(NAME, label, build).builtin_ulps(SQRT_ULPS + 2.0 * DIVISION_ULPS));
            }
        }
    }
    cases
}

/// One read of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(4 << 20), |problem| {
        let scale = problem.random("scale", DType::F32, [1], 1.0)?;
        let gradient = problem.random("gradient", DType::F32, [1 << 20], 1.0)?;
        Ok(vec![global_norm(&mut problem.graph, &[gradient], scale, &GlobalNorm::default())?.0])
    })]
}
