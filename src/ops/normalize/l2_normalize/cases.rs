//! Benchmarks, and conformance cases: widths around the vector and workgroup sizes and beyond what a lane's loops may be, squares beyond
//! f32 on both sides, rows shorter than eps.

use super::{NAME, backward, l2_normalize};
use crate::check::{Bench, Case, DIVISION_ULPS, SQRT_ULPS, Work};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 13] = [
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
        &[600_001],
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
            let case = Case::new(NAME, format!("{dtype} {what}"), move |problem| {
                let x = HostTensor::from_f32(dtype, [rows.len(), 4], rows.as_flattened())?;
                let x = problem.input("x", x)?;
                Ok(vec![l2_normalize(&mut problem.graph, x, eps)?])
            });
            // Of a row of zeros the gradient is upstream over eps.
            let overflows = dtype == DType::F16 && what == "rows of zeros";
            cases.push(if overflows { case.gradients_overflow() } else { case }.kinked());
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
    cases.into_iter().map(|case| case.builtin_ulps(ulps)).chain(gradients()).collect()
}

/// Backward passes that those of the cases above do not reach.
fn gradients() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        // An eps of 0.01: divided by a smaller one, upstream leaves f16. None of the rows is as long as eps, where there is no slope.
        let rows: [(&str, f32, &'static [[f32; 4]]); 2] = [
            ("rows of zeros", 0.01, &[[0.0; 4], [3.0, 0.0, -4.0, 0.0]]),
            ("rows around eps", 0.5, &[[0.1, -0.2, 0.3, 0.0], [0.24; 4], [0.26; 4], [-1.0, 1.0, 0.0, 0.0]]),
        ];
        for (what, eps, rows) in rows {
            cases.push(Case::new(NAME, format!("gradients: {dtype} {what}"), move |problem| {
                let x = HostTensor::from_f32(dtype, [rows.len(), 4], rows.as_flattened())?;
                let x = problem.input("x", x)?;
                let upstream = problem.random("upstream", dtype, [rows.len(), 4], 3.0)?;
                Ok(vec![backward::append(&mut problem.graph, x, upstream, eps)?])
            }));
        }
    }
    // Upstream as large as the rows, so that gradients lie about 1, where devices flush nothing.
    for amplitude in [1e25, 1e-25] {
        for width in [3, 97, 1000] {
            let label = format!("gradients: f32 {width} numbers up to {amplitude:e}");
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", DType::F32, [2, width], amplitude)?;
                let upstream = problem.random("upstream", DType::F32, [2, width], amplitude)?;
                Ok(vec![backward::append(&mut problem.graph, x, upstream, f32::MIN_POSITIVE)?])
            }));
        }
    }
    cases.push(Case::new(NAME, "gradients: f32 [600001]", |problem| {
        let x = problem.random("x", DType::F32, [600_001], 3.0)?;
        let upstream = problem.random("upstream", DType::F32, [600_001], 3.0)?;
        Ok(vec![backward::append(&mut problem.graph, x, upstream, 1e-12)?])
    }));
    // Of y twice, of the result once, and each of the two divided twice; the root is half the weight.
    let ulps = 6.0 * DIVISION_ULPS + 3.0 * SQRT_ULPS;
    cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

/// One read of every element of each operand and one write.
pub(crate) fn benches() -> Vec<Bench> {
    const SHAPE: [usize; 2] = [2048, 384];
    const ELEMENTS: u64 = 2048 * 384;
    vec![
        Bench::new(NAME, "2048 x 384 f32", Work::Bytes(ELEMENTS * 8), |problem| {
            let x = problem.random("x", DType::F32, SHAPE, 1.0)?;
            Ok(vec![l2_normalize(&mut problem.graph, x, 1e-12)?])
        }),
        Bench::new(NAME, "backward 2048 x 384 f32", Work::Bytes(ELEMENTS * 12), |problem| {
            let x = problem.random("x", DType::F32, SHAPE, 1.0)?;
            let upstream = problem.random("upstream", DType::F32, SHAPE, 1.0)?;
            Ok(vec![backward::append(&mut problem.graph, x, upstream, 1e-12)?])
        }),
    ]
}
