//! Conformance cases, and the function's far ends.

use super::{NAME, gelu};
use crate::check::{Case, exp_ulps};
use crate::ops::elementwise::unary::cases_of;
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases_of(NAME, gelu);
    for dtype in [DType::F32, DType::F16] {
        // Apart, because the largest result of a case sets its scale.
        let places: [(&str, &'static [f32]); 3] = [
            ("around 0", &[-1e-2, -1e-3, -0.0, 0.0, 1e-3, 1e-2]),
            ("where the two polynomials meet and end", &[-6.0, -5.6, -1.3, -1.27, -0.5, 0.5, 1.27, 1.28]),
            ("far out", &[-6e4, -100.0, 100.0, 6e4]),
        ];
        for (place, x) in places {
            cases.push(Case::new(NAME, format!("{dtype} {place}"), move |problem| {
                let x = problem.input("x", HostTensor::from_f32(dtype, [x.len()], x)?)?;
                Ok(vec![gelu(&mut problem.graph, x)?])
            }));
        }
    }
    // The exponent is at most 1 where the exponential is more than half of the result, and weighs less elsewhere.
    cases.into_iter().map(|case| case.builtin_ulps(exp_ulps(1.0))).collect()
}
