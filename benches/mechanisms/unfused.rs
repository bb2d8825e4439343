//! Fewer keys or features against exact attention with its scores in memory, in time and memory, and from which lengths on each mechanism of
//! [`MECHANISMS`] is ahead of blocked attention.

use std::collections::BTreeMap;

use foveate::check::Problem;
use foveate::gpu::Context;
use foveate::nn::{Layout, MECHANISMS, Mechanism, MechanismExtents, Recorder};
use foveate::ops::attention::{Blocked, Linformer, Nystrom, blocked, linformer, nystrom};
use foveate::ops::{Heads, Matmul, concat, matmul, scale, slice, softmax};
use foveate::{DType, Result, Value};

use crate::linear::{Attend, HEADS, SIZE, performer, row};
use crate::turns::{Row, time};

/// The most bytes of scores at a time, those of a binding by default limits.
const MOST_BYTES: usize = 128 << 20;

/// Exact attention with its scores in memory, a head at a time, and a block of queries where a head's do not fit a binding.
pub(crate) fn unfused(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    let graph = &mut problem.graph;
    let length = graph.desc(q)?.shape.dims()[1];
    let block = (MOST_BYTES / (4 * length)).min(length);
    let mut heads = Vec::new();
    for head in 0..HEADS {
        let mut of_head = |value| slice(graph, value, 2, head..head + 1);
        let [q, k, v] = [of_head(q)?, of_head(k)?, of_head(v)?];
        let mut blocks = Vec::new();
        for first in (0..length).step_by(block) {
            let q = slice(graph, q, 1, first..length.min(first + block))?;
            let spec = Matmul::new().transpose_b().heads(Heads::Inner, Heads::Inner, Heads::Outer);
            let scores = matmul(graph, q, k, &spec)?;
            let scores = scale(graph, scores, (SIZE as f32).powf(-0.5))?;
            let weights = softmax(graph, scores)?;
            let spec = Matmul::new().heads(Heads::Outer, Heads::Inner, Heads::Inner);
            blocks.push(matmul(graph, weights, v, &spec)?);
        }
        heads.push(if blocks.len() == 1 { blocks[0] } else { concat(graph, &blocks, 1)? });
    }
    concat(graph, &heads, 2)
}

fn projected(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    let length = problem.desc(k)?.shape.dims()[1];
    let projections = ["E", "F"].map(|name| problem.random(name, DType::F32, [256, length], 0.1));
    let [of_keys, of_values] = projections;
    linformer(&mut problem.graph, q, k, v, [of_keys?, of_values?], &Linformer::new())
}

fn through_landmarks(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    nystrom(&mut problem.graph, q, k, v, &Nystrom::new(64))
}

/// What unfused attention takes by its scores and weights, and query, key, value and result.
fn bytes_of_scores(length: usize) -> usize {
    4 * (2 * HEADS * length * length + 4 * length * HEADS * SIZE)
}

fn over_unfused(
    context: &Context,
    length: usize,
    methods: &[(&str, Attend, f64, Option<f64>)],
    turns: usize,
) -> Result<()> {
    let mut rows = Vec::new();
    for (name, attend, ..) in methods {
        rows.push(row(context, name, length, *attend, false)?);
    }
    rows.push(row(context, "unfused exact attention", length, unfused, false)?);
    time(&mut rows, turns)?;
    let (exact, of_methods) = rows.split_last().expect("there are rows");
    for ((name, _, wanted, memory), row) in methods.iter().zip(of_methods) {
        println!("  {name}: {:.1} times faster ({wanted} wanted)", exact.over(row));
        if let Some(memory) = memory {
            let ratio = bytes_of_scores(length) as f64 / row.bytes() as f64;
            println!("  {name}: {ratio:.1} times less memory ({memory} wanted)");
        }
    }
    rows[0].profile()
}

pub(crate) fn at_4096(context: &Context) -> Result<()> {
    let methods: [(&str, Attend, f64, Option<f64>); 2] =
        [("256 random features", performer, 5.7, None), ("Linformer, 256", projected, 5.5, None)];
    over_unfused(context, 4096, &methods, 3)
}

pub(crate) fn at_8192(context: &Context) -> Result<()> {
    let methods: [(&str, Attend, f64, Option<f64>); 2] = [
        ("Nystrom, 64", through_landmarks, 12.7, Some(22.8)),
        ("Linformer, 256", projected, 13.8, Some(16.1)),
    ];
    over_unfused(context, 8192, &methods, 2)
}

/// A mechanism with the settings of its example, and tensors that need no training.
fn mechanism_row(context: &Context, document: &str, length: usize) -> Result<Row> {
    let mechanism = Mechanism::parse("a row of the table", document.as_bytes())?;
    Row::new(context, format!("{}, {length}", mechanism.name()), |problem| {
        let mut rows = |name| problem.random(name, DType::F32, [1, length, HEADS, SIZE], 1.0);
        let [q, k, v] = [rows("q")?, rows("k")?, rows("v")?];
        let mut tensors = BTreeMap::new();
        for (name, tensor) in
            mechanism.untrained(MechanismExtents { time: length, heads: HEADS, size: SIZE })?
        {
            tensors.insert(name.clone(), problem.input(&name, tensor)?);
        }
        let attend = mechanism.attend_with(&tensors)?;
        let mut recorder = Recorder::new(&mut problem.graph, DType::F32);
        Ok(vec![attend.record(&mut recorder, q, k, v, &Layout::Rows)?])
    })
}

pub(crate) fn blocked_full(problem: &mut Problem, [q, k, v]: [Value; 3]) -> Result<Value> {
    blocked(&mut problem.graph, q, k, v, &Blocked::new())
}

/// From which length on each mechanism that is no mask is ahead of blocked attention.
pub(crate) fn crossovers(context: &Context) -> Result<()> {
    let methods: Vec<_> = MECHANISMS.iter().filter(|row| !row.is_mask).collect();
    let mut ahead = vec![None; methods.len()];
    for length in [256, 512, 1024, 2048, 4096] {
        let mut rows = vec![row(context, "blocked", length, blocked_full, false)?];
        for method in &methods {
            rows.push(mechanism_row(context, &method.example(), length)?);
        }
        time(&mut rows, 3)?;
        for (first, row) in ahead.iter_mut().zip(&rows[1..]) {
            *first = if row.over(&rows[0]) < 1.0 { first.or(Some(length)) } else { None };
        }
    }
    for (method, first) in methods.iter().zip(ahead) {
        match first {
            Some(length) => println!("  {}: ahead from {length} tokens on", method.name),
            None => println!("  {}: not ahead at 4096 tokens", method.name),
        }
    }
    Ok(())
}
