//! A causal language model of the GPT kind, normalised before each sum (Radford et al. 2019, section 2.3), with residual or reversible layers, to be
//! trained from scratch.
//!
//! ```text
//! x = token[ids] + position          residual:    x = x + f(x), x = x + g(x) in every layer
//! f = proj(attention(qkv(norm1)))    reversible:  x1 = x2 = x; x1 = x1 + f(x2), x2 = x2 + g(x1) in every layer; x = (x1 + x2) / 2
//! g = down(gelu(up(norm2)))          logits = norm(x) token^T
//! ```
//!
//! Another mechanism may take the place of softmax attention, or a gated linear layer or a Routing Transformer's that of attention and its
//! projections; and the model may predict masked tokens of a text that it sees all of.

mod mixing;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::head::{Head, HeadResult, Rows};
use super::network::{Declared, Network};
use super::{Facts, Input, Model, Signature, Task, Tokens};
use crate::graph::Value;
use crate::nn::{
    Block, Embedding, FeedForward, LayerNorm, Layout, LayoutKind, Linear, MechanismExtents, Mixer, Recorder,
    Residual,
};
use crate::ops::{self, Activation};
use crate::tensor::DType;
use crate::weights::fresh::Fresh;
use crate::weights::{Declarations, Scope};
use crate::{Error, ErrorKind, HostTensor, Random, Result};

use mixing::Mixed;
pub use mixing::{Decays, Gated, LocalAndRouted, Mixing, NearTaps};

const NAME: &str = "language model";

/// Added to variances.
const EPS: f32 = 1e-5;

/// Bounds that keep what a file only claims from being allocated; products of them fit 64 bits.
const MOST_EXTENT: usize = 1 << 20;
const MOST_LAYERS: usize = 1 << 12;
const MOST_WEIGHTS: usize = 1 << 34;

/// Standard deviation that weights start with (Radford et al. 2019); those that add to the stream start smaller with depth.
const INITIAL_DEVIATION: f32 = 0.02;

/// The extents of a causal language model. Later versions may add fields: end with `..LanguageModelConfig::default()`, which is the model of bytes
/// that `foveate train lm` trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageModelConfig {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Channels of a hidden state.
    pub width: usize,
    /// Attention heads of a layer; they share the width.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Channels between the two dense layers of `g`.
    pub feed_forward: usize,
    /// The longest sequence, in tokens.
    pub length: usize,
    /// Whether layers are reversible, so that training takes the memory of one.
    pub reversible: bool,
    /// What mixes tokens in the place of softmax attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<Mixing>,
    /// Whether a token sees all of its text, for models that predict masked tokens; if not, the model is causal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

impl Default for LanguageModelConfig {
    fn default() -> Self {
        Self {
            vocab_size: 256,
            width: 128,
            heads: 4,
            layers: 4,
            feed_forward: 512,
            length: 128,
            reversible: false,
            mixing: None,
            masked: false,
        }
    }
}

#[derive(Debug)]
struct LanguageModel {
    facts: Facts,
    token: Embedding,
    position: Embedding,
    layers: Vec<Block<Mixed>>,
    norm: LayerNorm,
    is_reversible: bool,
    signature: Signature,
}

