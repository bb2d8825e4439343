//! Conformance cases shared by the ops with a weight: widths around the vector and workgroup sizes and beyond what a lane
//! holds, every set of optional arguments, rows far from 0, constant rows.

use crate::Result;
use crate::check::{Case, DIVISION_ULPS, INVERSE_SQRT_ULPS, Problem, Random};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor, Shape};

/// The optional parts of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Call {
    pub(super) eps: f32,
    pub(super) bias: Option<Value>,
    pub(super) residual: Option<Value>,
    pub(super) sum: bool,
}

/// Appends the op to the graph of a problem, for x and weight.
pub(super) type Append = fn(&mut Problem, Value, Value, Call) -> Result<Vec<Value>>;

#[derive(Clone, Copy, Debug)]
struct Setup {
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

    fn build(&self, problem: &mut Problem, append: Append) -> Result<Vec<Value>> {
        let mut random = Random::new(1);
        let elements: Vec<f32> =
            (0..self.shape.iter().product()).map(|_| self.mean + self.spread * random.next_f32()).collect();
        let x = problem.input("x", HostTensor::from_f32(self.dtype, self.shape, &elements)?)?;
        let width = self.shape[self.shape.len() - 1];
        let weight = problem.random("weight", self.dtype, [width], 1.5)?;
        let bias = self.bias.then(|| problem.random("bias", self.dtype, [width], 0.5)).transpose()?;
        let residual =
            self.residual.then(|| problem.random("residual", self.dtype, self.shape, 2.0)).transpose()?;
        append(problem, x, weight, Call { eps: self.eps, bias, residual, sum: self.sum })
    }
}

/// Cases for an op with a weight, and with a bias where it takes one.
pub(super) fn cases_of(name: &'static str, bias: bool, append: Append) -> Vec<Case> {
    // The reciprocal root, and the division that makes a mean of a sum for each of the two means.
    let ulps = INVERSE_SQRT_ULPS + 2.0 * DIVISION_ULPS;
    setups(bias)
        .into_iter()
        .map(|setup| {
            let case = Case::new(name, setup.label(), move |problem| setup.build(problem, append));
            let case = case.builtin_ulps(ulps);
            // Around a constant row the result turns within steps of the root of eps.
            if setup.spread == 0.0 { case.kinked() } else { case }
        })
        .collect()
}

fn setups(bias: bool) -> Vec<Setup> {
    let shapes: [&'static [usize]; 13] = [
        &[1],
        &[3, 0],
        &[0, 3],
        &[5, 2],
        &[2, 63],
        &[2, 64],
        &[2, 65],
        &[3, 4, 97],
        &[33, 384],
        &[2, 1000],
        &[3, 4097],
        &[2, 8192],
        &[70_000, 1],
    ];
    let plain = |dtype, shape| Setup {
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
