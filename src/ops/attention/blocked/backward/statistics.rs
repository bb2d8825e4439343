//! Statistics of each row of the output, which all passes read from the auxiliary buffer: the forward pass's maximum and sum, and
//! `D_i = d_out_i . out_i - dL_i`.

use super::super::walk;
use super::{BlockedBackward, D_LSE, NAME};
use crate::Result;
use crate::kernel::{Caps, Dispatch, Kernel, Operand, params, wgsl};
use crate::ops::attention::Dims;
use crate::ops::attention::rules::lower::AuxBuffer;
use crate::ops::contract::to_u32;
use crate::tensor::DType;

params! {
    struct StatisticsParams {
        start: u32,
        query_time: u32,
        kv_heads: u32,
    }
}

/// The dispatch that fills `section` of the auxiliary buffer.
pub(super) fn find_statistics(
    op: &BlockedBackward,
    dims: &Dims,
    dtype: DType,
    aux: &AuxBuffer<'_>,
    section: u32,
    caps: &Caps,
) -> Result<Dispatch> {
    let rows = to_u32(NAME, "rows", dims.batch * dims.query_time * dims.heads)?;
    let lanes = walk::pack_lanes(dims.value_size);
    let params = StatisticsParams {
        start: aux.start(section),
        query_time: to_u32(NAME, "query", dims.query_time)?,
        kv_heads: to_u32(NAME, "kv_heads", dims.kv_heads)?,
    };
    let sources = [wgsl!("attention/blocked/backward/statistics.wgsl"), wgsl!("attention/softmax.wgsl")];
    let kernel = Kernel::new("attention/blocked_backward/statistics", sources)
        .read_if("d_lse", op.d_lse.then_some(Operand::Input(D_LSE)), DType::F32)
        .lanes(lanes)
        .read("out", Operand::Input(3), dtype)
        .read("d_out", Operand::Input(5), dtype)
        .read_elements("statistics", Operand::Input(4), DType::F32)
        .write_elements("aux_buffer", aux.operand(), DType::U32)
        .constant("GROUP", dims.group() as u32)
        .constant("PACK", lanes)
        .constant("ROW_PACKS", dims.value_size as u32 / lanes)
        .turns(dims.value_size as u64 * 3)
        .params(params);
    let kernel = walk::score_constants()
        .into_iter()
        .fold(kernel, |kernel, (name, value)| kernel.constant(name, value));
    Ok(kernel.per_element(rows, caps))
}
