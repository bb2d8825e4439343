//! Source texts: what an encoder-decoder reads, and the keys and values that its decoder attends to.

use super::{Network, Tokens};
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder};
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result, ops};

/// The source texts of a batch of an encoder-decoder's texts.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Source {
    /// The encoder reads them in the same graph, as for training.
    Tokens(SourceTokens),
    /// The encoder has read them: keys and values of every layer of the decoder are states `cross.N.key` and `cross.N.value`, `[batch,
    /// capacity, heads, size]`.
    Cached {
        /// Tokens of each source text, `i32 [batch]`.
        lengths: Value,
        /// The most tokens of a source text.
        capacity: usize,
    },
}

/// Source texts as the encoder reads them.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SourceTokens {
    /// Words of the vocabulary, `i32 [batch, time]`.
    pub ids: Value,
    /// Places in their texts, `i32 [batch, time]`, counted from [`Facts::first_position`](super::Facts::first_position) on.
    pub positions: Value,
    /// Tokens of each text, `i32 [batch]`; padding is behind them.
    pub lengths: Value,
}

impl SourceTokens {
    /// Declares source texts of at most `time` tokens: inputs `source_ids`, `source_positions` and `source_lengths`.
    pub fn declare(graph: &mut Graph, [batch, time]: [usize; 2]) -> Result<Self> {
        Ok(Self {
            ids: graph.input("source_ids", TensorDesc::i32([batch, time]))?,
            positions: graph.input("source_positions", TensorDesc::i32([batch, time]))?,
            lengths: graph.input("source_lengths", TensorDesc::i32([batch]))?,
        })
    }

    /// Texts with padding behind them.
    pub fn layout(&self) -> Layout {
        Layout::Padded { lengths: self.lengths }
    }
}

impl Tokens {
    /// Also declares source texts of at most `time` tokens; inputs as of [`SourceTokens::declare`].
    pub fn with_source(self, graph: &mut Graph, time: usize) -> Result<Self> {
        let batch = graph.desc(self.ids)?.shape.dims()[0];
        Ok(Self { source: Some(Source::Tokens(SourceTokens::declare(graph, [batch, time])?)), ..self })
    }

    /// Tokens about source texts that were read before, of at most `capacity` tokens: the input `source_lengths`.
    pub fn with_cached_source(self, graph: &mut Graph, capacity: usize) -> Result<Self> {
        let batch = graph.desc(self.ids)?.shape.dims()[0];
        let lengths = graph.input("source_lengths", TensorDesc::i32([batch]))?;
        Ok(Self { source: Some(Source::Cached { lengths, capacity }), ..self })
    }
}

/// Keys and values of the source texts of `tokens` for each of `layers` layers of a decoder, `[batch, source_time, heads, size]`, and how
/// many of them each text has.
///
/// Fails when there is no source text, and as the network's encoder does.
pub(super) fn cross(
    network: &impl Network,
    recorder: &mut Recorder<'_>,
    tokens: &Tokens,
    layers: usize,
    [heads, size]: [usize; 2],
) -> Result<(Vec<[Value; 2]>, Value)> {
    match tokens.source {
        Some(Source::Tokens(source)) => Ok((network.encode(recorder, &source)?, source.lengths)),
        Some(Source::Cached { lengths, capacity }) => {
            let batch = recorder.desc(lengths)?.shape.dims()[0];
            let desc = TensorDesc::new(recorder.dtype(), [batch, capacity, heads, size]);
            let pairs = (0..layers).map(|layer| states(recorder, layer, &desc)).collect::<Result<_>>()?;
            Ok((pairs, lengths))
        }
        None => Err(Error::new(ErrorKind::Argument, network.facts().architecture, "source")
            .expecting("source texts")
            .but_found("none")),
    }
}

/// Keeps what [`Network::encode`] made of source texts, each for `copies` streams one behind another, in the states that
/// [`Source::Cached`] reads.
pub(crate) fn keep_cross(graph: &mut Graph, pairs: &[[Value; 2]], copies: usize) -> Result<()> {
    for (layer, pair) in pairs.iter().enumerate() {
        let mut rows = *pair;
        for rows in &mut rows {
            *rows = ops::repeat_each(graph, *rows, 0, copies)?;
        }
        let desc = graph.desc(rows[0])?.clone();
        for (state, rows) in states(graph, layer, &desc)?.into_iter().zip(rows) {
            graph.update(state, rows)?;
        }
    }
    Ok(())
}

/// What names of states begin with that hold keys and values of source texts.
const OF_SOURCES: &str = "cross.";

/// Whether the state of this name holds keys or values of source texts.
pub(crate) fn is_of_source(name: &str) -> bool {
    name.starts_with(OF_SOURCES)
}

/// The states with the keys and the values of a layer.
fn states(graph: &mut Graph, layer: usize, desc: &TensorDesc) -> Result<[Value; 2]> {
    let mut state = |name| graph.state(&format!("{OF_SOURCES}{layer}.{name}"), desc.clone());
    Ok([state("key")?, state("value")?])
}
