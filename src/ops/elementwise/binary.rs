//! Contract and kernel shared by ops of two arguments, with broadcasting: axes are matched from the last one, and an
//! axis that is missing or of extent 1 repeats.

use super::super::contract::{Contract, to_u32};
use super::super::{reshape, sum};
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, StepDesc, Value};
use crate::kernel::{Caps, Choice, Dispatch, Lowered, Operand, Shader, Source, Tier, params, wgsl};
use crate::tensor::{Array, DType, MAX_RANK, Real, Shape, TensorDesc};

/// Why a kernel handles one element at a time, or four.
pub(in crate::ops) const WIDTH_REASON: [&str; 2] =
    ["one element at a time: rows are not whole vectors", "four elements at a time"];

params! {
    /// Extents and strides in packs, innermost axis first; a stride of 0 repeats.
    struct BinaryParams {
        extents: [u32; 8],
        a_strides: [u32; 8],
        b_strides: [u32; 8],
        count: u32,
        workgroups: u32,
        rank: u32,
    }
}

/// Two floats of one type whose shapes broadcast.
pub(super) fn contract(op: &'static str, inputs: &[TensorDesc]) -> Result<TensorDesc> {
    let contract = Contract::new(op);
    contract.count(inputs, &["a", "b"])?;
    let (a, b) = (&inputs[0], &inputs[1]);
    contract.float("a", a)?;
    contract.dtype("b", b, a.dtype)?;
    let rank = a.shape.rank().max(b.shape.rank());
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        let (from_a, from_b) = (extent(&a.shape, rank, axis), extent(&b.shape, rank, axis));
        dims.push(match (from_a, from_b) {
            (1, extent) | (extent, 1) => extent,
            (x, y) if x == y => x,
            (x, y) => {
                return Err(contract
                    .shape_error("b")
                    .expecting(format!("a shape that broadcasts with {}: axis {axis} = 1 or {x}", a.shape))
                    .but_found(format!("{y} in {}", b.shape)));
            }
        });
    }
    Ok(TensorDesc::new(a.dtype, dims))
}

/// The extent of `shape` along `axis` of a result of `rank` axes; 1 where the shape has no such axis.
fn extent(shape: &Shape, rank: usize, axis: usize) -> usize {
    let missing = rank - shape.rank();
    if axis < missing { 1 } else { shape.dims()[axis - missing] }
}

/// How far apart neighbours along each axis of the result lie in `shape`; 0 where the shape repeats.
fn broadcast_strides(shape: &Shape, rank: usize) -> Vec<usize> {
    let strides = shape.strides();
    (0..rank)
        .map(|axis| if extent(shape, rank, axis) == 1 { 0 } else { strides[axis + shape.rank() - rank] })
        .collect()
}

/// `value` summed over the axes along which `like` repeats to its shape, in the shape of `like`.
pub(in crate::ops) fn sum_to(graph: &mut Graph, value: Value, like: Value) -> Result<Value> {
    let (whole, shape) = (graph.desc(value)?.shape.clone(), graph.desc(like)?.shape.clone());
    let rank = whole.rank();
    let repeats = |axis: &usize| extent(&shape, rank, *axis) == 1 && whole.dims()[*axis] != 1;
    let axes: Vec<usize> = (0..rank).filter(repeats).collect();
    let summed = if axes.is_empty() { value } else { sum(graph, value, &axes)? };
    if whole.rank() == shape.rank() { Ok(summed) } else { reshape(graph, summed, shape) }
}

/// The gradients of two operands: of each what `of_operand` makes of its number and the upstream gradient, in its shape.
pub(super) fn backward(
    graph: &mut Graph,
    adjoint: &Adjoint,
    of_operand: impl Fn(&mut Graph, usize, Value) -> Result<Value>,
) -> Result<Vec<Gradient>> {
    let mut gradients = vec![Gradient::None; 2];
    for (i, &operand) in adjoint.inputs().iter().enumerate() {
        if let Some(upstream) = adjoint.upstream(0).filter(|_| adjoint.wants(i)) {
            let broadcast = of_operand(graph, i, upstream)?;
            gradients[i] = Gradient::Whole(sum_to(graph, broadcast, operand)?);
        }
    }
    Ok(gradients)
}

