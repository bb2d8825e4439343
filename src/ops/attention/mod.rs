//! Exact softmax attention, key tile by key tile, with memory linear in length, and its gradients: [`blocked()`] (FlashAttention, arXiv
//! 2205.14135 and 2307.08691). Linear attention, with scores that are products of features, time and memory linear in length, and a state of
//! fixed size: [`linear_attention`] (arXiv 2006.16236).
//!
//! Values are `[batch, time, head, channel]`, the order a linear layer produces. Query heads share key heads in consecutive
//! groups (`heads = kv_heads * group`; one key head is multi-query attention).
//!
//! The attention mask of softmax attention is a [`Mask`], its score modifiers are [`Score`]s: rules in a folder of their own.

pub(crate) mod blocked;
mod clustered;
mod disagreement;
pub(crate) mod indexed;
pub(crate) mod linear;
mod linformer;
mod lsh;
mod memory_compressed;
mod nystrom;
pub(super) mod over;
mod persistent;
mod previous;
mod routed;
mod routing;
mod rules;
mod scored;
mod sinkhorn;
mod talking_heads;
mod vectors;

pub use blocked::{Blocked, blocked, blocked_with_lse, residual_scores};
pub use clustered::{Clustered, LloydClusters, clustered, lloyd_clusters};
pub use disagreement::{head_similarity, position_similarity};
pub use indexed::Border;
pub use linear::{
    CustomFeature, Denominator, FeatureMap, FeaturesOf, LinearAttention, LinearState, RandomProjection,
    RowNorms, SoftmaxKernel, Stabilizer, check_beta, check_log_decay, cosine_features,
    generalized_kernel_features, linear_attention, linear_attention_with_state, softmax_kernel_features,
};
pub use linformer::{Linformer, linformer};
pub use lsh::{
    Lsh, LshAttended, LshConvention, lsh_attention, lsh_attention_with_keys, lsh_bucket_factors, lsh_buckets,
    lsh_rotations,
};
pub use memory_compressed::{Compression, MemoryCompressed, Slots, memory_compressed};
pub use nystrom::{InverseStart, Nystrom, PaddedLandmarks, Segments, nystrom};
pub use persistent::{merge, persistent_memory};
pub use previous::{PreviousScores, prior_attention, residual_attention};
pub use routed::{
    Routing, balanced_clusters, commitment_loss, moved_centroids, nearest_centroids, routing_attention,
};
pub use routing::route_heads;
#[cfg(feature = "serde")]
pub use rules::RuleDocument;
pub use rules::{
    Alignment, BigBird, BlockLayout, Buckets, CustomMask, CustomScore, LogBuckets, LogSparse, Mask, Pair,
    Score, alibi_slopes, global_tokens,
};
pub use scored::{
    Scored, Simplex, SparselyAttended, TopAttended, attention_over, sparse_attention, top_k_attention,
};
pub use sinkhorn::{Sinkhorn, SinkhornAttended, check_block_permutation, sinkhorn, sinkhorn_sorted};
pub use talking_heads::{TalkingHeads, talking_heads};

use super::contract::Contract;
use crate::tensor::TensorDesc;
use crate::{Error, ErrorKind, Result};

/// The largest head and value size.
pub const MAX_HEAD_SIZE: usize = 256;

/// The log-sum-exp of a row that sees no key: finite, because WGSL may assume that infinities do not occur.
pub const EMPTY_ROW_LSE: f32 = -1e30;

/// A key whose score is not above this counts as hidden: what is added to scores to hide keys, -1e30 or the least number of a type, does.
pub const HIDDEN_SCORE: f32 = -5e29;

/// A bound that no time and no distance reaches. Sums of three such numbers fit an `i32`.
pub(crate) const UNLIMITED: u32 = 1 << 29;

/// The factor of `q . k`: `scale`, or `1 / sqrt(head_size)`.
fn factor(scale: Option<f32>, head_size: usize) -> f32 {
    scale.unwrap_or_else(|| 1.0 / (head_size as f32).sqrt())
}

/// Extents of one attention problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) batch: usize,
    pub(crate) query_time: usize,
    pub(crate) key_time: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) value_size: usize,
}

impl Dims {
    /// The extents of `query: [batch, query_time, heads, vectors * head_size]`, `key: [batch, key_time, kv_heads, head_size]`,
    /// `value: [batch, key_time, kv_heads, value_size]`, or what does not fit together.
    pub(crate) fn bind(
        op: &'static str,
        [query, key, value]: [&TensorDesc; 3],
        query_vectors: usize,
    ) -> Result<Self> {
        let mut contract = Contract::new(op).may_be_empty(&["query_time", "key_time"]);
        contract.float("query", query)?;
        contract.dtype("key", key, query.dtype)?;
        contract.dtype("value", value, query.dtype)?;
        if query_vectors == 1 {
            contract.bind("query", query, &["batch", "query_time", "heads", "head_size"])?;
        } else {
            contract.bind("query", query, &["batch", "query_time", "heads", "vectors"])?;
        }
        contract.bind("key", key, &["batch", "key_time", "kv_heads", "head_size"])?;
        contract.bind("value", value, &["batch", "key_time", "kv_heads", "value_size"])?;
        if query_vectors > 1 && query.shape.dims()[3] != query_vectors * key.shape.dims()[3] {
            return Err(contract
                .shape_error("query")
                .expecting(format!(
                    "axis 3 of {query_vectors} times the {} channels of key",
                    key.shape.dims()[3]
                ))
                .but_found(query.shape.dims()[3]));
        }
        let dims = Self::of(query, key, value);
        if !dims.heads.is_multiple_of(dims.kv_heads) {
            return Err(contract
                .shape_error("key")
                .expecting(format!("axis 2 (kv_heads) to divide the {} heads of query", dims.heads))
                .but_found(dims.kv_heads));
        }
        for (argument, axis, size) in
            [("query", "head_size", dims.head_size), ("value", "value_size", dims.value_size)]
        {
            if size > MAX_HEAD_SIZE {
                return Err(Error::new(ErrorKind::Limit, op, argument)
                    .expecting(format!("{axis} of at most {MAX_HEAD_SIZE}"))
                    .but_found(size));
            }
        }
        Ok(dims)
    }

    /// The extents of values that have passed [`Dims::bind`].
    pub(crate) fn of(query: &TensorDesc, key: &TensorDesc, value: &TensorDesc) -> Self {
        Self::from_dims(query.shape.dims(), key.shape.dims(), value.shape.dims())
    }

    pub(crate) fn from_dims(query: &[usize], key: &[usize], value: &[usize]) -> Self {
        Self {
            batch: query[0],
            query_time: query[1],
            key_time: key[1],
            heads: query[2],
            kv_heads: key[2],
            head_size: key[3],
            value_size: value[3],
        }
    }

    /// Query heads that share one key head.
    pub(crate) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}
