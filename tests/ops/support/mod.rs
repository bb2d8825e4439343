//! The harness that the ops' modules feed.

pub(crate) mod fixture;

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use foveate::check::{Case, Outcome, conform};
use foveate::gpu::{AdapterRequest, Context, Cooperative, Program};
use foveate::kernel::{AdapterKind, Tuning};
use foveate::ops::CATALOGUE;
use foveate::{Caps, DType, Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, wgpu};

/// Devices that no test is using. A software rasterizer compiles all shaders of a device on one thread, so that tests which run at the
/// same time need devices of their own.
struct Pool(Mutex<Vec<&'static Context>>);

/// A thread's device, which goes back to its pool when the thread ends.
struct Lease {
    pool: &'static Pool,
    context: &'static Context,
}

impl Pool {
    fn lease(&'static self, make: impl FnOnce() -> Context) -> Lease {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease { pool: self, context: idle.unwrap_or_else(|| Box::leak(Box::new(make()))) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.context);
    }
}

/// This thread's device. Without an adapter every test that asks for it fails, and says how to get one.
pub(crate) fn context() -> &'static Context {
    static POOL: Pool = Pool(Mutex::new(Vec::new()));
    thread_local! {
        static LEASE: Lease = POOL.lease(|| {
            Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"))
        });
    }
    LEASE.with(|lease| lease.context)
}

/// A second device of this thread, on the same adapter: what an app has that asks for nothing, with exactly WebGPU's default limits and no
/// optional feature.
pub(crate) fn least_context() -> &'static Context {
    static POOL: Pool = Pool(Mutex::new(Vec::new()));
    thread_local! {
        static LEASE: Lease = POOL.lease(least_device);
    }
    LEASE.with(|lease| lease.context)
}

fn least_device() -> Context {
    let adapters = foveate::gpu::adapters();
    // The first adapter is the one that `context` takes, and the one that says how to get one.
    let adapter = adapters.first().unwrap_or_else(|| panic!("{} has no adapter", context().describe()));
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: wgpu::Features::empty(),
        required_limits: wgpu::Limits::default(),
        ..Default::default()
    }))
    .expect("every adapter grants the default limits");
    Context::from_device(&device, &queue, adapter.get_info(), &[])
}

/// The kernels that this device gets.
pub(crate) fn own_caps() -> Caps {
    context().caps().clone()
}

/// The kernels of the other kinds of adapter, on this device: a GPU's on a software rasterizer and the other way round.
pub(crate) fn foreign_caps() -> Caps {
    let mut caps = own_caps();
    let other = if caps.adapter == AdapterKind::Cpu { AdapterKind::Discrete } else { AdapterKind::Cpu };
    caps.tuning = Tuning::for_adapter(other, None);
    caps
}

/// This device's own kernels, but attention's with tiles that compile in a third of the time.
pub(crate) fn small_caps() -> Caps {
    let mut caps = own_caps();
    let attention = &mut caps.tuning.attention;
    attention.rows = attention.rows.min(4);
    attention.key_vectors = 1;
    caps
}

/// The device with its cooperative matrices, and kernels that multiply them in the tiles that `tune` sets; none where it has none.
pub(crate) fn cooperative(tune: impl FnOnce(&mut Tuning)) -> Option<(&'static Context, Caps)> {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    let context = CONTEXT.get_or_init(|| context().self_tested());
    let verdict = context.cooperative();
    if *verdict != Cooperative::Passed {
        println!("{} multiplies no cooperative matrices: {verdict:?}", context.describe());
        return None;
    }
    let mut caps = context.caps().clone();
    tune(&mut caps.tuning);
    Some((context, caps))
}

/// Runs every conformance case of `op` on `context` with the kernels chosen by `caps`. Without f16, cases that store it must
/// end in a typed error.
pub(crate) fn conform_with(op: &str, context: &Context, caps: &Caps) {
    conform_some(op, context, caps, |_, _| true);
}

