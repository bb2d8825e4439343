//! Training steps against forward passes, and reversible layers against residual ones: timed in turn, as machines change their pace.
//! `cargo bench --bench train`.

use std::collections::BTreeMap;
use std::time::Instant;

use foveate::gpu::{AdapterRequest, Context};
use foveate::models::LanguageModelConfig;
use foveate::nn::Training;
use foveate::ops::optimizer::AdamW;
use foveate::runtime::Device;
use foveate::train::{Description, Optimizer, Schedule, Settings, Start, TextBatch, Trainer, language_loss};
use foveate::{DType, HostTensor, Random, Result};

const TURNS: usize = 15;

/// A model and the sequences of a batch.
#[derive(Clone, Copy)]
struct Setup {
    name: &'static str,
    width: usize,
    layers: usize,
    feed_forward: usize,
    batch: usize,
}

const LENGTH: usize = 128;

const SETUPS: [Setup; 2] = [
    Setup { name: "3 layers of 64 (the oracle's)", width: 64, layers: 3, feed_forward: 192, batch: 4 },
    Setup { name: "4 layers of 128 (the command's)", width: 128, layers: 4, feed_forward: 512, batch: 16 },
];

fn trainer(context: &Context, setup: Setup, reversible: bool, recompute: usize) -> Result<Trainer> {
    let Setup { width, layers, feed_forward, batch, .. } = setup;
    let config = LanguageModelConfig {
        width,
        layers,
        feed_forward,
        length: LENGTH,
        reversible,
        ..LanguageModelConfig::default()
    };
    let model = config.model()?;
    let training = Training { recompute, ..Training::default() };
    let weights: BTreeMap<String, HostTensor> =
        config.initial_weights(model.declarations(), 0).collect::<Result<_>>()?;
    let settings = Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(1e-3));
    Trainer::new(
        &Device::Gpu(context.clone()),
        model.declarations(),
        &|graph, _| language_loss(graph, &model, [batch, LENGTH], DType::F32, training),
        Start::Weights(&weights),
        Description::default(),
        settings,
    )
}

/// Flops of a forward pass: multiply-adds of dense layers, scores and attention's sums, twice; of attention what the mask leaves.
fn forward_flops(setup: Setup) -> f64 {
    let Setup { width, layers, feed_forward, batch, .. } = setup;
    let tokens = (batch * LENGTH) as f64;
    let dense = layers * (4 * width * width + 2 * width * feed_forward) + 256 * width;
    let attention = layers * width * (LENGTH + 1);
    2.0 * tokens * (dense + attention) as f64
}

fn batch(setup: Setup) -> Result<TextBatch> {
    let mut random = Random::new(1);
    let mut ids = || {
        let ids = (0..setup.batch * LENGTH).map(|_| random.next_below(256) as i32).collect();
        HostTensor::i32([setup.batch, LENGTH], ids)
    };
    Ok(TextBatch { ids: ids()?, targets: ids()? })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn time(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

fn compare(context: &Context, setup: Setup) -> Result<()> {
    let batch = batch(setup)?;
    let mut residual = trainer(context, setup, false, 0)?;
    let mut checkpointed = trainer(context, setup, false, 2)?;
    let mut reversible = trainer(context, setup, true, 0)?;
    let mut turns = Vec::with_capacity(TURNS);
    // The first turn compiles the kernels.
    for turn in 0..=TURNS {
        let figures = [
            time(|| residual.evaluate(&batch.named()).map(drop))?,
            time(|| residual.step(&[&batch.named()]).map(drop))?,
            time(|| checkpointed.step(&[&batch.named()]).map(drop))?,
            time(|| reversible.step(&[&batch.named()]).map(drop))?,
        ];
        if turn > 0 {
            turns.push(figures);
        }
    }
    let column = |of: &dyn Fn(&[f64; 4]) -> f64| median(turns.iter().map(of).collect());
    let flops = forward_flops(setup);
    let working = |trainer: &mut Trainer| -> Result<f64> {
        Ok(trainer.memory()?.map_or(0.0, |memory| memory.working as f64 / f64::from(1 << 20)))
    };
    println!("{}, batch {} x {LENGTH}, wall time, medians of {TURNS} turns:", setup.name, setup.batch);
    let rate = |seconds: f64, passes: f64| passes * flops / seconds / 1e9;
    let [forward, step] = [column(&|t| t[0]), column(&|t| t[1])];
    println!("  forward          {:8.2} ms  {:5.1} GFLOP/s", 1e3 * forward, rate(forward, 1.0));
    for (name, at, trainer) in [
        ("residual step", 1, &mut residual),
        ("checkpointed step", 2, &mut checkpointed),
        ("reversible step", 3, &mut reversible),
    ] {
        println!(
            "  {name:<17}{:8.2} ms  {:5.1} GFLOP/s  {:.2} of forward  {:.2} of residual  {:.2} MiB working",
            1e3 * column(&|t| t[at]),
            // Backward passes count twice the forward's; what is recomputed does not count.
            rate(column(&|t| t[at]), 3.0),
            column(&|t| t[at] / t[0]),
            column(&|t| t[at] / t[1]),
            working(trainer)?,
        );
    }
    println!("  {:.0} tokens/s", (setup.batch * LENGTH) as f64 / step);
    Ok(())
}

fn main() {
    let context = Context::headless(&AdapterRequest::Any).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", context.describe());
    for setup in SETUPS {
        compare(&context, setup).unwrap_or_else(|error| panic!("{error}"));
    }
}
