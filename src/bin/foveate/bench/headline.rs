//! The rates that sum a device up: matmul with our kernel and with the textbook one, and exact attention as a fraction of it.

use std::time::{Duration, Instant};

use foveate::check::{Case, Expectation, Random};
use foveate::gpu::{Context, Program, Session};
use foveate::kernel::MatmulKernel;
use foveate::ops::{Matmul, matmul};
use foveate::runtime::Device;
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc};
use serde::Serialize;

use crate::measure;

use super::activations::Activations;
use super::methods::EXACT;
use super::row::Workbench;
use super::subject::only_output;
use super::verify::{Checked, Deadline, Failure};

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
    /// The textbook kernel, a 64x64x16 tile staged through workgroup memory, without wgpu's checks; ours runs with them
    /// unless the benchmark was told otherwise.
    pub(super) classic_matmul_gflops: f64,
    pub(super) matmul_times_classic: f64,
    /// `blocked-full` on noise.
    pub(super) attention_gflops: f64,
    pub(super) attention_of_matmul: f64,
}

/// Verifies all of them on `device`, an adapter with `context`, and times them in turn. Where the time is `limited`, as often as there is time for,
/// and nothing is begun after it: on a software rasterizer each takes seconds.
pub(super) fn measure(
    device: &Device,
    context: &Context,
    repeats: Option<u32>,
    mut limited: Option<Limited>,
) -> Checked<Headline> {
    let end = limited.map(|limited| limited.since + limited.time);
    let mut check_time = || limited.as_mut().map_or(Ok(()), Limited::check);
    let [mut ours, mut textbook] = products(context, &mut check_time)?;

    let noise = Activations::noise(ATTENTION);
    let mut bench = Workbench::new(device, &noise, DType::F32, Some(1));
    let prepared = bench.prepare(&EXACT, ATTENTION[0])?;
    let subject = bench.subject(ATTENTION[0])?;
    let verified = bench.measure(&prepared, &subject, Deadline(end));
    if let Err(Failure::Late) = verified {
        // With the sentence that says how much time there was.
        check_time()?;
    }
    verified?;
    let no_plan = || Failure::Wrong("attention has no plan for this device".into());
    let attention = Program::new(context, prepared.planned.plan().ok_or_else(no_plan)?)?;

    check_time()?;
    let mut attending = Session::new(&attention, &subject.inputs.named())?;
    attending.run()?;
    check_time()?;
    let sessions = [&mut ours, &mut textbook, &mut attending];
    let [ours, textbook, attention] = measure::in_turn(repeats, end, sessions)?;
    let product = 2.0 * (SIZE as f64).powi(3);
    let (matmul_gflops, classic_matmul_gflops) = (ours.gflops(product), textbook.gflops(product));
    // Exact attention computes pairs.
    let attention_gflops = subject.flops(&EXACT)?.map_or(0.0, |flops| attention.gflops(flops));
    Ok(Headline {
        matmul_gflops,
        classic_matmul_gflops,
        matmul_times_classic: matmul_gflops / classic_matmul_gflops,
        attention_gflops,
        attention_of_matmul: attention_gflops / matmul_gflops,
    })
}

/// Sessions of our matmul and of the textbook kernel, both verified. `check_time` is asked before and after each run.
fn products(context: &Context, check_time: &mut dyn FnMut() -> Checked<()>) -> Checked<[Session; 2]> {
    let mut classic = context.caps().clone();
    classic.tuning.matmul = MatmulKernel::Classic;
    // The checks that wgpu adds to shaders cost the textbook kernel most of its speed; without them it is a fair yardstick.
    // SAFETY: only the crate's own matmul runs on this context, on inputs that fit its contract.
    #[expect(unsafe_code, reason = "a yardstick slowed down by checks would flatter our kernel")]
    let unchecked = unsafe { context.without_runtime_checks() };
    let factors = Factors::new()?;
    let ours = Program::new(context, &Plan::new(&square()?, context.caps())?)?;
    let textbook = Program::new(&unchecked, &Plan::new(&square()?, &classic)?)?;
    check_time()?;
    let ours = factors.verified(&ours)?;
    check_time()?;
    let textbook = factors.verified(&textbook)?;
    check_time()?;
    Ok([ours, textbook])
}

