//! Longformer (Beltagy et al., arXiv 2004.05150): RoBERTa whose tokens see a window of their layer's width, and global tokens.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/longformer/modeling_longformer.py>. Which tokens
//! are global is the task's: its default is the head's, and callers may name others.

use std::sync::Arc;

use super::bert::{LAYER, roberta_heads};
use super::head::Globals;
use super::network::{Declared, Declaring, Network};
use super::text_encoder::{Defaults, Embeddings, TextConfig};
use super::{Facts, Input, Signature, Task, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Block, LongformerAttention, Recorder};
use crate::weights::{Fields, Scope};

#[derive(Debug)]
struct Longformer {
    facts: Facts,
    embeddings: Embeddings,
    layers: Vec<Block<LongformerAttention>>,
}

/// Keys that a query of each layer sees on either side: half of `attention_window`, which is a number for all layers or one for each.
fn half_widths(fields: &Fields, layers: usize) -> Result<Vec<u32>> {
    let name = "attention_window";
    let refused = || fields.refuse(name, format!("a positive even number, or {layers} of them, one a layer"));
    let half = |window: &serde_json::Value| {
        let window = window.as_u64().filter(|&window| window > 0 && window.is_multiple_of(2));
        window.and_then(|window| u32::try_from(window / 2).ok()).ok_or_else(refused)
    };
    match fields.get(name) {
        // What Hugging Face's configuration has where nothing is said.
        None => Ok(vec![256; layers]),
        Some(serde_json::Value::Array(windows)) if windows.len() == layers => {
            windows.iter().map(half).collect()
        }
        Some(window) => Ok(vec![half(window)?; layers]),
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let fields = declaring.fields;
    let config = TextConfig::read(fields, "longformer", Defaults::BERT)?;
    let config = config.without_distances(fields)?.behind_padding(fields)?;
    let half_widths = half_widths(fields, config.facts.layers)?;
    let network = Longformer::declare(&config, &half_widths, &mut declaring.base("longformer"))?;
    let globals = match declaring.task {
        Task::Classify => Globals::First,
        Task::Answer => {
            // Ids are below 2^24, as the vocabulary is.
            Globals::Before(fields.usize_or("sep_token_id", 0..=(1 << 24) - 1, 2)? as u32)
        }
        _ => Globals::None,
    };
    let head = roberta_heads(&config).declare(declaring, &network.embeddings.words)?;
    let head = head.map(|head| head.with_globals(globals));
    declaring.pass_over_heads("longformer");
    Ok(Declared { network: Arc::new(network), head })
}

impl Longformer {
    fn declare(config: &TextConfig, half_widths: &[u32], base: &mut Scope<'_>) -> Result<Self> {
        let Facts { width, heads, .. } = config.facts;
        let embeddings = Embeddings::declare(&mut base.at("embeddings"), &config.embeddings)?;
        let layer = |(index, &half_width): (usize, &u32)| {
            let mut scope = base.at(format_args!("encoder.layer.{index}"));
            let attention =
                LongformerAttention::declare(&mut scope.at("attention"), width, heads, half_width)?;
            Block::declare_around(attention, &mut scope, &LAYER, &config.layer)
        };
        let layers = half_widths.iter().enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Self { facts: config.facts, embeddings, layers })
    }
}

impl Network for Longformer {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        Signature::encoder(&[Input::Ids, Input::Positions, Input::Types, Input::Globals])
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let embedded = self.embeddings.record(recorder, tokens)?;
        recorder.layers(self.layers.len(), embedded, |recorder, layer, x| {
            let layer = &self.layers[layer];
            layer.record_around(recorder, x, |recorder, x| {
                layer.mixer.record(recorder, x, tokens.globals, &tokens.layout)
            })
        })
    }
}
