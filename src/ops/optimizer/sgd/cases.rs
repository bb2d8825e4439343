//! Conformance cases: packs and single elements, every setting, a step that is skipped.

use super::{Control, NAME, Sgd, sgd};
use crate::check::{Bench, Case, Work};
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in [&[1][..], &[63], &[65, 4], &[97, 3], &[0]] {
        for (name, settings) in [
            ("plain", Sgd::default()),
            ("momentum", Sgd { momentum: 0.9, ..Sgd::default() }),
            ("Nesterov", Sgd { momentum: 0.9, weight_decay: 0.1, nesterov: true }),
        ] {
            for factor in [1.0, 0.0] {
                let label = format!("{shape:?}, {name}, factor {factor}");
                cases.push(Case::new(NAME, label, move |problem| {
                    let parameter = problem.random("parameter", DType::F32, shape, 1.0)?;
                    let gradient = problem.random("gradient", DType::F32, shape, 1.0)?;
                    let velocity = problem.random("velocity", DType::F32, shape, 1.0)?;
                    let schedule = problem.input("schedule", HostTensor::f32([3], vec![0.1, 0.0, 0.0])?)?;
                    let factor = problem.input("factor", HostTensor::f32([1], vec![factor])?)?;
                    let control = Control { schedule, factor };
                    let (parameter, velocity) =
                        sgd(&mut problem.graph, parameter, gradient, velocity, control, &settings)?;
                    Ok(vec![parameter, velocity])
                }));
            }
        }
    }
    cases
}

/// Three reads and two writes of every element.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32", Work::Bytes(20 << 20), |problem| {
        let mut random = |name, count: usize| problem.random(name, DType::F32, [count], 1.0);
        let (parameter, gradient) = (random("parameter", 1 << 20)?, random("gradient", 1 << 20)?);
        let velocity = random("velocity", 1 << 20)?;
        let control = Control { schedule: random("schedule", 3)?, factor: random("factor", 1)? };
        let spec = Sgd { momentum: 0.9, ..Sgd::default() };
        Ok(vec![sgd(&mut problem.graph, parameter, gradient, velocity, control, &spec)?.0])
    })]
}