impl LanguageModelConfig {
    /// The model, opened for [`Task::Logits`]. Its weights: `token`, `position`, `layer.N.{norm1,qkv,proj,norm2,up,down}`, `norm`; with a mechanism
    /// that has weights `layer.N.attend`, and with gates `layer.N.gated.{q,k,v,o,decay,beta}` in the place of `qkv` and `proj`, with long-short range
    /// attention `layer.N.far.{q,k,v,proj}` and `layer.N.near.{up,kernels,proj}`, with routing `layer.N.routed.{local_to_qkv,to_q,to_k,to_v,to_out,mem_k,mem_v,means}`.
    ///
    /// Fails when an extent is 0, the heads do not divide the width, or tokens would see others behind themselves.
    pub fn model(&self) -> Result<Model> {
        self.check()?;
        let mut declarations = Declarations::new();
        let mut root = declarations.root();
        let token = Embedding::declare(&mut root.at("token"), self.vocab_size, self.width)?;
        let position = Embedding::declare(&mut root.at("position"), self.length, self.width)?;
        let layers = (0..self.layers)
            .map(|layer| self.declare_layer(&mut root.at(format_args!("layer.{layer}"))))
            .collect::<Result<_>>()?;
        let norm = LayerNorm::declare(&mut root.at("norm"), self.width, EPS)?;
        // The checkpoint of a training holds it beside the weights.
        root.ignore("optimizer");
        let facts = Facts {
            architecture: NAME,
            vocab_size: self.vocab_size,
            width: self.width,
            layers: self.layers,
            heads: self.heads,
            types: 1,
            first_position: 0,
            max_tokens: self.length,
        };
        let decoder = Linear::of(token.weight().clone(), None);
        let logits = HeadResult::new("logits", Rows::Wanted).dense(decoder, Activation::Identity);
        let (is_reversible, signature) = (self.reversible, self.signature());
        let network = LanguageModel { facts, token, position, layers, norm, is_reversible, signature };
        let declared = Declared { network: Arc::new(network), head: Some(Head::of([logits])) };
        Ok(Model::of(declared, Task::Logits, declarations))
    }

    fn check(&self) -> Result<()> {
        let Self { vocab_size, width, heads, layers, feed_forward, length, .. } = *self;
        for (field, extent) in [
            ("vocab_size", vocab_size),
            ("width", width),
            ("heads", heads),
            ("layers", layers),
            ("feed_forward", feed_forward),
            ("length", length),
        ] {
            let most = if field == "layers" { MOST_LAYERS } else { MOST_EXTENT };
            if !(1..=most).contains(&extent) {
                return Err(Error::new(ErrorKind::Config, NAME, field)
                    .expecting(format!("1 to {most}"))
                    .but_found(extent));
            }
        }
        let weights = layers * (4 * width * width + 2 * width * feed_forward) + (vocab_size + length) * width;
        if weights > MOST_WEIGHTS {
            return Err(Error::new(ErrorKind::Config, NAME, "size")
                .expecting(format!("at most {MOST_WEIGHTS} weights"))
                .but_found(weights));
        }
        if !width.is_multiple_of(heads) {
            return Err(Error::new(ErrorKind::Config, NAME, "heads")
                .expecting(format!("a divisor of the width, {width}"))
                .but_found(heads));
        }
        Ok(())
    }

    /// Mechanisms other than softmax attention have no caches: texts are continued from states, where they have these, or not at all.
    fn signature(&self) -> Signature {
        const INPUTS: &[Input] = &[Input::Ids, Input::Positions];
        let own = if self.masked { Signature::encoder(INPUTS) } else { Signature::causal(INPUTS) };
        match &self.mixing {
            None => own,
            Some(mixing) if mixing.has_state() && !self.masked => {
                Signature { layouts: &[LayoutKind::Rows, LayoutKind::Stateful], ..own }
            }
            Some(_) => Signature { layouts: &[LayoutKind::Rows], ..own },
        }
    }

    fn extents(&self) -> MechanismExtents {
        MechanismExtents { time: self.length, heads: self.heads, size: self.width / self.heads }
    }

    fn declare_layer(&self, scope: &mut Scope<'_>) -> Result<Block<Mixed>> {
        let Self { width, feed_forward, .. } = *self;
        let mut norm = |name| LayerNorm::declare(&mut scope.at(name), width, EPS).map(Residual::before);
        let (mixing, feeding) = (norm("norm1")?, norm("norm2")?);
        let mixer = Mixed::declare(scope, self.mixing.as_ref(), !self.masked, width, self.extents())?;
        let extents = [width, feed_forward];
        let feed_forward = FeedForward::declare(scope, ["up", "down"], extents, Activation::Gelu)?;
        Ok(Block { mixer, mixing, cross: None, feed_forward, feeding })
    }

