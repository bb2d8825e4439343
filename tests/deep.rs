//! Rules nested and graphs chained a hundred thousand deep: built, or refused with a typed error, in seconds and on a small stack.

use std::time::{Duration, Instant};

use foveate::gpu::{AdapterRequest, Context, Program};
use foveate::kernel::Caps;
use foveate::nn::Reversible;
use foveate::ops;
use foveate::ops::attention::{Alignment, Blocked, CustomMask, Mask, RuleDocument, Score, blocked};
use foveate::ops::optimizer::{Control, Sgd, sgd};
use foveate::{Error, ErrorKind, Graph, HostTensor, Plan, Result, TensorDesc, Value, cpu};

const DEEP: usize = 100_000;

/// Half of what threads have by default.
const STACK_BYTES: usize = 1 << 20;

/// For machines that do much else: none takes three seconds of one that does not.
const LONGEST: Duration = Duration::from_secs(120);

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap();
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < LONGEST, "{what} takes {:?}", start.elapsed());
    result
}

/// Ways to make a mask larger by one or more rules.
const GROWTHS: [fn(Mask<String>) -> Mask<String>; 6] = [
    |mask| !(mask & Mask::causal()),
    |mask| Mask::window(3, 3) & !mask,
    |mask| !(Mask::lengths("lengths".to_owned()) | mask),
    |mask| mask & Mask::prefix(5),
    |mask| Mask::causal() | mask,
    |mask| (mask & Mask::causal()) | Mask::prefix(1),
];

fn grown(times: usize, grow: impl Fn(Mask<String>) -> Mask<String>) -> Mask<String> {
    (0..times).fold(Mask::window(1, 1), |mask, _| grow(mask))
}

/// Attention of `time` tokens under a mask, whose only tensor is `lengths`.
fn attention(mask: &Mask<String>, time: usize) -> Result<Graph> {
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::f32([1, time, 1, 4]))?;
    let lengths = graph.input("lengths", TensorDesc::i32([1]))?;
    let out = blocked(&mut graph, x, x, x, &Blocked::new().mask(mask.map(&mut |_| lengths)))?;
    graph.output("out", out)?;
    Ok(graph)
}

fn assert_refused(error: &Error, kind: ErrorKind, op: &str, argument: &str) {
    assert_eq!((error.kind(), error.op(), error.argument()), (kind, op, argument), "{error}");
}

#[test]
fn a_mask_nested_deep_is_refused() {
    on_a_small_stack(|| {
        for grow in GROWTHS {
            let mask = timed("a mask", || grown(DEEP, grow));
            let copy = (!mask.clone()).aligned(Alignment::TopLeft);
            for text in [format!("{mask:?}"), mask.to_string(), copy.to_string()] {
                assert!(text.len() < 10_000, "{} characters", text.len());
            }
            let error = attention(&mask, 8).unwrap_err();
            assert_refused(&error, ErrorKind::Limit, "attention/blocked", "mask");
            let rules: usize = error.found().parse().unwrap();
            assert!(rules >= DEEP, "{error}");
            let error = RuleDocument::of(&Blocked::new().mask(mask)).unwrap_err();
            assert_refused(&error, ErrorKind::Config, "rule", "mask");
        }
    });
}

/// 128 rules, nested as deep as they can be: one, and three in each turn.
fn largest_mask() -> Mask<String> {
    grown(42, |mask| Mask::window(3, 3) & !mask) & Mask::prefix(64)
}

#[test]
fn a_mask_of_the_most_rules_is_recorded_on_a_small_stack() {
    on_a_small_stack(|| {
        let graph = attention(&largest_mask(), 8).unwrap();
        Plan::new(&graph, &Caps::webgpu_default()).unwrap();
        let error = attention(&!largest_mask(), 8).unwrap_err();
        assert_eq!((error.expected(), error.found()), ("at most 128 rules", "129"));
    });
}

#[test]
fn a_mask_of_the_most_rules_runs() {
    let graph = attention(&largest_mask(), 8).unwrap();
    let x = HostTensor::f32([1, 8, 1, 4], (0..32).map(|i| i as f32 / 32.0).collect()).unwrap();
    let lengths = HostTensor::i32([1], vec![8]).unwrap();
    let inputs = [("x", &x), ("lengths", &lengths)];
    let reference = cpu::run(&graph, &inputs).unwrap()["out"].to_f32();
    let context = Context::headless(&AdapterRequest::Any).unwrap();
    let plan = Plan::new(&graph, context.caps()).unwrap();
    let out = Program::new(&context, &plan).unwrap().run(&inputs).unwrap()["out"].to_f32();
    assert!(out.iter().zip(&reference).all(|(x, y)| (x - y).abs() < 1e-5), "{out:?} {reference:?}");
}

