//! Conformance cases: widths around the vector and workgroup sizes, behind a log_softmax of scores far apart.

use super::{NAME, log_softmax_backward};
use crate::check::{Bench, Case, Work, exp_ulps};
use crate::ops::log_softmax;
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
            let case = Case::new(NAME, label, move |problem| {
                // The formula holds for any y.
                let y = problem.random("y", dtype, shape, 3.0)?;
                let upstream = problem.random("upstream", dtype, shape, 2.0)?;
                Ok(vec![log_softmax_backward(&mut problem.graph, y, upstream)?])
            });
            cases.push(case.builtin_ulps(exp_ulps(3.0)));
        }
        let behind = Case::new(NAME, format!("{dtype} behind a log_softmax"), move |problem| {
            let rows = [[1e4, -1e4, 1e4, 0.0], [-1e4; 4], [7.0; 4], [1e4, 9999.0, -1e4, 1.0]];
            let x = problem.input("x", HostTensor::from_f32(dtype, [4, 4], rows.as_flattened())?)?;
            let upstream = problem.random("upstream", dtype, [4, 4], 2.0)?;
            let y = log_softmax(&mut problem.graph, x)?;
            Ok(vec![log_softmax_backward(&mut problem.graph, y, upstream)?])
        });
        // Of the two exponentials, whose arguments weigh at most where they are 1, and of the logarithm between them.
        cases.push(behind.builtin_ulps(2.0 * exp_ulps(1.0) + 4.0));
        let far = Case::new(NAME, format!("{dtype} far below"), move |problem| {
            let lowest = if dtype == DType::F16 { -65_504.0 } else { f32::MIN };
            let y = HostTensor::from_f32(dtype, [2, 3], &[lowest, 0.0, lowest, -1e4, -1.0, -0.5])?;
            let y = problem.input("y", y)?;
            let upstream = problem.random("upstream", dtype, [2, 3], 2.0)?;
            Ok(vec![log_softmax_backward(&mut problem.graph, y, upstream)?])
        });
        cases.push(far.builtin_ulps(exp_ulps(1.0)));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::super::reference::backward;
    use crate::graph::Op;
    use crate::ops::differences::{assert_gradient, dot, random};
    use crate::ops::log_softmax::LogSoftmax;

    #[test]
    fn the_reference_is_what_central_differences_tend_to() {
        let (x, upstream) = (random([3, 5], 1), random([3, 5], 2));
        let y = LogSoftmax.reference(&[&x]).remove(0);
        assert_gradient(&backward(&y, &upstream), &x, |x| dot(&LogSoftmax.reference(&[x])[0], &upstream));
    }
}

/// One read of every element of both operands and one write, the least there is.
pub(crate) fn benches() -> Vec<Bench> {
    let bench = |[rows, width]: [usize; 2]| {
        let bytes = Work::Bytes((rows * width * 12) as u64);
        Bench::new(NAME, format!("{rows} x {width} f32"), bytes, move |problem| {
            let y = problem.random("y", DType::F32, [rows, width], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [rows, width], 1.0)?;
            Ok(vec![log_softmax_backward(&mut problem.graph, y, upstream)?])
        })
    };
    [[4096, 1024], [64, 65_536]].map(bench).into()
}
