//! A convolution along time with one kernel for all channels of a head.

use super::NAME;
use crate::graph::{Graph, Value};
use crate::ops::{Matmul, concat, matmul, pad, repeat, reshape, slice, transpose};
use crate::{Error, ErrorKind, Result};

/// The fewest positions of a block.
const SMALLEST_BLOCK: usize = 16;

/// `y_t = sum_i kernels[h, i] x_(t + i - kernel / 2)` for `x: [batch, time, heads, size]` and `kernels: [heads, kernel]`, zeros outside.
///
/// Time is cut into blocks of at least `kernel - 1` positions, so that each needs no more than itself and the next one: a product of a
/// matrix with the kernel along its diagonals, which is the same for all blocks of a head.
pub(super) fn along_time(graph: &mut Graph, x: Value, kernels: Value) -> Result<Value> {
    let (of_x, of_kernels) = (graph.desc(x)?.clone(), graph.desc(kernels)?.clone());
    let &[batch, time, heads, size] = of_x.shape.dims() else {
        return Err(Error::new(ErrorKind::Shape, NAME, "value").expecting("rank 4").but_found(&of_x.shape));
    };
    if of_kernels.dtype != of_x.dtype {
        let error = Error::new(ErrorKind::Dtype, NAME, "convolution");
        return Err(error.expecting(of_x.dtype).but_found(of_kernels.dtype));
    }
    let kernel = match *of_kernels.shape.dims() {
        [of_heads, kernel] if of_heads == heads && kernel % 2 == 1 => kernel,
        _ => {
            return Err(Error::new(ErrorKind::Shape, NAME, "convolution")
                .expecting(format!("[{heads}, kernel] of odd kernel"))
                .but_found(&of_kernels.shape));
        }
    };
    let block = (kernel - 1).max(SMALLEST_BLOCK).next_multiple_of(4);
    let blocks = time.div_ceil(block).max(1);
    // Row `r` of the windows of block `c` is position `c block + r - kernel / 2`.
    let half = kernel / 2;
    let padded = pad(graph, x, 1, half, (blocks + 1) * block)?;
    let mut halves = [padded; 2];
    for (place, rows) in halves.iter_mut().enumerate() {
        let own = slice(graph, padded, 1, place * block..(place + blocks) * block)?;
        *rows = reshape(graph, own, [batch, blocks, block, heads, size])?;
    }
    let windows = concat(graph, &halves, 2)?;
    let columns = batch * blocks * size;
    let windows = transpose(graph, windows, &[3, 2, 0, 1, 4])?;
    let windows = reshape(graph, windows, [heads, 2 * block, columns])?;
    let diagonals = diagonals(graph, kernels, block)?;
    let convolved = matmul(graph, diagonals, windows, &Matmul::new())?;
    let convolved = reshape(graph, convolved, [heads, block, batch, blocks, size])?;
    let convolved = transpose(graph, convolved, &[2, 3, 1, 0, 4])?;
    let convolved = reshape(graph, convolved, [batch, blocks * block, heads, size])?;
    slice(graph, convolved, 1, 0..time)
}

/// `[heads, block, 2 block]` with element `i` of a head's kernel at `(s, s + i)`.
///
/// Rows of one element less than there are numbers, the kernel and zeros behind it, over and over, begin one place later each time.
fn diagonals(graph: &mut Graph, kernels: Value, block: usize) -> Result<Value> {
    let heads = graph.desc(kernels)?.shape.dims()[0];
    let width = 2 * block;
    let longer = pad(graph, kernels, 1, 0, width + 1)?;
    let repeated = repeat(graph, longer, 1, block)?;
    let rows = slice(graph, repeated, 1, 0..block * width)?;
    reshape(graph, rows, [heads, block, width])
}
