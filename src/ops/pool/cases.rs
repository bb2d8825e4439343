//! Conformance cases: widths that fill vectors and widths that do not, empty axes, lengths within and outside their range,
//! packed sequences with gaps, strays and one that is all there is, and more positions than loops of some drivers have turns.

use super::backward::pool_backward;
use super::{Kind, NAME, Pool, pool};
use crate::check::{Bench, Case, DIVISION_ULPS, Work};
use crate::tensor::{DType, HostTensor};

const KINDS: [Kind; 4] = [Kind::Mean, Kind::Max, Kind::First, Kind::Last];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = gradients();
    for dtype in [DType::F32, DType::F16] {
        for kind in KINDS {
            let random = [whole(dtype, kind), with_segments(dtype, kind)];
            // Of random numbers the two largest may be too near to tell a slope.
            let slopes = |case: Case| if kind == Kind::Max { case.kinked() } else { case };
            cases.extend(random.into_iter().flatten().map(slopes));
            cases.extend(with_lengths(dtype, kind));
        }
    }
    cases.extend([Kind::Mean, Kind::Max, Kind::Last].into_iter().flat_map(long));
    cases.into_iter().map(|case| case.builtin_ulps(DIVISION_ULPS)).collect()
}

fn whole(dtype: DType, kind: Kind) -> Vec<Case> {
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
        Case::new(NAME, format!("{dtype} {kind:?} of {}", crate::Shape::from(shape)), move |problem| {
            let x = problem.random("x", dtype, shape, 2.0)?;
            Ok(vec![pool(&mut problem.graph, x, &Pool::of(kind))?])
        })
    };
    shapes.map(case).into()
}

fn with_lengths(dtype: DType, kind: Kind) -> Vec<Case> {
    let settings: [(usize, usize, &'static [i32]); 3] =
        [(97, 5, &[97, 1, 0, 63, -3, 98, i32::MAX, i32::MIN]), (64, 64, &[64, 2, 63]), (0, 4, &[0, 1])];
    let case = |(time, width, lengths): (usize, usize, &'static [i32])| {
        let label = format!("{dtype} {kind:?} of [{time}, {width}] each, lengths {lengths:?}");
        Case::new(NAME, label, move |problem| {
            // Without 0, which is what nothing pooled gives, and none twice along time.
            let count = lengths.len() * time * width;
            let elements: Vec<f32> = (0..count).map(|i| -1.0 - (i * 7 % 97) as f32).collect();
            let x = HostTensor::from_f32(dtype, [lengths.len(), time, width], &elements)?;
            let x = problem.input("x", x)?;
            let lengths = problem.input("lengths", HostTensor::i32([lengths.len()], lengths.to_vec())?)?;
            Ok(vec![pool(&mut problem.graph, x, &Pool::of(kind).lengths(lengths))?])
        })
    };
    settings.map(case).into()
}

fn with_segments(dtype: DType, kind: Kind) -> Vec<Case> {
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
            cases.push(Case::new(NAME, label, move |problem| {
                let (batch, time) = (ids.len(), ids[0].len());
                let x = problem.random("x", dtype, [batch, time, width], 2.0)?;
                let ids = problem.input("ids", HostTensor::i32([batch, time], ids.concat())?)?;
                Ok(vec![pool(&mut problem.graph, x, &Pool::of(kind).segments(ids, count))?])
            }));
        }
    }
    cases
}

/// Sequences of more than 65,535 positions, whole, by lengths and in one segment of two.
fn long(kind: Kind) -> [Case; 3] {
    let label = |how| format!("{kind:?} of 70,000 positions, {how}");
    [
        Case::new(NAME, label("whole"), move |problem| {
            let x = problem.random("x", DType::F32, [1, 70_000, 3], 1.0)?;
            Ok(vec![pool(&mut problem.graph, x, &Pool::of(kind))?])
        }),
        Case::new(NAME, label("by lengths"), move |problem| {
            let x = problem.random("x", DType::F16, [3, 70_000, 4], 1.0)?;
            let lengths = problem.input("lengths", HostTensor::i32([3], vec![69_999, 2, 0])?)?;
            Ok(vec![pool(&mut problem.graph, x, &Pool::of(kind).lengths(lengths))?])
        }),
        Case::new(NAME, label("nearly all in a segment"), move |problem| {
            let x = problem.random("x", DType::F32, [1, 70_000, 4], 1.0)?;
            let ids: Vec<i32> = (0..70_000).map(|t| i32::from(t >= 900) + i32::from(t >= 69_500)).collect();
            let ids = problem.input("ids", HostTensor::i32([1, 70_000], ids)?)?;
            Ok(vec![pool(&mut problem.graph, x, &Pool::of(kind).segments(ids, 3))?])
        }),
    ]
}

/// The backward pass where several are as large, and in each of the ways that positions count.
fn gradients() -> Vec<Case> {
    let mut cases = Vec::new();
    for (dtype, width) in [(DType::F32, 5), (DType::F32, 8), (DType::F16, 8)] {
        for kind in KINDS {
            for how in ["whole", "lengths", "segments"] {
                let label = format!("gradients: {dtype} {kind:?} of ties, width {width}, {how}");
                cases.push(Case::new(NAME, label, move |problem| {
                    let elements: Vec<f32> = (0..2 * 65 * width).map(|i| (i * 7 % 3) as f32).collect();
                    let x = problem.input("x", HostTensor::from_f32(dtype, [2, 65, width], &elements)?)?;
                    let mut spec = Pool::of(kind);
                    if how == "lengths" {
                        spec = spec.lengths(problem.input("lengths", HostTensor::i32([2], vec![0, 64])?)?);
                    } else if how == "segments" {
                        let ids = (0..2 * 65).map(|t| t % 65 / 16 - 1).collect();
                        spec = spec.segments(problem.input("ids", HostTensor::i32([2, 65], ids)?)?, 3);
                    }
                    // Only for its shape: what nobody reads does not run.
                    let pooled = pool(&mut problem.graph, x, &spec)?;
                    let desc = problem.desc(pooled)?.clone();
                    let upstream = problem.random("upstream", desc.dtype, desc.shape, 2.0)?;
                    Ok(vec![pool_backward(&mut problem.graph, x, upstream, &spec)?])
                }));
            }
        }
    }
    cases
}

/// One read of every element, or one write of it; what is written or read beside it is little.
pub(crate) fn benches() -> Vec<Bench> {
    let mut benches = Vec::new();
    for [batch, time] in [[16, 128], [1, 2048]] {
        let bytes = Work::Bytes((batch * time * 384 * 4) as u64);
        let label = format!("mean of {batch} x {time} x 384 f32");
        benches.push(Bench::new(NAME, label.clone(), bytes, move |problem| {
            let x = problem.random("x", DType::F32, [batch, time, 384], 1.0)?;
            Ok(vec![pool(&mut problem.graph, x, &Pool::mean())?])
        }));
        benches.push(Bench::new(NAME, format!("gradients: {label}"), bytes, move |problem| {
            let x = problem.random("x", DType::F32, [batch, time, 384], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [batch, 384], 1.0)?;
            Ok(vec![pool_backward(&mut problem.graph, x, upstream, &Pool::mean())?])
        }));
    }
    benches
}
