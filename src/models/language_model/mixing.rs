//! What mixes tokens in the layers of a language model, as its configuration has it.

use serde::{Deserialize, Serialize};

use super::NAME;
use crate::graph::Value;
use crate::nn::{
    DecayGate, GatedLinearAttention, GatedSpec, Layout, Linear, Mechanism, MechanismExtents, Mixer,
    Projections, Recorder, SelfAttention,
};
use crate::ops::attention::{Blocked, Mask};
use crate::tensor::HostTensor;
use crate::weights::{Fields, Scope};
use crate::{Error, ErrorKind, Result};

/// What mixes tokens in the place of softmax attention: `{"favor": {"features": 64, "causal": true}}`, any mechanism of
/// [`MECHANISMS`](crate::nn::MECHANISMS), or `{"gated": {"decay": "channels"}}`.
///
/// Tensors that a mechanism names are weights of each layer, `layer.N.attend.NAME`, which start as [`Mechanism::untrained`] has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", untagged)]
pub enum Mixing {
    /// A mechanism between the projections of attention.
    Mechanism(Mechanism),
    /// A gated linear layer in the place of attention and its projections.
    Gated {
        /// Its settings.
        gated: Gated,
    },
}

/// A layer [`GatedLinearAttention`] of the model's width and heads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gated {
    /// What decays are numbers of; of channels where it is absent.
    #[serde(default)]
    pub decay: Decays,
    /// What logarithms of decays are divided by; 16 where it is absent.
    #[serde(default = "sixteen")]
    pub temperature: f32,
    /// Whether the layer has the delta rule, which it has not where that is absent.
    #[serde(default)]
    pub delta: bool,
}

/// [`DecayGate`] as JSON has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decays {
    /// Nothing decays.
    None,
    /// Each head and step.
    Heads,
    /// Each channel of a head's keys and step: gated linear attention (GLA).
    #[default]
    Channels,
}

fn sixteen() -> f32 {
    16.0
}

impl TryFrom<serde_json::Value> for Mixing {
    type Error = Error;

    fn try_from(json: serde_json::Value) -> Result<Self> {
        let Some(gated) = json.get("gated") else {
            return Mechanism::from_value("mixing", json).map(Self::Mechanism);
        };
        let gated = serde_json::from_value(gated.clone()).map_err(|error| {
            Error::new(ErrorKind::Config, "mixing", "gated").expecting("its settings").but_found(error)
        })?;
        let fields = Fields::new("mixing", json)?;
        match fields.names().find(|name| *name != "gated") {
            None => Ok(Self::Gated { gated }),
            Some(other) => Err(fields.refuse(other, "nothing beside gated")),
        }
    }
}

impl Mixing {
    /// Whether a token sees none behind itself.
    pub fn is_causal(&self) -> bool {
        match self {
            Self::Mechanism(mechanism) => mechanism.is_causal(),
            Self::Gated { .. } => true,
        }
    }

    /// Numbers that its weights start with, by the ends of their names; of all others those of the model hold.
    pub(super) fn initial(&self, extents: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        match self {
            Self::Mechanism(mechanism) => mechanism.untrained(extents),
            Self::Gated { .. } => Ok(Vec::new()),
        }
    }
}

/// What mixes the tokens of a layer.
#[derive(Clone, Debug)]
pub(super) enum Mixed {
    Attention(SelfAttention),
    Gated(GatedLinearAttention),
}

impl Mixed {
    /// Declares a layer under `scope`: `mixing`, or softmax attention, causal or not.
    pub(super) fn declare(
        scope: &mut Scope<'_>,
        mixing: Option<&Mixing>,
        is_causal: bool,
        width: usize,
        extents: MechanismExtents,
    ) -> Result<Self> {
        if let Some(mixing) = mixing.filter(|mixing| is_causal && !mixing.is_causal()) {
            let found = match mixing {
                Mixing::Mechanism(mechanism) => mechanism.to_json()?,
                Mixing::Gated { .. } => "gated".into(),
            };
            return Err(Error::new(ErrorKind::Config, NAME, "mixing")
                .expecting("one by which a token sees none behind itself, or a masked model")
                .but_found(found));
        }
        let heads = extents.heads;
        if let Some(&Mixing::Gated { gated: Gated { decay, temperature, delta } }) = mixing {
            let decay = match decay {
                Decays::None => DecayGate::None,
                Decays::Heads => DecayGate::Heads,
                Decays::Channels => DecayGate::Channels,
            };
            let spec = GatedSpec { width, heads, decay, temperature, is_delta: delta };
            return GatedLinearAttention::declare(&mut scope.at("gated"), spec).map(Self::Gated);
        }
        let mut dense = |name, inner, out| Linear::declare(&mut scope.at(name), inner, out);
        let projections = Projections::Fused(dense("qkv", width, 3 * width)?);
        let attention = SelfAttention::new(projections, dense("proj", width, width)?, heads);
        let own = if is_causal { Mask::causal() } else { Mask::full() };
        Ok(Self::Attention(match mixing {
            Some(Mixing::Mechanism(mechanism)) => {
                attention.attending(mechanism.declare(&mut scope.at("attend"), extents)?)
            }
            _ => attention.attending(Blocked::new().mask(own)),
        }))
    }
}

impl Mixer for Mixed {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        match self {
            Self::Attention(layer) => layer.record(recorder, x, memory, layout),
            Self::Gated(layer) => layer.record(recorder, x, memory, layout),
        }
    }
}
