//! A causal language model of the GPT kind, normalised before each sum (Radford et al. 2019, section 2.3), with residual or reversible
//! layers, to be trained from nothing.
//!
//! ```text
//! x = token[ids] + position          residual:    x = x + f(x), x = x + g(x) in every layer
//! f = proj(attention(qkv(norm1)))    reversible:  x1 = x2 = x; x1 = x1 + f(x2), x2 = x2 + g(x1) in every layer; x = (x1 + x2) / 2
//! g = down(gelu(up(norm2)))          logits = norm(x) token^T
//! ```

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Value};
use crate::nn::{Embedding, LayerNorm, Linear, Reversible, parameter};
use crate::ops::attention::{Blocked, Mask, blocked};
use crate::ops::{self, Activation, Dropout};
use crate::tensor::{DType, TensorDesc};
use crate::weights::{Declarations, Scope};
use crate::{Error, ErrorKind, HostTensor, Random, Result};

const NAME: &str = "language model";

/// Added to variances.
const EPS: f32 = 1e-5;

/// Bounds that keep what a file only claims from being allocated; products of them fit 64 bits.
const MOST_EXTENT: usize = 1 << 20;
const MOST_LAYERS: usize = 1 << 12;
const MOST_WEIGHTS: usize = 1 << 34;

/// Standard deviation that weights start with (Radford et al. 2019); those that add to the stream start smaller with depth.
const INITIAL_DEVIATION: f32 = 0.02;

/// The extents of a [`LanguageModel`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// How a loss is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recording {
    /// What layers compute in; the stream between them and the loss stay f32.
    pub dtype: DType,
    /// Layers of a segment whose values are recomputed for the gradients; 0 keeps everything. Reversible layers need none.
    pub recompute: usize,
    /// Dropout of what each layer adds to the stream, and its seed; none at rate 0.
    pub dropout: f32,
    /// The seed of dropout.
    pub seed: u64,
}

impl Default for Recording {
    fn default() -> Self {
        Self { dtype: DType::F32, recompute: 0, dropout: 0.0, seed: 0 }
    }
}

/// A model's layers, recorded into any number of graphs.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    config: LanguageModelConfig,
    declarations: Declarations,
    token: Embedding,
    position: Embedding,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

#[derive(Clone, Debug)]
struct Layer {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
    heads: usize,
}

impl LanguageModel {
    /// Declares the model. Fails when an extent is 0 or the heads do not divide the width.
    pub fn new(config: LanguageModelConfig) -> Result<Self> {
        let LanguageModelConfig { vocab_size, width, heads, layers, feed_forward, length, .. } = config;
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
        let mut declarations = Declarations::new();
        let mut root = declarations.root();
        let token = Embedding::declare(&mut root.at("token"), vocab_size, width)?;
        let position = Embedding::declare(&mut root.at("position"), length, width)?;
        let layers = (0..layers)
            .map(|layer| Layer::declare(&mut root.at(format_args!("layer.{layer}")), &config))
            .collect::<Result<_>>()?;
        let norm = LayerNorm::declare(&mut root.at("norm"), width, EPS)?;
        // The checkpoint of a training holds it beside the weights.
        root.ignore("optimizer");
        Ok(Self { config, declarations, token, position, layers, norm })
    }

    /// The extents.
    pub fn config(&self) -> &LanguageModelConfig {
        &self.config
    }

    /// The weights: `token`, `position`, `layer.N.{norm1,qkv,proj,norm2,up,down}`, `norm`.
    pub fn declarations(&self) -> &Declarations {
        &self.declarations
    }

    /// Numbers to start training from, by name: normal with deviation 0.02, what adds to the stream smaller by the root of the number of
    /// such layers, biases 0 and the factors of normalisations 1.
    pub fn initial_weights(&self, seed: u64) -> impl Iterator<Item = Result<(String, HostTensor)>> {
        let residual = INITIAL_DEVIATION / ((2 * self.config.layers) as f32).sqrt();
        let mut random = Random::new(seed);
        self.declarations.list().iter().map(move |declaration| {
            let name = &declaration.name;
            let deviation = match name.as_str() {
                name if name.ends_with("bias") => 0.0,
                name if name.ends_with("proj.weight") || name.ends_with("down.weight") => residual,
                _ => INITIAL_DEVIATION,
            };
            let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
            let deviation = if offset == 1.0 { 0.0 } else { deviation };
            let elements = declaration.shape.elements();
            let floats = (0..elements).map(|_| offset + deviation * random.next_normal()).collect();
            Ok((name.clone(), HostTensor::f32(declaration.shape.clone(), floats)?))
        })
    }

