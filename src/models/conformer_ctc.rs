//! A Conformer for CTC, to be trained from scratch to transcribe speech (Gulati et al., arXiv 2005.08100): log-mel features, two convolutions that
//! keep every fourth frame of a hundredth of a second, layers, and scores of symbols.
//!
//! A causal one sees a few frames before each and none behind, in attention and in convolutions: it can read a stream in pieces
//! ([`SoundStream`](super::SoundStream)).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::conformer_layer::{ConformerLayer, Positions};
use super::head::{Head, HeadResult, Rows};
use super::network::{Declared, Declaring, MOST_LAYERS, Network, head_count};
use super::sound::{MOST_FRAMES, refuse_tokens};
use super::{Facts, Model, Signature, Sound, SoundForm, SoundFrames, Task, Tokens};
use crate::graph::{Graph, Value};
use crate::nn::{ConformerBlock, Linear, Recorder, parameter};
use crate::ops::{self, Activation, Conv2d};
use crate::tensor::HostTensor;
use crate::weights::fresh::Fresh;
use crate::weights::{Declaration, Declarations, Fields, Scope, Weight};
use crate::{Random, Result};

const NAME: &str = "conformer-ctc";

/// Taps and stride of each of the two convolutions, along time and frequency.
const SUBSAMPLING: [[usize; 2]; 2] = [[3, 2]; 2];

/// The extents of a Conformer, as its `config.json` has them beside `"model_type": "conformer-ctc"`. Later versions may add fields: end with
/// `..ConformerConfig::default()`, which is the Conformer-S of the paper with scores of 128 symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConformerConfig {
    /// Symbols that are scored; number 0 is the blank.
    pub vocab_size: usize,
    /// Channels of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads of a layer.
    pub num_attention_heads: usize,
    /// Channels between the dense layers of a feed-forward network.
    pub intermediate_size: usize,
    /// Taps of a layer's convolution, an odd number.
    pub conv_depthwise_kernel_size: usize,
    /// Channels of the convolutions that take every fourth frame.
    pub subsampling_channels: usize,
    /// Log-mel features of a frame.
    pub num_mel_bins: usize,
    /// Samples a second of the sound.
    pub sampling_rate: usize,
    /// Of a causal one, how many frames before its own each sees.
    pub left_context: Option<usize>,
}

impl Default for ConformerConfig {
    fn default() -> Self {
        Self {
            vocab_size: 128,
            hidden_size: 144,
            num_hidden_layers: 16,
            num_attention_heads: 4,
            intermediate_size: 576,
            conv_depthwise_kernel_size: 31,
            subsampling_channels: 144,
            num_mel_bins: 80,
            sampling_rate: 16_000,
            left_context: None,
        }
    }
}

impl ConformerConfig {
    fn read(fields: &Fields) -> Result<Self> {
        let width = fields.usize("hidden_size", 1..=1 << 16)?;
        let kernel = fields.usize_or("conv_depthwise_kernel_size", 1..=1 << 12, 31)?;
        if kernel.is_multiple_of(2) {
            return Err(fields.refuse("conv_depthwise_kernel_size", "an odd number"));
        }
        let left = "left_context";
        let left_context = fields.has(left).then(|| fields.usize(left, 0..=MOST_FRAMES)).transpose()?;
        Ok(Self {
            vocab_size: fields.usize("vocab_size", 1..=1 << 24)?,
            hidden_size: width,
            num_hidden_layers: fields.usize("num_hidden_layers", 1..=MOST_LAYERS)?,
            num_attention_heads: head_count(fields, "num_attention_heads", width)?,
            intermediate_size: fields.usize("intermediate_size", 1..=1 << 20)?,
            conv_depthwise_kernel_size: kernel,
            subsampling_channels: fields.usize_or("subsampling_channels", 1..=1 << 16, width)?,
            // Fewer leave nothing of the second convolution.
            num_mel_bins: fields.usize_or("num_mel_bins", 7..=1 << 12, 80)?,
            sampling_rate: fields.usize_or("sampling_rate", 1_000..=384_000, 16_000)?,
            left_context,
        })
    }

    fn frames(&self) -> Option<SoundFrames> {
        let form = SoundForm::LogMel { bins: self.num_mel_bins };
        let frames = SoundFrames::of_convolutions(form, self.sampling_rate, SUBSAMPLING.into_iter())?;
        Some(SoundFrames { ignores_padding: true, ..frames })
    }

    fn facts(&self) -> Facts {
        Facts {
            architecture: NAME,
            vocab_size: self.vocab_size,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            types: 1,
            first_position: 0,
            max_tokens: MOST_FRAMES,
        }
    }

    fn layer(&self) -> ConformerLayer {
        ConformerLayer {
            width: self.hidden_size,
            heads: self.num_attention_heads,
            intermediate: self.intermediate_size,
            kernel: self.conv_depthwise_kernel_size,
            activation: Activation::Silu,
            positions: Positions::Relative,
            left_context: self.left_context,
        }
    }

