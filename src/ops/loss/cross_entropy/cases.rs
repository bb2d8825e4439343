//! Benchmarks, and conformance cases: widths around the vector and workgroup sizes, rows and numbers of them beyond what a lane's loops
//! may be, targets that do not count, none that counts, smoothing, logits far apart.

use super::{CrossEntropy, NAME, backward, cross_entropy, cross_entropy_with_lse};
use crate::Result;
use crate::check::{Bench, Case, DIVISION_ULPS, Problem, Work, exp_ulps};
use crate::graph::Value;
use crate::tensor::{DType, HostTensor, Shape};

#[derive(Clone, Debug)]
struct Setup {
    dtype: DType,
    shape: &'static [usize],
    amplitude: f32,
    /// Every so many targets do not count; all but the others where it is 1.
    ignored: usize,
    signed: bool,
    smoothing: f32,
}

impl Setup {
    fn label(&self) -> String {
        let Self { dtype, shape, amplitude, ignored, smoothing, signed } = self;
        let kind = if *signed { "i32" } else { "u32" };
        format!(
            "{dtype} {} up to {amplitude:e}, {kind} targets, one in {ignored} ignored, smoothing {smoothing}",
            Shape::from(*shape)
        )
    }

    fn spec(&self) -> CrossEntropy {
        CrossEntropy::new().label_smoothing(self.smoothing)
    }

    /// Logits and targets.
    fn inputs(&self, problem: &mut Problem) -> Result<(Value, Value)> {
        let logits = problem.random("logits", self.dtype, self.shape, self.amplitude)?;
        let (leading, classes) = (&self.shape[..self.shape.len() - 1], self.shape[self.shape.len() - 1]);
        let strays = [-100, -1, i32::MIN, i32::MAX, classes as i32];
        let class = |row: usize| {
            let stray = row % self.ignored == self.ignored - 1;
            if stray { strays[row / self.ignored % 5] } else { (row * 31 % classes) as i32 }
        };
        let targets: Vec<i32> = (0..leading.iter().product()).map(class).collect();
        let targets = if self.signed {
            HostTensor::i32(leading, targets)?
        } else {
            HostTensor::u32(leading, targets.into_iter().map(|class| class as u32).collect())?
        };
        Ok((logits, problem.input("targets", targets)?))
    }

    /// What exponential, logarithm (off by 2^-21, 4 units) and division may lose. Logits here differ by at most 20 where they
    /// weigh anything.
    fn ulps(&self) -> f64 {
        exp_ulps(20.0) + 4.0 + 2.0 * DIVISION_ULPS
    }
}

const NO_ROWS: Setup =
    Setup { dtype: DType::F32, shape: &[0, 3], amplitude: 10.0, ignored: 7, signed: true, smoothing: 0.0 };

