//! Conformance cases: widths around the vector and workgroup sizes, equal scores, scores far apart.

use super::{NAME, log_softmax};
use crate::check::{Bench, Case, Work, exp_ulps};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 11] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[2, 64],
        &[2, 65],
        &[3, 4, 97],
        &[2, 1000],
        &[3, 4097],
        &[70_000, 1],
    ];
    // Scores here differ by at most 20 where they weigh anything, and WGSL's logarithm may be off by 2^-21, 4 units.
    let ulps = exp_ulps(20.0) + 4.0;
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            let label = format!("{dtype} {}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, 10.0)?;
                Ok(vec![log_softmax(&mut problem.graph, x)?])
            }));
        }
        let lowest = if dtype == DType::F16 { -65_504.0 } else { f32::MIN };
        let rows: [(&str, Vec<[f32; 4]>); 3] = [
            ("scores of +-10,000", vec![[1e4, -1e4, 1e4, 0.0], [1e4, 9999.0, -1e4, 1.0]]),
            ("equal scores", vec![[-1e4; 4], [7.0; 4], [lowest; 4], [-lowest; 4]]),
            ("rows masked by the lowest number there is", vec![[lowest, 1.0, lowest, 2.0], [0.5; 4]]),
        ];
        for (what, rows) in rows {
            cases.push(Case::new(NAME, format!("{dtype} {what}"), move |problem| {
                let x = HostTensor::from_f32(dtype, [rows.len(), 4], rows.as_flattened())?;
                let x = problem.input("x", x)?;
                Ok(vec![log_softmax(&mut problem.graph, x)?])
            }));
        }
    }
    cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

/// One read and one write of every element, the least there is.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[rows, width]: [usize; 2]| {
        let bytes = Work::Bytes((rows * width * 8) as u64);
        Bench::new(NAME, format!("{rows} x {width} f32"), bytes, move |problem| {
            let x = problem.random("x", DType::F32, [rows, width], 1.0)?;
            Ok(vec![log_softmax(&mut problem.graph, x)?])
        })
    };
    [[4096, 1024], [64, 65_536]].map(bench).into()
}
