//! From hidden states to one vector a sequence, as sentence-transformers' folders describe it.

use std::path::Path;

use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::Sequences;
use crate::ops::{self, Pool};
use crate::weights::{Fields, read_json};

/// The smallest norm that a vector is divided by (`torch.nn.functional.normalize`).
const SMALLEST_NORM: f32 = 1e-12;

/// How an embedding is made of a sequence's hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// What is taken of the tokens.
    pub kind: PoolingKind,
    /// Whether the vector is divided by its length.
    pub normalize: bool,
}

/// What is taken of a sequence's hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingKind {
    /// Their mean.
    Mean,
    /// The first token's.
    First,
    /// The largest of each channel.
    Max,
}

impl Default for Pooling {
    /// The mean, normalised: what most sentence encoders were trained with.
    fn default() -> Self {
        Self { kind: PoolingKind::Mean, normalize: true }
    }
}

/// The longest sequence a folder's sentence encoder takes: what it was trained with, within the `most` its positions allow.
pub(super) fn longest(folder: &Path, most: usize) -> Result<usize> {
    let config = folder.join("sentence_bert_config.json");
    if !config.exists() {
        return Ok(most);
    }
    Ok(Fields::open(&config)?.usize_or("max_seq_length", 1..=1 << 24, most)?.min(most))
}

impl Pooling {
    /// Reads `1_Pooling/config.json` and `modules.json` of a folder; what is not there is as in the default.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let mut pooling = Self::default();
        let config = folder.join("1_Pooling").join("config.json");
        if config.exists() {
            let fields = Fields::open(&config)?;
            let modes = [
                ("pooling_mode_mean_tokens", PoolingKind::Mean),
                ("pooling_mode_cls_token", PoolingKind::First),
                ("pooling_mode_max_tokens", PoolingKind::Max),
            ];
            let mut chosen = Vec::new();
            for (field, kind) in modes {
                if fields.bool_or(field, false)? {
                    chosen.push(kind);
                }
            }
            let [kind] = chosen[..] else {
                return Err(fields.refuse(modes[0].0, "one of mean, cls and max tokens"));
            };
            pooling.kind = kind;
        }
        let modules = folder.join("modules.json");
        if modules.exists() {
            let listed = read_json(&modules)?;
            let types = listed.as_array().into_iter().flatten().filter_map(|module| module["type"].as_str());
            pooling.normalize = types.into_iter().any(|kind| kind.ends_with(".Normalize"));
        }
        Ok(pooling)
    }

    /// One vector a sequence of `hidden: [batch, time, width]`: `[batch, width]`, of packed sequences `[batch, count, width]`.
    pub(super) fn record(self, graph: &mut Graph, hidden: Value, sequences: &Sequences) -> Result<Value> {
        let spec = match self.kind {
            PoolingKind::Mean => Pool::mean(),
            PoolingKind::First => Pool::first(),
            PoolingKind::Max => Pool::max(),
        };
        let spec = match *sequences {
            Sequences::Whole => spec,
            Sequences::Padded { lengths } => spec.lengths(lengths),
            Sequences::Packed { segments, count } => spec.segments(segments, count),
        };
        let pooled = ops::pool(graph, hidden, &spec)?;
        if self.normalize { ops::l2_normalize(graph, pooled, SMALLEST_NORM) } else { Ok(pooled) }
    }
}
