//! Conformance cases: widths around the vector and workgroup sizes, equal scores, scores far apart.

use super::{NAME, softmax};
use crate::check::{Bench, Case, Work, exp_ulps};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 10] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[2, 64],
        &[2, 65],
        &[3, 4, 97],
        &[2, 1000],
        &[70_000, 1],
    ];
    // Once above and once below the fraction bar; scores here differ by at most 20 where they weigh anything.
    let ulps = 2.0 * exp_ulps(20.0);
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            let label = format!("{dtype} {}", crate::Shape::from(shape));
            let case = Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, 10.0)?;
                Ok(vec![softmax(&mut problem.graph, x)?])
            });
            cases.push(case.builtin_ulps(ulps));
        }
        let extremes =
            Case::new(NAME, format!("{dtype} scores of +-10,000 and equal scores"), move |problem| {
                let rows = [[1e4, -1e4, 1e4, 0.0], [-1e4; 4], [7.0; 4], [1e4, 9999.0, -1e4, 1.0]];
                let x = problem.input("x", HostTensor::from_f32(dtype, [4, 4], rows.as_flattened())?)?;
                Ok(vec![softmax(&mut problem.graph, x)?])
            });
        let masked =
            Case::new(NAME, format!("{dtype} rows masked by the lowest number there is"), move |problem| {
                let lowest = if dtype == DType::F16 { -65_504.0 } else { f32::MIN };
                let rows = [[lowest; 4], [lowest, 1.0, lowest, 2.0], [lowest, lowest, -lowest, lowest]];
                let x = problem.input("x", HostTensor::from_f32(dtype, [3, 4], rows.as_flattened())?)?;
                Ok(vec![softmax(&mut problem.graph, x)?])
            });
        cases.push(masked.builtin_ulps(ulps));
        cases.push(extremes.builtin_ulps(ulps));
    }
    cases
}

/// One read and one write of every element, the least there is.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[rows, width]: [usize; 2]| {
        let bytes = Work::Bytes((rows * width * 8) as u64);
        Bench::new(NAME, format!("{rows} x {width} f32"), bytes, move |problem| {
            let x = problem.random("x", DType::F32, [rows, width], 1.0)?;
            Ok(vec![softmax(&mut problem.graph, x)?])
        })
    };
    [[4096, 1024], [64, 65_536]].map(bench).into()
}
