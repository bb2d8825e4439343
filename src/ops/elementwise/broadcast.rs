//! Operands that repeat: axes are matched from the last one, and an axis that is missing or of extent 1 repeats.

use super::super::contract::{Contract, to_u32};
use super::super::{reshape, sum};
use crate::Result;
use crate::graph::{Graph, Value};
use crate::kernel::params;
use crate::tensor::{MAX_RANK, Shape, TensorDesc};

params! {
    /// Extents and strides in packs, innermost axis first; a stride of 0 repeats.
    pub(super) struct BroadcastParams {
        extents: [u32; 8],
        first_strides: [u32; 8],
        second_strides: [u32; 8],
        third_strides: [u32; 8],
        /// All but the outermost.
        inner_axes: u32,
    }
}

/// Turns of the loop over axes.
pub(super) const MOST_TURNS: u64 = MAX_RANK as u64;

/// The shape that `operands` have in common, named for errors.
pub(super) fn shape(contract: &Contract, operands: &[(&'static str, &TensorDesc)]) -> Result<Shape> {
    let rank = operands.iter().map(|(_, desc)| desc.shape.rank()).max().unwrap_or(0);
    let mut dims = vec![1; rank];
    for (i, (argument, desc)) in operands.iter().enumerate() {
        for (axis, common) in dims.iter_mut().enumerate() {
            match (*common, extent(&desc.shape, rank, axis)) {
                (1, extent) => *common = extent,
                (_, 1) => {}
                (common, extent) if common == extent => {}
                (common, extent) => {
                    let before: Vec<String> =
                        operands[..i].iter().map(|(_, desc)| desc.shape.to_string()).collect();
                    return Err(contract
                        .shape_error(argument)
                        .expecting(format!(
                            "a shape that broadcasts with {}: axis {axis} = 1 or {common}",
                            before.join(" and ")
                        ))
                        .but_found(format!("{extent} in {}", desc.shape)));
                }
            }
        }
    }
    Ok(Shape::from(dims))
}

/// The extent of `shape` along `axis` of a result of `rank` axes; 1 where the shape has no such axis.
fn extent(shape: &Shape, rank: usize, axis: usize) -> usize {
    let missing = rank - shape.rank();
    if axis < missing { 1 } else { shape.dims()[axis - missing] }
}

/// How far apart neighbours along each axis of the result lie in `shape`; 0 where the shape repeats.
fn strides(shape: &Shape, rank: usize) -> Vec<usize> {
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

/// Which element of each operand goes with each element of the result, in order, for references.
pub(super) fn places(operands: &[&Shape], result: &Shape) -> Vec<Vec<usize>> {
    let (rank, own) = (result.rank(), result.strides());
    let place = |element: usize, strides: &[usize]| -> usize {
        (0..rank).map(|axis| element / own[axis] % result.dims()[axis] * strides[axis]).sum()
    };
    operands
        .iter()
        .map(|shape| {
            let strides = strides(shape, rank);
            (0..result.elements()).map(|element| place(element, &strides)).collect()
        })
        .collect()
}

/// One axis of the result and how far apart neighbours lie in each operand; neighbouring axes are merged where all operands allow it.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    extent: usize,
    strides: Vec<usize>,
}

/// The result's axes, innermost first, as few as describe all operands.
fn merged_axes(operands: &[&Shape], result: &Shape) -> Vec<Axis> {
    let rank = result.rank();
    let all: Vec<Vec<usize>> = operands.iter().map(|shape| strides(shape, rank)).collect();
    let mut axes: Vec<Axis> = Vec::new();
    for axis in (0..rank).rev() {
        let extent = result.dims()[axis];
        if extent == 1 {
            continue;
        }
        let strides: Vec<usize> = all.iter().map(|strides| strides[axis]).collect();
        match axes.last_mut() {
            Some(inner)
                if strides.iter().zip(&inner.strides).all(|(next, own)| *next == own * inner.extent) =>
            {
                inner.extent *= extent;
            }
            _ => axes.push(Axis { extent, strides }),
        }
    }
    axes
}

/// Which operands repeat along the innermost axis, so that one element of theirs goes with a pack of the others. None where the others cannot be
/// read in packs.
pub(super) fn repeated(operands: &[&TensorDesc], result: &TensorDesc) -> Vec<bool> {
    let none = || vec![false; operands.len()];
    let shapes: Vec<&Shape> = operands.iter().map(|desc| &desc.shape).collect();
    let axes = merged_axes(&shapes, &result.shape);
    let Some((inner, outer)) = axes.split_first() else { return none() };
    let repeats: Vec<bool> = inner.strides.iter().map(|&stride| stride == 0).collect();
    let fits = |(operand, &repeats): (usize, &bool)| {
        repeats || outer.iter().all(|axis| axis.strides[operand].is_multiple_of(4))
    };
    match inner.extent.is_multiple_of(4) && repeats.iter().enumerate().all(fits) {
        true => repeats,
        false => none(),
    }
}

/// How a kernel walks over two or three operands: elements of a pack, packs of the result, and its parameters.
pub(super) fn walk(
    op: &'static str,
    operands: &[&TensorDesc],
    result: &TensorDesc,
) -> Result<(u32, u32, BroadcastParams)> {
    walk_repeated(op, operands, result, &vec![false; operands.len()])
}

/// The same where the operands of `repeated` are read an element at a time, whose strides are those of elements.
pub(super) fn walk_repeated(
    op: &'static str,
    operands: &[&TensorDesc],
    result: &TensorDesc,
    repeated: &[bool],
) -> Result<(u32, u32, BroadcastParams)> {
    let shapes: Vec<&Shape> = operands.iter().map(|desc| &desc.shape).collect();
    let mut axes = merged_axes(&shapes, &result.shape);
    let whole = |elements: &usize| elements.is_multiple_of(4);
    let has_repeated = repeated.contains(&true);
    let vectors = axes.split_first().is_some_and(|(inner, outer)| {
        inner.strides.iter().all(|&stride| stride == 1)
            && whole(&inner.extent)
            && outer.iter().all(|axis| axis.strides.iter().all(whole))
    });
    let lanes: u32 = if vectors || has_repeated { 4 } else { 1 };
    if let (4, Some((inner, outer))) = (lanes, axes.split_first_mut()) {
        inner.extent /= 4;
        for (stride, _) in outer
            .iter_mut()
            .flat_map(|axis| axis.strides.iter_mut().zip(repeated))
            .filter(|(_, repeated)| !**repeated)
        {
            *stride /= 4;
        }
    }
    let mut params = BroadcastParams {
        extents: [1; MAX_RANK],
        first_strides: [0; MAX_RANK],
        second_strides: [0; MAX_RANK],
        third_strides: [0; MAX_RANK],
        inner_axes: axes.len().saturating_sub(1) as u32,
    };
    for (i, axis) in axes.iter().enumerate() {
        params.extents[i] = to_u32(op, "extent", axis.extent)?;
        let all = [&mut params.first_strides, &mut params.second_strides, &mut params.third_strides];
        for (strides, &stride) in all.into_iter().zip(&axis.strides) {
            strides[i] = to_u32(op, "stride", stride)?;
        }
    }
    Ok((lanes, to_u32(op, "elements", result.elements())? / lanes, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_merge_where_all_operands_walk_them_as_one() {
        let merged = |a: &[usize], b: &[usize], r: &[usize]| -> Vec<(usize, usize, usize)> {
            let axes = merged_axes(&[&Shape::from(a), &Shape::from(b)], &Shape::from(r));
            axes.iter().map(|axis| (axis.extent, axis.strides[0], axis.strides[1])).collect()
        };
        assert_eq!(merged(&[2, 3, 4], &[2, 3, 4], &[2, 3, 4]), [(24, 1, 1)]);
        assert_eq!(merged(&[2, 3, 4], &[4], &[2, 3, 4]), [(4, 1, 1), (6, 4, 0)]);
        assert_eq!(merged(&[2, 1, 4], &[3, 1], &[2, 3, 4]), [(4, 1, 0), (3, 0, 1), (2, 4, 0)]);
        assert_eq!(merged(&[1], &[1, 1], &[1, 1]), []);
    }
}
