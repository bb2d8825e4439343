//! The elements of rows at positions: `values[row][j] = x[row][positions[row][j]]`.

use super::{PickParams, place, rows_of};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::ops::upstream;
use crate::tensor::{Array, DType, Real, TensorDesc};

#[derive(Clone, Copy, Debug)]
struct Pick {
    /// The op that it is a step of.
    name: &'static str,
}

/// Of `x: [.., length]`, of any type, the elements at `positions: [.., kept]`, u32 below `length` and all different within a row.
pub(super) fn pick(graph: &mut Graph, name: &'static str, x: Value, positions: Value) -> Result<Value> {
    graph.push_builtin_one(Pick { name }, &[x, positions])
}

impl Op for Pick {
    fn name(&self) -> &'static str {
        self.name
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Contract::new(self.name).count(inputs, &["x", "positions"])?;
        Ok(vec![TensorDesc::new(inputs[0].dtype, inputs[1].shape.clone())])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let (x, positions) = (inputs[0], inputs[1]);
        let [length, kept] = [x, positions].map(|array| array.dims().last().copied().unwrap_or(1));
        let places = positions.indices().iter().enumerate();
        let places: Vec<usize> = places.map(|(i, &position)| i / kept * length + position as usize).collect();
        vec![x.gathered(positions.dims().to_vec(), &places)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, positions) = (&step.inputs[0], &step.inputs[1]);
        let ([_, length], [rows, kept]) = (rows_of(x), rows_of(positions));
        let dispatch = Kernel::new("sort, elements in order", [wgsl!("index/sort/pick.wgsl")])
            .read("x", Operand::Input(0), x.dtype)
            .read("positions", Operand::Input(1), DType::U32)
            .write("values", Operand::Output(0), x.dtype)
            .params(PickParams {
                length: to_u32(self.name, "length", length)?,
                kept: to_u32(self.name, "k", kept)?,
            })
            .per_element(to_u32(self.name, "elements", positions.elements())?, caps);
        let reason = format!("{rows} rows of {kept}");
        Ok(Lowered::streaming("elements at positions", reason, vec![dispatch], Vec::new()))
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let length = graph.desc(adjoint.inputs()[0])?.shape.dims().last().copied().unwrap_or(1);
        let positions = adjoint.inputs()[1];
        upstream::to_input(adjoint, |upstream| place::place(graph, self.name, positions, upstream, length))
    }
}
