//! Nyströmformer (Xiong et al., arXiv 2102.03902): BERT whose tokens see each other through landmarks.
//!
//! Names, order of operations and conventions as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/nystromformer/modeling_nystromformer.py>: landmarks
//! are means over padding, too, so that what a text gives depends on its padding, and the iteration for the inverse starts from one number
//! for the whole batch. That code takes `segment_means_seq_len` tokens and no other number; so does [`Encoder`](super::Encoder), which fills each
//! text up with the padding id and runs it by itself. Batches of another length ([`Tokens`](super::Tokens)) have as many landmarks.

use std::sync::Arc;

use super::bert::{LAYER, WORDS};
use super::network::{Declared, Declaring};
use super::text_encoder::{Classifier, Defaults, TextConfig, TextEncoder, TextHeads};
use super::{Facts, PaddedTo, Signature};
use crate::Result;
use crate::nn::{Block, NystromAttention};
use crate::ops::Activation;
use crate::ops::attention::{InverseStart, Nystrom, PaddedLandmarks, Segments};
use crate::weights::{Fields, Scope};

const NAME: &str = "nystromformer";

/// What `config.json` says of landmarks, checked.
struct Landmarks {
    settings: Nystrom,
    /// Of the convolution of values, where there is one.
    kernel: Option<usize>,
    padded_to: PaddedTo,
}

impl Landmarks {
    fn read(fields: &Fields, config: &TextConfig) -> Result<Self> {
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
        // Null is no convolution, an absent field one of 65 taps.
        let is_null =
            !fields.has("conv_kernel_size") && fields.names().any(|name| name == "conv_kernel_size");
        let kernel = match is_null {
            true => None,
            false => Some(fields.usize_or("conv_kernel_size", 1..=1 << 12, 65)?),
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
    let fields = declaring.fields;
    let defaults = Defaults { eps: 1e-5, activation: Activation::GeluTanh, ..Defaults::BERT };
    let mut config = TextConfig::read(fields, NAME, defaults)?.without_distances(fields)?;
    // Positions are counted from 2 on, and the table has so many rows more than the configuration says.
    config.embeddings.positions = Some(config.facts.max_tokens + 2);
    config.facts.first_position = 2;
    let landmarks = Landmarks::read(fields, &config)?;
    config.facts.max_tokens = landmarks.padded_to.tokens;
    let mut network = TextEncoder::declare(&config, &mut declaring.base(NAME), |base, index| {
        layer(&config, &landmarks, &mut base.at(format_args!("encoder.layer.{index}")))
    })?;
    network.signature = Signature::filled_up(network.embeddings.inputs(), landmarks.padded_to);
    let activation = config.layer.activation;
    let heads =
        TextHeads { config: &config, words: WORDS, activation, classifier: Classifier::Dense(activation) };
    let head = heads.declare(declaring, &network.embeddings.words)?;
    declaring.pass_over_heads(NAME);
    Ok(Declared { network: Arc::new(network), head })
}

fn layer(config: &TextConfig, landmarks: &Landmarks, scope: &mut Scope<'_>) -> Result<Block> {
    let mut layer = Block::declare(scope, &LAYER, &config.layer)?;
    let mut attend = NystromAttention::new(landmarks.settings);
    if let Some(kernel) = landmarks.kernel {
        let shape = [config.facts.heads, 1, kernel, 1];
        attend = attend.convolution(scope.at("attention.self.conv").weight("weight", shape)?);
    }
    layer.mixer = layer.mixer.attending(attend);
    Ok(layer)
}
