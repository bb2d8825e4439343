//! Conformance cases: widths around the vector and workgroup sizes, squares beyond f32 on both sides, rows shorter than eps.

use super::{NAME, l2_normalize};
use crate::check::{Bench, Case, DIVISION_ULPS, SQRT_ULPS, Work};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 12] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[2, 64],
        &[2, 65],
        &[3, 4, 97],
        &[33, 384],
        &[2, 1000],
        &[3, 4097],
        &[70_000, 1],
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            let label = format!("{dtype} {}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, 3.0)?;
                Ok(vec![l2_normalize(&mut problem.graph, x, 1e-12)?])
            }));
        }
        let rows: [(&str, f32, &'static [[f32; 4]]); 3] = [
            ("rows of zeros", 1e-12, &[[0.0; 4], [3.0, 0.0, -4.0, 0.0]]),
            ("rows around eps", 0.5, &[[0.1, -0.2, 0.3, 0.0], [0.25; 4], [0.26; 4], [-1.0, 1.0, 0.0, 0.0]]),
            ("the largest halves", 1e-12, &[[65_504.0; 4], [-65_504.0, 1.0, 0.0, 65_504.0]]),
        ];
        for (what, eps, rows) in rows {
            cases.push(
                Case::new(NAME, format!("{dtype} {what}"), move |problem| {
                    let x = HostTensor::from_f32(dtype, [rows.len(), 4], rows.as_flattened())?;
                    let x = problem.input("x", x)?;
                    Ok(vec![l2_normalize(&mut problem.graph, x, eps)?])
                })
                .kinked(),
            );
        }
    }
    // Not nearer to the smallest normal number: devices may flush what lies below it, and gradients grow as rows shrink.
    for amplitude in [1e25, 1e37, 1e-25, 1e-27] {
        for width in [3, 97, 1000] {
            let label = format!("f32 {width} numbers up to {amplitude:e}");
            cases.push(
                Case::new(NAME, label, move |problem| {
                    let x = problem.random("x", DType::F32, [2, width], amplitude)?;
                    Ok(vec![l2_normalize(&mut problem.graph, x, f32::MIN_POSITIVE)?])
                })
                .kinked(),
            );
        }
    }
    // Each element is divided twice, once under the root, which is half the weight.
    let ulps = 3.0 * DIVISION_ULPS + SQRT_ULPS;
    cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "2048 x 384 f32", Work::Bytes(2048 * 384 * 8), |problem| {
        let x = problem.random("x", DType::F32, [2048, 384], 1.0)?;
        Ok(vec![l2_normalize(&mut problem.graph, x, 1e-12)?])
    })]
}
