//! Memory of earlier segments, whose positions are keys of the next.

use super::OP;
use super::heads::sequence;
use crate::graph::{Graph, Value};
use crate::ops::{concat, slice, stop_gradient};
use crate::{Error, ErrorKind, Result};

/// `[batch, memory_time + time, width]`: `memory` with `x` behind it; `x` alone where there is none.
pub(in crate::nn) fn with_memory(graph: &mut Graph, x: Value, memory: Option<Value>) -> Result<Value> {
    let [batch, _, width] = sequence(graph, "x", x)?;
    let Some(memory) = memory else { return Ok(x) };
    let [memory_batch, _, memory_width] = sequence(graph, "memory", memory)?;
    let (wanted, found) = (graph.desc(x)?.dtype, graph.desc(memory)?.dtype);
    if [memory_batch, memory_width] != [batch, width] || wanted != found {
        let kind = if wanted == found { ErrorKind::Shape } else { ErrorKind::Dtype };
        return Err(Error::new(kind, OP, "memory")
            .expecting(format!("{wanted} [{batch}, any, {width}] as x has it"))
            .but_found(graph.desc(memory)?));
    }
    concat(graph, &[memory, x], 1)
}

/// The memory of the next segment: the last `length` positions, or as many as there are, of `memory: [batch, memory_time, width]` with
/// `x: [batch, time, width]` behind it. Memory is what a layer reads, not what it gives.
///
/// Recurrence does not differentiate through memory (Transformer-XL, arXiv 1901.02860, section 3.2): no gradient passes through what this
/// returns ([`stop_gradient`]), whether a later segment of the same graph reads it or it is handed out for the next run. Fails when the
/// two do not fit together.
pub fn next_memory(graph: &mut Graph, memory: Option<Value>, x: Value, length: usize) -> Result<Value> {
    let all = with_memory(graph, x, memory)?;
    let [_, time, _] = sequence(graph, "x", all)?;
    let last = slice(graph, all, 1, time.saturating_sub(length)..time)?;
    stop_gradient(graph, last)
}
