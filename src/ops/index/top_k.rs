//! The largest elements along the last axis.

use super::sort::{Sorted, largest_first, select_rows};
use crate::Result;
use crate::graph::{Graph, Value};

const NAME: &str = "index/top_k";

/// The `k` largest elements of each row of `x: [.., length]`, of any type, the largest first: `[.., k]`, and their positions.
///
/// Of equal elements the one with the lower position comes first; -0 equals 0, and NaN counts as greater than every number. Gradients go to the
/// chosen elements; positions have none. Of rows four times as long as `k`, the largest are selected first, and they alone sorted. Fails when `x`
/// is a scalar, or `k` is 0 or more than a row has elements.
pub fn top_k(graph: &mut Graph, x: Value, k: usize) -> Result<Sorted> {
    largest_first(graph, NAME, x, k)
}

/// The positions of what [`top_k`] gives, in ascending order.
pub(in crate::ops) fn positions_of_largest(graph: &mut Graph, x: Value, k: usize) -> Result<Value> {
    select_rows(graph, NAME, x, k)
}

/// Every type, ties, all of a row and one element of it, rows of one element and none.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use super::sort::{TYPES, with_ties};
    use crate::check::Case;

    let problems: [(&'static [usize], usize); 9] = [
        (&[1], 1),
        (&[0, 3], 2),
        (&[17], 1),
        (&[17], 17),
        (&[1000], 33),
        (&[70_001], 300),
        (&[5, 1, 7], 3),
        (&[300, 3], 2),
        (&[65, 97], 10),
    ];
    let mut cases = Vec::new();
    for (dtype, amplitude) in TYPES {
        for (shape, k) in problems {
            let label = format!("{dtype} {k} of {}", crate::Shape::from(shape));
            let case = Case::new(NAME, label, move |problem| {
                let x = with_ties(problem, dtype, shape, amplitude)?;
                let chosen = top_k(&mut problem.graph, x, k)?;
                Ok(vec![chosen.values, chosen.positions])
            });
            cases.push(case.kinked());
            // Of f16, positions alone take no device that has it.
            if dtype != crate::DType::F16 {
                let label = format!("{dtype} positions of {k} of {}", crate::Shape::from(shape));
                cases.push(Case::new(NAME, label, move |problem| {
                    let x = with_ties(problem, dtype, shape, amplitude)?;
                    Ok(vec![positions_of_largest(&mut problem.graph, x, k)?])
                }));
            }
        }
    }
    cases.push(Case::new(NAME, "f32 7 of [40, 50] without ties", |problem| {
        let values: Vec<f32> = (0..2000).map(|i| (i * 787 % 2003) as f32 / 20.0 - 50.0).collect();
        let x = problem.input("x", crate::HostTensor::f32([40, 50], values)?)?;
        Ok(vec![top_k(&mut problem.graph, x, 7)?.values])
    }));
    cases
}

/// One read of every element, and one write of every value and position.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    let work = Work::Bytes(1024 * (1024 * 4 + 32 * 8));
    vec![Bench::new(NAME, "32 of [1024, 1024] f32", work, |problem| {
        let x = problem.random("x", crate::DType::F32, [1024, 1024], 1.0)?;
        let chosen = top_k(&mut problem.graph, x, 32)?;
        Ok(vec![chosen.values, chosen.positions])
    })]
}
