//! The table of mechanisms: what JSON, the commands and the docs know of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::buckets::{Lsh, Routing};
use super::chosen::{Entmax15, Sinkhorn, Sparsemax, TopK};
use super::given::{Linformer, MemoryCompressed, PersistentMemory, TalkingHeads};
use super::linear::{Favor, Linear};
use super::masks::{BigBird, DilatedWindow, Exact, Fixed, LogSparse, Longformer, Strided, Window};
use super::prototypes::{Clustered, Nystrom};
use crate::Result;
use crate::graph::Value;
use crate::nn::attention::Attend;
use crate::tensor::HostTensor;

/// A row of the table of mechanisms, [`MECHANISMS`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MechanismRow {
    /// The name of its field in a document.
    pub name: &'static str,
    /// Settings as an example: with the name they are a document ([`MechanismRow::example`]).
    pub settings: &'static str,
    /// What it is, and the meaning of settings that need an explanation or may be absent.
    pub summary: &'static str,
    /// Whether it is softmax attention under a mask, so that `foveate attend` and `bench` know it as a rule, too.
    pub is_mask: bool,
}

impl MechanismRow {
    /// A document of it.
    pub fn example(&self) -> String {
        format!("{{\"{}\": {}}}", self.name, self.settings)
    }
}

/// Sizes of the attention that a mechanism takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MechanismExtents {
    /// Queries, and as many keys.
    pub time: usize,
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Channels of a head of each.
    pub size: usize,
}

/// The settings of one mechanism: a struct with a field for each, which its row of the table names.
pub(super) trait Settings {
    /// Whole numbers among the settings that mean nothing when they are 0.
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Whether no token sees one behind itself.
    fn is_causal(&self) -> bool {
        false
    }

    /// Whether all that it keeps of earlier tokens is a state of a fixed size.
    fn has_state(&self) -> bool {
        false
    }

    /// Names of the tensors that are read.
    fn tensors(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Refuses values of tensors that devices would not look at.
    fn check_values(&self, _: &BTreeMap<String, HostTensor>) -> Result<()> {
        Ok(())
    }

    /// Tensors by which it says what exact attention says as well as it can without having been trained.
    fn untrained(&self, _: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        Ok(Vec::new())
    }

    /// The mechanism as layers record it; `scale` is the factor of `q . k`.
    fn attend(&self, scale: Option<f32>, tensors: &Tensors<'_>) -> Result<Arc<dyn Attend>>;
}

/// Values of a graph, by the names that a document has for them.
pub(super) struct Tensors<'t>(pub(super) &'t BTreeMap<String, Value>);

impl Tensors<'_> {
    pub(super) fn get(&self, name: &str) -> Result<Value> {
        self.0.get(name).copied().ok_or_else(|| super::no_tensor(name))
    }

    /// The value of a name that may be absent.
    pub(super) fn find(&self, name: Option<&String>) -> Result<Option<Value>> {
        name.map(|name| self.get(name)).transpose()
    }
}

