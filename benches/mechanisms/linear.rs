//! Linear attention.

use foveate::check::Problem;
use foveate::gpu::Context;
use foveate::ops::attention::{
    Blocked, Denominator, FeatureMap, FeaturesOf, LinearAttention, LinearState, Mask, RandomProjection,
    SoftmaxKernel, blocked, linear_attention, linear_attention_with_state, softmax_kernel_features,
};
use foveate::ops::mean_squared_error;
use foveate::{DType, Result, Value};

use crate::turns::{Row, time};

pub(crate) const HEADS: usize = 4;
pub(crate) const SIZE: usize = 64;
const TURNS: usize = 5;

fn qkv(problem: &mut Problem, length: usize) -> Result<[Value; 3]> {
    let mut rows = |name| problem.random(name, DType::F32, [1, length, HEADS, SIZE], 1.0);
    Ok([rows("q")?, rows("k")?, rows("v")?])
}

pub(crate) type Attend = fn(&mut Problem, [Value; 3]) -> Result<Value>;

/// A row of `attend` over so many tokens, with gradients where it says so.
pub(crate) fn row(
    context: &Context,
    name: &str,
    length: usize,
    attend: Attend,
    is_backward: bool,
) -> Result<Row> {
    let passes = if is_backward { ", forward and backward" } else { "" };
    Row::new(context, format!("{name}, {length}{passes}"), |problem| {
        let qkv = qkv(problem, length)?;
        let out = attend(problem, qkv)?;
        if !is_backward {
            return Ok(vec![out]);
        }
        let wanted = problem.random("wanted", DType::F32, [1, length, HEADS, SIZE], 1.0)?;
        let loss = mean_squared_error(&mut problem.graph, out, wanted)?;
        problem.graph.gradients(loss, &qkv)
    })
}

fn elu(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    linear_attention(&mut problem.graph, q, k, v, &LinearAttention::new().causal())
}

fn blocked_causal(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    blocked(&mut problem.graph, q, k, v, &Blocked::new().mask(Mask::causal()))
}

/// The same causal attention over 4096 tokens. The backward pass is what both passes take beyond the forward pass.
pub(crate) fn over_blocked(context: &Context) -> Result<()> {
    let mut rows = Vec::new();
    for (name, attend) in [("elu + 1, causal", elu as Attend), ("blocked, causal", blocked_causal)] {
        for is_backward in [false, true] {
            rows.push(row(context, name, 4096, attend, is_backward)?);
        }
    }
    time(&mut rows, TURNS)?;
    let backward = |first: usize| rows[first + 1].median() - rows[first].median();
    println!("  times faster: forward {:.1} (10 wanted)", rows[2].over(&rows[0]));
    println!("  times faster: both passes {:.1}", rows[3].over(&rows[1]));
    println!("  times faster: backward {:.1} (8 wanted)", backward(2) / backward(0));
    Ok(())
}

/// Time per token.
pub(crate) fn growth(context: &Context) -> Result<()> {
    let lengths = [4096, 16_384, 65_536];
    let rows = lengths.map(|length| row(context, "elu + 1, causal", length, elu, false));
    let mut rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
    time(&mut rows, TURNS)?;
    for (row, length) in rows[1..].iter().zip(&lengths[1..]) {
        let ratio = row.over(&rows[0]) * lengths[0] as f64 / *length as f64;
        println!("  a token of {length} over one of {}: {ratio:.2} (at most 1.25 wanted)", lengths[0]);
    }
    Ok(())
}

/// From which length on linear attention is ahead of blocked attention.
pub(crate) fn crossover(context: &Context) -> Result<()> {
    let mut first_ahead = None;
    for length in [64, 128, 256, 512, 1024, 2048] {
        let mut rows = [
            row(context, "elu + 1, causal", length, elu, false)?,
            row(context, "blocked, causal", length, blocked_causal, false)?,
        ];
        time(&mut rows, 2 * TURNS)?;
        if rows[0].over(&rows[1]) < 1.0 {
            first_ahead = first_ahead.or(Some(length));
        } else {
            first_ahead = None;
        }
    }
    match first_ahead {
        Some(length) => println!("  ahead from {length} tokens on (1024 wanted)"),
        None => println!("  not ahead at 2048 tokens"),
    }
    Ok(())
}

