//! The token mixers of a language model's layers, as its configuration names them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::NAME;
use crate::graph::Value;
use crate::nn::{
    DecayGate, DynamicConv, GatedConv, GatedLinearAttention, GatedSpec, Layout, LightConv, Linear,
    LongShortRange, Mechanism, MechanismExtents, Mixer, Projections, Recorder, RoutingAttention,
    RoutingSettings, SelfAttention, TapKernel,
};
use crate::ops::attention::{Blocked, Mask};
use crate::tensor::HostTensor;
use crate::weights::{Fields, Scope};
use crate::{Error, ErrorKind, Result};

/// What mixes tokens in the place of softmax attention: `{"favor": {"features": 64, "causal": true}}`, any mechanism of
/// [`MECHANISMS`](crate::nn::MECHANISMS), `{"gated": {"decay": "channels"}}`, `{"long_short_range": {"taps": 7}}`, or `{"routing_transformer":
/// {"clusters": 4, "window": 64}}`.
///
/// Tensors that a mechanism names are weights of each layer, `layer.N.attend.NAME`, which start as [`Mechanism::untrained`] has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", untagged)]
#[non_exhaustive]
pub enum Mixing {
    /// A mechanism between the projections of attention.
    Mechanism(Mechanism),
    /// A gated linear layer in the place of attention and its projections.
    Gated {
        /// Its settings.
        gated: Gated,
    },
    /// Attention over half of the channels and a convolution over the others, in the place of attention and its projections (Lite Transformer, arXiv
    /// 2004.11886).
    LongShortRange {
        /// Its settings.
        long_short_range: NearTaps,
    },
    /// Heads that see their neighbours beside heads that see their clusters, in the place of attention and its projections (Routing Transformer,
    /// arXiv 2003.05997). Centroids are weights that move with each step of a training.
    RoutingTransformer {
        /// Its settings.
        routing_transformer: LocalAndRouted,
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

/// The convolution of a layer [`LongShortRange`], whose attention has the model's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NearTaps {
    /// Taps of a kernel; 7 where it is absent.
    #[serde(default = "seven")]
    pub taps: usize,
    /// Kernels, which share the channels; 4 where it is absent.
    #[serde(default = "four")]
    pub heads: usize,
    /// Whether each position makes its own kernels; one for all where it is absent.
    #[serde(default)]
    pub dynamic: bool,
}

/// A layer [`RoutingAttention`] of the model's width and heads, half of which, rounded up, are routed.
///
/// Which tokens a cluster has, the nearest ones, is found among all tokens of a text, later ones too, as in the paper: no token sees one behind itself,
/// but whether it is seen may hang on one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalAndRouted {
    /// Clusters of each routed head.
    pub clusters: usize,
    /// Tokens of a cluster.
    pub window: usize,
    /// Heads that see their own chunk and the one before, in the place of half of the heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_heads: Option<usize>,
    /// Positions of a chunk of the local heads; half of the window where it is absent, so that queries of either kind have as many keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_window: Option<usize>,
    /// Keys of the network's own in each cluster; 1 where it is absent. Without any a query may see nothing.
    #[serde(default = "one")]
    pub memory: usize,
    /// The weight of the loss that draws tokens to their centroids; 1e-4 where it is absent.
    #[serde(default = "commitment")]
    pub commitment: f32,
    /// The share that centroids keep at each step; 0.999 where it is absent.
    #[serde(default = "decay")]
    pub decay: f32,
}

/// [`DecayGate`] as JSON has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Decays {
    /// Nothing decays.
    None,
    /// Each head and step.
    Heads,
    /// Each channel of a head's keys and step: gated linear attention (GLA).
    #[default]
    Channels,
}

/// Keys of the network's own in a cluster.
const MOST_MEMORY: usize = 1 << 10;

/// Taps of the longest kernel.
const MOST_TAPS: usize = 1 << 12;

fn sixteen() -> f32 {
    16.0
}

fn one() -> usize {
    1
}

fn commitment() -> f32 {
    1e-4
}

fn decay() -> f32 {
    0.999
}

fn seven() -> usize {
    7
}

fn four() -> usize {
    4
}

impl TryFrom<serde_json::Value> for Mixing {
    type Error = Error;

    fn try_from(json: serde_json::Value) -> Result<Self> {
        let layers = ["gated", "long_short_range", "routing_transformer"];
        let Some(name) = layers.into_iter().find(|name| json.get(name).is_some()) else {
            if json.get("layers").is_some() {
                return Err(Error::new(ErrorKind::Config, "mixing", "layers")
                    .expecting("a mechanism for all layers")
                    .but_found("one for some of them"));
            }
            return Mechanism::from_value("mixing", json).map(Self::Mechanism);
        };
        let refused = |error: serde_json::Error| {
            Error::new(ErrorKind::Config, "mixing", name).expecting("its settings").caused_by(error)
        };
        let settings = json[name].clone();
        let mixing = match name {
            "gated" => Self::Gated { gated: serde_json::from_value(settings).map_err(refused)? },
            "long_short_range" => {
                Self::LongShortRange { long_short_range: serde_json::from_value(settings).map_err(refused)? }
            }
            _ => Self::RoutingTransformer {
                routing_transformer: serde_json::from_value(settings).map_err(refused)?,
            },
        };
        let fields = Fields::new("mixing", json)?;
        match fields.names().find(|other| *other != name) {
            None => Ok(mixing),
            Some(other) => Err(fields.refuse(other, format!("nothing beside {name}"))),
        }
    }
}

impl Mixing {
    /// Whether it is causal: no token sees a later one.
    pub fn is_causal(&self) -> bool {
        match self {
            Self::Mechanism(mechanism) => mechanism.is_causal(),
            // Convolutions and clusters are as the model is.
            Self::Gated { .. } | Self::LongShortRange { .. } | Self::RoutingTransformer { .. } => true,
        }
    }

