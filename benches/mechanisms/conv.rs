//! Convolutions over time, and what a Conformer is made of.

use std::time::Instant;

use foveate::check::Problem;
use foveate::gpu::Context;
use foveate::models::{ConformerConfig, Device, SoundEncoder};
use foveate::nn::{
    BatchNorm, ConformerAttention, ConformerBlock, ConformerConv, ConformerPositions, FeedForward, LayerNorm,
    Layout, LightConv, Linear, Mixer, Recorder, TapKernel,
};
use foveate::ops::attention::{Blocked, blocked};
use foveate::ops::loss::{Alignment, Ctc, ctc};
use foveate::ops::{Activation, Conv1d, Matmul, add, conv1d, matmul, mean_squared_error, sum};
use foveate::runtime::Store;
use foveate::weights::{Declarations, Scope};
use foveate::{DType, HostTensor, Result, Value};

use crate::turns::{Row, time};

const TURNS: usize = 5;
const TIME: usize = 1024;
const CHANNELS: usize = 512;
const EPS: f32 = 1e-5;

fn sequence(problem: &mut Problem) -> Result<Value> {
    problem.random("x", DType::F32, [1, TIME, CHANNELS], 1.0)
}

/// 31 taps, against the lesser of half of what an addition moves in a second and 0.4 of what matmul multiplies.
pub(crate) fn depthwise(context: &Context) -> Result<()> {
    const TAPS: usize = 31;
    const SIDE: usize = 1024;
    // So many that a dispatch of their own is nothing beside them.
    const BATCH: usize = 4;
    let sequences =
        |problem: &mut Problem, name| problem.random(name, DType::F32, [BATCH, TIME, CHANNELS], 1.0);
    let mut rows = [
        Row::new(context, "depthwise convolution, 4 x 1024 positions of 512, 31 taps", |problem| {
            let x = sequences(problem, "x")?;
            let weight = problem.random("weight", DType::F32, [CHANNELS, 1, TAPS], 1.0)?;
            let spec = Conv1d::new().padding(TAPS / 2, TAPS / 2).groups(CHANNELS);
            Ok(vec![conv1d(&mut problem.graph, x, weight, &spec)?])
        })?,
        Row::new(context, "addition of as many numbers", |problem| {
            let x = sequences(problem, "x")?;
            let y = sequences(problem, "y")?;
            Ok(vec![add(&mut problem.graph, x, y)?])
        })?,
        Row::new(context, "matmul, 1024 x 1024 x 1024", |problem| {
            let a = problem.random("a", DType::F32, [SIDE, SIDE], 1.0)?;
            let b = problem.random("b", DType::F32, [SIDE, SIDE], 1.0)?;
            Ok(vec![matmul(&mut problem.graph, a, b, &Matmul::new())?])
        })?,
    ];
    time(&mut rows, 3 * TURNS)?;
    let elements = (BATCH * TIME * CHANNELS) as f64;
    // A number is read and one is written; an addition reads two.
    let moved = 2.0 / 3.0 / rows[0].over(&rows[1]);
    let multiplied = elements * TAPS as f64 / (SIDE * SIDE * SIDE) as f64 / rows[0].over(&rows[2]);
    let (bytes, operations) = (8.0 * elements, 2.0 * elements * TAPS as f64);
    println!("  {:.2} GB/s, {:.2} of add's (0.5 wanted, or)", 1e-9 * bytes / rows[0].median(), moved);
    println!("  {:.2} GFLOP/s, {:.2} of matmul's (0.4)", 1e-9 * operations / rows[0].median(), multiplied);
    Ok(())
}

