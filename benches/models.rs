//! Whole models: time of a batch against the device's own matrix product, the first call apart, and what planning costs.
//! `cargo bench --bench models`; weights are random, so no checkpoint is needed.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use foveate::check::Random;
use foveate::gpu::{AdapterRequest, Context, Parameters, Program, Session};
use foveate::models::{BatchSize, FAMILIES, Model, Task, Tokens};
use foveate::nn::LayoutKind;
use foveate::ops::{Matmul, matmul};
use foveate::weights::{Fields, Weights};
use foveate::{DType, Graph, HostTensor, Plan, TensorDesc};

/// Layout of a batch, and tokens of each.
const BATCH: [usize; 2] = [32, 64];
const MATMUL: usize = 1024;

/// all-MiniLM-L6-v2, with another number of layers.
fn minilm(layers: usize) -> Model {
    let config = serde_json::json!({
        "model_type": "bert", "hidden_size": 384, "num_hidden_layers": layers, "num_attention_heads": 12,
        "intermediate_size": 1536, "vocab_size": 30522, "max_position_embeddings": 512,
    });
    let fields = Fields::new("config", config).expect("an object");
    Model::from_config(&fields, Task::Embed).expect("a sound configuration")
}

fn size() -> BatchSize {
    BatchSize::packed(BATCH[0] * BATCH[1], BATCH[0])
}

/// Multiply-adds of six layers' dense layers and attention, twice.
fn flops() -> u64 {
    let (tokens, width, inner) = ((BATCH[0] * BATCH[1]) as u64, 384, 1536);
    let dense = 2 * tokens * (4 * width * width + 2 * width * inner);
    let attention = 4 * tokens * BATCH[1] as u64 * width;
    6 * (dense + attention)
}

/// A batch of full sequences of ids that are spread over the vocabulary.
fn batch() -> Vec<(&'static str, HostTensor)> {
    let [_, length] = BATCH;
    let input = |value: &dyn Fn(usize) -> usize| {
        let values = (0..size().time).map(|i| value(i) as i32).collect();
        HostTensor::i32([1, size().time], values).expect("as many as the shape has")
    };
    vec![
        ("ids", input(&|i| i * 7919 % 30522)),
        ("positions", input(&|i| i % length)),
        ("types", input(&|_| 0)),
        ("segments", input(&|i| i / length)),
    ]
}

fn session_of(context: &Context, model: &Model, parameters: &Parameters, dtype: DType) -> Session {
    let graph = model.batch_graph(size(), dtype).expect("it records");
    let plan = Plan::new(&graph, context.caps()).expect("it can be planned");
    let program = Program::new(context, &plan).expect("the program can be made");
    let inputs = batch();
    let inputs: Vec<(&str, &HostTensor)> = inputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
    Session::with_parameters(&program, parameters, &inputs).expect("the buffers fit")
}

fn product(context: &Context) -> Session {
    let mut graph = Graph::new();
    let desc = TensorDesc::f32([MATMUL, MATMUL]);
    let a = graph.input("a", desc.clone()).expect("a fresh graph");
    let b = graph.input("b", desc.clone()).expect("another name");
    let c = matmul(&mut graph, a, b, &Matmul::new()).expect("square matrices");
    graph.output("c", c).expect("another name");
    let plan = Plan::new(&graph, context.caps()).expect("it can be planned");
    let program = Program::new(context, &plan).expect("the program can be made");
    let mut random = Random::new(0);
    let values = (0..desc.elements()).map(|_| random.next_f32()).collect();
    let tensor = HostTensor::f32(desc.shape, values).expect("as many as the shape has");
    Session::new(&program, &[("a", &tensor), ("b", &tensor)]).expect("the buffers fit")
}

