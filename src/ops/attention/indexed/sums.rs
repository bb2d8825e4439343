//! Where sums over rounds lie while they are not whole.

use super::{Chunked, Results, is_accumulator};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Dispatch, Operand};
use crate::ops::attention::blocked::add_splits;
use crate::tensor::DType;

/// Where the sums of an output go: there, or to scratch in f32 that a last dispatch rounds.
pub(super) struct Sums {
    output: usize,
    pub(super) operand: Operand,
}

impl Sums {
    /// Results of several rounds are added to; f16 does not hold sums.
    pub(super) fn of(step: &StepDesc, output: usize, spec: &Chunked, scratch: &mut Vec<u64>) -> Self {
        let desc = &step.outputs[output];
        if is_accumulator(desc.dtype) || spec.results == Results::Slots || spec.rounds == 1 {
            return Self { output, operand: Operand::Output(output) };
        }
        scratch.push((desc.elements() * size_of::<f32>()).max(16) as u64);
        Self { output, operand: Operand::Scratch(scratch.len() - 1) }
    }

    /// The type that it has where it goes.
    pub(super) fn dtype(&self, step: &StepDesc) -> DType {
        if matches!(self.operand, Operand::Output(_)) { step.outputs[self.output].dtype } else { DType::F32 }
    }

    /// Rounds what lies in scratch.
    pub(super) fn rounded(&self, step: &StepDesc, caps: &Caps) -> Result<Option<Dispatch>> {
        match self.operand {
            Operand::Output(_) => Ok(None),
            partial => {
                let (desc, result) = (&step.outputs[self.output], Operand::Output(self.output));
                add_splits(partial, desc, result, 1, caps).map(Some)
            }
        }
    }
}