    /// Whether all that layers keep of earlier tokens is a state of a fixed size, from which a text can be continued.
    pub fn has_state(&self) -> bool {
        match self {
            Self::Mechanism(mechanism) => mechanism.has_state(),
            Self::Gated { .. } => true,
            Self::LongShortRange { .. } | Self::RoutingTransformer { .. } => false,
        }
    }

    /// Numbers that its weights start with, by the ends of their names; of all others those of the model hold.
    pub(super) fn initial(&self, extents: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        match self {
            Self::Mechanism(mechanism) => mechanism.untrained(extents),
            Self::Gated { .. } | Self::LongShortRange { .. } | Self::RoutingTransformer { .. } => {
                Ok(Vec::new())
            }
        }
    }
}

impl NearTaps {
    /// The layer of a model of `width` channels under `scope`.
    fn declare(
        &self,
        scope: &mut Scope<'_>,
        is_causal: bool,
        width: usize,
        heads: usize,
    ) -> Result<LongShortRange> {
        let refused = |argument| Error::new(ErrorKind::Config, NAME, argument);
        let half = width / 2;
        if !width.is_multiple_of(2) || !half.is_multiple_of(heads) {
            let error = refused("heads").expecting(format!("a divisor of half of {width} channels"));
            return Err(error.but_found(heads));
        }
        if !(1..=MOST_TAPS).contains(&self.taps) {
            let error = refused("long_short_range.taps").expecting(format!("1 to {MOST_TAPS}"));
            return Err(error.but_found(self.taps));
        }
        if self.heads == 0 || !half.is_multiple_of(self.heads) {
            let error = refused("long_short_range.heads").expecting(format!("a divisor of {half} channels"));
            return Err(error.but_found(self.heads));
        }
        let attention = SelfAttention::declare(&mut scope.at("far"), ["q", "k", "v", "proj"], half, heads)?;
        let mask = if is_causal { Mask::causal() } else { Mask::full() };
        let before = if is_causal { self.taps.saturating_sub(1) } else { self.taps / 2 };
        let kernel = TapKernel { heads: self.heads, taps: self.taps, before, drops_taps: false };
        let mut near = scope.at("near");
        let up = Linear::declare(&mut near.at("up"), half, 2 * half)?;
        let down = Linear::declare(&mut near.at("proj"), half, half)?;
        let conv: Box<dyn Mixer> = match self.dynamic {
            true => Box::new(DynamicConv::declare(&mut near.at("kernels"), half, kernel)?),
            false => Box::new(LightConv::declare(&mut near.at("kernels"), kernel)?),
        };
        let attention = attention.attending(Blocked::new().mask(mask));
        Ok(LongShortRange { attention, conv: GatedConv { up, conv, down } })
    }
}

impl LocalAndRouted {
    /// The layer of a model of `width` channels under `scope`.
    fn declare(
        &self,
        scope: &mut Scope<'_>,
        is_causal: bool,
        width: usize,
        MechanismExtents { time, heads, size, .. }: MechanismExtents,
    ) -> Result<RoutingAttention> {
        let Self { clusters, window, memory, commitment, decay, .. } = *self;
        let local_heads = self.local_heads.unwrap_or(heads / 2);
        let local_window = self.local_window.unwrap_or(window.div_ceil(2));
        let within = |field: &str, number: usize, bounds: std::ops::RangeInclusive<usize>| {
            if bounds.contains(&number) {
                return Ok(());
            }
            let (least, most) = (bounds.start(), bounds.end());
            Err(Error::new(ErrorKind::Config, NAME, format!("routing_transformer.{field}"))
                .expecting(format!("{least} to {most}"))
                .but_found(number))
        };
        within("clusters", clusters, 1..=time)?;
        within("window", window, 1..=time)?;
        within("local_heads", local_heads, 0..=heads - 1)?;
        within("local_window", local_window, 1..=time)?;
        within("memory", memory, 0..=MOST_MEMORY)?;
        for (field, number, most) in [("commitment", commitment, f32::MAX), ("decay", decay, 1.0)] {
            if !(0.0..=most).contains(&number) {
                return Err(Error::new(ErrorKind::Config, NAME, format!("routing_transformer.{field}"))
                    .expecting(format!("0 to {most}"))
                    .but_found(number));
            }
        }
        let settings = RoutingSettings {
            local_heads,
            routed_heads: heads - local_heads,
            head_size: size,
            local_window,
            clusters,
            window,
            memory,
            is_causal,
            commitment,
            decay,
        };
        RoutingAttention::declare(&mut scope.at("routed"), width, settings)
    }
}

/// What mixes the tokens of a layer.
#[derive(Clone, Debug)]
pub(super) enum Mixed {
    Attention(SelfAttention),
    Gated(GatedLinearAttention),
    LongShortRange(Arc<LongShortRange>),
    Routed(Box<RoutingAttention>),
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
                Mixing::LongShortRange { .. } => "long_short_range".into(),
                Mixing::RoutingTransformer { .. } => "routing_transformer".into(),
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
        if let Some(Mixing::LongShortRange { long_short_range }) = mixing {
            let layer = long_short_range.declare(scope, is_causal, width, heads)?;
            return Ok(Self::LongShortRange(Arc::new(layer)));
        }
        if let Some(Mixing::RoutingTransformer { routing_transformer }) = mixing {
            let layer = routing_transformer.declare(scope, is_causal, width, extents)?;
            return Ok(Self::Routed(Box::new(layer)));
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
            Self::LongShortRange(layer) => layer.record(recorder, x, memory, layout),
            Self::Routed(layer) => layer.record(recorder, x, memory, layout),
        }
    }
}
