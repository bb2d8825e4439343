//! Multi-head self-attention (Vaswani et al., arXiv 1706.03762, section 3.2.2).

use super::Linear;
use crate::graph::{Graph, Value};
use crate::ops::attention::{Blocked, blocked};
use crate::ops::{Activation, reshape};
use crate::{Error, ErrorKind, Result};

/// Which positions of `[batch, time]` belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequences {
    /// Each batch item is one whole sequence.
    Whole,
    /// Each batch item is one sequence of its own length, `i32 [batch]`, and padding behind it.
    Padded {
        /// Tokens of each item.
        lengths: Value,
    },
    /// Sequences lie one behind another: `i32 [batch, time]` numbers them and never decreases along time.
    Packed {
        /// The sequence each position belongs to.
        segments: Value,
        /// Sequences with a number below this are results; the others fill up.
        count: usize,
    },
}

/// Queries, keys and values of all heads from the same positions, and a dense layer over what they gather.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    /// Makes the queries.
    pub query: Linear,
    /// Makes the keys.
    pub key: Linear,
    /// Makes the values.
    pub value: Linear,
    /// Joins the heads.
    pub output: Linear,
    /// How many heads share the width.
    pub heads: usize,
}

impl SelfAttention {
    /// What each position of `x: [batch, time, width]` gathers from its own sequence: `[batch, time, width]`.
    ///
    /// Fails when the heads do not divide the width, and as [`blocked`] does.
    pub fn record(&self, graph: &mut Graph, x: Value, sequences: &Sequences) -> Result<Value> {
        let desc = graph.desc(x)?.clone();
        let [batch, time, width] = *desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, "self-attention", "x")
                .expecting("[batch, time, width]")
                .but_found(desc));
        };
        if self.heads == 0 || !width.is_multiple_of(self.heads) {
            return Err(Error::new(ErrorKind::Argument, "self-attention", "heads")
                .expecting(format!("a divisor of the width, {width}"))
                .but_found(self.heads));
        }
        let split = [batch, time, self.heads, width / self.heads];
        let mut project = |layer: &Linear| {
            let projected = layer.record(graph, x, Activation::Identity)?;
            reshape(graph, projected, split)
        };
        let (query, key, value) = (project(&self.query)?, project(&self.key)?, project(&self.value)?);
        let spec = match *sequences {
            Sequences::Whole => Blocked::new(),
            Sequences::Padded { lengths } => Blocked::new().lengths(lengths),
            Sequences::Packed { segments, .. } => Blocked::new().segments(segments),
        };
        let gathered = blocked(graph, query, key, value, &spec)?;
        let joined = reshape(graph, gathered, [batch, time, width])?;
        self.output.record(graph, joined, Activation::Identity)
    }
}
