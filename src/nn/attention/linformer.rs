//! Linformer's attention in the place of softmax attention.

use super::{Attend, one_length_a_row};
use crate::Result;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Linformer, linformer};
use crate::weights::{Scope, Weight};

const NAME: &str = "Linformer attention";

/// Which projections of a [`LinformerAttention`] are one (Wang et al., arXiv 2006.04768, section 4, "parameter sharing"). Layers share theirs when they
/// are declared under one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinformerSharing {
    /// Each head has projections of its own, of keys and of values.
    None,
    /// All heads have one projection of keys and one of values.
    Headwise,
    /// All heads have one projection, of keys and of values.
    KeyValue,
}

/// Attention over keys and values that are projected along time ([`linformer`]). Texts may be shorter than the projections are long; there is
/// no causal form.
#[derive(Clone, Debug)]
pub struct LinformerAttention {
    projections: [Weight; 2],
    settings: Linformer,
}

impl LinformerAttention {
    /// Declares projections from `longest` positions to `projected` under `scope`: `E` of keys and `F` of values, which is `E`, too, where
    /// keys and values share it; `[projected, longest]`, or `[kv_heads, projected, longest]` with one for each head.
    pub fn declare(
        scope: &mut Scope<'_>,
        sharing: LinformerSharing,
        kv_heads: usize,
        [projected, longest]: [usize; 2],
    ) -> Result<Self> {
        let shape = match sharing {
            LinformerSharing::None => vec![kv_heads, projected, longest],
            LinformerSharing::Headwise | LinformerSharing::KeyValue => vec![projected, longest],
        };
        let of_keys = scope.weight("E", shape.clone())?;
        let of_values = match sharing {
            LinformerSharing::KeyValue => of_keys.clone(),
            LinformerSharing::None | LinformerSharing::Headwise => scope.weight("F", shape)?,
        };
        Ok(Self { projections: [of_keys, of_values], settings: Linformer::new() })
    }

    /// The layer with another scale. Lengths of `settings` are not used: layouts have them.
    #[must_use]
    pub fn with(self, settings: Linformer) -> Self {
        Self { settings, ..self }
    }
}

impl Attend for LinformerAttention {
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
        let mut spec = self.settings;
        if let Some(lengths) = one_length_a_row(NAME, recorder, layout)? {
            spec = spec.lengths(lengths);
        }
        let [of_keys, of_values] = &self.projections;
        let projections = [recorder.weight(of_keys)?, recorder.weight(of_values)?];
        linformer(recorder, query, key, value, projections, &spec)
    }
}
