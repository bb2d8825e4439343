//! Pooling along time by windows of fixed size and stride, which may overlap: their mean or maximum.
//!
//! ```text
//! y[b, w, c] = mean or maximum over t of x[b, t, c],   w stride <= t < min(w stride + size, time)
//! dx[b, t, c] = sum over the windows of t of   dy[b, w, c] / positions of w,   or dy[b, w, c] where t is the first largest of w
//! ```

use super::super::contract::{Contract, to_u32};
use super::super::upstream;
use crate::Result;
use crate::graph::{Adjoint, Gradient, Graph, Op, StepDesc, Value};
use crate::kernel::{Caps, Kernel, Lowered, Operand, params, wgsl};
use crate::tensor::{Array, Real, TensorDesc};

#[cfg(feature = "check")]
pub(crate) use cases::{benches, cases};

const NAME: &str = "pool/windows";

params! {
    struct WindowParams {
        time: u32,
        windows: u32,
        /// Packs of a position.
        width: u32,
        size: u32,
        stride: u32,
    }
}

/// Settings of [`pool_windows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    is_max: bool,
    size: usize,
    stride: usize,
    takes_rest: bool,
}

impl Windows {
    /// The means of windows of `size` positions, one behind another.
    pub fn mean(size: usize) -> Self {
        Self { is_max: false, size, stride: size, takes_rest: false }
    }

    /// The largest numbers of windows of `size` positions, one behind another.
    pub fn max(size: usize) -> Self {
        Self { is_max: true, ..Self::mean(size) }
    }

    /// From the beginning of a window to that of the next.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Positions behind the last whole window make one of their own: PyTorch's `ceil_mode`.
    #[must_use]
    pub fn take_rest(self) -> Self {
        Self { takes_rest: true, ..self }
    }

    /// How many windows `time` positions have.
    fn count(&self, time: usize) -> usize {
        let behind_first = time.saturating_sub(self.size);
        if self.takes_rest {
            let count = behind_first.div_ceil(self.stride) + 1;
            // One that begins behind the end has nothing.
            count.min(time.div_ceil(self.stride))
        } else if time < self.size {
            0
        } else {
            behind_first / self.stride + 1
        }
    }

    /// The positions of a window.
    fn positions(&self, window: usize, time: usize) -> std::ops::Range<usize> {
        let first = window * self.stride;
        first..first.saturating_add(self.size).min(time)
    }
}

/// Pools windows of `x: [batch, time, width]`, f32 or f16, along time: `[batch, windows, width]`, where the first window begins at the first position
/// and only whole ones count, unless the rest is taken.
///
/// A mean is divided by the positions that its window has. Of several largest, the gradient goes to the first. Sums are f32 whatever the storage.
/// Fails when `x` is not of that shape, size or stride is 0, or there is no window.
pub fn pool_windows(graph: &mut Graph, x: Value, windows: &Windows) -> Result<Value> {
    graph.push_builtin_one(PoolWindows(*windows), &[x])
}

#[derive(Clone, Copy, Debug)]
struct PoolWindows(Windows);

/// The contract of the windows of `x`: batch, windows, width.
fn check(op: &'static str, windows: &Windows, x: &TensorDesc) -> Result<[usize; 3]> {
    let mut contract = Contract::new(op).may_be_empty(&["batch", "width"]);
    contract.float("x", x)?;
    contract.bind("x", x, &["batch", "time", "width"])?;
    for (argument, number) in [("size", windows.size), ("stride", windows.stride)] {
        if number == 0 {
            return Err(contract.argument_error(argument).expecting("at least 1").but_found(0));
        }
    }
    let [batch, time, width] = ["batch", "time", "width"].map(|axis| contract.extent(axis));
    match windows.count(time) {
        0 => Err(contract
            .shape_error("x")
            .expecting(format!("at least {} positions, as a window has", windows.size))
            .but_found(time)),
        count => Ok([batch, count, width]),
    }
}

