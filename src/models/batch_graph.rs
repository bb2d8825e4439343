//! The graph of a batch of sequences.

use std::sync::Arc;

use super::encoder::NAME;
use super::head::Rows;
use super::{BatchSize, Model, ResultRows, Task, Tokens};
use crate::graph::{Graph, Value};
use crate::nn::{Attend, LayoutKind, Recorder};
use crate::tensor::{DType, TensorDesc};
use crate::{Error, ErrorKind, Result, ops};

/// What takes the place of layers' attention, and the numbers of these layers; all where absent.
pub(super) type Exchanged = (Arc<dyn Attend>, Option<Vec<usize>>);

impl Model {
    /// The graph of a batch of sequences. Its inputs are those of [`Tokens::packed`], [`Tokens::padded`] or, for [`LayoutKind::Rows`],
    /// [`Tokens::whole`]; `globals` where the size has some, `rows` (numbers of the tokens that results are asked for) where the task has a result
    /// for each (of hidden states, which are all of the batch where the size has no rows), and `ends` (the token of each sequence that its result is
    /// made of) where it has one for each sequence. Outputs are the task's results: `result`, or `logits` and the like.
    ///
    /// Fails when the network takes no such batches, and as its ops do.
    pub fn batch_graph(&self, size: BatchSize, dtype: DType) -> Result<Graph> {
        self.batch_graph_with(size, dtype, false, None)
    }

    /// [`Model::batch_graph`], with outputs `hidden.N` for all hidden states besides where `keeps_hidden`: of the embeddings first, then
    /// of each layer.
    pub(super) fn batch_graph_with(
        &self,
        size: BatchSize,
        dtype: DType,
        keeps_hidden: bool,
        exchange: Option<&Exchanged>,
    ) -> Result<Graph> {
        let mut graph = Graph::new();
        let mut tokens = match size.layout {
            LayoutKind::Packed => Tokens::packed(&mut graph, size.time, size.count),
            LayoutKind::Padded => Tokens::padded(&mut graph, size.count, size.time),
            LayoutKind::Rows => Tokens::whole(&mut graph, size.shape()),
            LayoutKind::Cached | LayoutKind::Recurrent | LayoutKind::Stateful => Err(no_batch(size.layout)),
        }?;
        if size.globals > 0 {
            tokens = tokens.with_globals(&mut graph, size.globals)?;
        }
        let mut rows = ResultRows { wanted: tokens.ids, of_sequences: tokens.ids };
        if self.picks_rows(size) {
            rows.wanted = graph.input("rows", TensorDesc::i32([size.rows]))?;
        }
        if self.ends().is_some() {
            rows.of_sequences = graph.input("ends", TensorDesc::i32([size.count]))?;
        }
        let mut recorder = Recorder::new(&mut graph, dtype);
        if keeps_hidden {
            recorder = recorder.with_hidden();
        }
        recorder = match exchange {
            Some((attend, Some(layers))) => recorder.exchange_in(attend.clone(), layers),
            Some((attend, None)) => recorder.exchange(attend.clone()),
            None => recorder,
        };
        let results = self.record_results(&mut recorder, &tokens, &rows)?;
        let hidden = recorder.take_hidden();
        for (name, mut value) in results {
            if self.task() == Task::Hidden && self.picks_rows(size) {
                value = picked(&mut graph, value, rows.wanted)?;
            }
            graph.output(name, value)?;
        }
        for (name, value) in hidden {
            graph.output(&name, value)?;
        }
        Ok(graph)
    }

    /// Whether graphs of batches of `size` give results of the tokens that are asked for, not of padding: whoever looks at results must not
    /// find fault with what nobody asked for.
    pub(super) fn picks_rows(&self, size: BatchSize) -> bool {
        self.has_results(Rows::Wanted) || self.task() == Task::Hidden && size.rows > 0
    }

    pub(super) fn has_results(&self, rows: Rows) -> bool {
        let results = self.declared.head.iter().flat_map(|head| &head.results);
        results.into_iter().any(|result| result.rows == rows)
    }

    /// Which of a sequence's tokens its one result is made of, the first where the task has no such result; none of no tokens.
    pub(crate) fn place_of_result(&self, ids: &[u32]) -> Option<usize> {
        self.ends().unwrap_or(Rows::First).place(ids)
    }

    /// Which token of a sequence its one result is made of, where the task has such a result.
    pub(super) fn ends(&self) -> Option<Rows> {
        let results = self.declared.head.iter().flat_map(|head| &head.results);
        results.map(|result| result.rows).find(|rows| *rows != Rows::Wanted)
    }
}

/// The rows of `hidden: [.., width]` whose numbers are `rows: i32 [count]`.
pub(super) fn picked(graph: &mut Graph, hidden: Value, rows: Value) -> Result<Value> {
    let dims = graph.desc(hidden)?.shape.dims().to_vec();
    let width = dims.last().copied().unwrap_or(0);
    let flat = ops::reshape(graph, hidden, [dims[..dims.len() - 1].iter().product(), width])?;
    ops::embedding(graph, &[(flat, rows)])
}

/// The refusal of a layout that sequences of a batch cannot have.
pub(super) fn no_batch(layout: LayoutKind) -> Error {
    Error::new(ErrorKind::Unsupported, NAME, "layout").expecting("whole sequences").but_found(layout.name())
}