/// A kernel of 3 over 512 channels, against the product that it is.
pub(crate) fn dense(context: &Context) -> Result<()> {
    const TAPS: usize = 3;
    let mut rows = [
        Row::new(context, "convolution, 512 to 512 channels, kernel of 3, 1024 positions", |problem| {
            let x = sequence(problem)?;
            let weight = problem.random("weight", DType::F32, [CHANNELS, CHANNELS, TAPS], 1.0)?;
            let spec = Conv1d::new().padding(TAPS / 2, TAPS / 2);
            Ok(vec![conv1d(&mut problem.graph, x, weight, &spec)?])
        })?,
        Row::new(context, "matmul, 1024 x 1536 x 512", |problem| {
            let a = problem.random("a", DType::F32, [TIME, TAPS * CHANNELS], 1.0)?;
            let b = problem.random("b", DType::F32, [TAPS * CHANNELS, CHANNELS], 1.0)?;
            Ok(vec![matmul(&mut problem.graph, a, b, &Matmul::new())?])
        })?,
    ];
    time(&mut rows, TURNS)?;
    let rate = 2e-9 * (TIME * CHANNELS * CHANNELS * TAPS) as f64 / rows[0].median();
    println!("  {rate:.1} GFLOP/s, {:.2} of matmul's (0.75 wanted)", rows[1].over(&rows[0]));
    Ok(())
}

/// Against blocked attention of the same width, the layers around both left out.
pub(crate) fn lightweight(context: &Context) -> Result<()> {
    let mut declarations = Declarations::new();
    let kernel = TapKernel { heads: 8, taps: 31, before: 15, drops_taps: false };
    let layer = LightConv::declare(&mut declarations.root().at("conv"), kernel)?;
    let mut rows = [
        Row::with_weights(
            context,
            "lightweight convolution, 8 heads, 31 taps, 1024 positions of 512",
            &declarations,
            |problem| {
                let x = sequence(problem)?;
                let mut recorder = Recorder::new(&mut problem.graph, DType::F32);
                Ok(vec![layer.record(&mut recorder, x, &Layout::Rows)?])
            },
        )?,
        Row::new(context, "blocked attention, 8 heads of 64", |problem| {
            let mut rows = |name| problem.random(name, DType::F32, [1, TIME, 8, CHANNELS / 8], 1.0);
            let [q, k, v] = [rows("q")?, rows("k")?, rows("v")?];
            Ok(vec![blocked(&mut problem.graph, q, k, v, &Blocked::new())?])
        })?,
    ];
    time(&mut rows, 3 * TURNS)?;
    println!("  {:.1} times faster (20 wanted)", rows[1].over(&rows[0]));
    Ok(())
}

/// A layer of Conformer-S (Gulati et al., table 1): 144 channels, 4 heads, kernel of 32, here 31.
fn layer(scope: &mut Scope<'_>) -> Result<ConformerBlock> {
    const WIDTH: usize = 144;
    const HEADS: usize = 4;
    const TAPS: usize = 31;
    let norm = |scope: &mut Scope<'_>, name: &str| LayerNorm::declare(&mut scope.at(name), WIDTH, EPS);
    let linear = |scope: &mut Scope<'_>, name: &str, from, to| Linear::declare(&mut scope.at(name), from, to);
    let network = |scope: &mut Scope<'_>, name: &str| {
        let mut scope = scope.at(name);
        let up = linear(&mut scope, "up", WIDTH, 4 * WIDTH)?;
        let down = linear(&mut scope, "down", 4 * WIDTH, WIDTH)?;
        Ok((norm(&mut scope, "norm")?, FeedForward { up, gate: None, activation: Activation::Silu, down }))
    };
    let mut biases = |name| scope.weight(name, [HEADS, WIDTH / HEADS]);
    let biases = [biases("u")?, biases("v")?];
    let key = Linear::declare_without_bias(&mut scope.at("position"), WIDTH, WIDTH)?;
    let mut of_width = |name| linear(scope, name, WIDTH, WIDTH);
    let attention = ConformerAttention {
        layers: [of_width("query")?, of_width("key")?, of_width("value")?],
        positions: ConformerPositions::Relative { key, biases },
        output: of_width("output")?,
        heads: HEADS,
        left_context: None,
    };
    let conv = ConformerConv {
        norm: norm(scope, "conv_norm")?,
        expand: linear(scope, "expand", WIDTH, 2 * WIDTH)?,
        depthwise: scope.weight("depthwise", [WIDTH, 1, TAPS])?,
        before: TAPS / 2,
        batch_norm: BatchNorm::declare(&mut scope.at("batch_norm"), WIDTH, EPS)?,
        activation: Activation::Silu,
        reduce: linear(scope, "reduce", WIDTH, WIDTH)?,
    };
    Ok(ConformerBlock {
        feeding: [network(scope, "first")?, network(scope, "second")?],
        attention_norm: norm(scope, "attention_norm")?,
        attention,
        conv,
        norm: norm(scope, "norm")?,
    })
}