fn lowered(
    op: &'static str,
    windows: &Windows,
    (x, y): (&TensorDesc, &TensorDesc),
    kernel: impl FnOnce(Kernel) -> Kernel,
    (result, turns): (&TensorDesc, usize),
    caps: &Caps,
) -> Result<Lowered> {
    let to_u32 = |what, count| to_u32(op, what, count);
    let [time, width] = [1, 2].map(|axis| x.shape.dims()[axis]);
    let lanes = if width.is_multiple_of(4) { 4 } else { 1 };
    let params = WindowParams {
        time: to_u32("time", time)?,
        windows: to_u32("windows", y.shape.dims()[1])?,
        width: to_u32("width", width)? / lanes,
        size: to_u32("size", windows.size.min(time))?,
        stride: to_u32("stride", windows.stride)?,
    };
    to_u32("elements", x.elements())?;
    let count = to_u32("elements", result.elements())? / lanes;
    let source = match op == NAME {
        true => wgsl!("pool/windows/forward.wgsl"),
        false => wgsl!("pool/windows/backward.wgsl"),
    };
    let built = kernel(Kernel::new(op, [source]).lanes(lanes).params(params));
    let dispatch = built.constant("IS_MAX", windows.is_max).turns(turns as u64).per_element(count, caps);
    Ok(Lowered::elementwise(dispatch, lanes))
}

impl Op for PoolWindows {
    fn name(&self) -> &'static str {
        NAME
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![TensorDesc::new(inputs[0].dtype, check(NAME, &self.0, &inputs[0])?)])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let x = inputs[0];
        let [batch, time, width] = [0, 1, 2].map(|axis| x.dims()[axis]);
        let count = self.0.count(time);
        let mut y = Vec::with_capacity(batch * count * width);
        for (item, window, channel) in each([batch, count, width]) {
            let at = |t: usize| x.reals()[(item * time + t) * width + channel];
            let positions = self.0.positions(window, time);
            let length = R::of(positions.len() as f64);
            y.push(match self.0.is_max {
                true => at(first_largest(positions, at)),
                false => positions.map(at).sum::<R>() / length,
            });
        }
        vec![Array::real([batch, count, width], y)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (x, y) = (&step.inputs[0], &step.outputs[0]);
        let kernel = |kernel: Kernel| {
            kernel.read("x", Operand::Input(0), x.dtype).write("result", Operand::Output(0), y.dtype)
        };
        lowered(NAME, &self.0, (x, y), kernel, (y, self.0.size), caps)
    }

    fn backward(&self, graph: &mut Graph, adjoint: &Adjoint) -> Result<Vec<Gradient>> {
        let x = adjoint.inputs()[0];
        let shape = graph.desc(x)?.clone();
        upstream::to_input(adjoint, |dy| {
            let inputs = if self.0.is_max { vec![dy, x] } else { vec![dy] };
            graph.push_builtin_one(WindowsBackward { windows: self.0, x: shape }, &inputs)
        })
    }
}

/// Batch items, windows and channels in row-major order.
fn each([batch, count, width]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..batch * count * width).map(move |at| (at / width / count, at / width % count, at % width))
}

/// The first of the largest.
fn first_largest<R: Real>(positions: std::ops::Range<usize>, at: impl Fn(usize) -> R) -> usize {
    let first = positions.start;
    positions.fold(first, |best, t| if at(t) > at(best) { t } else { best })
}

/// The gradient of x; inputs are the upstream gradient and, of the largest, x.
#[derive(Clone, Debug)]
struct WindowsBackward {
    windows: Windows,
    x: TensorDesc,
}

