//! Benchmarks, and conformance cases: widths around the vector and workgroup sizes, beyond what a lane holds and beyond what its loops
//! may be, every set of optional arguments and of gradients, rows far from 0, constant rows.

use super::{Kind, append, append_with_sum, backward};
use crate::Result;
use crate::check::{Bench, Case, DIVISION_ULPS, INVERSE_SQRT_ULPS, Problem, Random, Work};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor, Shape};

/// Of [`layer_norm`](super::layer_norm()).
pub(crate) mod layer_norm {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Kind::Layer)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Kind::Layer)
    }
}

/// Of [`rms_norm`](super::rms_norm()).
pub(crate) mod rms_norm {
    use super::*;

    pub(crate) fn cases() -> Vec<Case> {
        cases_of(Kind::Rms)
    }

    pub(crate) fn benches() -> Vec<Bench> {
        benches_of(Kind::Rms)
    }
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    kind: Kind,
    dtype: DType,
    shape: &'static [usize],
    mean: f32,
    spread: f32,
    eps: f32,
    bias: bool,
    residual: bool,
    sum: bool,
}

impl Setup {
    fn label(&self) -> String {
        let Self { dtype, shape, mean, spread, eps, .. } = self;
        let mut label = format!("{dtype} {}, {mean} +- {spread}, eps {eps:e}", Shape::from(*shape));
        for (part, is_there) in [("bias", self.bias), ("residual", self.residual), ("sum", self.sum)] {
            if is_there {
                label = format!("{label}, {part}");
            }
        }
        label
    }

    fn x(&self, problem: &mut Problem) -> Result<Value> {
        let mut random = Random::new(1);
        let elements: Vec<f32> =
            (0..self.shape.iter().product()).map(|_| self.mean + self.spread * random.next_f32()).collect();
        problem.input("x", HostTensor::from_f32(self.dtype, self.shape, &elements)?)
    }

    fn build(&self, problem: &mut Problem) -> Result<Vec<Value>> {
        let x = self.x(problem)?;
        let width = self.shape[self.shape.len() - 1];
        let weight = problem.random("weight", self.dtype, [width], 1.5)?;
        let bias = self.bias.then(|| problem.random("bias", self.dtype, [width], 0.5)).transpose()?;
        let residual =
            self.residual.then(|| problem.random("residual", self.dtype, self.shape, 2.0)).transpose()?;
        let arguments = (x, weight, bias, residual);
        if self.sum {
            let (y, sum) = append_with_sum(&mut problem.graph, self.kind, self.eps, arguments)?;
            return Ok(vec![y, sum]);
        }
        append(&mut problem.graph, self.kind, self.eps, arguments).map(|outputs| outputs[..1].to_vec())
    }
}

fn cases_of(kind: Kind) -> Vec<Case> {
    // The reciprocal root, and the division that makes a mean of a sum for each of the two means.
    let ulps = INVERSE_SQRT_ULPS + 2.0 * DIVISION_ULPS;
    let forward = setups(kind).into_iter().map(|setup| {
        let case = Case::new(kind.name(), setup.label(), move |problem| setup.build(problem));
        let case = case.builtin_ulps(ulps);
        // Around a constant row the result turns within steps of the root of eps.
        if setup.spread == 0.0 { case.kinked() } else { case }
    });
    forward.chain(gradients_in_part(kind)).collect()
}

