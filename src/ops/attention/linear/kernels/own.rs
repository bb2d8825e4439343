//! Gradients of features from those of all pairs but a time's own, and these by themselves, times the features, which is what decays have a
//! gradient from.

use super::{Frame, Rows, rows};
use crate::Result;
use crate::kernel::{Kernel, Operand, wgsl};
use crate::ops::contract::to_u32;

/// The rows of one side.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Own {
    pub(in super::super) label: &'static str,
    pub(in super::super) rows_are_keys: bool,
    /// Features of queries and keys, what keys add to the state, and the gradients of what queries gather.
    pub(in super::super) x: Rows,
    pub(in super::super) y: Rows,
    pub(in super::super) v: Rows,
    pub(in super::super) n: Rows,
    /// What all pairs but a row's own give, in scratch memory.
    pub(in super::super) others: Rows,
    /// Whether queries add a number to their scores.
    pub(in super::super) addends: bool,
    /// Where gradients and products go, as far as anybody wants them.
    pub(in super::super) result: Option<Rows>,
    pub(in super::super) products: Option<Rows>,
}

impl Frame<'_> {
    pub(in super::super) fn with_own(&mut self, own: &Own) -> Result<()> {
        let dims = &self.dims;
        let count = match own.rows_are_keys {
            true => [dims.batch, dims.key_time, dims.kv_heads],
            false => [dims.batch, dims.query_time, dims.heads],
        };
        let count = to_u32(self.op, "rows", count.into_iter().fold(1, usize::saturating_mul))?;
        let kernel = self
            .kernel_of_rows(own.label, wgsl!("attention/linear/own.wgsl.j2"))
            .constant("ROWS_ARE_KEYS", own.rows_are_keys)
            .constant("PACKS", own.others.packs() as u32)
            .constant("VALUE_PACKS", own.v.packs() as u32)
            .constant("ADDENDS", own.addends)
            .constant("SCALE", self.rule.scale)
            .params(self.params(1, 1, 1)?)
            .turns((2 * own.others.packs() + own.v.packs() * self.dims.group()) as u64);
        let kernel = own.n.read(own.v.read(own.y.read(own.x.read(kernel, "x"), "y"), "v"), "n");
        let kernel = own.others.read(kernel, "others");
        let kernel = put(put(kernel, "result", own.result), "products", own.products);
        let dispatch = kernel.per_element(count, self.caps);
        self.push(dispatch);
        Ok(())
    }

    /// Memory for a row of `size` channels for each query of each head.
    pub(in super::super) fn scratch_query_rows(&mut self, size: usize) -> Operand {
        let rows = self.dims.batch * self.dims.query_time * self.dims.heads;
        self.scratch(16 * (rows * size.div_ceil(4)) as u64)
    }
}

/// The kernel with `put_NAME`, which does nothing where nobody wants the rows.
fn put(kernel: Kernel, name: &'static str, rows: Option<Rows>) -> Kernel {
    match rows {
        Some(rows) => rows.write(kernel, name),
        None => {
            let text = format!("fn put_{name}(place: u32, pack: u32, value: vec4<f32>) {{\n}}\n");
            kernel.generated([rows::generated(text)])
        }
    }
}