/// [`conform_with`] the cases that `takes` chooses, given the place and the label of each.
pub(crate) fn conform_some(op: &str, context: &Context, caps: &Caps, takes: impl Fn(usize, &str) -> bool) {
    let entry = CATALOGUE.iter().find(|entry| entry.name == op).expect("the op is in the catalogue");
    let cases = (entry.cases)().into_iter().enumerate();
    let cases: Vec<Case> =
        cases.filter(|(place, case)| takes(*place, case.label())).map(|(_, case)| case).collect();
    assert!(!cases.is_empty(), "{op} has no cases");
    let mut failures = Vec::new();
    for case in &cases {
        match (conform(case, context, caps), lacks_f16(case, caps)) {
            (Outcome::Passed(deviation), false) => {
                println!("{:.3} of the budget: {case:?}", deviation.of_budget)
            }
            (Outcome::Passed(_), true) => failures.push(format!("{case:?}: ran without f16")),
            (Outcome::Unsupported(error), true) => println!("{case:?}: {error}"),
            (Outcome::Unsupported(error), false) => failures.push(format!("{case:?}: {error}")),
            (Outcome::Failed(reason), _) => failures.push(format!("{case:?}: {reason}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases failed with {caps:?}:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// Whether shaders of `case` store f16 and `caps` have none of it.
fn lacks_f16(case: &Case, caps: &Caps) -> bool {
    if caps.f16 {
        return false;
    }
    let graph = case.problem().unwrap_or_else(|error| panic!("{case:?}: {error}")).graph;
    let is_f16 = |value| graph.desc(value).is_ok_and(|desc| desc.dtype == DType::F16);
    // Views and values without elements run no shader: they work on any device.
    let runs = || {
        let plan = Plan::new(&graph, &Caps { f16: true, ..caps.clone() });
        !plan.unwrap_or_else(|error| panic!("{case:?}: {error}")).shaders().is_empty()
    };
    graph.inputs().iter().chain(graph.outputs()).any(|&(_, value)| is_f16(value)) && runs()
}

/// [`conform_with`] this device's own kernels, the kernels of other adapters, and a device of WebGPU's default limits.
///
/// Kernels are chosen by the tuning alone, so `Caps::webgpu_default` would repeat the run with a GPU's.
pub(crate) fn conform_everywhere(op: &str) {
    conform_with(op, context(), &own_caps());
    conform_with(op, context(), &foreign_caps());
    conform_with(op, least_context(), least_context().caps());
}

/// [`conform_everywhere`] for attention, whose kernels compile for seconds in hundreds of cases: all of them in small tiles; in this
/// device's own a sixth, and of relative keys, whose products go by tiles, half; in the others' a sixth; on the default limits, whose
/// tiles are those of the one or the other, a twelfth.
pub(crate) fn conform_everywhere_in_part(op: &str) {
    conform_with(op, context(), &small_caps());
    let is_relative = |label: &str| label.contains("relative keys");
    conform_some(op, context(), &own_caps(), |place, label| {
        place % 6 == 0 || (is_relative(label) && place % 2 == 1)
    });
    conform_some(op, context(), &foreign_caps(), |place, _| place % 6 == 3);
    conform_some(op, least_context(), least_context().caps(), |place, _| place % 12 == 5);
}

/// The error of appending a step to inputs of the given descriptors.
pub(crate) fn refused(descs: &[TensorDesc], append: impl Fn(&mut Graph, &[Value]) -> Result<Value>) -> Error {
    let mut graph = Graph::new();
    let values: Vec<Value> = descs
        .iter()
        .enumerate()
        .map(|(i, desc)| {
            graph.input(&format!("in {i}"), desc.clone()).expect("the descriptor is fine by itself")
        })
        .collect();
    append(&mut graph, &values).expect_err("the step must be refused")
}

/// Asserts kind and sentence of an error.
pub(crate) fn assert_error(error: &Error, kind: ErrorKind, sentence: &str) {
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, sentence));
}

/// Asserts kind, op and argument of an error.
pub(crate) fn assert_refused(error: &Error, kind: ErrorKind, op: &str, argument: &str) {
    assert_eq!((error.kind(), error.op(), error.argument()), (kind, op, argument), "{error}");
}

/// A plan for this device.
pub(crate) fn plan(graph: &Graph) -> Plan {
    Plan::new(graph, context().caps()).expect("the graph can be planned")
}

/// Runs `graph` on this device.
pub(crate) fn run(graph: &Graph, inputs: &[(&str, &HostTensor)]) -> BTreeMap<String, HostTensor> {
    let program = Program::new(context(), &plan(graph)).expect("the program can be made");
    program.run(inputs).expect("the program runs")
}