fn setups(kind: Kind) -> Vec<Setup> {
    let shapes: [&'static [usize]; 14] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[17, 64],
        &[16, 65],
        &[3, 4, 97],
        &[33, 384],
        &[2, 1000],
        &[3, 4097],
        &[2, 8192],
        &[70_000, 1],
        &[600_001],
    ];
    let bias = kind.is_centred();
    let plain = |dtype, shape| Setup {
        kind,
        dtype,
        shape,
        mean: 0.0,
        spread: 2.0,
        eps: 1e-5,
        bias: false,
        residual: false,
        sum: false,
    };
    let mut setups = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        setups.extend(shapes.map(|shape| Setup { bias, ..plain(dtype, shape) }));
        let wide_and_odd: [&'static [usize]; 3] = [&[5, 64], &[5, 97], &[2, 4097]];
        for shape in wide_and_odd {
            setups.push(Setup { residual: true, bias, ..plain(dtype, shape) });
            setups.push(Setup { residual: true, sum: true, bias, ..plain(dtype, shape) });
            setups.push(Setup { residual: true, sum: true, eps: 1e-12, ..plain(dtype, shape) });
        }
        // The gradients of constant rows are as large as its reciprocal root.
        let eps = if dtype == DType::F16 { 1e-5 } else { 1e-12 };
        for width in [&[3, 64], &[3, 63]] {
            setups.push(Setup { mean: 3.0, spread: 0.0, eps, bias, ..plain(dtype, width) });
            setups.push(Setup { spread: 0.0, eps, bias, ..plain(dtype, width) });
        }
    }
    let far: [&'static [usize]; 6] = [&[9, 2], &[5, 63], &[5, 384], &[3, 1000], &[3, 4097], &[2, 8192]];
    setups.extend(far.map(|shape| Setup { mean: 1e4, spread: 1.0, bias, ..plain(DType::F32, shape) }));
    setups.extend(far.map(|shape| Setup { mean: -100.0, spread: 1.0, bias, ..plain(DType::F16, shape) }));
    setups.push(Setup { spread: 6e4, bias, ..plain(DType::F16, &[3, 97]) });
    setups
}

/// Backward passes that are asked for some of their outputs: bit `i` of `wanted` stands for output `i`.
fn gradients_in_part(kind: Kind) -> Vec<Case> {
    let all: u32 = if kind.is_centred() { 0b111 } else { 0b11 };
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        let wide_and_odd: [&'static [usize]; 3] = [&[35, 64], &[35, 97], &[2, 4097]];
        for shape in wide_and_odd {
            for (wanted, with_sum) in
                (1..=all).map(|wanted| (wanted, false)).chain([(0b10, true), (all, true)])
            {
                cases.push(gradients_of(kind, dtype, shape, (wanted, with_sum)));
            }
        }
    }
    cases.push(gradients_of(kind, DType::F32, &[600_001], (all, false)));
    // The reciprocal root, thrice where it is squared beside itself, and the division of each of the means.
    let ulps = 3.0 * INVERSE_SQRT_ULPS + 4.0 * DIVISION_ULPS;
    cases.into_iter().map(|case| case.builtin_ulps(ulps)).collect()
}

fn gradients_of(kind: Kind, dtype: DType, shape: &'static [usize], (wanted, with_sum): (u32, bool)) -> Case {
    let of_sum = if with_sum { ", with a sum's" } else { "" };
    let label = format!("gradients: {dtype} {}, {wanted:#b}{of_sum}", Shape::from(shape));
    Case::new(kind.name(), label, move |problem| {
        let outputs = append_backward(problem, kind, dtype, shape, with_sum)?;
        let wanted = (0..).zip(outputs).filter(|(i, _)| wanted >> i & 1 == 1);
        Ok(wanted.map(|(_, output)| output).collect())
    })
}

/// The backward pass of random inputs.
fn append_backward(
    problem: &mut Problem,
    kind: Kind,
    dtype: DType,
    shape: &[usize],
    with_sum: bool,
) -> Result<Vec<Value>> {
    let x = problem.random("x", dtype, shape, 2.0)?;
    let weight = problem.random("weight", dtype, [shape[shape.len() - 1]], 1.5)?;
    let upstream = problem.random("upstream", dtype, shape, 1.0)?;
    let sum_upstream = with_sum.then(|| problem.random("sum upstream", dtype, shape, 1.0)).transpose()?;
    backward::append(&mut problem.graph, kind, 1e-5, [x, weight, upstream], sum_upstream)
}

/// One read and one write of every element, and one more read where there is a residual; backward one read of x and upstream and one
/// write of dx, and for d_weight one read of both by each of its two kernels.
fn benches_of(kind: Kind) -> Vec<Bench> {
    let mut benches = Vec::new();
    for shape in [&[2048, 384], &[2048, 768], &[64, 65_536]] {
        for residual in [false, true] {
            let bytes = shape.iter().product::<usize>() * if residual { 12 } else { 8 };
            let what = if residual { " + residual" } else { "" };
            let label = format!("{} x {} f32{what}", shape[0], shape[1]);
            let setup = Setup {
                kind,
                dtype: DType::F32,
                shape,
                mean: 0.0,
                spread: 1.0,
                eps: 1e-5,
                bias: kind.is_centred(),
                residual,
                sum: false,
            };
            let work = Work::Bytes(bytes as u64);
            benches.push(Bench::new(kind.name(), label, work, move |problem| setup.build(problem)));
        }
    }
    for shape in [[4096, 384], [4096, 768], [64, 65_536]] {
        for (output, (part, passes)) in [("dx", 3), ("d_weight", 4)].into_iter().enumerate() {
            let work = Work::Bytes((shape[0] * shape[1] * 4 * passes) as u64);
            let label = format!("backward {} x {} f32, {part}", shape[0], shape[1]);
            benches.push(Bench::new(kind.name(), label, work, move |problem| {
                let outputs = append_backward(problem, kind, DType::F32, &shape, false)?;
                Ok(vec![outputs[output]])
            }));
        }
    }
    benches
}
