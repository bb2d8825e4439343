//! Transformer-XL's evaluation (arXiv 1901.02860, section 4.4), per scored token: segments with memories against one forward pass over
//! the last tokens for each token, random weights. `cargo bench --bench segments`.

use std::time::Instant;

use foveate::gpu::{AdapterRequest, Context};
use foveate::models::{Model, ResultRows, Segments, Task, Tokens};
use foveate::nn::Recorder;
use foveate::runtime::{Device, Runner, State, Store};
use foveate::weights::{Fields, Weights};
use foveate::{DType, Graph, HostTensor, Result, TensorDesc};

/// Tokens of a segment.
const SEGMENT: usize = 128;
/// Tokens that a prediction is made from.
const CONTEXT: usize = 800;
const VOCABULARY: usize = 32768;
const TURNS: usize = 5;

fn model(memory: usize) -> Result<Model> {
    let config = serde_json::json!({
        "model_type": "transfo-xl", "d_model": 256, "d_embed": 256, "d_inner": 1024, "d_head": 32, "n_head": 8,
        "n_layer": 6, "vocab_size": VOCABULARY, "cutoffs": [2048, 8192], "div_val": 1, "mem_len": memory,
        "clamp_len": CONTEXT,
    });
    Model::from_config(&Fields::new("config", config)?, Task::Logits)
}

/// Ids that are spread over the vocabulary.
fn ids(count: usize) -> Vec<u32> {
    (0..count).map(|i| (i * 7919 % VOCABULARY) as u32).collect()
}

/// The scores of the last of `CONTEXT` tokens, from these alone: the shortest memory there can be, of one zero.
fn last_of_context(model: &Model) -> Result<Graph> {
    let mut graph = Graph::new();
    let tokens = Tokens::segments(&mut graph, [1, CONTEXT])?;
    let last = graph.input("last", TensorDesc::i32([1]))?;
    let rows = ResultRows { wanted: last, of_sequences: last };
    let results = model.record_results(&mut Recorder::new(&mut graph, DType::F32), &tokens, &rows)?;
    for (name, value) in results {
        graph.output(name, value)?;
    }
    Ok(graph)
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

fn main() -> Result<()> {
    let context = Context::headless(&AdapterRequest::Any)?;
    println!("{}", context.describe());
    let device = Device::Gpu(context);
    let recurrent = model(CONTEXT)?;
    let weights = Weights::random(recurrent.declarations(), DType::F32, 0)?;
    let mut segments = Segments::new(&recurrent, &weights, &device)?;
    let mut stream = segments.start(1)?;
    let segment = ids(SEGMENT);

    let alone = model(1)?;
    let mut runner = Runner::new(&Store::upload(&device, weights.iter())?);
    let mut state = State::new(&device, &last_of_context(&alone)?)?;
    let context_ids = HostTensor::i32([1, CONTEXT], ids(CONTEXT).into_iter().map(|id| id as i32).collect())?;
    let last = HostTensor::i32([1], vec![CONTEXT as i32 - 1])?;
    let inputs = [("ids", &context_ids), ("last", &last)];

    let mut turns = Vec::new();
    // The first turn compiles the kernels, and memories are full behind it.
    for turn in 0..=TURNS {
        let repeats = if turn == 0 { CONTEXT.div_ceil(SEGMENT) } else { 1 };
        let read =
            seconds(|| (0..repeats).try_for_each(|_| segments.run(&mut stream, &[&segment]).map(drop)))?;
        let forward =
            seconds(|| runner.run_stream((), &mut state, &inputs, || last_of_context(&alone)).map(drop))?;
        if turn > 0 {
            turns.push((read / SEGMENT as f64, forward));
        }
    }
    let figure = |of: &dyn Fn(&(f64, f64)) -> f64| median(turns.iter().map(of).collect());
    println!("6 layers of 256, f32, medians of {TURNS} turns, per scored token:");
    println!("  segments of {SEGMENT}, memory {CONTEXT}   {:9.3} ms", 1e3 * figure(&|turn| turn.0));
    println!("  a forward pass over {CONTEXT}     {:9.3} ms", 1e3 * figure(&|turn| turn.1));
    println!("  times faster                {:9.1}", figure(&|turn| turn.1 / turn.0));
    Ok(())
}