/// How long the rates may take, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limited {
    since: Instant,
    time: Duration,
    /// When it was looked at last, and the longest time from one look to the next.
    last: Instant,
    longest: Duration,
}

impl Limited {
    pub(super) fn new(since: Instant, time: Duration) -> Self {
        Self { since, time, last: since, longest: Duration::ZERO }
    }

    /// Refuses to go on where the time is over, or would be if what comes next took as long as the longest part so far.
    fn check(&mut self) -> Checked<()> {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        self.last = now;
        let spent = now - self.since;
        if spent + self.longest <= self.time {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "bench", "--budget")
            .expecting(format!("the rates in half of it, {:.1} s", self.time.as_secs_f64()))
            .but_found(format!("{:.1} s spent before all were measured", spent.as_secs_f64()))
            .into())
    }
}

/// Two square matrices, and what the top rows of their product must be.
struct Factors {
    a: HostTensor,
    b: HostTensor,
    top: Expectation,
}

impl Factors {
    fn new() -> Checked<Self> {
        let mut random = Random::new(0);
        let mut matrix = || (0..SIZE * SIZE).map(|_| random.next_f32()).collect::<Vec<f32>>();
        let (a, b) = (matrix(), matrix());
        let top = HostTensor::f32([VERIFIED_ROWS, SIZE], a[..VERIFIED_ROWS * SIZE].to_vec())?;
        let (a, b) = (HostTensor::f32([SIZE, SIZE], a)?, HostTensor::f32([SIZE, SIZE], b)?);
        let factor = b.clone();
        let case = Case::new("matmul", "top rows", move |problem| {
            let (a, b) = (problem.input("a", top.clone())?, problem.input("b", factor.clone())?);
            Ok(vec![matmul(&mut problem.graph, a, b, &Matmul::new())?])
        });
        let top = Expectation::of(&case, &case.problem()?)?.pop();
        let top = top.ok_or_else(|| Failure::Wrong("matmul has no output".into()))?;
        Ok(Self { a, b, top })
    }

    /// A session of `program`, run once, whose product is right.
    fn verified(&self, program: &Program) -> Checked<Session> {
        let mut session = Session::new(program, &[("a", &self.a), ("b", &self.b)])?;
        session.run()?;
        let whole = only_output(session.read()?)?.to_f32();
        let top = HostTensor::f32([VERIFIED_ROWS, SIZE], whole[..VERIFIED_ROWS * SIZE].to_vec())?;
        let of_budget = self.top.deviation(&top).of_budget;
        if of_budget > 1.0 {
            return Err(Failure::Wrong(format!("matmul is {of_budget:.2} times its budget off")));
        }
        Ok(session)
    }
}

/// `c = a b` for two square matrices.
fn square() -> Result<Graph> {
    let mut graph = Graph::new();
    let desc = TensorDesc::f32([SIZE, SIZE]);
    let (a, b) = (graph.input("a", desc.clone())?, graph.input("b", desc)?);
    let c = matmul(&mut graph, a, b, &Matmul::new())?;
    graph.output("out", c)?;
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_too_late_is_not_begun() {
        let check = |spent: u64, longest: u64| {
            let seconds = Duration::from_secs;
            let now = Instant::now();
            let mut limited = Limited {
                longest: seconds(longest),
                last: now,
                ..Limited::new(now - seconds(spent), seconds(10))
            };
            limited.check().is_ok()
        };
        assert_eq!([check(4, 5), check(4, 7), check(11, 0)], [true, false, false]);
    }
}
