//! Layers: weights declared under a path, and the ops they are used with.
//!
//! A layer is made once, by declaring its weights in a `weights::Scope`; it is recorded into any number of graphs, where its weights are
//! parameters under their full names. Layers that are declared twice under one path share their weights.
//!
//! A [`Block`] is a layer of a Transformer: a [`Mixer`] for the tokens, such as [`SelfAttention`] or a convolution, and a feed-forward network,
//! each added to the residual stream. Between the projections of a `SelfAttention` stands an [`Attend`], which [`Recorder::exchange`] replaces
//! in a trained model.
//!
//! Layers with weights need the feature `models`; [`Reversible`], which has none of its own, does not.

#[cfg(feature = "models")]
mod adaptive;
#[cfg(feature = "models")]
mod attention;
#[cfg(feature = "models")]
mod axial;
#[cfg(feature = "models")]
mod block;
#[cfg(feature = "models")]
mod conformer;
#[cfg(feature = "models")]
mod conv;
#[cfg(feature = "models")]
mod conv_residual;
#[cfg(feature = "models")]
mod layers;
#[cfg(feature = "models")]
mod layout;
#[cfg(feature = "models")]
mod light_conv;
#[cfg(feature = "models")]
mod long_short_range;
#[cfg(feature = "models")]
mod places_norm;
#[cfg(feature = "models")]
mod recorder;
mod reversible;
#[cfg(feature = "models")]
mod span_conv;
#[cfg(feature = "models")]
mod stack;

#[cfg(feature = "models")]
pub use adaptive::{AdaptiveEmbedding, AdaptiveSoftmax, Clusters};
#[cfg(feature = "models")]
pub(crate) use attention::refuse_memory;
#[cfg(feature = "models")]
pub use attention::{
    AdaptiveSpan, AdaptiveSpanAttention, Attend, BigBirdAttention, BucketBias, ChunkedAttention,
    ClusteredAttention, ConditionalPrior, DecayGate, DisentangledAttention, DisentangledForm, Distances,
    GatedLinearAttention, GatedSpec, HeadRouting, InducedSetAttention, LinearAttention, LinformerAttention,
    LinformerSharing, LogSparseAttention, LongformerAttention, LshAttention, LshBuckets, LshSettings,
    MECHANISMS, Mechanism, MechanismAttention, MechanismExtents, MechanismRow, MemoryCompressedAttention,
    Mixer, MultiheadAttentionBlock, NystromAttention, Pattern, PersistentMemory, Projections,
    RelativePositions, ResidualAttention, RoutedRows, RoutingAttention, RoutingSettings, SegmentKeys,
    SegmentPositions, SelfAttention, SetAttention, SetAttentionNames, SetPooling, SinkhornAttention, Softmax,
    SparseAttention, SparseTransformerAttention, Synthesis, Synthesizer, TalkingHeadsAttention,
    TransformerXl, TransformerXlAttention, join_heads, next_memory, retention_decays, sinusoidal_positions,
    split_heads,
};
#[cfg(feature = "models")]
pub use axial::AxialPositions;
#[cfg(feature = "models")]
pub use block::{Block, FeedForward, LayerNames, LayerSpec, Norm, NormPlace, Residual};
#[cfg(feature = "models")]
pub use conformer::{ConformerAttention, ConformerBlock, ConformerConv, ConformerPositions};
#[cfg(feature = "models")]
pub use conv::{CausalConv1d, CentredConv1d};
#[cfg(feature = "models")]
pub use conv_residual::ConvResidual;
#[cfg(feature = "models")]
pub(crate) use layers::parameter;
#[cfg(feature = "models")]
pub use layers::{Embedding, LayerNorm, Linear, RmsNorm};
#[cfg(feature = "models")]
pub use layout::{Layout, LayoutKind};
#[cfg(feature = "models")]
pub use light_conv::{DynamicConv, GatedConv, LightConv, TapKernel};
#[cfg(feature = "models")]
pub use long_short_range::LongShortRange;
#[cfg(feature = "models")]
pub use places_norm::{BatchNorm, GroupNorm};
#[cfg(feature = "models")]
pub use recorder::{Recorder, Training};
pub use reversible::Reversible;
#[cfg(feature = "models")]
pub use span_conv::SpanConvAttention;
#[cfg(feature = "models")]
pub use stack::{BucketStack, Crossed};
