//! What configurations of BERT and its kin say under the same names.

use super::super::Facts;
use super::super::network::{MOST_LAYERS, activation, head_count, refuse_decoders};
use super::super::positions::Positions;
use super::EmbeddingsSpec;
use crate::Result;
use crate::nn::{Block, LayerSpec};
use crate::ops::Activation;
use crate::weights::{Fields, Scope};

/// What `config.json` says, checked; each family changes what it reads otherwise.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct TextConfig {
    pub(in crate::models) facts: Facts,
    pub(in crate::models) positions: Positions,
    pub(in crate::models) embeddings: EmbeddingsSpec,
    pub(in crate::models) layer: LayerSpec,
}

/// What a family's fields mean where they are absent, as Hugging Face's configuration of it has them.
#[derive(Clone, Copy, Debug)]
pub(in crate::models) struct Defaults {
    /// `type_vocab_size`. Only families whose default is 0 may go without types.
    pub(in crate::models) types: usize,
    /// `layer_norm_eps`.
    pub(in crate::models) eps: f32,
    /// `hidden_act`.
    pub(in crate::models) activation: Activation,
}

impl Defaults {
    pub(in crate::models) const BERT: Self = Self { types: 2, eps: 1e-12, activation: Activation::Gelu };
}

impl TextConfig {
    /// Positions are counted from 0, and embeddings are as wide as layers.
    pub(in crate::models) fn read(
        fields: &Fields,
        architecture: &'static str,
        defaults: Defaults,
    ) -> Result<Self> {
        refuse_decoders(fields)?;
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let heads = head_count(fields, "num_attention_heads", width)?;
        let types = fields.usize_or("type_vocab_size", defaults.types.min(1)..=1 << 16, defaults.types)?;
        let facts = Facts {
            architecture,
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width,
            layers: fields.usize("num_hidden_layers", 1..=MOST_LAYERS)?,
            heads,
            types: types.max(1),
            first_position: 0,
            max_tokens: fields.usize("max_position_embeddings", 1..=1 << 24)?,
        };
        let layer = LayerSpec {
            width,
            intermediate: fields.usize("intermediate_size", 1..=1 << 20)?,
            heads,
            eps: fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, defaults.eps)?,
            activation: activation(fields, "hidden_act", defaults.activation)?,
        };
        let positions = Positions::read(fields)?;
        let embeddings = EmbeddingsSpec {
            words: facts.vocab_size,
            positions: (positions == Positions::Absolute).then_some(facts.max_tokens),
            types: (types > 0).then_some(types),
            widths: [width, width],
            eps: layer.eps,
        };
        Ok(Self { facts, positions, embeddings, layer })
    }

    /// The same for a family whose scores know no distances.
    pub(in crate::models) fn without_distances(self, fields: &Fields) -> Result<Self> {
        Positions::refuse_distances(fields)?;
        Ok(self)
    }

    /// The same with positions counted from behind that of padding, as RoBERTa has them.
    pub(in crate::models) fn behind_padding(mut self, fields: &Fields) -> Result<Self> {
        let rows = self.facts.max_tokens;
        let first = fields.usize_or("pad_token_id", 0..=1 << 24, 1)? + 1;
        if first >= rows {
            let expected = format!("more than {first}, as positions begin behind pad_token_id");
            return Err(fields.refuse("max_position_embeddings", expected));
        }
        self.facts.first_position = first;
        self.facts.max_tokens = rows - first;
        Ok(self)
    }

    /// `layer` with attention that knows distances where the model's scores do; their vectors are below `scope`.
    pub(in crate::models) fn attending(&self, layer: Block, scope: &mut Scope<'_>) -> Result<Block> {
        let Facts { width, heads, .. } = self.facts;
        self.positions.attending(layer, scope, self.rows(), width / heads)
    }

    /// Products of each token with the vectors of all distances, in all heads; 0 where scores know none.
    pub(in crate::models) fn numbers_per_token(&self) -> usize {
        self.positions.numbers_per_token(self.facts.heads, self.rows())
    }

    /// Positions, those that no text has among them.
    fn rows(&self) -> usize {
        self.facts.first_position + self.facts.max_tokens
    }
}
