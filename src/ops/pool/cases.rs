//! Conformance cases: widths that fill vectors and widths that do not, empty axes, lengths within and outside their range,
//! packed sequences with gaps, strays and one that is all there is.

use super::{Kind, NAME, Pool, pool};
use crate::Result;
use crate::check::{Bench, Case, DIVISION_ULPS, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor};

const KINDS: [Kind; 3] = [Kind::Mean, Kind::Max, Kind::First];

/// Appends the op to the graph of a problem, for x.
pub(in crate::ops) type Append = fn(&mut Problem, Value, &Pool) -> Result<Vec<Value>>;

pub(crate) fn cases() -> Vec<Case> {
    cases_of(NAME, |problem, x, spec| Ok(vec![pool(&mut problem.graph, x, spec)?]))
}

/// The cases of pooling, for `append`.
pub(in crate::ops) fn cases_of(name: &'static str, append: Append) -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for kind in KINDS {
            let random = [whole(name, dtype, kind, append), with_segments(name, dtype, kind, append)];
            // Of random numbers the two largest may be too near to tell a slope.
            let slopes = |case: Case| if kind == Kind::Max { case.kinked() } else { case };
            cases.extend(random.into_iter().flatten().map(slopes));
            cases.extend(with_lengths(name, dtype, kind, append));
        }
    }
    cases.into_iter().map(|case| case.builtin_ulps(DIVISION_ULPS)).collect()
}

fn whole(name: &'static str, dtype: DType, kind: Kind, append: Append) -> Vec<Case> {
    let shapes: [&'static [usize]; 10] = [
        &[1, 1, 1],
        &[2, 63, 5],
        &[3, 64, 64],
        &[1, 65, 97],
        &[2, 1000, 12],
        &[1, 3, 4097],
        &[0, 3, 4],
        &[3, 0, 4],
        &[3, 4, 0],
        &[70_000, 2, 8],
    ];
    let case = |shape: &'static [usize]| {
        Case::new(name, format!("{dtype} {kind:?} of {}", crate::Shape::from(shape)), move |problem| {
            let x = problem.random("x", dtype, shape, 2.0)?;
            append(problem, x, &Pool::of(kind))
        })
    };
    shapes.map(case).into()
}

fn with_lengths(name: &'static str, dtype: DType, kind: Kind, append: Append) -> Vec<Case> {
    let settings: [(usize, usize, &'static [i32]); 3] =
        [(97, 5, &[97, 1, 0, 63, -3, 98, i32::MAX, i32::MIN]), (64, 64, &[64, 2, 63]), (0, 4, &[0, 1])];
    let case = |(time, width, lengths): (usize, usize, &'static [i32])| {
        let label = format!("{dtype} {kind:?} of [{time}, {width}] each, lengths {lengths:?}");
        Case::new(name, label, move |problem| {
            // Without 0, which is what nothing pooled gives, and none twice along time.
            let count = lengths.len() * time * width;
            let elements: Vec<f32> = (0..count).map(|i| -1.0 - (i * 7 % 97) as f32).collect();
            let x = HostTensor::from_f32(dtype, [lengths.len(), time, width], &elements)?;
            let x = problem.input("x", x)?;
            let lengths = problem.input("lengths", HostTensor::i32([lengths.len()], lengths.to_vec())?)?;
            append(problem, x, &Pool::of(kind).lengths(lengths))
        })
    };
    settings.map(case).into()
}

fn with_segments(name: &'static str, dtype: DType, kind: Kind, append: Append) -> Vec<Case> {
    let packed: Vec<i32> = (0..1000).map(|t| t / 97).collect();
    let settings: [(&str, usize, Vec<Vec<i32>>); 6] = [
        ("runs of 97", 11, vec![packed.clone(), packed]),
        ("all there is", 1, vec![vec![0; 63]]),
        ("gaps", 5, vec![vec![0, 0, 2, 4, 4], vec![1, 1, 1, 3, 3], vec![4; 5]]),
        ("ids outside", 3, vec![vec![i32::MIN, -1, 0, 2, 2, 3, i32::MAX], vec![-1; 7], vec![3; 7]]),
        ("no positions", 2, vec![vec![], vec![]]),
        ("no rows", 0, vec![vec![0, 1]]),
    ];
    let mut cases = Vec::new();
    for (what, count, ids) in settings {
        for width in [3, 64] {
            let (ids, label) = (ids.clone(), format!("{dtype} {kind:?} of segments of {width}, {what}"));
            cases.push(Case::new(name, label, move |problem| {
                let (batch, time) = (ids.len(), ids[0].len());
                let x = problem.random("x", dtype, [batch, time, width], 2.0)?;
                let ids = problem.input("ids", HostTensor::i32([batch, time], ids.concat())?)?;
                append(problem, x, &Pool::of(kind).segments(ids, count))
            }));
        }
    }
    cases
}

/// One read of every element; what is written is little beside it.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[batch, time]: [usize; 2]| {
        let bytes = Work::Bytes((batch * time * 384 * 4) as u64);
        Bench::new(NAME, format!("mean of {batch} x {time} x 384 f32"), bytes, move |problem| {
            let x = problem.random("x", DType::F32, [batch, time, 384], 1.0)?;
            Ok(vec![pool(&mut problem.graph, x, &Pool::mean())?])
        })
    };
    [[16, 128], [1, 2048]].map(bench).into()
}
