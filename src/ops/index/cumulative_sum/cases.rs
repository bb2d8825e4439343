//! Conformance cases: every axis, chunks of one place and of many, segments that cross chunks and segments of one element, walks longer
//! than a driver's loops.

use super::{CumulativeSum, NAME, cumulative_sum};
use crate::Shape;
use crate::check::{Bench, Case, Work};
use crate::tensor::{DType, HostTensor};

const SHAPES: [(&[usize], usize); 12] = [
    (&[0], 0),
    (&[1], 0),
    (&[17], 0),
    (&[1000], 0),
    (&[3, 0, 2], 1),
    (&[0, 5], 1),
    (&[7, 1, 3], 1),
    (&[5, 97, 3], 1),
    (&[2, 300, 8], 1),
    (&[64, 65], 0),
    (&[33, 40], 1),
    (&[2, 3, 130, 2, 2], 2),
];

const DIRECTIONS: [&str; 4] = ["inclusive", "exclusive", "reverse", "exclusive reverse"];

fn spec(direction: &str) -> CumulativeSum {
    let spec = CumulativeSum::new();
    let spec = if direction.contains("exclusive") { spec.exclusive() } else { spec };
    if direction.contains("reverse") { spec.reverse() } else { spec }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (dtype, amplitude) in [(DType::F32, 1.0), (DType::F16, 1.0), (DType::I32, 2e9), (DType::U32, 4e9)] {
        for (i, (shape, axis)) in SHAPES.into_iter().enumerate() {
            let direction = DIRECTIONS[i % 4];
            let label = format!("{dtype} {} along {axis}, {direction}", Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                let x = problem.random("x", dtype, shape, amplitude)?;
                Ok(vec![cumulative_sum(&mut problem.graph, x, axis, &spec(direction))?])
            }));
        }
    }
    cases.extend(by_segments());
    cases.extend([false, true].map(|reverse| {
        // More places than a driver's loops may have turns, in one column and in more columns than are cut into chunks.
        Case::new(NAME, format!("i32 long axes, reverse: {reverse}"), move |problem| {
            let spec = spec(if reverse { "reverse" } else { "" });
            let row = problem.random("row", DType::I32, [200_003], 1000.0)?;
            let columns = problem.random("columns", DType::I32, [70_001, 8], 1000.0)?;
            let graph = &mut problem.graph;
            Ok(vec![cumulative_sum(graph, row, 0, &spec)?, cumulative_sum(graph, columns, 0, &spec)?])
        })
    }));
    cases
}

/// Segments of one to many places, told by ids and by flags, shared by all outer indices and of their own.
fn by_segments() -> Vec<Case> {
    let shapes: [(&'static [usize], usize); 6] =
        [(&[1], 0), (&[500], 0), (&[0, 3], 0), (&[3, 97, 2], 1), (&[2, 3, 70, 4], 2), (&[65, 8], 0)];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::I32] {
        for (i, (shape, axis)) in shapes.into_iter().enumerate() {
            for (j, direction) in DIRECTIONS.into_iter().enumerate() {
                let (shared, flags, signed) = (j % 2 == 0, (i + j) % 2 == 0, i % 2 == 0);
                let kind = if flags { "flags" } else { "ids" };
                let whose = if shared { "shared" } else { "own" };
                let label =
                    format!("{dtype} {} along {axis}, {direction}, {whose} {kind}", Shape::from(shape));
                cases.push(Case::new(NAME, label, move |problem| {
                    let x = problem.random("x", dtype, shape, 100.0)?;
                    let dims = if shared { &shape[axis..=axis] } else { &shape[..=axis] };
                    let one_of = |i: usize| {
                        if flags { i * 7 % 31 < 3 } else { !(i / 13 + i * i / 300).is_multiple_of(2) }
                    };
                    let segments = (0..dims.iter().product()).map(one_of);
                    let segments = if signed {
                        HostTensor::i32(dims, segments.map(|one| -i32::from(one)).collect())?
                    } else {
                        HostTensor::u32(dims, segments.map(u32::from).collect())?
                    };
                    let segments = problem.input("segments", segments)?;
                    let spec = spec(direction);
                    let spec = if flags { spec.by_flags(segments) } else { spec.by_ids(segments) };
                    Ok(vec![cumulative_sum(&mut problem.graph, x, axis, &spec)?])
                }));
            }
        }
    }
    cases
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let shapes: [(&'static [usize], usize); 2] = [(&[1 << 20], 0), (&[4096, 256], 0)];
    let benches = shapes.into_iter().map(|(shape, axis)| {
        let elements: usize = shape.iter().product();
        let work = Work::Bytes(8 * elements as u64);
        Bench::new(NAME, format!("{} f32 along {axis}", Shape::from(shape)), work, move |problem| {
            let x = problem.random("x", DType::F32, shape, 1.0)?;
            Ok(vec![cumulative_sum(&mut problem.graph, x, axis, &CumulativeSum::new())?])
        })
    });
    benches.collect()
}
