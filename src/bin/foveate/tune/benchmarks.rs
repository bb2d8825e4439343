//! What shapes are timed on, and held to the reference on.

use std::fmt;

use foveate::check::{Case, attention_backward as backward_alone, exp_ulps};
use foveate::gpu::Rate;
use foveate::ops::attention::{Blocked, blocked};
use foveate::ops::{Matmul, gelu, matmul as product, softmax};
use foveate::{AdapterKind, Caps, DType, Result};

use super::settings::dtypes;

/// A problem in two sizes.
#[derive(Debug)]
pub(super) struct Benchmark {
    pub(super) label: String,
    /// Large enough to keep the adapter busy.
    pub(super) timed: Case,
    /// Small, with extents that no tile divides.
    pub(super) checked: Case,
    work: Work,
    /// How far two right results may lie apart, of the largest element: sums of so many terms in any order differ by an f32 rounding for each,
    /// and stored results by one of their type.
    pub(super) tolerance: f64,
}

/// What a run of the timed problem does.
#[derive(Clone, Copy, Debug)]
enum Work {
    Flop(f64),
    Bytes(f64),
}

impl Benchmark {
    fn new(label: impl fmt::Display, dtype: DType, terms: usize, work: Work, cases: [Case; 2]) -> Self {
        let stored = match dtype {
            DType::F16 => f64::from(f32::EPSILON) * f64::from(1 << 13),
            _ => f64::from(f32::EPSILON),
        };
        let [timed, checked] = cases;
        let tolerance = 2.0 * (terms as f64 * f64::from(f32::EPSILON) + stored);
        Self { label: format!("{label}, {dtype}"), timed, checked, work, tolerance }
    }

    /// The rate of a run of so many milliseconds.
    pub(super) fn rate(&self, ms: f64) -> Rate {
        match self.work {
            Work::Flop(flop) => Rate::GflopPerSecond(flop / (ms * 1e6)),
            Work::Bytes(bytes) => Rate::GbPerSecond(bytes / (ms * 1e6)),
        }
    }
}

/// What software rasterizers get, or what GPUs do.
fn sized<T>(caps: &Caps, software: T, gpu: T) -> T {
    if caps.adapter == AdapterKind::Cpu { software } else { gpu }
}

/// Square products of the types that are `wanted`.
pub(super) fn matmul(caps: &Caps, wanted: impl Fn(DType) -> bool) -> Result<Vec<Benchmark>> {
    let size = sized(caps, 512, 2048);
    let problem = |dtype| {
        let case = |[rows, inner, columns]: [usize; 3]| {
            Case::new("matmul", "tune", move |problem| {
                let a = problem.random("a", dtype, [rows, inner], 1.0)?;
                let b = problem.random("b", dtype, [inner, columns], 1.0)?;
                Ok(vec![product(&mut problem.graph, a, b, &Matmul::new())?])
            })
        };
        let work = Work::Flop(2.0 * (size as f64).powi(3));
        Benchmark::new(
            format_args!("matmul {size}"),
            dtype,
            size,
            work,
            [case([size; 3]), case([83, 77, 151])],
        )
    };
    Ok(dtypes(caps, wanted).into_iter().map(problem).collect())
}

/// Channels of a head.
const CHANNELS: usize = 64;

/// Time and heads of what is checked: neither time nor rows fill tiles.
const CHECKED: [usize; 2] = [97, 3];

/// What WGSL's `exp` may lose above and below softmax's fraction bar, for scores of these problems: products of 64 channels, below 1 in
/// magnitude, over 8.
fn attention_ulps() -> f64 {
    2.0 * exp_ulps(16.0)
}

/// Exact attention in the types that are `wanted`.
pub(super) fn attention(caps: &Caps, wanted: impl Fn(DType) -> bool) -> Result<Vec<Benchmark>> {
    let extents @ [time, heads] = sized(caps, [512, 4], [2048, 16]);
    let problem = |dtype| {
        let case = |[time, heads]: [usize; 2]| {
            Case::new("attention/blocked", "tune", move |problem| {
                let mut input = |name| problem.random(name, dtype, [1, time, heads, CHANNELS], 1.0);
                let (q, k, v) = (input("q")?, input("k")?, input("v")?);
                Ok(vec![blocked(&mut problem.graph, q, k, v, &Blocked::new())?])
            })
            .builtin_ulps(attention_ulps())
        };
        let work = Work::Flop((4 * heads * time * time * CHANNELS) as f64);
        let label = format_args!("attention {time} x {heads} heads of {CHANNELS}").to_string();
        Benchmark::new(label, dtype, time, work, [case(extents), case(CHECKED)])
    };
    Ok(dtypes(caps, wanted).into_iter().map(problem).collect())
}

/// The gradients of exact attention in the types that are `wanted`.
pub(super) fn attention_backward(caps: &Caps, wanted: impl Fn(DType) -> bool) -> Result<Vec<Benchmark>> {
    let extents @ [time, heads] = sized(caps, [256, 4], [1024, 16]);
    let problem = |dtype| {
        let case = |[time, heads]: [usize; 2]| {
            Case::new("attention/blocked", "tune gradients", move |problem| {
                let mut input = |name| problem.random(name, dtype, [1, time, heads, CHANNELS], 1.0);
                let qkv = [input("q")?, input("k")?, input("v")?];
                Ok(backward_alone(problem, qkv, &Blocked::new())?.into())
            })
            .builtin_ulps(2.0 * attention_ulps())
        };
        // Five products, of which the kernels make two twice.
        let work = Work::Flop((10 * heads * time * time * CHANNELS) as f64);
        let label = format_args!("attention backward {time} x {heads} heads of {CHANNELS}").to_string();
        Benchmark::new(label, dtype, time, work, [case(extents), case(CHECKED)])
    };
    Ok(dtypes(caps, wanted).into_iter().map(problem).collect())
}

/// A softmax over rows: each element is read and written.
pub(super) fn rows(caps: &Caps) -> Result<Vec<Benchmark>> {
    let count = sized(caps, 1024, 8192);
    let problem = |width: usize| {
        let case = |rows: usize, width: usize| {
            Case::new("softmax", "tune", move |problem| {
                let x = problem.random("x", DType::F32, [rows, width], 4.0)?;
                Ok(vec![softmax(&mut problem.graph, x)?])
            })
            .builtin_ulps(2.0 * exp_ulps(8.0))
        };
        let work = Work::Bytes(8.0 * (count * width) as f64);
        let label = format!("softmax {count} rows of {width}");
        Benchmark::new(label, DType::F32, width, work, [case(count, width), case(37, 301)])
    };
    Ok([128, 1024].map(problem).into())
}

/// A gelu: each element is read and written.
pub(super) fn elements(caps: &Caps) -> Result<Vec<Benchmark>> {
    let count = sized(caps, 1 << 20, 1 << 24);
    let case = |count: usize| {
        Case::new("elementwise/gelu", "tune", move |problem| {
            let x = problem.random("x", DType::F32, [count], 4.0)?;
            Ok(vec![gelu(&mut problem.graph, x)?])
        })
        .builtin_ulps(exp_ulps(16.0))
    };
    let work = Work::Bytes(8.0 * count as f64);
    Ok(vec![Benchmark::new(format!("gelu of {count}"), DType::F32, 1, work, [case(count), case(1001)])])
}