fn setups() -> Vec<Setup> {
    let shapes: [&'static [usize]; 12] = [
        &[1],
        &[97],
        &[5, 2],
        &[9, 63],
        &[9, 64],
        &[64, 65],
        &[3, 4, 97],
        &[10, 1000],
        &[3, 4097],
        &[20_000, 1],
        &[600_001],
        &[270_000, 1],
    ];
    let mut setups = vec![NO_ROWS];
    for dtype in [DType::F32, DType::F16] {
        let plain = |shape| Setup { dtype, shape, amplitude: 10.0, ignored: 7, signed: true, smoothing: 0.0 };
        setups.extend(shapes.map(plain));
        for shape in [&[33, 12], &[33, 97]] {
            setups.push(Setup { ignored: 1, ..plain(shape) });
            setups.push(Setup { ignored: 2, signed: false, ..plain(shape) });
            setups.push(Setup { smoothing: 0.1, ..plain(shape) });
            setups.push(Setup { smoothing: 1.0, signed: false, ..plain(shape) });
            setups.push(Setup { amplitude: 1e4, ..plain(shape) });
            setups.push(Setup { amplitude: 1e4, smoothing: 0.1, ..plain(shape) });
        }
        setups.push(Setup { smoothing: 0.1, ..plain(&[3, 1000]) });
    }
    setups
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for setup in setups() {
        let ulps = setup.ulps();
        for with_lse in [false, true] {
            let what = if with_lse { ", with lse" } else { "" };
            let (setup, label) = (setup.clone(), format!("{}{what}", setup.label()));
            let build = move |problem: &mut Problem| {
                let (logits, targets) = setup.inputs(problem)?;
                if !with_lse {
                    return Ok(vec![cross_entropy(&mut problem.graph, logits, targets, &setup.spec())?]);
                }
                let (loss, lse) = cross_entropy_with_lse(&mut problem.graph, logits, targets, &setup.spec())?;
                Ok(vec![loss, lse])
            };
            cases.push(Case::new(NAME, label, build).builtin_ulps(ulps));
        }
    }
    for dtype in [DType::F32, DType::F16] {
        cases.push(
            Case::new(NAME, format!("{dtype} rows masked by the lowest number there is"), move |problem| {
                let lowest = if dtype == DType::F16 { -65_504.0 } else { f32::MIN };
                let rows =
                    [[lowest, 1.0, lowest, 2.0], [lowest; 4], [-lowest; 4], [0.5, lowest, 0.5, lowest]];
                let logits =
                    problem.input("logits", HostTensor::from_f32(dtype, [4, 4], rows.as_flattened())?)?;
                let targets = problem.input("targets", HostTensor::i32([4], vec![1, 2, 0, 2])?)?;
                Ok(vec![cross_entropy(&mut problem.graph, logits, targets, &CrossEntropy::new())?])
            })
            .builtin_ulps(exp_ulps(1.0) + 4.0 + DIVISION_ULPS),
        );
    }
    cases.into_iter().chain(gradients()).collect()
}

/// The backward pass alone, with upstream gradients of either result.
fn gradients() -> impl Iterator<Item = Case> {
    let setups = setups().into_iter().filter(|setup| matches!(setup.shape, [33, _] | [600_001]));
    setups.enumerate().map(|(i, setup)| {
        let (ulps, with_lse) = (setup.ulps(), i % 3 == 0);
        let what = if with_lse { ", with a gradient of lse" } else { "" };
        Case::new(NAME, format!("gradients: {}{what}", setup.label()), move |problem| {
            let (logits, targets) = setup.inputs(problem)?;
            let upstream = problem.input("upstream", HostTensor::f32([1], vec![-1.5])?)?;
            let (_, lse) = cross_entropy_with_lse(&mut problem.graph, logits, targets, &setup.spec())?;
            let d_lse = problem.desc(lse)?.shape.clone();
            let d_lse =
                with_lse.then(|| problem.random("lse upstream", DType::F32, d_lse, 0.1)).transpose()?;
            let inputs = [logits, targets, lse, upstream];
            Ok(vec![backward::append(&mut problem.graph, &setup.spec(), inputs, d_lse)?])
        })
        .builtin_ulps(ulps)
    })
}

/// One read of every logit; backward, one write of its gradient, too.
pub(crate) fn benches() -> Vec<Bench> {
    let inputs = |problem: &mut Problem, [rows, classes]: [usize; 2]| -> Result<(Value, Value)> {
        let logits = problem.random("logits", DType::F32, [rows, classes], 1.0)?;
        let targets = (0..rows).map(|row| (row / 64) as i32).collect();
        Ok((logits, problem.input("targets", HostTensor::i32([rows], targets)?)?))
    };
    let mut benches = Vec::new();
    for shape in [[4096, 1000], [256, 30_522]] {
        let (label, elements) = (format!("{} x {} f32", shape[0], shape[1]), (shape[0] * shape[1]) as u64);
        benches.push(Bench::new(NAME, label.clone(), Work::Bytes(elements * 4), move |problem| {
            let (logits, targets) = inputs(problem, shape)?;
            Ok(vec![cross_entropy(&mut problem.graph, logits, targets, &CrossEntropy::new())?])
        }));
        let label = format!("backward {label}");
        benches.push(Bench::new(NAME, label, Work::Bytes(elements * 8), move |problem| {
            let (logits, targets) = inputs(problem, shape)?;
            let lse = problem.random("lse", DType::F32, [shape[0]], 1.0)?;
            let upstream = problem.random("upstream", DType::F32, [1], 1.0)?;
            let inputs = [logits, targets, lse, upstream];
            Ok(vec![backward::append(&mut problem.graph, &CrossEntropy::new(), inputs, None)?])
        }));
    }
    benches
}
