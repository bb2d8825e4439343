//! Long-short range attention (Wu et al., "Lite Transformer with Long-Short Range Attention", arXiv 2004.11886, section 4).

use super::{GatedConv, Layout, Mixer, Recorder, SelfAttention, refuse_memory};
use crate::graph::Value;
use crate::ops::{concat, slice};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "long-short range attention";

/// Attention over the first half of the channels, for distant tokens, and a convolution over the second half, for neighbouring ones:
/// `[attention(x[.., :width / 2]), conv(x[.., width / 2:])]`.
#[derive(Debug)]
pub struct LongShortRange {
    /// Over half of the channels.
    pub attention: SelfAttention,
    /// Over the other half.
    pub conv: GatedConv,
}

impl Mixer for LongShortRange {
    /// Fails when the channels are no even number, and as the two halves do.
    fn record(
        &self,
        recorder: &mut Recorder<'_>,
        x: Value,
        memory: Option<Value>,
        layout: &Layout,
    ) -> Result<Value> {
        refuse_memory(NAME, memory)?;
        let desc = recorder.desc(x)?;
        let half = match *desc.shape.dims() {
            [_, _, width] if width.is_multiple_of(2) => width / 2,
            _ => {
                return Err(Error::new(ErrorKind::Shape, NAME, "x")
                    .expecting("[batch, time, an even width]")
                    .but_found(desc));
            }
        };
        let far = slice(recorder, x, 2, 0..half)?;
        let far = Mixer::record(&self.attention, recorder, far, None, layout)?;
        let near = slice(recorder, x, 2, half..2 * half)?;
        let near = self.conv.record(recorder, near, None, layout)?;
        concat(recorder, &[far, near], 2)
    }
}
