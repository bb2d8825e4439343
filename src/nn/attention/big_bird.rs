//! BigBird's attention (Zaheer et al., arXiv 2007.14062, section 2).

use super::{Mixer, OP, SelfAttention, one_length_a_row, refuse_memory};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Layout, Recorder};
use crate::ops::attention::{BigBird, Blocked, Mask};
use crate::weights::Scope;

/// Windows, global blocks and blocks at random: the paper's internal transformer construction, BigBird-ITC.
///
/// The random blocks are those of [`BigBird::layout`]; Hugging Face's `BigBirdBlockSparseAttention` draws others from its seed, and
/// takes dense attention for sequences of few blocks.
#[derive(Clone, Debug)]
pub struct BigBirdAttention {
    /// The projections.
    pub attention: SelfAttention,
    /// What is seen.
    pub spec: BigBird,
}

impl BigBirdAttention {
    /// Declares the weights under `scope`, an `attention` of Hugging Face's. Fails when the heads do not divide the width.
    pub fn declare(scope: &mut Scope<'_>, width: usize, heads: usize, spec: BigBird) -> Result<Self> {
        let names = ["self.query", "self.key", "self.value", "output.dense"];
        Ok(Self { attention: SelfAttention::declare(scope, names, width, heads)?, spec })
    }

    /// Self-attention of `x: [batch, time, width]`: `[batch, time, width]`. `lengths: i32 [batch]` hides padding; blocks are those of `time`, so that
    /// more padding moves the last global block.
    ///
    /// Fails when the settings have no meaning ([`BigBird::layout`]), and as [`blocked`](crate::ops::attention::blocked()) does.
    pub fn record(&self, graph: &mut Graph, x: Value, lengths: Option<Value>) -> Result<Value> {
        let spec = Blocked::new().mask(Mask::big_bird(self.spec));
        let spec = lengths.map_or(spec.clone(), |lengths| spec.lengths(lengths));
        self.attention.record_under(graph, x, &spec)
    }
}

impl Mixer for BigBirdAttention {
    /// [`BigBirdAttention::record`] of a row for each sequence.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(OP, memory)?;
        let lengths = one_length_a_row(OP, recorder, layout)?;
        self.record(recorder, x, lengths)
    }
}
