//! The backward pass of [`super::linear_attention`]: the forward pass's steps again, with other tensors in the roles of query, key and value.
//!
//! With upstream gradients `d_out`, `dS` and `dz` of the state behind the last key, for query `i` and each key `j` that it sees:
//!
//! ```text
//! n_i  = d_out_i / l_i                  c_i = -(d_out_i . out_i) / l_i       l_i the denominator; without one d_out_i, and 0
//! dx_i = sum_j (n_i . v_j + c_i) y_j                  = S_i n_i + c_i z_i
//! dy_j = sum_i (n_i . v_j + c_i) x_i + dS v_j + dz    = R_j v_j + r_j        R_j = dS + sum_i x_i n_i^T
//! dv_j = sum_i (x_i . y_j) n_i + dS^T y_j             = R_j^T y_j            r_j = dz + sum_i c_i x_i
//! ```
//!
//! `S_i` and `z_i` sum over the keys that query `i` sees, `R_j` and `r_j` over the queries that see key `j`. The gradient of the state that
//! was given is `R` and `r` before the first key. Where the denominator is the least that it may be, `c_i` is 0.

mod kernels;
mod reference;

use super::rule::Rule;
use super::{DENOMINATOR, NORMALIZER, OUT, REQUIRED, SUMS};
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::fill;
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/linear_backward";

/// Appends the gradients of a step with `rule`.
pub(super) fn append(rule: &Rule, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
    if rule.is_normalised() {
        adjoint.refuse_upstream(super::NAME, DENOMINATOR, "denominator")?;
    }
    let (required, tensors) = adjoint.inputs().split_at(REQUIRED);
    let out = adjoint.outputs()[OUT];
    let d_out = match adjoint.upstream(OUT) {
        Some(d_out) => d_out,
        // Only the state was used.
        None => {
            let desc = graph.desc(out)?.clone();
            fill(graph, desc, 0.0)?
        }
    };
    let mut inputs = required.to_vec();
    inputs.push(d_out);
    if rule.is_normalised() {
        inputs.extend([out, adjoint.outputs()[DENOMINATOR]]);
    }
    let d_state: Vec<Option<Value>> =
        (SUMS..SUMS + rule.state_parts()).map(|output| adjoint.upstream(output)).collect();
    let has_d_state = d_state.iter().any(Option::is_some);
    if has_d_state {
        for (part, gradient) in d_state.into_iter().enumerate() {
            inputs.push(match gradient {
                Some(gradient) => gradient,
                None => {
                    let desc = graph.desc(adjoint.outputs()[SUMS + part])?.clone();
                    fill(graph, desc, 0.0)?
                }
            });
        }
    }
    inputs.extend(tensors);
    let outputs = graph.push_builtin(LinearBackward { rule: *rule, has_d_state }, &inputs)?;
    // Lengths and segments, which follow the state, have none.
    let gradients = (0..adjoint.inputs().len()).map(|input| match outputs.get(input) {
        Some(&gradient) if adjoint.wants(input) => Gradient::Whole(gradient),
        _ => Gradient::None,
    });
    Ok(gradients.collect())
}

/// Inputs: query, key, value, `d_out`; with a denominator the output and the denominators; where `has_d_state`, the gradients of the state
/// behind the last key; the rule's tensors. Outputs: the gradients of query, key, value and the state that was given.
#[derive(Clone, Copy, Debug)]
struct LinearBackward {
    rule: Rule,
    has_d_state: bool,
}

const D_OUT: usize = 3;
const FORWARD_OUT: usize = 4;
const FORWARD_DENOMINATOR: usize = 5;

const _: () = assert!(SUMS + 1 == NORMALIZER);

impl LinearBackward {
    /// Where the gradients of the state behind the last key stand: of sums, then of the normalizer.
    fn d_state_at(&self) -> usize {
        D_OUT + 1 + if self.rule.is_normalised() { 2 } else { 0 }
    }

    /// The inputs before the rule's tensors.
    fn required(&self) -> usize {
        self.d_state_at() + if self.has_d_state { self.rule.state_parts() } else { 0 }
    }
}

impl Op for LinearBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let dims = self.rule.check(NAME, inputs, self.required())?;
        let out =
            TensorDesc::new(inputs[0].dtype, [dims.batch, dims.query_time, dims.heads, dims.value_size]);
        let denominator = TensorDesc::f32([dims.batch, dims.query_time, dims.heads]);
        let mut wanted = vec![("d_out", out.clone())];
        if self.rule.is_normalised() {
            wanted.extend([("out", out), ("denominator", denominator)]);
        }
        if self.has_d_state {
            wanted.extend(["d_sums", "d_normalizer"].into_iter().zip(self.rule.state_descs(&dims)));
        }
        for ((argument, wanted), found) in wanted.into_iter().zip(&inputs[D_OUT..]) {
            if *found != wanted {
                let kind = if found.dtype == wanted.dtype { ErrorKind::Shape } else { ErrorKind::Dtype };
                return Err(Error::new(kind, NAME, argument)
                    .expecting(format!("{wanted}, as the forward pass has it"))
                    .but_found(found));
            }
        }
        let mut outputs = inputs[..REQUIRED].to_vec();
        if self.rule.has_state {
            outputs.extend(self.rule.state_descs(&dims));
        }
        Ok(outputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(inputs, self)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }
}
