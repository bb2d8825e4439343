//! Conformance cases: widths around the vector size, ids of one digit and of several, ids outside, rows of the result that most ids name and
//! rows that none does, batches, several indices a row.

use super::{NAME, scatter_add_rows, scatter_add_scaled_rows};
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::ops::index::gather_rows::indices;
use crate::tensor::{DType, HostTensor};
use crate::{Result, Shape, ops};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        cases.extend(of_one_index(dtype));
        cases.extend(of_batches(dtype));
    }
    for (outer, shape, of_indices) in [
        (&[7][..], &[40, 3][..], &[40, 5][..]),
        (&[2, 30], &[2, 65, 8], &[2, 65, 3]),
        (&[4], &[900, 4], &[900]),
    ] {
        let label =
            format!("scaled {} of {} at {}", Shape::from(outer), Shape::from(shape), Shape::from(of_indices));
        cases.push(Case::new(NAME, label, move |problem| {
            let rows = stop_gradient(problem, "rows", shape)?;
            let factors = stop_gradient(problem, "factors", of_indices)?;
            let indices = indices(problem, of_indices, outer[outer.len() - 1], true)?;
            Ok(vec![scatter_add_scaled_rows(&mut problem.graph, rows, [indices, factors], outer)?])
        }));
    }
    // More rows than a driver's loops may have turns, most of which add to one.
    cases.push(Case::new(NAME, "200003 rows", |problem| {
        let ids = (0..200_003).map(|i| if i % 10 == 0 { i / 10 } else { 3 }).collect();
        let ids = problem.input("ids", HostTensor::u32([200_003], ids)?)?;
        let rows = problem.random("rows", DType::F32, [200_003, 1], 1.0)?;
        Ok(vec![scatter_add_rows(&mut problem.graph, rows, ids, &[7])?])
    }));
    cases
}

/// Random numbers that no gradient is asked of.
fn stop_gradient(problem: &mut Problem, name: &str, shape: &[usize]) -> Result<Value> {
    let x = problem.random(name, DType::F32, shape, 1.0)?;
    ops::stop_gradient(&mut problem.graph, x)
}

fn of_one_index(dtype: DType) -> Vec<Case> {
    // Which row of the result the n-th row adds to.
    type Pick = fn(usize, usize) -> i64;
    let jumping: Pick = |i, count| if i % 7 == 6 { (count + i / 7) as i64 } else { (i * 31 % count) as i64 };
    let one: Pick = |_, count| count as i64 - 1;
    // Long runs that begin and end within chunks, between short ones.
    let runs: Pick = |i, count| if i % 5 == 4 { (i % count) as i64 } else { (i / 300 % count) as i64 };
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
    let cases = problems.into_iter().enumerate();
    cases
        .map(|(i, (what, pick, count, width, shape))| {
            let label = format!("{dtype} [{count}, {width}], {what} at {}", Shape::from(shape));
            Case::new(NAME, label, move |problem| {
                let picked = (0..shape.iter().product()).map(|row| pick(row, count));
                let ids = if i % 2 == 0 {
                    HostTensor::i32(shape, picked.map(|id| id as i32).collect())?
                } else {
                    HostTensor::u32(shape, picked.map(|id| id as u32).collect())?
                };
                let ids = problem.input("ids", ids)?;
                let rows = problem.random("rows", dtype, [shape, &[width]].concat(), 1.0)?;
                Ok(vec![scatter_add_rows(&mut problem.graph, rows, ids, &[count])?])
            })
        })
        .collect()
}

/// Batches with ids of their own, and several ids a row.
fn of_batches(dtype: DType) -> Vec<Case> {
    // What lies in front of the width of the result, the rows, and their indices.
    type Extents = &'static [usize];
    let problems: [(Extents, Extents, Extents); 9] = [
        (&[0], &[5, 4], &[5]),
        (&[5], &[3, 0], &[3]),
        (&[7], &[40, 3], &[40, 5]),
        (&[7], &[5, 8, 4], &[5, 8, 1]),
        (&[7], &[5, 4], &[5, 0]),
        (&[3, 2], &[3, 50, 4], &[3, 50]),
        (&[0, 2], &[0, 5, 4], &[0, 5]),
        (&[3, 6], &[3, 65, 5], &[3, 65, 2]),
        (&[2, 3, 300], &[2, 3, 20, 2, 8], &[2, 3, 20, 2, 3]),
    ];
    let cases = problems.into_iter().enumerate();
    cases
        .map(|(i, (outer, shape, of_indices))| {
            let shapes = [outer, shape, of_indices].map(Shape::from);
            let label = format!("{dtype} {} of {} at {}", shapes[0], shapes[1], shapes[2]);
            Case::new(NAME, label, move |problem| {
                let rows = problem.random("rows", dtype, shape, 1.0)?;
                let indices = indices(problem, of_indices, outer[outer.len() - 1], i % 2 == 0)?;
                Ok(vec![scatter_add_rows(&mut problem.graph, rows, indices, outer)?])
            })
        })
        .collect()
}

/// One read of every row, and one write of every element of the result.
pub(crate) fn benches() -> Vec<Bench> {
    const ROWS: usize = 4096;
    const WIDTH: usize = 384;
    let benches = [30_522, 512, 2].into_iter().map(|count| {
        let work = Work::Bytes(((ROWS + count) * WIDTH * 4) as u64);
        Bench::new(NAME, format!("{ROWS} into {count} x {WIDTH} f32"), work, move |problem| {
            let id = |row: usize| if count == 2 { 0 } else { (row * 7919 % count) as u32 };
            let ids = problem.input("ids", HostTensor::u32([ROWS], (0..ROWS).map(id).collect())?)?;
            let rows = problem.random("rows", DType::F32, [ROWS, WIDTH], 1.0)?;
            Ok(vec![scatter_add_rows(&mut problem.graph, rows, ids, &[count])?])
        })
    });
    benches.collect()
}
