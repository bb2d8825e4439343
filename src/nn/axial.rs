//! Axial position embeddings: a position's row is that of its column beside that of its line (Ho et al., arXiv 1912.12180; in Reformers,
//! Kitaev et al., 2001.04451, section 4, and Hugging Face's code).

use super::parameter;
use crate::graph::{Graph, Value};
use crate::ops::{broadcast, concat, gather_rows, reshape};
use crate::tensor::DType;
use crate::weights::{Scope, Weight};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "axial positions";

/// Positions laid out in lines of a plane: the table of `a * b` positions takes `a + b` rows.
#[derive(Clone, Debug)]
pub struct AxialPositions {
    lines: Weight,
    columns: Weight,
}

impl AxialPositions {
    /// Declares `weights.0: [a, 1, d1]` and `weights.1: [1, b, d2]` under `scope`, for `a * b` positions of `d1 + d2` channels.
    ///
    /// Fails where the scope's file has other shapes.
    pub fn declare(scope: &mut Scope<'_>, [a, b]: [usize; 2], [d1, d2]: [usize; 2]) -> Result<Self> {
        Ok(Self {
            lines: scope.weight("weights.0", [a, 1, d1])?,
            columns: scope.weight("weights.1", [1, b, d2])?,
        })
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.lines.shape().dims()[0] * self.columns.shape().dims()[1]
    }

    /// All positions: `[a * b, d1 + d2]`.
    pub fn table(&self, graph: &mut Graph, dtype: DType) -> Result<Value> {
        let (&[a, _, d1], &[_, b, d2]) = (self.lines.shape().dims(), self.columns.shape().dims()) else {
            return Err(Error::new(ErrorKind::Shape, NAME, "weights").expecting("rank 3"));
        };
        let lines = parameter(graph, &self.lines, dtype)?;
        let columns = parameter(graph, &self.columns, dtype)?;
        let lines = broadcast(graph, lines, [a, b, d1])?;
        let columns = broadcast(graph, columns, [a, b, d2])?;
        let table = concat(graph, &[lines, columns], 2)?;
        reshape(graph, table, [a * b, d1 + d2])
    }

    /// The rows of `positions`, i32 or u32 `[..]`: `[.., d1 + d2]`, zeros where there is no such position.
    pub fn record(&self, graph: &mut Graph, positions: Value, dtype: DType) -> Result<Value> {
        let table = self.table(graph, dtype)?;
        gather_rows(graph, table, positions)
    }
}
