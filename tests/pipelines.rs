//! How pipelines are made: ahead of time, by way of a cache, and with or without wgpu's runtime checks.

use std::num::NonZeroUsize;
use std::sync::OnceLock;

use foveate::check::Random;
use foveate::gpu::{AdapterRequest, Context, Program, RuntimeChecks};
use foveate::kernel::{Choice, Dispatch, Lowered, Operand, Tier};
use foveate::ops::attention::{Blocked, Buckets, CustomMask, CustomScore, Mask, Score, blocked};
use foveate::ops::{self, Matmul};
use foveate::{
    Array, Caps, ErrorKind, Graph, HostTensor, Op, Plan, Real, Result, StepDesc, TensorDesc, wgpu,
};

fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}")))
}

fn noise(shape: &[usize]) -> HostTensor {
    let mut random = Random::new(7);
    let elements = (0..shape.iter().product()).map(|_| random.next_f32()).collect();
    HostTensor::f32(shape, elements).unwrap()
}

/// `softmax(a b)` of small matrices: two shaders.
fn small_graph() -> Graph {
    let mut graph = Graph::new();
    let (a, b) = (
        graph.input("a", TensorDesc::f32([24, 16])).unwrap(),
        graph.input("b", TensorDesc::f32([16, 40])).unwrap(),
    );
    let product = ops::matmul(&mut graph, a, b, &Matmul::new()).unwrap();
    let weights = ops::softmax(&mut graph, product).unwrap();
    graph.output("weights", weights).unwrap();
    graph
}

fn run_small(context: &Context) -> Vec<u8> {
    let plan = Plan::new(&small_graph(), context.caps()).unwrap();
    let (a, b) = (noise(&[24, 16]), noise(&[16, 40]));
    let outputs = Program::new(context, &plan).unwrap().run(&[("a", &a), ("b", &b)]).unwrap();
    outputs["weights"].bytes().to_vec()
}

/// Attention over 40 tokens of two heads under `spec`, its query, key and value called that.
fn attending(graph: &mut Graph, spec: &Blocked) {
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.input(name, TensorDesc::f32([1, 40, 2, 8])).unwrap());
    let out = blocked(graph, q, k, v, spec).unwrap();
    graph.output("out", out).unwrap();
}

fn custom_mask(wgsl: &str) -> Mask {
    Mask::custom(CustomMask::new("own", wgsl, |pair| pair.key % 2 == 0).unwrap())
}

const EVEN: &str = "fn own(batch: u32, head: u32, query: i32, key: i32) -> bool { return key % 2 == 0; }";

#[test]
fn a_warm_up_on_any_number_of_threads_leaves_results_as_they_are() {
    let expected = run_small(&context().with_runtime_checks());
    let mut under_a_rule = Graph::new();
    attending(&mut under_a_rule, &Blocked::new().mask(custom_mask(EVEN)));
    for threads in [1, 2, 64] {
        // Pipelines of its own.
        let context = context().with_runtime_checks();
        let plans = [&small_graph(), &under_a_rule].map(|graph| Plan::new(graph, context.caps()).unwrap());
        let [small, ruled] = &plans;
        context.warm_up(&[small, ruled, small], NonZeroUsize::new(threads).unwrap()).unwrap();
        assert_eq!(run_small(&context), expected);
    }
    context().warm_up(&[], NonZeroUsize::MIN).unwrap();
}

#[test]
fn a_warm_up_fails_with_the_first_shader_that_cannot_be_made() {
    let context = context().with_runtime_checks();
    let mut broken = Graph::new();
    // By itself it compiles, but the kernel has a function of that name.
    let sees = CustomMask::new("sees", EVEN.replace("own", "sees"), |pair| pair.key % 2 == 0).unwrap();
    attending(&mut broken, &Blocked::new().mask(Mask::custom(sees)));
    let plans = [&small_graph(), &broken].map(|graph| Plan::new(graph, context.caps()).unwrap());
    for threads in [1, 3] {
        let error = context
            .warm_up(&[&plans[0], &plans[1]], NonZeroUsize::new(threads).unwrap())
            .expect_err("a name stands for two functions");
        assert_eq!(error.kind(), ErrorKind::Shader, "{error}");
    }
    // What can be made still is.
    run_small(&context);
}

