//! T5's relative positions: a learned number for each bucket of distances, added to scores (Raffel et al., arXiv 1910.10683, section 2.1).

use crate::Result;
use crate::nn::Recorder;
use crate::ops;
use crate::ops::attention::{Buckets, Score};
use crate::tensor::DType;
use crate::weights::{Scope, Weight};

/// A number for each bucket of distances and each head, added to scores: T5's `relative_attention_bias`. Layers may share it.
#[derive(Clone, Debug)]
pub struct BucketBias {
    table: Weight,
    /// Which distances share a number.
    pub buckets: Buckets,
}

impl BucketBias {
    /// Declares `weight: [buckets, heads]` under `scope`.
    pub fn declare(scope: &mut Scope<'_>, heads: usize, buckets: Buckets) -> Result<Self> {
        Ok(Self { table: scope.weight("weight", [buckets.count as usize, heads])?, buckets })
    }

    /// The score modifier. Its table is f32 whatever type layers compute in.
    pub fn record(&self, recorder: &mut Recorder<'_>) -> Result<Score> {
        let table = recorder.weight(&self.table)?;
        Ok(Score::buckets(ops::converted(recorder, table, DType::F32)?, self.buckets))
    }
}
