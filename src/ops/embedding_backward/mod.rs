//! The gradient of a table of embeddings: `d_table[row] = sum of upstream[t] over the tokens t with ids[t] = row`.
//!
//! The tokens of a row are found by sorting, so that they are added in their order without atomics, and a second run gives the same
//! bits.

#[cfg(feature = "check")]
mod cases;
mod kernels;
mod reference;

use super::contract::Contract;
use crate::Result;
use crate::graph::{Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "embedding_backward";

#[derive(Clone, Copy, Debug)]
struct EmbeddingBackward {
    rows: usize,
}

/// The gradient of [`embedding`](super::embedding()) with respect to a table of `rows` rows, `[rows, width]`, for its `ids: [..]`,
/// i32 or u32, and `upstream: [.., width]`, f32 or f16, whose type the result has. Ids that the table has no row for add nothing.
///
/// Sums are f32 whatever the storage. The tables of a sum of embeddings share one upstream, and have a step each. A gradient larger
/// than a storage binding of the device is refused when it is planned. Fails when shapes or types do not fit, or there are no
/// rows.
pub fn embedding_backward(graph: &mut Graph, ids: Value, upstream: Value, rows: usize) -> Result<Value> {
    graph.push_builtin_one(EmbeddingBackward { rows }, &[ids, upstream])
}

impl Op for EmbeddingBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["ids", "upstream"])?;
        let (ids, upstream) = (&inputs[0], &inputs[1]);
        contract.integer("ids", ids)?;
        contract.float("upstream", upstream)?;
        match upstream.shape.dims().split_last() {
            Some((&width, leading)) if width > 0 && leading == ids.shape.dims() => {
                if self.rows == 0 {
                    return Err(contract.argument_error("rows").expecting("at least one").but_found(0));
                }
                Ok(vec![TensorDesc::new(upstream.dtype, [self.rows, width])])
            }
            _ => Err(contract
                .shape_error("upstream")
                .expecting(format!("the shape {} of ids with an axis of at least 1 behind it", ids.shape))
                .but_found(&upstream.shape)),
        }
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![reference::backward(inputs[0], inputs[1], self.rows)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(self.rows, step, caps)
    }
}
