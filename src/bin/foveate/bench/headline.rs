//! The rates that sum a device up: matmul with our kernel and with the textbook one, and exact attention as a fraction of it.

use foveate::check::{Case, Random};
use foveate::gpu::{Context, Program, Session};
use foveate::kernel::MatmulKernel;
use foveate::ops::{Matmul, matmul};
use foveate::{Caps, DType, Graph, HostTensor, Plan, Result, TensorDesc};
use serde::Serialize;

use crate::device::Device;

use super::activations::Activations;
use super::measure;
use super::methods::EXACT;
use super::row::Workbench;
use super::verify::{Checked, Expected, Failure};

/// Rows, columns and summed axis of the matrices.
const SIZE: usize = 1024;

/// Rows of the product that are verified.
const VERIFIED_ROWS: usize = 32;

/// Time, heads and channels of the attention.
pub(super) const ATTENTION: [usize; 3] = [1024, 4, 64];

/// Rates in GFLOP/s, all f32.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Headline {
    pub(super) matmul_gflops: f64,
    /// The textbook kernel, a 64x64x16 tile staged through workgroup memory, without wgpu's checks; ours runs with them.
    pub(super) classic_matmul_gflops: f64,
    pub(super) matmul_times_classic: f64,
    /// `blocked-full` on noise.
    pub(super) attention_gflops: f64,
    pub(super) attention_of_matmul: f64,
}

/// Verifies and times all of them on `device`, an adapter with `context`.
pub(super) fn measure(device: &Device, context: &Context, repeats: Option<u32>) -> Checked<Headline> {
    let mut classic = context.caps().clone();
    classic.tuning.matmul = MatmulKernel::Classic;
    let matmul_gflops = matmul_rate(context, context.caps(), repeats)?;
    // The checks that wgpu adds to shaders cost the textbook kernel most of its speed; without them it is a fair yardstick.
    // SAFETY: only the crate's own matmul runs on this context, on inputs that fit its contract.
    #[expect(unsafe_code, reason = "a yardstick slowed down by checks would flatter our kernel")]
    let unchecked = unsafe { context.without_runtime_checks() };
    let classic_matmul_gflops = matmul_rate(&unchecked, &classic, repeats)?;
    let attention_gflops = attention_rate(device, repeats)?;
    Ok(Headline {
        matmul_gflops,
        classic_matmul_gflops,
        matmul_times_classic: matmul_gflops / classic_matmul_gflops,
        attention_gflops,
        attention_of_matmul: attention_gflops / matmul_gflops,
    })
}

fn matmul_rate(context: &Context, caps: &Caps, repeats: Option<u32>) -> Checked<f64> {
    let mut random = Random::new(0);
    let mut matrix = || (0..SIZE * SIZE).map(|_| random.next_f32()).collect::<Vec<f32>>();
    let (a, b) = (matrix(), matrix());
    let top = HostTensor::f32([VERIFIED_ROWS, SIZE], a[..VERIFIED_ROWS * SIZE].to_vec())?;
    let (a, b) = (HostTensor::f32([SIZE, SIZE], a)?, HostTensor::f32([SIZE, SIZE], b)?);

    let plan = Plan::new(&square()?, caps)?;
    let program = Program::new(context, &plan)?;
    let mut session = Session::new(&program, &[("a", &a), ("b", &b)])?;
    session.run()?;
    let output = session.read()?.remove("c").ok_or_else(|| Failure::Wrong("matmul has no output".into()))?;
    let whole = output.to_f32();
    let found = HostTensor::f32([VERIFIED_ROWS, SIZE], whole[..VERIFIED_ROWS * SIZE].to_vec())?;
    let case = Case::new("matmul", "top rows", move |problem| {
        let (a, b) = (problem.input("a", top.clone())?, problem.input("b", b.clone())?);
        Ok(vec![matmul(&mut problem.graph, a, b, &Matmul::new())?])
    });
    Expected::of(&case, context, caps)?.compare(&found)?;

    let times = measure::times(repeats, || session.run())?;
    Ok(times.gflops(2.0 * (SIZE as f64).powi(3)))
}

/// `c = a b` for two square matrices.
fn square() -> Result<Graph> {
    let mut graph = Graph::new();
    let desc = TensorDesc::f32([SIZE, SIZE]);
    let (a, b) = (graph.input("a", desc.clone())?, graph.input("b", desc)?);
    let c = matmul(&mut graph, a, b, &Matmul::new())?;
    graph.output("c", c)?;
    Ok(graph)
}

fn attention_rate(device: &Device, repeats: Option<u32>) -> Checked<f64> {
    let noise = Activations::noise(ATTENTION);
    let mut bench = Workbench::new(device, &noise, DType::F32, repeats);
    let prepared = bench.prepare(&EXACT, ATTENTION[0])?;
    let subject = bench.subject(ATTENTION[0])?;
    Ok(bench.measure(&prepared, &subject)?.gflops)
}
