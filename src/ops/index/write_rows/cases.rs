//! Conformance cases of writing and reading: batches with positions of their own, rows of one pack and of many, positions before and behind
//! all rows, more rows than there is room for, no rows at all.

use super::read_rows::{self, read_rows};
use super::{NAME, write_rows};
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor};
use crate::{Result, Shape};

/// The shape of the large value, the batch axes, the rows that are moved, and the positions.
type Extents = (&'static [usize], usize, usize, &'static [i32]);

const PROBLEMS: [Extents; 12] = [
    (&[1], 0, 1, &[0]),
    (&[9, 4], 0, 1, &[8]),
    (&[9, 4], 0, 3, &[-2]),
    (&[9, 3], 0, 3, &[7]),
    (&[9, 3], 0, 20, &[-4]),
    (&[9, 2, 4], 0, 2, &[i32::MAX]),
    (&[9, 4], 0, 2, &[i32::MIN]),
    (&[9, 4], 0, 0, &[3]),
    (&[0, 4], 0, 2, &[0]),
    (&[9, 0], 0, 2, &[0]),
    (&[3, 17, 2, 8], 1, 5, &[0, 12, 14]),
    (&[2, 2, 65, 3], 2, 4, &[1, -1, 61, 63]),
];

const TYPES: [(DType, f32); 4] = [(DType::F32, 1.0), (DType::F16, 1.0), (DType::I32, 2e9), (DType::U32, 4e9)];

fn label(dtype: DType, (shape, _, rows, at): Extents) -> String {
    format!("{dtype} {rows} rows of {} at {at:?}", Shape::from(shape))
}

fn positions(problem: &mut Problem, (shape, axes, _, at): Extents) -> Result<Value> {
    problem.input("at", HostTensor::i32(&shape[..axes], at.to_vec())?)
}

fn of_every_problem(build: fn(DType, f32, Extents) -> Case) -> Vec<Case> {
    let typed = |extents| TYPES.map(|(dtype, amplitude)| build(dtype, amplitude, extents));
    PROBLEMS.into_iter().flat_map(typed).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    of_every_problem(|dtype, amplitude, extents| {
        Case::new(NAME, label(dtype, extents), move |problem| {
            let (shape, axes, count, _) = extents;
            let mut of_rows = shape.to_vec();
            of_rows[axes] = count;
            let target = problem.random("target", dtype, shape, amplitude)?;
            let rows = problem.random("rows", dtype, of_rows, amplitude)?;
            let at = positions(problem, extents)?;
            Ok(vec![write_rows(&mut problem.graph, target, rows, at)?])
        })
    })
}

pub(crate) fn cases_of_reading() -> Vec<Case> {
    of_every_problem(|dtype, amplitude, extents| {
        Case::new(read_rows::NAME, label(dtype, extents), move |problem| {
            let x = problem.random("x", dtype, extents.0, amplitude)?;
            let at = positions(problem, extents)?;
            Ok(vec![read_rows(&mut problem.graph, x, at, extents.2)?])
        })
    })
}

/// A read and a write of every row that is moved, without the copy of the target that writing elsewhere than into a parameter takes.
const WORK: Work = Work::Bytes(8 * 512 * 1024 * 4 * 2);

pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "8 x 512 of 1024 rows of 1024 f32", WORK, |problem| {
        let target = problem.random("target", DType::F32, [8, 1024, 1024], 1.0)?;
        let rows = problem.random("rows", DType::F32, [8, 512, 1024], 1.0)?;
        let at = problem.input("at", HostTensor::i32([8], vec![100; 8])?)?;
        Ok(vec![write_rows(&mut problem.graph, target, rows, at)?])
    })]
}

pub(crate) fn benches_of_reading() -> Vec<Bench> {
    vec![Bench::new(read_rows::NAME, "8 x 512 of 1024 rows of 1024 f32", WORK, |problem| {
        let x = problem.random("x", DType::F32, [8, 1024, 1024], 1.0)?;
        let at = problem.input("at", HostTensor::i32([8], vec![100; 8])?)?;
        Ok(vec![read_rows(&mut problem.graph, x, at, 512)?])
    })]
}
