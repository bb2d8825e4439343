//! Where BERT and its kin know positions from: `position_embedding_type` of a `config.json`.

use crate::Result;
use crate::nn::{Block, RelativePositions};
use crate::weights::{Fields, Scope};

/// Where a model knows positions from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// Its embeddings.
    Absolute,
    /// The scores of every layer: [`RelativePositions`].
    Relative { meets_keys: bool },
}

impl Positions {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        let choices = [
            ("absolute", Self::Absolute),
            ("relative_key", Self::Relative { meets_keys: false }),
            ("relative_key_query", Self::Relative { meets_keys: true }),
        ];
        fields.choice_or("position_embedding_type", &choices, Self::Absolute)
    }

    /// Refuses scores that know distances, for families that do not have them.
    pub(super) fn refuse_distances(fields: &Fields) -> Result<Self> {
        fields.choice_or("position_embedding_type", &[("absolute", Self::Absolute)], Self::Absolute)
    }

    /// `layer` with attention that knows the distances of `count` positions where scores do; the vectors are `distance_embedding` under `scope`.
    pub(super) fn attending(
        self,
        layer: Block,
        scope: &mut Scope<'_>,
        count: usize,
        size: usize,
    ) -> Result<Block> {
        let Self::Relative { meets_keys } = self else { return Ok(layer) };
        let vectors = scope.weight("distance_embedding.weight", [2 * count - 1, size])?;
        Ok(Block { mixer: layer.mixer.attending(RelativePositions { vectors, meets_keys }), ..layer })
    }

    /// Products of each token with the vectors of all distances of `count` positions, in all heads.
    pub(super) fn numbers_per_token(self, heads: usize, count: usize) -> usize {
        match self {
            Self::Absolute => 0,
            Self::Relative { meets_keys } => (1 + usize::from(meets_keys)) * heads * 2 * count,
        }
    }
}
