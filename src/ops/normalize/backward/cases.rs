//! Conformance cases: widths around the vector and workgroup sizes and beyond what a lane holds, more rows than a chunk has, every
//! set of gradients, rows far from 0, constant rows.

use crate::Result;
use crate::check::{Case, DIVISION_ULPS, INVERSE_SQRT_ULPS, Problem, Random};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor, Shape};

/// The inputs of a call.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops::normalize) struct Call {
    pub(in crate::ops::normalize) x: Value,
    pub(in crate::ops::normalize) weight: Value,
    pub(in crate::ops::normalize) upstream: Value,
    pub(in crate::ops::normalize) sum_upstream: Option<Value>,
    pub(in crate::ops::normalize) eps: f32,
}

/// Appends the op to the graph of a problem and returns all its outputs.
pub(in crate::ops::normalize) type Append = fn(&mut Problem, Call) -> Result<Vec<Value>>;

#[derive(Clone, Copy, Debug)]
struct Setup {
    dtype: DType,
    shape: &'static [usize],
    mean: f32,
    spread: f32,
    eps: f32,
    carried: bool,
    /// Bit `i` stands for output `i`.
    wanted: u32,
}

impl Setup {
    fn label(&self) -> String {
        let Self { dtype, shape, mean, spread, eps, carried, wanted } = self;
        let carried = if *carried { ", a sum's gradient" } else { "" };
        let shape = Shape::from(*shape);
        format!("{dtype} {shape}, {mean} +- {spread}, eps {eps:e}{carried}, outputs {wanted:#b}")
    }

    fn build(&self, problem: &mut Problem, append: Append) -> Result<Vec<Value>> {
        let mut random = Random::new(1);
        let elements: Vec<f32> =
            (0..self.shape.iter().product()).map(|_| self.mean + self.spread * random.next_f32()).collect();
        let x = problem.input("x", HostTensor::from_f32(self.dtype, self.shape, &elements)?)?;
        let weight = problem.random("weight", self.dtype, [self.shape[self.shape.len() - 1]], 1.5)?;
        let upstream = problem.random("upstream", self.dtype, self.shape, 1.0)?;
        let sum_upstream =
            self.carried.then(|| problem.random("sum upstream", self.dtype, self.shape, 1.0)).transpose()?;
        let outputs = append(problem, Call { x, weight, upstream, sum_upstream, eps: self.eps })?;
        Ok((0..).zip(outputs).filter(|(i, _)| self.wanted >> i & 1 == 1).map(|(_, output)| output).collect())
    }
}

/// Cases for an op with `outputs` outputs.
pub(in crate::ops::normalize) fn cases_of(name: &'static str, outputs: u32, append: Append) -> Vec<Case> {
    // The reciprocal root, thrice where it is squared beside itself, and the division of each of the means.
    let ulps = 3.0 * INVERSE_SQRT_ULPS + 4.0 * DIVISION_ULPS;
    setups((1 << outputs) - 1)
        .into_iter()
        .map(|setup| {
            Case::new(name, setup.label(), move |problem| setup.build(problem, append)).builtin_ulps(ulps)
        })
        .collect()
}

fn setups(all: u32) -> Vec<Setup> {
    let shapes: [&'static [usize]; 12] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[17, 64],
        &[16, 65],
        &[3, 11, 97],
        &[65, 384],
        &[2, 1000],
        &[3, 4097],
        &[20_000, 1],
    ];
    let plain =
        |dtype, shape| Setup { dtype, shape, mean: 0.0, spread: 2.0, eps: 1e-5, carried: false, wanted: all };
    let mut setups = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        setups.extend(shapes.map(|shape| plain(dtype, shape)));
        let wide_and_odd: [&'static [usize]; 3] = [&[35, 64], &[35, 97], &[2, 4097]];
        for shape in wide_and_odd {
            setups.extend((1..all).map(|wanted| Setup { wanted, ..plain(dtype, shape) }));
            setups.push(Setup { carried: true, ..plain(dtype, shape) });
        }
        setups.push(Setup { carried: true, wanted: 2, ..plain(dtype, &[35, 64]) });
        // A larger eps than models have: gradients of constant rows grow with its reciprocal root, beyond f16.
        for width in [&[3, 64], &[3, 63]] {
            setups.push(Setup { mean: 3.0, spread: 0.0, eps: 1e-3, ..plain(dtype, width) });
            setups.push(Setup { spread: 0.0, eps: 1e-3, ..plain(dtype, width) });
        }
    }
    let far: [&'static [usize]; 5] = [&[9, 2], &[5, 63], &[5, 384], &[3, 1000], &[3, 4097]];
    setups.extend(far.map(|shape| Setup { mean: 1e4, spread: 1.0, ..plain(DType::F32, shape) }));
    setups.extend(far.map(|shape| Setup { mean: -100.0, spread: 1.0, ..plain(DType::F16, shape) }));
    setups.push(Setup { spread: 6e4, ..plain(DType::F16, &[3, 97]) });
    setups
}
