//! Conformance cases: targets with and without repeats, empty ones, ones that just fit and ones that do not, frames of every length.

use super::{Alignment, Ctc, NAME, ctc};
use crate::Result;
use crate::check::{Bench, Case, Problem, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor};

/// For each frame that an alignment goes through: two exponentials and a logarithm, each of which may be off by as much as WGSL allows.
const ULPS_OF_FRAME: f64 = 12.0;

fn record(
    problem: &mut Problem,
    dtype: DType,
    [frames, symbols]: [usize; 2],
    items: &[(&[i32], i32)],
    spec: &Ctc,
) -> Result<Value> {
    let logits = problem.random("logits", dtype, [items.len(), frames, symbols], 2.0)?;
    let width = items.iter().map(|(labels, _)| labels.len()).max().unwrap_or(0).max(1);
    let padded = items
        .iter()
        .flat_map(|(labels, _)| labels.iter().copied().chain(std::iter::repeat_n(-1, width - labels.len())));
    let targets = HostTensor::i32([items.len(), width], padded.collect())?;
    let count =
        HostTensor::i32([items.len()], items.iter().map(|(labels, _)| labels.len() as i32).collect())?;
    let of_frames = HostTensor::i32([items.len()], items.iter().map(|(_, frames)| *frames).collect())?;
    let alignment = Alignment {
        targets: problem.input("targets", targets)?,
        frames: problem.input("frames", of_frames)?,
        labels: problem.input("labels", count)?,
    };
    ctc(&mut problem.graph, logits, &alignment, spec)
}

type Items = &'static [(&'static [i32], i32)];

pub(crate) fn cases() -> Vec<Case> {
    let few: Items = &[(&[1, 2, 2, 3], 12), (&[4], 1), (&[], 5), (&[1, 1, 1], 5), (&[3, 1], 99)];
    let impossible: Items = &[(&[1, 1, 1], 4), (&[2], 0), (&[], 0), (&[1, 2], 3)];
    let long: Items = &[(
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
            11, 12, 12, 12, 1, 2,
        ],
        70,
    )];
    let settings: [(&str, [usize; 2], Items, Ctc); 5] = [
        ("f32 repeats, an empty target and one that just fits", [12, 5], few, Ctc::new()),
        ("f32 another blank", [12, 6], few, Ctc::new().blank(5)),
        ("f32 without an alignment, taken as 0", [6, 4], impossible, Ctc::new().zero_infinity()),
        ("f32 more states than lanes", [70, 13], long, Ctc::new()),
        ("f32 one frame, one symbol besides the blank", [1, 2], &[(&[1], 1), (&[], 1)], Ctc::new()),
    ];
    let mut cases: Vec<Case> = settings
        .into_iter()
        .map(|(label, extents, items, spec)| {
            let case = Case::new(NAME, label, move |problem| {
                Ok(vec![record(problem, DType::F32, extents, items, &spec)?])
            });
            case.builtin_ulps(ULPS_OF_FRAME * extents[0] as f64)
        })
        .collect();
    cases.push(
        Case::new(NAME, "f16 repeats, an empty target and one that just fits", move |problem| {
            Ok(vec![record(problem, DType::F16, [12, 5], few, &Ctc::new())?])
        })
        .builtin_ulps(12.0 * ULPS_OF_FRAME),
    );
    cases
}

/// One read of every log-probability.
pub(crate) fn benches() -> Vec<Bench> {
    let work = Work::Bytes(4 * 32 * 200 * 128);
    vec![Bench::new(NAME, "32 x 200 frames x 128 symbols, 50 labels", work, |problem| {
        let labels: Vec<i32> = (0..50).map(|at| 1 + at * 7 % 127).collect();
        let items: Vec<(&[i32], i32)> = (0..32).map(|_| (&labels[..], 200)).collect();
        Ok(vec![record(problem, DType::F32, [200, 128], &items, &Ctc::new())?])
    })]
}
