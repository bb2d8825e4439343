//! Transformer-XL's evaluation (arXiv 1901.02860, section 4.6), per scored token: segments with memories against one forward pass over the last
//! tokens for each token, as Al-Rfou et al. evaluate (arXiv 1808.04444), random weights. `cargo bench --bench segments`, or behind `--`
//! part of a shape's name, and `profile` for the time of each kernel of a segment.
//!
//! The paper compares on characters (enwik8, 12 layers of 512 channels, 8 heads, 204 symbols); a vocabulary of words shows what its softmax,
//! which segments need for every token and the other way for one, leaves of that.

use std::collections::BTreeMap;
use std::time::Instant;

use foveate::gpu::{AdapterRequest, Context, Parameters, Program, Session};
use foveate::models::{Model, ResultRows, Segments, Task, Tokens};
use foveate::nn::Recorder;
use foveate::runtime::{Device, Runner, State, Store};
use foveate::weights::{Fields, Weights};
use foveate::{DType, Graph, HostTensor, Plan, Result, TensorDesc};

/// Tokens of a segment.
const SEGMENT: usize = 128;
/// Tokens that a prediction is made from.
const CONTEXT: usize = 800;
const TURNS: usize = 5;

/// The extents of a model.
struct Shape {
    name: &'static str,
    layers: usize,
    width: usize,
    heads: usize,
    inner: usize,
    vocabulary: usize,
    cutoffs: &'static [usize],
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "characters",
        layers: 12,
        width: 512,
        heads: 8,
        inner: 2048,
        vocabulary: 204,
        cutoffs: &[],
    },
    Shape {
        name: "words",
        layers: 6,
        width: 256,
        heads: 8,
        inner: 1024,
        vocabulary: 32768,
        cutoffs: &[2048, 8192],
    },
];

impl Shape {
    /// A model whose queries see as many keys as there are memories, or all: of one zero.
    fn model(&self, memory: usize) -> Result<Model> {
        let config = serde_json::json!({
            "model_type": "transfo-xl", "d_model": self.width, "d_embed": self.width, "d_inner": self.inner,
            "d_head": self.width / self.heads, "n_head": self.heads, "n_layer": self.layers,
            "vocab_size": self.vocabulary, "cutoffs": self.cutoffs, "div_val": 1, "mem_len": memory,
            "clamp_len": CONTEXT, "same_length": memory > 1,
        });
        Model::from_config(&Fields::new("config", config)?, Task::Logits)
    }

    /// Ids that are spread over the vocabulary.
    fn ids(&self, count: usize) -> Vec<u32> {
        (0..count).map(|i| (i * 7919 % self.vocabulary) as u32).collect()
    }

    /// Operations of `tokens` that see `seen` keys each in the mean, `scored` of which have scores of the vocabulary: products of weights, of
    /// queries with keys and positions, and of values.
    fn operations(&self, tokens: f64, seen: f64, scored: f64) -> f64 {
        let width = self.width as f64;
        let weights = width * (4.0 * width + 2.0 * self.inner as f64);
        let layer = tokens * (weights + 3.0 * seen * width);
        2.0 * (self.layers as f64 * layer + scored * width * (self.vocabulary + self.cutoffs.len()) as f64)
    }

    /// The scores of the last of `CONTEXT` tokens, from these alone.
    fn last_of_context(&self, model: &Model) -> Result<Graph> {
        let mut graph = Graph::new();
        let tokens = Tokens::segments(&mut graph, [1, CONTEXT])?;
        let last = graph.input("last", TensorDesc::i32([1]))?;
        let rows = ResultRows { wanted: last, of_sequences: last };
        let mut recorder = Recorder::new(&mut graph, DType::F32).with_fixed_weights(CONTEXT);
        for (name, value) in model.record_results(&mut recorder, &tokens, &rows)? {
            graph.output(name, value)?;
        }
        Ok(graph)
    }
}

