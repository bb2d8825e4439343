//! The gradients of a step: those of query, key and value, and what the rule's tensors get of what the backward pass has summed.

use super::super::Dims;
use super::super::rules::{Rule, Term};
use super::backward::{self, Attended, Differentiated};
use super::{NAME, REQUIRED};
use crate::graph::{Adjoint, Gradient, Graph, Value};
use crate::ops::{add, cast, fill, reshape, slice, sum, transpose};
use crate::{Error, ErrorKind, Result};

pub(super) fn backward(rule: &Rule, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
    if let Some(custom) = rule.customs().find(|custom| !custom.has_slope()) {
        return Err(Error::new(
            ErrorKind::NotDifferentiable,
            NAME,
            format!("custom rule `{}`", custom.name()),
        )
        .expecting("a rule with a slope")
        .but_found("one without"));
    }
    if adjoint.upstream(2).is_some() {
        return Err(Error::new(ErrorKind::NotDifferentiable, NAME, "statistics")
            .expecting("a loss of the output and the log-sum-exp")
            .but_found("one of the rows' maxima and sums"));
    }
    let [out, statistics] = [0, 2].map(|output| adjoint.outputs()[output]);
    let d_out = match adjoint.upstream(0) {
        Some(d_out) => d_out,
        // Only the log-sum-exp was used.
        None => {
            let desc = graph.desc(out)?.clone();
            fill(graph, desc, 0.0)?
        }
    };
    let attended = Attended { out, statistics, d_out, d_lse: adjoint.upstream(1) };
    let (required, tensors) = adjoint.inputs().split_at(REQUIRED);
    let qkv = [required[0], required[1], required[2]];
    let found = backward::append(graph, rule, qkv, tensors, &attended)?;

    let mut all = vec![Gradient::None; adjoint.inputs().len()];
    for (input, gradient) in found.qkv.into_iter().enumerate() {
        if adjoint.wants(input) {
            all[input] = Gradient::Whole(gradient);
        }
    }
    let [query, key, value] = qkv.map(|value| graph.desc(value).cloned());
    let dims = Dims::of(&query?, &key?, &value?);
    let mut slots = Slots { found: &found, dims, query: 0, key: 0 };
    for term in &rule.terms {
        if let Some(tensor) = term.tensor().filter(|tensor| adjoint.wants(REQUIRED + tensor))
            && let Some(gradient) = slots.gradient(graph, term, tensors[tensor])?
        {
            let place = &mut all[REQUIRED + tensor];
            *place = Gradient::Whole(match *place {
                Gradient::Whole(other) => add(graph, other, gradient)?,
                _ => gradient,
            });
        }
        slots.query += term.query_slots();
        slots.key += term.key_slots();
    }
    Ok(all)
}

/// What the backward pass has summed, and how much of it earlier terms own.
struct Slots<'a> {
    found: &'a Differentiated,
    dims: Dims,
    query: usize,
    key: usize,
}

impl Slots<'_> {
    /// The gradient of the tensor that `term` reads.
    fn gradient(&self, graph: &mut Graph, term: &Term, tensor: Value) -> Result<Option<Value>> {
        let heads = self.dims.heads;
        let own_query = self.query..self.query + term.query_slots();
        let own_key = self.key..self.key + term.key_slots();
        let (sums, own) = match term {
            Term::RelativeKeys { .. } => return Ok(self.found.relative_keys),
            Term::Bias { by_query: true, by_key: true, .. } => {
                return self.found.pairs.map(|pairs| repeated(graph, pairs, tensor)).transpose();
            }
            Term::KeyTable { .. } | Term::Bias { by_key: true, .. } => (self.found.key_slots, own_key),
            _ => (self.found.query_slots, own_query),
        };
        let Some(sums) = sums else { return Ok(None) };
        let count = own.len();
        let own = slice(graph, sums, 3, own)?;
        Ok(Some(match *term {
            Term::QueryTable { .. } | Term::KeyTable { .. } => of_type(graph, own, tensor)?,
            Term::Distances { .. } => {
                let by_head = sum(graph, own, &[0, 1])?;
                let by_head = reshape(graph, by_head, [heads, count])?;
                transpose(graph, by_head, &[1, 0])?
            }
            Term::Bias { by_key, .. } => {
                let Dims { batch, query_time, key_time, .. } = self.dims;
                let by_time = transpose(graph, own, &[0, 2, 1, 3])?;
                let shape = if by_key { [batch, heads, 1, key_time] } else { [batch, heads, query_time, 1] };
                let by_time = reshape(graph, by_time, shape)?;
                repeated(graph, by_time, tensor)?
            }
            _ => {
                let by_head = sum(graph, own, &[0, 1])?;
                reshape(graph, by_head, [heads])?
            }
        }))
    }
}

/// Sums over the axes along which `tensor` is repeated, in its type.
fn repeated(graph: &mut Graph, gradient: Value, tensor: Value) -> Result<Value> {
    let (whole, extents) = (graph.desc(gradient)?.shape.clone(), graph.desc(tensor)?.shape.clone());
    let axes: Vec<usize> = (0..4).filter(|&axis| whole.dims()[axis] != extents.dims()[axis]).collect();
    let summed = if axes.is_empty() { gradient } else { sum(graph, gradient, &axes)? };
    of_type(graph, summed, tensor)
}

fn of_type(graph: &mut Graph, gradient: Value, tensor: Value) -> Result<Value> {
    let dtype = graph.desc(tensor)?.dtype;
    if graph.desc(gradient)?.dtype == dtype { Ok(gradient) } else { cast(graph, gradient, dtype) }
}
