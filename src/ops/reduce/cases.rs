//! Conformance cases: columns, rows and mixtures of both, around the vector, workgroup and chunk sizes, ties, loops that would be too
//! long for some drivers, empty sums and results.

use super::backward::to_chosen;
use super::{argmax, argmin, max, mean, min, place, sum};
use crate::Result;
use crate::check::{Bench, Case, DIVISION_ULPS, Problem, Work};
use crate::graph::{Graph, Value};
use crate::tensor::{DType, HostTensor, Shape};

/// A reduction, appended to a graph.
type Append = fn(&mut Graph, Value, &[usize]) -> Result<Value>;

/// A shape and the axes that are reduced.
type Shaped = (&'static [usize], &'static [usize]);

const SHAPES: [Shaped; 26] = [
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
];

/// Without results, and so of any reduction; the others are of no elements.
const EMPTY: [Shaped; 4] = [(&[0, 4], &[1]), (&[0, 4], &[0]), (&[4, 0], &[1]), (&[3, 0, 5], &[0])];

/// More chunks than fit a vector, of rows and of columns.
const LONG: [Shaped; 4] =
    [(&[150_001], &[0]), (&[9001, 3], &[0]), (&[70_000, 3], &[0]), (&[3, 20_000], &[1])];

pub(super) mod sum {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        let empty = [EMPTY[1], EMPTY[2], EMPTY[3], (&[0], &[0])];
        random_cases("sum", sum, SHAPES.into_iter().chain(empty), &LONG)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        vec![
            bench("sum", "4096 x 1024 f32 over rows", sum, [4096, 1024], &[0]),
            bench("sum", "4096 x 1024 f32 over columns", sum, [4096, 1024], &[1]),
            bench("sum", "4096 x 1024 f32 over both", sum, [4096, 1024], &[0, 1]),
            bench("sum", "1M x 4 f32 over rows", sum, [1 << 20, 4], &[0]),
        ]
    }
}

pub(super) mod mean {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        let cases = random_cases("mean", mean, some(SHAPES, 0), &LONG[..1]);
        cases.into_iter().map(|case| case.builtin_ulps(DIVISION_ULPS)).collect()
    }

    pub(crate) fn benches() -> Vec<Bench> {
        vec![bench("mean", "4096 x 1024 f32 over columns", mean, [4096, 1024], &[1])]
    }
}

pub(super) mod max {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        let shapes = SHAPES.into_iter().chain([EMPTY[0], EMPTY[3]]);
        extremes("max", max, random_cases("max", max, shapes, &LONG))
    }

    pub(crate) fn benches() -> Vec<Bench> {
        vec![bench("max", "4096 x 1024 f32 over columns", max, [4096, 1024], &[1])]
    }
}

pub(super) mod min {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        extremes("min", min, random_cases("min", min, some(SHAPES, 1), &LONG[..2]))
    }

    pub(crate) fn benches() -> Vec<Bench> {
        vec![bench("min", "4096 x 1024 f32 over columns", min, [4096, 1024], &[1])]
    }
}

pub(super) mod argmax {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        place_cases("argmax", argmax, 0)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        vec![
            bench(
                "argmax",
                "4096 x 1024 f32 along rows",
                |graph, x, axes| argmax(graph, x, axes[0]),
                [4096, 1024],
                &[0],
            ),
            bench(
                "argmax",
                "4096 x 1024 f32 along columns",
                |graph, x, axes| argmax(graph, x, axes[0]),
                [4096, 1024],
                &[1],
            ),
        ]
    }
}

pub(super) mod argmin {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        place_cases("argmin", argmin, 1)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        vec![bench(
            "argmin",
            "4096 x 1024 f32 along columns",
            |graph, x, axes| argmin(graph, x, axes[0]),
            [4096, 1024],
            &[1],
        )]
    }
}

/// Those of some shapes, a third of all, that another reduction's kernels have already seen.
fn some(shapes: [Shaped; 26], from: usize) -> impl Iterator<Item = Shaped> + Clone {
    shapes.into_iter().skip(from).step_by(3)
}

fn random_cases(
    op: &'static str,
    append: Append,
    shapes: impl Iterator<Item = Shaped> + Clone,
    long: &[Shaped],
) -> Vec<Case> {
    let random = |dtype: DType, label: String, (shape, axes): Shaped| {
        Case::new(op, label, move |problem| {
            let x = problem.random("x", dtype, shape, 1.0)?;
            Ok(vec![append(&mut problem.graph, x, axes)?])
        })
    };
    let label = |(shape, axes): Shaped| format!("{} over {axes:?}", Shape::from(shape));
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        cases
            .extend(shapes.clone().map(|shaped| random(dtype, format!("{dtype} {}", label(shaped)), shaped)));
    }
    cases.extend(long.iter().map(|&shaped| random(DType::F32, format!("long {}", label(shaped)), shaped)));
    cases
}

