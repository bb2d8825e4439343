//! Sparse Transformer's attention (Child et al., arXiv 1904.10509, section 4).

use super::{Mixer, OP, SelfAttention, check_one_sequence_a_row, refuse_memory};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{Blocked, Mask};
use crate::weights::Scope;

/// Which of the keys up to its own a query sees (section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// The last `stride`, and every `stride`-th before them: for data with a period, such as images.
    Strided {
        /// Tokens; the authors take about the square root of the length.
        stride: u32,
    },
    /// Those of the query's own block of `stride`, and the last `expressivity` of every block: for text.
    Fixed {
        /// Tokens of a block. The authors take 128 and 256.
        stride: u32,
        /// The paper's `c`. The authors take 8, 16 and 32.
        expressivity: u32,
    },
}

impl Pattern {
    fn mask(self) -> Mask {
        match self {
            Self::Strided { stride } => Mask::strided(stride),
            Self::Fixed { stride, expressivity } => Mask::fixed(stride, expressivity),
        }
    }
}

/// Causal attention over a factorised pattern. All heads see both factors, the paper's merged heads (section 4.3).
#[derive(Clone, Debug)]
pub struct SparseTransformerAttention {
    /// The projections.
    pub attention: SelfAttention,
    /// What is seen.
    pub pattern: Pattern,
}

impl SparseTransformerAttention {
    /// Declares `query`, `key`, `value` and `output` under `scope`. Fails when the heads do not divide the width.
    pub fn declare(scope: &mut Scope<'_>, width: usize, heads: usize, pattern: Pattern) -> Result<Self> {
        let attention = SelfAttention::declare(scope, ["query", "key", "value", "output"], width, heads)?;
        Ok(Self { attention, pattern })
    }

    /// Self-attention of `x: [batch, time, width]`: `[batch, time, width]`. Padding behind a sequence needs no mask, as nothing before it sees it.
    ///
    /// Fails when stride or expressivity is 0, and as [`blocked`](crate::ops::attention::blocked()) does.
    pub fn record(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        self.attention.record_under(graph, x, &Blocked::new().mask(self.pattern.mask()))
    }
}

impl Mixer for SparseTransformerAttention {
    /// [`SparseTransformerAttention::record`] of a row for each sequence.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(OP, memory)?;
        check_one_sequence_a_row(OP, layout)?;
        self.record(recorder, x)
    }
}
