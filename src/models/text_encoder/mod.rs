//! What BERT and its kin share: most fields of their configurations, embeddings, the body of layers one behind another, and heads. A family
//! that differs says what it differs in.

mod body;
mod config;
mod embeddings;
mod heads;

pub(super) use body::TextEncoder;
pub(super) use config::{Defaults, TextConfig};
pub(super) use embeddings::{Embeddings, EmbeddingsSpec};
pub(super) use heads::{Classifier, TextHeads, WordNames};
