//! What configurations say of positions, where scores may know them in place of embeddings.

use crate::Result;
use crate::nn::{Block, Distances, RelativePositions};
use crate::ops::attention::{Buckets, LogBuckets};
use crate::weights::{Fields, Scope};

/// Where BERT and its kin know positions from: `position_embedding_type`.
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

impl Distances {
    /// Which distances DeBERTa's models tell apart, of at most `positions`: `max_relative_positions`, and `position_buckets` where there are some.
    pub(super) fn read(fields: &Fields, positions: usize, has_buckets: bool) -> Result<Self> {
        // All are at most 2^24.
        let farthest = positive(fields, "max_relative_positions")?.unwrap_or(positions) as u32;
        let buckets = if has_buckets { positive(fields, "position_buckets")? } else { None };
        let Some(span) = buckets else { return Ok(Self::Exact(farthest)) };
        let span = span as u32;
        if span < 2 || span / 2 + 1 >= farthest {
            let expected =
                format!("2 or more, and half of it more than 1 below the farthest distance, {farthest}");
            return Err(fields.refuse("position_buckets", expected));
        }
        Ok(Self::Buckets(LogBuckets { span, max_distance: farthest }))
    }

    /// Which of content to position and position to content DeBERTa's scores have (`pos_att_type`): a list, or names with `|` between them.
    pub(super) fn terms(fields: &Fields) -> Result<[bool; 2]> {
        let field = "pos_att_type";
        let names: Option<Vec<&str>> = match fields.get(field) {
            Some(serde_json::Value::String(names)) => Some(names.split('|').map(str::trim).collect()),
            Some(serde_json::Value::Array(names)) => names.iter().map(|name| name.as_str()).collect(),
            _ => None,
        };
        let has = |names: &[&str], wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
        let found = names.map(|names| (names.len(), [has(&names, "c2p"), has(&names, "p2c")]));
        match found {
            Some((count, terms)) if count > 0 && terms.iter().filter(|term| **term).count() == count => {
                Ok(terms)
            }
            _ => Err(fields.refuse(field, "c2p, p2c or both, each once")),
        }
    }
}

impl Buckets {
    /// The buckets of distances that T5's models tell apart: `relative_attention_num_buckets` and `relative_attention_max_distance`.
    pub(super) fn read(fields: &Fields, bidirectional: bool) -> Result<Self> {
        let [count, farthest] = ["relative_attention_num_buckets", "relative_attention_max_distance"];
        let buckets = fields.usize_or(count, 4..=1 << 16, 32)?;
        let max_distance = fields.usize_or(farthest, 1..=1 << 24, 128)?;
        if !buckets.is_multiple_of(2) {
            return Err(fields.refuse(count, "an even number"));
        }
        if max_distance <= buckets / 2 {
            return Err(fields.refuse(farthest, format!("more than half of the buckets, {}", buckets / 2)));
        }
        Ok(Self { count: buckets as u32, max_distance: max_distance as u32, bidirectional })
    }
}

/// A whole number, or none where it is absent or below 1.
pub(super) fn positive(fields: &Fields, field: &str) -> Result<Option<usize>> {
    match fields.get(field).map(|value| value.as_i64()) {
        None => Ok(None),
        Some(Some(number)) if number < 1 => Ok(None),
        Some(_) => fields.usize(field, 1..=1 << 20).map(Some),
    }
}
