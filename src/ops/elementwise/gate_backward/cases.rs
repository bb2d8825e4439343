//! Conformance cases: every activation, both gates, vector and scalar widths, empty axes, factors far out.

use super::{NAME, gate_backward};
use crate::check::{Bench, Case, DIVISION_ULPS, Work, exp_ulps};
use crate::ops::Gate;
use crate::ops::elementwise::Activation;
use crate::ops::elementwise::activation_backward::slope_ulps;
use crate::tensor::{DType, HostTensor};

pub(crate) fn cases() -> Vec<Case> {
    let shapes: [(&'static [usize], usize); 6] =
        [(&[], 1), (&[5], 63), (&[2, 3], 64), (&[9], 4), (&[3], 0), (&[0, 2], 3)];
    let mut cases = Vec::new();
    for activation in Activation::ALL {
        // The function itself is a result too.
        let ulps = slope_ulps(activation).max(exp_ulps(1.2) + DIVISION_ULPS);
        for gate in [Gate::First, Gate::Second] {
            for dtype in [DType::F32, DType::F16] {
                // Every shape for one activation: where factors lie does not depend on it.
                let shapes = if activation == Activation::Silu { &shapes[..] } else { &shapes[1..3] };
                for &(leading, width) in shapes {
                    let of_width = |width: usize| [leading, &[width]].concat();
                    let (z_shape, shape) = (of_width(2 * width), of_width(width));
                    let label =
                        format!("{activation:?} {gate:?} {dtype} {}", crate::Shape::from(&z_shape[..]));
                    let case = Case::new(NAME, label, move |problem| {
                        let z = problem.random("z", dtype, z_shape.clone(), 4.0)?;
                        let upstream = problem.random("upstream", dtype, shape.clone(), 2.0)?;
                        Ok(vec![gate_backward(&mut problem.graph, z, upstream, gate, activation)?])
                    });
                    cases.push(case.builtin_ulps(ulps));
                }
            }
            let label = format!("{activation:?} {gate:?} beyond f16");
            let case = Case::new(NAME, label, move |problem| {
                let z = [1e18, -1e18, 2.0, -1e30, 3.0, -2.0, 1e18, 0.5];
                let z = problem.input("z", HostTensor::f32([2, 4], z.to_vec())?)?;
                let upstream = HostTensor::f32([2, 2], vec![1.0, -2.0, 0.5, 3.0])?;
                let upstream = problem.input("upstream", upstream)?;
                Ok(vec![gate_backward(&mut problem.graph, z, upstream, gate, activation)?])
            });
            cases.push(case.builtin_ulps(ulps));
        }
    }
    cases
}

/// One read of every element of both operands and one write of every factor's.
pub(crate) fn benches() -> Vec<Bench> {
    vec![Bench::new(NAME, "1M f32 a factor, Silu", Work::Bytes(20 << 20), |problem| {
        let z = problem.random("z", DType::F32, [1024, 2048], 1.0)?;
        let upstream = problem.random("upstream", DType::F32, [1024, 1024], 1.0)?;
        Ok(vec![gate_backward(&mut problem.graph, z, upstream, Gate::First, Activation::Silu)?])
    })]
}
