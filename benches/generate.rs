//! Decoding with caches, GPT-2's shape with random weights: `cargo bench --bench generate`, or with the number of layers behind `--` (12).
//!
//! A step against its matrix-vector products alone and against the rate of an addition, steps at two positions, a text against computing
//! the whole context for every token, several streams against one, and f16 against f32; all in turn, medians of the turns.

use std::time::Instant;

use foveate::generate::{Generator, Streams};
use foveate::gpu::{AdapterRequest, Context, Parameters, Program, Session};
use foveate::models::{Encoder, Item, Model, Task};
use foveate::ops::{self, Matmul, matmul};
use foveate::runtime::Device;
use foveate::weights::{Fields, Weights};
use foveate::{DType, Graph, HostTensor, Plan, Result, TensorDesc};

const WIDTH: usize = 768;
const HEADS: usize = 12;
const VOCABULARY: usize = 50257;
const CAPACITY: usize = 1024;
const TURNS: usize = 5;

fn gpt2(layers: usize) -> Result<Model> {
    let config = serde_json::json!({
        "model_type": "gpt2", "n_embd": WIDTH, "n_layer": layers, "n_head": HEADS, "vocab_size": VOCABULARY,
        "n_positions": CAPACITY,
    });
    Model::from_config(&Fields::new("config", config)?, Task::Logits)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn seconds(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Ids that are spread over the vocabulary.
fn ids(count: usize) -> Vec<u32> {
    (0..count).map(|i| (i * 7919 % VOCABULARY) as u32).collect()
}

/// The products of one step with every weight, one behind the other, as the layers have them.
fn products(context: &Context, layers: usize) -> Result<(Session, f64)> {
    let mut graph = Graph::new();
    let mut weights = Vec::new();
    let mut bytes = 0;
    let mut product =
        |graph: &mut Graph, name: String, inner: usize, out: usize, in_out: bool| -> Result<()> {
            let x = graph.input(&format!("x.{name}"), TensorDesc::f32([1, inner]))?;
            let shape = if in_out { [inner, out] } else { [out, inner] };
            let weight = graph.parameter(&name, TensorDesc::f32(shape))?;
            let y = match in_out {
                true => matmul(graph, x, weight, &Matmul::new())?,
                false => ops::linear(graph, x, weight, &ops::Linear::new())?,
            };
            graph.output(&format!("y.{name}"), y)?;
            bytes += 4 * inner * out;
            weights.push(Ok((name, HostTensor::f32(shape, vec![0.01; inner * out])?)));
            Ok(())
        };
    for layer in 0..layers {
        product(&mut graph, format!("{layer}.qkv"), WIDTH, 3 * WIDTH, true)?;
        product(&mut graph, format!("{layer}.proj"), WIDTH, WIDTH, true)?;
        product(&mut graph, format!("{layer}.up"), WIDTH, 4 * WIDTH, true)?;
        product(&mut graph, format!("{layer}.down"), 4 * WIDTH, WIDTH, true)?;
    }
    product(&mut graph, "decoder".into(), WIDTH, VOCABULARY, false)?;
    let program = Program::new(context, &Plan::new(&graph, context.caps())?)?;
    let parameters = Parameters::upload(context, weights)?;
    let inputs: Vec<(String, HostTensor)> = graph
        .inputs()
        .iter()
        .map(|(name, value)| Ok((name.clone(), HostTensor::zeros(graph.desc(*value)?)?)))
        .collect::<Result<_>>()?;
    let inputs: Vec<(&str, &HostTensor)> = inputs.iter().map(|(name, x)| (name.as_str(), x)).collect();
    Ok((Session::with_parameters(&program, &parameters, &inputs)?, bytes as f64))
}

/// An addition of as many bytes as fit no cache.
fn addition(context: &Context) -> Result<(Session, f64)> {
    let count = 1 << 24;
    let mut graph = Graph::new();
    let (a, b) = (graph.input("a", TensorDesc::f32([count]))?, graph.input("b", TensorDesc::f32([count]))?);
    let sum = ops::add(&mut graph, a, b)?;
    graph.output("sum", sum)?;
    let program = Program::new(context, &Plan::new(&graph, context.caps())?)?;
    let ones = HostTensor::f32([count], vec![1.0; count])?;
    Ok((Session::new(&program, &[("a", &ones), ("b", &ones)])?, 12.0 * count as f64))
}

/// Streams that hold `held` tokens each, ready for the next.
fn filled(generator: &mut Generator, streams: usize, held: usize) -> Result<Streams> {
    let mut filled = generator.start(streams, CAPACITY)?;
    let prompt = ids(held);
    generator.feed(&mut filled, &vec![&prompt[..]; streams])?;
    Ok(filled)
}

/// A step of each stream, which then holds what it held before.
fn step(generator: &mut Generator, streams: &mut Streams) -> Result<f64> {
    let held = streams.lengths().to_vec();
    let tokens = vec![&[1u32][..]; held.len()];
    let time = seconds(|| generator.feed(streams, &tokens).map(drop))?;
    held.into_iter().enumerate().try_for_each(|(stream, held)| streams.truncate(stream, held))?;
    Ok(time)
}

fn main() -> Result<()> {
    let layers = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(12);
    let context = Context::headless(&AdapterRequest::Any)?;
    println!("{}", context.describe());
    let device = Device::Gpu(context.clone());
    let model = gpt2(layers)?;
    let weights = Weights::random(model.declarations(), DType::F32, 0)?;
    let mut generator = Generator::new(&model, &weights, &device)?;
    let (mut products, product_bytes) = products(&context, layers)?;
    let (mut addition, addition_bytes) = addition(&context)?;
    let mut early = filled(&mut generator, 1, 100)?;
    let mut late = filled(&mut generator, 1, 900)?;
    let mut eight = filled(&mut generator, 8, 100)?;
    let mut halves = match device.stores(DType::F16) {
        true => {
            Some(Generator::new(&model, &Weights::random(model.declarations(), DType::F16, 0)?, &device)?)
        }
        false => None,
    };
    let mut half = halves.as_mut().map(|generator| filled(generator, 1, 100)).transpose()?;
    let mut turns: Vec<[f64; 6]> = Vec::new();
    // The first turn compiles the kernels.
    for turn in 0..=TURNS {
        let figures = [
            seconds(|| addition.run().map(drop))?,
            seconds(|| products.run().map(drop))?,
            step(&mut generator, &mut early)?,
            step(&mut generator, &mut late)?,
            step(&mut generator, &mut eight)?,
            match (&mut halves, &mut half) {
                (Some(generator), Some(stream)) => step(generator, stream)?,
                _ => f64::NAN,
            },
        ];
        if turn > 0 {
            turns.push(figures);
        }
    }
    let figure = |of: &dyn Fn(&[f64; 6]) -> f64| median(turns.iter().map(of).collect());
    let [add, vectors, at_100, at_900, of_eight, in_f16] =
        [0, 1, 2, 3, 4, 5].map(|at| figure(&|turn| turn[at]));
    println!("{layers} layers of {WIDTH}, f32, medians of {TURNS} turns:");
    println!("  addition             {:8.2} ms  {:5.1} GB/s", 1e3 * add, addition_bytes / add / 1e9);
    println!(
        "  products of a step   {:8.2} ms  {:5.1} GB/s of weights, {:.2} of the addition's rate",
        1e3 * vectors,
        product_bytes / vectors / 1e9,
        figure(&|turn| product_bytes / turn[1] / (addition_bytes / turn[0]))
    );
    println!(
        "  step at 100          {:8.2} ms  {:.2} of its products",
        1e3 * at_100,
        figure(&|t| t[2] / t[1])
    );
    println!(
        "  step at 900          {:8.2} ms  {:.2} of the step at 100",
        1e3 * at_900,
        figure(&|t| t[3] / t[2])
    );
    println!(
        "  step of 8 streams    {:8.2} ms  {:.2} times the tokens/s of one",
        1e3 * of_eight,
        figure(&|t| 8.0 * t[2] / t[4])
    );
    if halves.is_some() {
        println!(
            "  step at 100 in f16   {:8.2} ms  {:.2} of the step in f32",
            1e3 * in_f16,
            figure(&|t| t[5] / t[2])
        );
    }
    against_recomputing(&mut generator, &model, &weights, &device)
}

/// A text of 256 tokens behind a prompt of 256, and what it takes to compute the context for each: the last and the first, of which the mean
/// stands for all.
fn against_recomputing(
    generator: &mut Generator,
    model: &Model,
    weights: &Weights,
    device: &Device,
) -> Result<()> {
    let (prompt, text) = (256, 256);
    let mut streams = filled(generator, 1, prompt)?;
    streams.truncate(0, 0)?;
    let context = ids(prompt + text);
    let cached = seconds(|| {
        generator.feed(&mut streams, &[&context[..prompt]])?;
        (prompt..prompt + text - 1)
            .try_for_each(|at| generator.feed(&mut streams, &[&context[at..=at]]).map(drop))
    })?;
    let mut encoder = Encoder::new(model, weights, device)?;
    let mut whole = |length: usize| -> Result<f64> {
        let item = Item { wanted: Some(&[0]), ..Item::new(&context[..length]) };
        encoder.run_first(&[item])?;
        seconds(|| encoder.run_first(&[item]).map(drop))
    };
    let mean = (whole(prompt)? + whole(prompt + text - 1)?) / 2.0;
    println!(
        "  {text} tokens after {prompt}  {:8.2} ms, {:.2} ms each; computing the context each time {:.2} ms each: {:.1} times",
        1e3 * cached,
        1e3 * cached / text as f64,
        1e3 * mean,
        mean * text as f64 / cached
    );
    Ok(())
}
