//! Embeddings: rows of tables by id, summed. With one table it is a gather of rows; with three it is BERT's input, the sum of
//! token, position and segment embeddings (Devlin et al., arXiv 1810.04805, section 3 and figure 2).

#[cfg(feature = "check")]
mod cases;

use super::contract::Contract;
use super::index::gather_rows::kernels::{self, Layout};
use super::index::scatter_add_rows;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Lowered};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "embedding";

#[derive(Clone, Copy, Debug)]
pub(super) struct Embedding;

/// Rows of tables by id, summed: of every pair `(table, ids)`, the row of `table: [rows, width]` that each of `ids: [..]`
/// names. The result is `[.., width]`, of the tables' type.
///
/// Tables are f32 or f16, all of one type and width, with rows of their own number. Ids are i32 or u32, all of one shape, which
/// may be that of a scalar. An id that its table has no row for, negative ones among them, adds zeros: that is how positions
/// that are padding are marked. Sums are f32 whatever the storage.
///
/// A table may be larger than one storage binding of the device. Beyond three tables, or parts of such a table, the sum passes
/// through the result's own type after every third.
///
/// Fails when there is no pair, or shapes or types do not fit.
pub fn embedding(graph: &mut Graph, pairs: &[(Value, Value)]) -> Result<Value> {
    let inputs: Vec<Value> = pairs.iter().flat_map(|&(table, ids)| [table, ids]).collect();
    graph.push_builtin_one(Embedding, &inputs)
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        let [table, ids, ..] = inputs else {
            return Err(contract.argument_error("pairs").expecting("at least one").but_found("none"));
        };
        for (i, pair) in inputs.chunks_exact(2).enumerate() {
            check_table(&contract, i, &pair[0], table)?;
            contract.integer(format!("ids {i}"), &pair[1])?;
            if pair[1].shape != ids.shape {
                return Err(contract
                    .shape_error(format!("ids {i}"))
                    .expecting(format!("shape {} as of ids 0", ids.shape))
                    .but_found(&pair[1].shape));
            }
        }
        let width = table.shape.dims()[1];
        let result = TensorDesc::new(table.dtype, [ids.shape.dims(), &[width]].concat());
        result.check_rank(NAME, "result")?;
        Ok(vec![result])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (table, ids) = (inputs[0], inputs[1]);
        let width = table.dims()[1];
        let mut sums = vec![R::zero(); ids.indices().len() * width];
        for pair in inputs.chunks_exact(2) {
            let (table, rows) = (pair[0].reals(), pair[0].dims()[0]);
            for (sum, &id) in sums.chunks_mut(width).zip(pair[1].indices()) {
                let Some(row) = usize::try_from(id).ok().filter(|&row| row < rows) else { continue };
                for (sum, &element) in sum.iter_mut().zip(&table[row * width..]) {
                    *sum += element;
                }
            }
        }
        vec![Array::real([ids.dims(), &[width]].concat(), sums)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        kernels::lower(NAME, Layout { batches: 1, per_position: 1 }, step, caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let mut gradients = vec![Gradient::None; adjoint.inputs().len()];
        let Some(upstream) = adjoint.upstream(0) else { return Ok(gradients) };
        for (i, pair) in adjoint.inputs().chunks_exact(2).enumerate() {
            if adjoint.wants(2 * i) {
                let rows = graph.desc(pair[0])?.shape.dims()[0];
                gradients[2 * i] = Gradient::Whole(scatter_add_rows(graph, upstream, pair[1], &[rows])?);
            }
        }
        Ok(gradients)
    }
}

/// Refuses a table that is no matrix with elements, or differs from the first in type or width.
fn check_table(contract: &Contract, i: usize, table: &TensorDesc, first: &TensorDesc) -> Result<()> {
    let argument = format!("table {i}");
    contract.float(&argument, table)?;
    contract.dtype(&argument, table, first.dtype)?;
    let refused =
        |expected: String| Err(contract.shape_error(&argument).expecting(expected).but_found(&table.shape));
    match (table.shape.dims(), first.shape.dims()) {
        (&[rows, width], _) if rows == 0 || width == 0 => refused("at least one row and one column".into()),
        (&[_, width], &[_, expected]) if width != expected => {
            refused(format!("axis 1 (width) = {expected} as of table 0"))
        }
        ([_, _], _) => Ok(()),
        _ => refused("rank 2 [rows, width]".into()),
    }
}
