//! Ids as rows with a single 1.

use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::ops::contract::{Contract, to_u32};
use crate::tensor::{Array, Real, TensorDesc};

const NAME: &str = "index/one_hot";

params! {
    struct OneHotParams {
        count_of_ids: u32,
    }
}

#[derive(Clone, Copy, Debug)]
struct OneHot {
    count: usize,
}

/// `[.., count]`, f32, with 1 where the last index is the id of `ids: [..]`, i32 or u32, and 0 elsewhere. An id that is negative or no less
/// than `count` gives a row of zeros.
///
/// Fails when ids are no integers, or the result has too many axes.
pub fn one_hot(graph: &mut Graph, ids: Value, count: usize) -> Result<Value> {
    graph.push_builtin_one(OneHot { count }, &[ids])
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let contract = Contract::new(NAME);
        contract.count(inputs, &["ids"])?;
        contract.integer("ids", &inputs[0])?;
        let result = TensorDesc::f32([inputs[0].shape.dims(), &[self.count]].concat());
        result.check_rank(NAME, "result")?;
        Ok(vec![result])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let ids = inputs[0];
        let row = |&id: &i64| {
            (0..self.count)
                .map(move |place| if usize::try_from(id) == Ok(place) { R::one() } else { R::zero() })
        };
        let rows = ids.indices().iter().flat_map(row).collect();
        vec![Array::real([ids.dims(), &[self.count]].concat(), rows)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let dispatch = Kernel::new(NAME, [wgsl!("index/one_hot.wgsl")])
            .read("ids", Operand::Input(0), step.inputs[0].dtype)
            .write("result", Operand::Output(0), step.outputs[0].dtype)
            .params(OneHotParams { count_of_ids: to_u32(NAME, "count", self.count)? })
            .per_element(to_u32(NAME, "elements", step.outputs[0].elements())?, caps);
        Ok(Lowered::elementwise(dispatch, 1))
    }

    fn backward(&self, _: &mut Graph, _: &Adjoint) -> Result<Vec<Gradient>> {
        Ok(vec![Gradient::None])
    }
}

/// Signed and unsigned ids, inside and outside, one class and none.
#[cfg(feature = "check")]
pub(crate) fn cases() -> Vec<crate::check::Case> {
    use crate::HostTensor;
    use crate::check::Case;

    let problems: [(&'static [usize], usize); 6] =
        [(&[], 3), (&[1], 1), (&[0], 4), (&[5], 0), (&[65], 7), (&[3, 21], 64)];
    let mut cases = Vec::new();
    for signed in [false, true] {
        for (shape, count) in problems {
            let label = format!(
                "{} ids {}, {count} classes",
                if signed { "i32" } else { "u32" },
                crate::Shape::from(shape)
            );
            cases.push(Case::new(NAME, label, move |problem| {
                let ids =
                    (0..shape.iter().product::<usize>()).map(|i| [i as u32 % 7, u32::MAX, i as u32][i % 3]);
                let ids = if signed {
                    HostTensor::i32(shape, ids.map(|id| id as i32).collect())?
                } else {
                    HostTensor::u32(shape, ids.collect())?
                };
                let ids = problem.input("ids", ids)?;
                Ok(vec![one_hot(&mut problem.graph, ids, count)?])
            }));
        }
    }
    cases
}

/// One write of every element.
#[cfg(feature = "check")]
pub(crate) fn benches() -> Vec<crate::check::Bench> {
    use crate::check::{Bench, Work};

    vec![Bench::new(NAME, "4096 of 256", Work::Bytes(4096 * (256 + 1) * 4), |problem| {
        let ids = (0..4096).map(|i| i * 7919 % 256).collect();
        let ids = problem.input("ids", crate::HostTensor::u32([4096], ids)?)?;
        Ok(vec![one_hot(&mut problem.graph, ids, 256)?])
    })]
}