/// `f` over the broadcast elements.
pub(super) fn reference<R: Real>(a: &Array<R>, b: &Array<R>, f: impl Fn(R, R) -> R) -> Array<R> {
    let rank = a.shape().rank().max(b.shape().rank());
    let dims: Vec<usize> = (0..rank)
        .map(|axis| match (extent(a.shape(), rank, axis), extent(b.shape(), rank, axis)) {
            (1, extent) | (extent, _) => extent,
        })
        .collect();
    let shape = Shape::from(dims);
    let strides = shape.strides();
    let offset = |element: usize, operand_strides: &[usize]| -> usize {
        (0..rank).map(|axis| element / strides[axis] % shape.dims()[axis] * operand_strides[axis]).sum()
    };
    let (a_strides, b_strides) = (broadcast_strides(a.shape(), rank), broadcast_strides(b.shape(), rank));
    let elements = (0..shape.elements())
        .map(|i| f(a.reals()[offset(i, &a_strides)], b.reals()[offset(i, &b_strides)]))
        .collect();
    Array::real(shape, elements)
}

/// One axis of the result, with neighbouring axes merged where both operands allow it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    extent: usize,
    a: usize,
    b: usize,
}

/// The result's axes, innermost first, as few as describe both operands.
fn merged_axes(a: &Shape, b: &Shape, result: &Shape) -> Vec<Axis> {
    let rank = result.rank();
    let (a_strides, b_strides) = (broadcast_strides(a, rank), broadcast_strides(b, rank));
    let mut axes: Vec<Axis> = Vec::new();
    for axis in (0..rank).rev() {
        let next = Axis { extent: result.dims()[axis], a: a_strides[axis], b: b_strides[axis] };
        if next.extent == 1 {
            continue;
        }
        match axes.last_mut() {
            Some(inner) if next.a == inner.a * inner.extent && next.b == inner.b * inner.extent => {
                inner.extent *= next.extent;
            }
            _ => axes.push(next),
        }
    }
    axes
}

/// One dispatch that writes `apply(a, b)` for every element of the broadcast shape; `apply` holds the files that define it.
pub(super) fn lower(label: &'static str, apply: &[Source], step: &StepDesc, caps: &Caps) -> Result<Lowered> {
    let (a, b, result) = (&step.inputs[0], &step.inputs[1], &step.outputs[0]);
    let mut axes = merged_axes(&a.shape, &b.shape, &result.shape);
    let vectors = axes.first().is_some_and(|inner| {
        inner.a == 1
            && inner.b == 1
            && axes.iter().skip(1).all(|axis| axis.a % 4 == 0 && axis.b % 4 == 0)
            && inner.extent % 4 == 0
    });
    let lanes: u32 = if vectors { 4 } else { 1 };
    if vectors {
        axes[0].extent /= 4;
        for axis in &mut axes[1..] {
            axis.a /= 4;
            axis.b /= 4;
        }
    }
    let count = to_u32(label, "elements", result.elements())? / lanes;
    let workgroups = count.div_ceil(caps.tuning.element_lanes);
    let mut params = BinaryParams {
        extents: [1; MAX_RANK],
        a_strides: [0; MAX_RANK],
        b_strides: [0; MAX_RANK],
        count,
        workgroups,
        rank: axes.len() as u32,
    };
    for (i, axis) in axes.iter().enumerate() {
        params.extents[i] = to_u32(label, "extent", axis.extent)?;
        params.a_strides[i] = to_u32(label, "stride", axis.a)?;
        params.b_strides[i] = to_u32(label, "stride", axis.b)?;
    }
    let shader = Shader::new(label, [&[wgsl!("elementwise/binary.wgsl")], apply].concat())
        .alias("Pack", result.dtype, lanes)
        .alias("Lanes", DType::F32, lanes)
        .constant("WORKGROUP", caps.tuning.element_lanes);
    Ok(Lowered::Kernels {
        choice: Choice {
            tier: Tier::Streaming,
            kernel: format!("{label} x{lanes}").into(),
            reason: WIDTH_REASON[usize::from(vectors)].into(),
        },
        dispatches: vec![Dispatch {
            shader,
            bindings: vec![
                ("a", Operand::Input(0)),
                ("b", Operand::Input(1)),
                ("result", Operand::Output(0)),
            ],
            params: params.into(),
            workgroups: workgroups.into(),
            turns: 0,
        }],
        scratch: Vec::new(),
    })
}

