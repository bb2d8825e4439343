//! The dispatch that ends a loss: the sum of its parts over what they are a mean of.

use crate::kernel::{Caps, Dispatch, Kernel, Operand, params, wgsl};
use crate::tensor::DType;

params! {
    struct TotalParams {
        values: u32,
        divisor: f32,
        targets: u32,
        classes: u32,
    }
}

/// What a sum is divided by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Divisor {
    /// A number that the host knows.
    Fixed(f32),
    /// How many of `rows` targets lie below `classes`, or 1.
    Targets { targets: Operand, rows: u32, classes: u32 },
}

/// One dispatch that writes the sum of the first `count` of `values`, f32, over `divisor` to `result[0]`.
pub(super) fn total(
    label: &'static str,
    (values, count): (Operand, u32),
    divisor: Divisor,
    result: Operand,
    caps: &Caps,
) -> Dispatch {
    let (counted, params) = match divisor {
        Divisor::Fixed(divisor) => (None, TotalParams { values: count, divisor, targets: 0, classes: 0 }),
        Divisor::Targets { targets, rows, classes } => {
            (Some(targets), TotalParams { values: count, divisor: 1.0, targets: rows, classes })
        }
    };
    Kernel::new(label, [wgsl!("loss/total.wgsl")])
        .constant("COUNTS_TARGETS", counted.is_some())
        .read("values", values, DType::F32)
        .read_if("targets", counted, DType::U32)
        .write("result", result, DType::F32)
        .params(params)
        .walks(params.values.max(params.targets), 2)
        .per_row(1, caps)
}
