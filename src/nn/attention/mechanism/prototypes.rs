//! Landmarks and clusters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::{Settings, Tensors};
use crate::Result;
use crate::nn::attention::{Attend, ClusteredAttention, NystromAttention};
use crate::ops::attention::{self, LloydClusters};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nystrom {
    landmarks: usize,
    #[serde(default = "six")]
    iterations: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    convolution: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clustered {
    count: usize,
    #[serde(default = "sixty_three")]
    bits: usize,
    #[serde(default = "ten")]
    iterations: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top: Option<usize>,
    #[serde(default)]
    seed: u64,
}

fn six() -> usize {
    6
}

fn ten() -> usize {
    10
}

fn sixty_three() -> usize {
    63
}

impl Settings for Nystrom {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("landmarks", self.landmarks as u64), ("iterations", self.iterations as u64)]
    }

    fn tensors(&self) -> Vec<&str> {
        self.convolution.iter().map(String::as_str).collect()
    }

    fn attend(&self, scale: Option<f32>, tensors: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let mut spec = attention::Nystrom::new(self.landmarks).iterations(self.iterations);
        if let Some(scale) = scale {
            spec = spec.scale(scale);
        }
        if let Some(kernels) = tensors.find(self.convolution.as_ref())? {
            spec = spec.convolution(kernels);
        }
        Ok(Arc::new(NystromAttention::new(spec)))
    }
}

impl Settings for Clustered {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("count", self.count as u64),
            ("bits", self.bits as u64),
            ("iterations", self.iterations as u64),
            ("top", self.top.unwrap_or(1) as u64),
        ]
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let Self { count, bits, iterations, top, seed } = *self;
        let attend = ClusteredAttention::new(LloydClusters { count, bits, iterations, seed });
        let attend = top.map_or(attend, |top| attend.improved(top));
        Ok(Arc::new(scale.map_or(attend, |scale| attend.scale(scale))))
    }
}
