//! Mechanisms that are made of tensors, which a document names.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::OP;
use super::masks::{full_or_causal, under};
use super::table::{MechanismExtents, Settings, Tensors};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::attention::{Attend, one_length_a_row};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{
    self, Compression, linformer, memory_compressed, persistent_memory, talking_heads,
};
use crate::tensor::HostTensor;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Linformer {
    keys: String,
    values: String,
    #[serde(default = "projected", skip_serializing_if = "is_usual")]
    projected: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryCompressed {
    keys: Convolution,
    values: Convolution,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    slots: Slots,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    null: Option<Null>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Convolution {
    weight: String,
    bias: String,
}

/// A key and a value that every query sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Null {
    key: String,
    value: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Slots {
    #[default]
    FromStart,
    ToEnd,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersistentMemory {
    keys: String,
    values: String,
    #[serde(default)]
    causal: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TalkingHeads {
    before: String,
    after: String,
    #[serde(default)]
    causal: bool,
}

/// Projected keys of Linformer without training: those of its published comparisons.
const PROJECTED: usize = 256;

fn projected() -> usize {
    PROJECTED
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual(projected: &usize) -> bool {
    *projected == PROJECTED
}

/// Keys of a slot without training (arXiv 1801.10198, section 4.2.4).
const RATIO: usize = 3;

/// Attention of texts that begin their rows, as a function of query, key and value and of lengths where there are some.
struct OneText<F>(F);

impl<F> fmt::Debug for OneText<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attention with tensors of a graph")
    }
}

impl<F: Fn(&mut Graph, [Value; 3], Option<Value>) -> Result<Value> + Send + Sync> Attend for OneText<F> {
    fn takes_several(&self) -> bool {
        false
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let lengths = one_length_a_row(OP, recorder, layout)?;
        (self.0)(recorder, [query, key, value], lengths)
    }
}

impl Settings for Linformer {
    fn at_least_1(&self) -> Vec<(&'static str, u64)> {
        vec![("projected", self.projected as u64)]
    }

    fn tensors(&self) -> Vec<&str> {
        vec![&self.keys, &self.values]
    }

    /// Means of segments of nearly equal length.
    fn untrained(&self, extents: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        let MechanismExtents { time, .. } = extents;
        let projected = self.projected.min(time);
        let mut elements = vec![0.0; projected * time];
        for segment in 0..projected {
            let own = segment * time / projected..(segment + 1) * time / projected;
            let share = 1.0 / own.len() as f32;
            elements[segment * time + own.start..segment * time + own.end].fill(share);
        }
        let means = HostTensor::f32([projected, time], elements)?;
        Ok(vec![(self.keys.clone(), means.clone()), (self.values.clone(), means)])
    }

    fn attend(&self, scale: Option<f32>, tensors: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let projections = [tensors.get(&self.keys)?, tensors.get(&self.values)?];
        Ok(Arc::new(OneText(move |graph: &mut Graph, [query, key, value]: [Value; 3], lengths| {
            let mut spec = attention::Linformer::new();
            if let Some(scale) = scale {
                spec = spec.scale(scale);
            }
            if let Some(lengths) = lengths {
                spec = spec.lengths(lengths);
            }
            linformer(graph, query, key, value, projections, &spec)
        })))
    }
}

impl Settings for MemoryCompressed {
    fn is_causal(&self) -> bool {
        self.causal
    }

    fn tensors(&self) -> Vec<&str> {
        let null = self.null.iter().flat_map(|null| [&null.key, &null.value]);
        let convolutions = [&self.keys, &self.values].into_iter();
        let convolutions = convolutions.flat_map(|convolution| [&convolution.weight, &convolution.bias]);
        convolutions.chain(null).map(String::as_str).collect()
    }

    /// Means of the keys of each slot, and zeros where there is a null key.
    fn untrained(&self, extents: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        let MechanismExtents { heads, size, .. } = extents;
        let mut weight = vec![0.0; heads * size * size * RATIO];
        for row in 0..heads * size {
            let first = (row * size + row % size) * RATIO;
            weight[first..first + RATIO].fill(1.0 / RATIO as f32);
        }
        let weight = HostTensor::f32([heads, size, size, RATIO], weight)?;
        let zeros = HostTensor::f32([heads, size], vec![0.0; heads * size])?;
        let mut tensors = Vec::new();
        for convolution in [&self.keys, &self.values] {
            tensors.push((convolution.weight.clone(), weight.clone()));
            tensors.push((convolution.bias.clone(), zeros.clone()));
        }
        if let Some(null) = &self.null {
            tensors.extend([&null.key, &null.value].map(|name| (name.clone(), zeros.clone())));
        }
        Ok(tensors)
    }

    fn attend(&self, scale: Option<f32>, tensors: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let compression = |convolution: &Convolution| -> Result<Compression> {
            Ok(Compression {
                weight: tensors.get(&convolution.weight)?,
                bias: tensors.get(&convolution.bias)?,
            })
        };
        let compressions = [compression(&self.keys)?, compression(&self.values)?];
        let mut spec = attention::MemoryCompressed::new().slots(match self.slots {
            Slots::FromStart => attention::Slots::FromStart,
            Slots::ToEnd => attention::Slots::ToEnd,
        });
        if self.causal {
            spec = spec.causal();
        }
        if let Some(scale) = scale {
            spec = spec.scale(scale);
        }
        if let Some(null) = &self.null {
            spec = spec.null(tensors.get(&null.key)?, tensors.get(&null.value)?);
        }
        Ok(Arc::new(OneText(move |graph: &mut Graph, [query, key, value]: [Value; 3], lengths| {
            let spec = match lengths {
                Some(lengths) => spec.lengths(lengths),
                None => spec,
            };
            memory_compressed(graph, query, key, value, compressions, &spec)
        })))
    }
}

impl Settings for PersistentMemory {
    fn is_causal(&self) -> bool {
        self.causal
    }

    fn tensors(&self) -> Vec<&str> {
        vec![&self.keys, &self.values]
    }

    /// One key and one value of 0.
    fn untrained(&self, extents: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        let MechanismExtents { heads, size, .. } = extents;
        let zeros = HostTensor::f32([heads, 1, size], vec![0.0; heads * size])?;
        Ok([&self.keys, &self.values].map(|name| (name.clone(), zeros.clone())).to_vec())
    }

    fn attend(&self, scale: Option<f32>, tensors: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let persistent = [tensors.get(&self.keys)?, tensors.get(&self.values)?];
        let spec = under(full_or_causal(self.causal), scale);
        Ok(Arc::new(OneText(move |graph: &mut Graph, [query, key, value]: [Value; 3], lengths| {
            let spec = match lengths {
                Some(lengths) => spec.clone().lengths(lengths),
                None => spec.clone(),
            };
            persistent_memory(graph, query, key, value, persistent, &spec)
        })))
    }
}

impl Settings for TalkingHeads {
    fn is_causal(&self) -> bool {
        self.causal
    }

    fn tensors(&self) -> Vec<&str> {
        vec![&self.before, &self.after]
    }

    /// Heads that keep to themselves.
    fn untrained(&self, extents: MechanismExtents) -> Result<Vec<(String, HostTensor)>> {
        let heads = extents.heads;
        let identity = (0..heads * heads).map(|at| f32::from(at / heads == at % heads)).collect();
        let identity = HostTensor::f32([heads, heads], identity)?;
        Ok([&self.before, &self.after].map(|name| (name.clone(), identity.clone())).to_vec())
    }

    fn attend(&self, scale: Option<f32>, tensors: &Tensors<'_>) -> Result<Arc<dyn Attend>> {
        let mixing = [tensors.get(&self.before)?, tensors.get(&self.after)?];
        let mut spec = attention::TalkingHeads::new();
        if self.causal {
            spec = spec.causal();
        }
        if let Some(scale) = scale {
            spec = spec.scale(scale);
        }
        Ok(Arc::new(OneText(move |graph: &mut Graph, [query, key, value]: [Value; 3], lengths| {
            let spec = match lengths {
                Some(lengths) => spec.lengths(lengths),
                None => spec,
            };
            talking_heads(graph, query, key, value, mixing, &spec)
        })))
    }
}
