//! What a Transformer-XL's `config.json` says.

use crate::Result;
use crate::models::Facts;
use crate::models::network::MOST_LAYERS;
use crate::nn::{Clusters, NormPlace, TransformerXl};
use crate::ops::attention::MAX_HEAD_SIZE;
use crate::weights::Fields;

/// Segments may have any length. What a number of tokens is bounded by.
const MOST_TOKENS: usize = 1 << 24;

/// What `config.json` says, checked.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) facts: Facts,
    pub(super) clusters: Clusters,
    /// Whether a cluster's scores are made with the embedding's projection.
    pub(super) tied: Vec<bool>,
    pub(super) attention: TransformerXl,
    pub(super) inner: usize,
    /// Tokens of the past that layers keep what they read of.
    pub(super) memory: usize,
    /// Larger distances are taken for this one.
    pub(super) farthest: Option<usize>,
    pub(super) norm_place: NormPlace,
    /// Whether each layer has biases of its own in its scores.
    pub(super) has_own_biases: bool,
    pub(super) eps: f32,
}

impl Config {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        for (field, known) in [("attn_type", 0), ("ext_len", 0)] {
            if fields.usize_or(field, 0..=1 << 24, known)? != known {
                return Err(fields.refuse(field, known));
            }
        }
        if !fields.bool_or("tie_word_embeddings", true)? {
            return Err(fields.refuse("tie_word_embeddings", "true"));
        }
        let width = fields.usize("d_model", 1..=1 << 16)?;
        if !width.is_multiple_of(2) {
            return Err(fields.refuse("d_model", "an even number, as positions are sines and cosines"));
        }
        let clusters = clusters(fields, width)?;
        let (heads, memory) = (fields.usize("n_head", 1..=1 << 14)?, fields.usize("mem_len", 1..=1 << 20)?);
        let attention = TransformerXl {
            width,
            heads,
            head_size: fields.usize("d_head", 1..=MAX_HEAD_SIZE)?,
            same_length: fields.bool_or("same_length", true)?.then_some(memory as u32),
        };
        let facts = Facts {
            architecture: "transfo-xl",
            vocab_size: clusters.vocab_size,
            width,
            layers: fields.usize("n_layer", 1..=MOST_LAYERS)?,
            heads,
            types: 1,
            first_position: 0,
            max_tokens: MOST_TOKENS,
        };
        let farthest = match fields.get("clamp_len").and_then(|value| value.as_i64()) {
            Some(..=0) => None,
            _ => Some(fields.usize_or("clamp_len", 1..=1 << 24, 1000)?),
        };
        Ok(Self {
            facts,
            tied: tied(fields, &clusters)?,
            clusters,
            attention,
            inner: fields.usize("d_inner", 1..=1 << 20)?,
            memory,
            farthest,
            norm_place: match fields.bool_or("pre_lnorm", false)? {
                true => NormPlace::Before,
                false => NormPlace::After,
            },
            has_own_biases: fields.bool_or("untie_r", true)?,
            eps: fields.f32_or("layer_norm_epsilon", f32::MIN_POSITIVE..=1.0, 1e-5)?,
        })
    }
}

/// `cutoffs`, which may be none, and the extents of the embeddings.
fn clusters(fields: &Fields, width: usize) -> Result<Clusters> {
    let vocab_size = fields.usize("vocab_size", 1..=1 << 24)?;
    let expected = format!("a list of ascending ids from 1 to below {vocab_size}");
    let listed = fields.get("cutoffs").and_then(|value| value.as_array());
    let listed = listed.ok_or_else(|| fields.refuse("cutoffs", &expected))?;
    let id = |value: &serde_json::Value| value.as_u64().and_then(|id| usize::try_from(id).ok());
    let cutoffs: Option<Vec<usize>> = listed.iter().map(id).collect();
    let cutoffs = cutoffs.filter(|cutoffs| {
        [&[0], &cutoffs[..], &[vocab_size]].concat().is_sorted_by(|before, after| before < after)
    });
    let cutoffs = cutoffs.ok_or_else(|| fields.refuse("cutoffs", &expected))?;
    let divisor = fields.usize_or("div_val", 1..=1 << 16, 4)?;
    let embedding = fields.usize_or("d_embed", 1..=1 << 16, 1024)?;
    let smallest = divisor.checked_pow(cutoffs.len() as u32).map_or(0, |by| embedding / by);
    if smallest == 0 {
        return Err(
            fields.refuse("div_val", format!("what leaves {embedding} channels one in every cluster"))
        );
    }
    Ok(Clusters { vocab_size, cutoffs, width, embedding, divisor })
}

/// `tie_projs`, a flag for each cluster; all but the first where it is absent.
fn tied(fields: &Fields, clusters: &Clusters) -> Result<Vec<bool>> {
    let count = clusters.cutoffs.len() + 1;
    let Some(value) = fields.get("tie_projs") else {
        let shares = fields.bool_or("proj_share_all_but_first", true)?;
        return Ok((0..count).map(|cluster| shares && cluster > 0).collect());
    };
    let flags = value.as_array().and_then(|flags| flags.iter().map(serde_json::Value::as_bool).collect());
    flags
        .filter(|flags: &Vec<bool>| flags.len() == count)
        .ok_or_else(|| fields.refuse("tie_projs", format!("{count} flags, one a cluster")))
}