fn seconds(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn compare(shape: &Shape, device: &Device) -> Result<()> {
    let model = shape.model(CONTEXT)?;
    let weights = Weights::random(model.declarations(), DType::F32, 0)?;
    let mut segments = Segments::new(&model, &weights, device)?;
    let mut stream = segments.start(1)?;
    let mut of_hidden = Segments::new(&model, &weights, device)?.with_hidden_memory();
    let mut hidden_stream = of_hidden.start(1)?;
    let [ids, targets] = [0, 1].map(|from| shape.ids(SEGMENT + 1)[from..from + SEGMENT].to_vec());

    let alone = shape.model(1)?;
    let store = alone.with_derived(&Store::upload(device, weights.iter())?, DType::F32, CONTEXT)?;
    let mut runner = Runner::new(&store);
    let mut state = State::new(device, &shape.last_of_context(&alone)?)?;
    let context = shape.ids(CONTEXT).into_iter().map(|id| id as i32).collect();
    let context = HostTensor::i32([1, CONTEXT], context)?;
    let last = HostTensor::i32([1], vec![CONTEXT as i32 - 1])?;
    let inputs = [("ids", &context), ("last", &last)];

    let mut turns = Vec::new();
    // The first turn compiles the kernels, and memories are full behind it.
    for turn in 0..=TURNS {
        let repeats = if turn == 0 { CONTEXT.div_ceil(SEGMENT) } else { 1 };
        let scored = seconds(|| {
            (0..repeats)
                .try_for_each(|_| segments.log_likelihoods(&mut stream, &[&ids], &[&targets]).map(drop))
        })?;
        let hidden = seconds(|| of_hidden.run(&mut hidden_stream, &[&ids]).map(drop))?;
        let forward = seconds(|| {
            runner.run_stream((), &mut state, &inputs, || shape.last_of_context(&alone)).map(drop)
        })?;
        if turn > 0 {
            turns.push([scored, hidden, forward]);
        }
    }
    let figure = |of: &dyn Fn(&[f64; 3]) -> f64| median(turns.iter().map(of).collect());
    let tokens = SEGMENT as f64;
    let of_segment = shape.operations(tokens, CONTEXT as f64, tokens);
    // The zero before the first token is seen, too.
    let of_forward = shape.operations(CONTEXT as f64, (CONTEXT as f64 + 3.0) / 2.0, 1.0);
    let Shape { name, layers, width, vocabulary, .. } = shape;
    println!(
        "{name}: {layers} layers of {width}, vocabulary of {vocabulary}, f32, medians of {TURNS} turns, per scored token:"
    );
    let line = |what: String, time: f64, operations: f64, tokens: f64| {
        println!(
            "  {what:<48}{:10.3} ms  {:6.1} GFLOP/s of {:8.3} GFLOP",
            1e3 * time / tokens,
            operations / time / 1e9,
            operations / tokens / 1e9
        );
    };
    line(format!("segments of {SEGMENT}, memory {CONTEXT}"), figure(&|t| t[0]), of_segment, tokens);
    line("  with memories of hidden states, all scores read".into(), figure(&|t| t[1]), of_segment, tokens);
    line(format!("a forward pass over {CONTEXT}"), figure(&|t| t[2]), of_forward, 1.0);
    println!(
        "  times faster {:.0}, with hidden states {:.0}; by operations {:.0}",
        figure(&|t| tokens * t[2] / t[0]),
        figure(&|t| tokens * t[2] / t[1]),
        tokens * of_forward / of_segment
    );
    Ok(())
}

/// The time of each kernel of a segment, in which memories are zeros.
fn profile(shape: &Shape, context: &Context) -> Result<()> {
    let model = shape.model(CONTEXT)?;
    let mut graph = Graph::new();
    let tokens = Tokens::segments(&mut graph, [1, SEGMENT])?;
    let mut recorder = Recorder::new(&mut graph, DType::F32).with_fixed_weights(SEGMENT);
    let result = model.record_with(&mut recorder, &tokens)?;
    graph.output("log_probs", result)?;
    let weights = Weights::random(model.declarations(), DType::F32, 0)?;
    let names: Vec<String> =
        weights.iter().map(|weight| weight.map(|(name, _)| name)).collect::<Result<_>>()?;
    let others = graph.parameters().iter().chain(graph.states()).filter(|(name, _)| !names.contains(name));
    let others: Vec<_> =
        others.map(|(name, value)| Ok((name.clone(), HostTensor::zeros(graph.desc(*value)?)?))).collect();
    let parameters = Parameters::upload(context, weights.iter().chain(others))?;
    let program = Program::new(context, &Plan::new(&graph, context.caps())?)?;
    let ids = HostTensor::i32([1, SEGMENT], shape.ids(SEGMENT).into_iter().map(|id| id as i32).collect())?;
    let mut session = Session::with_parameters(&program, &parameters, &[("ids", &ids)])?;
    session.run()?;
    let whole = session.run()?;
    let mut kernels: BTreeMap<(&str, &str), (usize, f64)> = BTreeMap::new();
    let report = program.report();
    for found in session.profile()? {
        let entry = kernels.entry((report[found.step].op, found.shader)).or_default();
        entry.0 += 1;
        entry.1 += found.time.as_secs_f64();
    }
    let mut kernels: Vec<_> = kernels.into_iter().collect();
    kernels.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    println!("{}: a segment in {:.1} ms, of which by themselves", shape.name, 1e3 * whole.wall.as_secs_f64());
    for ((op, shader), (count, time)) in kernels {
        println!("  {:9.2} ms  {count:4} x {op}, {shader}", 1e3 * time);
    }
    Ok(())
}

fn main() -> Result<()> {
    let context = Context::headless(&AdapterRequest::Any)?;
    println!("{}", context.describe());
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let profiles = arguments.iter().any(|argument| argument == "profile");
    let named = arguments.iter().filter(|argument| *argument != "profile");
    let named: Vec<&String> = named.collect();
    for shape in &SHAPES {
        if !named.is_empty() && !named.iter().any(|name| shape.name.contains(name.as_str())) {
            continue;
        }
        if profiles {
            profile(shape, &context)?;
        }
        compare(shape, &Device::Gpu(context.clone()))?;
    }
    Ok(())
}
