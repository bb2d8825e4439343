//! What kernels share that give each row, along the last axis, a workgroup of its own.

use std::slice::Chunks;

use super::contract::{Contract, to_u32};
use crate::Result;
use crate::kernel::{Caps, Kernel, Lowered, Operand, Params, Source, params};
use crate::tensor::{Array, Real, TensorDesc};

params! {
    /// `width` is in packs.
    struct RowParams {
        width: u32,
    }
}

/// Rows as a kernel sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) rows: u32,
    /// Packs of a row.
    pub(super) width: u32,
    /// Elements of a pack: 4 where rows are whole vectors, else 1.
    pub(super) lanes: u32,
}

impl Rows {
    pub(super) fn of(op: &'static str, x: &TensorDesc) -> Result<Self> {
        let width = x.shape.dims().last().copied().unwrap_or(1);
        let lanes = if width.is_multiple_of(4) { 4 } else { 1 };
        Ok(Self {
            rows: to_u32(op, "rows", x.elements().checked_div(width).unwrap_or(0))?,
            width: to_u32(op, "width", width)? / lanes,
            lanes,
        })
    }

    /// The width, for kernels that need to know nothing else.
    pub(super) fn params(self) -> Params {
        RowParams { width: self.width }.into()
    }
}

/// How many of `count` values one chunk of a long sum holds: about as many as there are chunks, so that neither adding up the
/// chunks nor adding their sums takes long.
pub(super) fn chunk_length(count: u32) -> u32 {
    count.isqrt().next_power_of_two().max(16)
}

/// What the reductions of a row were chosen by.
pub(super) fn reason(caps: &Caps) -> String {
    let how = if caps.rows_are_subgroups() { ", each one subgroup" } else { "" };
    format!("{}: workgroups of {}{how}", caps.adapter.name(), caps.tuning.row_lanes)
}

/// The rows of `x`, along its last axis.
pub(super) fn slices<R: Real>(x: &Array<R>) -> Chunks<'_, R> {
    x.reals().chunks(x.dims().last().copied().unwrap_or(1).max(1))
}

/// Refuses anything but floats with at least one axis.
pub(super) fn check(contract: &Contract, argument: &'static str, x: &TensorDesc) -> Result<()> {
    contract.float(argument, x)?;
    if x.shape.rank() == 0 {
        return Err(contract.shape_error(argument).expecting("at least one axis").but_found("a scalar"));
    }
    Ok(())
}

/// The contract of gradients `dx` by a result `y` and the upstream gradient of that, both of its shape and type.
pub(super) fn gradient_contract(op: &'static str, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
    let contract = Contract::new(op);
    contract.count(inputs, &["y", "upstream"])?;
    let (y, upstream) = (&inputs[0], &inputs[1]);
    check(&contract, "y", y)?;
    contract.same("upstream", upstream, "y", y)?;
    Ok(vec![y.clone()])
}

/// The dispatch of such gradients: `tell` adds the constants of `method`, which reads each row twice, to a kernel that has its packs already.
pub(super) fn lower_gradient(
    op: &'static str,
    method: Source,
    y: &TensorDesc,
    caps: &Caps,
    tell: impl FnOnce(Kernel) -> Kernel,
) -> Result<Lowered> {
    let rows = Rows::of(op, y)?;
    let dispatch = tell(Kernel::new(op, [method]).lanes(rows.lanes))
        .read("y", Operand::Input(0), y.dtype)
        .read("upstream", Operand::Input(1), y.dtype)
        .write("dx", Operand::Output(0), y.dtype)
        .params(rows.params())
        .walks(rows.width, 2)
        .per_row(rows.rows, caps);
    let kernel = format!("{op} x{}, a workgroup a row", rows.lanes);
    Ok(Lowered::rows(kernel, vec![dispatch], Vec::new(), caps))
}

/// Holds `contract` of the gradients' op to what [`gradient_contract`] refuses.
#[cfg(test)]
pub(super) fn assert_gradient_contract(
    op: &str,
    contract: impl Fn(&[TensorDesc]) -> Result<Vec<TensorDesc>>,
) {
    use crate::ErrorKind;
    let f32 = |dims: &[usize]| TensorDesc::f32(dims);
    for (inputs, kind, argument) in [
        ([f32(&[2, 3]), f32(&[2, 1])], ErrorKind::Shape, "upstream"),
        ([f32(&[2]), TensorDesc::f16([2])], ErrorKind::Dtype, "upstream"),
        ([f32(&[]), f32(&[])], ErrorKind::Shape, "y"),
        ([TensorDesc::i32([2]), TensorDesc::i32([2])], ErrorKind::Dtype, "y"),
    ] {
        let error = contract(&inputs).unwrap_err();
        assert_eq!((error.op(), error.kind(), error.argument()), (op, kind, argument));
    }
}
