//! Queries, keys and values of a sequence.

use super::heads::project;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Linear, parameter};
use crate::ops::{add, reshape, split};
use crate::weights::{Scope, Weight};

/// How queries, keys and values are made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Projections {
    /// By layers of their own: query, key and value.
    Apart(Box<[Linear; 3]>),
    /// By one layer of `3 heads * head_size` channels: all queries, then all keys, then all values, as GPT-2 has them.
    Fused(Linear),
    /// By one layer without bias, those of a head one behind another, `[heads, 3, head_size]`; biases of queries and of values `[width]`.
    /// DeBERTa's first version.
    Together {
        /// The layer, `[3 width, width]`.
        layer: Linear,
        /// Added to queries.
        query_bias: Weight,
        /// Added to values.
        value_bias: Weight,
    },
}

impl Projections {
    /// Declares layers of their own under `scope`. `names` are those of query, key and value.
    pub fn declare_apart(scope: &mut Scope<'_>, names: [&str; 3], width: usize) -> Result<Self> {
        let mut dense = |name| Linear::declare(&mut scope.at(name), width, width);
        let [query, key, value] = names;
        Ok(Self::Apart(Box::new([dense(query)?, dense(key)?, dense(value)?])))
    }

    /// Declares one layer under `scope`, with biases apart. `names` are those of the layer and of the biases of queries and of values.
    pub fn declare_together(scope: &mut Scope<'_>, names: [&str; 3], width: usize) -> Result<Self> {
        let [layer, query_bias, value_bias] = names;
        Ok(Self::Together {
            layer: Linear::declare_without_bias(&mut scope.at(layer), width, 3 * width)?,
            query_bias: scope.weight(query_bias, [width])?,
            value_bias: scope.weight(value_bias, [width])?,
        })
    }

    /// Queries, keys and values of `x: [batch, time, width]`, each `[batch, time, heads, head_size]`.
    ///
    /// Fails when the heads do not divide what the layers make.
    pub fn record(&self, graph: &mut Graph, x: Value, heads: usize) -> Result<[Value; 3]> {
        match self {
            Self::Apart(layers) => project(graph, x, layers.each_ref(), heads),
            Self::Fused(layer) => {
                let [rows] = project(graph, x, [layer], 3 * heads)?;
                thirds(graph, rows, 2)
            }
            Self::Together { layer, query_bias, value_bias } => {
                let [rows] = project(graph, x, [layer], heads)?;
                let [query, key, value] = thirds(graph, rows, 3)?;
                let mut biased = |rows, bias| {
                    let desc = graph.desc(rows)?;
                    let (dtype, size) = (desc.dtype, desc.shape.dims()[3]);
                    let bias = parameter(graph, bias, dtype)?;
                    let bias = reshape(graph, bias, [heads, size])?;
                    add(graph, rows, bias)
                };
                Ok([biased(query, query_bias)?, key, biased(value, value_bias)?])
            }
        }
    }

    /// The queries of `x` alone, as [`Projections::record`] makes them.
    pub fn query(&self, graph: &mut Graph, x: Value, heads: usize) -> Result<Value> {
        match self {
            Self::Apart(layers) => {
                let [query] = project(graph, x, [&layers[0]], heads)?;
                Ok(query)
            }
            Self::Fused(_) | Self::Together { .. } => Ok(self.record(graph, x, heads)?[0]),
        }
    }

    /// Keys and values of `x` alone, as [`Projections::record`] makes them.
    pub fn keys_and_values(&self, graph: &mut Graph, x: Value, heads: usize) -> Result<[Value; 2]> {
        match self {
            Self::Apart(layers) => project(graph, x, [&layers[1], &layers[2]], heads),
            Self::Fused(_) | Self::Together { .. } => {
                let [_, key, value] = self.record(graph, x, heads)?;
                Ok([key, value])
            }
        }
    }
}

/// The three parts of `rows` along `axis`.
fn thirds(graph: &mut Graph, rows: Value, axis: usize) -> Result<[Value; 3]> {
    let size = graph.desc(rows)?.shape.dims()[axis] / 3;
    let parts = split(graph, rows, axis, &[size; 3])?;
    Ok([parts[0], parts[1], parts[2]])
}