/// The safe half of what loading takes: a blob that this process saved.
#[expect(unsafe_code, reason = "the blobs are those of this test")]
fn load(context: &Context, blob: &[u8]) -> Result<Context> {
    // SAFETY: what passes the checks is what pipeline_cache_data gave.
    unsafe { context.with_pipeline_cache_from(blob) }
}

#[test]
fn a_cache_outlives_its_context_and_a_damaged_one_is_refused() {
    let context = context();
    assert_eq!(context.pipeline_cache_data(), None);
    if !context.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
        let error = context.with_pipeline_cache().expect_err("the driver has none");
        return assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    let expected = run_small(context);
    let caching = context.with_pipeline_cache().unwrap();
    assert_eq!(run_small(&caching), expected);
    let blob = caching.pipeline_cache_data().expect("there is a cache");

    let other = Context::headless(&AdapterRequest::Any).unwrap();
    let loaded = load(&other, &blob).unwrap();
    assert_eq!(run_small(&loaded), expected);
    // Contexts made of one with a cache share it.
    assert!(loaded.trusting_own_kernels().pipeline_cache_data().is_some());

    let mut flipped = blob.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &blob[..blob.len() / 2], &[]] {
        let error = load(&other, damaged).expect_err("the blob is damaged");
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(run_small(&other), expected);
}

#[test]
fn a_device_without_the_feature_keeps_no_cache_and_says_so() {
    let adapter = foveate::gpu::adapters().into_iter().next().expect("`context` says how to get an adapter");
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).unwrap();
    let context = Context::from_device(&device, &queue, adapter.get_info(), &[]);
    let error = context.with_pipeline_cache().expect_err("the device was made without");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

fn unchecked(context: &Context, graph: &Graph) -> Vec<&'static str> {
    Program::new(context, &Plan::new(graph, context.caps()).unwrap()).unwrap().unchecked_shaders()
}

#[test]
fn own_kernels_go_unchecked_only_when_asked_and_never_with_a_users_text() {
    let trusting = context().trusting_own_kernels();
    assert_eq!(trusting.runtime_checks(), RuntimeChecks::ForeignShaders);
    let graph = small_graph();
    assert_eq!(unchecked(&trusting, &graph).len(), 2);
    for checked in [context().clone(), trusting.with_runtime_checks()] {
        assert_eq!(checked.runtime_checks(), RuntimeChecks::All);
        assert_eq!(unchecked(&checked, &graph), Vec::<&str>::new());
    }

    let ruled = |spec: Blocked| {
        let mut graph = Graph::new();
        attending(&mut graph, &spec);
        let plan = Plan::new(&graph, trusting.caps()).unwrap();
        (plan.shaders().len(), Program::new(&trusting, &plan).unwrap().unchecked_shaders().len())
    };
    let (shaders, free) = ruled(Blocked::new().mask(Mask::dilated_window(3, [2])));
    assert!(shaders > 1 && shaders == free, "{free} of {shaders}");
    // The one that finds runs holds the mask, too.
    assert_eq!(ruled(Blocked::new().mask(custom_mask(EVEN))).1, 0);
    let half =
        "fn half(batch: u32, head: u32, query: i32, key: i32, score: f32) -> f32 { return 0.5 * score; }";
    let half = CustomScore::new("half", half, |_, score| 0.5 * score).unwrap();
    assert_eq!(ruled(Blocked::new().score(Score::custom(half))).1, 0);
}