/// A token from the state that so many tokens before it have left.
fn token(context: &Context, behind: usize) -> Result<Row> {
    let mut text = Row::new(context, "the text before", |problem| {
        let [q, k, v] = qkv(problem, behind)?;
        let spec = LinearAttention::new().causal();
        let (_, state) = linear_attention_with_state(&mut problem.graph, q, k, v, &spec)?;
        Ok([Some(state.sums), state.normalizer].into_iter().flatten().collect())
    })?;
    let mut state = text.outputs()?;
    let mut part = |output: &str| state.remove(output).expect("a sum and a normalizer");
    let (sums, normalizer) = (part("0"), part("1"));
    Row::new(context, format!("a token behind {behind}"), |problem| {
        let [q, k, v] = qkv(problem, 1)?;
        let sums = problem.input("sums", sums)?;
        let normalizer = Some(problem.input("normalizer", normalizer)?);
        let spec = LinearAttention::new().causal().state(LinearState { sums, normalizer });
        let (out, next) = linear_attention_with_state(&mut problem.graph, q, k, v, &spec)?;
        Ok([Some(out), Some(next.sums), next.normalizer].into_iter().flatten().collect())
    })
}

pub(crate) fn decoding(context: &Context) -> Result<()> {
    let mut rows = [token(context, 1024)?, token(context, 65_536)?];
    time(&mut rows, 40)?;
    println!("  with 65,536 behind it over 1024: {:.2} (1 wanted)", rows[1].over(&rows[0]));
    Ok(())
}

/// Performer's attention, its features included.
pub(crate) fn performer(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    let graph = &mut problem.graph;
    let projection = RandomProjection::new(256, SIZE).constant(graph, DType::F32)?;
    let x = softmax_kernel_features(graph, q, projection, FeaturesOf::Queries, &SoftmaxKernel::new())?;
    let y = softmax_kernel_features(graph, k, projection, FeaturesOf::Keys, &SoftmaxKernel::new())?;
    let spec = LinearAttention::new().feature_map(FeatureMap::Given).denominator(Denominator::Plus(0.0));
    linear_attention(graph, x, y, v, &spec)
}

fn plain() -> LinearAttention {
    LinearAttention::new().causal().feature_map(FeatureMap::Given).unnormalised().scale(0.125)
}

fn ungated(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    linear_attention(&mut problem.graph, q, k, v, &plain())
}

fn log_decay(problem: &mut Problem, q: Value, rank: usize) -> Result<Value> {
    let dims = problem.desc(q)?.shape.dims()[..rank].to_vec();
    problem.random_within("log_decay", DType::F32, dims, -1.0..0.0)
}

fn step_decays(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    let decay = log_decay(problem, q, 3)?;
    linear_attention(&mut problem.graph, q, k, v, &plain().decay(decay))
}

fn channel_decays(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    let decay = log_decay(problem, q, 4)?;
    linear_attention(&mut problem.graph, q, k, v, &plain().decay(decay))
}

fn delta(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    let dims = problem.desc(q)?.shape.dims()[..3].to_vec();
    let beta = problem.random_within("beta", DType::F32, dims, 0.0..0.1)?;
    linear_attention(&mut problem.graph, q, k, v, &plain().delta_rule(beta))
}

/// What gates cost beside the same attention without them.
pub(crate) fn gates(context: &Context) -> Result<()> {
    for is_backward in [false, true] {
        let mut rows = Vec::new();
        for (name, attend) in [
            ("no gate", ungated as Attend),
            ("decays of steps", step_decays),
            ("decays of channels", channel_decays),
            ("delta rule", delta),
        ] {
            rows.push(row(context, name, 4096, attend, is_backward)?);
        }
        time(&mut rows, 3)?;
        for row in &rows[1..] {
            println!("  {:.2} times the time without a gate", row.over(&rows[0]));
        }
    }
    Ok(())
}

/// Where the time of the delta rule and of random features goes.
pub(crate) fn profiles(context: &Context) -> Result<()> {
    for (name, attend) in [
        ("elu + 1, causal", elu as Attend),
        ("decays of channels", channel_decays),
        ("delta rule", delta),
        ("256 random features", performer),
    ] {
        row(context, name, 4096, attend, false)?.profile()?;
    }
    row(context, "delta rule", 4096, delta, true)?.profile()
}
