//! Reformer (Kitaev, Kaiser and Levskaya, arXiv 2001.04451): reversible layers of LSH attention and local attention, with axial positions.
//!
//! Names, order of operations and conventions as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/reformer/modeling_reformer.py>. Chunks form a ring there, so
//! that what a text gives depends on its padding: [`Encoder`](super::Encoder) runs texts of one length at a time. PyTorch's random rotations cannot be
//! drawn anew: `hash_seed` seeds those of this crate, and [`Recorder::with_draws`] takes others.
//!
//! A text is read whole: decoding from caches of buckets is not built.

use std::sync::Arc;

use super::head::{Head, HeadResult, Rows};
use super::network::{Declared, Declaring, MOST_LAYERS, Network, activation};
use super::{Facts, Input, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{
    AxialPositions, ChunkedAttention, Embedding, FeedForward, LayerNorm, Layout, Linear, LshAttention,
    LshBuckets, LshSettings, Mixer, Recorder, Residual, SelfAttention,
};
use crate::ops::attention::{Border, Lsh, LshConvention};
use crate::ops::{self, Activation};
use crate::weights::{Fields, Scope};

#[derive(Debug)]
struct Reformer {
    facts: Facts,
    words: Embedding,
    positions: Positions,
    layers: Vec<Layer>,
    norm: LayerNorm,
    /// Positions that the feed-forward networks take at a time; 0 for all.
    piece: usize,
    is_causal: bool,
}

#[derive(Debug)]
enum Positions {
    Axial(AxialPositions),
    Table(Embedding),
}

#[derive(Debug)]
struct Layer {
    mixing: Residual,
    mixer: Arc<dyn Mixer>,
    feeding: Residual,
    feed_forward: FeedForward,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Local,
    Lsh,
}

/// Chunks of a kind of layers.
#[derive(Clone, Copy)]
struct Chunks {
    chunk: usize,
    before: usize,
    after: usize,
}

impl Chunks {
    /// The fields that begin with `kind`, `local` or `lsh`.
    fn read(fields: &Fields, kind: &str) -> Result<Self> {
        let count = |name: &str, most, default| fields.usize_or(&format!("{kind}_{name}"), 0..=most, default);
        Ok(Self {
            chunk: fields.usize_or(&format!("{kind}_attn_chunk_length"), 1..=1 << 20, 64)?,
            before: count("num_chunks_before", 64, 1)?,
            after: count("num_chunks_after", 64, 0)?,
        })
    }
}

/// What `config.json` says, checked.
struct Config {
    facts: Facts,
    /// Channels of one of the two streams.
    width: usize,
    head_size: usize,
    inner: usize,
    eps: f32,
    activation: Activation,
    kinds: Vec<Kind>,
    local: Chunks,
    lsh: Chunks,
    /// What texts are filled up to: a multiple of the chunks of all layers.
    multiple: usize,
    rounds: usize,
    buckets: LshBuckets,
    seed: u64,
    axial: Option<[[usize; 2]; 2]>,
    piece: usize,
    is_causal: bool,
}

/// The largest number of a list.
const MOST: usize = 1 << 16;

/// Numbers of a field that is a list of `N` of them.
fn numbers<const N: usize>(fields: &Fields, name: &str) -> Result<[usize; N]> {
    let list = fields.get(name).and_then(|list| list.as_array());
    let numbers: Option<Vec<usize>> = list.and_then(|list| {
        list.iter()
            .map(|number| usize::try_from(number.as_u64()?).ok().filter(|number| (1..=MOST).contains(number)))
            .collect()
    });
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| fields.refuse(name, format!("a list of {N} numbers from 1 to {MOST}")))
}

impl Config {
    fn read(fields: &Fields) -> Result<Self> {
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let heads = fields.usize("num_attention_heads", 1..=1 << 12)?;
        let head_size = fields.usize("attention_head_size", 1..=crate::ops::attention::MAX_HEAD_SIZE)?;
        let kinds = kinds(fields)?;
        let (local, lsh) = (Chunks::read(fields, "local")?, Chunks::read(fields, "lsh")?);
        if kinds.contains(&Kind::Local) && !local.chunk.is_multiple_of(4) {
            return Err(fields.refuse("local_attn_chunk_length", "a multiple of 4"));
        }
        let of_kinds = [(Kind::Local, local.chunk), (Kind::Lsh, lsh.chunk)];
        let used = of_kinds.iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, chunk)| *chunk);
        let multiple = used.fold(1, least_common_multiple);
        let longest = fields.usize_or("max_position_embeddings", 1..=1 << 24, 4096)?;
        let axial = axial(fields, width)?;
        let max_tokens = axial.map_or(longest, |[[a, b], _]| a * b);
        let facts = Facts {
            architecture: "reformer",
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            width: 2 * width,
            layers: kinds.len(),
            heads,
            types: 1,
            first_position: 0,
            max_tokens,
        };
        let eps = fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, 1e-12)?;
        Ok(Self {
            facts,
            width,
            head_size,
            inner: fields.usize("feed_forward_size", 1..=1 << 20)?,
            eps,
            activation: activation(fields, "hidden_act", Activation::Relu)?,
            kinds,
            local,
            lsh,
            multiple,
            rounds: fields.usize_or("num_hashes", 1..=64, 1)?,
            buckets: buckets(fields, lsh.chunk, multiple, longest)?,
            seed: fields.usize_or("hash_seed", 0..=usize::MAX, 0)? as u64,
            axial,
            piece: fields.usize_or("chunk_size_feed_forward", 0..=1 << 24, 0)?,
            is_causal: fields.bool_or("is_decoder", false)?,
        })
    }

    fn lsh_settings(&self, number: usize) -> LshSettings {
        let Chunks { chunk, before, after } = self.lsh;
        let lsh = Lsh::new(chunk)
            .around(before, after)
            .padded_to(self.multiple)
            .convention(LshConvention::HuggingFace);
        LshSettings {
            heads: self.facts.heads,
            head_size: self.head_size,
            rounds: self.rounds,
            lsh: if self.is_causal { lsh.causal() } else { lsh },
            buckets: self.buckets.clone(),
            // Other rotations in every layer.
            seed: self.seed.wrapping_add(number as u64),
            number,
        }
    }

    fn local(&self) -> ChunkedAttention {
        let Chunks { chunk, before, after } = self.local;
        let local = ChunkedAttention::new(chunk).around(before, after, Border::Ring).padded_to(self.multiple);
        if self.is_causal { local.causal() } else { local }
    }
}