/// An op of another crate, which borrows a shader of this one and tells it of more elements than there are.
#[derive(Debug)]
struct Borrowed(Dispatch);

impl Op for Borrowed {
    fn name(&self) -> &'static str {
        "borrowed"
    }
    fn contract(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(inputs.to_vec())
    }
    fn reference<R: Real>(&self, inputs: &[&Array<R>]) -> Vec<Array<R>> {
        vec![inputs[0].clone()]
    }
    fn lower(&self, _: &StepDesc, _: &Caps) -> Result<Lowered> {
        Ok(Lowered::Kernels {
            choice: Choice { tier: Tier::Streaming, kernel: "borrowed".into(), reason: "none".into() },
            dispatches: vec![self.0.clone()],
            scratch: Vec::new(),
        })
    }
}

#[test]
fn a_shader_of_ours_in_an_op_of_somebody_elses_stays_checked() {
    use foveate::plan::Command;
    let trusting = context().trusting_own_kernels();
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([64])).unwrap();
    let y = ops::relu(&mut graph, x).unwrap();
    graph.output("y", y).unwrap();
    let plan = Plan::new(&graph, trusting.caps()).unwrap();
    let Command::Dispatch { params, .. } = &plan.commands()[0] else { panic!("relu dispatches") };
    let borrowed = Borrowed(Dispatch {
        shader: plan.shaders()[0].clone(),
        bindings: vec![("x", Operand::Input(0)), ("result", Operand::Output(0))],
        params: params.clone(),
        workgroups: 1,
        turns: 0,
    });
    let z = graph.push(borrowed, &[y]).unwrap()[0];
    graph.output("z", z).unwrap();
    let plan = Plan::new(&graph, trusting.caps()).unwrap();
    assert_eq!(plan.shaders().len(), 2, "the same text, once trusted and once not");
    let program = Program::new(&trusting, &plan).unwrap();
    assert_eq!(program.unchecked_shaders(), [plan.shaders()[0].label]);
}

#[test]
fn a_tuning_that_is_not_of_the_table_stays_checked() {
    let trusting = context().trusting_own_kernels();
    let mut caps = trusting.caps().clone();
    caps.tuning.element_lanes /= 2;
    let plan = Plan::new(&small_graph(), &caps).unwrap();
    assert_eq!(Program::new(&trusting, &plan).unwrap().unchecked_shaders(), Vec::<&str>::new());
}

#[test]
fn slots_that_a_replay_puts_in_place_of_our_own_stay_within_the_table() {
    let mut graph = Graph::new();
    let table = graph.input("table", TensorDesc::f32([4, 2])).unwrap();
    let buckets = Buckets { count: 4, max_distance: 8, bidirectional: true };
    attending(&mut graph, &Blocked::new().score(Score::buckets(table, buckets)));
    let constant = graph.steps().iter().find(|step| step.op_name() == "constant").unwrap().outputs()[0];
    let slots = graph.input("slots", graph.desc(constant).unwrap().clone()).unwrap();
    let out = graph.outputs()[0].1;
    let replay = graph.replay(0..graph.steps().len(), &[(constant, slots)]).unwrap();
    graph.output("replayed", replay.value(out)).unwrap();

    let trusting = context().trusting_own_kernels();
    let program = Program::new(&trusting, &Plan::new(&graph, trusting.caps()).unwrap()).unwrap();
    let qkv = noise(&[1, 40, 2, 8]);
    let wild = (0..79).map(|i| [-1, i32::MAX, 1 << 30, 3][i % 4]).collect();
    let (table, slots) = (noise(&[4, 2]), HostTensor::i32([79], wild).unwrap());
    let inputs = [("table", &table), ("q", &qkv), ("k", &qkv), ("v", &qkv), ("slots", &slots)];
    let replayed = program.run(&inputs).unwrap()["replayed"].to_f32();
    assert!(replayed.iter().all(|x| x.is_finite()), "{replayed:?}");
}
