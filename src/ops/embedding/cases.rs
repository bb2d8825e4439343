//! Conformance cases: widths around the vector size, ids that no row answers to, more tables than a dispatch takes.

use super::{NAME, embedding};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor};

/// Ids that jump about in a table of `rows`, every seventh beyond it, the first of those by one.
fn ids_of(count: usize, rows: usize) -> Vec<u32> {
    (0..count).map(|i| if i % 7 == 6 { rows + i / 7 } else { i * 31 % rows } as u32).collect()
}

/// A pair of a random table and signed or unsigned ids of `shape`.
fn pair(
    problem: &mut Problem,
    (index, dtype, rows, width): (usize, DType, usize, usize),
    shape: &[usize],
    signed: bool,
) -> Result<(Value, Value)> {
    let table = problem.random(&format!("table {index}"), dtype, [rows, width], 1.0)?;
    let ids = ids_of(shape.iter().product(), rows);
    let ids = if signed {
        HostTensor::i32(shape, ids.into_iter().map(|id| id as i32).collect())?
    } else {
        HostTensor::u32(shape, ids)?
    };
    Ok((table, problem.input(&format!("ids {index}"), ids)?))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        cases.extend(of_one_table(dtype));
        cases.extend(of_several_tables(dtype));
        cases.push(Case::new(NAME, format!("{dtype} ids without a row"), move |problem| {
            let table = problem.random("table", dtype, [5, 8], 1.0)?;
            let signed = HostTensor::i32([6], vec![-1, 4, 5, i32::MIN, i32::MAX, 0])?;
            let unsigned = HostTensor::u32([6], vec![u32::MAX, 4, 5, 1 << 31, 1 << 29, 0])?;
            let (signed, unsigned) = (problem.input("signed", signed)?, problem.input("unsigned", unsigned)?);
            Ok(vec![
                embedding(&mut problem.graph, &[(table, signed)])?,
                embedding(&mut problem.graph, &[(table, unsigned)])?,
                embedding(&mut problem.graph, &[(table, signed), (table, unsigned)])?,
            ])
        }));
    }
    cases
}

fn of_one_table(dtype: DType) -> Vec<Case> {
    let problems: [(usize, usize, &'static [usize]); 11] = [
        (1, 1, &[]),
        (3, 4, &[]),
        (3, 4, &[0]),
        (2, 2, &[1]),
        (7, 3, &[2, 0, 3]),
        (64, 63, &[65]),
        (65, 64, &[3, 1, 21]),
        (97, 65, &[64]),
        (30, 97, &[2, 63]),
        (10, 1000, &[2]),
        (1000, 5, &[1000]),
    ];
    let cases = problems.into_iter().enumerate();
    cases
        .map(|(i, (rows, width, shape))| {
            let label = format!("{dtype} [{rows}, {width}] at {}", crate::Shape::from(shape));
            Case::new(NAME, label, move |problem| {
                let pair = pair(problem, (0, dtype, rows, width), shape, i % 2 == 0)?;
                Ok(vec![embedding(&mut problem.graph, &[pair])?])
            })
        })
        .collect()
}

fn of_several_tables(dtype: DType) -> Vec<Case> {
    let problems = [(2, 8), (3, 12), (3, 5), (4, 8), (4, 3), (7, 4)];
    let cases = problems.into_iter();
    cases
        .map(|(tables, width)| {
            Case::new(NAME, format!("{dtype} {tables} tables of width {width}"), move |problem| {
                let pairs = (0..tables)
                    .map(|i| pair(problem, (i, dtype, 3 + 4 * i, width), &[2, 33], i % 2 == 1))
                    .collect::<Result<Vec<_>>>()?;
                Ok(vec![embedding(&mut problem.graph, &pairs)?])
            })
        })
        .collect()
}

/// One read of every row that is looked up, of every id, and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    const TOKENS: usize = 2048;
    const WIDTH: usize = 384;
    let bench = |label, tables: &'static [(&'static str, usize)]| {
        let count = tables.len();
        let bytes = TOKENS * (WIDTH * 4 * (count + 1) + 4 * count);
        Bench::new(NAME, label, Work::Bytes(bytes as u64), move |problem| {
            let mut pairs = Vec::new();
            for &(name, rows) in tables {
                let table = problem.random(name, DType::F32, [rows, WIDTH], 1.0)?;
                // Ids that jump about in the table.
                let ids = (0..TOKENS).map(|token| (token * 7919 % rows) as u32).collect();
                let ids = problem.input(&format!("{name} ids"), HostTensor::u32([TOKENS], ids)?)?;
                pairs.push((table, ids));
            }
            Ok(vec![embedding(&mut problem.graph, &pairs)?])
        })
    };
    vec![
        bench("2048 of 30522 x 384 f32", &[("word", 30_522)]),
        bench("2048 of 30522 and of 512 x 384 f32", &[("word", 30_522), ("position", 512)]),
    ]
}