/// `cases`, whose two largest elements may be too near to tell a slope; and those of elements that are as large as others, or far apart.
fn extremes(op: &'static str, append: Append, cases: Vec<Case>) -> Vec<Case> {
    let mut cases: Vec<Case> = cases.into_iter().map(Case::kinked).collect();
    for (shape, axes) in [(&[2, 65, 8][..], &[1][..]), (&[3, 130], &[1]), (&[4, 30, 6], &[0, 2])] {
        cases.push(Case::new(op, format!("ties, {} over {axes:?}", Shape::from(shape)), move |problem| {
            let x = ties(problem, shape, -2.0)?;
            Ok(vec![append(&mut problem.graph, x, axes)?])
        }));
    }
    // Where it goes to is an op of its own.
    for (shape, axes) in [(&[3, 65, 4][..], &[1][..]), (&[2, 3, 2, 3, 2, 3, 2, 4], &[1, 3, 6, 7])] {
        let label = format!("gradients: {} over {axes:?}", Shape::from(shape));
        cases.push(Case::new(op, label, move |problem| {
            let x = ties(problem, shape, -2.0)?;
            let y = append(&mut problem.graph, x, axes)?;
            let desc = problem.desc(y)?.clone();
            let upstream = problem.random("upstream", desc.dtype, desc.shape, 1.0)?;
            let chosen = place(&mut problem.graph, x, op, op == "min", axes)?;
            Ok(vec![to_chosen(&mut problem.graph, upstream, chosen, axes, Shape::from(shape))?])
        }));
    }
    let mut cases: Vec<Case> = cases.into_iter().map(Case::kinked).collect();
    for (shape, axes) in [(&[3, 20][..], &[1][..]), (&[5, 4, 4], &[0, 2])] {
        cases.push(Case::new(
            op,
            format!("far apart, {} over {axes:?}", Shape::from(shape)),
            move |problem| {
                let count = Shape::from(shape).elements();
                let elements: Vec<f32> = (0..count).map(|i| 40.0 - (i * 7 % 97) as f32).collect();
                let x = problem.input("x", HostTensor::f32(shape, elements)?)?;
                Ok(vec![append(&mut problem.graph, x, axes)?])
            },
        ));
    }
    cases
}

/// Elements from `least` to `least + 2`, each many times.
fn ties(problem: &mut Problem, shape: &[usize], least: f32) -> Result<Value> {
    let count = Shape::from(shape).elements();
    let elements: Vec<f32> = (0..count).map(|i| least + (i * 7 % 3) as f32).collect();
    problem.input("x", HostTensor::from_f32(DType::F32, shape, &elements)?)
}

fn place_cases(
    op: &'static str,
    append: fn(&mut Graph, Value, usize) -> Result<Value>,
    from: usize,
) -> Vec<Case> {
    let shapes = SHAPES.into_iter().chain(LONG).filter(|(_, axes)| axes.len() == 1);
    let shapes: Vec<Shaped> =
        if from == 0 { shapes.chain([EMPTY[0]]).collect() } else { shapes.step_by(3).collect() };
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for &(shape, axes) in &shapes {
            let label = format!("{dtype} {} along {axes:?}", Shape::from(shape));
            cases.push(Case::new(op, label, move |problem| {
                let x = problem.random("x", dtype, shape, 1.0)?;
                Ok(vec![append(&mut problem.graph, x, axes[0])?])
            }));
        }
    }
    for (shape, axis) in
        [(&[2, 65, 8][..], 1), (&[9, 65], 0), (&[3, 1000], 1), (&[20_000, 4], 0), (&[40_001], 0)]
    {
        cases.push(Case::new(op, format!("ties, {} along {axis}", Shape::from(shape)), move |problem| {
            let x = ties(problem, shape, -1.0)?;
            Ok(vec![append(&mut problem.graph, x, axis)?])
        }));
    }
    cases
}

/// Of 4M elements, with one read of each.
fn bench(
    op: &'static str,
    label: &'static str,
    append: Append,
    shape: [usize; 2],
    axes: &'static [usize],
) -> Bench {
    Bench::new(op, label, Work::Bytes(16 << 20), move |problem| {
        let x = problem.random("x", DType::F32, shape, 1.0)?;
        Ok(vec![append(&mut problem.graph, x, axes)?])
    })
}
