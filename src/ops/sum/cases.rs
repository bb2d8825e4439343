//! Conformance cases: columns, rows and mixtures of both, around the vector, workgroup and chunk sizes, empty sums and results.

use super::{NAME, sum};
use crate::check::{Bench, Case, Work};
use crate::tensor::DType;

pub(crate) fn cases() -> Vec<Case> {
    let problems: [(&'static [usize], &'static [usize]); 30] = [
        (&[], &[]),
        (&[3, 1, 2], &[1]),
        (&[3, 2], &[]),
        (&[1], &[0]),
        (&[2], &[0]),
        (&[63], &[0]),
        (&[64], &[0]),
        (&[65], &[0]),
        (&[1000], &[0]),
        (&[3, 97], &[1]),
        (&[3, 1000], &[1]),
        (&[5, 2], &[1]),
        (&[70_000, 1, 2], &[2]),
        (&[97, 3], &[0]),
        (&[63, 8], &[0]),
        (&[64, 64], &[0]),
        (&[65, 1000], &[0]),
        (&[1000, 36], &[0]),
        (&[1001, 5], &[0]),
        (&[2, 3, 5, 7], &[0, 2]),
        (&[2, 3, 5, 8], &[3, 1]),
        (&[3, 40, 5, 8], &[1, 3]),
        (&[300, 3, 9], &[2, 0]),
        (&[2, 3, 2, 3, 2, 3, 2, 4], &[0, 2, 4, 6]),
        (&[2, 3, 2, 3, 2, 3, 2, 4], &[1, 3, 5, 7]),
        (&[2, 3, 4], &[2, 1, 0]),
        (&[0, 4], &[0]),
        (&[4, 0], &[1]),
        (&[3, 0, 5], &[0]),
        (&[0], &[0]),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (shape, axes) in problems {
            let label = format!("{dtype} {} over {axes:?}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, 1.0)?;
                Ok(vec![sum(&mut problem.graph, x, axes)?])
            }));
        }
    }
    // More chunks than fit a vector, of rows and of columns.
    for (shape, axes) in [(&[150_001][..], &[0][..]), (&[9001, 3], &[0]), (&[3, 20_000], &[1])] {
        cases.push(Case::new(
            NAME,
            format!("long {} over {axes:?}", crate::Shape::from(shape)),
            move |problem| {
                let x = problem.random("x", DType::F32, shape, 1.0)?;
                Ok(vec![sum(&mut problem.graph, x, axes)?])
            },
        ));
    }
    cases
}

/// One read of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |label, shape: [usize; 2], axes: &'static [usize]| {
        Bench::new(NAME, label, Work::Bytes(16 << 20), move |problem| {
            let x = problem.random("x", DType::F32, shape, 1.0)?;
            Ok(vec![sum(&mut problem.graph, x, axes)?])
        })
    };
    vec![
        bench("4096 x 1024 f32 over rows", [4096, 1024], &[0]),
        bench("4096 x 1024 f32 over columns", [4096, 1024], &[1]),
        bench("4096 x 1024 f32 over both", [4096, 1024], &[0, 1]),
        bench("1M x 4 f32 over rows", [1 << 20, 4], &[0]),
    ]
}
