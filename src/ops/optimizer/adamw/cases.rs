//! Conformance cases: packs and single elements, the first step and a late one, a step that is skipped.

use super::{AdamW, Control, Moments, NAME, adamw};
use crate::check::{Bench, Case, DIVISION_ULPS, SQRT_ULPS, Work};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in [&[1][..], &[63], &[65, 4], &[97, 3], &[0], &[1000, 12]] {
        // Before the first step there are no moments.
        for (when, amplitude, schedule) in
            [("first", 0.0, [3e-3, 0.1, 1e-3]), ("late", 0.5, [1e-4, 1.0, 0.8])]
        {
            for factor in [1.0, 0.25, 0.0] {
                let label = format!("{shape:?}, {when} step, factor {factor}");
                let build = move |problem: &mut crate::check::Problem| {
                    let parameter = problem.random("parameter", DType::F32, shape, 1.0)?;
                    let gradient = problem.random("gradient", DType::F32, shape, 1.0)?;
                    let first = problem.random("first", DType::F32, shape, amplitude)?;
                    let root = problem.random("second", DType::F32, shape, amplitude)?;
                    let second = crate::ops::multiply(&mut problem.graph, root, root)?;
                    let schedule = problem.input("schedule", HostTensor::f32([3], schedule.to_vec())?)?;
                    let factor = problem.input("factor", HostTensor::f32([1], vec![factor])?)?;
                    let (control, moments) = (Control { schedule, factor }, Moments { first, second });
                    let settings = AdamW::default();
                    let (parameter, moments) =
                        adamw(&mut problem.graph, parameter, gradient, moments, control, &settings)?;
                    Ok(vec![parameter, moments.first, moments.second])
                };
                cases.push(Case::new(NAME, label, build).builtin_ulps(3.0 * DIVISION_ULPS + SQRT_ULPS));
            }
        }
    }
    cases
}

/// Four reads and three writes of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(28 << 20), |problem| {
        let mut random = |name, count: usize| problem.random(name, DType::F32, [count], 1.0);
        let (parameter, gradient) = (random("parameter", 1 << 20)?, random("gradient", 1 << 20)?);
        let moments = Moments { first: random("first", 1 << 20)?, second: random("second", 1 << 20)? };
        let control = Control { schedule: random("schedule", 3)?, factor: random("factor", 1)? };
        let spec = AdamW::default();
        Ok(vec![adamw(&mut problem.graph, parameter, gradient, moments, control, &spec)?.0])
    })]
}
