//! The dispatch that ends a loss: the sum of its parts over what they are a mean of.

use crate::kernel::{Caps, Dispatch, Operand, Shader, params, wgsl};
use crate::ops::rows::with_reductions;

params! {
    struct TotalParams {
        count: u32,
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
    let mut bindings = vec![("values", values), ("result", result)];
    let mut params = TotalParams { count, divisor: 1.0, targets: 0, classes: 0 };
    let source = match divisor {
        Divisor::Fixed(divisor) => {
            params.divisor = divisor;
            wgsl!("loss/divisor_fixed.wgsl")
        }
        Divisor::Targets { targets, rows, classes } => {
            bindings.push(("targets", targets));
            (params.targets, params.classes) = (rows, classes);
            wgsl!("loss/divisor_targets.wgsl")
        }
    };
    Dispatch {
        shader: with_reductions(Shader::new(label, [wgsl!("loss/total.wgsl"), source]), caps),
        bindings,
        params: params.into(),
        workgroups: 1,
        turns: 0,
    }
}
