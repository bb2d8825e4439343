//! The masked-language-model head that BERT, RoBERTa and ALBERT share: scores of every word, by the embeddings themselves.

use super::Facts;
use crate::graph::{Graph, Value};
use crate::nn::{Embedding, LayerNorm, Linear};
use crate::ops::Activation;
use crate::weights::Scope;
use crate::{Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct MaskedHead {
    dense: Linear,
    activation: Activation,
    norm: LayerNorm,
    decoder: Linear,
}

impl MaskedHead {
    /// Declares the head's own weights under `scope`, where its dense layer and normalisation have the given names. The dense layer
    /// leads from the model's width to that of the embeddings `words`.
    pub(super) fn declare(
        scope: &mut Scope<'_>,
        [dense, norm]: [&str; 2],
        words: &Embedding,
        [width, embedding]: [usize; 2],
        (eps, activation): (f32, Activation),
    ) -> Result<Self> {
        scope.tied("decoder.weight", words.weight())?;
        let bias = scope.weight("bias", [words.weight().shape().dims()[0]])?;
        scope.tied("decoder.bias", &bias)?;
        Ok(Self {
            dense: Linear::declare(&mut scope.at(dense), width, embedding)?,
            activation,
            norm: LayerNorm::declare(&mut scope.at(norm), embedding, eps)?,
            decoder: Linear::of(words.weight().clone(), bias),
        })
    }

    /// Scores `[.., vocab_size]` of `hidden: [.., width]`. Fails when the model was opened without its head.
    pub(super) fn record(
        head: Option<&Self>,
        facts: &Facts,
        graph: &mut Graph,
        hidden: Value,
    ) -> Result<Value> {
        let Some(Self { dense, activation, norm, decoder }) = head else {
            return Err(Error::new(ErrorKind::Argument, facts.architecture, "task")
                .expecting("a model opened for logits")
                .but_found("one without its head"));
        };
        let dense = dense.record(graph, hidden, *activation)?;
        let normed = norm.record(graph, dense, None)?;
        decoder.record(graph, normed, Activation::Identity)
    }
}
