//! Attention chosen by content, and masks whose keys lie scattered.

use foveate::check::Problem;
use foveate::gpu::Context;
use foveate::ops::attention::{
    Blocked, LogSparse, Lsh, Mask, Routing, Scored, attention_over, balanced_clusters, blocked,
    lsh_attention, lsh_bucket_factors, lsh_buckets, lsh_rotations, routing_attention, top_k_attention,
};
use foveate::{DType, HostTensor, Result, Value};

use crate::linear::{Attend, HEADS, SIZE, row};
use crate::turns::{Row, time};
use crate::unfused::{blocked_full, unfused};

const CHUNK: usize = 64;

/// LSH attention with hashing and sorting, chunks of 64 and the one before.
fn hashed(problem: &mut Problem, [query, _, value]: [Value; 3], rounds: usize) -> Result<Value> {
    let length = problem.desc(query)?.shape.dims()[1];
    let factors = lsh_bucket_factors(2 * length / CHUNK);
    let spec = Lsh::new(CHUNK).buckets(factors.iter().product());
    let rotations = problem.input("rotations", lsh_rotations([HEADS, SIZE, rounds], &factors, 7)?)?;
    let graph = &mut problem.graph;
    let buckets = lsh_buckets(graph, query, rotations, &factors, &spec)?;
    Ok(lsh_attention(graph, query, value, Some(buckets), &spec)?.out)
}

fn two_rounds(problem: &mut Problem, qkv: [Value; 3]) -> Result<Value> {
    hashed(problem, qkv, 2)
}

fn four_rounds(problem: &mut Problem, qkv: [Value; 3]) -> Result<Value> {
    hashed(problem, qkv, 4)
}

/// 64 clusters of 128 queries and keys each, found here.
fn routed(problem: &mut Problem, [query, key, value]: [Value; 3]) -> Result<Value> {
    let centroids = problem.random("centroids", DType::F32, [HEADS, 64, SIZE], 1.0)?;
    let graph = &mut problem.graph;
    let [own, of_keys] = [query, key].map(|rows| balanced_clusters(graph, rows, centroids, 128));
    routing_attention(graph, query, Some(key), value, [own?, of_keys?], &Routing::new())
}

pub(crate) fn over_exact(context: &Context) -> Result<()> {
    let mut rows = [
        row(context, "LSH attention, 4 rounds", 4096, four_rounds, false)?,
        row(context, "unfused exact attention", 4096, unfused, false)?,
    ];
    time(&mut rows, 3)?;
    println!("  times faster: {:.1} (8 wanted)", rows[1].over(&rows[0]));
    let attention = rows[0].share_of("attention/indexed")?;
    println!("  hashing, sorting and lists: {:.0} % (at most 20 wanted)", 100.0 * (1.0 - attention));
    rows[0].profile()
}

fn over_blocked(context: &Context, name: &str, attend: Attend, length: usize, wanted: u32) -> Result<()> {
    let mut rows =
        [row(context, name, length, attend, false)?, row(context, "blocked", length, blocked_full, false)?];
    time(&mut rows, 1)?;
    println!("  times faster: {:.1} ({wanted} wanted)", rows[1].over(&rows[0]));
    rows[0].profile()
}

pub(crate) fn hashing_over_blocked(context: &Context) -> Result<()> {
    over_blocked(context, "LSH attention, 2 rounds", two_rounds, 16_384, 12)
}

pub(crate) fn routing_over_blocked(context: &Context) -> Result<()> {
    over_blocked(context, "routing attention, 64 clusters of 128", routed, 8192, 8)
}

/// The same number of tokens as a few long texts and as many short ones.
pub(crate) fn growth(context: &Context) -> Result<()> {
    const TOKENS: usize = 32_768;
    let lengths = [1024, 8192, TOKENS];
    let rows = lengths.map(|length| {
        Row::new(context, format!("LSH attention, 2 rounds, {} x {length}", TOKENS / length), |problem| {
            let mut rows =
                |name| problem.random(name, DType::F32, [TOKENS / length, length, HEADS, SIZE], 1.0);
            let qkv = [rows("q")?, rows("k")?, rows("v")?];
            Ok(vec![two_rounds(problem, qkv)?])
        })
    });
    let mut rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
    time(&mut rows, 3)?;
    for (row, length) in rows[1..].iter().zip(&lengths[1..]) {
        let ratio = row.over(&rows[0]);
        println!("  a token of {length} over one of {}: {ratio:.2} (at most 1.25 wanted)", lengths[0]);
    }
    Ok(())
}

/// What a run takes beside query, key, value and result, in copies of one of these.
pub(crate) fn memory(context: &Context) -> Result<()> {
    for (name, attend) in [
        ("LSH attention, 2 rounds", two_rounds as Attend),
        ("LSH attention, 4 rounds", four_rounds),
        ("routing attention, 64 clusters of 128", routed),
        ("strided by the root", strided),
        ("LogSparse", log_sparse),
    ] {
        for length in [8192, 16_384] {
            let rows = (4 * length * HEADS * SIZE) as f64;
            let beside = row(context, name, length, attend, false)?.bytes() as f64 / rows - 4.0;
            println!("  {name}, {length}: {beside:.2} times the bytes of the query");
        }
    }
    Ok(())
}