#[test]
fn score_rules_by_the_hundred_thousand_are_refused() {
    on_a_small_stack(|| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([1, 8, 1, 4])).unwrap();
        let slopes = graph.input("slopes", TensorDesc::f32([1])).unwrap();
        let spec = (0..DEEP).fold(Blocked::new(), |spec, _| spec.score(Score::alibi(slopes)));
        let error = timed("scores", || blocked(&mut graph, x, x, x, &spec)).unwrap_err();
        assert_refused(&error, ErrorKind::Limit, "attention/blocked", "scores");
        let spec = (0..DEEP).fold(Blocked::new(), |spec, _| spec.score(Score::alibi("slopes".to_owned())));
        let error = RuleDocument::of(&spec).unwrap_err();
        assert_refused(&error, ErrorKind::Config, "rule", "scores");
    });
}

#[test]
fn a_document_nested_deep_is_refused() {
    on_a_small_stack(|| {
        let nested =
            |open: &str, close: &str| format!("{}\"causal\"{}", open.repeat(DEEP), close.repeat(DEEP));
        for (open, close) in [("{\"not\": ", "}"), ("{\"all\": [", "]}"), ("{\"top_left\": ", "}")] {
            let mask = format!("{{\"version\": 1, \"mask\": {}}}", nested(open, close));
            let scores = format!("{{\"version\": 1, \"scores\": [{}]}}", nested(open, close));
            for text in [mask, scores] {
                let error = RuleDocument::parse("rule.json", text.as_bytes()).unwrap_err();
                assert_eq!((error.kind(), error.op()), (ErrorKind::Config, "rule.json"), "{error}");
                assert!(error.argument().starts_with("line 1, column "), "{error}");
            }
        }
        let wide = vec!["\"causal\""; DEEP].join(",");
        let text = format!("{{\"version\": 1, \"mask\": {{\"any\": [{wide}]}}}}");
        let error = RuleDocument::parse("rule.json", text.as_bytes()).unwrap_err();
        assert_refused(&error, ErrorKind::Config, "rule.json", "mask");
    });
}

#[test]
fn custom_rules_of_long_expressions_are_refused() {
    let made = |body: String| {
        let wgsl = format!("fn mine(batch: u32, head: u32, query: i32, key: i32) -> bool {{ {body} }}");
        CustomMask::new("mine", wgsl, |_| true).map(drop)
    };
    let sum = |terms| format!("let x = query{}; return x < 1;", "+1".repeat(terms));
    let conjunction = |terms| format!("return query<key{};", "&&key<1".repeat(terms));
    let branches =
        |count| format!("if query < 1 {{ return true; }} {} return false;", "else if key<1{}".repeat(count));
    let brackets = |count| format!("return {}query < key{};", "(".repeat(count), ")".repeat(count));
    let negated = |count| format!("return {}(query < key);", "!".repeat(count));
    let blocks = |count| format!("{} {} return true;", "{".repeat(count), "}".repeat(count));
    let calls = |count| format!("return {}query{} < 1;", "abs(".repeat(count), ")".repeat(count));
    let members = |count| format!("let x = vec2(query); let y = x{}; return y.x < 1;", ".xy".repeat(count));
    on_a_small_stack(move || {
        // The most there may be.
        for body in [sum(255), conjunction(84), branches(128), members(255)] {
            made(body.clone()).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
        for count in [1_000, DEEP] {
            for body in [sum(count), conjunction(count), branches(count), brackets(count), negated(count)] {
                assert_refused(
                    &made(body).unwrap_err(),
                    ErrorKind::Shader,
                    "attention rule",
                    "custom rule `mine`",
                );
            }
            for body in [blocks(count), calls(count), members(count)] {
                assert_refused(
                    &made(body).unwrap_err(),
                    ErrorKind::Shader,
                    "attention rule",
                    "custom rule `mine`",
                );
            }
        }
    });
}

/// The sum of a value, as a loss.
fn loss(graph: &mut Graph, x: Value) -> Value {
    let sum = ops::sum(graph, x, &[0]).unwrap();
    ops::reshape(graph, sum, [1]).unwrap()
}

fn f32s(values: &[f32]) -> HostTensor {
    HostTensor::f32([values.len()], values.to_vec()).unwrap()
}

#[test]
fn a_chain_of_a_hundred_thousand_steps_is_planned_and_run() {
    on_a_small_stack(|| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([4])).unwrap();
        let mut y = x;
        for step in 0..DEEP {
            y = match step % 4 {
                0 => ops::sigmoid(&mut graph, y).unwrap(),
                1 => ops::reshape(&mut graph, y, [2, 2]).unwrap(),
                2 => ops::reshape(&mut graph, y, [4]).unwrap(),
                // Read again by a step further on, and by all of them.
                _ => ops::add(&mut graph, y, x).unwrap(),
            };
        }
        let loss = loss(&mut graph, y);
        let d_x = timed("gradients", || graph.gradients(loss, &[x])).unwrap()[0];
        graph.output("loss", loss).unwrap();
        graph.output("d_x", d_x).unwrap();
        let plan = timed("a plan", || Plan::new(&graph, &Caps::webgpu_default())).unwrap();
        assert!(plan.report().len() > 2 * DEEP, "{}", plan.report().len());
        let input = f32s(&[0.1, -0.2, 0.3, -0.4]);
        let outputs = timed("a run", || cpu::run(&graph, &[("x", &input)])).unwrap();
        assert!(outputs["d_x"].to_f32().iter().all(|slope| slope.is_finite()));
    });
}

