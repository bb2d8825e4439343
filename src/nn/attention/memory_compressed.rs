//! Memory-compressed attention in the place of softmax attention.

use super::{Attend, one_length_a_row};
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Compression, MemoryCompressed, Slots, memory_compressed};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "memory-compressed attention";

/// Attention over keys and values that a convolution along time has shortened ([`memory_compressed`]).
#[derive(Clone, Debug)]
pub struct MemoryCompressedAttention {
    /// Weight and bias, of keys and of values.
    compressions: [[Weight; 2]; 2],
    null: Option<[Weight; 2]>,
    settings: MemoryCompressed,
}

impl MemoryCompressedAttention {
    /// Declares convolutions of keys and of values under `scope`, `key.weight: [kv_heads, head_size, head_size, ratio]`, `key.bias: [kv_heads,
    /// head_size]`, and the same of `value`.
    ///
    /// Fails when the ratio is 0. Lengths and null keys of `settings` are not used: layouts have the former.
    pub fn declare(
        scope: &mut Scope<'_>,
        kv_heads: usize,
        head_size: usize,
        ratio: usize,
        settings: MemoryCompressed,
    ) -> Result<Self> {
        if ratio == 0 {
            return Err(Error::new(ErrorKind::Argument, NAME, "ratio").expecting("at least 1").but_found(0));
        }
        let mut convolution = |name: &str| -> Result<[Weight; 2]> {
            let mut scope = scope.at(name);
            let weight = scope.weight("weight", [kv_heads, head_size, head_size, ratio])?;
            Ok([weight, scope.weight("bias", [kv_heads, head_size])?])
        };
        Ok(Self { compressions: [convolution("key")?, convolution("value")?], null: None, settings })
    }

    /// Declares `null_key` and `null_value: [kv_heads, head_size]` besides, which every query sees.
    pub fn with_null(mut self, scope: &mut Scope<'_>) -> Result<Self> {
        let dims = self.compressions[0][1].shape().clone();
        self.null = Some([scope.weight("null_key", dims.clone())?, scope.weight("null_value", dims)?]);
        Ok(self)
    }
}

impl Attend for MemoryCompressedAttention {
    fn takes_several(&self) -> bool {
        false
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let mut spec = self.settings;
        if let Some(lengths) = one_length_a_row(NAME, recorder, layout)? {
            spec = spec.slots(Slots::FromStart).lengths(lengths);
        }
        let mut compressions = Vec::with_capacity(2);
        for [weight, bias] in &self.compressions {
            compressions.push(Compression { weight: recorder.weight(weight)?, bias: recorder.weight(bias)? });
        }
        if let Some([key, value]) = &self.null {
            spec = spec.null(recorder.weight(key)?, recorder.weight(value)?);
        }
        let graph: &mut Graph = recorder;
        memory_compressed(graph, query, key, value, [compressions[0], compressions[1]], &spec)
    }
}
