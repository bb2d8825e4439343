//! Gated linear attention and the gated delta rule, as layers with the projections of their decays and factors.

use super::heads::{head_size, join_heads, project, sequence};
use super::linear::record_under;
use super::{Mixer, refuse_memory};
use crate::graph::Value;
use crate::nn::{Layout, Linear, Recorder};
use crate::ops::attention::{FeatureMap, LinearAttention as Settings};
use crate::ops::{Activation, activate, converted, l2_normalize, reshape, scale};
use crate::tensor::DType;
use crate::weights::Scope;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "gated linear attention";

/// What a layer's decays are numbers of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecayGate {
    /// Nothing decays.
    None,
    /// Each head and step.
    Heads,
    /// Each channel of a head's keys and step.
    Channels,
}

/// Shapes and settings of a [`GatedLinearAttention`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatedSpec {
    /// Channels of the layer.
    pub width: usize,
    /// Heads, which divide the width.
    pub heads: usize,
    /// The decays, `ln sigmoid(W x + b) / temperature`.
    pub decay: DecayGate,
    /// What logarithms of decays are divided by: 16 in GLA. Above 0.
    pub temperature: f32,
    /// The delta rule: keys and queries of length 1, and factors `sigmoid(W x + b)` of each head.
    pub is_delta: bool,
}

/// A causal layer whose state decays as the text says: gated linear attention (Yang et al., arXiv 2312.06635, section 4.4, without its output gate
/// and group norm), its form with one decay a head (Mamba-2, arXiv 2405.21060, section 3), the delta rule (arXiv 2406.06484) and the gated delta
/// rule (arXiv 2412.06464; with decays of channels Kimi delta attention, 2510.26692). Streams ([`Layout::Recurrent`], [`Layout::Stateful`]) continue
/// states of a fixed size, named as those of [`LinearAttention`](super::LinearAttention).
#[derive(Clone, Debug)]
pub struct GatedLinearAttention {
    spec: GatedSpec,
    qkv: Box<[Linear; 3]>,
    output: Linear,
    decay: Option<Linear>,
    beta: Option<Linear>,
}

impl GatedLinearAttention {
    /// Declares `q`, `k`, `v` and `o`, dense layers without bias, `[width, width]`, under `scope`, and as far as `spec` has them `decay` and
    /// `beta`, dense layers with bias, to a number for each head, or for each channel.
    ///
    /// Fails when the heads do not divide the width, and when the temperature is not above 0.
    pub fn declare(scope: &mut Scope<'_>, spec: GatedSpec) -> Result<Self> {
        let GatedSpec { width, heads, .. } = spec;
        head_size(width, heads)?;
        if !(spec.temperature.is_finite() && spec.temperature > 0.0) {
            return Err(Error::new(ErrorKind::Argument, NAME, "temperature")
                .expecting("a number above 0")
                .but_found(spec.temperature));
        }
        let mut plain = |name| Linear::declare_without_bias(&mut scope.at(name), width, width);
        let qkv = Box::new([plain("q")?, plain("k")?, plain("v")?]);
        let output = plain("o")?;
        let decay = match spec.decay {
            DecayGate::None => None,
            DecayGate::Heads => Some(Linear::declare(&mut scope.at("decay"), width, heads)?),
            DecayGate::Channels => Some(Linear::declare(&mut scope.at("decay"), width, width)?),
        };
        let beta = match spec.is_delta {
            true => Some(Linear::declare(&mut scope.at("beta"), width, heads)?),
            false => None,
        };
        Ok(Self { spec, qkv, output, decay, beta })
    }

    /// `ln sigmoid(W x + b) / temperature`, in f32.
    fn log_decay(&self, recorder: &mut Recorder<'_>, x: Value) -> Result<Option<Value>> {
        let Some(layer) = &self.decay else { return Ok(None) };
        let [batch, time, width] = sequence(recorder, "x", x)?;
        let heads = self.spec.heads;
        let z = layer.record(recorder, x, Activation::Identity)?;
        let z = converted(recorder, z, DType::F32)?;
        // ln sigmoid(z) = -softplus(-z)
        let z = scale(recorder, z, -1.0)?;
        let z = activate(recorder, z, Activation::Softplus)?;
        let logs = scale(recorder, z, -1.0 / self.spec.temperature)?;
        match self.spec.decay {
            DecayGate::Channels => Ok(Some(reshape(recorder, logs, [batch, time, heads, width / heads])?)),
            _ => Ok(Some(logs)),
        }
    }
}

impl Mixer for GatedLinearAttention {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        let GatedSpec { width, heads, .. } = self.spec;
        let [q, k, v] = &*self.qkv;
        let [mut query, mut key, value] = project(recorder, x, [q, k, v], heads)?;
        if self.spec.is_delta {
            query = l2_normalize(recorder, query, UNIT_EPS)?;
            key = l2_normalize(recorder, key, UNIT_EPS)?;
        }
        let size = head_size(width, heads)?;
        let mut spec = Settings::new().causal().feature_map(FeatureMap::Given).unnormalised();
        spec = spec.scale((size as f64).powf(-0.5) as f32);
        if let Some(log_decay) = self.log_decay(recorder, x)? {
            spec = spec.decay(log_decay);
        }
        if let Some(beta) = &self.beta {
            let beta = beta.record(recorder, x, Activation::Sigmoid)?;
            spec = spec.delta_rule(converted(recorder, beta, DType::F32)?);
        }
        let gathered = record_under(recorder, [query, key, value], spec, layout)?;
        let joined = join_heads(recorder, gathered)?;
        self.output.record(recorder, joined, Activation::Identity)
    }
}

/// Under the root of a key's squares.
const UNIT_EPS: f32 = 1e-6;