    /// Scores of the next token at every position, `[batch, time, vocab_size]` in [`Recording::dtype`], for `ids: i32 [batch, time]`.
    ///
    /// `step` is dropout's, as [`ops::dropout`] takes it. Fails when `time` exceeds [`LanguageModelConfig::length`], and when there is
    /// dropout and no step.
    pub fn record(
        &self,
        graph: &mut Graph,
        ids: Value,
        recording: &Recording,
        step: Option<Value>,
    ) -> Result<Value> {
        let hidden = self.record_hidden(graph, ids, recording, step)?;
        self.record_scores(graph, hidden, recording)
    }

    /// The stream behind the last layer, f32 `[batch, time, width]`. Fails as [`LanguageModel::record`] does.
    pub fn record_hidden(
        &self,
        graph: &mut Graph,
        ids: Value,
        recording: &Recording,
        step: Option<Value>,
    ) -> Result<Value> {
        let desc = graph.desc(ids)?.clone();
        let [_, time] = *desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, NAME, "ids").expecting("[batch, time]").but_found(desc));
        };
        if time > self.config.length {
            return Err(Error::new(ErrorKind::Shape, NAME, "ids")
                .expecting(format!("at most {} tokens", self.config.length))
                .but_found(time));
        }
        if step.is_none() && recording.dropout > 0.0 {
            return Err(Error::new(ErrorKind::Argument, NAME, "step")
                .expecting("dropout's step")
                .but_found("none"));
        }
        let drop = Branches { recording, step };
        let words = Embedding::record_sum(graph, &[(&self.token, ids)], DType::F32)?;
        let positions = parameter(graph, self.position.weight(), DType::F32)?;
        let positions = ops::slice(graph, positions, 0, 0..time)?;
        let x = ops::add(graph, words, positions)?;
        let x = if self.config.reversible {
            self.record_reversible(graph, x, &drop)?
        } else {
            self.record_residual(graph, x, &drop)?
        };
        Ok(x)
    }

    /// Scores `[.., vocab_size]` of what [`LanguageModel::record_hidden`] gave, `[.., width]`.
    pub fn record_scores(&self, graph: &mut Graph, hidden: Value, recording: &Recording) -> Result<Value> {
        let x = self.norm.record(graph, hidden, None)?;
        let x = Branches { recording, step: None }.narrow(graph, x)?;
        let token = parameter(graph, self.token.weight(), recording.dtype)?;
        ops::linear(graph, x, token, &ops::Linear::new())
    }

    /// The mean cross-entropy of the tokens `targets` that follow `ids`, both `i32 [batch, time]`: f32 `[1]`, in nats.
    pub fn record_loss(
        &self,
        graph: &mut Graph,
        [ids, targets]: [Value; 2],
        recording: &Recording,
        step: Option<Value>,
    ) -> Result<Value> {
        let logits = self.record(graph, ids, recording, step)?;
        ops::cross_entropy(graph, logits, targets, &ops::CrossEntropy::new())
    }

    /// Declares a batch of sequences, as [`LanguageModel::record_loss`] takes them: inputs `ids` and `targets`.
    pub fn declare_batch(graph: &mut Graph, batch: usize, time: usize) -> Result<[Value; 2]> {
        let mut input = |name| graph.input(name, TensorDesc::i32([batch, time]));
        Ok([input("ids")?, input("targets")?])
    }

    fn record_residual(&self, graph: &mut Graph, mut x: Value, drop: &Branches<'_>) -> Result<Value> {
        let segment = drop.recording.recompute;
        for (first, layers) in self.layers.chunks(segment.max(1)).enumerate() {
            let first = first * segment.max(1);
            let stack = |graph: &mut Graph| {
                layers.iter().enumerate().try_fold(x, |x, (i, layer)| {
                    let f = layer.attend(graph, x, &drop.of(2 * (first + i)))?;
                    let x = ops::add(graph, x, f)?;
                    let g = layer.feed_forward(graph, x, &drop.of(2 * (first + i) + 1))?;
                    ops::add(graph, x, g)
                })
            };
            x = if segment > 0 { graph.checkpoint(stack)? } else { stack(graph)? };
        }
        Ok(x)
    }

    fn record_reversible(&self, graph: &mut Graph, x: Value, drop: &Branches<'_>) -> Result<Value> {
        let mut streams = [x, x];
        for (i, layer) in self.layers.iter().enumerate() {
            let f = |graph: &mut Graph, x| layer.attend(graph, x, &drop.of(2 * i));
            let g = |graph: &mut Graph, x| layer.feed_forward(graph, x, &drop.of(2 * i + 1));
            streams = Reversible::new(f, g).record(graph, streams)?;
        }
        let sum = ops::add(graph, streams[0], streams[1])?;
        ops::scale(graph, sum, 0.5)
    }
}

