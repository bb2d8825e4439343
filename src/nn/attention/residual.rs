//! Attention whose scores add up from layer to layer.

use super::SelfAttention;
use crate::Result;
use crate::graph::Value;
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Blocked, PreviousScores, residual_attention};
use crate::weights::Scope;

const NAME: &str = "residual attention";

/// Self-attention whose scores are added to those of the layers before (RealFormer, He et al., arXiv 2012.11747; [`residual_attention`]).
#[derive(Clone, Debug)]
pub struct ResidualAttention {
    /// The projections; what stands between them is not used.
    pub attention: SelfAttention,
    /// What a query sees, without tensors of its own.
    pub spec: Blocked,
}

impl ResidualAttention {
    /// Declares four dense layers as [`SelfAttention::declare`] does.
    pub fn declare(
        scope: &mut Scope<'_>,
        names: [&str; 4],
        width: usize,
        heads: usize,
        spec: Blocked,
    ) -> Result<Self> {
        Ok(Self { attention: SelfAttention::declare(scope, names, width, heads)?, spec })
    }

    /// Self-attention of `x: [batch, time, width]` within each sequence, and the scores that the next layer gets as its `previous`.
    ///
    /// Fails for parts of streams, and as [`residual_attention`] does.
    pub fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        previous: &PreviousScores,
        layout: &Layout,
    ) -> Result<(Value, PreviousScores)> {
        layout.check_whole(NAME)?;
        let [query, key, value] = self.attention.projections.record(recorder, x, self.attention.heads)?;
        let spec = layout.restrict(self.spec.clone());
        let (gathered, next) = residual_attention(recorder, query, key, value, previous, &spec)?;
        Ok((self.attention.record_output(recorder, gathered)?, next))
    }
}
