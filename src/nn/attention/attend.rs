//! What mixes tokens, as traits: attention between its projections, and whole layers.

use std::fmt::Debug;

use crate::Result;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Blocked, blocked};
use crate::weights::Weight;

/// How queries gather values, between the projections of a layer: what can be exchanged for another in a trained model, to see what it
/// costs in error and gains in time.
pub trait Attend: Debug + Send + Sync {
    /// What `query: [batch, time, heads, size]` gathers from `key: [batch, key_time, kv_heads, size]` and `value: [batch, key_time,
    /// kv_heads, value_size]`: `[batch, time, heads, value_size]`.
    ///
    /// Fails when `layout` is one that the method cannot take, and as its ops do.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value>;
}

/// Any layer that mixes tokens: attention with its projections, a convolution, a Fourier transform.
pub trait Mixer: Debug + Send + Sync {
    /// `[batch, time, width]` of `x: [batch, time, width]`, and of `memory: [batch, memory_time, width]` where the layer reads another
    /// sequence.
    ///
    /// Fails when `layout` is one that the method cannot take, and as its ops do.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value>;
}

/// Softmax attention under a rule whose tensors are weights.
#[derive(Clone, Debug)]
pub struct Softmax {
    spec: Blocked<Weight>,
}

impl Softmax {
    /// Attention with the masks, score modifiers and scale of `spec`.
    pub fn new(spec: Blocked<Weight>) -> Self {
        Self { spec }
    }
}

impl Attend for Softmax {
    /// Of a layout with caches, keys and values are appended to these, and queries gather from all of them: the rule must be causal.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let mut failed = None;
        // In place of a weight that could not be recorded, any value: nothing is made of it.
        let spec = self.spec.map(|weight| {
            recorder.weight(weight).unwrap_or_else(|error| {
                failed = Some(error);
                query
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let [key, value] = recorder.cached([key, value], layout)?;
        blocked(recorder, query, key, value, &layout.restrict(spec))
    }
}
