//! The references' matrix product, through the crate matrixmultiply, on all processor cores.

use rayon::prelude::*;

/// A matrix inside a slice: element `(row, column)` is `slice[first + row * strides[0] + column * strides[1]]`.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a, R> {
    /// What holds the matrix.
    pub slice: &'a [R],
    /// Where element (0, 0) lies.
    pub first: usize,
    /// Distance between neighbours of a column, and of a row.
    pub strides: [usize; 2],
}

impl<R> Strided<'_, R> {
    /// Whether every element of a matrix of these extents lies within the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        let last = |extent: usize, stride: usize| extent.saturating_sub(1).checked_mul(stride);
        last(rows, self.strides[0])
            .zip(last(columns, self.strides[1]))
            .and_then(|(down, right)| self.first.checked_add(down)?.checked_add(right))
            .is_some_and(|end| end < self.slice.len() && end <= isize::MAX as usize)
    }
}

/// Rows of `c` that one task computes. Fixed, so that no result depends on the number of cores.
const TASK_ROWS: usize = 32;

/// Multiply-adds below which packing and threads cost more than they save. Sums then run in order, in the type's own arithmetic,
/// which is what conformance cases compare a kernel's error with.
const PLAIN_BELOW: usize = 1 << 20;

/// The product in plain loops, in the order that reads `b` by rows.
fn plain<R: Copy + num_traits::Float + std::ops::AddAssign>(
    a: Strided<'_, R>,
    b: Strided<'_, R>,
    c: &mut [R],
    [inner, columns]: [usize; 2],
) {
    for (row, sums) in c.chunks_mut(columns).enumerate() {
        sums.fill(R::zero());
        for k in 0..inner {
            let from_a = a.slice[a.first + row * a.strides[0] + k * a.strides[1]];
            let line = b.first + k * b.strides[0];
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += from_a * b.slice[line + column * b.strides[1]];
            }
        }
    }
}

macro_rules! gemm {
    ($name:ident, $real:ty, $kernel:path) => {
        /// `c = a b` with `c` row-major: `[rows, inner] x [inner, columns]`.
        pub(super) fn $name(
            a: Strided<'_, $real>,
            b: Strided<'_, $real>,
            c: &mut [$real],
            [rows, inner, columns]: [usize; 3],
        ) {
            if inner == 0 || rows == 0 || columns == 0 {
                return c.fill(0.0);
            }
            assert!(
                a.holds(rows, inner) && b.holds(inner, columns) && c.len() == rows * columns,
                "an op's contract gives its reference operands of the extents it multiplies"
            );
            if rows.saturating_mul(inner).saturating_mul(columns) < PLAIN_BELOW {
                return plain(a, b, c, [inner, columns]);
            }
            c.par_chunks_mut(TASK_ROWS * columns).enumerate().for_each(|(task, c)| {
                let first = a.first + task * TASK_ROWS * a.strides[0];
                // SAFETY: the matrices lie within their slices, as asserted above; the task's rows are some of them.
                #[expect(unsafe_code, reason = "the crate takes pointers")]
                unsafe {
                    $kernel(
                        c.len() / columns,
                        inner,
                        columns,
                        1.0,
                        a.slice.as_ptr().add(first),
                        a.strides[0] as isize,
                        a.strides[1] as isize,
                        b.slice.as_ptr().add(b.first),
                        b.strides[0] as isize,
                        b.strides[1] as isize,
                        0.0,
                        c.as_mut_ptr(),
                        columns as isize,
                        1,
                    );
                }
            });
        }
    };
}

gemm!(sgemm, f32, matrixmultiply::sgemm);
gemm!(dgemm, f64, matrixmultiply::dgemm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_in_any_order_multiplies() {
        // a = [[1, 2, 3], [4, 5, 6]] stored by columns, b = [[1, 0], [0, 1], [2, 3]] behind one element.
        let a = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        let b = [9.0, 1.0, 0.0, 0.0, 1.0, 2.0, 3.0];
        let mut c = [f64::NAN; 4];
        let (a, b) = (
            Strided { slice: &a, first: 0, strides: [1, 2] },
            Strided { slice: &b, first: 1, strides: [2, 1] },
        );
        dgemm(a, b, &mut c, [2, 3, 2]);
        assert_eq!(c, [7.0, 11.0, 16.0, 23.0]);
        dgemm(a, b, &mut c, [2, 0, 2]);
        assert_eq!(c, [0.0; 4]);
    }

    #[test]
    fn large_products_equal_plain_ones() {
        let [rows, inner, columns] = [97, 130, 101];
        let values: Vec<f64> = (0..inner * 101).map(|i| ((i * 37 % 101) as f64 - 50.0) / 8.0).collect();
        let a = Strided { slice: &values, first: 0, strides: [1, rows] };
        let b = Strided { slice: &values, first: 3, strides: [columns - 1, 1] };
        let (mut found, mut expected) = (vec![f64::NAN; rows * columns], vec![f64::NAN; rows * columns]);
        dgemm(a, b, &mut found, [rows, inner, columns]);
        plain(a, b, &mut expected, [inner, columns]);
        // The values are multiples of 1/8 and the sums small, so every order of summation is exact.
        assert_eq!(found, expected);
    }
}
