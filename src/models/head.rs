//! Heads: what a task makes of the hidden states of some tokens.

use super::network::Declaring;
use crate::Result;
use crate::graph::Value;
use crate::nn::{AdaptiveSoftmax, Embedding, LayerNorm, Linear, Recorder};
use crate::ops::{self, Activation};
use crate::weights::{Scope, Weight};

/// A head: one or two results, each of its own rows of the hidden states.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) results: Vec<HeadResult>,
    globals: Globals,
}

/// Which tokens of a sequence are global where a caller says nothing, of networks that have such tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Globals {
    None,
    /// The first, which stands for the sequence.
    First,
    /// Those before the first token with this id, the separator of question and passage; none where it is absent.
    Before(u32),
}

/// One result of a head.
#[derive(Clone, Debug)]
pub(super) struct HeadResult {
    /// Its name in a run's outputs.
    pub(super) name: &'static str,
    pub(super) rows: Rows,
    layers: Vec<Layer>,
}

/// Which tokens a result is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Those asked for, all where nothing else is.
    Wanted,
    /// The first of each sequence.
    First,
    /// The last of each sequence, or, where files name a padding id, the one before the first of these, unless that is the first token.
    Last { padding: Option<u32> },
}

impl Rows {
    /// Which of a sequence's tokens its one result is made of; none of no tokens.
    pub(super) fn place(self, ids: &[u32]) -> Option<usize> {
        let last = ids.len().checked_sub(1)?;
        let Self::Last { padding } = self else { return Some(0) };
        let first_padding = ids.iter().position(|id| Some(*id) == padding);
        Some(first_padding.and_then(|at| at.checked_sub(1)).unwrap_or(last))
    }
}

#[derive(Clone, Debug)]
enum Layer {
    Dense(Linear, Activation),
    Norm(LayerNorm),
    Scale(f32),
    Adaptive(Box<AdaptiveSoftmax>),
}

impl Head {
    pub(super) fn of(results: impl Into<Vec<HeadResult>>) -> Self {
        Self { results: results.into(), globals: Globals::None }
    }

    /// The same head with global tokens.
    pub(super) fn with_globals(self, globals: Globals) -> Self {
        Self { globals, ..self }
    }

    /// Places of global tokens where a caller says nothing.
    pub(super) fn globals(&self, ids: &[u32]) -> Vec<usize> {
        let count = match self.globals {
            Globals::None => 0,
            Globals::First => ids.len().min(1),
            Globals::Before(separator) => ids.iter().position(|&id| id == separator).unwrap_or(0),
        };
        (0..count).collect()
    }
}

impl HeadResult {
    /// A result that is the rows themselves, until layers are added.
    pub(super) fn new(name: &'static str, rows: Rows) -> Self {
        Self { name, rows, layers: Vec::new() }
    }

    /// A dense layer behind the others.
    pub(super) fn dense(mut self, layer: Linear, activation: Activation) -> Self {
        self.layers.push(Layer::Dense(layer, activation));
        self
    }

    /// [`HeadResult::dense`] with a layer that is declared under `scope`, from `inner` channels to `out`.
    pub(super) fn declare_dense(
        self,
        scope: &mut Scope<'_>,
        [inner, out]: [usize; 2],
        activation: Activation,
    ) -> Result<Self> {
        Ok(self.dense(Linear::declare(scope, inner, out)?, activation))
    }

    /// A normalisation behind the others.
    pub(super) fn norm(mut self, norm: LayerNorm) -> Self {
        self.layers.push(Layer::Norm(norm));
        self
    }

    /// A factor behind the other layers.
    pub(super) fn scale(mut self, factor: f32) -> Self {
        self.layers.push(Layer::Scale(factor));
        self
    }

    /// Log-probabilities of a vocabulary in clusters, behind the other layers.
    pub(super) fn adaptive(mut self, softmax: AdaptiveSoftmax) -> Self {
        self.layers.push(Layer::Adaptive(Box::new(softmax)));
        self
    }

    /// The result of `rows: [count, width]`.
    pub(super) fn record(&self, recorder: &mut Recorder<'_>, rows: Value) -> Result<Value> {
        self.layers.iter().try_fold(rows, |x, layer| match layer {
            Layer::Dense(dense, activation) => dense.record(recorder, x, *activation),
            Layer::Norm(norm) => norm.record(recorder, x, None),
            Layer::Scale(factor) => ops::scale(recorder, x, *factor),
            Layer::Adaptive(softmax) => softmax.record(recorder, x),
        })
    }
}

/// The layer `lm_head` that scores the words of a vocabulary, without a bias ([`decoder_weight`]).
pub(super) fn decoder(declaring: &mut Declaring<'_>, words: &Embedding, is_tied: bool) -> Result<Linear> {
    Ok(Linear::of(decoder_weight(&mut declaring.root().at("lm_head"), words, is_tied)?, None))
}

/// The weight of a layer that scores the words of a vocabulary, [vocab_size, width], under the `scope` of that layer: the embeddings themselves
/// where `is_tied`, of which files may hold a copy, or its own.
pub(super) fn decoder_weight(scope: &mut Scope<'_>, words: &Embedding, is_tied: bool) -> Result<Weight> {
    let embeddings = words.weight();
    if is_tied {
        scope.tied("weight", embeddings)?;
        return Ok(embeddings.clone());
    }
    scope.weight("weight", embeddings.shape().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_judged_by_its_first_token_or_by_the_last_before_padding() {
        let last = |padding, ids: &[u32]| Rows::Last { padding }.place(ids);
        assert_eq!(last(None, &[5, 6, 0, 0]), Some(3));
        assert_eq!(last(Some(0), &[5, 6, 0, 0]), Some(1));
        assert_eq!(last(Some(0), &[5, 0, 6, 7]), Some(0));
        assert_eq!(last(Some(0), &[0, 5, 6]), Some(2));
        assert_eq!(last(Some(9), &[5, 6]), Some(1));
        assert_eq!(last(Some(9), &[]), None);
        assert_eq!(Rows::First.place(&[5, 6]), Some(0));
    }
}