/// 16 keys of each query, anywhere.
fn listed(problem: &mut Problem, [query, key, value]: [Value; 3]) -> Result<Value> {
    const KEYS: usize = 16;
    let length = problem.desc(query)?.shape.dims()[1];
    let positions = (0..HEADS * length * KEYS).map(|at| (at * 7919 + at / 31 * 17) % length);
    let keys =
        HostTensor::i32([1, HEADS, length, KEYS], positions.map(|position| position as i32).collect())?;
    let keys = problem.input("keys", keys)?;
    Ok(attention_over(&mut problem.graph, query, key, value, keys, None)?.0)
}

/// The 16 keys of each query's highest scores.
fn highest(problem: &mut Problem, [query, key, value]: [Value; 3]) -> Result<Value> {
    Ok(top_k_attention(&mut problem.graph, query, key, value, 16, &Scored::new())?.out)
}

/// Keys that are listed or chosen one by one, beside dense attention.
pub(crate) fn single_keys(context: &Context) -> Result<()> {
    let mut rows = [
        row(context, "dense", 4096, blocked_full, false)?,
        row(context, "16 keys each, anywhere", 4096, listed, false)?,
        row(context, "16 keys of the highest scores", 4096, highest, false)?,
    ];
    time(&mut rows, 3)?;
    for row in &rows[1..] {
        println!("  times faster than dense: {:.2}", rows[0].over(row));
    }
    rows[2].profile()
}

fn stride_of(problem: &Problem, query: Value) -> Result<u32> {
    Ok(problem.desc(query)?.shape.dims()[1].isqrt() as u32)
}

fn masked(problem: &mut Problem, [q, k, v]: [Value; 3], mask: Mask) -> Result<Value> {
    blocked(&mut problem.graph, q, k, v, &Blocked::new().mask(mask))
}

fn strided(problem: &mut Problem, qkv: [Value; 3]) -> Result<Value> {
    let stride = stride_of(problem, qkv[0])?;
    masked(problem, qkv, Mask::strided(stride))
}

/// 128 keys on either side, every 16th.
fn dilated(problem: &mut Problem, qkv: [Value; 3]) -> Result<Value> {
    masked(problem, qkv, Mask::dilated_window(128, [16]))
}

fn fixed(problem: &mut Problem, qkv: [Value; 3]) -> Result<Value> {
    let stride = stride_of(problem, qkv[0])?;
    masked(problem, qkv, Mask::fixed(stride, 8))
}

fn log_sparse(problem: &mut Problem, qkv: [Value; 3]) -> Result<Value> {
    masked(problem, qkv, Mask::log_sparse(LogSparse::default()))
}

/// The same along block lists, as masks are walked that something is combined with.
fn log_sparse_in_blocks(problem: &mut Problem, qkv: [Value; 3]) -> Result<Value> {
    masked(problem, qkv, Mask::log_sparse(LogSparse::default()) & Mask::full())
}

/// Useful work in a second over that of dense attention.
pub(crate) fn scattered(context: &Context) -> Result<()> {
    const LENGTH: usize = 8192;
    let root = LENGTH.isqrt();
    let distances = |sees: &dyn Fn(usize, usize) -> bool| -> usize {
        (0..LENGTH).map(|i| (0..LENGTH).filter(|&j| sees(i, j)).count()).sum()
    };
    let of_strided = distances(&|i, j| j <= i && (i - j < root || (i - j) % root == 0));
    let of_dilated = distances(&|i, j| i.abs_diff(j) % 16 == 0 && i.abs_diff(j) <= 128 * 16);
    let of_fixed = distances(&|i, j| j <= i && (i / root == j / root || j % root >= root - 8));
    let mut rows = [
        row(context, "dense", LENGTH, blocked_full, false)?,
        row(context, "strided by the root", LENGTH, strided, false)?,
        row(context, "128 on either side, every 16th", LENGTH, dilated, false)?,
        row(context, "fixed blocks of the root, 8 of each", LENGTH, fixed, false)?,
    ];
    time(&mut rows, 2)?;
    for (row, pairs) in rows[1..].iter().zip([of_strided, of_dilated, of_fixed]) {
        let rate = pairs as f64 / (LENGTH * LENGTH) as f64 / row.over(&rows[0]);
        println!("  useful work over dense: {rate:.2} (0.5 wanted)");
    }
    let rate = |row: &Row, pairs: usize| 4e-9 * (pairs * HEADS * SIZE) as f64 / row.median();
    println!("  dense: {:.1} GFLOP/s", rate(&rows[0], LENGTH * LENGTH));
    Ok(())
}

pub(crate) fn log_sparse_over_lists(context: &Context) -> Result<()> {
    let mut rows = [
        row(context, "LogSparse", 8192, log_sparse, false)?,
        row(context, "LogSparse along block lists", 8192, log_sparse_in_blocks, false)?,
    ];
    time(&mut rows, 5)?;
    println!("  times faster: {:.1} (4 wanted)", rows[1].over(&rows[0]));
    Ok(())
}
