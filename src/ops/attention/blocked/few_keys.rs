//! Masks that show each query a few keys at distances that are the same for all, as LogSparse ones do: keys and values are gathered, one by one.
//! Tiles share no key between the queries of a distance, whose columns they would compute for all their rows.

use super::super::indexed::residues::{Attended, find_statistics};
use super::super::rules::{KeyDistances, Rule};
use super::{log_sum_exps, uses_fragments, walk};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Kernel, Lowered, Operand, Source, Tier, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::contract::to_u32;
use crate::tensor::DType;

const NAME: &str = "attention/few_keys";

params! {
    struct FewParams {
        heads: u32,
        time: u32,
        local: u32,
        per_period: u32,
        period: u32,
        scale: f32,
    }
}

/// A step's problem.
struct FewKeys {
    distances: KeyDistances,
    dims: Dims,
    dtype: DType,
    scale: f32,
}

impl FewKeys {
    /// None where the mask shows more or other keys, and where fragments walk over it.
    fn of(rule: &Rule, step: &StepDesc, caps: &Caps) -> Option<Self> {
        let dims = Dims::of(&step.inputs[0], &step.inputs[1], &step.inputs[2]);
        let dtype = step.inputs[0].dtype;
        let distances = rule.few_distances(&dims)?;
        if uses_fragments(rule, &dims, dtype, caps) {
            return None;
        }
        Some(Self { distances, dims, dtype, scale: rule.scale as f32 })
    }

    /// Elements of a pack.
    fn lanes(&self) -> u32 {
        let is_whole = |size: usize| size.is_multiple_of(4);
        if is_whole(self.dims.head_size) && is_whole(self.dims.value_size) { 4 } else { 1 }
    }

    fn rows(&self) -> usize {
        self.dims.batch * self.dims.query_time * self.dims.heads
    }

    /// A kernel of `source` with query, key and value; `sums` is how often it goes through channels.
    fn kernel(&self, source: Source, sums: u64) -> Result<Kernel> {
        let (dims, lanes) = (&self.dims, self.lanes());
        let number = |number: usize| to_u32(NAME, "keys", number);
        let KeyDistances { local, per_period, period, count } = self.distances;
        let sources =
            [source, wgsl!("attention/blocked/few_keys/pairs.wgsl"), wgsl!("attention/softmax.wgsl")];
        let packs = (dims.head_size.max(dims.value_size) as u64).div_ceil(lanes.into());
        let kernel = Kernel::new(NAME, sources)
            .lanes(lanes)
            .read("query", Operand::Input(0), self.dtype)
            .read("key", Operand::Input(1), self.dtype)
            .read("value", Operand::Input(2), self.dtype)
            .constant("KEYS", number(count)?)
            .constant("PACK", lanes)
            .constant("KEY_PACKS", dims.head_size as u32 / lanes)
            .constant("VALUE_PACKS", dims.value_size as u32 / lanes)
            .turns(sums * packs * (1 + count as u64 * u64::from(lanes)))
            .params(FewParams {
                heads: number(dims.heads)?,
                time: number(dims.query_time)?,
                local: number(local)?,
                per_period: number(per_period)?,
                period: number(period)?,
                scale: self.scale,
            });
        let constants = walk::score_constants().into_iter();
        Ok(constants.fold(kernel, |kernel, (name, value)| kernel.constant(name, value)))
    }

    fn choice(&self, pass: &str, caps: &Caps) -> Choice {
        Choice {
            tier: Tier::Streaming,
            kernel: format!("{pass}{} keys of each query, gathered", self.distances.count).into(),
            reason: format!("{}: queries share few keys", caps.adapter.name()).into(),
        }
    }
}

/// The forward pass, where keys are few.
pub(super) fn lower(rule: &Rule, step: &StepDesc, caps: &Caps) -> Result<Option<Lowered>> {
    let Some(few) = FewKeys::of(rule, step, caps) else { return Ok(None) };
    let mut scratch = Vec::new();
    let statistics = match step.wanted[2] {
        true => Operand::Output(2),
        false => {
            scratch.push(step.outputs[2].buffer_bytes());
            Operand::Scratch(0)
        }
    };
    let attend = few
        .kernel(wgsl!("attention/blocked/few_keys/forward.wgsl.j2"), 2)?
        .write("out", Operand::Output(0), few.dtype)
        .write_elements("statistics", statistics, DType::F32)
        .per_element(to_u32(NAME, "rows", few.rows())?, caps);
    let mut dispatches = vec![attend];
    if step.wanted[1] {
        dispatches.push(log_sum_exps(few.rows(), statistics, Operand::Output(1), caps)?);
    }
    Ok(Some(Lowered::Kernels { choice: few.choice("", caps), dispatches, scratch }))
}

/// The backward pass, where keys are few.
pub(super) fn lower_backward(
    rule: &Rule,
    attended: &Attended,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Option<Lowered>> {
    let Some(few) = FewKeys::of(rule, step, caps) else { return Ok(None) };
    let scratch = vec![(few.rows().max(1) * 3 * size_of::<f32>()) as u64];
    let found = Operand::Scratch(0);
    let of_rows = (few.dims.query_time, few.dtype);
    let mut dispatches = vec![find_statistics(NAME, &few.dims, of_rows, attended, found, caps)?];
    for (owns_keys, results) in [(false, &[("dq", 0)][..]), (true, &[("dk", 1), ("dv", 2)])] {
        if !results.iter().any(|&(_, output)| step.wanted[output]) {
            continue;
        }
        let kernel = few
            .kernel(wgsl!("attention/blocked/few_keys/backward.wgsl.j2"), 4)?
            .read("d_out", attended.d_out, few.dtype)
            .read_elements("row_statistics", found, DType::U32)
            .constant("OWNS_KEYS", owns_keys);
        let kernel = results.iter().fold(kernel, |kernel, &(name, output)| {
            kernel.write_if(name, step.wanted[output].then_some(Operand::Output(output)), few.dtype)
        });
        dispatches.push(kernel.per_element(to_u32(NAME, "rows", few.rows())?, caps));
    }
    Ok(Some(Lowered::Kernels { choice: few.choice("backward ", caps), dispatches, scratch }))
}
