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
//! was given is `R` and `r` before the first key. With decays, `R_(j-1) = exp(g_j) R_j` and so on; their gradients need no walk of their own
//! ([`decays`]). Where the denominator is the least that it may be, `c_i` is 0.
//!
//! By the delta rule, `r_t` stands in the place of `v_t`, and what it subtracts is gathered by `e_t` as by one more query that does not see its
//! own step, of the upstream gradient `-dr_t`:
//!
//! ```text
//! dr_j = R_j^T y_j = dv_j        de_j = -exp(g_j) S_(j-1) dr_j        R_(j-1) = exp(g_j) (R_j - e_j dr_j^T)
//! ```

mod decays;
mod delta;
mod kernels;
mod reference;

use super::rule::Rule;
use super::{DENOMINATOR, NORMALIZER, OUT, REQUIRED, SUMS};
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::ops::{add, fill};
use crate::tensor::{Array, Real, TensorDesc};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "attention/linear_backward";

/// Appends the gradients of a step with `rule`.
pub(super) fn append(rule: &Rule, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
    if rule.is_normalised() {
        adjoint.refuse_upstream(super::NAME, DENOMINATOR, "denominator")?;
    }
    let d_out = adjoint.upstream(OUT);
    let d_state: Vec<Option<Value>> =
        (SUMS..SUMS + rule.state_parts()).map(|output| adjoint.upstream(output)).collect();
    let has_d_state = d_state.iter().any(Option::is_some);
    let decay = rule.decay_at(REQUIRED).filter(|&decay| adjoint.wants(decay));
    let Some(decay) = decay else {
        let parts = Parts { d_out, d_state: has_d_state.then_some(d_state), has_steps: false };
        let outputs = parts.push(rule, graph, adjoint)?;
        return Ok(wanted(rule, adjoint, &outputs));
    };
    // What reaches the decays through rows and through the state is summed up from either end (decays.rs), so that each is a pass of its own.
    let mut total: Option<Vec<Gradient>> = None;
    let mut d_decay: Option<Value> = None;
    for is_of_state in [false, true] {
        let parts = match is_of_state {
            false if d_out.is_none() && has_d_state => continue,
            false => Parts { d_out, d_state: None, has_steps: true },
            true if !has_d_state => continue,
            true => Parts { d_out: None, d_state: Some(d_state.clone()), has_steps: true },
        };
        let outputs = parts.push(rule, graph, adjoint)?;
        let own = decays::d_log_decay(rule, graph, adjoint, &outputs, is_of_state)?;
        d_decay = Some(match d_decay {
            Some(other) => add(graph, other, own)?,
            None => own,
        });
        let own = wanted(rule, adjoint, &outputs);
        total = Some(match total {
            Some(other) => added(graph, other, own)?,
            None => own,
        });
    }
    let mut gradients = total.unwrap_or_default();
    if let (Some(gradient), Some(d_decay)) = (gradients.get_mut(decay), d_decay) {
        *gradient = Gradient::Whole(d_decay);
    }
    Ok(gradients)
}

/// Upstream gradients of a pass.
struct Parts {
    d_out: Option<Value>,
    d_state: Option<Vec<Option<Value>>>,
    has_steps: bool,
}

impl Parts {
    /// Appends the pass, and gives what it computes.
    fn push(&self, rule: &Rule, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Value>> {
        let (required, tensors) = adjoint.inputs().split_at(REQUIRED);
        let mut zeros = |like: Value| {
            let desc = graph.desc(like)?.clone();
            fill(graph, desc, 0.0)
        };
        let out = adjoint.outputs()[OUT];
        let mut inputs = required.to_vec();
        // Without one, only the state was used.
        inputs.push(self.d_out.map_or_else(|| zeros(out), Ok)?);
        if rule.is_normalised() {
            inputs.extend([out, adjoint.outputs()[DENOMINATOR]]);
        }
        for (part, gradient) in self.d_state.iter().flatten().enumerate() {
            inputs.push(gradient.map_or_else(|| zeros(adjoint.outputs()[SUMS + part]), Ok)?);
        }
        inputs.extend(tensors);
        let op =
            LinearBackward { rule: *rule, has_d_state: self.d_state.is_some(), has_steps: self.has_steps };
        graph.push_builtin(op, &inputs)
    }
}

/// The gradients of the forward step's inputs among `outputs` of a pass, as far as they are wanted.
fn wanted(rule: &Rule, adjoint: &Adjoint, outputs: &[Value]) -> Vec<Gradient> {
    // The keys that read the state are the last input.
    let erase = rule.erase_at(REQUIRED).map(|place| (place, outputs[erase_output(rule)]));
    let of_first = &outputs[..erase_output(rule)];
    let gradient = |input: usize| match (of_first.get(input), erase) {
        (Some(&gradient), _) if adjoint.wants(input) => Gradient::Whole(gradient),
        (_, Some((place, gradient))) if place == input && adjoint.wants(input) => Gradient::Whole(gradient),
        _ => Gradient::None,
    };
    (0..adjoint.inputs().len()).map(gradient).collect()
}

/// The sums of gradients of the same inputs.
fn added(graph: &mut Graph, first: Vec<Gradient>, second: Vec<Gradient>) -> Result<Vec<Gradient>> {
    let sum = |(first, second)| match (first, second) {
        (Gradient::Whole(first), Gradient::Whole(second)) => Ok(Gradient::Whole(add(graph, first, second)?)),
        (Gradient::None, gradient) | (gradient, _) => Ok(gradient),
    };
    first.into_iter().zip(second).map(sum).collect()
}

/// Where a pass has the gradient of the keys that read the state: behind those of query, key, value and the state that was given.
fn erase_output(rule: &Rule) -> usize {
    REQUIRED + if rule.has_state { rule.state_parts() } else { 0 }
}

/// Inputs: query, key, value, `d_out`; with a denominator the output and the denominators; where `has_d_state`, the gradients of the state
/// behind the last key; the rule's tensors. Outputs: the gradients of query, key, value, the state that was given, and, of the delta rule, of
/// the keys that read the state; where `has_steps`, what gradients of decays are made of ([`decays`]), f32 of the shapes of query and key.
#[derive(Clone, Copy, Debug)]
struct LinearBackward {
    rule: Rule,
    has_d_state: bool,
    has_steps: bool,
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

    fn erase_at(&self) -> usize {
        erase_output(&self.rule)
    }

    /// The first of the two outputs that gradients of decays are made of.
    fn steps_at(&self) -> Option<usize> {
        self.has_steps.then(|| erase_output(&self.rule) + usize::from(self.rule.is_delta))
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
        outputs.extend(self.rule.is_delta.then(|| inputs[1].clone()));
        let steps =
            self.has_steps.then(|| inputs[..2].iter().map(|rows| TensorDesc::f32(rows.shape.clone())));
        outputs.extend(steps.into_iter().flatten());
        Ok(outputs)
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        reference::backward(inputs, self)
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self, step, caps)
    }
}