fn run(session: &mut Session) -> Duration {
    let timing = session.run().expect("the device runs");
    timing.gpu.unwrap_or(timing.wall)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The model and the product in turn, as machines change their pace.
fn against_matmul(context: &Context, session: &mut Session) {
    let mut product = product(context);
    run(&mut product);
    let rates = (0..7).map(|_| {
        let model = flops() as f64 / run(session).as_secs_f64();
        let matmul = 2.0 * (MATMUL as f64).powi(3) / run(&mut product).as_secs_f64();
        (model / 1e9, matmul / 1e9)
    });
    let rates: Vec<(f64, f64)> = rates.collect();
    println!(
        "in turn: model {:.1} GFLOP/s, matmul {MATMUL} {:.1} GFLOP/s, ratio {:.2}",
        median(rates.iter().map(|(model, _)| *model).collect()),
        median(rates.iter().map(|(_, matmul)| *matmul).collect()),
        median(rates.iter().map(|(model, matmul)| model / matmul).collect()),
    );
}

fn bench(criterion: &mut Criterion) {
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", context.describe());
    let model = minilm(6);
    let mut group = criterion.benchmark_group("minilm, 32 x 64");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(flops()));
    for dtype in
        [DType::F32, DType::F16].into_iter().filter(|&dtype| dtype == DType::F32 || context.caps().f16)
    {
        let weights = Weights::random(model.declarations(), dtype, 0).expect("a float");
        let parameters = Parameters::upload(&context, weights.iter()).expect("the weights fit");
        let start = Instant::now();
        let mut session = session_of(&context, &model, &parameters, dtype);
        let prepared = start.elapsed();
        let first = run(&mut session);
        println!("{dtype}: prepared in {prepared:.2?} (plan, kernels, buffers), first run {first:.2?}");
        group.bench_function(dtype.name(), |bencher| {
            bencher.iter_custom(|runs| (0..runs).map(|_| run(&mut session)).sum());
        });
        against_matmul(&context, &mut session);
    }
    group.finish();

    for family in FAMILIES {
        plan_twelve_layers(&context, family.model_type);
    }
}

/// Time to record and plan twelve layers, of a decoder those of a step besides.
fn plan_twelve_layers(context: &Context, model_type: &str) {
    let config = serde_json::json!({
        "model_type": model_type, "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512,
        "attention_window": 256, "relative_attention": true, "position_biased_input": false,
        "pos_att_type": "c2p|p2c", "max_relative_positions": 512, "position_buckets": 256,
        "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
        "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12,
        "d_inner": 3072, "d_head": 64, "mem_len": 512, "cutoffs": [2000, 10000],
    });
    let open = |task| {
        let fields = Fields::new("config", config.clone()).expect("an object");
        Model::from_config(&fields, task)
    };
    let model = open(Task::Hidden).expect("a sound configuration");
    let signature = model.network().signature();
    let whole = || match signature.takes(LayoutKind::Recurrent) {
        true => {
            let mut graph = Graph::new();
            let tokens = Tokens::segments(&mut graph, [1, 128])?;
            let hidden = model.record(&mut graph, &tokens, DType::F32)?;
            graph.output("hidden", hidden)?;
            Ok(graph)
        }
        // Few enough tokens for DeBERTa's products with distances to fit a binding.
        false if signature.takes(LayoutKind::Packed) => {
            model.batch_graph(BatchSize { rows: 1, ..BatchSize::packed(512, 8) }, DType::F32)
        }
        false => {
            let size = BatchSize { layout: LayoutKind::Padded, time: 64, count: 8, rows: 1, globals: 0 };
            model.batch_graph(size, DType::F32)
        }
    };
    let mut times = vec![("texts", planning(context, &whole))];
    if signature.takes(LayoutKind::Cached) {
        let step = || {
            let mut graph = Graph::new();
            let tokens = Tokens::cached(&mut graph, [1, 1], 512)?;
            let hidden = model.record(&mut graph, &tokens, DType::F32)?;
            graph.output("hidden", hidden)?;
            Ok(graph)
        };
        times.push(("a step", planning(context, &step)));
    }
    for (what, time) in times {
        println!("record and plan 12 layers of {model_type}, {what}: {:.1} ms", 1e3 * time);
    }
}

/// The median of a few times that recording and planning took, in seconds.
fn planning(context: &Context, record: &dyn Fn() -> foveate::Result<Graph>) -> f64 {
    let time = |_| {
        let start = Instant::now();
        let graph = record().expect("it records");
        Plan::new(&graph, context.caps()).expect("it can be planned");
        start.elapsed().as_secs_f64()
    };
    median((0..5).map(time).collect())
}

criterion_group!(benches, bench);
criterion_main!(benches);
