//! A length's inputs: what runs on them, which rows are verified, and how far results lie from exact attention.

use std::collections::BTreeMap;
use std::ops::Range;

use super::methods::Band;
use foveate::{DType, Error, ErrorKind, Graph, HostTensor, Result, TensorDesc, cpu};
use serde::Serialize;

use super::activations::{Activations, Inputs, NAMES, rows_of};
use super::methods::{EXACT, Method};

/// Rows that are verified at the full length: blocks of consecutive ones, spread over time, the last rows among them.
const VERIFIED_BLOCKS: usize = 3;
/// Rows of a block where every query sees every key; blocks of methods that see fewer are larger at the same cost.
const BLOCK: usize = 32;

/// Queries, spread evenly over time, by which the distance from exact attention is measured.
const SAMPLED_ROWS: usize = 32;

/// How far a result lies from exact full attention.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Distance {
    pub(super) max_abs: f64,
    /// Over the largest exact value.
    pub(super) relative: f64,
}

/// A length's inputs, and exact attention for some of its queries.
#[derive(Debug)]
pub(super) struct Subject {
    time: usize,
    pub(super) inputs: Inputs,
    sampled: Vec<usize>,
    exact: HostTensor,
}

impl Subject {
    pub(super) fn new(activations: &Activations, time: usize, dtype: DType) -> Result<Self> {
        let inputs = activations.inputs(time, dtype)?;
        let count = SAMPLED_ROWS.min(time);
        let sampled: Vec<usize> = (0..count).map(|i| i * (time - 1) / (count - 1).max(1)).collect();
        // Rows of full attention do not depend on each other. Widened, so that the exact values are not rounded to f16.
        let few = inputs.excerpt(sampled.iter().copied(), 0..time)?.widened()?;
        let exact = reference(&graph(&EXACT, &few.descs())?, &few)?;
        Ok(Self { time, inputs, sampled, exact })
    }

    /// The blocks of rows of a method with `mask` that are verified.
    pub(super) fn blocks(&self, mask: Band) -> Vec<Range<usize>> {
        let side = |bound: Option<u32>| bound.map_or(self.time, |keys| keys as usize);
        let seen = self.time.min(side(mask.left).saturating_add(side(mask.right)).saturating_add(1));
        let rows = self.time.min(BLOCK * self.time / seen);
        let first = |block: usize| (self.time - rows) * block / VERIFIED_BLOCKS;
        let mut blocks: Vec<_> = (1..=VERIFIED_BLOCKS).map(|i| first(i)..first(i) + rows).collect();
        blocks.dedup();
        blocks
    }

    /// A call on as few tokens as `mask` allows whose first rows are `rows` of the full result.
    pub(super) fn excerpt(&self, mask: Band, rows: &Range<usize>) -> Result<Inputs> {
        let first = mask.left.map_or(0, |left| rows.start.saturating_sub(left as usize));
        let end = mask.right.map_or(self.time, |right| self.time.min(rows.end + right as usize));
        // The last query stands opposite the last key, so those up to it come along; without bounds it does not matter.
        let bounded = mask.left.is_some() || mask.right.is_some();
        let queries = rows.start..if bounded { end } else { rows.end };
        self.inputs.excerpt(queries, first..end)
    }

    pub(super) fn distance(&self, output: &HostTensor) -> Result<Distance> {
        let found = rows_of(output, self.sampled.iter().copied())?.to_f64();
        let exact = self.exact.to_f64();
        let max_abs = found.iter().zip(&exact).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        let largest = exact.iter().copied().map(f64::abs).fold(0.0, f64::max);
        Ok(Distance { max_abs, relative: if max_abs == 0.0 { 0.0 } else { max_abs / largest } })
    }

    pub(super) fn flops(&self, method: &Method) -> f64 {
        let dims = self.inputs.0[2].shape().dims();
        method.flops(self.time, dims[2], dims[3])
    }
}

/// What the graph of a method hands out.
const OUTPUT: &str = "out";

pub(super) fn graph(method: &Method, descs: &[TensorDesc; 3]) -> Result<Graph> {
    let mut graph = Graph::new();
    let [query, key, value] = descs;
    let qkv = [
        graph.input(NAMES[0], query.clone())?,
        graph.input(NAMES[1], key.clone())?,
        graph.input(NAMES[2], value.clone())?,
    ];
    let output = (method.build)(&mut graph, qkv, method.mask)?;
    graph.output(OUTPUT, output)?;
    Ok(graph)
}

pub(super) fn reference(graph: &Graph, inputs: &Inputs) -> Result<HostTensor> {
    only_output(cpu::run(graph, &inputs.named())?)
}

pub(super) fn only_output(mut outputs: BTreeMap<String, HostTensor>) -> Result<HostTensor> {
    outputs
        .remove(OUTPUT)
        .ok_or_else(|| Error::new(ErrorKind::Binding, "bench", "output").expecting(OUTPUT).but_found("none"))
}
