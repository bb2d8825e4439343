//! Linear attention, with feature maps and with random features.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::OP;
use super::table::{Settings, Tensors};
use crate::graph::Value;
use crate::nn::attention::{Attend, LinearAttention};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{
    self, FeatureMap, LinearState, RandomProjection, SoftmaxKernel, Stabilizer, check_beta, check_log_decay,
};
use crate::ops::{Activation, scale};
use crate::tensor::HostTensor;
use crate::{Error, ErrorKind, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Linear {
    features: Features,
    #[serde(default)]
    causal: bool,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    normalised: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_decay: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beta: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normalizer: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Features {
    EluPlusOne,
    Relu,
    SquaredRelu,
    Identity,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Favor {
    features: usize,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    eps: f32,
    #[serde(default)]
    causal: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

/// The largest factor of the delta rule: beyond it the state grows.
const MOST_BETA: f32 = 2.0;

impl Linear {
    fn names(&self) -> [Option<&String>; 4] {
        [&self.log_decay, &self.beta, &self.state, &self.normalizer].map(Option::as_ref)
    }
}

impl Settings for Linear {
    fn is_causal(&self) -> bool {
        self.causal
    }

    /// Decays and states that are tensors are of one text.
    fn has_state(&self) -> bool {
        self.causal && self.tensors().is_empty()
    }

    fn tensors(&self) -> Vec<&str> {
        self.names().into_iter().flatten().map(String::as_str).collect()
    }

    fn check_values(&self, tensors: &BTreeMap<String, HostTensor>) -> Result<()> {
        let find = |name: &Option<String>| name.as_ref().and_then(|name| tensors.get(name));
        find(&self.log_decay).map_or(Ok(()), check_log_decay)?;
        find(&self.beta).map_or(Ok(()), |beta| check_beta(beta, MOST_BETA))
    }

    fn attend(&self, scale: Option<f32>, tensors: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let map = match self.features {
            Features::EluPlusOne => Activation::EluPlusOne,
            Features::Relu => Activation::Relu,
            Features::SquaredRelu => Activation::SquaredRelu,
            Features::Identity => Activation::Identity,
        };
        let mut spec = attention::LinearAttention::new().feature_map(FeatureMap::Elementwise(map));
        if let Some(scale) = scale {
            spec = spec.scale(scale);
        }
        if self.causal {
            spec = spec.causal();
        }
        if !self.normalised {
            spec = spec.unnormalised();
        }
        let [log_decay, beta, sums, normalizer] = self.names().map(|name| tensors.find(name));
        if let Some(log_decay) = log_decay? {
            spec = spec.decay(log_decay);
        }
        if let Some(beta) = beta? {
            spec = spec.delta_rule(beta);
        }
        let normalizer = normalizer?;
        match sums? {
            Some(sums) => spec = spec.state(LinearState { sums, normalizer }),
            None if normalizer.is_some() => {
                return Err(Error::new(ErrorKind::Argument, OP, "linear.normalizer")
                    .expecting("linear.state beside it")
                    .but_found("none"));
            }
            None => {}
        }
        Ok(Arc::new(LinearAttention::new(spec)))
    }
}

impl Settings for Favor {
    fn is_causal(&self) -> bool {
        self.causal
    }

    fn has_state(&self) -> bool {
        self.causal
    }

    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("features", self.features as u64)]
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(Arc::new(RandomFeatures { settings: self.clone(), scale }))
    }
}

/// Random features of as many channels as heads turn out to have.
#[derive(Clone, Debug)]
struct RandomFeatures {
    settings: Favor,
    scale: Option<f32>,
}

impl Attend for RandomFeatures {
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let desc = recorder.desc(query)?;
        let &[_, _, _, size] = desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, OP, "query").expecting("rank 4").but_found(desc));
        };
        // The features' own is 1 / sqrt(size).
        let query = match self.scale {
            Some(factor) => scale(recorder, query, factor * (size as f32).sqrt())?,
            None => query,
        };
        let Favor { features, seed, eps, causal } = self.settings;
        let mut spec = attention::LinearAttention::new();
        let mut kernel = SoftmaxKernel::new().eps(eps);
        if causal {
            (spec, kernel) = (spec.causal(), kernel.stabilizer(Stabilizer::Projection));
        }
        let projection = RandomProjection::new(features, size).seed(seed);
        let attend = LinearAttention::new(spec).random_features(projection, kernel);
        attend.record(recorder, query, key, value, layout)
    }
}