    /// The fields of its `config.json`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut fields = serde_json::json!(self);
        fields["model_type"] = NAME.into();
        fields["architectures"] = serde_json::json!(["ConformerForCTC"]);
        fields["pad_token_id"] = 0.into();
        fields
    }

    /// The model, opened for [`Task::Transcribe`]. Fails when an extent is 0 or too large, the kernel is even, or the heads do not divide the width.
    pub fn model(&self) -> Result<Model> {
        Model::from_config(&Fields::new("config.json", self.to_json())?, Task::Transcribe)
    }

    /// Numbers to start training from, by name, for the `declarations` of [`ConformerConfig::model`]: normal, as wide as keeps the variance of what a
    /// layer reads, biases 0, the factors of normalisations and running variances 1.
    pub fn initial_weights<'d>(
        &self,
        declarations: &'d Declarations,
        seed: u64,
    ) -> impl Iterator<Item = Result<(String, HostTensor)>> + use<'d> {
        let mut random = Random::new(seed);
        declarations.list().iter().map(move |declaration| {
            let Declaration { name, shape, .. } = declaration;
            let fresh = if name.ends_with("running_var") {
                Fresh::Same(1.0)
            } else if name.ends_with("running_mean") || name.contains("pos_bias") {
                Fresh::Same(0.0)
            } else {
                Fresh::by_name(declaration).unwrap_or_else(|| Fresh::keeping_variance(shape))
            };
            Ok((name.clone(), fresh.tensor(shape, &mut random)?))
        })
    }
}

#[derive(Debug)]
struct Conformer {
    facts: Facts,
    frames: SoundFrames,
    subsampling: [PlaneConv; 2],
    projection: Linear,
    layers: Vec<ConformerBlock>,
}

/// A convolution along time and frequency, with a ReLU behind it.
#[derive(Debug)]
struct PlaneConv {
    weight: Weight,
    bias: Weight,
    stride: usize,
}

impl PlaneConv {
    fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let dtype = graph.desc(x)?.dtype;
        let (weight, bias) = (parameter(graph, &self.weight, dtype)?, parameter(graph, &self.bias, dtype)?);
        let spec = Conv2d::new().stride([self.stride; 2]).bias(bias).activation(Activation::Relu);
        ops::conv2d(graph, x, weight, &spec)
    }
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = ConformerConfig::read(declaring.fields)?;
    let refused = || declaring.fields.refuse("num_mel_bins", "features that two convolutions take");
    let frames = config.frames().ok_or_else(refused)?;
    let network = Conformer::declare(&config, frames, &mut declaring.root())?;
    let head = match declaring.task {
        Task::Transcribe => {
            let channels = [config.hidden_size, config.vocab_size];
            let scores = HeadResult::new("logits", Rows::Wanted);
            let mut scope = declaring.root().into_at("lm_head");
            Some(Head::of([scores.declare_dense(&mut scope, channels, Activation::Identity)?]))
        }
        _ => None,
    };
    declaring.root().ignore("lm_head");
    Ok(Declared { network: Arc::new(network), head })
}

impl Conformer {
    fn declare(config: &ConformerConfig, frames: SoundFrames, root: &mut Scope<'_>) -> Result<Self> {
        let out = config.subsampling_channels;
        let mut subsample = |index: usize, inner| -> Result<PlaneConv> {
            let [kernel, stride] = SUBSAMPLING[index];
            let mut scope = root.at(format_args!("subsampling.{index}"));
            let weight = scope.weight("weight", [out, inner, kernel, kernel])?;
            Ok(PlaneConv { weight, bias: scope.weight("bias", [out])?, stride })
        };
        let subsampling = [subsample(0, 1)?, subsample(1, out)?];
        let bins =
            SUBSAMPLING.iter().fold(config.num_mel_bins, |bins, [taps, step]| (bins - taps) / step + 1);
        let projection = Linear::declare(&mut root.at("projection"), out * bins, config.hidden_size)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| config.layer().declare(&mut root.at(format_args!("layers.{index}"))))
            .collect::<Result<_>>()?;
        Ok(Self { facts: config.facts(), frames, subsampling, projection, layers })
    }
}

impl Network for Conformer {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        match self.layers.first() {
            Some(layer) if layer.attention.left_context.is_some() => Signature::streamed_sound(self.frames),
            _ => Signature::sound(self.frames),
        }
    }

    fn record(&self, _: &mut Recorder<'_>, _: &Tokens) -> Result<Value> {
        Err(refuse_tokens(NAME))
    }

    fn record_sound(&self, recorder: &mut Recorder<'_>, sound: &Sound) -> Result<Value> {
        let dtype = recorder.dtype();
        let x = ops::converted(recorder, sound.values, dtype)?;
        let [batch, steps, bins] = [0, 1, 2].map(|axis| recorder.desc(x).map(|desc| desc.shape.dims()[axis]));
        let mut x = ops::reshape(recorder, x, [batch?, steps?, bins?, 1])?;
        for convolution in &self.subsampling {
            x = convolution.record(recorder, x)?;
        }
        let dims = recorder.desc(x)?.shape.dims().to_vec();
        let x = ops::reshape(recorder, x, [dims[0], dims[1], dims[2] * dims[3]])?;
        let x = self.projection.record(recorder, x, Activation::Identity)?;
        let x = recorder.dropout(x)?;
        let distances = match self.layers.first() {
            Some(layer) => layer.attention.distances(recorder, dims[1], self.facts.width, &sound.layout)?,
            None => None,
        };
        let distances = distances.map(|distances| ops::converted(recorder, distances, dtype)).transpose()?;
        recorder.layers(self.layers.len(), x, |recorder, number, x| {
            let layer = &self.layers[number];
            layer.record_around(recorder, x, &sound.layout, |recorder, x| {
                layer.attention.record_with(recorder, x, distances, &sound.layout)
            })
        })
    }
}
