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
            assert!(a.holds(rows, inner) && b.holds(inner, columns) && c.len() == rows * columns);
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
}
