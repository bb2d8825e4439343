//! Nyström attention in the place of softmax attention.

use super::{Attend, one_length_a_row};
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Nystrom, nystrom};
use crate::ops::reshape;
use crate::weights::Weight;
use crate::{Error, ErrorKind, Result};

const NAME: &str = "Nyström attention";

/// Attention through landmarks ([`nystrom`]), exact for texts of no more tokens than there are landmarks.
#[derive(Clone, Debug)]
pub struct NystromAttention {
    settings: Nystrom,
    convolution: Option<Weight>,
}

impl NystromAttention {
    /// With the settings but for lengths, which layouts have, and without a convolution of values.
    pub fn new(settings: Nystrom) -> Self {
        Self { settings, convolution: None }
    }

    /// Adds a convolution of values: a weight of `kernel` numbers for each key head, `[kv_heads, kernel]` or the same with axes of extent 1 (Hugging Face's
    /// is `[heads, 1, kernel, 1]`).
    #[must_use]
    pub fn convolution(self, kernels: Weight) -> Self {
        Self { convolution: Some(kernels), ..self }
    }
}

impl Attend for NystromAttention {
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
        let desc = recorder.desc(query)?;
        let &[_, time, _, _] = desc.shape.dims() else {
            return Err(Error::new(ErrorKind::Shape, NAME, "query").expecting("rank 4").but_found(desc));
        };
        let mut spec = self.settings.at_most(time);
        if let Some(lengths) = one_length_a_row(NAME, recorder, layout)? {
            spec = spec.lengths(lengths);
        }
        if let Some(kernels) = &self.convolution {
            let heads = kernels.shape().dims().first().copied().unwrap_or(1).max(1);
            let kernel = kernels.shape().elements() / heads;
            let kernels = recorder.weight(kernels)?;
            spec = spec.convolution(reshape(recorder, kernels, [heads, kernel])?);
        }
        nystrom(recorder, query, key, value, &spec)
    }
}