impl Op for WindowsBackward {
    fn name(&self) -> &'static str {
        "pool/windows_backward"
    }

    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let y = TensorDesc::new(self.x.dtype, check(self.name(), &self.windows, &self.x)?);
        Contract::new(self.name()).same("upstream", &inputs[0], "the result", &y)?;
        Ok(vec![self.x.clone()])
    }

    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        let [batch, time, width] = [0, 1, 2].map(|axis| self.x.shape.dims()[axis]);
        let count = self.windows.count(time);
        let mut dx = vec![R::zero(); batch * time * width];
        for ((item, window, channel), &dy) in each([batch, count, width]).zip(inputs[0].reals()) {
            let place = |t: usize| (item * time + t) * width + channel;
            let positions = self.windows.positions(window, time);
            if self.windows.is_max {
                dx[place(first_largest(positions, |t| inputs[1].reals()[place(t)]))] += dy;
                continue;
            }
            let share = dy / R::of(positions.len() as f64);
            positions.for_each(|t| dx[place(t)] += share);
        }
        vec![Array::real(self.x.shape.clone(), dx)]
    }

    fn lower(&self, step: &StepDesc, caps: &Caps) -> Result<Lowered> {
        let (dy, dx) = (&step.inputs[0], &step.outputs[0]);
        let kernel = |kernel: Kernel| {
            kernel
                .read("upstream", Operand::Input(0), dy.dtype)
                .read_if("x", self.windows.is_max.then_some(Operand::Input(1)), dx.dtype)
                .write("dx", Operand::Output(0), dx.dtype)
        };
        let Windows { size, stride, .. } = self.windows;
        let size = size.min(self.x.shape.dims()[1]);
        let turns = size.div_ceil(stride) * if self.windows.is_max { size + 2 } else { 1 };
        lowered(self.name(), &self.windows, (dx, dy), kernel, (dx, turns), caps)
    }
}

#[cfg(feature = "check")]
mod cases {
    //! Windows that overlap, leave gaps, are longer than the sequence, and the rest.

    use super::{NAME, Windows, pool_windows};
    use crate::check::{Bench, Case, DIVISION_ULPS, Work};
    use crate::tensor::{DType, HostTensor};

    pub(crate) fn cases() -> Vec<Case> {
        type OfSize = fn(usize) -> Windows;
        let windows: [(OfSize, &str); 2] = [(Windows::mean, "mean"), (Windows::max, "max")];
        let settings: [([usize; 3], [usize; 2], bool); 8] = [
            ([2, 19, 8], [3, 2], false),
            ([2, 19, 8], [2, 2], true),
            ([1, 20, 5], [3, 3], true),
            ([1, 20, 5], [4, 1], false),
            ([3, 17, 4], [2, 5], true),
            ([1, 3, 4], [7, 2], true),
            ([1, 1, 1], [1, 1], false),
            ([0, 5, 4], [2, 2], false),
        ];
        let mut cases = Vec::new();
        for dtype in [DType::F32, DType::F16] {
            for (of_size, name) in windows {
                for (shape, [size, stride], takes_rest) in settings {
                    let label =
                        format!("{dtype} {name} of {size} every {stride} of {shape:?}, rest: {takes_rest}");
                    let case = Case::new(NAME, label, move |problem| {
                        // None twice within a window.
                        let elements =
                            (0..shape.iter().product()).map(|i: usize| (i * 37 % 101) as f32 / 8.0 - 6.0);
                        let x = HostTensor::from_f32(dtype, shape, &elements.collect::<Vec<f32>>())?;
                        let x = problem.input("x", x)?;
                        let windows = of_size(size).stride(stride);
                        let windows = if takes_rest { windows.take_rest() } else { windows };
                        Ok(vec![pool_windows(&mut problem.graph, x, &windows)?])
                    });
                    cases.push(case.builtin_ulps(DIVISION_ULPS));
                }
            }
        }
        cases
    }

    pub(crate) fn benches() -> Vec<Bench> {
        let work = Work::Bytes(4 * (4096 + 2048) * 256);
        vec![Bench::new(NAME, "mean of 3 every 2 of 4096 x 256 f32", work, |problem| {
            let x = problem.random("x", DType::F32, [1, 4096, 256], 1.0)?;
            Ok(vec![pool_windows(&mut problem.graph, x, &Windows::mean(3).stride(2))?])
        })]
    }
}