/// How branches begin and end: conversions between the stream's type and theirs, and dropout.
struct Branches<'a> {
    recording: &'a Recording,
    step: Option<Value>,
}

/// [`Branches`] with the number of one, which its random numbers depend on.
struct BranchEnd<'a> {
    drop: &'a Branches<'a>,
    stream: u32,
}

impl<'a> Branches<'a> {
    fn of(&'a self, branch: usize) -> BranchEnd<'a> {
        BranchEnd { drop: self, stream: branch as u32 }
    }

    /// The stream's value in the type of the branches.
    fn narrow(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        if self.recording.dtype == DType::F32 { Ok(x) } else { ops::cast(graph, x, self.recording.dtype) }
    }
}

impl BranchEnd<'_> {
    /// What a branch adds to the stream.
    fn finish(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        let Branches { recording, step } = self.drop;
        let x = if recording.dtype == DType::F32 { x } else { ops::cast(graph, x, DType::F32)? };
        match step.filter(|_| recording.dropout > 0.0) {
            None => Ok(x),
            Some(step) => {
                let spec = Dropout { rate: recording.dropout, seed: recording.seed, stream: self.stream };
                ops::dropout(graph, x, &spec, step)
            }
        }
    }
}

impl Layer {
    fn declare(scope: &mut Scope<'_>, config: &LanguageModelConfig) -> Result<Self> {
        let LanguageModelConfig { width, heads, feed_forward, .. } = *config;
        let norm1 = LayerNorm::declare(&mut scope.at("norm1"), width, EPS)?;
        let norm2 = LayerNorm::declare(&mut scope.at("norm2"), width, EPS)?;
        let mut dense = |name, inner, out| Linear::declare(&mut scope.at(name), inner, out);
        Ok(Self {
            norm1,
            qkv: dense("qkv", width, 3 * width)?,
            proj: dense("proj", width, width)?,
            norm2,
            up: dense("up", width, feed_forward)?,
            down: dense("down", feed_forward, width)?,
            heads,
        })
    }

    /// `f`: what each position gathers from itself and those before it.
    fn attend(&self, graph: &mut Graph, x: Value, drop: &BranchEnd<'_>) -> Result<Value> {
        let dims = graph.desc(x)?.shape.dims().to_vec();
        let [batch, time, width] = [dims[0], dims[1], dims[2]];
        let x = self.norm1.record(graph, x, None)?;
        let x = drop.drop.narrow(graph, x)?;
        let qkv = self.qkv.record(graph, x, Activation::Identity)?;
        let mut heads = Vec::with_capacity(3);
        for part in ops::split(graph, qkv, 2, &[width; 3])? {
            heads.push(ops::reshape(graph, part, [batch, time, self.heads, width / self.heads])?);
        }
        let gathered = blocked(graph, heads[0], heads[1], heads[2], &Blocked::new().mask(Mask::causal()))?;
        let joined = ops::reshape(graph, gathered, dims)?;
        let projected = self.proj.record(graph, joined, Activation::Identity)?;
        drop.finish(graph, projected)
    }

    /// `g`: each position on its own.
    fn feed_forward(&self, graph: &mut Graph, x: Value, drop: &BranchEnd<'_>) -> Result<Value> {
        let x = self.norm2.record(graph, x, None)?;
        let x = drop.drop.narrow(graph, x)?;
        let inner = self.up.record(graph, x, Activation::Gelu)?;
        let fed = self.down.record(graph, inner, Activation::Identity)?;
        drop.finish(graph, fed)
    }
}
