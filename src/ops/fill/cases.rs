//! Conformance cases: vector and scalar widths, empty values, numbers that f16 rounds.

use super::{NAME, fill};
use crate::check::Case;
use crate::tensor::{DType, TensorDesc};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 8] = [&[], &[0, 3], &[1], &[63], &[64], &[5, 13], &[97], &[1000, 3]];
    let mut cases = Vec::new();
    for (dtype, largest) in [(DType::F32, f32::MAX), (DType::F16, 65_504.0)] {
        for shape in shapes {
            let label = format!("{dtype} {}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                Ok(vec![fill(&mut problem.graph, TensorDesc::new(dtype, shape), -1.1)?])
            }));
        }
        for value in [0.0, 1.0, largest, -largest] {
            cases.push(Case::new(NAME, format!("{dtype} of {value:e}"), move |problem| {
                Ok(vec![fill(&mut problem.graph, TensorDesc::new(dtype, [2, 3]), value)?])
            }));
        }
    }
    cases
}