    /// Numbers to start training from, by name, for the `declarations` of [`LanguageModelConfig::model`]: normal with deviation 0.02,
    /// what adds to the stream smaller by the root of the number of such layers, biases 0 and the factors of normalisations 1; weights of a
    /// mechanism as [`Mechanism::untrained`](crate::nn::Mechanism::untrained) has them.
    pub fn initial_weights<'d>(
        &self,
        declarations: &'d Declarations,
        seed: u64,
    ) -> impl Iterator<Item = Result<(String, HostTensor)>> + use<'d> {
        let residual = INITIAL_DEVIATION / ((2 * self.layers) as f32).sqrt();
        let mut random = Random::new(seed);
        let of_mechanism =
            self.mixing.as_ref().map_or(Ok(Vec::new()), |mixing| mixing.initial(self.extents()));
        declarations.list().iter().map(move |declaration| {
            let name = &declaration.name;
            if let Some((_, own)) = name.split_once(".attend.") {
                let untrained = of_mechanism.as_ref().map_err(Clone::clone)?;
                if let Some((_, tensor)) = untrained.iter().find(|(other, _)| other == own) {
                    return Ok((name.clone(), tensor.clone()));
                }
            }
            let ends_with = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
            let other = if ends_with(&["proj.weight", "gated.o.weight", "to_out.weight", "down.weight"]) {
                Fresh::Normal(residual)
            } else if ends_with(&["routed.means"]) {
                // Directions of about the length of the tokens that they are compared with.
                Fresh::Normal((declaration.shape.dims().last().copied().unwrap_or(1) as f32).sqrt().recip())
            } else {
                Fresh::Normal(INITIAL_DEVIATION)
            };
            let fresh = Fresh::by_name(declaration).unwrap_or(other);
            if let Fresh::Same(_) = fresh {
                // They draw all the same, so that a seed's other weights do not depend on which these are.
                (0..declaration.shape.elements()).for_each(|_| _ = random.next_normal());
            }
            Ok((name.clone(), fresh.tensor(&declaration.shape, &mut random)?))
        })
    }
}

impl Network for LanguageModel {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn signature(&self) -> Signature {
        self.signature
    }

    /// Layers compute in the recorder's type; when training, the stream between them stays f32.
    fn record(&self, recorder: &mut Recorder<'_>, tokens: &Tokens) -> Result<Value> {
        let dtype = if recorder.is_training() { DType::F32 } else { recorder.dtype() };
        let tables = [(&self.token, tokens.ids), (&self.position, tokens.positions)];
        let x = Embedding::record_sum(recorder, &tables, dtype)?;
        let x = if self.is_reversible {
            self.record_reversible(recorder, x, &tokens.layout)?
        } else {
            recorder.layers(self.layers.len(), x, |recorder, layer, x| {
                self.layers[layer].record(recorder, x, &tokens.layout, None)
            })?
        };
        let x = self.norm.record(recorder, x, None)?;
        recorder.replace_last(x);
        let dtype = recorder.dtype();
        ops::converted(recorder, x, dtype)
    }
}

impl LanguageModel {
    fn record_reversible(&self, recorder: &mut Recorder<'_>, x: Value, layout: &Layout) -> Result<Value> {
        let mut streams = [x, x];
        for layer in &self.layers {
            streams = recorder.reversible(
                streams,
                |recorder, x| {
                    let mix = |recorder: &mut Recorder<'_>, x| layer.mixer.record(recorder, x, None, layout);
                    layer.mixing.branch(recorder, x, mix)
                },
                |recorder, x| {
                    layer.feeding.branch(recorder, x, |recorder, x| layer.feed_forward.record(recorder, x))
                },
            )?;
        }
        let sum = ops::add(recorder, streams[0], streams[1])?;
        ops::scale(recorder, sum, 0.5)
    }
}