/// Cases for any op of two arguments: equal shapes, every kind of broadcasting, vector and scalar widths, empty values.
#[cfg(feature = "check")]
pub(super) fn cases_of(
    name: &'static str,
    op: fn(&mut crate::Graph, crate::Value, crate::Value) -> Result<crate::Value>,
) -> Vec<crate::check::Case> {
    let shapes: [(&'static [usize], &'static [usize]); 11] = [
        (&[1], &[1]),
        (&[], &[3]),
        (&[2, 63], &[2, 63]),
        (&[64, 65], &[64, 65]),
        (&[4, 1000], &[1000]),
        (&[3, 97], &[3, 1]),
        (&[2, 1, 4, 8], &[2, 5, 1, 8]),
        (&[7, 1, 3], &[1, 5, 3]),
        (&[2, 1, 2, 1, 2, 1, 2, 1], &[1, 3, 1, 3, 1, 3, 1, 3]),
        (&[0, 4], &[1, 4]),
        (&[300, 301], &[300, 301]),
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (a_shape, b_shape) in shapes {
            let label = format!("{dtype} {} and {}", Shape::from(a_shape), Shape::from(b_shape));
            cases.push(crate::check::Case::new(name, label, move |problem| {
                let a = problem.random("a", dtype, a_shape, 2.0)?;
                let b = problem.random("b", dtype, b_shape, 2.0)?;
                Ok(vec![op(&mut problem.graph, a, b)?])
            }));
        }
    }
    cases
}

/// Benchmark rows of an op on two operands: one read of every operand's element and one write.
#[cfg(feature = "check")]
pub(super) fn benches_of(
    name: &'static str,
    op: fn(&mut crate::Graph, crate::Value, crate::Value) -> Result<crate::Value>,
) -> Vec<crate::check::Bench> {
    let bench = |(label, bytes, b_shape): (&str, u64, &'static [usize])| {
        crate::check::Bench::new(name, label, crate::check::Work::Bytes(bytes), move |problem| {
            let a = problem.random("a", DType::F32, [1024, 1024], 1.0)?;
            let b = problem.random("b", DType::F32, b_shape, 1.0)?;
            Ok(vec![op(&mut problem.graph, a, b)?])
        })
    };
    [("1M f32", 12 << 20, &[1024, 1024][..]), ("1M f32, a row repeated", 8 << 20, &[1024])].map(bench).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_merge_where_both_operands_walk_them_as_one() {
        let shape = |dims: &[usize]| Shape::from(dims);
        let merged = |a: &[usize], b: &[usize], r: &[usize]| merged_axes(&shape(a), &shape(b), &shape(r));
        assert_eq!(merged(&[2, 3, 4], &[2, 3, 4], &[2, 3, 4]), [Axis { extent: 24, a: 1, b: 1 }]);
        assert_eq!(
            merged(&[2, 3, 4], &[4], &[2, 3, 4]),
            [Axis { extent: 4, a: 1, b: 1 }, Axis { extent: 6, a: 4, b: 0 }]
        );
        assert_eq!(
            merged(&[2, 1, 4], &[3, 1], &[2, 3, 4]),
            [Axis { extent: 4, a: 1, b: 0 }, Axis { extent: 3, a: 0, b: 1 }, Axis { extent: 2, a: 4, b: 0 }]
        );
        assert_eq!(merged(&[1], &[1, 1], &[1, 1]), []);
    }
}
