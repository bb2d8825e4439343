//! What parameters hold before the first step.

use std::collections::BTreeMap;

use super::checkpoint::{Description, Progress};
use super::graphs::GRADIENT_PREFIX;
use super::optimizer::STATE_PREFIXES;
use crate::tensor::{DType, HostTensor, TensorDesc};
use crate::weights::{Checkpoint, Declarations};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "train";

/// Where a training starts from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Start<'a> {
    /// From these weights, by name, at step 0.
    Weights(&'a BTreeMap<String, HostTensor>),
    /// From where another process left off.
    Checkpoint(&'a Checkpoint),
}

impl Start<'_> {
    /// What `parameters` hold before the first step, and how far the training has come by then.
    pub(super) fn begin(
        self,
        parameters: &[(String, TensorDesc)],
        description: Description,
    ) -> Result<(Vec<(String, HostTensor)>, Progress)> {
        Ok(match self {
            Self::Weights(weights) => (fresh_tensors(parameters, weights)?, Progress::new(description)),
            Self::Checkpoint(checkpoint) => {
                let progress = Progress::of(checkpoint)?.with(description, checkpoint)?;
                (stored_tensors(parameters, checkpoint)?, progress)
            }
        })
    }
}

fn zeros(desc: &TensorDesc) -> Result<HostTensor> {
    HostTensor::f32(desc.shape.clone(), vec![0.0; desc.elements()])
}

/// Whether a checkpoint holds a parameter: sums of gradients are empty between steps.
pub(super) fn is_state(name: &str) -> bool {
    !name.starts_with(GRADIENT_PREFIX)
}

/// Parameters before the first step: `weights`, and nothing in the optimiser's memory.
fn fresh_tensors(
    parameters: &[(String, TensorDesc)],
    weights: &BTreeMap<String, HostTensor>,
) -> Result<Vec<(String, HostTensor)>> {
    let fresh = |(name, desc): &(String, TensorDesc)| {
        let is_weight = is_state(name) && STATE_PREFIXES.iter().all(|prefix| !name.starts_with(prefix));
        if !is_weight {
            return Ok((name.clone(), zeros(desc)?));
        }
        let weight = weights.get(name).filter(|weight| weight.desc() == *desc).ok_or_else(|| {
            let found = weights.get(name).map_or("none".into(), |weight| weight.desc().to_string());
            Error::new(ErrorKind::Weights, NAME, format!("`{name}`")).expecting(desc).but_found(found)
        })?;
        Ok((name.clone(), weight.clone()))
    };
    parameters.iter().map(fresh).collect()
}

/// Parameters as another process left them.
fn stored_tensors(
    parameters: &[(String, TensorDesc)],
    checkpoint: &Checkpoint,
) -> Result<Vec<(String, HostTensor)>> {
    let mut wanted = Declarations::new();
    for (name, desc) in parameters.iter().filter(|(name, _)| is_state(name)) {
        wanted.root().weight(name, desc.shape.clone())?;
    }
    let stored = checkpoint.load(&wanted, DType::F32)?;
    let tensor = |(name, desc): &(String, TensorDesc)| {
        Ok((name.clone(), if is_state(name) { stored.get(name)? } else { zeros(desc)? }))
    };
    parameters.iter().map(tensor).collect()
}
