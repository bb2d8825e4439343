//! Embeddings of words, of their places and of the text they are of, normalised: what BERT and its kin begin with.

use super::super::{Input, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Embedding, LayerNorm, Linear, Recorder};
use crate::ops::Activation;
use crate::weights::Scope;

/// The sum of up to three tables, normalised.
#[derive(Debug)]
pub(in crate::models) struct Embeddings {
    pub(in crate::models) words: Embedding,
    /// Absent where scores know positions.
    positions: Option<Embedding>,
    types: Option<Embedding>,
    /// From the tables' width to that of the normalisation, where these differ.
    widen: Option<Linear>,
    norm: LayerNorm,
}

/// The extents and settings of embeddings.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct EmbeddingsSpec {
    /// Rows of the tables of words, of places and of texts; none where there is no such table.
    pub(in crate::models) words: usize,
    pub(in crate::models) positions: Option<usize>,
    pub(in crate::models) types: Option<usize>,
    /// Channels of the tables and of what they become.
    pub(in crate::models) widths: [usize; 2],
    pub(in crate::models) eps: f32,
}

impl Embeddings {
    /// Declares `word_embeddings`, `position_embeddings`, `token_type_embeddings`, `embed_proj` and `LayerNorm` under `scope`, as far as the
    /// model has them. Files may hold ids, and a table of positions that is not used.
    pub(in crate::models) fn declare(scope: &mut Scope<'_>, spec: &EmbeddingsSpec) -> Result<Self> {
        ["position_ids", "token_type_ids", "position_embeddings"]
            .iter()
            .for_each(|unused| scope.ignore(unused));
        let [narrow, width] = spec.widths;
        let mut table = |name, rows| Embedding::declare(&mut scope.at(name), rows, narrow);
        let words = table("word_embeddings", spec.words)?;
        let positions = spec.positions.map(|rows| table("position_embeddings", rows)).transpose()?;
        let types = spec.types.map(|rows| table("token_type_embeddings", rows)).transpose()?;
        let mut widen = || Linear::declare_without_bias(&mut scope.at("embed_proj"), narrow, width);
        let widen = (narrow != width).then(&mut widen).transpose()?;
        let norm = LayerNorm::declare(&mut scope.at("LayerNorm"), width, spec.eps)?;
        Ok(Self { words, positions, types, widen, norm })
    }

    /// What the embeddings read of each token.
    pub(in crate::models) fn inputs(&self) -> &'static [Input] {
        Input::of_words(self.positions.is_some(), self.types.is_some())
    }

    /// `[batch, time, width]`, after dropout.
    pub(in crate::models) fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let mut tables = vec![(&self.words, tokens.ids)];
        tables.extend(self.types.iter().map(|types| (types, tokens.types)));
        tables.extend(self.positions.iter().map(|positions| (positions, tokens.positions)));
        let dtype = recorder.dtype();
        let mut sum = Embedding::record_sum(recorder, &tables, dtype)?;
        if let Some(widen) = &self.widen {
            sum = widen.record(recorder, sum, Activation::Identity)?;
        }
        let embedded = self.norm.record(recorder, sum, None)?;
        recorder.dropout(embedded)
    }
}