#[test]
fn a_hundred_thousand_parameters_are_named_updated_and_handed_out() {
    on_a_small_stack(|| {
        let mut graph = Graph::new();
        let schedule = graph.input("schedule", TensorDesc::f32([3])).unwrap();
        let factor = graph.input("factor", TensorDesc::f32([1])).unwrap();
        let mut total: Option<Value> = None;
        let parameters: Vec<Value> = (0..DEEP)
            .map(|i| graph.parameter(&format!("weight {i}"), TensorDesc::f32([1])).unwrap())
            .collect();
        for &parameter in &parameters {
            total = Some(match total {
                None => parameter,
                Some(total) => ops::add(&mut graph, total, parameter).unwrap(),
            });
        }
        let loss = total.unwrap();
        let gradients = timed("gradients", || graph.gradients(loss, &parameters)).unwrap();
        timed("updates", || {
            for (i, (&parameter, gradient)) in parameters.iter().zip(gradients).enumerate() {
                let velocity = graph.parameter(&format!("velocity {i}"), TensorDesc::f32([1])).unwrap();
                let control = Control { schedule, factor };
                let step = sgd(&mut graph, parameter, gradient, velocity, control, &Sgd::default());
                let (stepped, moved) = step.unwrap();
                graph.update(parameter, stepped).unwrap();
                graph.update(velocity, moved).unwrap();
                graph.output(&format!("gradient {i}"), gradient).unwrap();
            }
        });
        let caps = Caps::webgpu_default();
        let plan = timed("a plan", || Plan::new(&graph, &caps)).unwrap();
        assert!(plan.updated().iter().all(|&updated| updated));
        let named = ["weight", "velocity"]
            .into_iter()
            .flat_map(|kind| (0..DEEP).map(move |i| Ok((format!("{kind} {i}"), f32s(&[0.0])))));
        let mut weights = cpu::Parameters::<f32>::new(named).unwrap();
        let (schedule, factor) = (f32s(&[0.5, 1.0, 1.0]), f32s(&[1.0]));
        let inputs = [("schedule", &schedule), ("factor", &factor)];
        timed("a run", || cpu::update_f32(&graph, &mut weights, &inputs)).unwrap();
        assert_eq!(weights.get("weight 99999").unwrap().to_f32(), [-0.5]);
    });
}

#[test]
fn segments_and_reversible_layers_by_the_ten_thousand() {
    on_a_small_stack(|| {
        let mut graph = Graph::new();
        let x = graph.input("x", TensorDesc::f32([4])).unwrap();
        let mut y = x;
        for _ in 0..DEEP / 10 {
            y = graph.checkpoint(|graph| ops::sigmoid(graph, y)).unwrap();
        }
        let mut streams = [y, x];
        for _ in 0..DEEP / 10 {
            streams = Reversible::new(ops::tanh, ops::sigmoid).record(&mut graph, streams).unwrap();
        }
        let y = ops::add(&mut graph, streams[0], streams[1]).unwrap();
        let loss = loss(&mut graph, y);
        let d_x = timed("gradients", || graph.gradients(loss, &[x])).unwrap()[0];
        graph.output("d_x", d_x).unwrap();
        timed("a plan", || Plan::new(&graph, &Caps::webgpu_default())).unwrap();
    });
}
