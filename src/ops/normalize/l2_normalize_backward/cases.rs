//! Conformance cases: widths around the vector and workgroup sizes, squares beyond f32 on both sides, rows shorter than eps.

use super::{NAME, l2_normalize_backward};
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
        &[20_000, 1],
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            let label = format!("{dtype} {}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                // Elements of their own sign, so that no row is shorter than a half.
                let elements = (0..shape.iter().product::<usize>()).map(|i| [1.0, -0.5, 2.0][i % 3]);
                let x = HostTensor::from_f32(dtype, shape, &elements.collect::<Vec<f32>>())?;
                let (x, g) = (problem.input("x", x)?, problem.random("upstream", dtype, shape, 3.0)?);
                Ok(vec![l2_normalize_backward(&mut problem.graph, x, g, 1e-12)?])
            }));
        }
        let rows: [(&str, f32, &'static [[f32; 4]]); 3] = [
            ("rows of zeros", 0.01, &[[0.0; 4], [3.0, 0.0, -4.0, 0.0]]),
            ("rows around eps", 0.5, &[[0.1, -0.2, 0.3, 0.0], [0.24; 4], [0.26; 4], [-1.0, 1.0, 0.0, 0.0]]),
            ("the largest halves", 1e-12, &[[65_504.0; 4], [-65_504.0, 1.0, 0.0, 65_504.0]]),
        ];
        for (what, eps, rows) in rows {
            cases.push(Case::new(NAME, format!("{dtype} {what}"), move |problem| {
                let x = HostTensor::from_f32(dtype, [rows.len(), 4], rows.as_flattened())?;
                let x = problem.input("x", x)?;
                let g = problem.random("upstream", dtype, [rows.len(), 4], 3.0)?;
                Ok(vec![l2_normalize_backward(&mut problem.graph, x, g, eps)?])
            }));
        }
    }
    // Upstream as large as the rows, so that gradients lie about 1, where devices flush nothing.
    for amplitude in [1e25, 1e-25] {
        for width in [3, 97, 1000] {
            let label = format!("f32 {width} numbers up to {amplitude:e}");
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", DType::F32, [2, width], amplitude)?;
                let g = problem.random("upstream", DType::F32, [2, width], amplitude)?;
                Ok(vec![l2_normalize_backward(&mut problem.graph, x, g, f32::MIN_POSITIVE)?])
            }));
        }
    }
    // Of y twice, of the result once, and each of the two divided twice; the root is half the weight.
    let ulps = 6.0 * DIVISION_ULPS + 3.0 * SQRT_ULPS;
    cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

/// One read of every element of both and one write of the gradient.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "2048 x 384 f32", Work::Bytes(2048 * 384 * 12), |problem| {
        let x = problem.random("x", DType::F32, [2048, 384], 1.0)?;
        let upstream = problem.random("upstream", DType::F32, [2048, 384], 1.0)?;
        Ok(vec![l2_normalize_backward(&mut problem.graph, x, upstream, 1e-12)?])
    })]
}
