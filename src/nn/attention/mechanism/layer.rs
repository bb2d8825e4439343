//! A mechanism as a part of a layer, with weights in the place of the tensors that its document names.

use std::collections::BTreeMap;

use super::{Mechanism, MechanismExtents, OP};
use crate::graph::Value;
use crate::nn::attention::Attend;
use crate::nn::{Layout, Recorder};
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

/// A [`Mechanism`] with weights of its own.
#[derive(Clone, Debug)]
pub struct MechanismAttention {
    mechanism: Mechanism,
    weights: Vec<(String, Weight)>,
}

impl Mechanism {
    /// Declares a weight for each of [`Mechanism::tensors`] under its name in `scope`, with the shape of [`Mechanism::untrained`], which is what it may
    /// start as.
    ///
    /// Fails for mechanisms with tensors that each text has its own of, such as decays.
    pub fn declare(&self, scope: &mut Scope<'_>, extents: MechanismExtents) -> Result<MechanismAttention> {
        let untrained: BTreeMap<_, _> = self.untrained(extents)?.into_iter().collect();
        let mut weights = Vec::new();
        for name in self.tensors() {
            let Some(tensor) = untrained.get(name) else {
                return Err(Error::new(ErrorKind::Unsupported, OP, self.name())
                    .expecting("tensors that can be weights of a layer")
                    .but_found(format!("`{name}`")));
            };
            weights.push((name.to_owned(), scope.weight(name, tensor.shape().clone())?));
        }
        Ok(MechanismAttention { mechanism: self.clone(), weights })
    }
}

impl Attend for MechanismAttention {
    /// With weights, whose mechanisms all take one text in a row.
    fn takes_several(&self) -> bool {
        self.mechanism.attend().is_ok_and(|attend| attend.takes_several())
    }

    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        query: Value,
        key: Value,
        value: Value,
        layout: &Layout,
    ) -> Result<Value> {
        let mut values = BTreeMap::new();
        for (name, weight) in &self.weights {
            values.insert(name.clone(), recorder.weight(weight)?);
        }
        self.mechanism.attend_with(&values)?.record(recorder, query, key, value, layout)
    }
}
