//! Keys chosen by content.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::{Settings, Tensors};
use crate::Result;
use crate::nn::attention::{Attend, SinkhornAttention, SparseAttention};
use crate::ops::attention::{self, Simplex};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopK {
    k: usize,
    #[serde(default)]
    causal: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sparsemax {
    #[serde(default)]
    causal: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entmax15 {
    #[serde(default)]
    causal: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sinkhorn {
    block: usize,
    #[serde(default = "three_quarters")]
    temperature: f32,
    #[serde(default = "five")]
    iterations: usize,
}

fn three_quarters() -> f32 {
    0.75
}

fn five() -> usize {
    5
}

fn sparse(attend: SparseAttention, is_causal: bool, scale: Option<f32>) -> Arc<dyn Attend> {
    let attend = if is_causal { attend.causal() } else { attend };
    Arc::new(scale.map_or(attend, |scale| attend.scale(scale)))
}

impl Settings for TopK {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("k", self.k as u64)]
    }

    fn is_causal(&self) -> bool {
        self.causal
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(sparse(SparseAttention::highest(self.k), self.causal, scale))
    }
}

impl Settings for Sparsemax {
    fn is_causal(&self) -> bool {
        self.causal
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(sparse(SparseAttention::simplex(Simplex::Sparsemax), self.causal, scale))
    }
}

impl Settings for Entmax15 {
    fn is_causal(&self) -> bool {
        self.causal
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        Ok(sparse(SparseAttention::simplex(Simplex::Entmax15), self.causal, scale))
    }
}

impl Settings for Sinkhorn {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("block", self.block as u64), ("iterations", self.iterations as u64)]
    }

    fn attend(&self, scale: Option<f32>, _: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let spec =
            attention::Sinkhorn::new(self.block).temperature(self.temperature).iterations(self.iterations);
        Ok(Arc::new(SinkhornAttention::new(scale.map_or(spec, |scale| spec.scale(scale)))))
    }
}
