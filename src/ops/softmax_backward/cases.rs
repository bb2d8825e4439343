//! Conformance cases: widths around the vector and workgroup sizes, behind a softmax of scores far apart.

use super::{NAME, softmax_backward};
use crate::check::{Bench, Case, Work, exp_ulps};
use crate::ops::softmax;
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [&'static [usize]; 10] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[2, 64],
        &[2, 65],
        &[3, 4, 97],
        &[2, 1000],
        &[70_000, 1],
    ];
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for shape in shapes {
            let label = format!("{dtype} {}", crate::Shape::from(shape));
            cases.push(Case::new(NAME, label, move |problem| {
                // The formula holds for any y.
                let y = problem.random("y", dtype, shape, 1.0)?;
                let upstream = problem.random("upstream", dtype, shape, 2.0)?;
                Ok(vec![softmax_backward(&mut problem.graph, y, upstream)?])
            }));
        }
        let behind = Case::new(NAME, format!("{dtype} behind a softmax"), move |problem| {
            let rows = [[1e4, -1e4, 1e4, 0.0], [-1e4; 4], [7.0; 4], [1e4, 9999.0, -1e4, 1.0]];
            let x = problem.input("x", HostTensor::from_f32(dtype, [4, 4], rows.as_flattened())?)?;
            let upstream = problem.random("upstream", dtype, [4, 4], 2.0)?;
            let y = softmax(&mut problem.graph, x)?;
            Ok(vec![softmax_backward(&mut problem.graph, y, upstream)?])
        });
        // Softmax's exponential above and below its fraction bar, of y that stands in the sum too.
        cases.push(behind.builtin_ulps(4.0 * exp_ulps(1.0)));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::super::reference::backward;
    use crate::graph::Op;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::softmax::Softmax;

    #[test]
    fn the_reference_is_what_central_differences_tend_to() {
        let (x, upstream) = (random([3, 5], 1), random([3, 5], 2));
        let y = Softmax.reference(&[&x]).remove(0);
        assert_gradient(&backward(&y, &upstream), &x, |x| dot(&Softmax.reference(&[x])[0], &upstream));
    }
}

/// One read of every element of both operands and one write, the least there is.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[rows, width]: [usize; 2]| {
        let bytes = Work::Bytes((rows * width * 12) as u64);
        Bench::new(NAME, format!("{rows} x {width} f32"), bytes, move |problem| {
            let y = problem.random("y", DType::F32, [rows, width], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [rows, width], 1.0)?;
            Ok(vec![softmax_backward(&mut problem.graph, y, upstream)?])
        })
    };
    [[4096, 1024], [64, 65_536]].map(bench).into()
}
