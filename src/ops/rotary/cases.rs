//! Conformance cases: both pairings, whole vectors and not, some channels only, scaled, positions near and far, in any order, of any sign.

use super::{NAME, Pairing, Rotary, rotary};
use crate::check::{Bench, Case, Work};
use crate::tensor::{DType, HostTensor};

/// What the series and the two roundings of an angle may lose in a sine, in units of the last place of 1.
const SINE_ULPS: f64 = 1.0;

const PAIRINGS: [Pairing; 2] = [Pairing::Halves, Pairing::Interleaved];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for pairing in PAIRINGS {
        for dtype in [DType::F32, DType::F16] {
            cases.extend(shapes(dtype, pairing));
        }
        cases.extend(settings(pairing));
        cases.extend(with_positions(pairing));
    }
    cases.into_iter().map(|case| case.builtin_ulps(SINE_ULPS)).collect()
}

fn shapes(dtype: DType, pairing: Pairing) -> Vec<Case> {
    let shapes: [[usize; 4]; 9] = [
        [1, 1, 1, 2],
        [2, 3, 2, 4],
        [1, 5, 3, 6],
        [2, 65, 4, 64],
        [3, 7, 2, 12],
        [1, 1000, 1, 8],
        [2, 0, 3, 4],
        [0, 3, 2, 8],
        [2, 3, 0, 8],
    ];
    let case = |shape: [usize; 4]| {
        let label = format!("{dtype} {pairing:?} {}", crate::Shape::from(shape));
        Case::new(NAME, label, move |problem| {
            let x = problem.random("x", dtype, shape, 1.0)?;
            Ok(vec![rotary(&mut problem.graph, x, &Rotary::new(pairing))?])
        })
    };
    shapes.map(case).into()
}

fn settings(pairing: Pairing) -> Vec<Case> {
    let new = Rotary::new(pairing);
    let settings = [
        ("16 of 64 channels", 64, new.channels(16)),
        ("6 of 64 channels", 64, new.channels(6)),
        ("4 of 7 channels", 7, new.channels(4)),
        ("base 1e6, scale 8", 32, new.base(1e6).scale(8.0)),
        ("base 1e-3, scale 0.01", 8, new.base(1e-3).scale(0.01)),
        ("from 1,000,000 on", 64, new.offset(1_000_000)),
        ("from -40 on", 16, new.offset(-40)),
    ];
    let case = |(what, channels, spec): (&str, usize, Rotary)| {
        Case::new(NAME, format!("{pairing:?}, {what}"), move |problem| {
            let x = problem.random("x", DType::F32, [2, 65, 3, channels], 1.0)?;
            Ok(vec![rotary(&mut problem.graph, x, &spec)?])
        })
    };
    settings.map(case).into()
}

fn with_positions(pairing: Pairing) -> [Case; 2] {
    let case = |dtype, channels| {
        Case::new(
            NAME,
            format!("{dtype} {pairing:?}, positions given, {channels} channels"),
            move |problem| {
                let x = problem.random("x", dtype, [2, 6, 2, channels], 1.0)?;
                let places = [
                    0,
                    999_999,
                    -1,
                    1_000_000,
                    3,
                    524_287,
                    70_000,
                    -1_000_000,
                    1,
                    1 << 24,
                    16_777_217,
                    12_345,
                ];
                let places = problem.input("positions", HostTensor::i32([2, 6], places.to_vec())?)?;
                Ok(vec![rotary(&mut problem.graph, x, &Rotary::new(pairing).positions(places))?])
            },
        )
    };
    [case(DType::F32, 64), case(DType::F16, 10)]
}

/// One read and one write of every element.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |pairing: Pairing| {
        Bench::new(NAME, format!("{pairing:?}, 1024 x 16 x 64 f32"), Work::Bytes(8 << 20), move |problem| {
            let x = problem.random("x", DType::F32, [1, 1024, 16, 64], 1.0)?;
            Ok(vec![rotary(&mut problem.graph, x, &Rotary::new(pairing))?])
        })
    };
    PAIRINGS.map(bench).into()
}
