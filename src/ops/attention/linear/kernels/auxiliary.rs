//! What rows must know beforehand: lengths, the bounds of packed sequences, and what decays leave of states behind each key.

use super::{Frame, Rows};
use crate::Result;
use crate::kernel::{Kernel, Operand, wgsl};
use crate::ops::attention::linear::rule::Decay;
use crate::ops::contract::to_u32;
use crate::tensor::DType;

impl Frame<'_> {
    /// Lengths, and the bounds of packed sequences.
    pub(super) fn fill_aux(&mut self, tensors: usize) -> Result<()> {
        let Some(aux) = self.aux else { return Ok(()) };
        if let Some(lengths) = self.rule.lengths_at(tensors) {
            let dispatch = Kernel::new("attention/linear/lengths", [wgsl!("attention/linear/lengths.wgsl")])
                .read_elements("lengths", Operand::Input(lengths), DType::I32)
                .write_elements("aux", aux, DType::U32)
                .params(self.params(1, 1, 1)?)
                .per_element(to_u32(self.op, "batch", self.dims.batch)?, self.caps);
            self.push(dispatch);
        }
        if let Some(segments) = self.rule.segments_at(tensors) {
            let times = to_u32(self.op, "segments", self.dims.batch * self.dims.key_time)?;
            let dispatch = Kernel::new("attention/linear/bounds", [wgsl!("attention/linear/bounds.wgsl")])
                .read_elements("segments", Operand::Input(segments), DType::I32)
                .write_elements("aux", aux, DType::U32)
                .params(self.params(1, 1, 1)?)
                .turns(2 * self.chunk as u64)
                .per_element(times, self.caps);
            self.push(dispatch);
        }
        Ok(())
    }

    /// What is left of states behind each key.
    pub(super) fn fill_decays(&mut self, tensors: usize) -> Result<()> {
        let Some(log_decay) = self.rule.decay_at(tensors) else { return Ok(()) };
        let chunks = self.chunks_of(self.dims.key_time);
        let is_by_channel = self.rule.decay == Decay::Channels;
        let packs = if is_by_channel { self.dims.head_size.div_ceil(4) } else { 1 };
        let lengths = self.rule.lengths_at(tensors).map(Operand::Input);
        let segments = self.rule.segments_at(tensors).map(Operand::Input);
        let logs = Rows::plain(Operand::Input(log_decay), DType::F32, self.dims.head_size);
        let kernel = Kernel::new("attention/linear/decays", [wgsl!("attention/linear/decays.wgsl.j2")])
            .constant("CHANNELS", is_by_channel)
            .constant("LENGTHS", lengths.is_some())
            .constant("SEGMENTS", segments.is_some())
            .constant("PACKS", packs as u32)
            .params(self.params(chunks, 1, 1)?)
            .turns(self.chunk as u64)
            .read_if("lengths", lengths, DType::I32)
            .read_if("segments", segments, DType::I32);
        let kernel = match (self.channel_decays, self.aux) {
            (Some(decays), _) => logs.read(kernel, "log_decay").lanes(4).write("decays", decays, DType::F32),
            (None, Some(aux)) => kernel.read_elements("log_decay", logs.operand, DType::F32).write_elements(
                "aux",
                aux,
                DType::U32,
            ),
            (None, None) => return Ok(()),
        };
        let columns = self.dims.batch.saturating_mul(self.dims.kv_heads).saturating_mul(chunks);
        let count = to_u32(self.op, "log_decay", columns.saturating_mul(packs))?;
        let dispatch = kernel.per_element(count, self.caps);
        self.push(dispatch);
        Ok(())
    }
}
