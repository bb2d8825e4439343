//! The states that streams keep from run to run: KV caches and memories.

use super::Recorder;
use crate::graph::Value;
use crate::nn::attention::with_memory;
use crate::nn::{Layout, next_memory};
use crate::ops;
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

impl Recorder<'_> {
    /// Keys and values with those that a stream's caches hold before them: the same two where the layout has no caches, else
    /// `[batch, capacity, heads, size]` with the new rows, `[batch, time, heads, size]`, written from each stream's start on.
    ///
    /// Fails when the two do not fit the caches, and for streams whose layers keep states of a fixed size, which no key can be read from.
    pub fn cached(&mut self, [key, value]: [Value; 2], layout: &Layout) -> Result<[Value; 2]> {
        if let Layout::Stateful { .. } = layout {
            return Err(Error::new(ErrorKind::Unsupported, "attention", "layout")
                .expecting("whole sequences, or streams with caches")
                .but_found(layout.kind().name()));
        }
        let Layout::Cached { starts, capacity } = *layout else { return Ok([key, value]) };
        let number = self.caches;
        self.caches += 1;
        let mut append = |name: &str, rows: Value| -> Result<Value> {
            let cache = self.kept_of(&format!("cache.{number}.{name}"), rows, capacity)?;
            let written = ops::write_rows(self.graph, cache, rows, starts)?;
            self.graph.update(cache, written)?;
            Ok(written)
        };
        Ok([append("key", key)?, append("value", value)?])
    }

    /// What layer `number` keeps of a stream's earlier segments, `[batch, length, width]`: at first zeros. From the next run on it holds the
    /// last `length` positions of these and `x: [batch, time, width]` behind them ([`next_memory`]).
    ///
    /// Fails when `x` has other axes, and when the graph has another state of this name: `memory.N`.
    pub fn memory(&mut self, number: usize, x: Value, length: usize) -> Result<Value> {
        let memory = self.kept_of(&format!("memory.{number}"), x, length)?;
        let next = next_memory(self.graph, Some(memory), x, length)?;
        self.graph.update(memory, next)?;
        Ok(memory)
    }

    /// Key and value, `[batch, time, width]` each, behind those that layer `number` keeps of a stream's earlier segments: `[batch, length +
    /// time, width]`. The states `memory.N.key` and `memory.N.value`, at first zeros, hold the last `length` of these from the next run on:
    /// where weights stay as they are, these need not be made anew of what [`Recorder::memory`] keeps.
    ///
    /// Fails as [`Recorder::memory`] does.
    pub fn memory_of_pairs(&mut self, number: usize, pair: [Value; 2], length: usize) -> Result<[Value; 2]> {
        let mut append = |name: &str, rows: Value| -> Result<Value> {
            let memory = self.kept_of(&format!("memory.{number}.{name}"), rows, length)?;
            let all = with_memory(self.graph, rows, Some(memory))?;
            let next = next_memory(self.graph, None, all, length)?;
            self.graph.update(memory, next)?;
            Ok(all)
        };
        Ok([append("key", pair[0])?, append("value", pair[1])?])
    }

    /// The state with `length` rows like those of `x: [batch, time, ..]`.
    fn kept_of(&mut self, name: &str, x: Value, length: usize) -> Result<Value> {
        let desc = self.graph.desc(x)?;
        let mut dims = desc.shape.dims().to_vec();
        if let Some(time) = dims.get_mut(1) {
            *time = length;
        }
        let desc = TensorDesc::new(desc.dtype, dims);
        self.graph.state(name, desc)
    }
}
