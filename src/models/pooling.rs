//! From hidden states to one vector a sequence, as sentence-transformers' folders describe it.

use std::path::Path;

use crate::graph::{Graph, Value};
use crate::nn::Layout;
use crate::ops::{self, Pool};
use crate::weights::{Fields, file, read_json};
use crate::{Error, ErrorKind, Result};

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

/// Whether the modules that the file lists end in a normalisation. Refuses those that would change an embedding otherwise, such
/// as dense layers.
fn normalizes(path: &Path) -> Result<bool> {
    let listed = read_json(path)?;
    let source = file::shown(path);
    let Some(modules) = listed.as_array() else {
        return Err(Error::new(ErrorKind::Config, source, "document").expecting("a list of modules"));
    };
    let mut normalizes = false;
    for module in modules {
        let fields = Fields::new(&source, module.clone())?;
        match fields.text("type")?.rsplit('.').next() {
            Some("Transformer" | "Pooling" | "Dropout") => {}
            Some("Normalize") => normalizes = true,
            _ => return Err(fields.refuse("type", "Transformer, Pooling or Normalize")),
        }
    }
    Ok(normalizes)
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
            for other in fields.names().filter(|name| name.starts_with("pooling_mode_")) {
                if modes.iter().all(|(field, _)| *field != other) && fields.bool_or(other, false)? {
                    return Err(fields.refuse(other, "false, as only mean, cls and max tokens are known"));
                }
            }
            let [kind] = chosen[..] else {
                return Err(fields.refuse(modes[0].0, "one of mean, cls and max tokens"));
            };
            pooling.kind = kind;
        }
        let modules = folder.join("modules.json");
        if modules.exists() {
            pooling.normalize = normalizes(&modules)?;
        }
        Ok(pooling)
    }

    /// One vector a sequence of `hidden: [batch, time, width]`: `[batch, width]`, of packed sequences `[batch, count, width]`.
    pub(super) fn record(self, graph: &mut Graph, hidden: Value, layout: &Layout) -> Result<Value> {
        let spec = match self.kind {
            PoolingKind::Mean => Pool::mean(),
            PoolingKind::First => Pool::first(),
            PoolingKind::Max => Pool::max(),
        };
        let spec = match *layout {
            Layout::Rows => spec,
            Layout::Padded { lengths } => spec.lengths(lengths),
            Layout::Packed { segments, count } => spec.segments(segments, count),
            Layout::Cached { .. } | Layout::Recurrent => {
                return Err(Error::new(ErrorKind::Unsupported, "pooling", "layout")
                    .expecting("whole sequences")
                    .but_found("pieces of streams"));
            }
        };
        let pooled = ops::pool(graph, hidden, &spec)?;
        if self.normalize { ops::l2_normalize(graph, pooled, SMALLEST_NORM) } else { Ok(pooled) }
    }
}
