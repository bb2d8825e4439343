//! The graphs that generators run, and their extents.

use crate::Result;
use crate::graph::Graph;
use crate::models::{Model, ResultRows, Tokens};
use crate::nn::{Layout, LayoutKind, Recorder};
use crate::ops;
use crate::tensor::{DType, HostTensor, TensorDesc};

/// Tokens of a segment of a recurrent model: each token is read as if it were one.
pub(super) const SEGMENT: usize = 1;

/// Which graph a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Source texts, each for so many streams.
    Encode { texts: usize, copies: usize, time: usize },
    /// The next tokens of each stream.
    Feed { size: Size, time: usize },
    /// Streams that go on where others are.
    Reorder { size: Size },
    /// Rows of caches that lie elsewhere.
    Move { size: Size },
}

/// How many streams run together, how many rows their caches have, and the most tokens of a source text: 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) streams: usize,
    pub(super) rows: usize,
    pub(super) source: usize,
}

/// The graph of the next `time` tokens of each stream: inputs as of [`Tokens::cached`] and [`Tokens::with_cached_source`], or of
/// [`Tokens::stateful`], and `rows`, the numbers of the tokens whose scores are the only output.
pub(super) fn feed_graph(model: &Model, dtype: DType, size: Size, time: usize) -> Result<Graph> {
    let Size { streams, rows, source } = size;
    let mut graph = Graph::new();
    let mut tokens = match has_states(model) {
        true => Tokens::stateful(&mut graph, [streams, time])?,
        false => Tokens::cached(&mut graph, [streams, time], rows)?,
    };
    if source > 0 {
        tokens = tokens.with_cached_source(&mut graph, source)?;
    }
    let rows = graph.input("rows", TensorDesc::i32([streams]))?;
    let rows = ResultRows { wanted: rows, of_sequences: rows };
    let mut recorder = Recorder::new(&mut graph, dtype).with_fixed_weights(SEGMENT);
    for (name, value) in model.record_results(&mut recorder, &tokens, &rows)? {
        graph.output(name, value)?;
    }
    Ok(graph)
}

/// Whether streams of the model keep states of a fixed size in the place of caches.
pub(super) fn has_states(model: &Model) -> bool {
    model.network().signature().takes(LayoutKind::Stateful)
}

/// The graph that writes what a stream of the model sees before its first token into the caches.
pub(super) fn begin_graph(model: &Model, dtype: DType, size: Size) -> Result<Graph> {
    let mut graph = Graph::new();
    let starts = ops::constant(&mut graph, HostTensor::i32([size.streams], vec![0; size.streams])?)?;
    let layout = Layout::Cached { starts, capacity: size.rows };
    model.network().begin(&mut Recorder::new(&mut graph, dtype), &layout, size.streams)?;
    Ok(graph)
}

/// The graph that puts part `from[i]` of every state into its part `i`, all cut into `count` parts of one size.
pub(super) fn move_graph(states: &[(String, TensorDesc)], count: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let from = graph.input("from", TensorDesc::i32([count]))?;
    for (name, desc) in states {
        let state = graph.state(name, desc.clone())?;
        let rows = ops::reshape(&mut graph, state, [count, desc.elements() / count])?;
        let moved = ops::embedding(&mut graph, &[(rows, from)])?;
        let moved = ops::reshape(&mut graph, moved, desc.shape.clone())?;
        graph.update(state, moved)?;
    }
    Ok(graph)
}