/// 32 utterances of 200 frames and 128 symbols, each with its gradients.
pub(crate) fn ctc_beside_a_layer(context: &Context) -> Result<()> {
    const BATCH: usize = 32;
    const FRAMES: usize = 200;
    const SYMBOLS: usize = 128;
    const LABELS: usize = 40;
    let mut declarations = Declarations::new();
    let layer = layer(&mut declarations.root().at("layer"))?;
    let mut rows = Vec::new();
    for is_backward in [false, true] {
        let passes = if is_backward { "both passes" } else { "forward" };
        rows.push(Row::new(context, format!("CTC, 32 x 200 frames x 128 symbols, {passes}"), |problem| {
            let logits = problem.random("logits", DType::F32, [BATCH, FRAMES, SYMBOLS], 4.0)?;
            let targets = (0..BATCH * LABELS).map(|i| 1 + (i * 7919 % (SYMBOLS - 1)) as i32).collect();
            let all = |count: usize| HostTensor::i32([BATCH], vec![count as i32; BATCH]);
            let alignment = Alignment {
                targets: problem.input("targets", HostTensor::i32([BATCH, LABELS], targets)?)?,
                frames: problem.input("frames", all(FRAMES)?)?,
                labels: problem.input("labels", all(LABELS)?)?,
            };
            let losses = ctc(&mut problem.graph, logits, &alignment, &Ctc::new())?;
            if !is_backward {
                return Ok(vec![losses]);
            }
            let loss = sum(&mut problem.graph, losses, &[0])?;
            problem.graph.gradients(loss, &[logits])
        })?);
        let name = format!("layer of Conformer-S, 32 x 200 frames, {passes}");
        rows.push(Row::with_weights(context, name, &declarations, |problem| {
            let x = problem.random("x", DType::F32, [BATCH, FRAMES, 144], 1.0)?;
            let wanted = problem.random("wanted", DType::F32, [BATCH, FRAMES, 144], 1.0)?;
            let mut recorder = Recorder::new(&mut problem.graph, DType::F32);
            let y = Mixer::record(&layer, &mut recorder, x, None, &Layout::Rows)?;
            if !is_backward {
                return Ok(vec![y]);
            }
            let loss = mean_squared_error(&mut problem.graph, y, wanted)?;
            let weights = problem.graph.parameters().iter().map(|(_, weight)| *weight);
            let wrt: Vec<Value> = weights.chain([x]).collect();
            problem.graph.gradients(loss, &wrt)
        })?);
    }
    time(&mut rows, 3)?;
    for (first, passes) in [(0, "forward"), (2, "both passes")] {
        println!("  {passes}: {:.3} of a layer's time (0.1 wanted)", rows[first].over(&rows[first + 1]));
    }
    Ok(())
}

/// The encoder of Conformer-S with its subsampling and scores of symbols, host included.
pub(crate) fn speech(context: &Context) -> Result<()> {
    const SECONDS: usize = 16;
    let config = ConformerConfig::default();
    let model = config.model()?;
    let weights = config.initial_weights(model.declarations(), 0);
    let store = Store::upload(&Device::Gpu(context.clone()), weights)?;
    let mut encoder = SoundEncoder::with_store(&model, &store, DType::F32)?;
    // A hundred frames of 80 features a second.
    let sound: Vec<f32> = (0..SECONDS * 100 * 80).map(|i| (i as f32 * 0.37).sin()).collect();
    encoder.run(&[&sound])?;
    let mut seconds = (0..TURNS)
        .map(|_| {
            let start = Instant::now();
            encoder.run(&[&sound])?;
            Ok(start.elapsed().as_secs_f64())
        })
        .collect::<Result<Vec<f64>>>()?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[TURNS / 2];
    println!(
        "  Conformer-S, 16 layers: {median:.2} s, {:.1} times faster than speech (5 wanted on Mesa 26)",
        SECONDS as f64 / median
    );
    Ok(())
}
