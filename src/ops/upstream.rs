//! What backward passes of ops of one output share.

use crate::Result;
use crate::graph::{Adjoint, Gradient, Value};

/// The gradient of the only input that can have one, the first, as `append` makes it of the upstream gradient.
pub(super) fn to_input(
    adjoint: &Adjoint,
    append: impl FnOnce(Value) -> Result<Value>,
) -> Result<Vec<Gradient>> {
    let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
    if let Some(upstream) = adjoint.upstream(0).filter(|_| adjoint.wants(0)) {
        gradients[0] = Gradient::Whole(append(upstream)?);
    }
    Ok(gradients)
}
