//! The tokens of a batch as inputs of a graph.

use super::Source;
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::Layout;
use crate::ops;
use crate::tensor::{HostTensor, TensorDesc};

/// The values of a graph that stand for a batch of tokens; ids, positions and types are `i32 [batch, time]`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Tokens {
    /// Words of the vocabulary.
    pub ids: Value,
    /// Places in their sequences, counted from [`Facts::first_position`](super::Facts::first_position) on, padding ids in the middle included.
    pub positions: Value,
    /// Which of a pair of texts each token is of; 0 for a single one.
    pub types: Value,
    /// Which positions belong together.
    pub layout: Layout,
    /// Of networks that read it, `i32 [batch, count]`: places along time of tokens that see all others and that all others see; -1 for
    /// none.
    pub globals: Option<Value>,
    /// Of encoder-decoders, the texts that these are written about.
    pub source: Option<Source>,
}

impl Tokens {
    /// Declares a batch of packed sequences, one behind another in `[1, time]`: inputs `ids`, `positions`, `types` and
    /// `segments`. The first `count` sequences are results.
    pub fn packed(graph: &mut Graph, time: usize, count: usize) -> Result<Self> {
        let tokens = Self::declare(graph, [1, time])?;
        let segments = graph.input("segments", TensorDesc::i32([1, time]))?;
        Ok(Self { layout: Layout::Packed { segments, count }, ..tokens })
    }

    /// Declares a padded batch `[batch, time]`: inputs `ids`, `positions`, `types`, and `lengths` `[batch]`.
    pub fn padded(graph: &mut Graph, batch: usize, time: usize) -> Result<Self> {
        let tokens = Self::declare(graph, [batch, time])?;
        let lengths = graph.input("lengths", TensorDesc::i32([batch]))?;
        Ok(Self { layout: Layout::Padded { lengths }, ..tokens })
    }

    /// Declares whole sequences of one length, one a row of `[batch, time]`: inputs `ids`, `positions` and `types`.
    pub fn whole(graph: &mut Graph, shape: [usize; 2]) -> Result<Self> {
        Self::declare(graph, shape)
    }

    /// Declares the next `time` tokens of `batch` streams of at most `capacity`: inputs `ids`, `positions`, `types`, and `starts`
    /// `[batch]`.
    pub fn cached(graph: &mut Graph, [batch, time]: [usize; 2], capacity: usize) -> Result<Self> {
        let tokens = Self::declare(graph, [batch, time])?;
        let starts = graph.input("starts", TensorDesc::i32([batch]))?;
        Ok(Self { layout: Layout::Cached { starts, capacity }, ..tokens })
    }

    /// Declares the next `time` tokens of `batch` streams whose layers keep states of a fixed size: inputs `ids`, `positions`, `types`, and
    /// `lengths` `[batch]`, how many of them each stream goes on by.
    pub fn stateful(graph: &mut Graph, [batch, time]: [usize; 2]) -> Result<Self> {
        let tokens = Self::declare(graph, [batch, time])?;
        let lengths = graph.input("lengths", TensorDesc::i32([batch]))?;
        Ok(Self { layout: Layout::Stateful { lengths }, ..tokens })
    }

    /// Whole sequences `[batch, time]`, one a row: the input `ids`, positions from `first` on, and one text each.
    pub fn rows(graph: &mut Graph, [batch, time]: [usize; 2], first: usize) -> Result<Self> {
        let ids = graph.input("ids", TensorDesc::i32([batch, time]))?;
        let positions = (0..batch * time).map(|at| (first + at % time) as i32).collect();
        let positions = ops::constant(graph, HostTensor::i32([batch, time], positions)?)?;
        let types = ops::constant(graph, HostTensor::i32([batch, time], vec![0; batch * time])?)?;
        Ok(Self { ids, positions, types, layout: Layout::Rows, globals: None, source: None })
    }

    fn declare(graph: &mut Graph, shape: [usize; 2]) -> Result<Self> {
        let mut input = |name| graph.input(name, TensorDesc::i32(shape));
        Ok(Self {
            ids: input("ids")?,
            positions: input("positions")?,
            types: input("types")?,
            layout: Layout::Rows,
            globals: None,
            source: None,
        })
    }

    /// Also declares the input `globals`, `i32 [batch, count]`.
    pub fn with_globals(self, graph: &mut Graph, count: usize) -> Result<Self> {
        let batch = graph.desc(self.ids)?.shape.dims()[0];
        Ok(Self { globals: Some(graph.input("globals", TensorDesc::i32([batch, count]))?), ..self })
    }
}
