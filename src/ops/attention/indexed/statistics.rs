//! What the backward passes know of each row of the output, here and where keys are gathered one by one.

use crate::Result;
use crate::kernel::{Caps, Dispatch, Kernel, Operand, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::blocked::{Attended, walk};
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    struct StatisticsParams {
        start: u32,
        query_time: u32,
        kv_heads: u32,
    }
}

/// Finds maximum, inverse sum and `D` of each row of an output of that time and type.
pub(in crate::ops::attention) fn find_statistics(
    op: &'static str,
    dims: &Dims,
    (time, dtype): (usize, DType),
    attended: &Attended<Operand>,
    found: Operand,
    caps: &Caps,
) -> Result<Dispatch> {
    let lanes = walk::pack_lanes(dims.value_size);
    let sources = [wgsl!("attention/blocked/backward/statistics.wgsl"), wgsl!("attention/softmax.wgsl")];
    let kernel = Kernel::new("attention/indexed_backward/statistics", sources)
        .read_if("d_lse", attended.d_lse, DType::F32)
        .lanes(lanes)
        .read("out", attended.out, dtype)
        .read("d_out", attended.d_out, dtype)
        .read_elements("statistics", attended.statistics, DType::F32)
        .write_elements("aux_buffer", found, DType::U32)
        .constant("GROUP", 1)
        .constant("PACK", lanes)
        .constant("ROW_PACKS", dims.value_size as u32 / lanes)
        .turns(dims.value_size as u64 * 3)
        .params(StatisticsParams {
            start: 0,
            query_time: to_u32(op, "out", time)?,
            kv_heads: to_u32(op, "heads", dims.heads)?,
        });
    let kernel = walk::score_constants()
        .into_iter()
        .fold(kernel, |kernel, (name, value)| kernel.constant(name, value));
    Ok(kernel.per_element(to_u32(op, "rows", dims.batch * dims.heads * time)?, caps))
}
