//! What a Wav2Vec2-Conformer's configuration says.

use super::NAME;
use crate::Result;
use crate::models::conformer_layer::{ConformerLayer, EPS, Positions};
use crate::models::network::{MOST_LAYERS, activation, head_count};
use crate::models::sound::MOST_FRAMES;
use crate::models::{Facts, SoundForm, SoundFrames};
use crate::ops::Activation;
use crate::weights::Fields;

/// Samples a second that published models were trained with.
const RATE: usize = 16_000;

/// What `config.json` says.
pub(super) struct Config {
    pub(super) facts: Facts,
    pub(super) frames: SoundFrames,
    /// Channels, kernel and stride of each convolution of the wave.
    pub(super) convolutions: Vec<[usize; 3]>,
    pub(super) has_bias: bool,
    pub(super) norms: WaveNorms,
    pub(super) wave_activation: Activation,
    pub(super) positions: Positions,
    pub(super) activation: Activation,
    pub(super) intermediate: usize,
    pub(super) kernel: usize,
    pub(super) eps: f32,
}

/// What is normalised between the convolutions of a wave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WaveNorms {
    /// The first one's channels over time.
    Group,
    /// Every one's frames over their channels.
    Layer,
}

impl Config {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        for field in ["add_adapter", "use_weighted_layer_sum"] {
            if fields.bool_or(field, false)? {
                return Err(fields.refuse(field, "false"));
            }
        }
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let heads = head_count(fields, "num_attention_heads", width)?;
        let facts = Facts {
            architecture: NAME,
            vocab_size: fields.usize_or("vocab_size", 1..=1 << 24, 32)?,
            width,
            layers: fields.usize("num_hidden_layers", 1..=MOST_LAYERS)?,
            heads,
            types: 1,
            first_position: 0,
            max_tokens: MOST_FRAMES,
        };
        let kernel = fields.usize_or("conv_depthwise_kernel_size", 1..=1 << 12, 31)?;
        if kernel.is_multiple_of(2) {
            return Err(fields.refuse("conv_depthwise_kernel_size", "an odd number"));
        }
        let convolutions = convolutions(fields)?;
        let taps = convolutions.iter().map(|[_, kernel, stride]| [*kernel, *stride]);
        let frames = SoundFrames::of_convolutions(SoundForm::Samples, RATE, taps);
        let norms = [("group", WaveNorms::Group), ("layer", WaveNorms::Layer)];
        Ok(Self {
            facts,
            frames: frames.ok_or_else(|| fields.refuse("conv_stride", "frames of at most 2^24 samples"))?,
            convolutions,
            has_bias: fields.bool_or("conv_bias", false)?,
            norms: fields.choice_or("feat_extract_norm", &norms, WaveNorms::Group)?,
            wave_activation: activation(fields, "feat_extract_activation", Activation::Gelu)?,
            positions: positions(fields, width / heads)?,
            activation: activation(fields, "hidden_act", Activation::Gelu)?,
            intermediate: fields.usize("intermediate_size", 1..=1 << 20)?,
            kernel,
            eps: fields.f32_or("layer_norm_eps", f32::MIN_POSITIVE..=1.0, EPS)?,
        })
    }

    /// A layer of the encoder.
    pub(super) fn layer(&self) -> ConformerLayer {
        ConformerLayer {
            width: self.facts.width,
            heads: self.facts.heads,
            intermediate: self.intermediate,
            kernel: self.kernel,
            activation: self.activation,
            positions: self.positions,
            left_context: None,
        }
    }
}

/// Channels, kernel and stride of each convolution of the wave.
fn convolutions(fields: &Fields) -> Result<Vec<[usize; 3]>> {
    let count = fields.usize_or("num_feat_extract_layers", 1..=64, 7)?;
    let read = |field: &str, most: usize, default: [usize; 7]| {
        let numbers = if fields.has(field) { fields.numbers(field, 1..=most)? } else { default.to_vec() };
        if numbers.len() == count {
            return Ok(numbers);
        }
        Err(fields.refuse(field, format!("{count} numbers, as num_feat_extract_layers says")))
    };
    let channels = read("conv_dim", 1 << 16, [512; 7])?;
    let kernels = read("conv_kernel", 1 << 12, [10, 3, 3, 3, 3, 2, 2])?;
    let strides = read("conv_stride", 1 << 12, [5, 2, 2, 2, 2, 2, 2])?;
    Ok((0..count).map(|at| [channels[at], kernels[at], strides[at]]).collect())
}

/// How attention over heads of `size` channels knows positions. A field that is null means not at all, one that is absent relative positions.
fn positions(fields: &Fields, size: usize) -> Result<Positions> {
    let field = "position_embeddings_type";
    if !fields.has(field) && fields.names().any(|name| name == field) {
        return Ok(Positions::None);
    }
    match fields.text_or(field, "relative")? {
        "relative" => Ok(Positions::Relative),
        "rotary" if size.is_multiple_of(2) => {
            let base = fields.f32_or("rotary_embedding_base", 1.0..=1e12, 10_000.0)?;
            Ok(Positions::Rotary { base: base.into() })
        }
        "rotary" => Err(fields.refuse("num_attention_heads", "heads of an even number of channels")),
        _ => Err(fields.refuse(field, "relative, rotary or null")),
    }
}
