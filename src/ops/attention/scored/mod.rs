//! Attention that looks at all scores of a query and gives most keys a weight of exactly 0: the highest scores alone, or sparsemax and
//! 1.5-entmax in place of softmax. Scores are values of the graph, `[batch, heads, query_time, key_time]`: memory grows with both times.

mod sparse;
mod top_k;

use super::Dims;
use crate::graph::{Graph, Value};
use crate::ops::{
    Heads, Matmul, constant, converted, less_equal, matmul, padding, repeat_each, reshape, scale,
};
use crate::tensor::{DType, HostTensor};
use crate::{Error, ErrorKind, Result};

pub use sparse::{Simplex, SparselyAttended, sparse_attention};
pub use top_k::{TopAttended, attention_over, top_k_attention};

/// Settings of [`top_k_attention`] and [`sparse_attention`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Scored {
    is_causal: bool,
    scale: Option<f32>,
    lengths: Option<Value>,
}

impl Scored {
    /// Every query sees every key; scores scaled by `1 / sqrt(head_size)`.
    pub fn new() -> Self {
        Self::default()
    }

    /// A query sees the key opposite it and all before, the last query opposite the last key.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { is_causal: true, ..self }
    }

    /// The factor of `q . k`; `1 / sqrt(head_size)` when not set.
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale: Some(scale), ..self }
    }

    /// How many keys each batch item really has: `i32 [batch]`.
    #[must_use]
    pub fn lengths(self, lengths: Value) -> Self {
        Self { lengths: Some(lengths), ..self }
    }
}

/// One problem: its extents, query, key and value, and which keys are shown.
struct Problem {
    dims: Dims,
    factor: f32,
    qkv: [Value; 3],
    /// Integers that broadcast to scores and are 0 where a key is hidden.
    shown: Vec<Value>,
}

impl Problem {
    fn new(
        op: &'static str,
        graph: &mut Graph,
        [query, key, value]: [Value; 3],
        spec: &Scored,
    ) -> Result<Self> {
        let [q, k, v] = [query, key, value].map(|value| graph.desc(value).cloned());
        let dims = Dims::bind(op, [&q?, &k?, &v?], 1)?;
        let Dims { query_time, key_time, batch, .. } = dims;
        if let Some(scale) = spec.scale.filter(|scale| !scale.is_finite()) {
            return Err(Error::new(ErrorKind::Argument, op, "scale")
                .expecting("a finite number")
                .but_found(scale));
        }
        // Nothing hides what padding may hold: a weight of 0 times NaN is no 0, nor is a hidden score's gradient.
        let [key, value] = padding::tokens_of(op, graph, [key, value], spec.lengths)?;
        let mut shown = Vec::new();
        if spec.is_causal {
            let places =
                |count: usize, ahead: i64| (0..count).map(|place| (place as i64 + ahead) as i32).collect();
            let keys = constant(graph, HostTensor::i32([1, key_time], places(key_time, 0))?)?;
            let ahead = key_time as i64 - query_time as i64;
            let opposite = constant(graph, HostTensor::i32([query_time, 1], places(query_time, ahead))?)?;
            shown.push(less_equal(graph, keys, opposite)?);
        }
        if let Some(lengths) = spec.lengths {
            let is_token = padding::is_token(graph, lengths, key_time)?;
            shown.push(reshape(graph, is_token, [batch, 1, 1, key_time])?);
        }
        let factor = spec.scale.unwrap_or_else(|| 1.0 / (dims.head_size as f32).sqrt());
        Ok(Self { dims, factor, qkv: [query, key, value], shown })
    }

    /// Key and value with as many heads as the query.
    fn of_all_heads(&self, graph: &mut Graph) -> Result<[Value; 2]> {
        let [_, key, value] = self.qkv;
        let [key, value] = [key, value].map(|rows| match self.dims.group() {
            1 => Ok(rows),
            group => repeat_each(graph, rows, 2, group),
        });
        Ok([key?, value?])
    }

    /// f32 `[batch, heads, query_time, key_time]`, hidden ones far below.
    fn scores(&self, graph: &mut Graph) -> Result<Value> {
        let products = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
        // Products of f16 may not fit f16 before they are scaled.
        let [key, _] = self.of_all_heads(graph)?;
        let [query, key] = [self.qkv[0], key].map(|rows| converted(graph, rows, DType::F32));
        let scores = matmul(graph, query?, key?, &products)?;
        let mut scores = scale(graph, scores, self.factor)?;
        for &shown in &self.shown {
            scores = padding::hidden_unless(graph, shown, scores)?;
        }
        Ok(scores)
    }
}