/// `axial_pos_shape` and `axial_pos_embds_dim`, of a model with axial positions.
fn axial(fields: &Fields, width: usize) -> Result<Option<[[usize; 2]; 2]>> {
    if !fields.bool_or("axial_pos_embds", true)? {
        return Ok(None);
    }
    let [shape, channels]: [[usize; 2]; 2] =
        [numbers(fields, "axial_pos_shape")?, numbers(fields, "axial_pos_embds_dim")?];
    if channels[0] + channels[1] != width {
        return Err(fields.refuse("axial_pos_embds_dim", format!("channels that add up to {width}")));
    }
    if shape[0] * shape[1] > 1 << 24 {
        return Err(fields.refuse("axial_pos_shape", format!("at most {} positions", 1 << 24)));
    }
    Ok(Some([shape, channels]))
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

/// `attn_layers`: what each layer is.
fn kinds(fields: &Fields) -> Result<Vec<Kind>> {
    let kind = |name: &serde_json::Value| match name.as_str() {
        Some("local") => Some(Kind::Local),
        Some("lsh") => Some(Kind::Lsh),
        _ => None,
    };
    let list = fields.get("attn_layers").and_then(|list| list.as_array());
    let kinds: Option<Vec<Kind>> = list.and_then(|list| list.iter().map(kind).collect());
    kinds
        .filter(|kinds| (1..=MOST_LAYERS).contains(&kinds.len()))
        .ok_or_else(|| fields.refuse("attn_layers", "a list of `local` and `lsh`"))
}

/// `num_buckets`: a number, two factors, or null for what fits a text.
fn buckets(fields: &Fields, chunk: usize, multiple: usize, longest: usize) -> Result<LshBuckets> {
    match fields.get("num_buckets") {
        None | Some(serde_json::Value::Null) => {
            let largest_factor = 2 * (longest / chunk).isqrt().max(chunk);
            Ok(LshBuckets::OfLength { chunk, multiple, largest_factor })
        }
        Some(serde_json::Value::Array(_)) => {
            let [a, b] = numbers(fields, "num_buckets")?;
            if a % 2 + b % 2 > 0 || a * b > MOST {
                return Err(fields.refuse("num_buckets", format!("even factors of at most {MOST} together")));
            }
            Ok(LshBuckets::Given(vec![a, b]))
        }
        Some(_) => {
            let count = fields.usize("num_buckets", 2..=MOST)?;
            if !count.is_multiple_of(2) {
                return Err(fields.refuse("num_buckets", "an even number"));
            }
            Ok(LshBuckets::Given(vec![count]))
        }
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = Config::read(declaring.fields)?;
    if declaring.fields.bool_or("tie_word_embeddings", false)? {
        return Err(declaring.fields.refuse("tie_word_embeddings", "false"));
    }
    let network = Reformer::declare(&config, &mut declaring.base("reformer"))?;
    let head = match declaring.task {
        Task::Embed | Task::Hidden => None,
        Task::Logits => {
            let vocab_size = config.facts.vocab_size;
            let mut root = declaring.root();
            let mut scope = root.at("lm_head");
            let weight = scope.weight("decoder.weight", [vocab_size, config.facts.width])?;
            let bias = scope.weight_or(&["bias", "decoder.bias"], [vocab_size])?;
            scope.tied("decoder.bias", &bias)?;
            let decoder = Linear::of(weight, Some(bias));
            Some(HeadResult::new("logits", Rows::Wanted).dense(decoder, Activation::Identity))
        }
        _ => return Err(declaring.no_head("reformer")),
    };
    declaring.pass_over_heads("reformer");
    Ok(Declared { network: Arc::new(network), head: head.map(|result| Head::of([result])) })
}

impl Reformer {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { vocab_size, max_tokens, .. } = config.facts;
        let mut embeddings = base.at("embeddings");
        let words = Embedding::declare(&mut embeddings.at("word_embeddings"), vocab_size, config.width)?;
        let mut scope = embeddings.at("position_embeddings");
        let positions = match config.axial {
            Some([shape, widths]) => Positions::Axial(AxialPositions::declare(&mut scope, shape, widths)?),
            None => {
                Positions::Table(Embedding::declare(&mut scope.at("embedding"), max_tokens, config.width)?)
            }
        };
        let mut hashing = 0;
        let mut layers = Vec::new();
        for (index, kind) in config.kinds.iter().enumerate() {
            let mut scope = base.at(format_args!("encoder.layers.{index}"));
            layers.push(Layer::declare(config, *kind, hashing, &mut scope)?);
            hashing += usize::from(*kind == Kind::Lsh);
        }
        let norm = LayerNorm::declare(&mut base.at("encoder.layer_norm"), config.facts.width, config.eps)?;
        let (piece, is_causal) = (config.piece, config.is_causal);
        Ok(Self { facts: config.facts, words, positions, layers, norm, piece, is_causal })
    }

    /// `[batch, time, width]` of one stream: the two begin alike.
    fn embedded(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let dtype = recorder.dtype();
        let embedded = match &self.positions {
            Positions::Table(table) => Embedding::record_sum(
                recorder,
                &[(&self.words, tokens.ids), (table, tokens.positions)],
                dtype,
            )?,
            Positions::Axial(axial) => {
                let words = Embedding::record_sum(recorder, &[(&self.words, tokens.ids)], dtype)?;
                let positions = axial.record(recorder, tokens.positions, dtype)?;
                ops::add(recorder, words, positions)?
            }
        };
        recorder.dropout(embedded)
    }
}

impl Layer {
    fn declare(config: &Config, kind: Kind, number: usize, scope: &mut Scope<'_>) -> Result<Self> {
        let (width, eps) = (config.width, config.eps);
        let mut attention = scope.at("attention");
        let mixing = LayerNorm::declare(&mut attention.at("layer_norm"), width, eps).map(Residual::before)?;
        let mixer: Arc<dyn Mixer> = match kind {
            Kind::Lsh => {
                let names = ["self_attention.query_key", "self_attention.value", "output.dense"];
                Arc::new(LshAttention::declare(&mut attention, names, width, config.lsh_settings(number))?)
            }
            Kind::Local => {
                let names =
                    ["self_attention.query", "self_attention.key", "self_attention.value", "output.dense"];
                let widths = [width, config.facts.heads * config.head_size];
                let layer =
                    SelfAttention::declare_without_bias(&mut attention, names, widths, config.facts.heads)?;
                Arc::new(layer.attending(config.local()))
            }
        };
        let mut feeding = scope.at("feed_forward");
        let norm = LayerNorm::declare(&mut feeding.at("layer_norm"), width, eps).map(Residual::before)?;
        let up = Linear::declare(&mut feeding.at("dense.dense"), width, config.inner)?;
        let down = Linear::declare(&mut feeding.at("output.dense"), config.inner, width)?;
        let feed_forward = FeedForward { up, gate: None, activation: config.activation, down };
        Ok(Self { mixing, mixer, feeding: norm, feed_forward })
    }

    /// `[y1, y2]` of `[x1, x2]`.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        streams: [Value; 2],
        layout: &Layout,
        piece: usize,
    ) -> Result<[Value; 2]> {
        recorder.reversible(
            streams,
            |recorder, x| {
                self.mixing.branch(recorder, x, |recorder, x| self.mixer.record(recorder, x, None, layout))
            },
            |recorder, x| self.feeding.branch(recorder, x, |recorder, x| self.feed(recorder, x, piece)),
        )
    }

    /// The feed-forward network, `piece` positions at a time: what lies between its two layers is then that of a piece.
    fn feed(&self, recorder: &mut Recorder<'_>, x: Value, piece: usize) -> Result<Value> {
        let time = recorder.desc(x)?.shape.dims().get(1).copied().unwrap_or(0);
        if piece == 0 || piece >= time {
            return self.feed_forward.record(recorder, x);
        }
        let mut pieces = Vec::new();
        for first in (0..time).step_by(piece) {
            let own = ops::slice(recorder, x, 1, first..time.min(first + piece))?;
            pieces.push(self.feed_forward.record(recorder, own)?);
        }
        ops::concat(recorder, &pieces, 1)
    }
}

impl Network for Reformer {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        Signature::of_one_length(&[Input::Ids, Input::Positions], self.is_causal)
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let embedded = self.embedded(recorder, tokens)?;
        let mut streams = [embedded; 2];
        recorder.keep(embedded);
        for layer in &self.layers {
            streams = layer.record(recorder, streams, &tokens.layout, self.piece)?;
            recorder.keep(streams[1]);
        }
        let joined = ops::concat(recorder, &streams, 2)?;
        let x = self.norm.record(recorder, joined, None)?;
        recorder.dropout(x)
    }
}
