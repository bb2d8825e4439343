//! Conformance cases: widths around the vector size, tables of one digit and of several, ids that no row answers to, rows that most
//! tokens share and rows that none has.

use super::{NAME, embedding_backward};
use crate::check::{Bench, Case, Work};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    // Rows, width, tokens, and which row a token has.
    type Pick = fn(usize, usize) -> i64;
    let jumping: Pick = |i, rows| if i % 7 == 6 { (rows + i / 7) as i64 } else { (i * 31 % rows) as i64 };
    let one: Pick = |_, rows| rows as i64 - 1;
    // Long runs that begin and end within chunks, between short ones.
    let runs: Pick = |i, rows| if i % 5 == 4 { (i % rows) as i64 } else { (i / 300 % rows) as i64 };
    let outside: Pick = |i, _| [-1, i64::from(i32::MIN), i64::from(i32::MAX), 70_000][i % 4];
    let problems: [(&str, Pick, usize, usize, &'static [usize]); 16] = [
        ("jumping", jumping, 1, 1, &[]),
        ("jumping", jumping, 3, 4, &[0]),
        ("jumping", jumping, 2, 2, &[1]),
        ("jumping", jumping, 7, 3, &[2, 0, 3]),
        ("jumping", jumping, 15, 63, &[65]),
        ("jumping", jumping, 16, 64, &[3, 1, 21]),
        ("jumping", jumping, 17, 65, &[64]),
        ("jumping", jumping, 300, 97, &[2, 63]),
        ("jumping", jumping, 5000, 4, &[1000]),
        ("jumping", jumping, 70_000, 1, &[97]),
        ("all one", one, 2, 8, &[1000]),
        ("all one", one, 300, 5, &[4, 64]),
        ("all one", one, 1, 3, &[4097]),
        ("runs", runs, 3, 12, &[1000]),
        ("runs", runs, 40, 7, &[2, 2049]),
        ("outside", outside, 9, 4, &[97]),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (i, (what, pick, rows, width, shape)) in problems.into_iter().enumerate() {
            let label = format!("{dtype} [{rows}, {width}], {what} at {}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let picked = (0..shape.iter().product()).map(|token| pick(token, rows));
                let ids = if i % 2 == 0 {
                    HostTensor::i32(shape, picked.map(|id| id as i32).collect())?
                } else {
                    HostTensor::u32(shape, picked.map(|id| id as u32).collect())?
                };
                let ids = problem.input("ids", ids)?;
                let upstream = problem.random("upstream", dtype, [shape, &[width]].concat(), 1.0)?;
                Ok(vec![embedding_backward(&mut problem.graph, ids, upstream, rows)?])
            }));
        }
    }
    cases
}

/// One read of every upstream row, and one write of every element of the table.
pub(crate) fn benches() -> Vec<Bench> {
    const TOKENS: usize = 4096;
    const WIDTH: usize = 384;
    let bench = |rows: usize| {
        let label = format!("{TOKENS} into {rows} x {WIDTH} f32");
        let bytes = (TOKENS + rows) * WIDTH * 4;
        Bench::new(NAME, label, Work::Bytes(bytes as u64), move |problem| {
            // Ids that jump about; of two rows all tokens take the first.
            let id = |token: usize| if rows == 2 { 0 } else { (token * 7919 % rows) as u32 };
            let ids = problem.input("ids", HostTensor::u32([TOKENS], (0..TOKENS).map(id).collect())?)?;
            let upstream = problem.random("upstream", DType::F32, [TOKENS, WIDTH], 1.0)?;
            Ok(vec![embedding_backward(&mut problem.graph, ids, upstream, rows)?])
        })
    };
    [30_522, 512, 2].map(bench).into()
}
