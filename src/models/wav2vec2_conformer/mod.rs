//! Wav2Vec2-Conformer (Wang et al., "fairseq S2T", arXiv 2010.05171, with the encoder of Baevski et al., arXiv 2006.11477): convolutions make
//! frames of a wave, and a Conformer mixes them.
//!
//! Names and order of operations as in
//! <https://github.com/huggingface/transformers/blob/v4.35.2/src/transformers/models/wav2vec2_conformer/modeling_wav2vec2_conformer.py>. There
//! the convolutions of a batch read what the frames of padding hold, which changes the frames before it; so do these, and
//! `SoundEncoder` pads nothing.

mod config;

use std::sync::Arc;

use super::conformer_layer::EPS;
use super::head::{Head, HeadResult, Rows};
use super::network::{Declared, Declaring, Network};
use super::sound::refuse_tokens;
use super::{Facts, Signature, Sound, SoundFrames, Task, Tokens};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{ConformerBlock, GroupNorm, LayerNorm, Layout, Linear, Recorder, parameter};
use crate::ops::{self, Activation, Conv1d};
use crate::weights::{Scope, Weight};
use config::{Config, WaveNorms};

const NAME: &str = "wav2vec2-conformer";
const PREFIX: &str = "wav2vec2_conformer";

#[derive(Debug)]
struct Wav2Vec2Conformer {
    facts: Facts,
    frames: SoundFrames,
    convolutions: Vec<WaveConv>,
    feature_norm: LayerNorm,
    projection: Linear,
    layers: Vec<ConformerBlock>,
    norm: LayerNorm,
}

/// A convolution of the wave, what normalises it and an activation.
#[derive(Debug)]
struct WaveConv {
    weight: Weight,
    bias: Option<Weight>,
    stride: usize,
    norm: Option<WaveNorm>,
    activation: Activation,
}

#[derive(Debug)]
enum WaveNorm {
    Group(GroupNorm),
    Layer(LayerNorm),
}

pub(super) fn declare(declaring: &mut Declaring<'_>) -> Result<Declared> {
    let config = Config::read(declaring.fields)?;
    let network = Wav2Vec2Conformer::declare(&config, &mut declaring.base(PREFIX))?;
    let head = match declaring.task {
        Task::Transcribe => {
            let Facts { width, vocab_size, .. } = config.facts;
            let scores = HeadResult::new("logits", Rows::Wanted);
            let mut scope = declaring.root().into_at("lm_head");
            Some(Head::of([scores.declare_dense(&mut scope, [width, vocab_size], Activation::Identity)?]))
        }
        _ => None,
    };
    declaring.pass_over_heads(PREFIX);
    let mut base = declaring.base(PREFIX);
    ["masked_spec_embed", "encoder.pos_conv_embed", "encoder.embed_positions"]
        .iter()
        .for_each(|unused| base.ignore(unused));
    let mut root = declaring.root();
    // What the network was trained with before it learnt to transcribe.
    ["quantizer", "project_q", "project_hid"].iter().for_each(|unused| root.ignore(unused));
    Ok(Declared { network: Arc::new(network), head })
}

impl Wav2Vec2Conformer {
    fn declare(config: &Config, base: &mut Scope<'_>) -> Result<Self> {
        let Facts { width, layers, .. } = config.facts;
        let mut inner = 1;
        let mut convolutions = Vec::with_capacity(config.convolutions.len());
        for (index, &[out, kernel, stride]) in config.convolutions.iter().enumerate() {
            let mut scope = base.at(format_args!("feature_extractor.conv_layers.{index}"));
            convolutions.push(WaveConv::declare(
                &mut scope,
                config,
                [inner, out, kernel, stride],
                index == 0,
            )?);
            inner = out;
        }
        let mut projection = base.at("feature_projection");
        let feature_norm = LayerNorm::declare(&mut projection.at("layer_norm"), inner, config.eps)?;
        let projection = Linear::declare(&mut projection.at("projection"), inner, width)?;
        let mut encoder = base.at("encoder");
        let layers = (0..layers)
            .map(|index| config.layer().declare(&mut encoder.at(format_args!("layers.{index}"))))
            .collect::<Result<_>>()?;
        let norm = LayerNorm::declare(&mut encoder.at("layer_norm"), width, config.eps)?;
        let Config { facts, frames, .. } = *config;
        Ok(Self { facts, frames, convolutions, feature_norm, projection, layers, norm })
    }
}

impl WaveConv {
    fn declare(
        scope: &mut Scope<'_>,
        config: &Config,
        [inner, out, kernel, stride]: [usize; 4],
        is_first: bool,
    ) -> Result<Self> {
        let norm = match config.norms {
            WaveNorms::Group if is_first => {
                Some(WaveNorm::Group(GroupNorm::declare(&mut scope.at("layer_norm"), out, out, EPS)?))
            }
            WaveNorms::Group => None,
            WaveNorms::Layer => {
                Some(WaveNorm::Layer(LayerNorm::declare(&mut scope.at("layer_norm"), out, EPS)?))
            }
        };
        let mut conv = scope.at("conv");
        let bias = config.has_bias.then(|| conv.weight("bias", [out])).transpose()?;
        let weight = conv.weight("weight", [out, inner, kernel])?;
        Ok(Self { weight, bias, stride, norm, activation: config.wave_activation })
    }

    fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let dtype = graph.desc(x)?.dtype;
        let weight = parameter(graph, &self.weight, dtype)?;
        let mut spec = Conv1d::new().stride(self.stride);
        if let Some(bias) = &self.bias {
            spec = spec.bias(parameter(graph, bias, dtype)?);
        }
        let Some(norm) = &self.norm else {
            return ops::conv1d(graph, x, weight, &spec.activation(self.activation));
        };
        let y = ops::conv1d(graph, x, weight, &spec)?;
        let y = match norm {
            WaveNorm::Group(norm) => norm.record(graph, y)?,
            WaveNorm::Layer(norm) => norm.record(graph, y, None)?,
        };
        ops::activate(graph, y, self.activation)
    }
}

impl Network for Wav2Vec2Conformer {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        Signature::sound(self.frames)
    }

    fn record(&self, _: &mut Recorder<'_>, _: &Tokens) -> Result<Value> {
        Err(refuse_tokens(NAME))
    }

    fn record_sound(&self, recorder: &mut Recorder<'_>, sound: &Sound) -> Result<Value> {
        let dtype = recorder.dtype();
        let mut x = ops::converted(recorder, sound.values, dtype)?;
        for convolution in &self.convolutions {
            x = convolution.record(recorder, x)?;
        }
        let x = self.feature_norm.record(recorder, x, None)?;
        recorder.keep_as("extract_features", x);
        let x = self.projection.record(recorder, x, Activation::Identity)?;
        let x = sound.layout.without_padding(NAME, recorder, x)?;
        let time = recorder.desc(x)?.shape.dims()[1];
        let distances = match self.layers.first() {
            Some(layer) => layer.attention.distances(recorder, time, self.facts.width, &sound.layout)?,
            None => None,
        };
        let distances = distances.map(|distances| ops::converted(recorder, distances, dtype)).transpose()?;
        let x = recorder.layers(self.layers.len(), x, |recorder, number, x| {
            let layer = &self.layers[number];
            // Convolutions read padding as the reference implementation has them do.
            layer.record_around(recorder, x, &Layout::Rows, |recorder, x| {
                layer.attention.record_with(recorder, x, distances, &sound.layout)
            })
        })?;
        let x = self.norm.record(recorder, x, None)?;
        recorder.replace_last(x);
        Ok(x)
    }
}
