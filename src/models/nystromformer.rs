//! Nyströmformer (Xiong et al., arXiv 2102.03902): BERT whose tokens see each other through landmarks.
//!
//! Names, order of operations and conventions as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/nystromformer/modeling_nystromformer.py>: landmarks
//! are means over padding, too, so that what a text gives depends on its padding, and the iteration for the inverse starts from one number
//! for the whole batch. That code takes `segment_means_seq_len` tokens and no other number; so does [`Encoder`](super::Encoder), which fills each
//! text up with the padding id and runs it by itself. Batches of another length ([`Tokens`](super::Tokens)) have as many landmarks.

use std::sync::Arc;

use super::bert::{Config, LAYER, Variant, head};
use super::embeddings::Embeddings;
use super::network::{Declared, Declaring, Network};
use super::{Facts, PaddedTo, Signature, Tokens};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Block, NystromAttention, Recorder};
use crate::ops::attention::{InverseStart, Nystrom, PaddedLandmarks, Segments};
use crate::weights::{Fields, Scope};

#[derive(Debug)]
struct Nystromformer {
    facts: Facts,
    embeddings: Embeddings,
    layers: Vec<Block>,
    padded_to: PaddedTo,
}

/// What `config.json` says of landmarks, checked.
struct Landmarks {
    settings: Nystrom,
    /// Of the convolution of values, where there is one.
    kernel: Option<usize>,
    padded_to: PaddedTo,
}

impl Landmarks {
    fn read(fields: &Fields, config: &Config) -> Result<Self> {
        let Facts { vocab_size, max_tokens, .. } = config.facts;
        let tokens = fields.usize_or("segment_means_seq_len", 1..=max_tokens, 64)?;
        let landmarks = fields.usize_or("num_landmarks", 1..=tokens, 64)?;
        if !tokens.is_multiple_of(landmarks) {
            return Err(fields.refuse("num_landmarks", format!("a divisor of the {tokens} tokens of a text")));
        }
        // Its one other value cannot be run in Hugging Face's code.
        if fields.bool_or("inv_coeff_init_option", false)? {
            return Err(fields.refuse("inv_coeff_init_option", "false"));
        }
        let kernel = match fields.get("conv_kernel_size") {
            Some(serde_json::Value::Null) => None,
            _ => Some(fields.usize_or("conv_kernel_size", 1..=1 << 12, 65)?),
        };
        if kernel.is_some_and(|kernel| kernel.is_multiple_of(2)) {
            return Err(fields.refuse("conv_kernel_size", "an odd number"));
        }
        let settings = Nystrom::new(landmarks)
            .segments(Segments::OfTime)
            .padded(PaddedLandmarks::Averaged)
            .start(InverseStart::OfBatch);
        // Ids are below 2^24, as the vocabulary is.
        let id = fields.usize_or("pad_token_id", 0..=vocab_size - 1, 1)? as u32;
        Ok(Self { settings, kernel, padded_to: PaddedTo { tokens, id } })
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let mut config = Config::read(declaring.fields, Variant::Nystromformer)?;
    let landmarks = Landmarks::read(declaring.fields, &config)?;
    config.facts.max_tokens = landmarks.padded_to.tokens;
    let network = Nystromformer::declare(&config, &landmarks, &mut declaring.base("nystromformer"))?;
    let head = head(declaring, &config, &network.embeddings.words)?;
    declaring.pass_over_heads("nystromformer");
    Ok(Declared { network: Arc::new(network), head })
}

impl Nystromformer {
    fn declare(config: &Config, landmarks: &Landmarks, base: &mut Scope<'_>) -> Result<Self> {
        let embeddings = config.embeddings(base)?;
        let layer = |index| {
            let mut scope = base.at(format_args!("encoder.layer.{index}"));
            let mut layer = Block::declare(&mut scope, &LAYER, &config.layer())?;
            let mut attend = NystromAttention::new(landmarks.settings);
            if let Some(kernel) = landmarks.kernel {
                let shape = [config.facts.heads, 1, kernel, 1];
                attend = attend.convolution(scope.at("attention.self.conv").weight("weight", shape)?);
            }
            layer.mixer = layer.mixer.attending(attend);
            Ok(layer)
        };
        let layers = (0..config.facts.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { facts: config.facts, embeddings, layers, padded_to: landmarks.padded_to })
    }
}

impl Network for Nystromformer {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        Signature::filled_up(self.embeddings.inputs(), self.padded_to)
    }

    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let embedded = self.embeddings.record(recorder, tokens)?;
        recorder.layers(self.layers.len(), embedded, |recorder, layer, x| {
            self.layers[layer].record(recorder, x, &tokens.layout, None)
        })
    }
}
