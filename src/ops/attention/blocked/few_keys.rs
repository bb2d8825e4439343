//! A few keys of each query, gathered one by one: those of a mask that shows keys at distances that are the same for all, as LogSparse ones do, or
//! those at given positions. Tiles share no key between the queries of a distance, whose columns they would compute for all their rows.

use super::super::indexed::find_statistics;
use super::super::rules::{KeyDistances, Rule};
use super::{Attended, log_sum_exps, rows, uses_fragments, walk};
use crate::Result;
use crate::graph::StepDesc;
use crate::kernel::{Caps, Choice, Dispatch, Kernel, Lowered, Operand, Source, Tier, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::contract::to_u32;
use crate::tensor::DType;

const NAME: &str = "attention/few_keys";

/// What the backward passes know of each row.
const FOUND: Operand = Operand::Scratch(0);

params! {
    struct DistancesParams {
        heads: u32,
        time: u32,
        local: u32,
        per_period: u32,
        period: u32,
        scale: f32,
    }
}

params! {
    struct ListedParams {
        heads: u32,
        time: u32,
        kv_heads: u32,
        key_time: u32,
        scale: f32,
    }
}

/// Which keys each query sees.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) enum Keys {
    At(KeyDistances),
    /// So many, at the positions that an operand of a type has: `[batch, heads, query_time, count]`.
    Listed(Operand, DType, usize),
}

/// A step's problem.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::attention) struct FewKeys {
    pub(in crate::ops::attention) keys: Keys,
    pub(in crate::ops::attention) dims: Dims,
    pub(in crate::ops::attention) dtype: DType,
    pub(in crate::ops::attention) scale: f32,
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
        Some(Self { keys: Keys::At(distances), dims, dtype, scale: rule.scale as f32 })
    }

    fn count(&self) -> usize {
        match self.keys {
            Keys::At(KeyDistances { count, .. }) | Keys::Listed(.., count) => count,
        }
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
        let (dims, lanes, count) = (&self.dims, self.lanes(), self.count());
        let number = |number: usize| to_u32(NAME, "keys", number);
        let sources =
            [source, wgsl!("attention/blocked/few_keys/pairs.wgsl.j2"), wgsl!("attention/softmax.wgsl")];
        let packs = (dims.head_size.max(dims.value_size) as u64).div_ceil(lanes.into());
        let kernel = Kernel::new(NAME, sources)
            .lanes(lanes)
            .read("query", Operand::Input(0), self.dtype)
            .read("key", Operand::Input(1), self.dtype)
            .read("value", Operand::Input(2), self.dtype)
            .constant("KEYS", number(count)?)
            .constant("LISTED", matches!(self.keys, Keys::Listed(..)))
            .constant("PACK", lanes)
            .constant("KEY_PACKS", dims.head_size as u32 / lanes)
            .constant("VALUE_PACKS", dims.value_size as u32 / lanes)
            .turns(sums * packs);
        let [heads, time] = [number(dims.heads)?, number(dims.query_time)?];
        let kernel = match self.keys {
            Keys::At(KeyDistances { local, per_period, period, .. }) => {
                kernel.source(wgsl!("attention/blocked/few_keys/distances.wgsl")).params(DistancesParams {
                    heads,
                    time,
                    local: number(local)?,
                    per_period: number(per_period)?,
                    period: number(period)?,
                    scale: self.scale,
                })
            }
            Keys::Listed(keys, dtype, _) => kernel
                .source(wgsl!("attention/over/listed.wgsl"))
                .read_elements("keys", keys, dtype)
                .params(ListedParams {
                    heads,
                    time,
                    kv_heads: number(dims.kv_heads)?,
                    key_time: number(dims.key_time)?,
                    scale: self.scale,
                }),
        };
        let constants = walk::score_constants().into_iter();
        Ok(constants.fold(kernel, |kernel, (name, value)| kernel.constant(name, value)))
    }

    fn choice(&self, pass: &str, caps: &Caps) -> Choice {
        Choice {
            tier: Tier::Streaming,
            kernel: format!("{pass}{} keys of each query, gathered", self.count()).into(),
            reason: format!("{}: queries share few keys", caps.adapter.name()).into(),
        }
    }

    /// The forward pass of a step whose outputs are those of blocked attention.
    pub(in crate::ops::attention) fn forward(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let mut scratch = Vec::new();
        let statistics = rows::statistics_of(step, &mut scratch);
        let attend = self
            .kernel(wgsl!("attention/blocked/few_keys/forward.wgsl.j2"), 2)?
            .write("out", Operand::Output(0), self.dtype)
            .write_elements("statistics", statistics, DType::F32)
            .per_element(to_u32(NAME, "rows", self.rows())?, caps);
        let mut dispatches = vec![attend];
        if step.wanted[1] {
            dispatches.push(log_sum_exps(self.rows(), statistics, Operand::Output(1), caps)?);
        }
        Ok(Lowered::Kernels { choice: self.choice("", caps), dispatches, scratch })
    }

    /// One pass of the backward pass, whose kernel begins with what the rows know.
    fn pass(&self, owns_keys: bool, attended: &Attended<Operand>) -> Result<Kernel> {
        Ok(self
            .kernel(wgsl!("attention/blocked/few_keys/backward.wgsl.j2"), 4)?
            .read("d_out", attended.d_out, self.dtype)
            .read_elements("row_statistics", FOUND, DType::U32)
            .constant("OWNS_KEYS", owns_keys))
    }

    /// Scratch for what rows know, the first, and what finds it.
    fn statistics(&self, attended: &Attended<Operand>, caps: &Caps) -> Result<(u64, Dispatch)> {
        let bytes = (self.rows().max(1) * 3 * size_of::<f32>()) as u64;
        let of_rows = (self.dims.query_time, self.dtype);
        Ok((bytes, find_statistics(NAME, &self.dims, of_rows, attended, FOUND, caps)?))
    }

    /// The pass of queries over listed keys, with two outputs: their gradients, and of each pair its weight and `scale` times its score's gradient.
    pub(in crate::ops::attention) fn backward_of_queries(
        &self,
        attended: &Attended<Operand>,
        step: &StepDesc,
        caps: &Caps,
    ) -> Result<Lowered> {
        let (bytes, statistics) = self.statistics(attended, caps)?;
        let output = |output: usize| step.wanted[output].then_some(Operand::Output(output));
        let kernel = self
            .pass(false, attended)?
            .write_if("dq", output(0), self.dtype)
            .lanes(1)
            .write_if("pairs", output(1), DType::F32)
            .lanes(self.lanes());
        let dispatches = vec![statistics, kernel.per_element(to_u32(NAME, "rows", self.rows())?, caps)];
        Ok(Lowered::Kernels { choice: self.choice("backward ", caps), dispatches, scratch: vec![bytes] })
    }
}

