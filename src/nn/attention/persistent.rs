//! Persistent memory: keys and values that are weights, beside those of the text.

use super::Attend;
use crate::Result;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Blocked, persistent_memory};
use crate::weights::{Scope, Weight};

/// Softmax attention whose queries also see keys and values that are weights ([`persistent_memory`]): all-attention layers (Sukhbaatar et al., arXiv
/// 1907.01470) have many of them in place of a feed-forward network.
#[derive(Clone, Debug)]
pub struct PersistentMemory {
    keys: Weight,
    values: Weight,
    spec: Blocked,
}

impl PersistentMemory {
    /// Declares `key` and `value: [kv_heads, count, head_size]` under `scope`; of the text a query sees what `spec` shows, which has no tensors.
    pub fn declare(
        scope: &mut Scope<'_>,
        kv_heads: usize,
        count: usize,
        head_size: usize,
        spec: Blocked,
    ) -> Result<Self> {
        let shape = [kv_heads, count, head_size];
        Ok(Self { keys: scope.weight("key", shape)?, values: scope.weight("value", shape)?, spec })
    }
}

impl Attend for PersistentMemory {
    /// Every layout, caches of streams among them, as the rule may be.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let persistent = [recorder.weight(&self.keys)?, recorder.weight(&self.values)?];
        let [key, value] = recorder.cached([key, value], layout)?;
        persistent_memory(recorder, query, key, value, persistent, &layout.restrict(self.spec.clone()))
    }
}
