//! What stands in the place of the dense layer over all heads: their outputs, routed to capsules.

use super::join_heads;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::parameter;
use crate::ops::attention::route_heads;
use crate::weights::{Scope, Weight};

/// Routing of heads' outputs to capsules by agreement ([`route_heads`]).
#[derive(Clone, Debug)]
pub struct HeadRouting {
    weight: Weight,
    iterations: usize,
}

impl HeadRouting {
    /// Declares `weight: [heads, capsules, size, out]` under `scope`.
    pub fn declare(
        scope: &mut Scope<'_>,
        [heads, capsules, size, out]: [usize; 4],
        iterations: usize,
    ) -> Result<Self> {
        Ok(Self { weight: scope.weight("weight", [heads, capsules, size, out])?, iterations })
    }

    /// `[batch, time, capsules * out]` of `gathered: [batch, time, heads, size]`. Fails as [`route_heads`] does.
    pub fn record(&self, graph: &mut Graph, gathered: Value) -> Result<Value> {
        let dtype = graph.desc(gathered)?.dtype;
        let weight = parameter(graph, &self.weight, dtype)?;
        let routed = route_heads(graph, gathered, weight, self.iterations)?;
        join_heads(graph, routed)
    }
}