macro_rules! mechanisms {
    ($($variant:ident, $name:literal, $is_mask:literal, $settings:literal, $summary:literal;)*) => {
        /// The settings of a mechanism, in an object with its name.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) enum Method {
            $(#[serde(rename = $name)] $variant($variant),)*
        }

        impl Method {
            pub(super) fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            pub(super) fn settings(&self) -> &dyn Settings {
                match self { $(Self::$variant(settings) => settings,)* }
            }
        }

        /// Every mechanism that JSON has, masks first. Names of tensors stand for values of `foveate attend`'s file, or of a graph.
        ///
        /// | mechanism | settings, as an example | what it is |
        /// |---|---|---|
        $(#[doc = concat!("| `\"", $name, "\"` | `", $settings, "` | ", $summary, " |")])*
        pub const MECHANISMS: &[MechanismRow] = &[
            $(MechanismRow { name: $name, settings: $settings, summary: $summary, is_mask: $is_mask },)*
        ];
    };
}

mechanisms! {
    Exact, "exact", true, r#"{"causal": false}"#,
        "softmax attention; causal: false where absent, here and below";
    Window, "window", true, r#"{"left": 64, "right": 64}"#,
        "keys near the query's own";
    DilatedWindow, "dilated_window", true, r#"{"half_width": 16, "dilations": [2]}"#,
        "keys at multiples of a distance on both sides; dilations: one, or one for each head";
    Longformer, "longformer", true, r#"{"half_width": 64, "globals": 1}"#,
        "a window, and the first tokens of each text, which see all and are seen by all; globals: how many, 1 where absent";
    BigBird, "big_bird", true, r#"{"block_size": 16, "random_blocks": 3, "seed": 0}"#,
        "windows of 3 blocks, the first and the last block global, and blocks at random; seed: 0 where absent";
    Strided, "strided", true, r#"{"stride": 16}"#,
        "Sparse Transformer: the last stride keys, and before them those at multiples of it, causal";
    Fixed, "fixed", true, r#"{"stride": 16, "expressivity": 4}"#,
        "Sparse Transformer: the query's own block and the last keys of each before, causal";
    LogSparse, "log_sparse", true, r#"{"local": 8, "restart": 64}"#,
        "LogSparse: exponentially growing distances, causal; restart: none where absent";
    Linear, "linear", false, r#"{"features": "elu_plus_one"}"#,
        "linear attention; features: elu_plus_one, relu, squared_relu, or identity with \"normalised\": false; causal, and with it tensors: \"log_decay\", \"beta\" (delta rule); \"state\", \"normalizer\"";
    Favor, "favor", false, r#"{"features": 256, "seed": 0, "eps": 0.0}"#,
        "Performer's random features of the softmax kernel (FAVOR+), drawn from a seed; seed and eps: 0 where absent; causal: with a stabiliser that knows no keys";
    Nystrom, "nystrom", false, r#"{"landmarks": 64, "iterations": 6}"#,
        "Nyströmformer's landmarks, as many as tokens where there are fewer; iterations: 6 where absent; \"convolution\": a tensor";
    Clustered, "clustered", false, r#"{"count": 64, "bits": 63, "iterations": 10, "top": 32, "seed": 0}"#,
        "clusters of queries by Lloyd's steps on hashes; what is shown where absent, but without top plain attention of clusters";
    TopK, "top_k", false, r#"{"k": 32, "causal": false}"#,
        "softmax over the keys of a query's highest scores, or all where there are fewer; stores all scores";
    Sparsemax, "sparsemax", false, r#"{"causal": false}"#,
        "sparsemax in place of softmax: few keys weigh anything; stores all scores";
    Entmax15, "entmax15", false, r#"{"causal": false}"#,
        "1.5-entmax, between softmax and sparsemax; stores all scores";
    Sinkhorn, "sinkhorn", false, r#"{"block": 16, "temperature": 0.75, "iterations": 5}"#,
        "own blocks, and blocks sorted by a soft permutation, for texts without padding; block: the largest that divides a text and is no larger, 1 at prime lengths; temperature and iterations: what is shown where absent";
    Lsh, "lsh", false, r#"{"chunk": 64, "rounds": 4, "seed": 0, "causal": false}"#,
        "Reformer's hashing, with keys of their own: in each round queries and keys are sorted by buckets of random rotations, and a query sees the chunk of keys of its own chunk's rank and its two neighbours, all where a text fits a chunk, 0 where it meets none; rounds: 4 where absent, seed: 0";
    Routing, "routing", false, r#"{"clusters": 16, "window": 64, "seed": 0, "causal": false}"#,
        "Routing Transformer's clusters: the window tokens, of queries and of keys, that lie nearest to each of some centroids see each other, for texts without padding; centroids are random directions, of a seed, 0 where absent; a query of several clusters has their mean, one of none 0";
    Linformer, "linformer", false, r#"{"keys": "E", "values": "F"}"#,
        "projections along time, tensors [projected, longest] or one for each head; projected: how many there are where the tensors are weights of a model that is trained, 256 where absent";
    MemoryCompressed, "memory_compressed", false,
        r#"{"keys": {"weight": "key_weight", "bias": "key_bias"}, "values": {"weight": "value_weight", "bias": "value_bias"}}"#,
        "keys and values shortened by convolutions whose stride is their kernel, tensors; causal; slots: \"to_end\" in place of \"from_start\"; \"null\": {\"key\": .., \"value\": ..}, tensors";
    PersistentMemory, "persistent_memory", false, r#"{"keys": "persistent_keys", "values": "persistent_values", "causal": false}"#,
        "keys and values of the network's own beside those of the text, tensors [heads, count, size]";
    TalkingHeads, "talking_heads", false, r#"{"before": "pre", "after": "post", "causal": false}"#,
        "heads that mix scores before the softmax and weights after it, tensors [heads, heads]";
}