/// The forward pass, where a mask shows few keys.
pub(super) fn lower(rule: &Rule, step: &StepDesc, caps: &Caps) -> Result<Option<Lowered>> {
    FewKeys::of(rule, step, caps).map(|few| few.forward(step, caps)).transpose()
}

/// The backward pass, where a mask shows few keys.
pub(super) fn lower_backward(
    rule: &Rule,
    attended: &Attended<Operand>,
    step: &StepDesc,
    caps: &Caps,
) -> Result<Option<Lowered>> {
    let Some(few) = FewKeys::of(rule, step, caps) else { return Ok(None) };
    let (bytes, statistics) = few.statistics(attended, caps)?;
    let mut dispatches = vec![statistics];
    for (owns_keys, results) in [(false, &[("dq", 0)][..]), (true, &[("dk", 1), ("dv", 2)])] {
        if !results.iter().any(|&(_, output)| step.wanted[output]) {
            continue;
        }
        let kernel = few.pass(owns_keys, attended)?;
        let kernel = results.iter().fold(kernel, |kernel, &(name, output)| {
            kernel.write_if(name, step.wanted[output].then_some(Operand::Output(output)), few.dtype)
        });
        dispatches.push(kernel.per_element(to_u32(NAME, "rows", few.rows())?, caps));
    }
    Ok(Some(Lowered::Kernels { choice: few.choice("backward ", caps), dispatches, scratch: vec![bytes] }))
}
