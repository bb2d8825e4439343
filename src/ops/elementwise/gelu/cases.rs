//! Conformance cases, and the function's far ends.

use super::{NAME, gelu};
use crate::check::Case;
use crate::ops::elementwise::unary::cases_of;
use crate::tensor::{DType, HostTensor};

/// `exp(x)` may be off by `3 + 2 |x|` units (WGSL, "Accuracy of Concrete Floating Point Expressions"); |x| is at most 1 where
/// the exponential is more than half of the result, and weighs less elsewhere.
const EXP_ULPS: f64 = 3.0 + 2.0;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases_of(NAME, gelu);
    for dtype in [DType::F32, DType::F16] {
        cases.push(Case::new(NAME, format!("{dtype} from far below to far above"), move |problem| {
            let x = [
                -6e4, -100.0, -6.0, -1.3, -1.27, -1e-3, -0.0, 0.0, 1e-3, 0.5, 1.27, 1.28, 5.6, 5.7, 100.0,
                6e4,
            ];
            let x = problem.input("x", HostTensor::from_f32(dtype, [16], &x)?)?;
            Ok(vec![gelu(&mut problem.graph, x)?])
        }));
    }
    cases.into_iter().map(|case| case.builtin_ulps(EXP_ULPS)).collect()
}
