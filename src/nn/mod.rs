//! Layers: weights declared under a path, and the ops they are used with.
//!
//! A layer is made once, by declaring its weights in a `weights::Scope`; it is recorded into any number of graphs, where its weights are
//! parameters under their full names. Layers that are declared twice under one path share their weights.
//!
//! Layers with weights need the feature `models`; [`Reversible`], which has none of its own, does not.

#[cfg(feature = "models")]
mod adaptive;
#[cfg(feature = "models")]
mod attention;
#[cfg(feature = "models")]
mod conv;
#[cfg(feature = "models")]
mod encoder_layer;
#[cfg(feature = "models")]
mod layers;
#[cfg(feature = "models")]
mod layout;
#[cfg(feature = "models")]
mod recorder;
mod reversible;

#[cfg(feature = "models")]
pub use adaptive::{AdaptiveEmbedding, AdaptiveSoftmax, Clusters};
#[cfg(feature = "models")]
pub use attention::{
    AdaptiveSpan, AdaptiveSpanAttention, Attend, BigBirdAttention, Content, DisentangledAttention, Distances,
    LogSparseAttention, LongformerAttention, Mixer, Pattern, SelfAttention, Softmax,
    SparseTransformerAttention, TransformerXl, TransformerXlAttention, join_heads, next_memory,
    sinusoidal_positions, split_heads,
};
#[cfg(feature = "models")]
pub use conv::{CausalConv1d, CentredConv1d};
#[cfg(feature = "models")]
pub use encoder_layer::{EncoderLayer, LayerNames, LayerSpec};
#[cfg(feature = "models")]
pub(crate) use layers::parameter;
#[cfg(feature = "models")]
pub use layers::{Embedding, LayerNorm, Linear, RmsNorm};
#[cfg(feature = "models")]
pub use layout::Layout;
#[cfg(feature = "models")]
pub use recorder::{Recorder, Training};
pub use reversible::Reversible;
